package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestTweetInsertKeepsEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	previous := storetest.Tweet(t, b.db, "before", time.Hour)
	at := time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC)
	for name, tweet := range map[string]store.Tweet{
		"Least": {Text: "a", IfUnconfirmed: "resend"},
		"Reply": {
			Text: "a\nの 👩‍👩‍👧‍👦", InReplyToTweetID: new("1"), ExcludeReplyUserIDs: []string{"1", "2"}, ReplySettings: new("verified"),
			MediaIDs: []string{"3"}, TaggedUserIDs: []string{"4"}, PlaceID: new("place"), CommunityID: new("5"), MadeWithAI: new(true),
			PaidPartnership: new(false), Extra: json.RawMessage(`{"nullcast": true}`), PostBefore: new(at.Add(time.Hour)),
			DeleteAfter: pgtype.Interval{Months: 1, Days: 2, Microseconds: 3, Valid: true}, IfUnconfirmed: "hold",
			IdempotencyKey: new("once"), Metadata: json.RawMessage(`[1, 2]`),
		},
		"Poll":  {Text: "a", PollOptions: []string{"yes", "no, never"}, PollDurationMinutes: new(60), PreviousID: &previous, IfUnconfirmed: "resend"},
		"Quote": {Text: "a", QuoteTweetID: new("9"), IfUnconfirmed: "resend"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, due, err := store.TweetInsert(t.Context(), b.db, "ACME", tweet, &at, 3)
			require.NoError(t, err)
			require.Equal(t, at, due)
			got, err := store.TweetGet(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, tweet, got)
			entry, err := store.EntryGet(t.Context(), b.db, id)
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), entry.CreatedAt, patience)
			entry.CreatedAt = time.Time{}
			require.Equal(t, store.Entry{
				Kind: store.PostTweet, ID: id, Account: "ACME", Text: &tweet.Text, PreviousID: tweet.PreviousID, DueAt: at, Priority: 3,
				Status: store.Scheduled, WaitingFor: new(store.ForTime), Warnings: []string{}, TimeZone: "UTC",
			}, entry)
			_, err = json.Marshal(entry)
			require.NoError(t, err)
		})
	}
	_, err := store.TweetGet(t.Context(), b.db, storetest.Deletion(t, b.db, "77", 0))
	require.ErrorIs(t, err, store.ErrNotFound)
}

// Without a time a row is due now, by the database's clock, and has the default priority.
func TestInsertDefaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.MoveClock(t, b.db, 1000*time.Hour)
	now, err := store.Clock(t.Context(), b.db)
	require.NoError(t, err)
	tweet, due, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a"}, nil, 0)
	require.NoError(t, err)
	require.WithinDuration(t, now, due, patience)
	deletion, due, err := store.DeletionInsert(t.Context(), b.db, "acme", "77", nil, 0)
	require.NoError(t, err)
	require.WithinDuration(t, now, due, patience)
	for _, id := range []int64{tweet, deletion} {
		entry, err := store.EntryGet(t.Context(), b.db, id)
		require.NoError(t, err)
		require.Equal(t, 2, entry.Priority)
		require.Equal(t, "available", storetest.Jobs(t, b.db, id)[0].State)
	}
	// The same key twice is the same tweet, to whoever inserts it twice.
	once := store.Tweet{Text: "a", IdempotencyKey: new("once")}
	_, _, err = store.TweetInsert(t.Context(), b.db, "acme", once, nil, 0)
	require.NoError(t, err)
	_, _, err = store.TweetInsert(t.Context(), b.db, "ACME", once, nil, 0)
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "tweets_idempotency_key_key")
}

