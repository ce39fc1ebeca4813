package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func me(per sandbox.Scope, most int, window time.Duration, family sandbox.Family) sandbox.Limit {
	return sandbox.Limit{Routes: []sandbox.Route{sandbox.RouteMe}, Per: per, Max: most, Window: window, Family: family}
}

func rolling(l sandbox.Limit) sandbox.Limit {
	l.Rolling = true
	return l
}

// TestRolling: a place is free again a window after its own request, not after the first.
func TestRolling(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	start := clock.Now()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
		rolling(me(sandbox.PerUser, 3, time.Minute, sandbox.FamilyUserDay)),
	}})
	get := func() reply { return b.do(b.acme, "GET", "/2/users/me", "") }
	for i, at := range []time.Duration{0, 20 * time.Second, 50 * time.Second} {
		clock.Advance(start.Add(at).Sub(clock.Now()))
		got := get()
		require.Equal(t, http.StatusOK, got.status)
		requireWindow(t, got, "x-user-limit-24hour", 3, 2-i, start.Add(time.Minute)) // when the oldest leaves
		requireNoFamily(t, got, "x-rate-limit")
	}
	clock.Advance(10*time.Second - time.Nanosecond)
	got := get()
	require.Equal(t, http.StatusTooManyRequests, got.status)
	requireWindow(t, got, "x-user-limit-24hour", 3, 0, start.Add(time.Minute))
	clock.Advance(time.Nanosecond)
	got = get()
	require.Equal(t, http.StatusOK, got.status, "the refused one took no place")
	requireWindow(t, got, "x-user-limit-24hour", 3, 0, start.Add(80*time.Second))
	require.Equal(t, http.StatusTooManyRequests, get().status)
	clock.Advance(20 * time.Second)
	require.Equal(t, http.StatusOK, get().status)
	require.Equal(t, http.StatusTooManyRequests, get().status)
	clock.Advance(time.Hour)
	got = get()
	requireWindow(t, got, "x-user-limit-24hour", 3, 2, clock.Now().Add(time.Minute))
}

// TestRollingNeverOver compares with the definition: of no window do more pass than its maximum,
// and none is refused that would fit.
func TestRollingNeverOver(t *testing.T) {
	t.Parallel()
	const most, window = 7, 10 * time.Second
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
		rolling(me(sandbox.PerUser, most, window, sandbox.FamilyEndpoint)),
	}})
	random := rand.New(rand.NewPCG(1, 2))
	var passed []time.Time
	refused := 0
	for range 500 {
		clock.Advance(time.Duration(random.IntN(2500)) * time.Millisecond)
		within := 0
		for _, at := range passed {
			if clock.Now().Sub(at) < window {
				within++
			}
		}
		want := http.StatusOK
		if within >= most {
			want = http.StatusTooManyRequests
			refused++
		}
		require.Equal(t, want, b.do(b.acme, "GET", "/2/users/me", "").status)
		if want == http.StatusOK {
			passed = append(passed, clock.Now())
		}
	}
	require.Positive(t, refused)
	require.Greater(t, len(passed), 100)
}

// TestForcedRolling: a 429 by a fault, where the window rolls.
func TestForcedRolling(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ wait, want time.Duration }{
		"Window": {0, time.Minute},
		"Wait":   {5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
				rolling(me(sandbox.PerUser, 3, time.Minute, sandbox.FamilyEndpoint)),
			}})
			b.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1, Wait: tt.wait})
			got := b.do(b.acme, "GET", "/2/users/me", "")
			require.Equal(t, http.StatusTooManyRequests, got.status)
			requireWindow(t, got, "x-rate-limit", 3, 0, clock.Now().Add(tt.want))
			clock.Advance(tt.want - time.Nanosecond)
			require.Equal(t, http.StatusTooManyRequests, b.do(b.acme, "GET", "/2/users/me", "").status)
			clock.Advance(time.Nanosecond)
			got = b.do(b.acme, "GET", "/2/users/me", "")
			requireWindow(t, got, "x-rate-limit", 3, 2, clock.Now().Add(time.Minute))
		})
	}
}

