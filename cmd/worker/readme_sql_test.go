package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

var (
	// sqlBlock is a block of statements for psql or an application.
	sqlBlock   = regexp.MustCompile("(?ms)^ *```sql\n(.*?)^ *```")
	sqlComment = regexp.MustCompile(`(?m)--.*$`)
	// endsRow is a statement that says what became of an unconfirmed row.
	endsRow = regexp.MustCompile(`^UPDATE tweetqueue\.(tweets|deletions) SET status = '(\w+)'.* WHERE id = (\d+)$`)
)

// readmeStatements returns the statements of the README's blocks of SQL, without comments.
func readmeStatements(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	var statements []string
	for _, block := range sqlBlock.FindAllStringSubmatch(string(readme), -1) {
		for statement := range strings.SplitSeq(sqlComment.ReplaceAllString(block[1], ""), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				statements = append(statements, statement)
			}
		}
	}
	return statements
}

// TestReadmeSQL runs each statement of the README's blocks of SQL on a database of its own, with the row
// it needs, as the role it is meant for: an application writes and reads, the owner says what became of
// an unconfirmed row.
func TestReadmeSQL(t *testing.T) {
	t.Parallel()
	statements := readmeStatements(t)
	require.GreaterOrEqual(t, len(statements), 5, "%q", statements)
	for i, statement := range statements {
		t.Run(fmt.Sprintf("Statement%d", i+1), func(t *testing.T) {
			t.Parallel()
			t.Log(statement)
			b := newBundle(t)
			switch match := endsRow.FindStringSubmatch(statement); {
			case match != nil:
				before := ""
				if match[2] == "scheduled" && i > 0 { // after all: the row was ended by the statement above
					before = statements[i-1]
				}
				requireEndsRow(t, b, before, statement)
			case strings.HasPrefix(statement, "INSERT INTO "):
				require.EqualValues(t, 1, b.execAs(t, "tweetqueue_writer", statement))
				var waiting []entered
				enqueue(t, b.settings, "", &waiting, "list")
				require.Len(t, waiting, 1)
				require.Equal(t, "scheduled", waiting[0].Status)
			case strings.HasPrefix(statement, "SELECT "):
				b.tweet(t, "a row to see")
				require.Positive(t, b.execAs(t, "tweetqueue_reader", statement))
			default:
				require.Fail(t, "this test does not know who may run the statement", "%s", statement)
			}
		})
	}
}

// requireEndsRow makes a row unconfirmed, as a worker does it, and has the owner end it, by another
// statement before this one if there is one. An application may not. What is scheduled again is posted.
func requireEndsRow(t *testing.T, b *bundle, before, statement string) {
	t.Helper()
	match := endsRow.FindStringSubmatch(statement)
	table, status, row := match[1], match[2], match[3]
	id, err := strconv.ParseInt(row, 10, 64)
	require.NoError(t, err)
	b.exec(t, `ALTER SEQUENCE tweetqueue.row_ids RESTART WITH `+row)
	if table == "tweets" {
		b.fault(t, sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 500, Times: 1})
		require.Equal(t, id, b.tweet(t, "in doubt"))
	} else {
		var deletion entered
		enqueue(t, b.settings, "", &deletion, "delete", "--account", "acme", "1445880548472328192") // X has none
		require.Equal(t, id, deletion.ID)
	}
	w := start(t, b.settings)
	w.awaitEvent(t, id, "unconfirmed")

	_, err = b.tryAs(t, "tweetqueue_writer", statement)
	refused := new(pgconn.PgError)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "unconfirmed", b.show(t, id).Status)
	if before != "" {
		require.EqualValues(t, 1, b.execAs(t, "", before))
	}
	require.EqualValues(t, 1, b.execAs(t, "", statement))
	if status == "scheduled" {
		w.awaitEvent(t, id, "done")
		status = "posted"
	}
	w.end(t)
	require.Equal(t, status, b.show(t, id).Status)
}

// tryAs runs a statement in a transaction of a role, of the owner if it is empty, and commits it. It
// returns how many rows it was about.
func (b *bundle) tryAs(t *testing.T, role, statement string) (int64, error) {
	t.Helper()
	tx := storetest.Tx(t, b.db)
	if role != "" {
		_, err := tx.Exec(t.Context(), `SET LOCAL ROLE `+role)
		require.NoError(t, err)
	}
	tag, err := tx.Exec(t.Context(), statement)
	if err != nil {
		_ = tx.Rollback(t.Context())
		return 0, fmt.Errorf("as %q: %w", role, err)
	}
	return tag.RowsAffected(), tx.Commit(t.Context())
}

func (b *bundle) execAs(t *testing.T, role, statement string) int64 {
	t.Helper()
	rows, err := b.tryAs(t, role, statement)
	require.NoError(t, err)
	return rows
}
