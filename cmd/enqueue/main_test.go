package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestMain(m *testing.M) {
	code := storetest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// testBundle is a database and the environment that names it.
type testBundle struct {
	db  *pgxpool.Pool
	env map[string]string
}

// newBundle has an account acme in Vienna, and a worker that is alive.
func newBundle(t *testing.T) *testBundle {
	t.Helper()
	url := storetest.URL(t)
	b := &testBundle{db: storetest.Open(t, url), env: map[string]string{"DATABASE_URL": url}}
	storetest.Account(t, b.db, storetest.AccountOpts{TimeZone: "Europe/Vienna"})
	_, err := store.WorkerStart(t.Context(), b.db, "test worker", migrations.Latest)
	require.NoError(t, err)
	return b
}

// now is the database's clock.
func (b *testBundle) now(t *testing.T) time.Time {
	t.Helper()
	now, err := store.Clock(t.Context(), b.db)
	require.NoError(t, err)
	return now
}

// local writes an instant in from now as a person in the zone would, to the minute.
func (b *testBundle) local(t *testing.T, in time.Duration, name string) (written string, instant time.Time) {
	t.Helper()
	instant = b.now(t).Add(in).Truncate(time.Minute)
	return instant.In(zone(t, name)).Format("2006-01-02 15:04"), instant
}

// result is what one command line came to.
type result struct {
	err    error
	stdout string
	stderr string
}

// code is the exit code.
func (r result) code() int { return setup.ExitCode(r.err) }

func (b *testBundle) run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return runWith(t, b.env, stdin, args...)
}

// ok runs a command line that must succeed, and returns what it printed.
func (b *testBundle) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := b.run(t, "", args...)
	require.NoError(t, r.err, r.stderr)
	return r.stdout
}

// entries runs a command line with --json that prints rows.
func (b *testBundle) entries(t *testing.T, args ...string) []store.Entry {
	t.Helper()
	var list []store.Entry
	require.NoError(t, json.Unmarshal([]byte(b.ok(t, append(args, "--json")...)), &list))
	return list
}

func runWith(t *testing.T, env map[string]string, stdin string, args ...string) result {
	t.Helper()
	env = maps.Clone(env)
	lookup := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, lookup, strings.NewReader(stdin), &stdout, &stderr)
	return result{err: err, stdout: stdout.String(), stderr: stderr.String()}
}

// refused requires that a command line ended with an exit code, printed nothing, and said the words.
func (r result) refused(t *testing.T, code int, words ...string) {
	t.Helper()
	require.Equal(t, code, r.code(), "%v", r.err)
	require.Empty(t, r.stdout)
	for _, word := range words {
		require.Contains(t, r.stderr, word)
	}
}

// tweetCount is how many tweets are in the queue, whatever became of them.
func (b *testBundle) tweetCount(t *testing.T) int {
	t.Helper()
	return len(b.entries(t, "list", "--status", "all", "--limit", "100000"))
}

func id(n int64) string { return fmt.Sprint(n) }

// stateDir returns a new directory for a private database, which the server's user may enter.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(storetest.Dir()), "tweetqueue-state-") //nolint:usetesting // its directory is the tester's alone
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}
