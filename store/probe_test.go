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

// At the end of a hold one row of an account wakes, of each kind, and the others are left alone; the next call
// wakes another, until one has taken the try.
func TestEndOfAnAccountsHoldWakesOneRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.holds(t)["Account"]
	require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
	for i := range 5 {
		b.holdRow(t, store.PostTweet, storetest.Tweet(t, b.db, fmt.Sprintf("tweet %d", i), 0), store.ForAccount)
		b.holdRow(t, store.DeleteTweet, storetest.Deletion(t, b.db, fmt.Sprint(77+i), 0), store.ForAccount)
	}
	require.Zero(t, b.probe(t), "it lasts")
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock()`)
	require.Equal(t, 2, b.probe(t))
	require.Equal(t, 8, b.heldBack(t))
	require.Equal(t, 2, b.probe(t))
	inTx(t, b.db, func(tx pgx.Tx) {
		won, err := store.AccountProbe(t.Context(), tx, b.accountID, time.Minute)
		require.NoError(t, err)
		require.True(t, won)
	})
	require.Zero(t, b.probe(t))
	require.Equal(t, 6, b.heldBack(t))
}

// At the end of an app's hold a row wakes of each of a few accounts that could try: none that is held
// itself, and none that is in doubt.
func TestEndOfAnAppsHoldWakesAFewRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.holds(t)["App"]
	require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
	b.doubt(t, store.PostTweet, "may be on X")
	b.holdRow(t, store.PostTweet, storetest.Tweet(t, b.db, "of the account in doubt", 0), store.ForApp)
	var waiting []int64
	for i := range 6 {
		username := fmt.Sprintf("user%d", i)
		storetest.Account(t, b.db, storetest.AccountOpts{Username: username, XUserID: fmt.Sprint(100 + i)})
		for range 3 {
			id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text) VALUES ($1, 'a') RETURNING id`, username)
			b.holdRow(t, store.PostTweet, id, store.ForApp)
			waiting = append(waiting, id)
		}
	}
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand' WHERE username = 'user0'`)
	exec(t, b.db, `UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
	require.Equal(t, 3, b.probe(t))
	require.Equal(t, 3, query[int](t, b.db, `SELECT count(DISTINCT account) FROM tweetqueue.tweets WHERE status = 'scheduled' AND waiting_for = 'time'`))
	for b.probe(t) > 0 {
		require.LessOrEqual(t, b.heldBack(t), len(waiting))
	}
	require.Equal(t, 4, b.heldBack(t), "those of user0, and the one of the account in doubt")
	require.Equal(t, "scheduled:app", query[string](t, b.db, `SELECT status || ':' || waiting_for FROM tweetqueue.tweets WHERE text LIKE 'of the %'`))
}

// What waits for a hold shows its end, and what waits for a person, a doubt or a thread shows none.
func TestNextAttemptIsTheHoldsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, deletion := storetest.Tweet(t, b.db, "a", 0), storetest.Deletion(t, b.db, "77", 0)
	shown := func() [2]*time.Time {
		var all [2]*time.Time
		for i, id := range []int64{id, deletion} {
			entry, err := store.EntryGet(t.Context(), b.db, id)
			require.NoError(t, err)
			require.Equal(t, entry.NextAttemptAt, query[*time.Time](t, b.db, `SELECT next_attempt_at FROM tweetqueue.waiting WHERE id = $1`, id))
			all[i] = entry.NextAttemptAt
		}
		return all
	}
	for name, h := range b.holds(t) {
		require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
		b.holdRow(t, store.PostTweet, id, h.what)
		b.holdRow(t, store.DeleteTweet, deletion, h.what)
		for _, at := range shown() {
			require.InDelta(t, time.Hour, time.Until(*at), float64(5*time.Minute), name)
		}
		require.NoError(t, h.begin(t.Context(), b.db, 0))
		require.Equal(t, [2]*time.Time{}, shown(), name)
		exec(t, b.db, h.resume)
		require.Equal(t, 2, b.wake(t))
		require.NoError(t, h.release(t.Context(), b.db))
	}
}

// probe wakes what can be woken, as a worker does, and returns how many rows that were.
func (b *testBundle) probe(t *testing.T) int {
	t.Helper()
	woken, err := store.Wake(t.Context(), b.db, 0, 100)
	require.NoError(t, err)
	return woken.Rows
}

// holdRow makes a row wait for its account or app, as a claim does.
func (b *testBundle) holdRow(t *testing.T, kind store.Kind, id int64, what store.WaitingFor) {
	t.Helper()
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = $1`, id)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, kind, id, what) })
}

// heldBack counts the rows that wait for an account or an app.
func (b *testBundle) heldBack(t *testing.T) int {
	t.Helper()
	return query[int](t, b.db, `SELECT count(*) FROM tweetqueue.waiting WHERE waiting_for IN ('account', 'app')`)
}

// A row that its account's doubt would make wait again is left alone.
func TestProbeOfAnAccountInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doubt := b.doubt(t, store.PostTweet, "in doubt")
	b.waiter(t, doubt.RowID)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state = 'paused', state_reason = '401', state_until = tweetqueue.clock()`)
	require.Zero(t, b.probe(t), "it could not try: its account is in doubt")
}

// So is one whose app is held.
func TestProbeOfAnAccountWhoseAppIsHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.holds(t)["Account"]
	require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
	b.holdRow(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0), store.ForAccount)
	exec(t, b.db, `UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'by hand'`)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock()`)
	require.Zero(t, b.probe(t), "it could not try: its app is held")
}
