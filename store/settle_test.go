package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// done is the settlement of a request that did what it was for.
func done(kind store.Kind) store.Settlement {
	if kind == store.PostTweet {
		return posted("1001")
	}
	return store.Settlement{Status: kind.Done(), StatusCode: 200}
}

// dieAndTakeOver makes the bundle's worker die with what it is sending.
func (b *testBundle) dieAndTakeOver(t *testing.T) []store.TakenOver {
	t.Helper()
	exec(t, b.db, `UPDATE tweetqueue.workers SET renewed_at = tweetqueue.clock() - interval '12 seconds' WHERE id = $1`, b.workerID)
	taken, err := store.TakeOver(t.Context(), b.db, 100, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	return taken
}

func TestSettleDone(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.start(t, kind, due(t, b.db, kind, "a"))[0]
			s := done(kind)
			s.XTransactionID, s.Answer, s.Limits = "abc", []byte(`{"data":{}}`), map[string]int{"remaining": 3}
			settled := b.settle(t, kind, request, s)
			require.True(t, settled.Applied)
			require.False(t, settled.PostedTwice)
			require.Equal(t, kind.Done(), settled.Status)
			require.Equal(t, "acme", settled.Account)
			require.Nil(t, settled.WaitingFor)
			require.Nil(t, settled.NextAt)
			require.Nil(t, settled.Error)
			require.WithinDuration(t, settled.DueAt, *settled.DoneAt, patience)
			if kind == store.PostTweet {
				require.Equal(t, "1001", *settled.TweetID)
			}

			list, err := store.RequestList(t.Context(), b.db, request.RowID)
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.Equal(t, request.ID, list[0].ID)
			require.Equal(t, "tester", list[0].Worker)
			require.Equal(t, string(kind.Done()), *list[0].Outcome)
			require.Equal(t, s.StatusCode, *list[0].StatusCode)
			require.Equal(t, "abc", *list[0].XTransactionID)
			require.JSONEq(t, `{"text":"hello"}`, *list[0].Body)
			require.Equal(t, `{"data":{}}`, *list[0].Answer)
			require.JSONEq(t, `{"remaining":3}`, string(list[0].Limits))
			require.Nil(t, list[0].Error)
			require.NotNil(t, list[0].AnsweredAt)
		})
	}
}

