package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// used is a database with a pool, as after a test.
func used(t *testing.T) (*database, *pgxpool.Pool) {
	t.Helper()
	s, err := start()
	require.NoError(t, err)
	d := s.create(t, "TEMPLATE "+s.template)
	t.Cleanup(func() { d.drop(t) })
	pool, err := store.Connect(t.Context(), store.Secret(d.url), "test", 5)
	require.NoError(t, err)
	d.put(t, client{app: "test", maxConns: 5}, pool)
	return d, pool
}

func run(t *testing.T, db store.DBTX, sql string) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

func get[T any](t *testing.T, db store.DBTX, sql string) (value T) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), sql).Scan(&value), sql)
	return value
}

// TestReset: what one test has done to a database, its connections and by sessions of others is nothing to the next one.
func TestReset(t *testing.T) {
	t.Parallel()
	d, pool := used(t)
	Account(t, pool, AccountOpts{})
	for _, kind := range store.Kinds() {
		Row(t, pool, kind, "hello", 0)
	}
	run(t, pool, `UPDATE tweetqueue.limits SET maximum = maximum + 1`)
	run(t, pool, `DELETE FROM tweetqueue.prices`)
	run(t, pool, `INSERT INTO tweetqueue.river_queue (name, created_at, updated_at) VALUES ('q', now(), now())`)

	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	session := conn.Conn().PgConn().PID()
	for _, sql := range []string{
		`SET lock_timeout = '1s'`, `SET search_path = pg_catalog`, `LISTEN news`, `SELECT pg_advisory_lock(1)`, `CREATE TEMP TABLE mine (id int)`, `NOTIFY news`,
	} {
		run(t, conn, sql)
	}
	run(t, pool, `NOTIFY news`)
	run(t, conn, `SELECT 1`) // with which it comes
	conn.Release()
	foreign, err := pgx.Connect(t.Context(), d.url)
	require.NoError(t, err)
	tx, err := foreign.Begin(t.Context())
	require.NoError(t, err)
	run(t, tx, `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'late')`)

	require.NoError(t, d.reset(t.Context()))
	require.Error(t, tx.Commit(t.Context()))

	conn = nil
	for _, idle := range pool.AcquireAllIdle(t.Context()) {
		defer idle.Release()
		if idle.Conn().PgConn().PID() == session {
			conn = idle
		}
	}
	require.NotNil(t, conn)
	want, err := d.server.contents()
	require.NoError(t, err)
	left, err := readContents(t.Context(), conn.Conn())
	require.NoError(t, err)
	require.Equal(t, want.fingerprint, left.fingerprint)
	require.Equal(t, want.tables, left.tables)
	require.Equal(t, want.sequences, left.sequences)
	require.Equal(t, "5s", get[string](t, conn, `SHOW lock_timeout`))
	require.Equal(t, 0, get[int](t, conn, `SELECT count(*) FROM pg_listening_channels()`))
	require.Equal(t, 0, get[int](t, conn, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`))
	require.True(t, get[bool](t, conn, `SELECT to_regclass('mine') IS NULL`))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = conn.Conn().WaitForNotification(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestResetOfMoreThanRows: what cannot be put back is not used again.
func TestResetOfMoreThanRows(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"Function":   `CREATE OR REPLACE FUNCTION tweetqueue.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`,
		"Trigger":    `ALTER TABLE tweetqueue.tweets DISABLE TRIGGER USER`,
		"Constraint": `ALTER TABLE tweetqueue.tweets ADD CHECK (id > 0)`,
		"Column":     `ALTER TABLE tweetqueue.tweets ADD COLUMN more text`,
		"Default":    `ALTER TABLE tweetqueue.tweets ALTER COLUMN text SET DEFAULT 'x'`,
		"Index":      `CREATE INDEX ON tweetqueue.tweets (text)`,
		"Drop":       `DROP INDEX tweetqueue.requests_account_id_idx`,
		"Truncate":   `TRUNCATE tweetqueue.tweets CASCADE`,
		"Analyze":    `ANALYZE tweetqueue.limits`,
		"Grant":      `GRANT SELECT ON tweetqueue.tweets TO PUBLIC`,
		"Sequence":   `ALTER SEQUENCE tweetqueue.river_job_id_seq INCREMENT 2`,
		"Table":      `CREATE TABLE public.mine (id int)`,
		"Setting":    `DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END$$`,
		"Growth":     `INSERT INTO tweetqueue.river_queue (name, metadata, created_at, updated_at) SELECT i::text, '{}', now(), now() FROM generate_series(1, 20000) AS i`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, pool := used(t)
			run(t, pool, sql)
			require.ErrorIs(t, d.reset(t.Context()), errChanged)
		})
	}
}

// TestResetForgetsPools: a pool that a test has closed, or whose connections it has broken, is not lent again.
func TestResetForgetsPools(t *testing.T) {
	t.Parallel()
	d, _ := used(t)
	for who, spoil := range map[client]func(*pgxpool.Pool){
		{app: "closed", maxConns: 2}: (*pgxpool.Pool).Close,
		{app: "broken", maxConns: 2}: func(pool *pgxpool.Pool) {
			conn, err := pool.Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
			require.Error(t, err)
		},
	} {
		pool, err := store.Connect(t.Context(), store.Secret(d.url), who.app, who.maxConns)
		require.NoError(t, err)
		spoil(pool)
		d.put(t, who, pool)
		require.NoError(t, d.reset(t.Context()))
		require.Nil(t, d.take(who), who.app)
	}
	require.NotNil(t, d.take(client{app: "test", maxConns: 5}))
}
