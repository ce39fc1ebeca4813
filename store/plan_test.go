package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// waiting parks that many tweets, none of which is due, as they are after an import.
func (b *testBundle) waiting(t testing.TB, n int) {
	t.Helper()
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text, post_at)
		SELECT 'acme', 'tweet ' || i, tweetqueue.clock() + i * interval '1 minute' FROM generate_series(60, 59 + $1::integer) AS i`, n)
}

// explainer collects the plans of the queries that run on it.
type explainer struct {
	store.DBTX

	t     *testing.T
	plans []string
	ran   []string // names
}

func (e *explainer) explain(sql string, args []any) {
	e.t.Helper()
	e.ran = append(e.ran, strings.Fields(sql)[2])
	e.plans = append(e.plans, strings.Join(queryAll[string](e.t, e.DBTX, "EXPLAIN "+sql, args...), "\n"))
}

func (e *explainer) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	e.explain(sql, args)
	return e.DBTX.Exec(ctx, sql, args...)
}

func (e *explainer) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	e.explain(sql, args)
	return e.DBTX.QueryRow(ctx, sql, args...)
}

func (e *explainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	e.explain(sql, args)
	return e.DBTX.Query(ctx, sql, args...)
}

// With a hundred thousand rows waiting, and half as many done, what every worker does all the time looks
// at none of them. Before and after ANALYZE: a fresh import has no statistics.
func TestWorkersUseIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inTx(t, b.db, func(tx pgx.Tx) {
		exec(t, tx, `SET LOCAL session_replication_role = replica`) // no triggers, for speed
		exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, post_at)
			SELECT 'acme', 'waiting', tweetqueue.clock() + i * interval '1 minute' FROM generate_series(60, 100059) AS i`)
		exec(t, tx, `INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at, state)
			SELECT jsonb_build_object('row_id', id), 'post_tweet', 32767, priority, 'tweets', wake_at, 'pending' FROM tweetqueue.tweets`)
		exec(t, tx, `WITH sent AS (INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by)
				SELECT 'post_tweet', 1000000 + i, $1, $2, i, now(), now() FROM generate_series(1, 50000) AS i RETURNING id, row_id)
			INSERT INTO tweetqueue.tweets (id, account, text, status, waiting_for, tweet_id, posted_at, request_id)
			SELECT row_id, 'acme', 'posted', 'posted', NULL, row_id::text, now(), id FROM sent`, b.accountID, b.workerID)
	})
	doubts := []*store.Request{b.doubt(t, store.PostTweet, "a"), b.doubt(t, store.PostTweet, "b")}
	for _, statistics := range []string{"none", "all"} {
		if statistics == "all" {
			exec(t, b.db, `ANALYZE tweetqueue.tweets, tweetqueue.requests, tweetqueue.river_job`)
		}
		tx := storetest.Tx(t, b.db)
		db := &explainer{DBTX: tx, t: t}
		_, err := store.Promote(t.Context(), db, 1000)
		require.NoError(t, err)
		// Once to find those that are due, once to find the next.
		require.GreaterOrEqual(t, strings.Count(strings.Join(db.plans, "\n"), "tweetqueue_parked_idx"), 2)
		_, err = store.TakeOver(t.Context(), db, 500, 0, []int64{}, 5*time.Second)
		require.NoError(t, err)
		for _, kind := range store.Kinds() {
			_, _, err = store.Sweep(t.Context(), db, kind, store.SweepFrom{}, 500)
			require.NoError(t, err)
		}
		_, err = store.QuotaWaitsSweep(t.Context(), db)
		require.NoError(t, err)
		explainBudgets(t, db, tx, b)
		_, err = store.TweetsUnmeasured(t.Context(), db, time.Minute, 500)
		require.NoError(t, err)
		_, err = store.CancelDeadJobs(t.Context(), db, 500)
		require.NoError(t, err)
		_, err = store.Wake(t.Context(), db, 0, 500)
		require.NoError(t, err)
		_, err = store.EntryGet(t.Context(), db, 1)
		require.NoError(t, err)
		_, err = store.RequestList(t.Context(), db, 1)
		require.NoError(t, err)
		_, err = store.TakeOverJobs(t.Context(), db, 500)
		require.NoError(t, err)
		explainLookUps(t, db, tx, b, doubts)
		for _, plan := range db.plans {
			for _, table := range []string{"river_job", "tweets", "deletions", "retweets", "requests"} {
				require.NotContains(t, plan, "Seq Scan on "+table, "statistics: %s\n%s", statistics, plan)
			}
		}
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// With one account of which many rows wait, the others are not looked for among these.
func TestQuotaWaitsSweepUsesIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 50 {
		storetest.Account(t, b.db, storetest.AccountOpts{Username: fmt.Sprintf("other%d", i), XUserID: fmt.Sprint(1000 + i)})
	}
	inTx(t, b.db, func(tx pgx.Tx) {
		exec(t, tx, `SET LOCAL session_replication_role = replica`)
		exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, waiting_for, next_attempt_at)
			SELECT 'acme', 'waiting', 'quota', 'infinity' FROM generate_series(1, 20000)`)
		exec(t, tx, `INSERT INTO tweetqueue.deletions (account, tweet_id, waiting_for, next_attempt_at)
			SELECT 'acme', i, 'quota', 'infinity' FROM generate_series(1, 20000) AS i`)
	})
	for _, statistics := range []string{"none", "all"} {
		if statistics == "all" {
			exec(t, b.db, `ANALYZE tweetqueue.tweets, tweetqueue.deletions, tweetqueue.accounts`)
		}
		tx := storetest.Tx(t, b.db)
		db := &explainer{DBTX: tx, t: t}
		_, err := store.QuotaWaitsSweep(t.Context(), db)
		require.NoError(t, err)
		require.NoError(t, tx.Rollback(t.Context()))
		for _, plan := range db.plans {
			for _, table := range []string{"tweets", "deletions"} {
				require.NotContains(t, plan, "Seq Scan on "+table, "statistics: %s\n%s", statistics, plan)
			}
		}
	}
}

// txExplainer is an explainer where a transaction is asked for.
type txExplainer struct {
	pgx.Tx

	*explainer
}

func (e txExplainer) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return e.explainer.Exec(ctx, sql, args...)
}

func (e txExplainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return e.explainer.Query(ctx, sql, args...)
}

func (e txExplainer) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return e.explainer.QueryRow(ctx, sql, args...)
}

// explainBudgets runs what keeps to a budget, while one row in a hundred thousand waits for it.
func explainBudgets(t *testing.T, db *explainer, tx pgx.Tx, b *testBundle) {
	t.Helper()
	ctx, explained := t.Context(), txExplainer{Tx: tx, explainer: db}
	exec(t, tx, `UPDATE tweetqueue.accounts SET budget_usd = 1`)
	now, err := store.Clock(ctx, tx)
	require.NoError(t, err)
	_, err = store.BudgetsLock(ctx, explained, []int64{b.accountID}, now)
	require.NoError(t, err)
	id := query[int64](t, tx, `UPDATE tweetqueue.tweets SET waiting_for = 'budget' WHERE id = (SELECT min(id) FROM tweetqueue.tweets WHERE status = 'scheduled') RETURNING id`)
	require.NoError(t, store.BudgetWaitsBegin(ctx, explained, store.PostTweet, now, []store.BudgetWait{{RowID: id, AccountID: b.accountID, HasURL: true}}))
	require.NoError(t, store.BudgetWaitsSweep(ctx, db))
	exec(t, tx, `UPDATE tweetqueue.accounts SET budget_usd = 2`)
	due, err := store.BudgetWaitsDue(ctx, db, 500)
	require.NoError(t, err)
	require.Equal(t, []int64{b.accountID}, due)
	released, err := store.BudgetWaitRelease(ctx, explained, b.accountID, 500)
	require.NoError(t, err)
	require.Equal(t, 1, released)
}

// explainLookUps runs what a look-up runs, and wakes what waited for it.
func explainLookUps(t *testing.T, db *explainer, tx pgx.Tx, b *testBundle, doubts []*store.Request) {
	t.Helper()
	ctx, explained := t.Context(), txExplainer{Tx: tx, explainer: db}
	_, err := store.RowsLock(ctx, explained, store.PostTweet, []int64{doubts[0].RowID})
	require.NoError(t, err)
	ids, err := store.DoubtsLock(ctx, explained, store.PostTweet, b.accountID)
	require.NoError(t, err)
	require.Len(t, ids, 2)
	found, err := store.Doubts(ctx, explained, store.PostTweet, b.accountID, 0)
	require.NoError(t, err)
	require.Len(t, found, 2)
	id, err := store.LookUpStart(ctx, explained, store.PostTweet, store.LookUp{
		AccountID: b.accountID, WorkerID: b.workerID, JobID: 1, RowIDs: ids, SendBy: time.Now(),
	}, time.Minute)
	require.NoError(t, err)
	_, err = store.RequestList(ctx, explained, ids[0])
	require.NoError(t, err)
	_, err = store.TweetIDsKnown(ctx, explained, b.accountID, []string{"1", "2"})
	require.NoError(t, err)
	_, err = store.TweetIDsMade(ctx, explained, b.accountID)
	require.NoError(t, err)
	require.NoError(t, store.LookUpSettle(ctx, explained, store.PostTweet, store.LookUpAnswer{RequestID: id, RowIDs: ids, Outcome: "done"}))
	var resolutions []store.Resolution
	for _, request := range doubts {
		resolutions = append(resolutions, store.Resolution{RowID: request.RowID, RequestID: request.ID, Status: store.Unconfirmed})
	}
	resolved, err := store.Resolve(ctx, explained, store.PostTweet, resolutions)
	require.NoError(t, err)
	require.Len(t, resolved, 2)
	_, err = store.Wake(ctx, db, 0, 500)
	require.NoError(t, err)
}

// An edit of many rows costs each of them the same, whatever the session did before: the plans that
// the triggers keep must not depend on the first statement's size.
func TestBulkEditIsLinear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	b.waiting(t, 4000)
	// edit moves rows, and returns how many milliseconds each trigger took.
	edit := func(rows int) map[string]float64 {
		var plans []struct{ Triggers []map[string]any }
		require.NoError(t, json.Unmarshal(query[[]byte](t, conn, fmt.Sprintf(`EXPLAIN (ANALYZE, FORMAT JSON)
			UPDATE tweetqueue.tweets SET post_at = post_at + interval '1 minute'
			WHERE id IN (SELECT id FROM tweetqueue.tweets ORDER BY id LIMIT %d)`, rows)), &plans))
		times := map[string]float64{}
		for _, trigger := range plans[0].Triggers {
			times[trigger["Trigger Name"].(string)] = trigger["Time"].(float64)
		}
		return times
	}
	edit(1) // plans for one row
	hundred, thousands := edit(100), edit(4000)
	for range 2 {
		for name, time := range edit(100) {
			hundred[name] = min(hundred[name], time)
		}
		for name, time := range edit(4000) {
			thousands[name] = min(thousands[name], time)
		}
	}
	require.Contains(t, thousands, "a_check_status_update")
	require.Contains(t, thousands, "b_park_update")
	for name, time := range thousands {
		// Joins of transition tables that were planned for one row make it 1,600 times as long, not 40.
		require.Less(t, time, 8*40*max(hundred[name], 0.5), "%s takes %.1f ms for 100 rows", name, hundred[name])
	}
}

func BenchmarkPromoteIdle(b *testing.B) {
	bundle := setup(b)
	bundle.waiting(b, 100_000)
	exec(b, bundle.db, `ANALYZE tweetqueue.river_job`)
	for b.Loop() {
		promotion, err := store.Promote(b.Context(), bundle.db, 1000)
		require.NoError(b, err)
		require.Zero(b, promotion.Promoted)
	}
}

func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{1, 1000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			bundle := setup(b)
			for b.Loop() {
				bundle.waiting(b, rows)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows), "µs/row")
		})
	}
}

func BenchmarkEdit(b *testing.B) {
	for _, rows := range []int{1, 1000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			bundle := setup(b)
			bundle.waiting(b, rows)
			for b.Loop() {
				exec(b, bundle.db, `UPDATE tweetqueue.tweets SET post_at = post_at + interval '1 minute'`)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows), "µs/row")
		})
	}
}
