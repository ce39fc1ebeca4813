package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// saidPosted is a tweet with a lifetime that a person said to be on X.
func (b *testBundle) saidPosted(t *testing.T, tweetID string, at time.Time) store.Entry {
	t.Helper()
	id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, delete_after) VALUES ('acme', 'a', '1 day') RETURNING id`)
	request := b.start(t, store.PostTweet, id)[0]
	b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Unconfirmed})
	entry, err := storetest.ResolveByHand(t, b.db, id, true, &tweetID, &at)
	require.NoError(t, err)
	require.True(t, entry.SaidByHand())
	return entry
}

// A person's word on which tweet it is can be put right, and the deletion at the end of its lifetime goes with it.
func TestCorrectByHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	entry := b.saidPosted(t, "1001", at)
	own := storetest.Deletion(t, b.db, "1001", time.Hour) // somebody's own
	later := at.Add(time.Minute)
	for _, step := range []struct {
		tweetID string
		at      *time.Time
		want    time.Time
	}{{"1002", &later, later}, {"1003", nil, later}} {
		before := *entry.TweetID
		var err error
		entry, err = store.CorrectByHand(t.Context(), b.db, entry, step.tweetID, step.at)
		require.NoError(t, err)
		require.True(t, entry.SaidByHand(), "it can be corrected again")
		require.Equal(t, step.tweetID, *entry.TweetID)
		require.True(t, step.want.Equal(*entry.DoneAt))
		require.Regexp(t, `^a person \(database user \w+\) said on 20\d\d-.* UTC that it is on X as tweet `+step.tweetID+"; before: posted as tweet "+before+"$",
			entry.Warnings[len(entry.Warnings)-1])
		require.Equal(t, step.tweetID, query[string](t, b.db, `SELECT tweet_id FROM tweetqueue.deletions WHERE id <> $1`, own))
		require.True(t, step.want.Add(aDay).Equal(query[time.Time](t, b.db, `SELECT delete_at FROM tweetqueue.deletions WHERE id <> $1`, own)))
	}
	require.Len(t, entry.Warnings, 3)
	require.Equal(t, "1001", query[string](t, b.db, `SELECT tweet_id FROM tweetqueue.deletions WHERE id = $1`, own))
}

// What X said is no person's to correct, and no other row's tweet can be taken.
func TestCorrectByHandRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
	b.settle(t, store.PostTweet, request, posted("1001"))
	byX, err := store.EntryGet(t.Context(), b.db, request.RowID)
	require.NoError(t, err)
	require.False(t, byX.SaidByHand())
	now, err := store.CorrectByHand(t.Context(), b.db, byX, "1002", nil)
	require.ErrorIs(t, err, store.ErrLostRace)
	require.Equal(t, byX, now)

	entry := b.saidPosted(t, "1003", time.Now())
	_, err = store.CorrectByHand(t.Context(), b.db, entry, "1001", nil)
	require.ErrorIs(t, err, store.ErrRefused)
	corrected, err := store.CorrectByHand(t.Context(), b.db, entry, "1004", nil)
	require.NoError(t, err)
	now, err = store.CorrectByHand(t.Context(), b.db, entry, "1005", nil) // by what is not so any more
	require.ErrorIs(t, err, store.ErrLostRace)
	require.Equal(t, corrected, now)

	// A person said something, and X said which tweet it is.
	found := b.doubt(t, store.PostTweet, "b")
	_, err = storetest.ResolveByHand(t, b.db, found.RowID, false, nil, nil)
	require.NoError(t, err)
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, found.RowID)[0], posted("1006"))
	byX, err = store.EntryGet(t.Context(), b.db, found.RowID)
	require.NoError(t, err)
	require.Len(t, byX.Warnings, 1)
	require.False(t, byX.SaidByHand())
}

// The right tweet has a lifetime, too, whatever became of the deletion of the wrong one.
func TestCorrectAfterTheDeletionIsOver(t *testing.T) {
	t.Parallel()
	for _, status := range []store.Status{store.Failed, store.Sending, store.Unconfirmed} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			entry := b.saidPosted(t, "1001", time.Now().Add(-25*time.Hour))
			deletion := query[int64](t, b.db, `SELECT id FROM tweetqueue.deletions`)
			request := b.start(t, store.DeleteTweet, deletion)[0]
			if status != store.Sending {
				b.settle(t, store.DeleteTweet, request, store.Settlement{Status: status, Error: "the tweet is another user's"})
			}
			_, err := store.CorrectByHand(t.Context(), b.db, entry, "1002", nil)
			require.NoError(t, err)
			require.Equal(t, 1, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.deletions WHERE tweet_id = '1002'`),
				"its lifetime ends, too, or the person is told")
		})
	}
}

// A deletion of the wrong tweet that X may have acted on is neither pointed at the right one nor repeated.
func TestCorrectByHandReplacesADeletionInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	entry := b.saidPosted(t, "1001", time.Now().Add(-2*aDay))
	id := query[int64](t, b.db, `SELECT id FROM tweetqueue.deletions`)
	b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, id)[0],
		store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Outcome: "repeat"})
	_, err := store.CorrectByHand(t.Context(), b.db, entry, "1002", nil)
	require.NoError(t, err)
	require.Equal(t, "cancelled", storetest.Status(t, b.db, id))
	require.Equal(t, []string{"1001 cancelled", "1002 scheduled"},
		queryAll[string](t, b.db, `SELECT tweet_id || ' ' || status FROM tweetqueue.deletions ORDER BY id`))
}

// What lists and shows tweets looks at no more deletions than theirs.
func TestDeletionsReadUsesAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at)
		SELECT 'acme', (1000000 + i)::text, tweetqueue.clock() + interval '1 day' FROM generate_series(1, 100000) AS i`)
	entry := b.saidPosted(t, "77", time.Now())
	exec(t, b.db, `ANALYZE tweetqueue.deletions, tweetqueue.tweets`)
	tx := storetest.Tx(t, b.db)
	db := &explainer{DBTX: tx, t: t}
	require.NoError(t, store.DeletionsRead(t.Context(), db, []store.Entry{entry}))
	_, err := store.CorrectByHand(t.Context(), db, entry, "78", nil)
	require.NoError(t, err)
	for _, plan := range db.plans {
		require.NotContains(t, plan, "Seq Scan on deletions", plan)
	}
}
