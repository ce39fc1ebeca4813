package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// doubt brings a new row of a kind into doubt, to be looked up now, and returns its request.
func (b *testBundle) doubt(t testing.TB, kind store.Kind, name string) *store.Request {
	t.Helper()
	request := b.start(t, kind, due(t, b.db, kind, name))[0]
	settled := b.settle(t, kind, request, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "timed out"})
	require.Equal(t, store.Unconfirmed, settled.Status)
	return request
}

// resolve brings one row to what was found out. It returns false if it changed nothing.
func (b *testBundle) resolve(t testing.TB, kind store.Kind, request *store.Request, r store.Resolution) bool {
	t.Helper()
	r.RowID, r.RequestID = request.RowID, request.ID
	var resolved []store.Settled
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		resolved, err = store.Resolve(t.Context(), tx, kind, []store.Resolution{r})
		require.NoError(t, err)
	})
	return len(resolved) == 1
}

// leave leaves a doubt to a person.
func (b *testBundle) leave(t testing.TB, kind store.Kind, request *store.Request) {
	t.Helper()
	require.True(t, b.resolve(t, kind, request, store.Resolution{Status: store.Unconfirmed, Error: "nobody knows"}))
}

func (b *testBundle) lookUp(t testing.TB, kind store.Kind, rowIDs ...int64) int64 {
	t.Helper()
	var id int64
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		id, err = store.LookUpStart(t.Context(), tx, kind, store.LookUp{
			AccountID: b.accountID, WorkerID: b.workerID, JobID: 1, RowIDs: rowIDs, SendBy: time.Now(),
		}, time.Minute)
		require.NoError(t, err)
	})
	return id
}

// A row in doubt has one job, at its next look-up, until a person decides.
func TestDoubtHasAJob(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.doubt(t, kind, "a")
			parked := func() []time.Time {
				return queryAll[time.Time](t, b.db, `SELECT scheduled_at FROM tweetqueue.river_job
WHERE state = 'pending' AND kind = $1 AND queue = $2 AND (args ->> 'row_id')::bigint = $3`, kind, kind.Queue(), request.RowID)
			}
			next := func() time.Time {
				return query[time.Time](t, b.db, `SELECT next_attempt_at FROM tweetqueue.waiting WHERE id = $1`, request.RowID)
			}
			require.Equal(t, []time.Time{next()}, parked())
			b.lookUp(t, kind, request.RowID)
			require.WithinDuration(t, time.Now().Add(time.Minute), next(), soon/2)
			require.Equal(t, []time.Time{next()}, parked())
			at := time.Now().Add(3 * time.Hour).Truncate(time.Microsecond)
			require.True(t, b.resolve(t, kind, request, store.Resolution{Status: store.Unconfirmed, NextAt: &at, Retries: 3}))
			require.True(t, at.Equal(next()))
			require.Equal(t, []time.Time{next()}, parked())
			require.Equal(t, 3, query[int](t, b.db, `SELECT retries FROM tweetqueue.`+table(kind)+` WHERE id = $1`, request.RowID))
		})
	}
}

func TestDoubtsLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	first, locked, left := b.doubt(t, store.PostTweet, "a"), b.doubt(t, store.PostTweet, "b"), b.doubt(t, store.PostTweet, "c")
	last := b.doubt(t, store.PostTweet, "d")
	b.leave(t, store.PostTweet, left)
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "being sent", 0))
	other := b.doubt(t, store.PostTweet, "e")
	exec(t, b.db, `UPDATE tweetqueue.tweets SET account = 'OTHER' WHERE id = $1`, other.RowID)
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, locked.RowID)
	inTx(t, b.db, func(tx pgx.Tx) {
		ids, err := store.DoubtsLock(t.Context(), tx, store.PostTweet, b.accountID)
		require.NoError(t, err)
		require.Equal(t, []int64{first.RowID, last.RowID}, ids)
		require.ErrorIs(t, store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
			_, err := store.Settle(t.Context(), tx, store.PostTweet, []store.Settlement{settlement(first, posted("1001"))})
			return err
		}), store.ErrRowLocked, "they are locked")
	})
	inTx(t, b.db, func(tx pgx.Tx) {
		ids, err := store.DoubtsLock(t.Context(), tx, store.DeleteTweet, b.accountID)
		require.NoError(t, err)
		require.Empty(t, ids)
	})
}

