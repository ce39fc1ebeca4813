package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// temporary is a retweet that is undone after two hours.
func (b *testBundle) temporary(t testing.TB) int64 {
	t.Helper()
	id, due, err := store.RetweetInsert(t.Context(), b.db, "ACME", "77", pgtype.Interval{Microseconds: (2 * time.Hour).Microseconds(), Valid: true}, nil, 1)
	require.NoError(t, err)
	entry, err := store.EntryGet(t.Context(), b.db, id)
	require.NoError(t, err)
	require.Equal(t, store.Retweet, entry.Kind)
	require.Equal(t, "77", *entry.TweetID)
	require.Equal(t, 1, entry.Priority)
	require.Equal(t, due, entry.DueAt)
	require.Equal(t, 2*time.Hour, time.Duration(entry.UndoAfter.Microseconds)*time.Microsecond)
	return id
}

// requireUndo requires that what undoes the retweets is scheduled so many times, each time two hours after one.
func (b *testBundle) requireUndo(t testing.TB, n int, retweeted store.Entry) {
	t.Helper()
	list, err := store.EntryList(t.Context(), b.db, store.EntryFilter{})
	require.NoError(t, err)
	require.Len(t, list, n)
	undo := list[n-1]
	require.Equal(t, store.DeleteTweet, undo.Kind)
	require.True(t, undo.Retweet)
	require.Equal(t, "77", *undo.TweetID)
	require.Equal(t, retweeted.DoneAt.Add(2*time.Hour), undo.DueAt)
	require.Len(t, storetest.Jobs(t, b.db, undo.ID), 1)
}

func TestSettleSchedulesTheUndoing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.temporary(t)
	request := b.start(t, store.Retweet, id)[0]
	for range 2 { // written again: no second one
		b.settle(t, store.Retweet, request, done(store.Retweet))
	}
	entry, err := store.EntryGet(t.Context(), b.db, id)
	require.NoError(t, err)
	b.requireUndo(t, 1, entry)

	// What fails, what stays and what stood before is not undone.
	b.settle(t, store.Retweet, b.start(t, store.Retweet, b.temporary(t))[0], store.Settlement{Status: store.Failed})
	b.settle(t, store.Retweet, b.start(t, store.Retweet, storetest.Retweet(t, b.db, "77", 0))[0], done(store.Retweet))
	stood := done(store.Retweet)
	stood.Outcome = "already"
	b.settle(t, store.Retweet, b.start(t, store.Retweet, b.temporary(t))[0], stood)
	b.requireUndo(t, 1, entry)
}

func TestResolveByHandSchedulesTheUndoing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.temporary(t)
	b.settle(t, store.Retweet, b.start(t, store.Retweet, id)[0], store.Settlement{Status: store.Unconfirmed})
	entry, err := storetest.ResolveByHand(t, b.db, id, true, nil, nil)
	require.NoError(t, err)
	require.Equal(t, store.Retweeted, entry.Status)
	require.Contains(t, entry.Warnings[0], "that it is retweeted; before:")
	b.requireUndo(t, 1, entry)
}

// An answer may come with a warning; those that the row has stay.
func TestSettleWarns(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := due(t, b.db, kind, "a")
			again := store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Warning: "first"}
			b.settle(t, kind, b.start(t, kind, id)[0], again)
			again.Warning = ""
			b.settle(t, kind, b.start(t, kind, id)[0], again)
			s := done(kind)
			s.Warning = "second"
			b.settle(t, kind, b.start(t, kind, id)[0], s)
			entry, err := store.EntryGet(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, []string{"first", "second"}, entry.Warnings)
		})
	}
}

// A request that was repeated because X did not answer may have taken effect, as one without any record may.
func TestRepeatedRequestsAreDoubts(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := due(t, b.db, kind, "a")
			inDoubt := func() (doubt bool) {
				inTx(t, b.db, func(tx pgx.Tx) {
					rows, err := store.RowsLock(t.Context(), tx, kind, []int64{id})
					require.NoError(t, err)
					doubt = rows[0].Doubt
				})
				return doubt
			}
			b.settle(t, kind, b.start(t, kind, id)[0], store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Outcome: "retry"})
			require.False(t, inDoubt(), "X certainly did nothing")
			repeated := b.start(t, kind, id)[0]
			b.settle(t, kind, repeated, store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Outcome: "repeat", StatusCode: 503})
			require.True(t, inDoubt())

			refused := b.start(t, kind, id)[0]
			b.settle(t, kind, refused, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), StatusCode: 400, Error: "bad", Answer: []byte(`{"status":400}`)})
			doubts, err := store.Doubts(t.Context(), b.db, kind, b.accountID, 0)
			require.NoError(t, err)
			require.Len(t, doubts, 1)
			require.Equal(t, kind, doubts[0].Kind)
			require.Equal(t, kind == store.Retweet, doubts[0].Refused)
			require.Equal(t, map[store.Kind]string{store.DeleteTweet: "77", store.Retweet: "77"}[kind], doubts[0].TweetID)
			require.Len(t, doubts[0].Open, 2)
			require.Equal(t, []int64{repeated.ID, refused.ID}, []int64{doubts[0].Open[0].ID, doubts[0].Open[1].ID})
		})
	}
}