func TestSettleToEachStatus(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for _, status := range mayFollow(kind)[store.Sending] {
				request := b.start(t, kind, due(t, b.db, kind, "a"))[0]
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE state = 'available'`)
				s := store.Settlement{Status: status, Error: "why"}
				if status == kind.Done() {
					s = done(kind)
				}
				if status == store.Scheduled {
					s.WaitFor, s.Wait, s.Retries = store.ForRetry, time.Hour, 4
				}
				settled := b.settle(t, kind, request, s)
				require.True(t, settled.Applied)
				require.Equal(t, status, settled.Status)
				jobs := storetest.Jobs(t, b.db, request.RowID)
				if status != store.Scheduled {
					require.Len(t, jobs, 1)
					continue
				}
				require.Equal(t, store.ForRetry, *settled.WaitingFor)
				require.WithinDuration(t, time.Now().Add(time.Hour), *settled.NextAt, patience)
				require.Equal(t, "why", *settled.Error)
				require.Len(t, jobs, 2)
				require.Equal(t, "pending", jobs[1].State)
				require.True(t, settled.NextAt.Equal(jobs[1].ScheduledAt))
				require.Equal(t, 4, query[int](t, b.db, `SELECT retries FROM tweetqueue.`+table(kind)+` WHERE id = $1`, request.RowID))
			}
		})
	}
}

// A wait ends at the deadline, at which the row is looked at again, and missed.
func TestSettleWaitsToTheDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	id, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", PostBefore: &deadline}, nil, 0)
	require.NoError(t, err)
	settled := b.settle(t, store.PostTweet, b.start(t, store.PostTweet, id)[0],
		store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota, Wait: aDay})
	require.Equal(t, deadline, *settled.NextAt)
}

func TestSettleTwice(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.start(t, kind, due(t, b.db, kind, "a"))[0]
			first := b.settle(t, kind, request, done(kind))
			require.True(t, first.Applied)
			second := b.settle(t, kind, request, done(kind))
			require.False(t, second.Applied)
			require.False(t, second.PostedTwice)
			first.Applied, first.Frees = false, false
			require.Equal(t, first, second)

			// A row that is settled stays so, whatever else is said of the same request.
			third := b.settle(t, kind, request, store.Settlement{Status: store.Failed, Error: "why"})
			require.False(t, third.Applied)
			require.Equal(t, kind.Done(), third.Status)
		})
	}
}

// The worker was taken for dead, and its answer comes: it is of the row's latest request, so it counts.
func TestSettleLate(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ids := []int64{due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c"), due(t, b.db, kind, "d")}
			requests := b.start(t, kind, ids...)
			require.Len(t, b.dieAndTakeOver(t), 4)

			settled := b.settle(t, kind, requests[0], done(kind))
			require.True(t, settled.Applied)
			require.Equal(t, kind.Done(), settled.Status)
			settled = b.settle(t, kind, requests[1], store.Settlement{Status: store.Failed, Error: "why"})
			require.True(t, settled.Applied)
			require.Equal(t, store.Failed, settled.Status)
			settled = b.settle(t, kind, requests[2], store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota})
			require.True(t, settled.Applied)
			require.Equal(t, store.Scheduled, settled.Status)
			// A doubt adds nothing to a doubt, but what is known is recorded.
			settled = b.settle(t, kind, requests[3], store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "timed out"})
			require.False(t, settled.Applied)
			require.Equal(t, takenOver(kind), settled.Status)
			require.Contains(t, *settled.Error, "the worker tester stopped")
			list, err := store.RequestList(t.Context(), b.db, ids[3])
			require.NoError(t, err)
			require.Equal(t, "timed out", *list[0].Error)
		})
	}
}

// The answer to an older request is recorded only, and says so if it created a second tweet.
func TestSettleOlderRequest(t *testing.T) {
	t.Parallel()
	for name, newer := range map[string]store.Settlement{
		"NewerIsPosted":  posted("2002"),
		"NewerIsFailed":  {Status: store.Failed, Error: "why"},
		"NewerIsSending": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := storetest.Tweet(t, b.db, "a", 0)
			older := b.start(t, store.PostTweet, id)[0]
			b.dieAndTakeOver(t)
			exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', waiting_for = 'time' WHERE id = $1`, id)
			latest := b.start(t, store.PostTweet, id)[0]
			if newer.Status != "" {
				require.True(t, b.settle(t, store.PostTweet, latest, newer).Applied)
			}
			before := storetest.Status(t, b.db, id)

			settled := b.settle(t, store.PostTweet, older, store.Settlement{Status: store.Failed, StatusCode: 403})
			require.False(t, settled.Applied)
			require.False(t, settled.PostedTwice)
			settled = b.settle(t, store.PostTweet, older, posted("1001"))
			require.False(t, settled.Applied)
			require.True(t, settled.PostedTwice)
			require.Equal(t, before, storetest.Status(t, b.db, id))
			list, err := store.RequestList(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, 201, *list[0].StatusCode)
			require.Equal(t, older.ID, list[0].ID)
		})
	}
}

func TestSettleManyInAnyOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []int64{storetest.Tweet(t, b.db, "a", 0), storetest.Tweet(t, b.db, "b", 0), storetest.Tweet(t, b.db, "c", 0)}
	requests := b.start(t, store.PostTweet, ids...)
	inTx(t, b.db, func(tx pgx.Tx) {
		settled, err := store.Settle(t.Context(), tx, store.PostTweet, []store.Settlement{
			settlement(requests[2], store.Settlement{Status: store.Failed, Error: "why"}),
			settlement(requests[0], posted("1001")),
			settlement(requests[1], store.Settlement{Status: store.Unconfirmed}),
		})
		require.NoError(t, err)
		require.Len(t, settled, 3)
	})
	require.Equal(t, []string{"posted", "unconfirmed", "failed"}, []string{
		storetest.Status(t, b.db, ids[0]), storetest.Status(t, b.db, ids[1]), storetest.Status(t, b.db, ids[2]),
	})
}

func TestSettleKeepsBrokenWords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
	settled := b.settle(t, store.PostTweet, request, store.Settlement{
		Status: store.Failed, Error: "no\x00 \xffgood", XTransactionID: "a\xff\x00", Answer: []byte("\x00\xff{}"),
	})
	require.True(t, settled.Applied)
	require.Equal(t, "no\uFFFD \uFFFDgood", *settled.Error)
	list, err := store.RequestList(t.Context(), b.db, request.RowID)
	require.NoError(t, err)
	require.Equal(t, "\uFFFD\uFFFD{}", *list[0].Answer)
	require.Equal(t, "a\uFFFD\uFFFD", *list[0].XTransactionID)
}

