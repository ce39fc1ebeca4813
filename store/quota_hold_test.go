package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// While an account waits, what falls due is not fetched.
func TestHoldWhileTheAccountWaits(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			available, parked := due(t, b.db, kind, "a"), due(t, b.db, kind, "b")
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'pending' WHERE (args ->> 'row_id')::bigint = $1`, parked)
			later := storetest.Row(t, b.db, kind, "c", 10*time.Second)
			more, err := store.QuotaWaitsHold(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.False(t, more)
			b.quotaWait(t, kind.Action(), time.Now().Add(time.Hour))
			for i, want := range []bool{true, true, false} { // no more than asked for at once
				more, err = store.QuotaWaitsHold(t.Context(), b.db, 1)
				require.NoError(t, err)
				require.Equal(t, want, more)
				require.Equal(t, min(i+1, 2), query[int](t, b.db, `SELECT count(*) FROM tweetqueue.waiting WHERE waiting_for = 'quota'`))
				require.Zero(t, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'available'`), "the jobs of both at once")
			}
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, later), "it is not due")
			for _, id := range []int64{available, parked} {
				require.Equal(t, "scheduled:quota", storetest.Status(t, b.db, id))
				jobs := storetest.Jobs(t, b.db, id)
				require.Len(t, jobs, 1)
				require.Equal(t, "pending", jobs[0].State)
			}
			promotion, err := store.Promote(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.Zero(t, promotion.Promoted)
		})
	}
}

// What falls due while its account waits is not promoted, and others' rows are.
func TestPutOffAsItFallsDue(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
			ids := []int64{storetest.Row(t, b.db, kind, "a", time.Minute), storetest.Row(t, b.db, kind, "b", time.Minute)}
			exec(t, b.db, `UPDATE tweetqueue.`+table(kind)+` SET account = 'other' WHERE id = $1`, ids[1])
			b.quotaWait(t, kind.Action(), time.Now().Add(time.Hour))
			storetest.MoveClock(t, b.db, time.Minute)
			promotion, err := store.Promote(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.Equal(t, 1, promotion.Promoted)
			require.Equal(t, 1, promotion.PutOff)
			require.False(t, promotion.More)
			require.Equal(t, "pending", storetest.Jobs(t, b.db, ids[0])[0].State)
			require.Equal(t, "available", storetest.Jobs(t, b.db, ids[1])[0].State)
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, ids[0]))
			_, err = store.QuotaWaitsHold(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.Equal(t, "scheduled:quota", storetest.Status(t, b.db, ids[0]))
		})
	}
}

// Of an account that waits nothing is promoted, however much falls due at once; and what is due of others is, behind some of it.
func TestPromoteBesideABulkThatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT CASE i WHEN 5 THEN 'other' ELSE 'acme' END, 'a', tweetqueue.clock() + i * interval '1 minute' FROM generate_series(1, 35) AS i`)
	b.quotaWait(t, "post", time.Now().Add(2*time.Hour))
	storetest.MoveClock(t, b.db, time.Hour)
	var promoted, putOff int
	for more := true; more; {
		promotion, err := store.Promote(t.Context(), b.db, 10)
		require.NoError(t, err)
		promoted, putOff, more = promoted+promotion.Promoted, putOff+promotion.PutOff, promotion.More
	}
	require.Equal(t, 1, promoted)
	require.Equal(t, 34, putOff)
}

// A job that was put off comes again soon after its account's wait ends: a row that is not held by then is not let go on.
func TestPutOffUntilTheWaitEnds(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]time.Duration{time.Hour: 30 * time.Second, 10 * time.Second: 10 * time.Second, time.Millisecond: time.Millisecond} {
		t.Run(wait.String(), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			available, parked := due(t, b.db, store.PostTweet, "a"), due(t, b.db, store.PostTweet, "b")
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'pending' WHERE (args ->> 'row_id')::bigint = $1`, parked)
			var now, again []time.Time
			inTx(t, b.db, func(tx pgx.Tx) {
				exec(t, tx, `CREATE OR REPLACE FUNCTION tweetqueue.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`) // it stands still
				clock, err := store.Clock(t.Context(), tx)
				require.NoError(t, err)
				require.NoError(t, store.QuotaWaitsBegin(t.Context(), tx, []store.QuotaWait{{AccountID: b.accountID, Action: "post", Until: clock.Add(wait)}}))
				promotion, err := store.Promote(t.Context(), tx, 100)
				require.NoError(t, err)
				require.Equal(t, 1, promotion.PutOff)
				require.InDelta(t, want, *promotion.Next, float64(50*time.Millisecond))
				_, err = store.QuotaWaitsHold(t.Context(), tx, 0) // puts off the other, and holds none
				require.NoError(t, err)
				for _, id := range []int64{available, parked} {
					job := storetest.Jobs(t, tx, id)[0]
					require.Equal(t, "pending", job.State)
					now, again = append(now, clock), append(again, job.ScheduledAt)
				}
			})
			for i := range now {
				require.WithinDuration(t, now[i].Add(want), again[i], 50*time.Millisecond)
			}
		})
	}
}