// TestScopesOfLimits: whose requests count together.
func TestScopesOfLimits(t *testing.T) {
	t.Parallel()
	for per, want := range map[sandbox.Scope]struct{ sameUser, sameApp, again int }{
		sandbox.PerUser:    {429, 200, 429},
		sandbox.PerUserApp: {200, 200, 429},
		sandbox.PerApp:     {200, 429, 429},
		sandbox.PerAppOnly: {200, 200, 200},
	} {
		t.Run(string(per), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{Limits: []sandbox.Limit{me(per, 1, time.Hour, sandbox.FamilyEndpoint)}})
			app, err := b.server.AddApp(sandbox.App{})
			require.NoError(t, err)
			get := func(who account) int { return b.do(who, "GET", "/2/users/me", "").status }
			require.Equal(t, http.StatusOK, get(b.acme))
			require.Equal(t, want.sameUser, get(b.authorize(app, b.acme.User)), "the user by another app")
			require.Equal(t, want.sameApp, get(b.user("other")), "another user by the app")
			require.Equal(t, want.again, get(b.acme), "again")
		})
	}
}

// TestAppOnlyLimits: an app's own token has limits of its own, and takes part in those of the app.
func TestAppOnlyLimits(t *testing.T) {
	t.Parallel()
	routes := []sandbox.Route{sandbox.RouteGetTweet}
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{
		{Routes: routes, Per: sandbox.PerUser, Max: 9, Window: time.Minute, Family: sandbox.FamilyEndpoint},
		{Routes: routes, Per: sandbox.PerAppOnly, Max: 2, Window: time.Minute, Family: sandbox.FamilyEndpoint},
		{Routes: routes, Per: sandbox.PerApp, Max: 4, Window: time.Hour, Family: sandbox.FamilyAppDay},
	}})
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	another, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	start := clock.Now()
	requireWindow(t, b.do(b.acme, "GET", "/2/tweets/1", ""), "x-rate-limit", 9, 8, start.Add(time.Minute))
	got := b.bearer(app, "GET", "/2/tweets/1", "")
	requireWindow(t, got, "x-rate-limit", 2, 1, start.Add(time.Minute))
	requireWindow(t, got, "x-app-limit-24hour", 4, 2, start.Add(time.Hour))
	require.Equal(t, http.StatusOK, b.bearer(another, "GET", "/2/tweets/1", "").status)
	require.Equal(t, http.StatusTooManyRequests, b.bearer(app, "GET", "/2/tweets/1", "").status)
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/tweets/1", "").status)
	got = b.do(b.acme, "GET", "/2/tweets/1", "")
	require.Equal(t, http.StatusTooManyRequests, got.status, "the app's")
	requireWindow(t, got, "x-rate-limit", 9, 7, start.Add(time.Minute))
	requireWindow(t, got, "x-app-limit-24hour", 4, 0, start.Add(time.Hour))
}

