package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// TestQuotasReadLocksNothing: a window is read while a claim has it locked, and read as it was.
func TestQuotasReadLocksNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	quotas, err := store.QuotasLock(t.Context(), tx, []int64{b.accountID}, "post")
	require.NoError(t, err)
	now, err := store.Clock(t.Context(), tx)
	require.NoError(t, err)
	for _, q := range quotas[b.accountID] {
		q.Take(now)
	}
	require.NoError(t, store.QuotasSave(t.Context(), tx, quotas))
	used := func() (used []int) {
		read, err := store.QuotasRead(t.Context(), b.db, []string{"ACME"}, nil)
		require.NoError(t, err)
		for i := range read {
			require.Equal(t, b.accountID, read[i].AccountID)
			require.True(t, read[i].Configured)
			ours, _ := read[i].Used(now)
			used = append(used, ours)
		}
		return used
	}
	require.Equal(t, []int{0, 0, 0}, used())
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []int{1, 0, 1}, used()) // posts, deletions, writes
}

func TestEmptied(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	q := store.Quota{Maximum: 5, Period: 256 * time.Second}
	require.Equal(t, now, q.Emptied(now))
	q.Take(now.Add(3 * time.Second))
	q.Take(now.Add(10 * time.Second))
	require.Equal(t, now, q.Next(now))
	require.Equal(t, now.Add((11+256)*time.Second), q.Emptied(now).UTC())
	until := now.Add(time.Hour)
	q.Others, q.OthersUntil = 1, &until
	require.Equal(t, until, q.Emptied(now))
	later := until.Add(time.Hour)
	q.BlockedUntil = &later
	require.Equal(t, later, q.Emptied(now))
	q.Maximum = 1 // less than what is used
	require.Equal(t, later, q.Emptied(now))
}

// TestLimitsBesideClaims: a preset is changed while claims of its accounts lock windows, and none is in the other's way
// for good.
func TestLimitsBesideClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []int64{b.accountID}
	for _, username := range []string{"b", "c", "d"} {
		ids = append(ids, storetest.Account(t, b.db, storetest.AccountOpts{Username: username, XUserID: fmt.Sprint(90 + len(ids))}))
	}
	change := func(maximum int) error {
		return store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
			n, err := store.LimitPut(t.Context(), tx, store.Limit{
				Preset: "mine", Name: "all of the app", Per: "app", Actions: []string{"post"}, Maximum: maximum, Period: time.Hour,
			})
			require.Equal(t, len(ids), n)
			return err
		})
	}
	exec(t, b.db, `INSERT INTO tweetqueue.limits (preset, name, actions, maximum, period, family)
		SELECT 'mine', name, actions, maximum, period, family FROM tweetqueue.limits WHERE preset = 'guide'`)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET limits_preset = 'mine'`)
	require.NoError(t, change(100)) // the window is there
	group, ctx := errgroup.WithContext(t.Context())
	for i := range 4 {
		group.Go(func() error { return change(101 + i) })
		group.Go(func() error { return lockWindows(ctx, b, ids) })
	}
	require.NoError(t, group.Wait())
	require.Equal(t, len(ids)*3+1, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.quotas`))
}

// A preset that is being changed is given to accounts as it will be.
func TestPresetGivenWhileItChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 5, Period: time.Hour}
	b.put(t, mine)
	var given func()
	inTx(t, b.db, func(tx pgx.Tx) {
		mine.Maximum = 7
		_, err := store.LimitPut(t.Context(), tx, mine)
		require.NoError(t, err)
		var session uint32
		session, given = b.background(t, func(ctx context.Context, tx pgx.Tx) error {
			return store.AccountsLimits(ctx, tx, []string{"acme"}, "mine")
		})
		waitBlocked(t, b.db, session)
	})
	given()
	require.Equal(t, 7, b.windowOf(t, "all").Max())
}

// A window that an app gets with one account's preset counts what is just being claimed for another of its accounts.
func TestNewWindowOfAnAppSeesClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	b.put(t, store.Limit{Preset: "mine", Name: "all of the app", Per: "app", Actions: []string{"post"}, Maximum: 5, Period: time.Hour})
	id := storetest.Tweet(t, b.db, "a", 0)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET account = 'other' WHERE id = $1`, id)
	request := b.request(t, b.db, id)
	var given func()
	inTx(t, b.db, func(tx pgx.Tx) {
		_, err := store.QuotasLock(t.Context(), tx, []int64{other}, "post")
		require.NoError(t, err)
		require.NoError(t, store.StartRequests(t.Context(), tx, store.PostTweet, b.workerID, []*store.Request{request}))
		var session uint32
		session, given = b.background(t, func(ctx context.Context, tx pgx.Tx) error {
			return store.AccountsLimits(ctx, tx, []string{"acme"}, "mine")
		})
		waitBlocked(t, b.db, session)
	})
	given()
	require.Equal(t, 1, b.places(t, "all of the app"))
}

// lockWindows locks and saves the windows of accounts a few times, as claims do.
func lockWindows(ctx context.Context, b *testBundle, ids []int64) error {
	for range 10 {
		err := store.InTx(ctx, b.db, func(tx pgx.Tx) error {
			quotas, err := store.QuotasLock(ctx, tx, ids, "post")
			if err != nil {
				return err
			}
			return store.QuotasSave(ctx, tx, quotas)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
