package store_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// patience is for what takes milliseconds on a quiet machine.
const patience = 30 * time.Second

// testBundle is a database of the test's own with the account acme, and a worker whose lease lives.
type testBundle struct {
	db        *pgxpool.Pool
	accountID int64
	workerID  int64
}

func setup(t testing.TB) *testBundle {
	t.Helper()
	db := storetest.DB(t)
	workerID, err := store.WorkerStart(t.Context(), db, "tester", migrations.Latest)
	require.NoError(t, err)
	return &testBundle{db: db, accountID: storetest.Account(t, db, storetest.AccountOpts{}), workerID: workerID}
}

// exec runs a statement and returns how many rows it changed.
func exec(t testing.TB, db store.DBTX, sql string, args ...any) int64 {
	t.Helper()
	tag, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	return tag.RowsAffected()
}

// query returns the one value that a query selects.
func query[T any](t testing.TB, db store.DBTX, sql string, args ...any) T {
	t.Helper()
	var value T
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&value))
	return value
}

// queryAll returns the one column that a query selects.
func queryAll[T any](t testing.TB, db store.DBTX, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return values
}

// inTx runs do in a transaction that must succeed.
func inTx(t testing.TB, db *pgxpool.Pool, do func(tx pgx.Tx)) {
	t.Helper()
	require.NoError(t, store.InTx(t.Context(), db, func(tx pgx.Tx) error {
		do(tx)
		return nil
	}))
}

// constraint returns the name of the constraint that an error of the database names.
func constraint(t testing.TB, err error) string {
	t.Helper()
	pgErr := new(pgconn.PgError)
	require.ErrorAs(t, err, &pgErr)
	return pgErr.ConstraintName
}

// sqlState returns the SQLSTATE of an error, or nothing.
func sqlState(err error) string {
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// request is a request for a row, granted now by the database's clock.
func (b *testBundle) request(t testing.TB, db store.DBTX, rowID int64) *store.Request {
	t.Helper()
	now, err := store.Clock(t.Context(), db)
	require.NoError(t, err)
	return &store.Request{
		RowID: rowID, AccountID: b.accountID, JobID: 1, Body: []byte(`{"text":"hello"}`),
		GrantedAt: now, SendBy: now.Add(8 * time.Second),
	}
}

// start makes scheduled rows sending and returns their requests.
func (b *testBundle) start(t testing.TB, kind store.Kind, rowIDs ...int64) []*store.Request {
	t.Helper()
	requests := make([]*store.Request, len(rowIDs))
	for i, id := range rowIDs {
		requests[i] = b.request(t, b.db, id)
	}
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.StartRequests(t.Context(), tx, kind, b.workerID, requests))
	})
	return requests
}

// settle settles one request, and returns what became of its row.
func (b *testBundle) settle(t testing.TB, kind store.Kind, request *store.Request, s store.Settlement) store.Settled {
	t.Helper()
	var settled []store.Settled
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		settled, err = store.Settle(t.Context(), tx, kind, []store.Settlement{settlement(request, s)})
		require.NoError(t, err)
	})
	require.Len(t, settled, 1)
	return settled[0]
}

// settlement completes a settlement by what its request says.
func settlement(request *store.Request, s store.Settlement) store.Settlement {
	s.RequestID, s.RowID, s.AccountID, s.SendBy = request.ID, request.RowID, request.AccountID, request.SendBy
	if s.Outcome == "" {
		s.Outcome = string(s.Status)
	}
	return s
}

// posted is the settlement of a tweet that X created.
func posted(tweetID string) store.Settlement {
	return store.Settlement{Status: store.Posted, TweetID: tweetID, StatusCode: 201}
}

// inState inserts a row of a kind and puts it in a state, past all triggers, as if it had come
// there by a way of its own.
func (b *testBundle) inState(t testing.TB, db store.DBTX, kind store.Kind, status store.Status) int64 {
	t.Helper()
	id := storetest.Row(t, db, kind, "hello", time.Hour)
	exec(t, db, `SET session_replication_role = replica`)
	exec(t, db, transition(kind), id, status)
	exec(t, db, `SET session_replication_role = origin`)
	return id
}

// transition is a statement that brings a row ($1) to a status ($2) with all that goes with it.
func transition(kind store.Kind) string {
	if kind == store.PostTweet {
		return `UPDATE tweetqueue.tweets
SET status = $2, waiting_for = CASE WHEN $2 = 'scheduled' THEN 'time' END,
    request_id = CASE WHEN $2 IN ('sending', 'unconfirmed', 'posted') THEN 1 ELSE request_id END,
    tweet_id = CASE WHEN $2 = 'posted' THEN id::text END,
    posted_at = CASE WHEN $2 = 'posted' THEN tweetqueue.clock() END
WHERE id = $1`
	}
	done := string(kind.Done())
	return `UPDATE tweetqueue.` + table(kind) + `
SET status = $2, waiting_for = CASE WHEN $2 = 'scheduled' THEN 'time' END,
    request_id = CASE WHEN $2 IN ('sending', 'unconfirmed', '` + done + `') THEN 1 ELSE request_id END,
    ` + done + `_at = CASE WHEN $2 = '` + done + `' THEN tweetqueue.clock() END
WHERE id = $1`
}

// table is the name of a kind's table.
func table(kind store.Kind) string { return kind.Queue() }

// testName is a kind's name for a subtest.
func testName(kind store.Kind) string {
	return map[store.Kind]string{store.PostTweet: "Tweets", store.DeleteTweet: "Deletions", store.Retweet: "Retweets"}[kind]
}

// waitBlocked waits until the session of a connection waits for a lock of another.
func waitBlocked(t testing.TB, db store.DBTX, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		return query[bool](t, db, `SELECT cardinality(pg_blocking_pids($1)) > 0`, int64(pid))
	}, patience, 5*time.Millisecond)
}

// background runs do on a transaction of its own, in another goroutine. It returns the session's
// process id, by which waitBlocked finds it, and a function that waits for its end.
func (b *testBundle) background(t testing.TB, do func(ctx context.Context, tx pgx.Tx) error) (uint32, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	conn, err := b.db.Acquire(ctx)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		defer conn.Release()
		done <- pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return do(ctx, tx) })
	}()
	return conn.Conn().PgConn().PID(), func() {
		t.Helper()
		defer cancel()
		require.NoError(t, <-done)
	}
}

// errOf is the error of what returns something else, too.
func errOf(_ bool, err error) error { return err }