// TestCurrentLimits walks through what X's table says per user, and per app.
func TestCurrentLimits(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: sandbox.CurrentLimits()})
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	ends := clock.Now().Add(15 * time.Minute)
	user := "/2/users/" + b.acme.ID
	for call, limit := range map[string]int{
		"DELETE /2/tweets/1":             50,
		"POST " + user + "/retweets":     50,
		"DELETE " + user + "/retweets/1": 50,
		"GET /2/users/me":                75,
		"GET /2/tweets/1":                900,
		"GET /2/tweets?ids=1":            5000,
		"GET " + user + "/tweets":        900,
	} {
		var method, target string
		_, err := fmt.Sscan(call, &method, &target)
		require.NoError(t, err)
		requireWindow(t, b.do(b.acme, method, target, ""), "x-rate-limit", limit, limit-1, ends)
	}
	for target, limit := range map[string]int{
		"/2/tweets/1": 450, "/2/tweets?ids=1": 3500, user + "/tweets": 10000, "/2/usage/tweets": 50,
	} {
		requireWindow(t, b.bearer(app, "GET", target, ""), "x-rate-limit", limit, limit-1, ends)
	}
	for i := range 100 {
		got := b.post(b.acme, fmt.Sprint(i))
		require.Equal(t, http.StatusCreated, got.status)
		requireWindow(t, got, "x-rate-limit", 100, 99-i, ends)
		requireWindow(t, got, "x-app-limit-24hour", 10000, 9999-i, ends.Add(24*time.Hour-15*time.Minute))
	}
	require.Equal(t, http.StatusTooManyRequests, b.post(b.acme, "x").status)
	requireWindow(t, b.post(b.user("other"), "x"), "x-app-limit-24hour", 10000, 9899, ends.Add(24*time.Hour-15*time.Minute))
	clock.Advance(15 * time.Minute)
	require.Equal(t, http.StatusCreated, b.post(b.acme, "x").status)
}

// TestSharedWithRetweets: the guide's 300 in 3 hours count tweets and retweets, and nothing else.
func TestSharedWithRetweets(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	start := clock.Now()
	b := setup(t, sandbox.Config{Now: clock.Now})
	user := "/2/users/" + b.acme.ID
	for range 6 {
		for range 50 {
			require.NotEqual(t, http.StatusTooManyRequests, b.do(b.acme, "POST", user+"/retweets", `{"tweet_id":"1"}`).status)
		}
		require.Equal(t, http.StatusTooManyRequests, b.do(b.acme, "POST", user+"/retweets", `{"tweet_id":"1"}`).status)
		require.NotEqual(t, http.StatusTooManyRequests, b.do(b.acme, "DELETE", user+"/retweets/1", "").status)
		clock.Advance(15 * time.Minute)
	}
	got := b.post(b.acme, "x")
	require.Equal(t, http.StatusTooManyRequests, got.status)
	requireWindow(t, got, "x-rate-limit", 300, 0, start.Add(3*time.Hour))
	require.NotEqual(t, http.StatusTooManyRequests, b.do(b.acme, "DELETE", user+"/retweets/1", "").status)
	clock.Advance(90 * time.Minute)
	require.Equal(t, http.StatusCreated, b.post(b.acme, "x").status)
}

// TestMisleadingWindow: the day is used up, and the endpoint's window says that all is well.
func TestMisleadingWindow(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	clock := newTestClock()
	start := clock.Now()
	posts := []sandbox.Route{sandbox.RouteCreateTweet}
	b := setup(t, sandbox.Config{Now: clock.Now, MisleadingWindow: true, Limits: []sandbox.Limit{
		{Routes: posts, Per: sandbox.PerUser, Max: 2, Window: time.Minute, Family: sandbox.FamilyEndpoint},
		{Routes: posts, Per: sandbox.PerUser, Max: 3, Window: day, Family: sandbox.FamilyUserDay},
	}})
	for i := range 2 {
		got := b.post(b.acme, fmt.Sprint(i))
		requireWindow(t, got, "x-rate-limit", 1080000, 1079999-i, start.Add(15*time.Minute))
		requireWindow(t, got, "x-user-limit-24hour", 3, 2-i, start.Add(day))
	}
	got := b.post(b.acme, "too soon")
	require.Equal(t, http.StatusTooManyRequests, got.status, "the endpoint's own limit holds, untold")
	requireWindow(t, got, "x-rate-limit", 1080000, 1079997, start.Add(15*time.Minute))
	requireWindow(t, got, "x-user-limit-24hour", 3, 1, start.Add(day))

	clock.Advance(time.Minute)
	require.Equal(t, http.StatusCreated, b.post(b.acme, "the last one").status)
	clock.Advance(14 * time.Minute)
	got = b.post(b.acme, "after the reset of the window")
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, tooMany, got.body)
	requireWindow(t, got, "x-rate-limit", 1080000, 1079999, clock.Now().Add(15*time.Minute))
	requireWindow(t, got, "x-user-limit-24hour", 3, 0, start.Add(day))

	got = b.do(b.acme, "GET", "/2/users/me", "")
	requireWindow(t, got, "x-rate-limit", 1080000, 1079999, clock.Now().Add(15*time.Minute))
	b.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1})
	got = b.post(b.user("other"), "forced")
	require.Equal(t, http.StatusTooManyRequests, got.status)
	requireWindow(t, got, "x-rate-limit", 1080000, 1079999, clock.Now().Add(15*time.Minute))
}

