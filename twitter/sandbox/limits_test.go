package sandbox_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

const tooMany = `{"title":"Too Many Requests","detail":"Too Many Requests","type":"about:blank","status":429}`

// requireWindow checks one family of headers.
func requireWindow(t *testing.T, r reply, family string, limit, remaining int, reset time.Time) {
	t.Helper()
	require.Equal(t, strconv.Itoa(limit), r.header.Get(family+"-limit"))
	require.Equal(t, strconv.Itoa(remaining), r.header.Get(family+"-remaining"))
	require.Equal(t, strconv.FormatInt(reset.Unix(), 10), r.header.Get(family+"-reset"))
}

func requireNoFamily(t *testing.T, r reply, family string) {
	t.Helper()
	for name := range r.header {
		require.False(t, strings.HasPrefix(strings.ToLower(name), family), name)
	}
}

// TestDefaultLimits walks through 200 posts per 15 minutes and 300 per 3 hours, as a user sees them.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	start := clock.Now()
	b := setup(t, sandbox.Config{Now: clock.Now})
	n := 0
	post := func() reply {
		n++
		return b.post(b.acme, fmt.Sprintf("tweet %d", n))
	}
	for i := range 200 {
		got := post()
		require.Equal(t, http.StatusCreated, got.status)
		requireWindow(t, got, "x-rate-limit", 200, 199-i, start.Add(15*time.Minute))
		clock.Advance(time.Second)
	}
	got := post()
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, tooMany, got.body)
	requireWindow(t, got, "x-rate-limit", 200, 0, start.Add(15*time.Minute))
	requireNoFamily(t, got, "x-user-limit")
	requireNoFamily(t, got, "x-app-limit")
	require.Empty(t, got.header.Values("retry-after"))
	require.Equal(t, "read-write", got.header.Get("x-access-level"))

	other := b.user("other")
	require.Equal(t, http.StatusCreated, b.post(other, "mine is another").status, "counted per user")
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status, "counted per route")
	got = b.do(b.acme, "DELETE", "/2/tweets/"+b.server.Tweets()[0].ID, "")
	requireWindow(t, got, "x-rate-limit", 50, 49, clock.Now().Add(15*time.Minute))

	clock.Advance(start.Add(15*time.Minute - time.Nanosecond).Sub(clock.Now()))
	require.Equal(t, http.StatusTooManyRequests, post().status, "the window has not ended")
	clock.Advance(time.Nanosecond)
	for i := range 99 {
		got = post()
		require.Equal(t, http.StatusCreated, got.status)
		requireWindow(t, got, "x-rate-limit", 200, 199-i, start.Add(30*time.Minute))
	}
	got = post()
	require.Equal(t, http.StatusCreated, got.status)
	requireWindow(t, got, "x-rate-limit", 300, 0, start.Add(3*time.Hour)) // the 300th shows what binds now
	got = post()
	require.Equal(t, http.StatusTooManyRequests, got.status)
	requireWindow(t, got, "x-rate-limit", 300, 0, start.Add(3*time.Hour))
	clock.Advance(2 * time.Hour)
	require.Equal(t, http.StatusTooManyRequests, post().status)
	clock.Advance(start.Add(3 * time.Hour).Sub(clock.Now()))
	got = post()
	require.Equal(t, http.StatusCreated, got.status)
	requireWindow(t, got, "x-rate-limit", 200, 199, clock.Now().Add(15*time.Minute))
}

func TestDeleteLimit(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	for i := range 50 {
		got := b.do(b.acme, "DELETE", "/2/tweets/1", "")
		require.Equal(t, http.StatusNotFound, got.status)
		requireWindow(t, got, "x-rate-limit", 50, 49-i, clock.Now().Add(15*time.Minute))
	}
	require.Equal(t, http.StatusTooManyRequests, b.do(b.acme, "DELETE", "/2/tweets/1", "").status)
	clock.Advance(15 * time.Minute)
	require.Equal(t, http.StatusNotFound, b.do(b.acme, "DELETE", "/2/tweets/1", "").status)
}

// TestReset: it is a full second, never before the window's end, and the window is not a moment
// longer than it should be.
func TestReset(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	clock.Advance(300 * time.Millisecond)
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
		{Routes: []sandbox.Route{sandbox.RouteMe}, Per: sandbox.PerUser, Max: 1, Window: 1500 * time.Millisecond, Family: sandbox.FamilyEndpoint},
	}})
	get := func() reply { return b.do(b.acme, "GET", "/2/users/me", "") }
	ends := clock.Now().Add(1500 * time.Millisecond)
	got := get()
	require.Equal(t, http.StatusOK, got.status)
	requireWindow(t, got, "x-rate-limit", 1, 0, ends.Add(200*time.Millisecond))
	clock.Advance(1499 * time.Millisecond)
	require.Equal(t, http.StatusTooManyRequests, get().status)
	clock.Advance(time.Millisecond)
	require.Equal(t, http.StatusOK, get().status)
}