// A deletion and what undoes a retweet take places in windows of their own, and give them back there.
func TestUndoingHasItsOwnWindows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period) VALUES ($1, 'undone', '{undo_retweet}', 50, '15 minutes')`, b.accountID)
	undo, _, err := store.UndoInsert(t.Context(), b.db, "acme", "77", nil, 0)
	require.NoError(t, err)
	request := b.request(t, b.db, undo)
	request.Action = "undo_retweet"
	inTx(t, b.db, func(tx pgx.Tx) {
		quotas, err := store.QuotasLock(t.Context(), tx, []int64{b.accountID}, "delete", "undo_retweet")
		require.NoError(t, err)
		for _, q := range quotas[b.accountID] {
			q.Take(request.SendBy)
		}
		require.NoError(t, store.QuotasSave(t.Context(), tx, quotas))
		require.NoError(t, store.StartRequests(t.Context(), tx, store.DeleteTweet, b.workerID, []*store.Request{request}))
	})
	inTx(t, b.db, func(tx pgx.Tx) {
		released, err := store.Release(t.Context(), tx, store.DeleteTweet, []*store.Request{request}, "why")
		require.NoError(t, err)
		require.Equal(t, 1, released)
	})
	require.Equal(t, 0, b.places(t, "undone"))
	require.Equal(t, 1, b.places(t, "deletions"))

	limited := b.start(t, store.DeleteTweet, undo)[0]
	b.settle(t, store.DeleteTweet, limited, store.Settlement{
		Action: "undo_retweet", Status: store.Scheduled, WaitFor: store.ForQuota, Wait: time.Minute, Block: time.Minute, StatusCode: 429,
	})
	require.Equal(t, []string{"undone"}, queryAll[string](t, b.db, `SELECT name FROM tweetqueue.quotas WHERE blocked_until IS NOT NULL`))
}

// Once X may have acted on the tweet that a row names, the row names no other.
func TestNoOtherTweetAfterARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again := store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry}
	for kind, edits := range map[store.Kind][]string{
		store.DeleteTweet: {"tweet_id = '78'", "retweet = NOT retweet"},
		store.Retweet:     {"tweet_id = '78'"},
	} {
		for outcome, refused := range map[string]bool{"wait": false, "retry": false, "not_sent": false, "repeat": true, "": true} {
			id := due(t, b.db, kind, "a")
			request := b.start(t, kind, id)[0]
			if outcome == "" { // its worker died
				b.dieAndTakeOver(t)
				var err error
				b.workerID, err = store.WorkerStart(t.Context(), b.db, "next", migrations.Latest)
				require.NoError(t, err)
			} else {
				again.Outcome = outcome
				b.settle(t, kind, request, again)
			}
			tx := storetest.Tx(t, b.db)
			exec(t, tx, `SET LOCAL ROLE tweetqueue_writer`)
			for _, edit := range edits {
				err := attempt(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET `+edit+` WHERE id = $1`, id)
				if !refused {
					require.NoError(t, err)
					continue
				}
				require.Equal(t, table(kind)+"_tweet_id_immutable", constraint(t, err))
				require.ErrorContains(t, err, "which may have acted on tweet 77: for another tweet write another row")
			}
			require.NoError(t, attempt(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET tweet_id = '77', `+dueAt(kind)+` = tweetqueue.clock() WHERE id = $1`, id),
				"the same tweet, at another time")
			require.NoError(t, tx.Rollback(t.Context()))
		}
	}
}

// What X made of a row that was over is a doubt, for the row may be scheduled again.
func TestRetweetMadeLateIsADoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Retweet(t, b.db, "77", 0)
	request := b.start(t, store.Retweet, id)[0]
	b.dieAndTakeOver(t)
	_, err := store.Cancel(t.Context(), b.db, id)
	require.NoError(t, err)
	late := done(store.Retweet)
	late.Outcome = "done"
	require.False(t, b.settle(t, store.Retweet, request, late).Applied)
	exec(t, b.db, `UPDATE tweetqueue.retweets SET status = 'scheduled' WHERE id = $1`, id)
	inTx(t, b.db, func(tx pgx.Tx) {
		rows, err := store.RowsLock(t.Context(), tx, store.Retweet, []int64{id})
		require.NoError(t, err)
		require.True(t, rows[0].Doubt)
	})
}

// The reason of a row that is taken over says what is done again.
func TestTakeOverOfAnUndoing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	undo, _, err := store.UndoInsert(t.Context(), b.db, "acme", "77", nil, 0)
	require.NoError(t, err)
	deletion := storetest.Deletion(t, b.db, "77", 0)
	b.start(t, store.DeleteTweet, undo, deletion)
	require.Len(t, b.dieAndTakeOver(t), 2)
	for id, words := range map[int64]string{undo: "it is undone again: the worker tester stopped", deletion: "it is deleted again: the worker tester stopped"} {
		require.Contains(t, query[string](t, b.db, `SELECT error FROM tweetqueue.deletions WHERE id = $1`, id), words)
	}
}

// To list the retweets of an account, or to rename it, reads no others.
func TestRetweetsOfAnAccountUseAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	exec(t, b.db, `INSERT INTO tweetqueue.retweets (account, tweet_id, retweet_at)
		SELECT 'other', (1000000 + i)::text, tweetqueue.clock() + interval '1 day' FROM generate_series(1, 20000) AS i`)
	storetest.Retweet(t, b.db, "77", time.Hour)
	exec(t, b.db, `ANALYZE tweetqueue.retweets`)
	db := &explainer{DBTX: storetest.Tx(t, b.db), t: t}
	list, err := store.EntryList(t.Context(), db, store.EntryFilter{Account: "acme", Statuses: []store.Status{store.Scheduled, store.Retweeted, store.Failed}})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Contains(t, db.plans[0], "retweets_account_idx")
	require.NotContains(t, db.plans[0], "Seq Scan on retweets")
}

// What undoes a retweet is told of it while it waits and once it has, and of no later retweet of the same tweet.
func TestDeletionsReadOfRetweets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	retweet := func(undoAfter time.Duration) store.Entry {
		interval := pgtype.Interval{Microseconds: undoAfter.Microseconds(), Valid: true}
		row, _, err := store.RetweetInsert(t.Context(), b.db, "acme", "77", interval, nil, 0)
		require.NoError(t, err)
		b.settle(t, store.Retweet, b.start(t, store.Retweet, row)[0], done(store.Retweet))
		entry, err := store.EntryGet(t.Context(), b.db, row)
		require.NoError(t, err)
		return entry
	}
	first := []store.Entry{retweet(time.Hour)}
	undo := query[int64](t, b.db, `SELECT id FROM tweetqueue.deletions`)
	storetest.Deletion(t, b.db, "77", 0) // of the tweet itself
	require.NoError(t, store.DeletionsRead(t.Context(), b.db, first))
	require.Nil(t, first[0].Deletion)
	require.Equal(t, undo, first[0].PendingDeletion.ID)
	require.Equal(t, store.Scheduled, first[0].PendingDeletion.Status)
	require.True(t, first[0].DoneAt.Add(time.Hour).Equal(first[0].PendingDeletion.DueAt))

	storetest.MoveClock(t, b.db, time.Hour)
	settled := b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, undo)[0], done(store.DeleteTweet))
	both := []store.Entry{first[0], retweet(2 * time.Hour)}
	later := query[int64](t, b.db, `SELECT max(id) FROM tweetqueue.deletions WHERE retweet`)
	require.NoError(t, store.DeletionsRead(t.Context(), b.db, both))
	require.Equal(t, undo, both[0].Deletion.ID)
	require.True(t, settled.DoneAt.Equal(both[0].Deletion.DeletedAt))
	require.Nil(t, both[0].PendingDeletion)
	require.Nil(t, both[1].Deletion, "that was before it")
	require.Equal(t, later, both[1].PendingDeletion.ID)

	byHand, _, err := store.UndoInsert(t.Context(), b.db, "acme", "77", nil, 0)
	require.NoError(t, err)
	for deletion, row := range map[int64]int64{undo: both[0].ID, later: both[1].ID, byHand: both[1].ID} {
		of, err := store.DeletionOf(t.Context(), b.db, deletion)
		require.NoError(t, err)
		require.Equal(t, row, of)
	}
	_, err = store.DeletionOf(t.Context(), b.db, storetest.Deletion(t, b.db, "78", 0))
	require.ErrorIs(t, err, store.ErrNotFound)
}
