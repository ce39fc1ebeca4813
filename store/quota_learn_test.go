package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// answeredWith settles the account's next request as posted, with what X's headers told.
func (b *testBundle) answeredWith(t *testing.T, r store.Report) {
	t.Helper()
	request := b.granted(t, 1)[0]
	s := posted(fmt.Sprint(1000 + request.RowID))
	s.Reports = []store.Report{r}
	b.settle(t, store.PostTweet, request, s)
}

// told is a report that names the reset so far from now.
func told(family string, limit, remaining int, reset time.Duration) store.Report {
	return store.Report{Family: family, Limit: limit, Remaining: remaining, Reset: reset, ResetAt: time.Now().Add(reset)}
}

// learned lists the windows of which only X's headers have told.
func (b *testBundle) learned(t *testing.T) (names []string) {
	t.Helper()
	quotas, err := store.QuotasRead(t.Context(), b.db, nil, nil)
	require.NoError(t, err)
	for i := range quotas {
		if !quotas[i].Configured {
			names = append(names, quotas[i].Name)
		}
	}
	return names
}

// A reset that is told farther away than a window is long makes no other window.
func TestOddResetMakesNoWindow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answeredWith(t, told("endpoint", 100, 99, 15*time.Minute+3*time.Second))
	require.Equal(t, 100, b.windowOf(t, "posts").Max())
	b.answeredWith(t, told("endpoint", 90, 89, 2*time.Hour))
	require.Equal(t, 100, b.windowOf(t, "posts").Max())
	require.Empty(t, b.learned(t))
}

// A window of which X tells no more is over, and begins anew when X tells of it again.
func TestLearnedWindowEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const name = "post in 24 hours, by X"
	daily := told("user_24hour", 3, 2, 24*time.Hour)
	b.answeredWith(t, daily)
	require.Equal(t, []string{name}, b.learned(t))
	require.Equal(t, 1, b.places(t, name))

	// X tells of it still, and has no news.
	storetest.MoveClock(t, b.db, 23*time.Hour)
	b.answeredWith(t, store.Report{Family: "user_24hour", Limit: 3, Remaining: -1})
	storetest.MoveClock(t, b.db, 23*time.Hour+47*time.Hour)
	require.Equal(t, []string{name}, b.learned(t))

	// X's block outlasts that.
	exec(t, b.db, `UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + interval '2 hours' WHERE name = $1`, name)
	storetest.MoveClock(t, b.db, 23*time.Hour+48*time.Hour+time.Minute)
	require.Equal(t, []string{name}, b.learned(t))
	granted, err := grant(t.Context(), b.db, store.PostTweet, b.accountID)
	require.NoError(t, err)
	require.False(t, granted)

	storetest.MoveClock(t, b.db, 23*time.Hour+50*time.Hour)
	require.Empty(t, b.learned(t))
	b.granted(t, 5) // it holds nothing back
	require.Equal(t, []string{"posts", "deletions", "writes"}, queryAll[string](t, b.db,
		`SELECT name FROM tweetqueue.quotas WHERE name <> $1 ORDER BY id`, name))

	b.answeredWith(t, daily)
	require.Equal(t, []string{name}, b.learned(t))
	require.Equal(t, 6, b.places(t, name), "all that were sent in its period")
}

// What is being sent is counted only while others were seen lately.
func TestOthersAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := b.granted(t, 2)
	s := posted("1001")
	s.Reports = []store.Report{told("endpoint", 200, 100, 15*time.Minute)}
	b.settle(t, store.PostTweet, requests[0], s)
	open := func() (n int) {
		inTx(t, b.db, func(tx pgx.Tx) {
			quotas, err := store.QuotasLock(t.Context(), tx, []int64{b.accountID}, "post")
			require.NoError(t, err)
			require.Equal(t, "posts", quotas[b.accountID][0].Name)
			n = quotas[b.accountID][0].Open
		})
		return n
	}
	require.Equal(t, 1, open())
	require.NotNil(t, b.windowOf(t, "posts").OthersSeen)
	storetest.MoveClock(t, b.db, 30*time.Minute+time.Second)
	require.Zero(t, open())
	require.Nil(t, b.windowOf(t, "posts").OthersSeen)
}

// A claim that waits for the windows while X tells of another one, or a person adds one, takes a place in that one, too:
// else its request would seem to be another tool's.
func TestWindowThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	daily := told("user_24hour", 100, 99, 24*time.Hour)
	for name, add := range map[string]func(*testing.T, *testBundle, pgx.Tx, *store.Request){
		"Learned": func(t *testing.T, _ *testBundle, tx pgx.Tx, request *store.Request) {
			t.Helper()
			s := posted("1001")
			s.RequestID, s.RowID, s.AccountID, s.SendBy, s.Reports = request.ID, request.RowID, request.AccountID, request.SendBy, []store.Report{daily}
			_, err := store.Settle(t.Context(), tx, store.PostTweet, []store.Settlement{s})
			require.NoError(t, err)
		},
		"Preset": func(t *testing.T, _ *testBundle, tx pgx.Tx, _ *store.Request) {
			t.Helper()
			_, err := store.LimitPut(t.Context(), tx, store.Limit{Preset: "mine", Name: "post in 24 hours, by X", Per: "user", Actions: []string{"post"}, Maximum: 100, Period: 24 * time.Hour})
			require.NoError(t, err)
			require.NoError(t, store.AccountsLimits(t.Context(), tx, []string{"acme"}, "mine"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			request := b.granted(t, 1)[0]
			var claim uint32
			var claimed func()
			inTx(t, b.db, func(tx pgx.Tx) {
				add(t, b, tx, request)
				claim, claimed = b.background(t, func(ctx context.Context, tx pgx.Tx) error {
					quotas, err := store.QuotasLock(ctx, tx, []int64{b.accountID}, "post")
					for _, q := range quotas[b.accountID] {
						q.Take(time.Now())
					}
					return errors.Join(err, store.QuotasSave(ctx, tx, quotas))
				})
				waitBlocked(t, b.db, claim)
			})
			claimed()
			require.Equal(t, 2, b.places(t, "post in 24 hours, by X"))
		})
	}
}

// A request whose claim was under way when a window was learned has taken no place in it. It is ours all the same.
func TestLearnedDuringAClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const name = "post in 24 hours, by X"
	daily := func(remaining int) store.Report {
		return store.Report{Family: "user_24hour", Limit: 100, Remaining: remaining, Reset: 24 * time.Hour, ResetAt: time.Now().Add(24 * time.Hour).Truncate(time.Minute)}
	}
	requests := b.granted(t, 4) // before anybody knows of the window
	for i, request := range requests {
		s := posted(fmt.Sprint(1000 + request.RowID))
		s.Reports = []store.Report{daily(99 - i)}
		b.settle(t, store.PostTweet, request, s)
		if i == 0 {
			require.Equal(t, []string{name}, b.learned(t))
			// As if the claims of the others had been committed only now.
			exec(t, b.db, `UPDATE tweetqueue.quotas SET buckets = buckets[:1], grants = '{1}' WHERE name = $1`, name)
		}
		require.Zero(t, b.windowOf(t, name).Others)
	}
	require.Equal(t, 4, b.places(t, name))

	b.answeredWith(t, daily(90))
	require.Equal(t, 5, b.windowOf(t, name).Others, "what others have taken is others'")
}
