package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// X's answer comes when the row is scheduled again, because nobody knew it. It counts, whatever it is, and
// nothing is sent once more.
func TestSettleLateOfARowScheduledAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		for name, test := range map[string]struct {
			answer store.Settlement
			want   string
		}{
			"Done":   {done(kind), string(kind.Done())},
			"Failed": {store.Settlement{Status: store.Failed, StatusCode: 403, Error: "why"}, "failed"},
			"Waits":  {store.Settlement{Status: store.Scheduled, StatusCode: 429, WaitFor: store.ForQuota, Wait: time.Hour}, "scheduled:quota"},
		} {
			t.Run(testName(kind)+name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				request := b.doubt(t, kind, "a")
				require.True(t, b.resolve(t, kind, request, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
				settled := b.settle(t, kind, request, test.answer)
				require.True(t, settled.Applied)
				require.False(t, settled.PostedTwice)
				require.Equal(t, test.want, storetest.Status(t, b.db, request.RowID))
				require.False(t, b.settle(t, kind, request, store.Settlement{Status: store.Failed}).Applied, "it counts once")
			})
		}
	}
}

// A doubt that comes late takes nothing back.
func TestSettleLateDoubt(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.doubt(t, kind, "a")
			require.True(t, b.resolve(t, kind, request, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
			late := store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "late"}
			require.False(t, b.settle(t, kind, request, late).Applied)
			require.Equal(t, "scheduled:retry", storetest.Status(t, b.db, request.RowID))

			// What a person decides on is not looked up again either.
			left := b.doubt(t, kind, "b")
			b.leave(t, kind, left)
			require.False(t, b.settle(t, kind, left, late).Applied)
			require.Nil(t, query[*time.Time](t, b.db, `SELECT next_attempt_at FROM tweetqueue.waiting WHERE id = $1`, left.RowID))
		})
	}
}

// A row that was settled, and scheduled again by a person, is not settled by what came before.
func TestSettleLateOfASettledRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
	b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Failed, StatusCode: 403, Error: "why"})
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, request.RowID)
	settled := b.settle(t, store.PostTweet, request, posted("1001"))
	require.False(t, settled.Applied)
	require.True(t, settled.PostedTwice, "a tweet that no row has")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, request.RowID))
}

// An answer that the database refuses is left to a person, also if the row was looked up by then.
func TestSettleLeavesADoubtToAPerson(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.doubt(t, kind, "a")
			settled := b.settle(t, kind, request, store.Settlement{Status: store.Unconfirmed, Error: "refused"})
			require.True(t, settled.Applied)
			require.Equal(t, "refused", *settled.Error)
			require.Equal(t, kind == store.PostTweet, settled.Wakes)
			require.Nil(t, settled.NextAt)
			inTx(t, b.db, func(tx pgx.Tx) {
				ids, err := store.DoubtsLock(t.Context(), tx, kind, b.accountID)
				require.NoError(t, err)
				require.Empty(t, ids)
			})
		})
	}
}

// To wait for a limit is no lateness, whatever the row waits for after it; to wait for anything else is.
func TestLateFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lateFrom := func(id int64) time.Time {
		var at time.Time
		inTx(t, b.db, func(tx pgx.Tx) {
			rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, []int64{id})
			require.NoError(t, err)
			require.Len(t, rows, 1)
			at = rows[0].LateFrom
		})
		return at
	}
	wait := func(id int64, what store.WaitingFor, until time.Time) {
		inTx(t, b.db, func(tx pgx.Tx) {
			require.NoError(t, store.WaitRows(t.Context(), tx, store.PostTweet, []store.Wait{{RowID: id, For: what, Until: until}}))
		})
	}
	now := time.Now().Truncate(time.Microsecond)
	id := storetest.Tweet(t, b.db, "a", 0)
	written := query[time.Time](t, b.db, `SELECT greatest(post_at, created_at) FROM tweetqueue.tweets WHERE id = $1`, id)
	require.True(t, written.Equal(lateFrom(id)))
	for _, what := range []store.WaitingFor{store.ForAccount, store.ForApp, store.ForThread, store.ForRetry} {
		wait(id, what, now.Add(time.Hour))
		require.True(t, written.Equal(lateFrom(id)), what)
	}
	place := now.Add(2 * time.Hour)
	wait(id, store.ForQuota, place)
	b.quotaWait(t, "post", place)
	storetest.MoveClock(t, b.db, 2*time.Hour)
	require.Equal(t, 1, b.release(t, "post"))
	place = lateFrom(id)
	require.WithinDuration(t, now.Add(2*time.Hour), place, patience)
	// A doubt of its account, and its end.
	wait(id, store.ForAccount, now.Add(3*time.Hour))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL`)
	require.True(t, place.Equal(lateFrom(id)))
	request := b.start(t, store.PostTweet, id)[0]
	b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Wait: aDay})
	require.True(t, place.Equal(lateFrom(id)))
	// X's own limit counts as ours.
	request = b.start(t, store.PostTweet, id)[0]
	b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota, Wait: aDay})
	storetest.MoveClock(t, b.db, 2*time.Hour+aDay)
	require.Equal(t, 1, b.release(t, "post"))
	require.WithinDuration(t, now.Add(2*time.Hour+aDay), lateFrom(id), patience)
	// A person who schedules it again.
	_, err := store.Cancel(t.Context(), b.db, id)
	require.NoError(t, err)
	storetest.MoveClock(t, b.db, 10*aDay)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
	require.WithinDuration(t, now.Add(10*aDay), lateFrom(id), patience)
}

// X made the tweet of an older request, and says so while the row has no other: it is the row's, and nothing is sent
// any more.
func TestSettleLateOfAnOlderRequest(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"unconfirmed", "scheduled"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := storetest.Tweet(t, b.db, "a", 0)
			older := b.start(t, store.PostTweet, id)[0]
			b.dieAndTakeOver(t)
			exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', waiting_for = 'retry' WHERE id = $1`, id)
			latest := b.start(t, store.PostTweet, id)[0]
			b.dieAndTakeOver(t)
			if status == "scheduled" {
				exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', waiting_for = 'retry' WHERE id = $1`, id)
			}
			settled := b.settle(t, store.PostTweet, older, posted("1001"))
			require.True(t, settled.Applied)
			require.Equal(t, store.Posted, settled.Status)
			settled = b.settle(t, store.PostTweet, latest, posted("1002"))
			require.False(t, settled.Applied)
			require.True(t, settled.PostedTwice)
		})
	}
}
