package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// Of an account with many rows that are due some keep their places in River's queue, and the others come last.
func TestJobsPutLast(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "77"})
			for i := range 60 {
				due(t, b.db, kind, fmt.Sprint(i))
			}
			other, urgent := due(t, b.db, kind, "other"), due(t, b.db, kind, "urgent")
			exec(t, b.db, fmt.Sprintf(`UPDATE tweetqueue.%s SET account = 'other' WHERE id = $1`, kind.Queue()), other)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 1 WHERE (args ->> 'row_id')::bigint = $1`, urgent)
			order := func() []int64 {
				return queryAll[int64](t, b.db, `SELECT (args ->> 'row_id')::bigint FROM tweetqueue.river_job
					WHERE state = 'available' ORDER BY priority, scheduled_at, id`)
			}
			before := order()
			require.Len(t, before, 62)
			require.Equal(t, urgent, before[0])
			require.Equal(t, other, before[61])

			put, err := store.JobsPutLast(t.Context(), b.db)
			require.NoError(t, err)
			require.Equal(t, 11, put)
			require.Equal(t, slices.Concat(before[:50], []int64{other}, before[50:61]), order())
			put, err = store.JobsPutLast(t.Context(), b.db)
			require.NoError(t, err)
			require.Zero(t, put)
			require.Equal(t, slices.Concat(before[:50], []int64{other}, before[50:61]), order())

			// When few are left, some come behind what is due by then, unless the account waits.
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = ANY ($1)`, before[:43])
			b.quotaWait(t, kind.Action(), time.Now().Add(time.Hour))
			for _, raised := range []int{0, 3} {
				put, err = store.JobsPutLast(t.Context(), b.db)
				require.NoError(t, err)
				require.Zero(t, put)
				require.Equal(t, slices.Concat(before[43:50], []int64{other}, before[50:61]), order())
				require.Equal(t, 11-raised, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.river_job WHERE priority = 4`))
				exec(t, b.db, `DELETE FROM tweetqueue.quota_waits`)
			}
		})
	}
}

// What somebody has locked keeps its place, and what has the last priority of itself.
func TestJobsPutLastPassesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	for i := range 60 {
		ids = append(ids, due(t, b.db, store.PostTweet, fmt.Sprint(i)))
	}
	exec(t, b.db, `UPDATE tweetqueue.tweets SET priority = 4 WHERE id = $1`, ids[0])
	exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 4 WHERE (args ->> 'row_id')::bigint = $1`, ids[0])
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1 FOR UPDATE`, ids[52])
	put, err := store.JobsPutLast(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, 8, put)
	last := slices.Concat([]int64{ids[0], ids[51]}, ids[53:])
	for range 2 {
		require.Equal(t, last, queryAll[int64](t, b.db,
			`SELECT (args ->> 'row_id')::bigint FROM tweetqueue.river_job WHERE priority = 4 GROUP BY 1 ORDER BY 1`))
		exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE priority < 4 AND (args ->> 'row_id')::bigint <> $1`, ids[52])
		exec(t, b.db, `INSERT INTO tweetqueue.quota_waits (account_id, action, until) VALUES ($1, 'post', 'infinity')`, b.accountID)
		put, err = store.JobsPutLast(t.Context(), b.db)
		require.NoError(t, err)
		require.Zero(t, put)
		exec(t, b.db, `DELETE FROM tweetqueue.quota_waits`)
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

// The parked job of a row that was taken by another's job, whose own row is over, goes on for whoever needs it.
func TestFreeJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken, other := due(t, b.db, store.PostTweet, "a"), due(t, b.db, store.PostTweet, "b")
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'pending', scheduled_at = now() + interval '30 seconds'`)
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.FreeJobs(t.Context(), tx, []int64{taken}))
		exec(t, tx, `UPDATE tweetqueue.tweets SET waiting_for = 'quota', next_attempt_at = now() + interval '1 hour' WHERE id = $1`, taken)
	})
	var states []string
	for _, job := range storetest.Jobs(t, b.db, taken) {
		states = append(states, job.State)
	}
	require.ElementsMatch(t, []string{"available", "pending"}, states, "its own, that waits with it, and the one that goes on")
	require.Equal(t, "pending", storetest.Jobs(t, b.db, other)[0].State)
}

// What looks at jobs by the thousand finds each by its id, also where the statistics are of a quiet time, in which nothing was
// available; and it is planned each time, for a plan that was made for an empty table reads all of it.
func TestJobsByTheThousandUseIndexes(t *testing.T) {
	t.Parallel()
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
	jobs("completed")
	exec(t, b.db, `ANALYZE tweetqueue.tweets, tweetqueue.river_job`)
	jobs("available")
	for _, each := range []struct {
		name string
		run  func(db store.DBTX) error
	}{
		{"JobsPutLast", func(db store.DBTX) error { _, err := store.JobsPutLast(t.Context(), db); return err }},
		{"JobsPutOff", func(db store.DBTX) error { _, err := store.QuotaWaitsHold(t.Context(), db, 100); return err }},
		{"JobPromote", func(db store.DBTX) error { _, _, err := store.Promote(t.Context(), db, 1000); return err }},
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
		require.NoError(t, tx.Rollback(t.Context()))

		one, err := b.db.Acquire(t.Context())
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, run(one))
		}
		kept := queryAll[string](t, one, `SELECT statement FROM pg_prepared_statements WHERE statement ~ '^-- name: (JobPromote|JobsAreMany|JobsPutLast|JobsPutOff|JobsPutOffAgain|RowsHold) '`)
		one.Release()
		require.Empty(t, kept, name)
	}
}
