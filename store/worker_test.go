package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	alive := func() int {
		n, err := store.WorkersAlive(t.Context(), b.db)
		require.NoError(t, err)
		return n
	}
	second, err := store.WorkerStart(t.Context(), b.db, "second", migrations.Latest)
	require.NoError(t, err)
	require.Equal(t, 2, alive())

	storetest.MoveClock(t, b.db, 11*time.Second)
	renew := func() {
		require.NoError(t, store.WorkerRenew(t.Context(), b.db, b.workerID))
	}
	renew()
	storetest.MoveClock(t, b.db, 13*time.Second)
	require.Equal(t, 1, alive())
	// It does not come back to life: its rows may have been taken over.
	require.ErrorIs(t, store.WorkerRenew(t.Context(), b.db, second), store.ErrLostRace)
	renew()

	require.NoError(t, store.WorkerStop(t.Context(), b.db, b.workerID))
	require.NoError(t, store.WorkerStop(t.Context(), b.db, b.workerID))
	require.Equal(t, 0, alive())
	for _, id := range []int64{b.workerID, 12345} {
		require.ErrorIs(t, store.WorkerRenew(t.Context(), b.db, id), store.ErrLostRace)
	}
}

// A worker that is too old for the database can neither renew its lease nor begin one; it can still end it.
func TestLeaseOfAnOldWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES ($1, 8, $1)`, migrations.Latest+1)
	err := store.WorkerRenew(t.Context(), b.db, b.workerID)
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "the worker tester is too old for the database")
	_, err = store.WorkerStart(t.Context(), b.db, "old", migrations.Latest)
	require.ErrorIs(t, err, store.ErrRefused)
	_, err = store.WorkerStart(t.Context(), b.db, "new", migrations.Latest+1)
	require.NoError(t, err)
	require.NoError(t, store.WorkerStop(t.Context(), b.db, b.workerID))

	// One of before migration 9 says nothing of what it knows.
	tx := storetest.Tx(t, b.db)
	require.Equal(t, "workers_knows_check", constraint(t, attempt(t, tx, `INSERT INTO tweetqueue.workers (name) VALUES ('older')`)))
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	living, err := store.WorkerStart(t.Context(), b.db, "living", migrations.Latest)
	require.NoError(t, err)
	var ids, jobs []int64
	for _, kind := range store.Kinds() {
		for range 2 {
			id := due(t, b.db, kind, "a")
			request := b.request(t, b.db, id)
			request.JobID = storetest.Jobs(t, b.db, id)[0].ID
			tx := storetest.Tx(t, b.db)
			require.NoError(t, store.StartRequests(t.Context(), tx, kind, b.workerID, []*store.Request{request}))
			require.NoError(t, tx.Commit(t.Context()))
			ids, jobs = append(ids, id), append(jobs, request.JobID)
		}
	}
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE id <> $1`, jobs[1])
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'completed', finalized_at = now() WHERE id = $1`, jobs[1])
	dead := b.workerID
	b.workerID = living
	other := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "b", 0))[0].RowID

	taken, err := store.TakeOver(t.Context(), b.db, 10, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	require.Empty(t, taken)

	// A worker that said goodbye is dead at once, as one is whose lease ran out.
	require.NoError(t, store.WorkerStop(t.Context(), b.db, dead))
	taken, err = store.TakeOver(t.Context(), b.db, 1, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	for i := range taken {
		require.Equal(t, b.accountID, taken[i].AccountID)
		require.Equal(t, taken[i].Kind.Action(), taken[i].Action)
		require.WithinDuration(t, time.Now(), taken[i].SendBy, patience)
		taken[i].AccountID, taken[i].Action, taken[i].SendBy = 0, "", time.Time{}
	}
	require.Equal(t, []store.TakenOver{
		{Kind: store.PostTweet, RowID: ids[0], Status: store.Unconfirmed, Worker: "tester"},
		{Kind: store.DeleteTweet, RowID: ids[2], Status: store.Scheduled, Worker: "tester"},
		{Kind: store.Retweet, RowID: ids[4], Status: store.Scheduled, Worker: "tester"},
	}, taken)
	taken, err = store.TakeOver(t.Context(), b.db, 10, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	require.Len(t, taken, 3)
	taken, err = store.TakeOver(t.Context(), b.db, 10, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	require.Empty(t, taken)

	for i, id := range ids {
		entry, err := store.EntryGet(t.Context(), b.db, id)
		require.NoError(t, err)
		require.Equal(t, takenOver(entry.Kind), entry.Status)
		require.Contains(t, *entry.Error, "the worker tester stopped")
		// A new job: it looks for the tweet, or deletes it again.
		list := storetest.Jobs(t, b.db, id)
		require.Len(t, list, 2)
		require.Equal(t, "pending", list[1].State)
		require.True(t, entry.NextAttemptAt.Equal(list[1].ScheduledAt))
		want := "cancelled"
		if i == 1 {
			want = "completed"
		}
		require.Equal(t, want, query[string](t, b.db, `SELECT state::text FROM tweetqueue.river_job WHERE id = $1 AND finalized_at IS NOT NULL`, jobs[i]))
	}
	require.Equal(t, "sending", storetest.Status(t, b.db, other))
}

// takenOver is what a row becomes whose worker died: a tweet is looked up, anything else repeated.
func takenOver(kind store.Kind) store.Status {
	if kind == store.PostTweet {
		return store.Unconfirmed
	}
	return store.Scheduled
}

// A worker takes over from itself what it lost: claimed a while ago, and worked on no more.
func TestTakeOverOfOnesOwn(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			requests := b.start(t, kind, due(t, b.db, kind, "a"), due(t, b.db, kind, "b"))
			other, err := store.WorkerStart(t.Context(), b.db, "other", migrations.Latest)
			require.NoError(t, err)
			take := func(own int64, working ...int64) []store.TakenOver {
				exec(t, b.db, `UPDATE tweetqueue.workers SET renewed_at = tweetqueue.clock()`)
				taken, err := store.TakeOver(t.Context(), b.db, 10, own, append([]int64{}, working...), 5*time.Second)
				require.NoError(t, err)
				return taken
			}
			require.Empty(t, take(b.workerID)) // it may be about to work on them
			storetest.MoveClock(t, b.db, 2*time.Minute)
			require.Empty(t, take(other))
			require.Empty(t, take(b.workerID, requests[0].ID, requests[1].ID))
			taken := take(b.workerID, requests[1].ID)
			require.Len(t, taken, 1)
			require.Equal(t, requests[0].RowID, taken[0].RowID)
			require.Equal(t, takenOver(kind), taken[0].Status)
			require.Equal(t, "sending", storetest.Status(t, b.db, requests[1].RowID))
		})
	}
}

// A row that is just being settled is left to the settlement.
func TestTakeOverPassesOverLockedRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
	require.NoError(t, store.WorkerStop(t.Context(), b.db, b.workerID))
	settle := storetest.Tx(t, b.db)
	require.NoError(t, settleFirst(t.Context(), settle, request))
	taken, err := store.TakeOver(t.Context(), b.db, 10, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	require.Empty(t, taken)
	require.NoError(t, settle.Commit(t.Context()))
	require.Equal(t, "posted", storetest.Status(t, b.db, request.RowID))
}

// What a dead worker had fetched and not claimed has another job; what is claimed is not touched, nor what lives.
func TestTakeOverJobs(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := store.WorkerStart(t.Context(), b.db, "dead", migrations.Latest)
			require.NoError(t, err)
			storetest.MoveClock(t, b.db, 13*time.Second)
			_, err = store.WorkerStart(t.Context(), b.db, "living", migrations.Latest)
			require.NoError(t, err)
			fetched := func(id int64, by string) {
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running', attempted_by = ARRAY['another', $2]
					WHERE state <> 'pending' AND (args ->> 'row_id')::bigint = $1`, id, by)
			}
			lost, twice, kept, over := due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c"), due(t, b.db, kind, "d")
			fetched(lost, "dead")
			fetched(twice, "dead")
			inTx(t, b.db, func(tx pgx.Tx) { require.NoError(t, store.RowsPark(t.Context(), tx, kind, []int64{twice})) })
			fetched(kept, "living")
			fetched(over, "dead")
			exec(t, b.db, `UPDATE tweetqueue.`+table(kind)+` SET status = 'cancelled' WHERE id = $1`, over)
			// The job of one is claimed for another row.
			other, claimed := due(t, b.db, kind, "e"), b.start(t, kind, due(t, b.db, kind, "f"))[0]
			fetched(other, "dead")
			exec(t, b.db, `UPDATE tweetqueue.requests SET job_id = $2 WHERE id = $1`, claimed.ID, storetest.Jobs(t, b.db, other)[0].ID)
			states := func(id int64) []string {
				return queryAll[string](t, b.db, `SELECT state::text FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1 ORDER BY id`, id)
			}
			taken, err := store.TakeOverJobs(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.Equal(t, 3, taken)
			require.Equal(t, []string{"cancelled", "pending"}, states(lost))
			require.Equal(t, []string{"cancelled", "pending", "available"}, states(twice))
			require.Equal(t, []string{"running"}, states(kept))
			require.Equal(t, []string{"cancelled", "available"}, states(over))
			require.Equal(t, []string{"running"}, states(other), "TakeOver finalises it")
			taken, err = store.TakeOverJobs(t.Context(), b.db, 100)
			require.NoError(t, err)
			require.Zero(t, taken)
		})
	}
}

