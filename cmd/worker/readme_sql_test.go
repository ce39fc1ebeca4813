package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
)

var (
	// sqlBlock is a block of statements for psql or an application.
	sqlBlock   = regexp.MustCompile("(?ms)^ *```sql\n(.*?)^ *```")
	sqlComment = regexp.MustCompile(`(?m)--.*$`)
)

// documentedStatements returns the statements of a document's blocks of SQL, without comments.
func documentedStatements(t *testing.T, name string) []string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "..", name))
	require.NoError(t, err)
	var statements []string
	for _, block := range sqlBlock.FindAllStringSubmatch(string(document), -1) {
		for statement := range strings.SplitSeq(sqlComment.ReplaceAllString(block[1], ""), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				statements = append(statements, statement)
			}
		}
	}
	require.NotEmpty(t, statements, name)
	return statements
}

// TestDocumentedSQL runs each statement of the documents' blocks of SQL on a database of its own, with the row
// it needs, as the role it is meant for: an application writes, reads, and schedules again what was
// missed; the owner ends a hold.
func TestDocumentedSQL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "docs/operations.md"} {
		for i, statement := range documentedStatements(t, name) {
			t.Run(fmt.Sprintf("%s%d", strings.TrimSuffix(filepath.Base(name), ".md"), i+1), func(t *testing.T) {
				t.Parallel()
				t.Log(statement)
				b := newBundle(t)
				switch {
				case strings.HasPrefix(statement, "INSERT INTO "):
					require.EqualValues(t, 1, b.execAs(t, "tweetqueue_writer", statement))
					var waiting []entered
					enqueue(t, b.settings, "", &waiting, "list")
					require.Len(t, waiting, 1)
					require.Equal(t, "scheduled", waiting[0].Status)
				case strings.HasPrefix(statement, "SELECT "):
					b.tweet(t, "a row to see")
					b.execAs(t, "tweetqueue_reader", statement)
				case strings.HasPrefix(statement, "UPDATE tweetqueue.tweets SET status = 'scheduled'"):
					b.exec(t, `ALTER SEQUENCE tweetqueue.row_ids RESTART WITH 42`)
					require.EqualValues(t, 42, b.tweet(t, "missed"))
					b.exec(t, `UPDATE tweetqueue.tweets SET status = 'missed', waiting_for = NULL`)
					require.EqualValues(t, 1, b.execAs(t, "tweetqueue_writer", statement))
					require.Equal(t, "scheduled", b.show(t, 42).Status)
				case strings.HasPrefix(statement, "UPDATE tweetqueue.accounts "), strings.HasPrefix(statement, "UPDATE tweetqueue.apps "):
					require.EqualValues(t, 1, b.execAs(t, "", statement))
				default:
					require.Fail(t, "this test does not know who may run the statement", "%s", statement)
				}
			})
		}
	}
}

// execAs runs a statement in a transaction of a role, of the owner if it is empty, and commits it. It
// returns how many rows it was about.
func (b *bundle) execAs(t *testing.T, role, statement string) int64 {
	t.Helper()
	tx := storetest.Tx(t, b.db)
	if role != "" {
		_, err := tx.Exec(t.Context(), `SET LOCAL ROLE `+role)
		require.NoError(t, err)
	}
	tag, err := tx.Exec(t.Context(), statement)
	require.NoError(t, err, "as %q", role)
	require.NoError(t, tx.Commit(t.Context()))
	return tag.RowsAffected()
}
