package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// waitForDoubt makes a row wait for a tweet of its account that is looked up, as a claim does.
func waitForDoubt(t *testing.T, tx pgx.Tx, id, doubt int64) {
	t.Helper()
	now, err := store.Clock(t.Context(), tx)
	require.NoError(t, err)
	require.NoError(t, store.WaitRows(t.Context(), tx, store.PostTweet,
		[]store.Wait{{RowID: id, For: store.ForAccount, Until: now.Add(aDay), Doubt: doubt}}))
}

// waiter inserts a tweet that waits for a doubt.
func (b *testBundle) waiter(t *testing.T, doubt int64) int64 {
	t.Helper()
	id := storetest.Tweet(t, b.db, "waits", 0)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = $1`, id)
	inTx(t, b.db, func(tx pgx.Tx) { waitForDoubt(t, tx, id, doubt) })
	return id
}

// A claim sees the tweet of its account that is looked up, and none that a person decides on, nor another
// account's.
func TestClaimSeesTheDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	ids := []int64{storetest.Tweet(t, b.db, "next", 0), query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text) VALUES ('other', 'a') RETURNING id`)}
	doubts := func() []*int64 {
		var found []*int64
		inTx(t, b.db, func(tx pgx.Tx) {
			rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, ids)
			require.NoError(t, err)
			found = []*int64{rows[0].AccountDoubt, rows[1].AccountDoubt}
		})
		return found
	}
	require.Equal(t, []*int64{nil, nil}, doubts())
	b.doubt(t, store.DeleteTweet, "a deletion keeps nobody waiting")
	require.Equal(t, []*int64{nil, nil}, doubts())
	request := b.doubt(t, store.PostTweet, "a")
	require.Equal(t, []*int64{&request.RowID, nil}, doubts())
	b.leave(t, store.PostTweet, request)
	require.Equal(t, []*int64{nil, nil}, doubts())
}

// However a doubt ends, what waited for it is looked at again.
func TestDoubtWakesAtEveryEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *testBundle, *store.Request){
		"Posted": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			require.True(t, b.resolve(t, store.PostTweet, r, store.Resolution{Status: store.Posted, TweetID: "1001"}))
		},
		"ScheduledAgain": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			require.True(t, b.resolve(t, store.PostTweet, r, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
		},
		"Missed": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			require.True(t, b.resolve(t, store.PostTweet, r, store.Resolution{Status: store.Missed, Error: "late"}))
		},
		"LeftToAPerson": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			b.leave(t, store.PostTweet, r)
		},
		"Answered": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			require.True(t, b.settle(t, store.PostTweet, r, posted("1001")).Wakes)
		},
		"ByHand": func(t *testing.T, b *testBundle, r *store.Request) {
			t.Helper()
			_, err := storetest.ResolveByHand(t, b.db, r.RowID, false, nil, nil)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.doubt(t, store.PostTweet, "a")
			waits := b.waiter(t, request.RowID)
			require.Equal(t, "scheduled:account", storetest.Status(t, b.db, waits))
			require.Greater(t, b.next(t, waits), aDay-time.Hour)
			require.Zero(t, b.wake(t))
			end(t, b, request)
			require.Equal(t, 1, b.wake(t))
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, waits))
			b.requireAwake(t, waits)
			b.requireNoMarks(t)
		})
	}
}

// The last doubt of an account wakes what waited for any of them, and no look-up in between does.
func TestLastDoubtWakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.doubt(t, store.PostTweet, "a"), b.doubt(t, store.PostTweet, "b")
	waits := b.waiter(t, first.RowID)
	b.leave(t, store.PostTweet, first)
	require.Zero(t, b.wake(t))
	b.requireNoMarks(t)
	b.lookUp(t, store.PostTweet, second.RowID)
	require.Zero(t, b.wake(t))
	require.Greater(t, b.next(t, waits), aDay-time.Hour)
	require.True(t, b.resolve(t, store.PostTweet, second, store.Resolution{Status: store.Posted, TweetID: "1001"}))
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, waits)
}

