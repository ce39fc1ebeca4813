package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// readmeResolve is a line of the documents that resolves a row.
var readmeResolve = regexp.MustCompile(`(?m)^ *(?:bin/)?enqueue resolve (\d+) (--[^#\n]+)`)

// TestResolveAsDocumented runs what the documents say, on the row that they say it of.
func TestResolveAsDocumented(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "docs/operations.md"} {
		content, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		commands := readmeResolve.FindAllStringSubmatch(string(content), -1)
		require.NotEmpty(t, commands, name)
		for i, command := range commands {
			t.Run(fmt.Sprintf("%s%d", strings.TrimSuffix(filepath.Base(name), ".md"), i+1), func(t *testing.T) {
				t.Parallel()
				b := newBundle(t)
				row, err := strconv.ParseInt(command[1], 10, 64)
				require.NoError(t, err)
				_, err = b.db.Exec(t.Context(), `ALTER SEQUENCE tweetqueue.row_ids RESTART WITH `+command[1])
				require.NoError(t, err)
				doubt := b.tweetInDoubt
				switch {
				case strings.Contains(command[2], "deleted"):
					doubt = b.deletionInDoubt
				case strings.Contains(command[2], "retweeted"):
					doubt = b.retweetInDoubt
				}
				require.Equal(t, row, doubt(t))
				args := append([]string{"resolve", command[1]}, strings.Fields(command[2])...)
				if id := regexp.MustCompile(`\d{10,}`).FindString(command[2]); id != "" { // the documents' tweet is of no time
					now, _ := b.tweetID(t, 59*time.Minute)
					args[3] = strings.Replace(args[3], id, now, 1)
				}
				b.ok(t, args...)
				require.NotEqual(t, store.Unconfirmed, b.entry(t, row).Status)
			})
		}
	}
}