func TestEntryList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43", TimeZone: "Asia/Tokyo"})
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	insert := func(account string, at time.Time) int64 {
		id, _, err := store.TweetInsert(t.Context(), b.db, account, store.Tweet{Text: "a"}, &at, 0)
		require.NoError(t, err)
		return id
	}
	third, first := insert("acme", at.Add(time.Minute)), insert("ACME", at)
	second, _, err := store.DeletionInsert(t.Context(), b.db, "acme", "77", &at, 0) // as due, and later inserted
	require.NoError(t, err)
	other := insert("other", at.Add(time.Hour))
	cancelled, later := insert("acme", at), insert("acme", at.Add(time.Hour))
	for _, id := range []int64{cancelled, later} {
		_, err = store.Cancel(t.Context(), b.db, id)
		require.NoError(t, err)
	}
	sending := b.start(t, store.PostTweet, insert("acme", at.Add(-2*time.Hour)))[0]

	for name, c := range map[string]struct {
		filter store.EntryFilter
		want   []int64
	}{
		"All":      {store.EntryFilter{}, []int64{sending.RowID, first, second, third, other}},
		"Account":  {store.EntryFilter{Account: "Acme"}, []int64{sending.RowID, first, second, third}},
		"Statuses": {store.EntryFilter{Statuses: []store.Status{store.Sending, store.Cancelled}}, []int64{sending.RowID, cancelled, later}},
		"Limit":    {store.EntryFilter{Limit: 2}, []int64{sending.RowID, first}},
		"Over":     {store.EntryFilter{Statuses: []store.Status{store.Posted, store.Cancelled}, Limit: 1}, []int64{later}},
		"Nobody":   {store.EntryFilter{Account: "nobody"}, nil},
	} {
		list, err := store.EntryList(t.Context(), b.db, c.filter)
		require.NoError(t, err)
		var ids []int64
		for _, entry := range list {
			ids = append(ids, entry.ID)
			if entry.Account == "other" {
				require.Equal(t, "Asia/Tokyo", entry.TimeZone)
			}
		}
		require.Equal(t, c.want, ids, name)
	}
	entry, err := store.EntryGet(t.Context(), b.db, second)
	require.NoError(t, err)
	require.Equal(t, store.DeleteTweet, entry.Kind)
	require.Equal(t, "77", *entry.TweetID)
	require.Nil(t, entry.Text)
	_, err = store.EntryGet(t.Context(), b.db, 12345)
	require.ErrorIs(t, err, store.ErrNotFound)
	list, err := store.RequestList(t.Context(), b.db, first)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := due(t, b.db, kind, "a")
			entry, err := store.Cancel(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, store.Cancelled, entry.Status)
			require.Equal(t, kind, entry.Kind)
			entry, err = store.Cancel(t.Context(), b.db, id)
			require.ErrorIs(t, err, store.ErrLostRace)
			require.ErrorContains(t, err, "it is cancelled, and only a scheduled one can be cancelled")
			require.Equal(t, store.Cancelled, entry.Status)
			_, err = store.Cancel(t.Context(), b.db, 12345)
			require.ErrorIs(t, err, store.ErrNotFound)
		})
	}
}

// The view says until when a row waits, by what is later: its own time or what holds it.
func TestWaitingView(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, "a", 0)
	deletion := storetest.Deletion(t, b.db, "77", time.Hour)
	next := `SELECT next_attempt_at FROM tweetqueue.waiting WHERE id = $1`
	entry, err := store.EntryGet(t.Context(), b.db, deletion)
	require.NoError(t, err)
	require.Equal(t, entry.DueAt, *query[*time.Time](t, b.db, next, deletion))

	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	tx := storetest.Tx(t, b.db)
	require.NoError(t, store.WaitRows(t.Context(), tx, store.PostTweet, []store.Wait{{RowID: id, For: store.ForRetry, Until: until}}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, until, *query[*time.Time](t, b.db, next, id))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = $2 WHERE id = $1`, id, until.Add(time.Hour))
	require.Equal(t, until.Add(time.Hour), *query[*time.Time](t, b.db, next, id))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = $2 WHERE id = $1`, id, until.Add(-2*time.Hour))
	require.Equal(t, until, *query[*time.Time](t, b.db, next, id))

	b.start(t, store.PostTweet, id)
	require.Nil(t, query[*time.Time](t, b.db, next, id))
	storetest.Retweet(t, b.db, "77", time.Hour)
	require.Equal(t, []string{"deletion scheduled time", "retweet scheduled time", "tweet sending"},
		queryAll[string](t, b.db, `SELECT concat_ws(' ', kind, status, waiting_for) FROM tweetqueue.waiting ORDER BY kind`))
}

func TestTweetByKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", IdempotencyKey: new("k")}, nil, 0)
	require.NoError(t, err)
	got, err := store.TweetByKey(t.Context(), b.db, "ACME", "k")
	require.NoError(t, err)
	require.Equal(t, id, got)
	for account, key := range map[string]string{"acme": "K", "other": "k"} {
		_, err = store.TweetByKey(t.Context(), b.db, account, key)
		require.ErrorIs(t, err, store.ErrNotFound)
	}
}

func TestTweetNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	after := func(previous int64) int64 {
		id, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", PreviousID: &previous}, nil, 0)
		require.NoError(t, err)
		return id
	}
	first := storetest.Tweet(t, b.db, "a", time.Hour)
	second, third, cancelled := after(first), after(first), after(first)
	fourth := after(third)
	_, err := store.Cancel(t.Context(), b.db, cancelled)
	require.NoError(t, err)
	for id, want := range map[int64][]int64{first: {second, third}, third: {fourth}, fourth: nil} {
		next, err := store.TweetNext(t.Context(), b.db, id)
		require.NoError(t, err)
		require.ElementsMatch(t, want, next)
	}
}

func TestDeletionsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "2"})
	var list []store.Entry
	for _, tweetID := range []string{"1001", "1002"} {
		request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, tweetID, 0))[0]
		b.settle(t, store.PostTweet, request, posted(tweetID))
		entry, err := store.EntryGet(t.Context(), b.db, request.RowID)
		require.NoError(t, err)
		list = append(list, entry)
	}
	entry, err := store.EntryGet(t.Context(), b.db, storetest.Tweet(t, b.db, "not yet", time.Hour))
	require.NoError(t, err)
	list = append(list, entry)
	// One fails, two delete it, and another account has nothing to do with it, nor has what undoes a retweet of it.
	failed := b.start(t, store.DeleteTweet, storetest.Deletion(t, b.db, "1001", 0))[0]
	b.settle(t, store.DeleteTweet, failed, store.Settlement{Status: store.Failed, Error: "why"})
	foreign, _, err := store.DeletionInsert(t.Context(), b.db, "other", "1002", nil, 0)
	require.NoError(t, err)
	b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, foreign)[0], done(store.DeleteTweet))
	undo, _, err := store.UndoInsert(t.Context(), b.db, "acme", "1002", nil, 0)
	require.NoError(t, err)
	b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, undo)[0], done(store.DeleteTweet))
	require.NoError(t, store.DeletionsRead(t.Context(), b.db, list))
	for _, entry := range list {
		require.Nil(t, entry.Deletion)
	}
	first, _, err := store.DeletionInsert(t.Context(), b.db, "ACME", "1001", nil, 0)
	require.NoError(t, err)
	settled := b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, first)[0], done(store.DeleteTweet))
	b.settle(t, store.DeleteTweet, b.start(t, store.DeleteTweet, storetest.Deletion(t, b.db, "1001", 0))[0], done(store.DeleteTweet))
	require.NoError(t, store.DeletionsRead(t.Context(), b.db, list))
	require.Equal(t, first, list[0].Deletion.ID)
	require.True(t, settled.DoneAt.Equal(list[0].Deletion.DeletedAt))
	require.Nil(t, list[1].Deletion)
	require.Nil(t, list[2].Deletion)
}
