package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// grant takes a place in every window of a kind, or reports that there is none.
func grant(ctx context.Context, db *pgxpool.Pool, kind store.Kind, accountID int64) (granted bool, err error) {
	return grantFor(ctx, db, kind, accountID, time.Time{})
}

// grantFor takes places for a request that arrives by an instant; zero: now.
func grantFor(ctx context.Context, db *pgxpool.Pool, kind store.Kind, accountID int64, at time.Time) (granted bool, err error) {
	err = store.InTx(ctx, db, func(tx pgx.Tx) error {
		quotas, err := store.QuotasLock(ctx, tx, []int64{accountID}, kind.Action())
		if err != nil {
			return err
		}
		now, err := store.Clock(ctx, tx)
		if err != nil {
			return err
		}
		for _, q := range quotas[accountID] {
			if q.Next(now).After(now) {
				return nil
			}
		}
		for _, q := range quotas[accountID] {
			if at.IsZero() {
				at = now
			}
			q.Take(at)
		}
		granted = true
		return store.QuotasSave(ctx, tx, quotas)
	})
	return granted, err
}

// places counts the places that a quota row says are taken.
func (b *testBundle) places(t *testing.T, name string) int {
	t.Helper()
	return query[int](t, b.db, `SELECT coalesce(sum(g), 0) FROM tweetqueue.quotas, unnest(grants) AS g WHERE name = $1`, name)
}

func TestQuotaRowsOfAnAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := map[store.Kind]map[string]store.Quota{
		store.PostTweet: {
			"posts":  {Maximum: 200, Period: 15 * time.Minute},
			"writes": {Maximum: 300, Period: 3 * time.Hour},
		},
		store.DeleteTweet: {"deletions": {Maximum: 50, Period: 15 * time.Minute}},
		store.Retweet:     {"writes": {Maximum: 300, Period: 3 * time.Hour}},
	}
	tx := storetest.Tx(t, b.db)
	for _, kind := range store.Kinds() {
		quotas, err := store.QuotasLock(t.Context(), tx, []int64{b.accountID, 12345}, kind.Action())
		require.NoError(t, err)
		require.Len(t, quotas, 1)
		require.Len(t, quotas[b.accountID], len(want[kind]))
		for i, q := range quotas[b.accountID] {
			require.Equal(t, want[kind][q.Name].Maximum, q.Maximum)
			require.Equal(t, want[kind][q.Name].Period, q.Period)
			require.True(t, i == 0 || quotas[b.accountID][i-1].ID < q.ID)
		}
	}
	// Of several actions, each row uses the windows that count its own.
	quotas, err := store.QuotasLock(t.Context(), tx, []int64{b.accountID}, store.PostTweet.Action(), store.DeleteTweet.Action())
	require.NoError(t, err)
	require.Len(t, quotas[b.accountID], 3)
	for _, kind := range store.Kinds() {
		require.Len(t, quotas.Of(b.accountID, kind.Action()), len(want[kind]))
	}
	require.Empty(t, quotas.Of(b.accountID, "undo_retweet"))
}