// An account that is held keeps what a doubt held back: the end of the hold wakes it.
func TestDoubtOfAHeldAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.doubt(t, store.PostTweet, "a")
	waits := b.waiter(t, request.RowID)
	require.NoError(t, errOf(store.AccountHold(t.Context(), b.db, b.accountID, store.Paused, "why", "why", 0)))
	b.leave(t, store.PostTweet, request)
	require.Zero(t, b.wake(t))
	b.requireNoMarks(t)
	require.Greater(t, b.next(t, waits), aDay-time.Hour)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state = 'active'`)
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, waits)
	b.requireNoMarks(t)
}

// A row that somebody has locked is woken later; it neither holds up the others nor keeps a worker busy.
func TestDoubtWakesPastALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.doubt(t, store.PostTweet, "a")
	locked, waits := b.waiter(t, request.RowID), b.waiter(t, request.RowID)
	b.leave(t, store.PostTweet, request)
	edit := storetest.Tx(t, b.db)
	exec(t, edit, `UPDATE tweetqueue.tweets SET text = 'edited' WHERE id = $1`, locked)
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, waits)
	woken, err := store.Wake(t.Context(), b.db, 0, 1)
	require.NoError(t, err)
	require.Equal(t, store.Woken{}, woken, "there is nothing to be done at once")
	require.NoError(t, edit.Commit(t.Context()))
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, locked)
	b.requireNoMarks(t)
}

// The doubt ends at the worst moment of a claim that has seen it: before the claim's lock, while it decides,
// and while the end is not committed.
func TestDoubtEndsDuringClaim(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (*testBundle, *store.Request, int64) {
		t.Helper()
		b := setup(t)
		request, id := b.doubt(t, store.PostTweet, "a"), storetest.Tweet(t, b.db, "next", 0)
		exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
		return b, request, id
	}
	t.Run("Before", func(t *testing.T) {
		t.Parallel()
		b, request, id := begin(t)
		claim := storetest.Tx(t, b.db)
		rows, err := store.RowsLock(t.Context(), claim, store.PostTweet, []int64{id})
		require.NoError(t, err)
		require.Equal(t, request.RowID, *rows[0].AccountDoubt)
		b.leave(t, store.PostTweet, request)
		require.Zero(t, b.wake(t), "it does not wait yet")
		waitForDoubt(t, claim, id, request.RowID)
		require.NoError(t, claim.Commit(t.Context()))
		b.requireAwake(t, id)
	})
	t.Run("Within", func(t *testing.T) {
		t.Parallel()
		b, request, id := begin(t)
		claim := storetest.Tx(t, b.db)
		waitForDoubt(t, claim, id, request.RowID)
		lookUp := b.lookUpAnswer(t, request)
		require.ErrorIs(t, store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
			return store.LookUpSettle(t.Context(), tx, store.PostTweet, lookUp)
		}), store.ErrRowLocked, "the end waits for the claim")
		require.NoError(t, claim.Commit(t.Context()))
		require.Greater(t, b.next(t, id), aDay-time.Hour)
		inTx(t, b.db, func(tx pgx.Tx) { require.NoError(t, store.LookUpSettle(t.Context(), tx, store.PostTweet, lookUp)) })
		b.leave(t, store.PostTweet, request)
		require.Equal(t, 1, b.wake(t))
		b.requireAwake(t, id)
	})
	t.Run("NotCommitted", func(t *testing.T) {
		t.Parallel()
		b, request, id := begin(t)
		end := storetest.Tx(t, b.db)
		_, err := store.Resolve(t.Context(), end, store.PostTweet, []store.Resolution{{
			RowID: request.RowID, RequestID: request.ID, Status: store.Posted, TweetID: "1001",
		}})
		require.NoError(t, err)
		inTx(t, b.db, func(tx pgx.Tx) { waitForDoubt(t, tx, id, request.RowID) })
		require.NoError(t, end.Commit(t.Context()))
		b.requireAwake(t, id)
	})
}

// lookUpAnswer begins a look-up past the row's lock, and returns what is to be recorded of it.
func (b *testBundle) lookUpAnswer(t *testing.T, request *store.Request) store.LookUpAnswer {
	t.Helper()
	id := query[int64](t, b.db, `INSERT INTO tweetqueue.requests (kind, looked_for, account_id, worker_id, job_id, granted_at, send_by)
VALUES ('look_up', ARRAY[$1::bigint], $2, $3, 1, now(), now()) RETURNING id`, request.RowID, b.accountID, b.workerID)
	return store.LookUpAnswer{RequestID: id, RowIDs: []int64{request.RowID}, Outcome: "done"}
}
