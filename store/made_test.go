package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// answered201 is the settlement of X's whole answer that it created a tweet.
func answered201(tweetID string) store.Settlement {
	s := posted(tweetID)
	s.Outcome, s.Answer = "done", []byte(`{"data":{"text":"\"id\":\"7\"","edit_history_tweet_ids":["`+tweetID+`"],"id":"`+tweetID+`"}}`)
	return s
}

// over brings a tweet that is in doubt to an end without a tweet.
func (b *testBundle) over(t *testing.T, request *store.Request, status store.Status) {
	t.Helper()
	if status == store.Cancelled {
		require.True(t, b.resolve(t, store.PostTweet, request, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
		_, err := store.Cancel(t.Context(), b.db, request.RowID)
		require.NoError(t, err)
		return
	}
	require.True(t, b.resolve(t, store.PostTweet, request, store.Resolution{Status: status, Error: "X does not show it"}))
}

// made returns what a claim sees of the tweet that X made of a row.
func (b *testBundle) made(t *testing.T, id int64) *string {
	t.Helper()
	var tweetID *string
	inTx(t, b.db, func(tx pgx.Tx) {
		rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, []int64{id})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		if rows[0].Made != nil {
			tweetID = &rows[0].Made[0]
		}
	})
	return tweetID
}

func (b *testBundle) postMade(t *testing.T, ids ...int64) []store.Settled {
	t.Helper()
	var settled []store.Settled
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		settled, err = store.PostMade(t.Context(), tx, ids)
		require.NoError(t, err)
		require.Len(t, settled, len(ids))
	})
	return settled
}