// Eight clients at once get what the window allows, no more and no less.
func TestQuotaUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group errgroup.Group
	counts := make([]int, 8)
	for i := range counts {
		group.Go(func() error {
			for range 10 {
				granted, err := grant(ctx, b.db, store.DeleteTweet, b.accountID)
				if err != nil {
					return err
				}
				if granted {
					counts[i]++
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	total := 0
	for _, n := range counts {
		total += n
	}
	require.Equal(t, 50, total)
	require.Equal(t, 50, b.places(t, "deletions"))

	// A window later they may again.
	storetest.MoveClock(t, b.db, 15*time.Minute+5*time.Second)
	granted, err := grant(ctx, b.db, store.DeleteTweet, b.accountID)
	require.NoError(t, err)
	require.True(t, granted)
	require.Equal(t, 1, b.places(t, "deletions"))
}

// granted starts the requests of new tweets, each with its places.
func (b *testBundle) granted(t *testing.T, n int) []*store.Request {
	t.Helper()
	var requests []*store.Request
	for range n {
		request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
		granted, err := grantFor(t.Context(), b.db, store.PostTweet, b.accountID, request.SendBy)
		require.NoError(t, err)
		require.True(t, granted)
		requests = append(requests, request)
	}
	return requests
}

func TestSettleGivesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := b.granted(t, 2)
	require.Equal(t, 2, b.places(t, "posts"))

	notSent := store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, GiveBack: true}
	b.settle(t, store.PostTweet, requests[0], notSent)
	require.Equal(t, 1, b.places(t, "posts"))
	require.Equal(t, 1, b.places(t, "writes"))
	b.settle(t, store.PostTweet, requests[0], notSent) // its commit seemed to fail: once is enough
	require.Equal(t, 1, b.places(t, "posts"))
	b.settle(t, store.PostTweet, requests[1], posted("1001"))
	require.Equal(t, 1, b.places(t, "posts"))
}

// An answer that took longer than send_by: its request may have arrived as late, and its place is held
// from then on.
func TestSettleHoldsLatePlacesLonger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := b.granted(t, 2)
	last := `SELECT buckets[cardinality(buckets)] FROM tweetqueue.quotas WHERE name = 'posts'`
	before := query[int64](t, b.db, last)
	b.settle(t, store.PostTweet, requests[0], posted("1001")) // in time
	require.Equal(t, before, query[int64](t, b.db, last))

	storetest.MoveClock(t, b.db, time.Minute)
	b.settle(t, store.PostTweet, requests[1], posted("1002"))
	bucket := (15 * time.Minute).Microseconds() / 256
	require.GreaterOrEqual(t, query[int64](t, b.db, last), before+(50*time.Second).Microseconds()/bucket)
	require.Equal(t, 2, b.places(t, "posts"))
	require.Equal(t, 2, b.places(t, "writes"))
	late := query[int64](t, b.db, last)
	storetest.MoveClock(t, b.db, 2*time.Minute)
	b.settle(t, store.PostTweet, requests[1], posted("1002")) // written again
	require.Equal(t, late, query[int64](t, b.db, last))
}

// What X refused it has not counted in the window that it says is full.
func TestSettleRefusedTakesNoPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settle(t, store.PostTweet, b.granted(t, 2)[0], store.Settlement{
		Status: store.Scheduled, WaitFor: store.ForQuota, Wait: time.Minute, Block: time.Minute, StatusCode: 429,
		Reports: []store.Report{{Family: "endpoint", Limit: 200, Reset: time.Minute, ResetAt: time.Now().Add(time.Minute)}},
	})
	require.Equal(t, 1, b.places(t, "posts"))
	require.Equal(t, 2, b.places(t, "writes"), "X may have counted it there")
	require.Equal(t, 199, query[int](t, b.db, `SELECT others FROM tweetqueue.quotas WHERE name = 'posts'`))
}

// What X said is of when it said so, however late it can be recorded.
func TestSettleLateAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := b.granted(t, 100)
	storetest.MoveClock(t, b.db, 5*time.Minute)
	reset := time.Now().Add(15 * time.Minute)
	b.settle(t, store.PostTweet, requests[0], store.Settlement{
		Status: store.Scheduled, WaitFor: store.ForQuota, Wait: 15 * time.Minute, Block: 15 * time.Minute, StatusCode: 429, Age: 5 * time.Minute,
		Reports: []store.Report{{Family: "endpoint", Limit: 200, Remaining: 0, Reset: 15 * time.Minute, ResetAt: reset}},
	})
	// The refused one has no place of the 100, and the others are in what X counted.
	require.Equal(t, 101, query[int](t, b.db, `SELECT others FROM tweetqueue.quotas WHERE name = 'posts'`))
	for _, column := range []string{"blocked_until", "others_until"} {
		require.WithinDuration(t, reset, query[time.Time](t, b.db, `SELECT `+column+` FROM tweetqueue.quotas WHERE name = 'posts'`), patience)
	}
	require.WithinDuration(t, reset, query[time.Time](t, b.db, `SELECT until FROM tweetqueue.quota_waits`), patience)
}