// TestFamilies: an app's and a user's cap per day, beside a window that means nothing.
func TestFamilies(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	routes := []sandbox.Route{sandbox.RouteCreateTweet, sandbox.RouteDeleteTweet}
	clock := newTestClock()
	start := clock.Now()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
		{Routes: routes, Per: sandbox.PerUser, Max: 1080000, Window: 15 * time.Minute, Family: sandbox.FamilyEndpoint},
		{Routes: routes, Per: sandbox.PerUser, Max: 2, Window: day, Family: sandbox.FamilyUserDay},
		{Routes: routes, Per: sandbox.PerApp, Max: 3, Window: day, Family: sandbox.FamilyAppDay},
		{Routes: routes, Per: sandbox.PerUser, Max: 1, Window: time.Second, Family: sandbox.FamilyNone},
	}})
	got := b.post(b.acme, "a")
	require.Equal(t, http.StatusCreated, got.status)
	requireWindow(t, got, "x-rate-limit", 1080000, 1079999, start.Add(15*time.Minute))
	requireWindow(t, got, "x-user-limit-24hour", 2, 1, start.Add(day))
	requireWindow(t, got, "x-app-limit-24hour", 3, 2, start.Add(day))
	requireNoFamily(t, got, "-") // what a family without a name would begin with

	got = b.post(b.acme, "b")
	require.Equal(t, http.StatusTooManyRequests, got.status, "the limit that no header tells of")
	requireWindow(t, got, "x-user-limit-24hour", 2, 1, start.Add(day))
	clock.Advance(time.Second)
	got = b.do(b.acme, "DELETE", "/2/tweets/1", "")
	require.Equal(t, http.StatusNotFound, got.status, "counted with the posts")
	requireWindow(t, got, "x-user-limit-24hour", 2, 0, start.Add(day))
	clock.Advance(time.Second)
	got = b.post(b.acme, "b")
	require.Equal(t, http.StatusTooManyRequests, got.status, "the user's day is used up")
	requireWindow(t, got, "x-rate-limit", 1080000, 1079998, start.Add(15*time.Minute))
	requireWindow(t, got, "x-user-limit-24hour", 2, 0, start.Add(day))
	requireWindow(t, got, "x-app-limit-24hour", 3, 1, start.Add(day))

	other := b.user("other")
	require.Equal(t, http.StatusCreated, b.post(other, "a").status)
	clock.Advance(time.Second)
	got = b.post(other, "b")
	require.Equal(t, http.StatusTooManyRequests, got.status, "the app's day is used up")
	requireWindow(t, got, "x-user-limit-24hour", 2, 1, start.Add(day+2*time.Second))
	requireWindow(t, got, "x-app-limit-24hour", 3, 0, start.Add(day))

	app, err := b.server.AddApp(sandbox.App{})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, b.post(b.authorize(app, other.User), "b").status, "another app's day is not")
	require.Equal(t, http.StatusTooManyRequests, b.post(b.authorize(app, b.acme.User), "b").status, "the user's is the same for all apps")

	got = b.do(b.acme, "GET", "/2/users/me", "")
	requireNoFamily(t, got, "x-rate-limit") // no limit, no header
}

// TestSharedFamily: of two exhausted limits, the headers tell of the one that ends last, in
// whichever order they are configured.
func TestSharedFamily(t *testing.T) {
	t.Parallel()
	limits := []sandbox.Limit{
		{Routes: []sandbox.Route{sandbox.RouteMe}, Per: sandbox.PerUser, Max: 2, Window: time.Minute, Family: sandbox.FamilyEndpoint},
		{Routes: []sandbox.Route{sandbox.RouteMe}, Per: sandbox.PerUser, Max: 2, Window: time.Hour, Family: sandbox.FamilyEndpoint},
	}
	for name, configured := range map[string][]sandbox.Limit{
		"ShortFirst": limits,
		"LongFirst":  {limits[1], limits[0]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			b := setup(t, sandbox.Config{Now: clock.Now, Limits: configured})
			first := b.do(b.acme, "GET", "/2/users/me", "")
			requireWindow(t, first, "x-rate-limit", 2, 1, clock.Now().Add(configured[0].Window))
			for range 2 {
				got := b.do(b.acme, "GET", "/2/users/me", "")
				requireWindow(t, got, "x-rate-limit", 2, 0, clock.Now().Add(time.Hour))
			}
		})
	}
}

// TestWhatCounts: refusals after the limits stage count, those before do not.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	remaining := 200
	used := func(got reply, status, by int) {
		t.Helper()
		require.Equal(t, status, got.status)
		remaining -= by
		next := b.post(b.acme, fmt.Sprintf("probe %d", remaining))
		remaining--
		require.Equal(t, strconv.Itoa(remaining), next.header.Get("x-rate-limit-remaining"))
	}
	used(b.post(b.acme, ""), 400, 1)
	used(b.post(b.acme, strings.Repeat("の", 141)), 403, 1)
	used(b.post(b.acme, "probe 199"), 403, 1)
	readOnly, err := b.server.AddApp(sandbox.App{ReadOnly: true})
	require.NoError(t, err)
	used(b.post(b.authorize(readOnly, b.acme.User), "x"), 403, 1)
	wrong := b.acme
	wrong.creds.AccessTokenSecret = "wrong"
	used(b.post(wrong, "x"), 401, 0)
	for _, f := range []sandbox.Fault{
		{Kind: sandbox.KindStatusBefore, Times: 1},
		{Kind: sandbox.KindSpendCapReached, Times: 1},
		{Kind: sandbox.KindUsageCapExceeded, Times: 1},
	} {
		b.fault(f)
		got := b.post(b.acme, "x")
		requireWindow(t, got, "x-rate-limit", 200, remaining, clock.Now().Add(15*time.Minute))
		used(got, got.status, 0)
	}
	b.fault(sandbox.Fault{Kind: sandbox.KindCreditsDepleted, Times: 1})
	got := b.post(b.acme, "x")
	requireNoFamily(t, got, "x-rate-limit")
	used(got, 402, 0)
	b.fault(sandbox.Fault{Kind: sandbox.KindStatusAfter, Times: 1})
	used(b.post(b.acme, "x"), 503, 1)
}