// X says that it made a tweet whose row is over without one. The row stays as it is, says so, and once; if a person
// schedules it again, it becomes posted and nothing is sent.
func TestSettleLateOfARowThatIsOver(t *testing.T) {
	t.Parallel()
	for _, status := range []store.Status{store.Failed, store.Missed, store.Cancelled} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, delete_after) VALUES ('acme', 'a', '2 hours') RETURNING id`)
			request := b.start(t, store.PostTweet, id)[0]
			b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now()})
			b.over(t, request, status)
			require.Nil(t, b.made(t, id))
			for range 2 { // the second as if the first one's commit had seemed to fail
				settled := b.settle(t, store.PostTweet, request, answered201("1001"))
				require.False(t, settled.Applied)
				require.True(t, settled.PostedTwice)
				require.Equal(t, status, settled.Status)
			}
			entry, err := store.EntryGet(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, "X made https://x.com/i/web/status/1001 of this row after all", *entry.Error)
			before := " (X does not show it)"
			if status == store.Cancelled {
				before = ""
			}
			require.Equal(t, []string{"X made https://x.com/i/web/status/1001 of this row, and the answer came when it was " + string(status) + " already" + before +
				": leave it there, or 'enqueue delete --account acme 1001' deletes it; do not enqueue it anew"}, entry.Warnings)

			exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
			require.Equal(t, "1001", *b.made(t, id))
			settled := b.postMade(t, id)[0]
			require.Equal(t, store.Posted, settled.Status)
			require.Equal(t, "1001", *settled.TweetID)
			require.Nil(t, settled.Error)
			require.Equal(t, query[time.Time](t, b.db, `SELECT answered_at FROM tweetqueue.requests`), *settled.DoneAt)
			require.Equal(t, "1001", query[string](t, b.db, `SELECT tweet_id FROM tweetqueue.deletions`), "it has a lifetime")
			require.Len(t, queryAll[int64](t, b.db, `SELECT id FROM tweetqueue.requests`), 1)
		})
	}
}

// A row that has another tweet warns of the second one; so does one that is being sent again, and one that is waiting.
func TestSettleLateWarns(t *testing.T) {
	t.Parallel()
	const made = "X made https://x.com/i/web/status/1001 of this row, "
	sentAgain := func(t *testing.T, b *testBundle) (older, latest *store.Request) {
		t.Helper()
		older = b.doubt(t, store.PostTweet, "a")
		require.True(t, b.resolve(t, store.PostTweet, older, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
		return older, b.start(t, store.PostTweet, older.RowID)[0]
	}
	warnings := func(t *testing.T, b *testBundle, id int64) []string {
		t.Helper()
		return query[[]string](t, b.db, `SELECT warnings FROM tweetqueue.tweets WHERE id = $1`, id)
	}
	t.Run("Posted", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		older, latest := sentAgain(t, b)
		b.settle(t, store.PostTweet, latest, answered201("1002"))
		b.settle(t, store.PostTweet, older, answered201("1001"))
		b.settle(t, store.PostTweet, older, answered201("1001"))
		require.Equal(t, []string{made + "beside https://x.com/i/web/status/1002, which the row stands for: that is one too many, " +
			"unless somebody has deleted one; 'enqueue delete --account acme 1001' deletes it"}, warnings(t, b, older.RowID))
		require.Equal(t, "1002", query[string](t, b.db, `SELECT tweet_id FROM tweetqueue.tweets`))
		// A number that begins the same is another tweet's.
		b.settle(t, store.PostTweet, older, answered201("10"))
		require.Len(t, warnings(t, b, older.RowID), 2)
	})
	t.Run("SentAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		older, latest := sentAgain(t, b)
		b.settle(t, store.PostTweet, older, answered201("1001"))
		require.Equal(t, []string{made + "and the answer came when it was being sent again: if X makes another one of it, there are two; " +
			"'enqueue delete --account acme 1001' deletes it"}, warnings(t, b, older.RowID))
		// X refused the second: the first is the row's, and nothing is sent once more.
		b.settle(t, store.PostTweet, latest, store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota, Error: "429"})
		require.Equal(t, "1001", *b.made(t, older.RowID))
		require.Equal(t, "1001", *b.postMade(t, older.RowID)[0].TweetID)
	})
	t.Run("ScheduledAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
		b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Failed, Error: "why"})
		exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, request.RowID)
		b.settle(t, store.PostTweet, request, answered201("1001"))
		require.Equal(t, []string{made + "and the answer came when it was scheduled again: it is not sent once more, but becomes posted when it is due; " +
			"'enqueue delete --account acme 1001' deletes it"}, warnings(t, b, request.RowID))
		require.Equal(t, "1001", *b.made(t, request.RowID))
	})
}

func TestPostMadeIsGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Another row has the tweet: it was taken for its.
	taker := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "b", 0))[0]
	b.settle(t, store.PostTweet, taker, answered201("1001"))
	request := b.doubt(t, store.PostTweet, "a")
	b.over(t, request, store.Missed)
	b.settle(t, store.PostTweet, request, answered201("1001"))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, request.RowID)
	settled := b.postMade(t, request.RowID)[0]
	require.Equal(t, store.Failed, settled.Status)
	require.Nil(t, settled.TweetID)
	require.Regexp(t, `^X answered that it made tweet 1001 of this row, and that is the tweet of row \d+: look at the account`, *settled.Error)

	require.ErrorIs(t, store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := store.PostMade(t.Context(), tx, []int64{taker.RowID})
		return err
	}), store.ErrLostRace)
}

// A tweet that X made of one row is no other row's, also if it stands on none.
func TestTweetIDsMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	over := b.doubt(t, store.PostTweet, "a")
	b.over(t, over, store.Missed)
	b.settle(t, store.PostTweet, over, answered201("1001"))
	twice := b.doubt(t, store.PostTweet, "b")
	require.True(t, b.resolve(t, store.PostTweet, twice, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, twice.RowID)[0], answered201("1003"))
	b.settle(t, store.PostTweet, twice, answered201("1002"))
	// What is in doubt may be its own.
	older := b.doubt(t, store.PostTweet, "c")
	require.True(t, b.resolve(t, store.PostTweet, older, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
	b.start(t, store.PostTweet, older.RowID)
	b.settle(t, store.PostTweet, older, answered201("1004"))
	b.dieAndTakeOver(t)
	made, err := store.TweetIDsMade(t.Context(), b.db, b.accountID)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"1001", "1002", "1003"}, made)
	other := storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "2"})
	made, err = store.TweetIDsMade(t.Context(), b.db, other)
	require.NoError(t, err)
	require.Empty(t, made)
}

// A tweet that we have deleted since is not taken for the row's: scheduled again, it is sent.
func TestMadeAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.doubt(t, store.PostTweet, "a")
	b.over(t, request, store.Cancelled)
	b.settle(t, store.PostTweet, request, answered201("1001"))
	deletion := storetest.Deletion(t, b.db, "1001", 0)
	b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, deletion)[0], store.Settlement{Status: store.Deleted})
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, request.RowID)
	require.Nil(t, b.made(t, request.RowID), "that tweet is gone, by our own hand")
}

// X made it of an earlier request, and refuses a later one for good: a duplicate of the first.
func TestMadeIsNoFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	older := b.doubt(t, store.PostTweet, "a")
	require.True(t, b.resolve(t, store.PostTweet, older, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
	latest := b.start(t, store.PostTweet, older.RowID)[0]
	b.settle(t, store.PostTweet, older, answered201("1001"))
	settled := b.settle(t, store.PostTweet, latest, store.Settlement{Status: store.Failed, Error: "403", Outcome: "fail", StatusCode: 403})
	require.Equal(t, store.Posted, settled.Status, "X said that it made 1001 of it: %v", settled.Error)
}

// X made it of an earlier request while a later one is in doubt: the row warns that there may be two.
func TestMadeBesideADoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	older := b.doubt(t, store.PostTweet, "a")
	require.True(t, b.resolve(t, store.PostTweet, older, store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry}))
	latest := b.start(t, store.PostTweet, older.RowID)[0]
	b.settle(t, store.PostTweet, latest, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "timed out", Outcome: "unconfirmed"})
	require.Equal(t, store.Posted, b.settle(t, store.PostTweet, older, answered201("1001")).Status)
	require.Contains(t, query[[]string](t, b.db, `SELECT warnings FROM tweetqueue.tweets`)[0], "may have made another")
}