// TestHiddenFamilies: a limit whose headers are missing holds all the same.
func TestHiddenFamilies(t *testing.T) {
	t.Parallel()
	for _, hidden := range []sandbox.Family{sandbox.FamilyEndpoint, sandbox.FamilyUserDay, sandbox.FamilyAppDay} {
		t.Run(string(hidden), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{HiddenFamilies: []sandbox.Family{hidden}, Limits: []sandbox.Limit{
				me(sandbox.PerUser, 2, time.Hour, hidden),
				me(sandbox.PerUser, 5, time.Hour, sandbox.FamilyEndpoint),
				me(sandbox.PerUser, 6, time.Hour, sandbox.FamilyUserDay),
				me(sandbox.PerApp, 7, time.Hour, sandbox.FamilyAppDay),
			}})
			for _, want := range []int{200, 200, 429} {
				got := b.do(b.acme, "GET", "/2/users/me", "")
				require.Equal(t, want, got.status)
				for family, limit := range map[sandbox.Family]string{
					sandbox.FamilyEndpoint: "5", sandbox.FamilyUserDay: "6", sandbox.FamilyAppDay: "7",
				} {
					if family == hidden {
						limit = ""
					}
					require.Equal(t, limit, got.header.Get(string(family)+"-limit"))
					require.Equal(t, limit == "", got.header.Get(string(family)+"-remaining") == "")
					require.Equal(t, limit == "", got.header.Get(string(family)+"-reset") == "")
				}
			}
		})
	}
}

// TestConcurrentKinds: 64 clients with tokens of all kinds, who refresh while they work. No limit
// is passed, and of two refreshes with one token exactly one gets another.
func TestConcurrentKinds(t *testing.T) {
	t.Parallel()
	const clients, each = 64, 12
	b := setup(t, sandbox.Config{KeepRequests: 100, Limits: []sandbox.Limit{
		rolling(me(sandbox.PerApp, 300, time.Hour, sandbox.FamilyAppDay)),
	}})
	app, token := b.oauth2(true)
	own, err := b.server.AppToken(app.Key)
	require.NoError(t, err)
	signed := b.authorize(app, b.acme.User)
	var mu sync.Mutex
	statuses := map[int]int{}
	refreshes := map[int]int{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			got := b.form("/2/oauth2/token", basic(app), "grant_type=refresh_token&refresh_token="+token.RefreshToken)
			mu.Lock()
			refreshes[got.status]++
			mu.Unlock()
			for i := range each {
				switch i % 3 {
				case 0:
					got = b.bearer(token.AccessToken, "GET", "/2/users/me", "")
				case 1:
					got = b.do(signed, "GET", "/2/users/me", "")
				case 2:
					got = b.bearer(own, "GET", "/2/tweets/1", "")
				}
				mu.Lock()
				statuses[got.status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[int]int{200: 1, 400: clients - 1}, refreshes)
	const reads = clients * each
	require.Equal(t, map[int]int{200: 300 + reads/3, 429: reads - 300 - reads/3}, statuses)
	require.Len(t, b.server.Requests(), 100)
}
