package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestSpend: another client takes half of the limit, and the headers tell of what is left.
func TestSpend(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string][]sandbox.Limit{
		"Anchored": sandbox.CurrentLimits(),
		"Rolling":  sandbox.Rolling(sandbox.CurrentLimits()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			start := clock.Now()
			b := setup(t, sandbox.Config{Now: clock.Now, Limits: limits})
			spend := func(n int) int {
				t.Helper()
				granted, err := b.server.Spend(b.app.Key, "ACME", sandbox.RouteCreateTweet, n)
				require.NoError(t, err)
				return granted
			}
			require.Equal(t, 50, spend(50))
			require.Empty(t, b.server.Requests())
			clock.Advance(time.Minute)
			got := b.post(b.acme, "x")
			requireWindow(t, got, "x-rate-limit", 100, 49, start.Add(15*time.Minute))
			requireWindow(t, got, "x-app-limit-24hour", 10_000, 9_949, start.Add(24*time.Hour))
			require.Equal(t, 49, spend(1000), "no more than there are")
			require.Equal(t, 0, spend(1))
			require.Equal(t, http.StatusTooManyRequests, b.post(b.acme, "y").status)
			require.Equal(t, http.StatusCreated, b.post(b.user("other"), "y").status)
			clock.Advance(14 * time.Minute)
			require.Equal(t, http.StatusCreated, b.post(b.acme, "y").status)
		})
	}
}

func TestSpendRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, tt := range []struct {
		app, user string
		route     sandbox.Route
		want      string
	}{
		{b.app.Key, "acme", "GET /", `spend 1 of "GET /": it is no route that takes a user's token`},
		{b.app.Key, "acme", sandbox.RouteUsage, "it is no route that takes a user's token"},
		{b.app.Key, "nobody", sandbox.RouteMe, "no such user"},
		{"none", "acme", sandbox.RouteMe, "no app has this key"},
	} {
		_, err := b.server.Spend(tt.app, tt.user, tt.route, 1)
		require.ErrorContains(t, err, tt.want)
	}
}

// TestCompress: windows are shorter, and what was given is as it was.
func TestCompress(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	start := clock.Now()
	limits := sandbox.DefaultLimits()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: sandbox.Compress(limits, 60)})
	require.Equal(t, sandbox.DefaultLimits(), limits)
	requireWindow(t, b.post(b.acme, "x"), "x-rate-limit", 200, 199, start.Add(15*time.Second))
	granted, err := b.server.Spend(b.app.Key, "acme", sandbox.RouteCreateTweet, 200)
	require.NoError(t, err)
	require.Equal(t, 199, granted)
	clock.Advance(15 * time.Second)
	_, err = b.server.Spend(b.app.Key, "acme", sandbox.RouteCreateTweet, 200)
	require.NoError(t, err)
	requireWindow(t, b.post(b.acme, "y"), "x-rate-limit", 300, 0, start.Add(3*time.Minute))
}

// TestRollingOfAll: every window rolls, and what was given is as it was.
func TestRollingOfAll(t *testing.T) {
	t.Parallel()
	limits := sandbox.CurrentLimits()
	for i, l := range sandbox.Rolling(limits) {
		require.True(t, l.Rolling)
		require.False(t, limits[i].Rolling)
	}
}
