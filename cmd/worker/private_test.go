package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// newPrivateBundle is a bundle whose database is a private one, in a directory of the test's own. It
// exists as soon as a worker has started on it: see connect.
func newPrivateBundle(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{}
	b.newX(t, sandbox.Config{})
	require.NoError(t, b.x.Start(""))
	b.settings = settings{"TWEETQUEUE_STATE_DIR": stateDir(t), "X_API_BASE_URL": b.x.URL()}
	return b
}

// connect reaches a running private database as another application does, by `worker dsn`, and adds
// the account.
func (b *bundle) connect(t *testing.T) {
	t.Helper()
	dsn := startProcess(t, "worker", b.settings, "dsn")
	require.Zero(t, dsn.wait(t))
	var err error
	b.db, err = pgxpool.New(t.Context(), strings.TrimSpace(dsn.stdout.String()))
	require.NoError(t, err)
	t.Cleanup(b.db.Close)
	key, err := os.ReadFile(filepath.Join(b.settings["TWEETQUEUE_STATE_DIR"], "key"))
	require.NoError(t, err)
	b.addAccount(t, b.db, store.Secret(strings.TrimSpace(string(key))))
}

// postmaster is the process of the private database's server.
func (b *bundle) postmaster(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(b.settings["TWEETQUEUE_STATE_DIR"], "postgres", "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

// TestDemoBesideAWorker: the demo leaves a running worker's database alone, with a row that is due.
func TestDemoBesideAWorker(t *testing.T) {
	t.Parallel()
	b := newPrivateBundle(t)
	w := startProcess(t, "worker", b.settings)
	w.awaitText(t, "starting")
	b.connect(t)
	// It is due, and its own worker must not work it either.
	b.exec(t, `UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand'`)
	due := storetest.Tweet(t, b.db, "a real one", -time.Minute)
	w.awaitEvent(t, due, "waiting")
	snapshot := func() (row string) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT json_agg(t)::text FROM tweetqueue.tweets t`).Scan(&row))
		return row
	}
	before := snapshot()

	demo := startProcess(t, "worker", b.settings.with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), "demo", "--exit", "--json")
	require.Zero(t, demo.wait(t))
	var report struct{ Rows []entered }
	require.NoError(t, json.Unmarshal([]byte(demo.stdout.String()), &report))
	require.Len(t, report.Rows, 6)
	for i, row := range report.Rows {
		require.Equal(t, []string{"posted", "posted", "posted", "posted", "posted", "deleted"}[i], row.Status)
	}
	require.NotContains(t, demo.stdout.String(), "a real one")
	require.Equal(t, before, snapshot())
	require.Empty(t, b.x.Requests())

	// The worker is none the worse for it.
	b.exec(t, `UPDATE tweetqueue.accounts SET state = 'active', state_reason = NULL`)
	w.awaitEvent(t, due, "done")
	w.signal(t, syscall.SIGTERM)
	require.Zero(t, w.wait(t))
	require.Len(t, b.x.Requests(), 1)
}

// TestServerDies: a worker whose private database is gone ends, and says so. What it was sending is
// recorded all the same, and its next start finds everything.
func TestServerDies(t *testing.T) {
	t.Parallel()
	b := newPrivateBundle(t)
	first := startProcess(t, "worker", b.settings)
	first.awaitText(t, "starting")
	b.connect(t)
	held, hold := b.held(t)
	later := storetest.Tweet(t, b.db, "later", 3*time.Second)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	b.db.Close()
	require.NoError(t, syscall.Kill(b.postmaster(t), syscall.SIGKILL))
	hold.Lift()
	first.awaitEvent(t, held, "done")
	require.Equal(t, setup.ExitFailed, first.wait(t))
	require.Contains(t, first.String(), "worker: the private database is gone: ")
	require.Contains(t, first.String(), "was ended by signal killed")

	second := startProcess(t, "worker", b.settings)
	second.awaitEvent(t, later, "done")
	second.signal(t, syscall.SIGTERM)
	require.Zero(t, second.wait(t))
	require.NotContains(t, second.String(), "unconfirmed")
	require.Len(t, b.x.Requests(), 2)
}

// TestDSNWithoutAServer starts none.
func TestDSNWithoutAServer(t *testing.T) {
	t.Parallel()
	s := settings{"TWEETQUEUE_STATE_DIR": stateDir(t)}
	p := startProcess(t, "worker", s, "dsn")
	require.Equal(t, setup.ExitNoDatabase, p.wait(t))
	require.Empty(t, p.stdout.String())
	require.Contains(t, p.String(), "start one with 'worker'")
	p = startProcess(t, "worker", s.with("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/db"), "dsn")
	require.Equal(t, setup.ExitNoDatabase, p.wait(t))
	require.Contains(t, p.String(), "DATABASE_URL is set: that is the connection string to use")
	require.NotContains(t, p.String(), "start one")
	requireNone(t, p.String()+p.stdout.String(), hunter2)
	entries, err := os.ReadDir(s["TWEETQUEUE_STATE_DIR"])
	require.NoError(t, err)
	require.Empty(t, entries)
}

// TestMigrateThePrivateDatabase: the private database is migrated by every start, and can be by hand.
func TestMigrateThePrivateDatabase(t *testing.T) {
	t.Parallel()
	s := settings{"TWEETQUEUE_STATE_DIR": stateDir(t)}
	up := startProcess(t, "worker", s, "migrate", "up")
	require.Zero(t, up.wait(t))
	require.Contains(t, up.String(), "database: the private database in "+s["TWEETQUEUE_STATE_DIR"])
	status := startProcess(t, "worker", s, "migrate", "status", "--json")
	require.Zero(t, status.wait(t))
	require.True(t, json.Valid([]byte(status.stdout.String())))
	_, err := os.Stat(filepath.Join(s["TWEETQUEUE_STATE_DIR"], "postgres", "data", "postmaster.pid"))
	require.ErrorIs(t, err, os.ErrNotExist, "the last user stops the server")
}

// TestPrivateDatabaseOfAUser lies in the user's own state directory.
func TestPrivateDatabaseOfAUser(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	which := ", which is new"
	for _, args := range [][]string{{"migrate", "up"}, {"migrate", "status"}} {
		cmd := exec.Command(binary(t, "worker"), args...)
		ordinaryUser(t, cmd, dir)
		p := startCommand(t, cmd, settings{"XDG_STATE_HOME": dir})
		require.Zero(t, p.wait(t))
		require.Equal(t, "database: the private database in "+filepath.Join(dir, "tweetqueue", "postgres")+which+"\n", p.String())
		which = ""
	}
}