// The doubts of an account with all requests that may have taken effect, and no others.
func TestDoubts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	id, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", IfUnconfirmed: "hold", PostBefore: &deadline}, nil, 0)
	require.NoError(t, err)
	again := func(request *store.Request, s store.Settlement) {
		b.settle(t, store.PostTweet, request, s)
		if s.Status == store.Unconfirmed {
			require.True(t, b.resolve(t, store.PostTweet, request, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
		}
	}
	unclear := b.start(t, store.PostTweet, id)[0]
	again(unclear, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "timed out"})
	refused := b.start(t, store.PostTweet, id)[0]
	again(refused, store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota, StatusCode: 429})
	duplicate := b.start(t, store.PostTweet, id)[0]
	b.settle(t, store.PostTweet, duplicate, store.Settlement{
		Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "said before", StatusCode: 403, Retries: 2, Answer: []byte(`{"status":403}`),
	})
	left := b.doubt(t, store.PostTweet, "left to a person")
	b.leave(t, store.PostTweet, left)
	sending := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "being sent", 0))[0]
	storetest.Tweet(t, b.db, "never sent", 0)
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "posted", 0))[0], posted("1001"))

	doubts, err := store.Doubts(t.Context(), b.db, store.PostTweet, b.accountID, 0)
	require.NoError(t, err)
	require.Len(t, doubts, 3)
	d := doubts[0]
	require.Equal(t, id, d.RowID)
	require.Equal(t, store.Unconfirmed, d.Status)
	require.True(t, d.LookedUp)
	require.True(t, d.Refused)
	require.Equal(t, "hold", d.IfUnconfirmed)
	require.True(t, deadline.Equal(*d.PostBefore))
	require.Equal(t, "said before", d.Error)
	require.Equal(t, 2, d.Retries)
	require.Equal(t, duplicate.ID, d.RequestID)
	require.Len(t, d.Open, 2)
	require.Equal(t, []int64{unclear.ID, duplicate.ID}, []int64{d.Open[0].ID, d.Open[1].ID})
	require.Equal(t, `{"text":"hello"}`, string(d.Open[1].Body))
	require.WithinDuration(t, duplicate.GrantedAt, d.Open[1].GrantedAt, time.Microsecond)
	require.WithinDuration(t, duplicate.SendBy, d.Open[1].SendBy, time.Microsecond)

	require.Equal(t, left.RowID, doubts[1].RowID)
	require.False(t, doubts[1].LookedUp)
	require.False(t, doubts[1].Refused)
	require.Equal(t, "resend", doubts[1].IfUnconfirmed)
	require.Equal(t, sending.RowID, doubts[2].RowID)
	require.Equal(t, store.Sending, doubts[2].Status)
	require.False(t, doubts[2].LookedUp)
	require.Contains(t, doubts[2].Error, "nobody has recorded the answer")

	deletion := b.doubt(t, store.DeleteTweet, "x")
	doubts, err = store.Doubts(t.Context(), b.db, store.DeleteTweet, b.accountID, 0)
	require.NoError(t, err)
	require.Len(t, doubts, 1)
	require.Equal(t, deletion.RowID, doubts[0].RowID)
	require.NotEmpty(t, doubts[0].TweetID)
}

// A look-up is one request for all that it looks for, and costs what X returns.
func TestLookUpIsARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.doubt(t, store.PostTweet, "a"), b.doubt(t, store.PostTweet, "b")
	id := b.lookUp(t, store.PostTweet, first.RowID, second.RowID)
	for _, request := range []*store.Request{first, second} {
		list, err := store.RequestList(t.Context(), b.db, request.RowID)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, id, list[1].ID)
		require.Equal(t, "look_up", list[1].Kind)
		require.Nil(t, list[1].Outcome)
		require.Nil(t, list[1].CostUSD)
	}
	answer := store.LookUpAnswer{
		RequestID: id, RowIDs: []int64{first.RowID, second.RowID}, Outcome: "done", StatusCode: 200, XTransactionID: "abc",
		Answer: []byte("{}\x00"), Limits: map[string]int{"remaining": 3}, TweetIDs: []string{"1", "2", "3", "4", "5", "6", "7"},
	}
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, second.RowID)
	require.ErrorIs(t, store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		return store.LookUpSettle(t.Context(), tx, store.PostTweet, answer)
	}), store.ErrRowLocked)
	require.NoError(t, holder.Rollback(t.Context()))
	inTx(t, b.db, func(tx pgx.Tx) { require.NoError(t, store.LookUpSettle(t.Context(), tx, store.PostTweet, answer)) })
	list, err := store.RequestList(t.Context(), b.db, second.RowID)
	require.NoError(t, err)
	require.Equal(t, "done", *list[1].Outcome)
	require.Equal(t, 200, *list[1].StatusCode)
	require.Equal(t, "abc", *list[1].XTransactionID)
	require.Equal(t, "{}\uFFFD", *list[1].Answer)
	require.Equal(t, "0.035", list[1].CostUSD.String())
	require.JSONEq(t, `{"remaining":3}`, string(list[1].Limits))

	// What nobody looks up any more is not put off.
	b.leave(t, store.PostTweet, first)
	answer.RequestID = b.lookUp(t, store.PostTweet, second.RowID)
	answer.TweetIDs, answer.Limits = nil, nil
	inTx(t, b.db, func(tx pgx.Tx) { require.NoError(t, store.LookUpSettle(t.Context(), tx, store.PostTweet, answer)) })
	list, err = store.RequestList(t.Context(), b.db, second.RowID)
	require.NoError(t, err)
	require.Nil(t, list[2].CostUSD, "it is not known")
	require.Nil(t, query[*time.Time](t, b.db, `SELECT next_attempt_at FROM tweetqueue.tweets WHERE id = $1`, first.RowID))
}

func TestTweetIDsKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0], posted("1001"))
	storetest.Deletion(t, b.db, "1002", 0) // to delete a tweet is no claim to it
	known, err := store.TweetIDsKnown(t.Context(), b.db, b.accountID, []string{"1001", "1002", ""})
	require.NoError(t, err)
	require.Equal(t, []string{"1001"}, known)
	known, err = store.TweetIDsKnown(t.Context(), b.db, b.accountID, nil)
	require.NoError(t, err)
	require.Empty(t, known)
}

func TestResolveToEachStatus(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for _, status := range append(mayFollow(kind)[store.Unconfirmed], store.Unconfirmed) {
				request := b.doubt(t, kind, "a")
				r := store.Resolution{Status: status, Error: "why\x00"}
				at := time.Now().Add(-time.Minute).Truncate(time.Microsecond)
				if status == kind.Done() {
					r.DoneAt, r.Error, r.TweetID = &at, "", map[store.Kind]string{store.PostTweet: "1001"}[kind]
				}
				if status == store.Scheduled {
					r.WaitFor, r.Retries, r.NextAt = store.ForRetry, 2, &at
				}
				r.RowID, r.RequestID = request.RowID, request.ID
				inTx(t, b.db, func(tx pgx.Tx) {
					resolved, err := store.Resolve(t.Context(), tx, kind, []store.Resolution{r})
					require.NoError(t, err)
					require.Len(t, resolved, 1)
					require.Equal(t, status, resolved[0].Status)
					require.True(t, resolved[0].Applied)
					require.Equal(t, kind == store.PostTweet, resolved[0].Wakes, "the account's next tweet goes on")
					if status == kind.Done() {
						require.True(t, at.Equal(*resolved[0].DoneAt))
						require.Nil(t, resolved[0].Error)
						return
					}
					require.Equal(t, "why\uFFFD", *resolved[0].Error)
					require.Equal(t, status == store.Scheduled, resolved[0].NextAt != nil)
				})
				exec(t, b.db, `UPDATE tweetqueue.tweets SET wake_account = false`)
			}
		})
	}
}

// What is known of one doubt is no word on another, nor on what is no doubt any more.
func TestResolveIsGuarded(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			absent := store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}
			older := b.doubt(t, kind, "a")
			require.True(t, b.resolve(t, kind, older, absent))
			require.False(t, b.resolve(t, kind, older, store.Resolution{Status: store.Failed}), "it is scheduled")
			latest := b.start(t, kind, older.RowID)[0]
			require.False(t, b.resolve(t, kind, latest, absent), "it is being sent")
			b.settle(t, kind, latest, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now()})
			require.False(t, b.resolve(t, kind, older, store.Resolution{Status: store.Failed}), "it has another request")
			require.True(t, b.resolve(t, kind, latest, store.Resolution{Status: store.Failed}))
			require.False(t, b.resolve(t, kind, latest, absent), "it has failed")

			// The late answer comes first: it counts, and what a look-up saw before it does not.
			late := b.doubt(t, kind, "b")
			require.True(t, b.settle(t, kind, late, done(kind)).Applied)
			require.False(t, b.resolve(t, kind, late, absent))
			require.Equal(t, string(kind.Done()), storetest.Status(t, b.db, late.RowID))
		})
	}
}

