package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// What is tried sees itself, and nothing that others write meanwhile; and it is taken back.
func TestTrySnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const count = `SELECT count(*) FROM tweetqueue.tweets`
	require.NoError(t, store.TrySnapshot(t.Context(), b.db, func(tx pgx.Tx) error {
		storetest.Tweet(t, tx, "tried", 0)
		require.Equal(t, 1, query[int](t, tx, count))
		storetest.Tweet(t, b.db, "somebody else's", 0)
		require.Equal(t, 1, query[int](t, tx, count))
		return nil
	}))
	require.Equal(t, "somebody else's", query[string](t, b.db, `SELECT string_agg(text, ' ') FROM tweetqueue.tweets`))
	wrong := errors.New("wrong")
	require.ErrorIs(t, store.TrySnapshot(t.Context(), b.db, func(pgx.Tx) error { return wrong }), wrong)
}

func TestThreadsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := map[int64]bool{}
	for _, status := range []string{"posted", "sending", "scheduled", "cancelled"} {
		id := storetest.Tweet(t, b.db, status, time.Hour)
		exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'next', $1)`, id)
		want[id] = status == "posted" || status == "sending"
		switch status {
		case "posted":
			b.settle(t, store.PostTweet, b.start(t, store.PostTweet, id)[0], posted("1"))
		case "sending":
			b.start(t, store.PostTweet, id)
		case "cancelled":
			_, err := store.Cancel(t.Context(), b.db, id)
			require.NoError(t, err)
		}
	}
	got, err := store.ThreadsRead(t.Context(), b.db, []string{store.DefaultApp})
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = store.ThreadsRead(t.Context(), b.db, []string{"other"})
	require.NoError(t, err)
	require.Empty(t, got)
}

// The budgets are those that a claim locks, and in a new month nothing of them is spent.
func TestBudgetsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 2 WHERE username = 'acme'`)
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 3`)
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))
	all, err := store.BudgetsRead(t.Context(), b.db, []string{store.DefaultApp})
	require.NoError(t, err)
	require.Len(t, all, 2)
	inTx(t, b.db, func(tx pgx.Tx) { require.Equal(t, b.lockBudgets(t, tx), all[b.accountID]) })
	ofApp := all[b.accountID].Of[1]
	require.Equal(t, "0.015", ofApp.Spent.String())
	delete(all, b.accountID)
	for _, budgets := range all {
		require.Len(t, budgets.Of, 1)
		require.Same(t, ofApp, budgets.Of[0])
	}
	ends := ofApp.Month.AddDate(0, 1, 0)
	ofApp.Renew(ends.Add(-time.Microsecond))
	require.Equal(t, "0.015", ofApp.Spent.String())
	ofApp.Renew(ends.In(time.FixedZone("west", -3600)))
	require.Equal(t, ends, ofApp.Month)
	require.Equal(t, "3", ofApp.Left().String())
}