// Nobody knows when the requests of a dead worker arrived: their places are held from when they are taken over.
func TestTakeOverHoldsPlacesLonger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.granted(t, 2)
	last := `SELECT buckets[cardinality(buckets)] FROM tweetqueue.quotas WHERE name = 'posts'`
	before := query[int64](t, b.db, last)
	storetest.MoveClock(t, b.db, time.Minute)
	taken := b.dieAndTakeOver(t)
	require.Len(t, taken, 2)
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	inTx(t, b.db, func(tx pgx.Tx) {
		require.ErrorIs(t, store.PlacesProlong(t.Context(), tx, taken), store.ErrRowLocked)
		require.Equal(t, 1, query[int](t, tx, `SELECT 1`), "it goes on")
	})
	require.NoError(t, holder.Rollback(t.Context()))
	require.Equal(t, before, query[int64](t, b.db, last))
	inTx(t, b.db, func(tx pgx.Tx) { require.NoError(t, store.PlacesProlong(t.Context(), tx, taken)) })
	bucket := (15 * time.Minute).Microseconds() / 256
	require.GreaterOrEqual(t, query[int64](t, b.db, last), before+(50*time.Second).Microseconds()/bucket)
	require.Equal(t, 2, b.places(t, "posts"))
	require.Equal(t, 1, query[int](t, b.db, `SELECT cardinality(buckets) FROM tweetqueue.quotas WHERE name = 'posts'`))
}

func TestSettleBlocksTheShortestWindow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))
	s := store.Settlement{Status: store.Scheduled, WaitFor: store.ForQuota, Wait: 10 * time.Minute, Block: 10 * time.Minute, StatusCode: 429}
	b.settle(t, store.PostTweet, requests[0], s)
	blocked := `SELECT blocked_until FROM tweetqueue.quotas WHERE name = $1`
	until := query[*time.Time](t, b.db, blocked, "posts")
	require.WithinDuration(t, time.Now().Add(10*time.Minute), *until, patience)
	require.Nil(t, query[*time.Time](t, b.db, blocked, "writes"))
	require.Nil(t, query[*time.Time](t, b.db, blocked, "deletions"))
	granted, err := grant(t.Context(), b.db, store.PostTweet, b.accountID)
	require.NoError(t, err)
	require.False(t, granted)

	b.settle(t, store.PostTweet, requests[0], s) // written again: the block does not move
	require.Equal(t, until, query[*time.Time](t, b.db, blocked, "posts"))
	s.Block = time.Minute // another answer, which knows less
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "b", 0))[0], s)
	require.Equal(t, until, query[*time.Time](t, b.db, blocked, "posts"))
	storetest.MoveClock(t, b.db, 11*time.Minute)
	granted, err = grant(t.Context(), b.db, store.PostTweet, b.accountID)
	require.NoError(t, err)
	require.True(t, granted)
}

func TestPresetChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.granted(t, 3)
	exec(t, b.db, `INSERT INTO tweetqueue.limits (preset, name, actions, maximum, period) VALUES
		('plus', 'posts', '{post}', 100, '15 minutes'), ('plus', 'writes', '{post,retweet}', 10000, '24 hours')`)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET limits_preset = 'plus'`)
	require.Equal(t, []string{"posts 100 00:15:00", "writes 10000 24:00:00"},
		queryAll[string](t, b.db, `SELECT concat_ws(' ', name, maximum, period) FROM tweetqueue.quotas ORDER BY name`))
	require.Equal(t, 3, b.places(t, "posts"))  // as long as before: what was used stays used
	require.Equal(t, 3, b.places(t, "writes")) // and in a window that is longer now
}
