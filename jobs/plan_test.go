package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// claimer is a worker that does nothing by itself.
func (w *world) claimer() *Worker {
	w.Helper()
	worker := w.newWorker(opts{})
	require.NoError(w, worker.lease.start(w.Context()))
	return worker
}

// claimed is the rows that a claim for a row's job sends.
func (w *world) claimed(worker *Worker, kind store.Kind, rowID int64) []int64 {
	w.Helper()
	claims, _, err := worker.claim(w.Context(), kind, []wakeUp{{jobID: rowID, rowID: rowID}})
	require.NoError(w, err)
	var ids []int64
	for _, claim := range claims {
		ids = append(ids, claim.row.ID)
	}
	return ids
}

// A job that took a better row than its own leaves its own to that one's job; if somebody has it locked by then, it
// comes to it a little later.
func TestJobOfATakenRowFindsTheOtherLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	better, worse := w.tweet("better"), w.tweet("worse")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`) // both have been fetched
	require.Equal(t, []int64{better}, w.claimed(worker, store.PostTweet, worse))
	app := w.application()
	_, err := app.Exec(t.Context(), `UPDATE tweetqueue.tweets SET metadata = '{}' WHERE id = $1`, worse)
	require.NoError(t, err)
	require.Empty(t, w.claimed(worker, store.PostTweet, better))
	require.NoError(t, app.Rollback(t.Context()))
	jobs := storetest.Jobs(t, w.db, better)
	require.Len(t, jobs, 2, "it comes again")
	require.Equal(t, "available", jobs[1].State, "and does not go with its own row, which may wait for something")
	require.True(t, jobs[1].ScheduledAt.After(jobs[0].ScheduledAt))
	require.Equal(t, []int64{worse}, w.claimed(worker, store.PostTweet, better))
}

// seen is how many rows that are due a job sees.
const seen = 8

// A job whose own row is over, and that finds the best ones held since it was read which these are, is another row's by now,
// and comes again.
func TestJobOfATakenRowFindsTheOthersHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	ids := []int64{w.tweet("over")}
	require.Equal(t, ids, w.claimed(worker, store.PostTweet, ids[0]))
	for range seen {
		w.tweet("held")
	}
	left := w.tweet("left")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`)
	err := store.InTx(t.Context(), w.db, func(tx pgx.Tx) error {
		owners, err := store.RowsOwners(t.Context(), tx, store.PostTweet, ids)
		require.NoError(t, err)
		quotas, err := store.QuotasLock(t.Context(), tx, owners.AccountIDs, owners.Actions...)
		require.NoError(t, err)
		now, lines, err := store.Lines(t.Context(), tx, store.PostTweet, ids)
		require.NoError(t, err)
		w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'quota', next_attempt_at = now() + interval '100 years' WHERE text LIKE 'held%'`)
		p := newPlan(store.PostTweet, worker.lease.current(), time.Now().Add(sendWithin), now, 0)
		p.owners, p.quotas, p.lines = owners, quotas, lines
		require.NoError(t, p.run(t.Context(), tx, wakeUp{jobID: 1, rowID: ids[0]}))
		return p.write(t.Context(), tx)
	})
	require.NoError(t, err)
	jobs := storetest.Jobs(t, w.db, ids[0])
	require.Len(t, jobs, 2)
	require.Equal(t, "available", jobs[1].State)
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL, status = 'cancelled' WHERE text LIKE 'held%'`)
	require.Equal(t, []int64{left}, w.claimed(worker, store.PostTweet, ids[0]))
}

