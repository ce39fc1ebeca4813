package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// A row whose own job has served a better one gets that one's, and at once, also if that was put off.
func TestSwapJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken, left := due(t, b.db, store.PostTweet, "a"), due(t, b.db, store.PostTweet, "b")
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = $1`, left)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'pending', scheduled_at = now() + interval '30 seconds' WHERE (args ->> 'row_id')::bigint = $1`, taken)
	inTx(t, b.db, func(tx pgx.Tx) {
		parked, err := store.SwapJobs(t.Context(), tx, []store.Swap{{Taken: left, Left: left}, {Taken: taken, Left: left}})
		require.NoError(t, err)
		require.EqualValues(t, 1, parked)
	})
	require.Empty(t, storetest.Jobs(t, b.db, taken))
	promotion, err := store.Promote(t.Context(), b.db, 10)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	var states []string
	for _, job := range storetest.Jobs(t, b.db, left) {
		states = append(states, job.State)
	}
	require.ElementsMatch(t, []string{"running", "available"}, states)
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