func TestResolveByHand(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	t.Run("Posted", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, tweetID := range []string{"1001", "1002"} {
			request := b.doubt(t, store.PostTweet, "a")
			if tweetID == "1001" { // else it is still looked up
				b.leave(t, store.PostTweet, request)
			}
			entry, err := storetest.ResolveByHand(t, b.db, request.RowID, true, &tweetID, &at)
			require.NoError(t, err)
			require.Equal(t, store.Posted, entry.Status)
			require.Equal(t, tweetID, *entry.TweetID)
			require.True(t, at.Equal(*entry.DoneAt))
			require.Nil(t, entry.Error)
			require.Len(t, entry.Warnings, 1)
			require.Regexp(t, `^a person \(database user \w+\) said on 20\d\d-.* UTC that it is on X as tweet `+tweetID+"; before: ", entry.Warnings[0])
		}
	})
	t.Run("NotPosted", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		request := b.doubt(t, store.PostTweet, "a")
		b.leave(t, store.PostTweet, request)
		exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
		entry, err := storetest.ResolveByHand(t, b.db, request.RowID, false, nil, nil)
		require.NoError(t, err)
		require.Equal(t, "scheduled:time", storetest.Status(t, b.db, request.RowID))
		require.Nil(t, entry.Error)
		b.requireAwake(t, request.RowID)
		require.True(t, query[bool](t, b.db, `SELECT late_from > post_at FROM tweetqueue.tweets`), "that a person took long is no lateness")
	})
	t.Run("NotPostedInTime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		deadline := time.Now().Add(time.Hour)
		id, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", PostBefore: &deadline}, nil, 0)
		require.NoError(t, err)
		request := b.start(t, store.PostTweet, id)[0]
		b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Unconfirmed})
		storetest.MoveClock(t, b.db, 2*time.Hour)
		entry, err := storetest.ResolveByHand(t, b.db, id, false, nil, nil)
		require.NoError(t, err)
		require.Equal(t, store.Missed, entry.Status)
		require.Contains(t, *entry.Error, "its deadline passed")
	})
	t.Run("Deletion", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		gone, there := b.doubt(t, store.DeleteTweet, "a"), b.doubt(t, store.DeleteTweet, "b")
		entry, err := storetest.ResolveByHand(t, b.db, gone.RowID, true, nil, nil)
		require.NoError(t, err)
		require.Equal(t, store.Deleted, entry.Status)
		require.WithinDuration(t, time.Now(), *entry.DoneAt, patience)
		entry, err = storetest.ResolveByHand(t, b.db, there.RowID, false, nil, nil)
		require.NoError(t, err)
		require.Equal(t, store.Scheduled, entry.Status)
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tweetID := "1001"
		b.settle(t, store.PostTweet, b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0], posted(tweetID))
		request := b.doubt(t, store.PostTweet, "b")
		_, err := storetest.ResolveByHand(t, b.db, request.RowID, true, &tweetID, nil)
		require.ErrorIs(t, err, store.ErrRefused, "another row has that tweet")
		require.Equal(t, "unconfirmed", storetest.Status(t, b.db, request.RowID))
		_, err = storetest.ResolveByHand(t, b.db, request.RowID, true, nil, nil)
		require.ErrorIs(t, err, store.ErrRefused, "which tweet is it?")
		_, err = storetest.ResolveByHand(t, b.db, 12345, false, nil, nil)
		require.ErrorIs(t, err, store.ErrNotFound)
		for _, kind := range store.Kinds() {
			id := due(t, b.db, kind, "c")
			entry, err := storetest.ResolveByHand(t, b.db, id, false, nil, nil)
			require.ErrorIs(t, err, store.ErrLostRace)
			require.ErrorContains(t, err, "it is scheduled, and only an unconfirmed one can be resolved")
			require.Equal(t, store.Scheduled, entry.Status)
		}
	})
}

// A look-up that lost its job has another; one that is due in a moment, or is left to a person, has none.
func TestSweepOfALostLookUp(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			lost, left, early := b.doubt(t, kind, "a"), b.doubt(t, kind, "b"), b.doubt(t, kind, "c")
			b.leave(t, kind, left)
			exec(t, b.db, `UPDATE tweetqueue.`+table(kind)+` SET next_attempt_at = tweetqueue.clock() + interval '1 hour' WHERE id = $1`, early.RowID)
			storetest.MoveClock(t, b.db, time.Minute)
			swept, _, err := store.Sweep(t.Context(), b.db, kind, store.SweepFrom{}, 100)
			require.NoError(t, err)
			require.Zero(t, swept, "its job lives")
			exec(t, b.db, `DELETE FROM tweetqueue.river_job`)
			swept, _, err = store.Sweep(t.Context(), b.db, kind, store.SweepFrom{}, 100)
			require.NoError(t, err)
			require.Equal(t, 1, swept)
			require.Len(t, storetest.Jobs(t, b.db, lost.RowID), 1)
		})
	}
}

// A job that finds its row locked comes again, also where the row is looked up.
func TestRewakeOfALookUp(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			lookedUp, left := b.doubt(t, kind, "a"), b.doubt(t, kind, "b")
			b.leave(t, kind, left)
			ids, err := store.RowsRewake(t.Context(), b.db, kind, []int64{lookedUp.RowID, left.RowID}, time.Second)
			require.NoError(t, err)
			require.Equal(t, []int64{lookedUp.RowID}, ids)
		})
	}
}
