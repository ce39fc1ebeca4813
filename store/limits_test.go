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
