package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// small returns a pool of one connection, so that a connection that is not given back is missed.
func small(t *testing.T) (*testBundle, func(do func(tx pgx.Tx) error) error, func(ctx context.Context, do func(tx pgx.Tx) error) error) {
	t.Helper()
	url := storetest.URL(t)
	pool, err := store.Connect(t.Context(), store.Secret(url), "small", 1)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := &testBundle{db: storetest.Open(t, url)}
	storetest.Account(t, b.db, storetest.AccountOpts{})
	in := func(ctx context.Context, do func(tx pgx.Tx) error) error { return store.InTx(ctx, pool, do) }
	return b, func(do func(tx pgx.Tx) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return in(ctx, do)
	}, in
}

func TestInTx(t *testing.T) {
	t.Parallel()
	b, in, inCtx := small(t)
	insert := func(tx pgx.Tx) error {
		_, err := tx.Exec(context.WithoutCancel(t.Context()), `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'a')`)
		return err
	}
	rows := func() int64 { return query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.tweets`) }

	require.NoError(t, in(insert))
	require.EqualValues(t, 1, rows())

	broken := errors.New("broken")
	require.ErrorIs(t, in(func(tx pgx.Tx) error { return errors.Join(insert(tx), broken) }), broken)
	require.EqualValues(t, 1, rows())

	require.Panics(t, func() { _ = in(func(tx pgx.Tx) error { _ = insert(tx); panic("broken") }) })
	require.EqualValues(t, 1, rows())

	// The context ends between two statements: nothing is committed, and the connection comes back, whole.
	var pid, again uint32
	ctx, cancel := context.WithCancel(t.Context())
	err := inCtx(ctx, func(tx pgx.Tx) error {
		pid = tx.Conn().PgConn().PID()
		_ = insert(tx)
		cancel()
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.NoError(t, in(func(tx pgx.Tx) error { again = tx.Conn().PgConn().PID(); return nil }))
	require.Equal(t, pid, again)
	require.EqualValues(t, 1, rows())

	// It ends before the COMMIT.
	ctx, cancel = context.WithCancel(t.Context())
	err = inCtx(ctx, func(tx pgx.Tx) error {
		err := insert(tx)
		cancel()
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, in(func(pgx.Tx) error { return nil }))
	require.EqualValues(t, 1, rows())

	// It ends during a statement.
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = inCtx(ctx, func(tx pgx.Tx) error {
		_ = insert(tx)
		_, err := tx.Exec(ctx, `SELECT pg_sleep(30)`)
		return err
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, in(insert))
	require.EqualValues(t, 2, rows())

	// It has ended before.
	require.Error(t, inCtx(ctx, insert))
	require.EqualValues(t, 2, rows())
}

// The connection dies under the COMMIT: the caller is told that the outcome is not known.
func TestInTxCommitError(t *testing.T) {
	t.Parallel()
	b, in, _ := small(t)
	err := in(func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'a')`); err != nil {
			return err
		}
		var pid int
		if err := tx.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			return err
		}
		require.True(t, query[bool](t, b.db, `SELECT pg_terminate_backend($1, 10000)`, pid))
		return nil
	})
	unknown := new(store.CommitError)
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "commit transaction: ")
	require.Error(t, errors.Unwrap(unknown))
	require.NoError(t, in(func(pgx.Tx) error { return nil }))

	// What failed before the COMMIT is no such error.
	err = in(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT 1 / 0`)
		return err
	})
	require.Error(t, err)
	require.NotErrorAs(t, err, &unknown)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	pool, err := store.Connect(t.Context(), store.Secret(storetest.URL(t)), "tweetqueue test", 2)
	require.NoError(t, err)
	defer pool.Close()
	for name, want := range map[string]string{
		"application_name": "tweetqueue test", "idle_in_transaction_session_timeout": "30s", "jit": "off",
		"lock_timeout": "5s", "TimeZone": "UTC",
	} {
		require.Equal(t, want, query[string](t, pool, `SELECT current_setting($1)`, name))
	}
	require.Equal(t, time.UTC, query[time.Time](t, pool, `SELECT now()`).Location())
	require.EqualValues(t, 2, pool.Config().MaxConns)
}

// TestConnectAsTheURLSays: who runs it may have few connections to give.
func TestConnectAsTheURLSays(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t) + "&pool_max_conns=7"
	pool, err := store.Connect(t.Context(), store.Secret(url), "test", 2)
	require.NoError(t, err)
	defer pool.Close()
	require.EqualValues(t, 7, pool.Config().MaxConns)
	for _, wrong := range []string{"0", "-1", "x"} {
		_, err := store.ParseURL(store.Secret(strings.Replace(url, "=7", "="+wrong, 1)))
		require.ErrorContains(t, err, `its pool_max_conns is "`+wrong+`": use a number from 1`)
	}
	require.Equal(t, "test", query[string](t, pool, `SELECT current_setting('application_name')`))
}

// A connection string that cannot be read, or used, is told without its password.
func TestConnectErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, dsn := range []string{
		"postgres://user:hunter2@127.0.0.1:1/db?sslmode=disable",
		"postgres://user:hunter2@127.0.0.1:port/db",
		"postgres://user:hunter2@127.0.0.1:1/db?sslmode=nonsense",
		"postgres://user:hunter2@127.0.0.1:1/db?pool_max_conns=x",
		"postgres://user:hunter2@[::1/db",
		"postgres://user:hun%ter2@127.0.0.1/db",
		"postgres://user:hunter2 @127.0.0.1/db",
		"postgres://user:hunter2/%zz@127.0.0.1/db",
		"postgres://user:hunter2\n@127.0.0.1/db",
		"postgres://user:a@hunter2@127.0.0.1:port/db",
		"postgres://user:hunter2#@127.0.0.1:port/db",
		"postgres://user:hunter2?@127.0.0.1:port/db",
		"postgresql://user:hunter2@127.0.0.1:99999/db",
		"postgres://127.0.0.1:port/db?password=hunter2",
		"postgres://127.0.0.1:1/db?sslmode=disable&password=hunter2",
		"user=me password=hunter2 host=127.0.0.1 port=x",
		"user=me password='hunter2' host=127.0.0.1 port=x",
		"user=me password='a hunter2' host=127.0.0.1 port=x",
		"user=me password=hunter2 host=127.0.0.1 port=1 sslmode=disable",
		"password = hunter2 host=127.0.0.1 port=x",
		"user=me password='hunter2",
		"hunter2",
	} {
		_, err := store.Connect(ctx, store.Secret(dsn), "test", 1)
		require.Error(t, err, dsn)
		require.NotContains(t, strings.ToLower(err.Error()), "hunter", dsn)
		require.NotContains(t, err.Error(), "ter2", dsn)
	}
}