func TestSettleSchedulesTheDeletion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, delete_after) VALUES ('acme', 'a', '2 hours') RETURNING id`)
	request := b.start(t, store.PostTweet, id)[0]
	settled := b.settle(t, store.PostTweet, request, posted("1001"))
	b.settle(t, store.PostTweet, request, posted("1001")) // written again: no second deletion
	list, err := store.EntryList(t.Context(), b.db, store.EntryFilter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, store.DeleteTweet, list[0].Kind)
	require.Equal(t, "1001", *list[0].TweetID)
	require.Equal(t, settled.DoneAt.Add(2*time.Hour), list[0].DueAt)
	require.Len(t, storetest.Jobs(t, b.db, list[0].ID), 1)

	id = query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, delete_after) VALUES ('acme', 'b', '2 hours') RETURNING id`)
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, id)[0], store.Settlement{Status: store.Failed})
	require.EqualValues(t, 1, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.deletions`))
}

func TestRelease(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ids := []int64{due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c")}
			committed, settledAlready := b.start(t, kind, ids[0])[0], b.start(t, kind, ids[1])[0]
			committed.Retries = 4 // a release is none
			b.settle(t, kind, settledAlready, done(kind))

			var never *store.Request
			err := store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
				never = b.request(t, tx, ids[2])
				require.NoError(t, store.StartRequests(t.Context(), tx, kind, b.workerID, []*store.Request{never}))
				return fmt.Errorf("the connection broke")
			})
			require.Error(t, err)
			require.NotZero(t, never.ID)

			requests := []*store.Request{committed, settledAlready, never}
			for _, want := range []int{1, 0} { // the second time there is nothing left to release
				inTx(t, b.db, func(tx pgx.Tx) {
					released, err := store.Release(t.Context(), tx, kind, requests, "the outcome of the commit is not known")
					require.NoError(t, err)
					require.Equal(t, want, released)
				})
			}
			require.Equal(t, "scheduled:retry", storetest.Status(t, b.db, ids[0]))
			require.Equal(t, string(kind.Done()), storetest.Status(t, b.db, ids[1]))
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, ids[2]))
			b.requireAwake(t, ids[0])
			require.Equal(t, 4, query[int](t, b.db, `SELECT retries FROM tweetqueue.`+table(kind)+` WHERE id = $1`, ids[0]))
			require.Equal(t, "not_sent", query[string](t, b.db, `SELECT outcome FROM tweetqueue.requests WHERE id = $1`, committed.ID))
		})
	}
}

// The COMMIT of the claim is still on its way when the claim is released.
func TestReleaseDuringTheClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, "a", 0)
	claim := storetest.Tx(t, b.db)
	request := b.request(t, claim, id)
	require.NoError(t, store.StartRequests(t.Context(), claim, store.PostTweet, b.workerID, []*store.Request{request}))

	inTx(t, b.db, func(tx pgx.Tx) {
		_, err := store.Release(t.Context(), tx, store.PostTweet, []*store.Request{request}, "why")
		require.ErrorIs(t, err, store.ErrRowLocked, "it must not take the claim for one that was never committed")
	})
	require.NoError(t, claim.Commit(t.Context()))
	inTx(t, b.db, func(tx pgx.Tx) {
		released, err := store.Release(t.Context(), tx, store.PostTweet, []*store.Request{request}, "why")
		require.NoError(t, err)
		require.Equal(t, 1, released)
	})
	require.Equal(t, "scheduled:retry", storetest.Status(t, b.db, id))
}

// A row that was released, and claimed again, is not released by the claim before.
func TestReleaseOfAnOlderClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, "a", 0)
	older := b.start(t, store.PostTweet, id)[0]
	b.dieAndTakeOver(t)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', waiting_for = 'time' WHERE id = $1`, id)
	b.start(t, store.PostTweet, id)
	inTx(t, b.db, func(tx pgx.Tx) {
		released, err := store.Release(t.Context(), tx, store.PostTweet, []*store.Request{older}, "why")
		require.NoError(t, err)
		require.Zero(t, released)
	})
	require.Equal(t, "sending", storetest.Status(t, b.db, id))
}