// A job whose own row is over, and that finds only rows that wait for their threads, is another row's by now, too.
func TestJobOfATakenRowFindsThreads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	over := w.tweet("over")
	require.Equal(t, []int64{over}, w.claimed(worker, store.PostTweet, over))
	last := over
	for range seen {
		next := w.tweet("next")
		w.exec(`UPDATE tweetqueue.tweets SET previous_id = $2 WHERE id = $1`, next, last)
		last = next
	}
	left := w.tweet("left")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`)
	require.Empty(t, w.claimed(worker, store.PostTweet, over))
	require.Equal(t, "scheduled:thread", w.status(last))
	require.Len(t, storetest.Jobs(t, w.db, over), 2)
	require.Equal(t, []int64{left}, w.claimed(worker, store.PostTweet, over))
}

// A job that has decided on its own row comes not again, whatever is locked before it.
func TestJobOfADecidedRowEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	better, next := w.tweet("better"), w.tweet("next")
	w.exec(`UPDATE tweetqueue.tweets SET previous_id = $2 WHERE id = $1`, next, better)
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`)
	app := w.application()
	_, err := app.Exec(t.Context(), `UPDATE tweetqueue.tweets SET metadata = '{}' WHERE id = $1`, better)
	require.NoError(t, err)
	require.Empty(t, w.claimed(worker, store.PostTweet, next))
	require.Equal(t, "scheduled:thread", w.status(next))
	require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'available'`))
	require.NoError(t, app.Rollback(t.Context()))
}

// A job whose own row is over takes the best one. That one's job, if it is parked, is some other row's, whether the best one is
// sent or waits.
func TestJobOfATakenRowFreesAnother(t *testing.T) {
	t.Parallel()
	for name, maximum := range map[string]int{"Sent": 100, "Waits": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			worker := w.claimer()
			w.exec(`UPDATE tweetqueue.quotas SET maximum = $1 WHERE name = 'posts'`, maximum)
			over, best := w.tweet("over"), w.tweet("best")
			require.Equal(t, []int64{over}, w.claimed(worker, store.PostTweet, over))
			w.exec(`UPDATE tweetqueue.river_job SET state = 'pending', scheduled_at = now() + interval '30 seconds' WHERE (args ->> 'row_id')::bigint = $1`, best)
			sent := w.claimed(worker, store.PostTweet, over)
			require.Equal(t, maximum > 1, slices.Equal(sent, []int64{best}))
			require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1 AND state = 'available'`, best))
		})
	}
}

// What waits for a limit goes before all that is due after it, whichever job comes.
func TestWaitingRowsGoFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	best, better, worse := w.tweet("best"), w.tweet("better"), w.tweet("worse")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`)
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'quota', next_attempt_at = tweetqueue.clock() + interval '100 years' WHERE id = $1`, best)
	require.Empty(t, w.claimed(worker, store.PostTweet, worse))
	require.Empty(t, w.claimed(worker, store.PostTweet, better))
	for _, id := range []int64{better, worse} {
		require.Equal(t, "scheduled:quota", w.status(id))
	}
}

// A row that becomes another account's or another action, while its claim waits for the windows of what it was, is decided on
// when those are locked that it has by then.
func TestOwnersChangeWhileTheClaimWaits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"Action": `UPDATE tweetqueue.deletions SET retweet = true`,
		"App": `WITH other AS (INSERT INTO tweetqueue.apps (name, credentials) SELECT 'other', credentials FROM tweetqueue.apps RETURNING id)
			UPDATE tweetqueue.accounts SET app_id = (SELECT id FROM other)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			worker := w.claimer()
			id := storetest.Deletion(t, w.db, "77", 0)
			holder := w.application()
			_, err := holder.Exec(t.Context(), `SELECT FROM tweetqueue.quotas WHERE name = 'deletions' FOR UPDATE`)
			require.NoError(t, err)
			claims := make(chan []int64)
			go func() { claims <- w.claimed(worker, store.DeleteTweet, id) }()
			w.lockWaits(workerApp, 1)
			_, err = holder.Exec(t.Context(), change)
			require.NoError(t, err)
			require.NoError(t, holder.Commit(t.Context()))
			require.Empty(t, <-claims)
			parked := storetest.Jobs(t, w.db, id)
			require.Equal(t, "pending", parked[len(parked)-1].State)
			require.Equal(t, []int64{id}, w.claimed(worker, store.DeleteTweet, id))
		})
	}
}

// A job may serve a better row than its own. That one's job comes to its own, unless that has waited for something else than its
// time: then it has another job.
func TestRowThatIsLeftHasAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	better, left := w.tweet("better"), w.tweet("left")
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'retry', next_attempt_at = post_at WHERE id = $1`, left)
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running'`) // River has fetched both
	require.Equal(t, []int64{better}, w.claimed(worker, store.PostTweet, left))
	require.Empty(t, w.claimed(worker, store.PostTweet, better), "nobody else's job looks at what waits for a retry")
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1 AND state = 'pending'`, left))
}
