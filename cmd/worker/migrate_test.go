package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// command runs a verb of the worker's to its end, and returns what it printed.
func command(t *testing.T, s settings, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, errs := &record{}, &record{}
	err = inProcess(ctx, s, out, errs, args...)
	return out.String(), errs.String(), err
}

func requireRefused(t *testing.T, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	require.Equal(t, setup.ExitRefused, setup.ExitCode(err))
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	s := settings{"DATABASE_URL": storetest.EmptyURL(t)}

	stdout, stderr, err := command(t, s, "migrate", "status")
	requireRefused(t, err, migrations.ErrTooOld)
	require.ErrorContains(t, err, "run 'worker migrate up'")
	require.Contains(t, stdout, "migration 0 of ")
	require.Equal(t, "database: the database of DATABASE_URL\n", stderr)

	stdout, _, err = command(t, s, "migrate", "up")
	require.NoError(t, err)
	require.Contains(t, stdout, "up 00001_create_foundation.sql")
	require.Contains(t, stdout, "the database is at migration ")
	stdout, _, err = command(t, s, "migrate", "up")
	require.NoError(t, err)
	require.NotContains(t, stdout, ".sql", "there is nothing to do")

	stdout, _, err = command(t, s, "migrate", "status", "--json")
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"version":%d,"river_version":8,"oldest_worker":%[1]d,"latest":%[1]d}`, migrations.Latest), stdout)

	stdout, _, err = command(t, s, "migrate", "down")
	require.NoError(t, err)
	require.Contains(t, stdout, fmt.Sprintf("down %05d_", migrations.Latest))
	_, _, err = command(t, s, "migrate", "status")
	requireRefused(t, err, migrations.ErrTooOld)
	_, _, err = command(t, s, "migrate", "down", "--all")
	require.NoError(t, err)
	_, _, err = command(t, s, "migrate", "up")
	require.NoError(t, err)
	_, _, err = command(t, s, "migrate", "status")
	require.NoError(t, err)
}

// TestMigrateDownWithRows: what would be lost is not destroyed by a slip.
func TestMigrateDownWithRows(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	storetest.Tweet(t, b.db, "precious", time.Hour)
	b.db.Close()
	_, _, err := command(t, b.settings, "migrate", "down", "--all")
	requireRefused(t, err, migrations.ErrRows)
	require.ErrorContains(t, err, "--force")
	_, _, err = command(t, b.settings, "migrate", "down", "--all", "--force")
	require.NoError(t, err)
}

// TestTooOld: a worker does not touch a database of yours that it was not told to migrate.
func TestTooOld(t *testing.T) {
	t.Parallel()
	s := settings{"DATABASE_URL": storetest.EmptyURL(t), "TWEETQUEUE_KEY": string(store.NewKey()), "X_API_BASE_URL": "http://127.0.0.1:1"}
	requireRefused(t, start(t, s).wait(t), migrations.ErrTooOld)
	_, _, err := command(t, s, "migrate", "status")
	requireRefused(t, err, migrations.ErrTooOld)

	w := start(t, s, "--migrate")
	w.awaitText(t, `"message":"migrated"`)
	w.awaitText(t, "starting")
	w.end(t)
	_, _, err = command(t, s, "migrate", "status")
	require.NoError(t, err)
}

// TestTooNew: a database that a newer program has migrated, and that this one cannot work with.
func TestTooNew(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.exec(t, `INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (9999, 8, 9999)`)
	requireRefused(t, start(t, b.settings).wait(t), migrations.ErrTooNew)
	for _, args := range [][]string{{"run", "--migrate"}, {"migrate", "up"}, {"migrate", "status"}, {"migrate", "down"}} {
		_, _, err := command(t, b.settings, args...)
		requireRefused(t, err, migrations.ErrTooNew)
	}
}

// TestCreateKey makes a key once, and never a second one beside credentials that need the first.
func TestCreateKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "key")
	s := settings{"DATABASE_URL": storetest.EmptyURL(t), "TWEETQUEUE_KEY_FILE": path}
	_, _, err := command(t, s, "migrate", "up")
	require.Equal(t, setup.ExitUsage, setup.ExitCode(err), "without the flag, a file that is missing is an error")
	require.ErrorContains(t, err, "make it with 'worker migrate up --create-key'")
	stdout, stderr, err := command(t, s.with("TWEETQUEUE_KEY_FILE", ""), "migrate", "up", "--create-key")
	require.Equal(t, setup.ExitUsage, setup.ExitCode(err))
	require.Empty(t, stdout+stderr, "nothing was migrated")

	stdout, _, err = command(t, s, "migrate", "up", "--create-key")
	require.NoError(t, err)
	require.Contains(t, stdout, "made the key file "+path+": keep it, the database does not hold it")
	key, err := os.ReadFile(path)
	require.NoError(t, err)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(key)))
	require.NoError(t, err)
	require.Len(t, raw, 32)
	require.NotContains(t, stdout, strings.TrimSpace(string(key)))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	stdout, _, err = command(t, s, "migrate", "up", "--create-key")
	require.NoError(t, err)
	require.NotContains(t, stdout, "made")
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, key, again)

	storetest.Account(t, storetest.Open(t, s["DATABASE_URL"]), storetest.AccountOpts{})
	require.NoError(t, os.Remove(path))
	_, _, err = command(t, s, "migrate", "up", "--create-key")
	requireRefused(t, err, store.ErrRefused)
	require.NoFileExists(t, path)
}
