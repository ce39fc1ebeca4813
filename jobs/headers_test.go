package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// window is what the database knows of one of acme's windows, or of one of its app's.
type window struct {
	maximum, xMaximum, others int
	configured, blocked       bool
}

func (w *world) window(name string) (got window) {
	w.Helper()
	require.NoError(w, w.db.QueryRow(w.Context(), `SELECT maximum, coalesce(x_maximum, 0), others, configured, coalesce(blocked_until > tweetqueue.clock(), false)
FROM tweetqueue.quotas WHERE name = $1`, name).Scan(&got.maximum, &got.xMaximum, &got.others, &got.configured, &got.blocked), name)
	return got
}

// X's lower maximum counts from its first answer on, and what another client has used of the limit.
func TestHeadersOutrankTheConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{Limits: sandbox.CurrentLimits()})
	spent, err := w.x.Spend(w.app.Key, "acme", sandbox.RouteCreateTweet, 97)
	require.NoError(t, err)
	require.Equal(t, 97, spent)
	r := w.start(opts{})
	first := w.tweet("one")
	r.wait(EventDone, first)
	require.Equal(t, window{maximum: 200, xMaximum: 100, others: 97, configured: true}, w.window("posts"))
	require.Equal(t, window{maximum: 10_000, xMaximum: 10_000, others: 97}, w.window("post of the app in 24 hours, by X"))
	second, third := w.tweet("two"), w.tweet("three")
	r.wait(EventDone, second, third)
	event := r.wait(EventWaiting, w.tweet("four"))
	require.Equal(t, "no place was left in the limit posts", event.Reason)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), *event.Until, time.Minute)
	require.Len(t, w.x.Requests(), 3, "no 429")
}

// A 429 that comes in spite of our count corrects it; what X does not limit goes on.
func TestRateLimitedRetweetLeavesTweetsAlone(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{Limits: sandbox.DefaultLimits()})
	_, err := w.x.Spend(w.app.Key, "acme", sandbox.RouteRetweet, 50)
	require.NoError(t, err)
	r := w.start(opts{})
	id := storetest.Retweet(t, w.db, tweetID, 0)
	event := r.wait(EventWaiting, id)
	require.Equal(t, store.ForQuota, event.WaitingFor)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), *event.Until, time.Minute)
	require.Equal(t, window{maximum: 50, xMaximum: 50, others: 50, blocked: true}, w.window("retweet in 15m, by X"))
	require.False(t, w.window("writes").blocked)
	r.wait(EventDone, w.tweet("goes on"))
	w.requireNoAttempts()
}

// On the 429 of a day the endpoint's reset misleads: it is the day's that counts.
func TestDailyLimitBehindAMisleadingWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{MisleadingWindow: true, Limits: []sandbox.Limit{{
		Routes: []sandbox.Route{sandbox.RouteCreateTweet}, Per: sandbox.PerUser, Max: 2, Window: 24 * time.Hour, Family: sandbox.FamilyUserDay,
	}}})
	_, err := w.x.Spend(w.app.Key, "acme", sandbox.RouteCreateTweet, 2)
	require.NoError(t, err)
	r := w.start(opts{})
	event := r.wait(EventWaiting, w.tweet("one"))
	require.WithinDuration(t, time.Now().Add(24*time.Hour), *event.Until, time.Minute)
	day := w.window("post in 24 hours, by X")
	require.Equal(t, 2, day.maximum)
	require.True(t, day.blocked)
	require.Equal(t, window{maximum: 200, configured: true}, w.window("posts"))
	two := w.tweet("two")
	w.eventually("it waits, too", func() bool { return w.status(two) == "scheduled:quota" })
	require.Len(t, w.x.Requests(), 1)
}

// A look-up takes a place of its own limit, waits for one, and X tells of it.
func TestLookUpsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{Limits: sandbox.CurrentLimits()})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1})
	w.exec(`INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period) SELECT id, 'look-ups', '{look_up}', 1, '3 seconds' FROM tweetqueue.accounts`)
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Millisecond}}})
	r.wait(EventDone, w.tweet("one"))
	require.Equal(t, window{maximum: 900, xMaximum: 900}, w.window("look up in 15m, by X"))
	require.Equal(t, 1, w.taken("look-ups"))

	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1})
	r.wait(EventDone, w.tweet("two"))
	lookUps := one[[]time.Time](w, `SELECT array_agg(granted_at ORDER BY id) FROM tweetqueue.requests WHERE kind = 'look_up'`)
	require.Len(t, lookUps, 2)
	require.GreaterOrEqual(t, lookUps[1].Sub(lookUps[0]), 3*time.Second)
}