func TestPromote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tweet, deletion := storetest.Tweet(t, b.db, "a", time.Minute), storetest.Deletion(t, b.db, "77", 2*time.Minute)
	later := storetest.Tweet(t, b.db, "b", time.Hour)
	promotion, err := store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Zero(t, promotion.Promoted)
	require.InDelta(t, time.Minute, *promotion.Next, float64(patience))

	conn, err := b.db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	exec(t, conn, `LISTEN "tweetqueue.river_insert"`)
	storetest.MoveClock(t, b.db, 30*time.Minute)
	promotion, err = store.Promote(t.Context(), b.db, 1)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	require.InDelta(t, 30*time.Minute, *promotion.Next, float64(patience))
	promotion, err = store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	for _, id := range []int64{tweet, deletion} {
		require.Equal(t, "available", storetest.Jobs(t, b.db, id)[0].State)
	}
	require.Equal(t, "pending", storetest.Jobs(t, b.db, later)[0].State)
	for _, queue := range []string{"tweets", "deletions"} {
		notification, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		require.JSONEq(t, `{"queue":"`+queue+`"}`, notification.Payload)
	}

	storetest.MoveClock(t, b.db, 2*time.Hour)
	promotion, err = store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	require.Nil(t, promotion.Next)
}

// A job that failed runs again by the database's clock, after 2, 5 and then 15 s, whatever River's leader has made of it.
func TestPromoteTakesJobsThatFailed(t *testing.T) {
	t.Parallel()
	for attempt, wait := range map[int]time.Duration{1: 2 * time.Second, 2: 5 * time.Second, 3: 15 * time.Second, 30: 15 * time.Second} {
		for _, state := range []string{"available", "retryable"} {
			t.Run(fmt.Sprintf("%sAfter%d", state, attempt), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				id := storetest.Tweet(t, b.db, "a", 0)
				failed := func(ago time.Duration) int {
					exec(t, b.db, `UPDATE tweetqueue.river_job SET state = $1, attempt = $2, attempted_at = tweetqueue.clock() - $3::interval,
						scheduled_at = tweetqueue.clock() + interval '2 minutes'`, state, attempt, ago)
					_, err := store.Promote(t.Context(), b.db, 100)
					require.NoError(t, err)
					return query[int](t, b.db, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'available' AND scheduled_at <= tweetqueue.clock()`)
				}
				require.Zero(t, failed(wait-1500*time.Millisecond))
				require.Equal(t, 1, failed(wait))
				require.Equal(t, "available", storetest.Jobs(t, b.db, id)[0].State)
			})
		}
	}
}

// While another application's transaction holds one due row, all others are promoted.
func TestPromotePassesOverLockedJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, free := storetest.Tweet(t, b.db, "a", time.Minute), storetest.Tweet(t, b.db, "b", time.Minute)
	edit := storetest.Tx(t, b.db)
	exec(t, edit, `UPDATE tweetqueue.tweets SET priority = 1 WHERE id = $1`, held)
	storetest.MoveClock(t, b.db, time.Hour)
	promotion, err := store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	require.Equal(t, "available", storetest.Jobs(t, b.db, free)[0].State)
	require.NoError(t, edit.Commit(t.Context()))
	promotion, err = store.Promote(t.Context(), b.db, 100)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
}

// sweep looks at all that is overdue, two rows at a time.
func (b *testBundle) sweep(t testing.TB, kind store.Kind) int {
	t.Helper()
	all, from := 0, store.SweepFrom{}
	for {
		swept, next, err := store.Sweep(t.Context(), b.db, kind, from, 2)
		require.NoError(t, err)
		all += swept
		if next == (store.SweepFrom{}) {
			return all
		}
		require.NotEqual(t, from, next)
		from = next
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			lost, cancelled, living := due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c")
			stuck, running := due(t, b.db, kind, "e"), due(t, b.db, kind, "f") // the one's worker died before it had claimed
			sending := b.start(t, kind, due(t, b.db, kind, "d"))[0].RowID
			exec(t, b.db, `DELETE FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint IN ($1, $2)`, lost, sending)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = now() WHERE (args ->> 'row_id')::bigint = $1`, cancelled)

			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running', attempted_at = tweetqueue.clock() WHERE (args ->> 'row_id')::bigint = $1`, stuck)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running', attempted_at = tweetqueue.clock() + interval '2 minutes' WHERE (args ->> 'row_id')::bigint = $1`, running)

			swept := b.sweep(t, kind)
			require.Zero(t, swept) // they have been due for a moment only
			storetest.MoveClock(t, b.db, 2*time.Minute)
			swept = b.sweep(t, kind)
			require.Equal(t, 3, swept)
			swept = b.sweep(t, kind)
			require.Zero(t, swept)
			require.Len(t, storetest.Jobs(t, b.db, lost), 1)
			require.Equal(t, "available", storetest.Jobs(t, b.db, lost)[0].State)
			require.Len(t, storetest.Jobs(t, b.db, cancelled), 2)
			require.Len(t, storetest.Jobs(t, b.db, living), 1)
			require.Len(t, storetest.Jobs(t, b.db, running), 1)
			require.Len(t, storetest.Jobs(t, b.db, stuck), 2)
			require.Equal(t, "cancelled", storetest.Jobs(t, b.db, stuck)[0].State)
			require.Empty(t, storetest.Jobs(t, b.db, sending))
			require.Equal(t, kind.Queue(), query[string](t, b.db, `SELECT queue FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1`, lost))
		})
	}
}

// A job whose worker died after it had settled the row has nothing left to do.
func TestCancelDeadJobs(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			settled, sending, scheduled := due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c")
			b.settle(t, kind, b.start(t, kind, settled)[0], done(kind))
			b.start(t, kind, sending)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running', attempted_at = tweetqueue.clock()`)
			cancelled, err := store.CancelDeadJobs(t.Context(), b.db, 10)
			require.NoError(t, err)
			require.Zero(t, cancelled)
			storetest.MoveClock(t, b.db, 61*time.Minute)
			cancelled, err = store.CancelDeadJobs(t.Context(), b.db, 10)
			require.NoError(t, err)
			require.Equal(t, 1, cancelled)
			require.Equal(t, "cancelled", storetest.Jobs(t, b.db, settled)[0].State)
			require.Equal(t, "running", storetest.Jobs(t, b.db, sending)[0].State)
			require.Equal(t, "running", storetest.Jobs(t, b.db, scheduled)[0].State)
		})
	}
}

func TestRowsPark(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			parked, early, sending := due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), b.start(t, kind, due(t, b.db, kind, "c"))[0].RowID
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'pending' WHERE (args ->> 'row_id')::bigint = $1`, parked)
			tx := storetest.Tx(t, b.db)
			require.NoError(t, store.RowsPark(t.Context(), tx, kind, []int64{parked, early, sending, 12345}))
			require.Len(t, storetest.Jobs(t, tx, parked), 1)
			require.Len(t, storetest.Jobs(t, tx, early), 2)
			require.Equal(t, "pending", storetest.Jobs(t, tx, early)[1].State)
			require.Len(t, storetest.Jobs(t, tx, sending), 1)
		})
	}
}