// What was put off and need not be held any more comes again by itself.
func TestPutOffComesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []int64{due(t, b.db, store.PostTweet, "a"), due(t, b.db, store.PostTweet, "b"), due(t, b.db, store.PostTweet, "c")}
	b.quotaWait(t, "post", time.Now().Add(time.Hour))
	_, err := store.QuotaWaitsHold(t.Context(), b.db, 1)
	require.NoError(t, err)
	exec(t, b.db, `DELETE FROM tweetqueue.quota_waits`)
	_, err = store.QuotaWaitsHold(t.Context(), b.db, 1)
	require.NoError(t, err)
	promotion, err := store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Zero(t, promotion.Promoted)
	storetest.MoveClock(t, b.db, 31*time.Second)
	promotion, err = store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, 2, promotion.Promoted)
	for _, id := range ids {
		waits := storetest.Status(t, b.db, id) == "scheduled:quota"
		require.Equal(t, waits, storetest.Jobs(t, b.db, id)[0].State == "pending")
	}
}

// A job is not put off whose row somebody has locked: a claim may be about to take the row, and leave the job to another.
func TestPutOffPassesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []int64{due(t, b.db, store.PostTweet, "a"), due(t, b.db, store.PostTweet, "b")}
	b.quotaWait(t, "post", time.Now().Add(time.Hour))
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR NO KEY UPDATE`, ids[0])
	_, err := store.QuotaWaitsHold(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, "available", storetest.Jobs(t, b.db, ids[0])[0].State)
	require.Equal(t, "pending", storetest.Jobs(t, b.db, ids[1])[0].State)
}

// What looks at jobs by the thousand finds each by its id, also where the statistics are of a quiet time, in which nothing was
// available, or there are none; and it is planned each time, for a plan that was made for an empty table reads all of it.
func TestJobsByTheThousandUseIndexes(t *testing.T) {
	t.Parallel()
	for _, quiet := range []bool{false, true} {
		t.Run(fmt.Sprintf("Quiet=%t", quiet), func(t *testing.T) {
			t.Parallel()
			jobsByTheThousandUseIndexes(t, quiet)
		})
	}
}

func jobsByTheThousandUseIndexes(t *testing.T, quiet bool) {
	t.Helper()
	b := setup(t)
	jobs := func(state string) {
		inTx(t, b.db, func(tx pgx.Tx) {
			exec(t, tx, `SET LOCAL session_replication_role = replica`)
			exec(t, tx, `WITH rows AS (INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'a' FROM generate_series(1, 20000) RETURNING id)
				INSERT INTO tweetqueue.river_job (args, kind, max_attempts, queue, state, finalized_at)
				SELECT jsonb_build_object('row_id', id), 'post_tweet', 32767, 'tweets', $1::tweetqueue.river_job_state,
					CASE WHEN $1 = 'completed' THEN now() END FROM rows`, state)
		})
	}
	if quiet {
		jobs("completed")
		exec(t, b.db, `ANALYZE tweetqueue.tweets, tweetqueue.river_job`)
	}
	jobs("available")
	for _, each := range []struct {
		name string
		run  func(db store.DBTX) error
	}{
		{"JobsPutLast", func(db store.DBTX) error { _, err := store.JobsPutLast(t.Context(), db); return err }},
		{"JobsPutOff", func(db store.DBTX) error { _, err := store.QuotaWaitsHold(t.Context(), db, 100); return err }},
		{"JobPromote", func(db store.DBTX) error { _, err := store.Promote(t.Context(), db, 1000); return err }},
	} {
		name, run := each.name, each.run
		b.quotaWait(t, "post", time.Now().Add(time.Hour))
		tx := storetest.Tx(t, b.db)
		db := &explainer{DBTX: tx, t: t}
		require.NoError(t, run(db))
		plans := strings.Join(db.plans, "\n")
		require.Contains(t, db.ran, name)
		require.NotContains(t, plans, "Seq Scan on river_job", name)
		require.NotContains(t, plans, "Seq Scan on tweets", name)
		require.NotRegexp(t, `river_job_prioritized_fetching_index on river_job \w+ .*\n\s+Index Cond: .*id = `, plans, name)
		require.NotRegexp(t, `Filter: .*\(id = ANY`, plans, name)
		require.NotContains(t, plans, "tweets_line_idx", name)
		require.NoError(t, tx.Rollback(t.Context()))

		one, err := b.db.Acquire(t.Context())
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, run(one))
		}
		kept := queryAll[string](t, one, `SELECT statement FROM pg_prepared_statements WHERE statement ~ '^-- name: (JobPromote|JobsAreMany|JobsPutLast|JobsPutOff|RowsHold) '`)
		one.Release()
		require.Empty(t, kept, name)
	}
}
