package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestDrop(t *testing.T) {
	t.Parallel()
	for kind, outcome := range map[sandbox.Kind]sandbox.Outcome{
		sandbox.KindDropBefore: sandbox.OutcomeNothing,
		sandbox.KindDropAfter:  sandbox.OutcomeCreated,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{})
			b.fault(sandbox.Fault{Kind: kind, Times: 1})
			_, err := b.send(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
			require.ErrorContains(t, err, "EOF")
			r := b.last()
			require.Equal(t, outcome, r.Outcome)
			require.Equal(t, kind, r.Fault)
			require.Zero(t, r.Status)
			require.False(t, r.EndedAt.IsZero())
			if outcome == sandbox.OutcomeNothing {
				require.Empty(t, b.server.Tweets())
				b.mustPost(b.acme, "x")
				return
			}
			require.Equal(t, b.server.Tweets()[0].ID, r.TweetID)
			require.Equal(t, http.StatusForbidden, b.post(b.acme, "x").status, "a duplicate: it was created")
		})
	}
}

func TestDropAfterDelete(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	id := b.mustPost(b.acme, "x")
	b.fault(sandbox.Fault{Match: sandbox.Match{TweetID: id}, Kind: sandbox.KindDropAfter, Times: 1})
	_, err := b.send(b.request(b.acme, "DELETE", "/2/tweets/"+id, ""))
	require.Error(t, err)
	require.False(t, b.server.Tweets()[0].DeletedAt.IsZero())
	require.Equal(t, sandbox.OutcomeDeleted, b.last().Outcome)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 500, 502, 503, 504, 528, 408, 404} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%dAfter%t", status, after), func(t *testing.T) {
				t.Parallel()
				b := setup(t, sandbox.Config{})
				f := sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: status, Times: 1}
				if after {
					f.Kind = sandbox.KindStatusAfter
				}
				b.fault(f)
				got := b.post(b.acme, "x")
				want := status
				if want == 0 {
					want = 503
				}
				require.Equal(t, want, got.status)
				title := http.StatusText(want)
				if title == "" {
					title = "Error"
				}
				require.Equal(t, fmt.Sprintf(`{"title":"%s","detail":"%s","type":"about:blank","status":%d}`, title, title, want), got.body)
				require.Equal(t, "read-write", got.header.Get("x-access-level"))
				require.Equal(t, want, b.last().Status)
				if after {
					require.Len(t, b.server.Tweets(), 1)
					require.Equal(t, sandbox.OutcomeCreated, b.last().Outcome)
					require.Equal(t, b.server.Tweets()[0].ID, b.last().TweetID)
				} else {
					require.Empty(t, b.server.Tweets())
					require.Equal(t, sandbox.OutcomeRefused, b.last().Outcome)
				}
			})
		}
	}
}

// TestHold: the request is seen while it is held, and goes on when the test says so.
func TestHold(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	gate := b.fault(sandbox.Fault{Match: sandbox.Match{Text: "wait"}, Kind: sandbox.KindHoldBefore})
	first := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("wait 1")))
	second := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("wait 2")))
	require.NoError(t, gate.WaitHeld(waitContext(t), 2))
	require.Empty(t, b.server.Tweets())
	for _, r := range b.server.Requests() {
		require.Equal(t, sandbox.OutcomeOpen, r.Outcome)
		require.True(t, r.EndedAt.IsZero())
	}
	b.mustPost(b.acme, "passes")
	gate.Lift()
	gate.Lift()
	for _, c := range []<-chan result{first, second} {
		got := receive(t, c)
		require.NoError(t, got.err)
		require.Equal(t, http.StatusCreated, got.status)
	}
	b.mustPost(b.acme, "wait 3") // lifted
	require.Equal(t, 2, gate.Hits())
}

func TestHoldAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	gate := b.fault(sandbox.Fault{Kind: sandbox.KindHoldAfter, Times: 1})
	c := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
	require.NoError(t, gate.WaitHeld(waitContext(t), 1))
	require.Len(t, b.server.Tweets(), 1, "created before the answer")
	r := b.last()
	require.Equal(t, sandbox.OutcomeCreated, r.Outcome)
	require.Equal(t, b.server.Tweets()[0].ID, r.TweetID)
	require.True(t, r.EndedAt.IsZero())
	gate.Lift()
	require.Equal(t, http.StatusCreated, receive(t, c).status)
	require.Equal(t, http.StatusCreated, b.last().Status)
}

// TestSlow: a delay ends by itself.
func TestSlow(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{sandbox.KindHoldBefore, sandbox.KindHoldAfter} {
		b := setup(t, sandbox.Config{})
		b.fault(sandbox.Fault{Kind: kind, Delay: 30 * time.Millisecond})
		began := time.Now()
		b.mustPost(b.acme, "x")
		require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
		held := b.server.Tweets()[0].CreatedAt.Sub(b.last().ArrivedAt)
		if kind == sandbox.KindHoldBefore {
			require.GreaterOrEqual(t, held, 29*time.Millisecond, "ids have milliseconds")
		} else {
			require.GreaterOrEqual(t, b.last().EndedAt.Sub(b.server.Tweets()[0].CreatedAt), 30*time.Millisecond)
		}
	}
}

// sendUntilHeld sends a request that the fault holds, and then gives up on it as a client does whose
// time is out.
func sendUntilHeld(t *testing.T, b *testBundle, f *sandbox.ActiveFault, r *http.Request) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := b.async(r.WithContext(ctx))
	require.NoError(t, f.WaitHeld(waitContext(t), 1))
	cancel()
	require.ErrorIs(t, receive(t, c).err, context.Canceled)
}

// TestLateRequest: a client that gave up on a held request has posted all the same.
func TestLateRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	gate := b.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	sendUntilHeld(t, b, gate, b.request(b.acme, "POST", "/2/tweets", textBody("late")))
	require.Empty(t, b.server.Tweets())
	gate.Lift()
	ended, err := b.server.WaitRequests(waitContext(t), 1, sandbox.Match{Text: "late"})
	require.NoError(t, err)
	require.Equal(t, sandbox.OutcomeCreated, ended[0].Outcome)
	require.Len(t, b.server.Tweets(), 1)
}

// TestHang: nobody is answered, and the request ends when its client leaves.
func TestHang(t *testing.T) {
	t.Parallel()
	for kind, tweets := range map[sandbox.Kind]int{sandbox.KindHangBefore: 0, sandbox.KindHangAfter: 1} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{})
			f := b.fault(sandbox.Fault{Kind: kind, Times: 1})
			sendUntilHeld(t, b, f, b.request(b.acme, "POST", "/2/tweets", textBody("x")))
			ended, err := b.server.WaitRequests(waitContext(t), 1, sandbox.Match{})
			require.NoError(t, err)
			require.Zero(t, ended[0].Status)
			require.Equal(t, kind, ended[0].Fault)
			require.Len(t, b.server.Tweets(), tweets)
		})
	}
	t.Run("Lift", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		f := b.fault(sandbox.Fault{Kind: sandbox.KindHangBefore})
		c := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
		require.NoError(t, f.WaitHeld(waitContext(t), 1))
		f.Lift()
		require.ErrorContains(t, receive(t, c).err, "EOF")
		require.Empty(t, b.server.Tweets())
	})
}

// TestRefusals has the bodies of X that were captured.
func TestRefusals(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	plain := func(detail string) string {
		return `{"detail":"` + detail + `","type":"about:blank","title":"Forbidden","status":403}`
	}
	tests := map[sandbox.Kind]struct {
		status int
		body   string
	}{
		sandbox.KindUnauthorized: {401, unauthorizedBody},
		sandbox.KindCreditsDepleted: {402, `{"title":"CreditsDepleted","detail":"Your enrolled account [2012982477812371456] does not have any credits to fulfill this request.",` +
			`"type":"https://api.twitter.com/2/problems/credits"}`},
		sandbox.KindSpendCapReached: {403, `{"title":"SpendCapReached","detail":"Your enrolled account [2012982477812371456] has reached its billing cycle spend cap. ` +
			`API requests will be blocked until the next cycle begins on 2026-12-01.","reset_date":"2026-12-01","type":"https://api.twitter.com/2/problems/credits"}`},
		sandbox.KindUsageCapExceeded: {429, `{"title":"UsageCapExceeded","detail":"Usage cap exceeded: Monthly product cap",` +
			`"type":"https://api.twitter.com/2/problems/usage-capped","period":"Monthly","scope":"Product","account_id":2012982477812371456}`},
		sandbox.KindRateLimited: {429, tooMany},
		sandbox.KindReadOnlyApp: {403, `{"title":"Forbidden","type":"https://api.twitter.com/2/problems/oauth1-permissions",` +
			`"detail":"Your client app is not configured with the appropriate oauth1 app permissions for this endpoint."}`},
		sandbox.KindUserSuspended: {403, `{"detail":"The user used for authentication is suspended","title":"Forbidden","status":403,` +
			`"type":"https://api.twitter.com/2/problems/user-suspended"}`},
		sandbox.KindNotEnrolled: {403, `{"client_id":"29821349","detail":"When authenticating requests to the Twitter API v2 endpoints, ` +
			`you must use keys and tokens from a Twitter developer App that is attached to a Project. You can create a project via the developer portal.",` +
			`"registration_url":"https://developer.twitter.com/en/docs/projects/overview","title":"Client Forbidden",` +
			`"required_enrollment":"Appropriate Level of API Access","reason":"client-not-enrolled","type":"https://api.twitter.com/2/problems/client-forbidden"}`},
		sandbox.KindFeatureNotPermitted: {403, plain("Your account is not permitted to access this feature.")},
		sandbox.KindForbidden:           {403, plain("Forbidden")},
		sandbox.KindDuplicate:           {403, plain("You are not allowed to create a Tweet with duplicate content.")},
		sandbox.KindNotPermitted:        {403, plain("You are not permitted to perform this action.")},
		sandbox.KindReplyTargetGone:     {403, plain("You attempted to reply to a Tweet that is deleted or not visible to you.")},
		sandbox.KindReplyNotAllowed: {403, plain("Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged " +
			"by the author of the post you are replying to.")},
		sandbox.KindNotAuthorizedForResource: {403, `{"detail":"You can only reply to or quote posts where you are mentioned or are the author.",` +
			`"status":403,"title":"Authorization Error","type":"https://api.x.com/2/problems/not-authorized-for-resource"}`},
		sandbox.KindQuoteNotAllowed: {403, plain("Quoting this post is not allowed because you have not been mentioned or are not part of " +
			"the conversation thread of the post you are quoting.")},
		sandbox.KindTooManyCashtags: {403, plain("Posts are limited to a maximum of one cashtag")},
	}
	for kind, tt := range tests {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{Now: clock.Now})
			id := b.mustPost(b.acme, "before")
			for _, call := range []struct{ method, target, body string }{
				{"POST", "/2/tweets", textBody("x")},
				{"DELETE", "/2/tweets/" + id, ""},
				{"GET", "/2/tweets/" + id, ""},
				{"GET", "/2/users/me", ""},
				{"GET", "/2/tweets?ids=" + id, ""},
				{"GET", "/2/users/" + b.acme.ID + "/tweets", ""},
				{"POST", "/2/users/" + b.acme.ID + "/retweets", `{"tweet_id":"` + id + `"}`},
				{"DELETE", "/2/users/" + b.acme.ID + "/retweets/" + id, ""},
			} {
				f := b.fault(sandbox.Fault{Kind: kind, Times: 1})
				got := b.do(b.acme, call.method, call.target, call.body)
				require.Equal(t, tt.status, got.status)
				require.Equal(t, tt.body, got.body)
				require.Equal(t, sandbox.OutcomeRefused, b.last().Outcome)
				require.Equal(t, kind, b.last().Fault)
				require.Equal(t, 1, f.Hits())
				hasLimits := got.header.Get("x-rate-limit-limit") != ""
				require.Equal(t, tt.status != 401 && tt.status != 402, hasLimits)
			}
			require.Len(t, b.server.Tweets(), 1)
			require.True(t, b.server.Tweets()[0].DeletedAt.IsZero())
			require.Empty(t, b.server.Retweets())
		})
	}
	acting := []sandbox.Kind{
		sandbox.KindHoldBefore, sandbox.KindHoldAfter, sandbox.KindHoldBody,
		sandbox.KindHangBefore, sandbox.KindHangAfter, sandbox.KindHangBody,
		sandbox.KindDropBefore, sandbox.KindDropAfter, sandbox.KindDropFirstByte, sandbox.KindDropHeaders, sandbox.KindDropBody,
		sandbox.KindStatusBefore, sandbox.KindStatusAfter, sandbox.KindAnswer, sandbox.KindNone,
	}
	for _, kind := range sandbox.Kinds() {
		if _, refuses := tests[kind]; !refuses {
			require.Contains(t, acting, kind)
		}
	}
	require.Len(t, sandbox.Kinds(), len(tests)+len(acting))
}

// TestOrder: where two stages object, the earlier one answers.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{
		{Routes: []sandbox.Route{sandbox.RouteCreateTweet}, Per: sandbox.PerUser, Max: 1, Window: time.Hour, Family: sandbox.FamilyEndpoint},
	}})
	wrong := b.acme
	wrong.creds.AccessTokenSecret = "wrong"
	suspended := b.user("suspended")
	suspended.Suspended = true
	require.NoError(t, b.server.SetUser(suspended.User))

	status := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore})
	require.Equal(t, 503, b.post(wrong, "x").status, "5xx before 401")
	status.Lift()

	credits := b.fault(sandbox.Fault{Kind: sandbox.KindCreditsDepleted})
	require.Equal(t, 401, b.post(wrong, "x").status, "401 before 402")
	limited := b.user("limited")
	credits.Lift()
	b.mustPost(limited, "x")
	credits = b.fault(sandbox.Fault{Kind: sandbox.KindCreditsDepleted})
	require.Equal(t, 402, b.post(limited, "x").status, "402 before 429")
	credits.Lift()

	require.Equal(t, 403, b.post(suspended, "").status, "403 of access before 400")
	require.Equal(t, 429, b.post(suspended, "").status, "429 before 403")
	duplicate := b.fault(sandbox.Fault{Kind: sandbox.KindDuplicate})
	require.Equal(t, 400, b.post(b.user("blank"), "").status, "400 before 403 of business")
	require.Equal(t, 403, b.post(b.user("fine"), "x").status)
	duplicate.Lift()
}

// TestRateLimited: the refusal is not a lie. The window is used up until the reset it tells.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	b.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1, Wait: 2 * time.Second})
	got := b.post(b.acme, "x")
	require.Equal(t, 429, got.status)
	requireWindow(t, got, "x-rate-limit", 200, 0, clock.Now().Add(2*time.Second))
	clock.Advance(2*time.Second - 1)
	require.Equal(t, 429, b.post(b.acme, "x").status)
	clock.Advance(1)
	requireWindow(t, b.post(b.acme, "x"), "x-rate-limit", 200, 199, clock.Now().Add(15*time.Minute))

	ends := clock.Now().Add(15 * time.Minute)
	clock.Advance(time.Minute)
	b.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1})
	requireWindow(t, b.post(b.acme, "y"), "x-rate-limit", 200, 0, ends)

	unlimited := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	unlimited.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1})
	got = unlimited.post(unlimited.acme, "x")
	require.Equal(t, 429, got.status)
	requireNoFamily(t, got, "x-rate-limit")
}

func TestSpendCapWait(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	b.fault(sandbox.Fault{Kind: sandbox.KindSpendCapReached, Wait: 48 * time.Hour})
	require.Equal(t, "2026-11-25", b.post(b.acme, "x").json(t)["reset_date"])
}

func TestMatch(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	other := b.user("other")
	id := b.mustPost(b.acme, "to be read")
	struck := func(m sandbox.Match, who account, method, target, body string) bool {
		t.Helper()
		f := b.fault(sandbox.Fault{Match: m, Kind: sandbox.KindStatusBefore})
		defer f.Lift()
		return b.do(who, method, target, body).status == 503
	}
	n := 0
	posts := func(m sandbox.Match, who account, text string) bool {
		n++
		return struck(m, who, "POST", "/2/tweets", textBody(fmt.Sprintf("%s %d", text, n)))
	}
	require.True(t, posts(sandbox.Match{}, b.acme, "x"))
	require.True(t, posts(sandbox.Match{Route: sandbox.RouteCreateTweet}, b.acme, "x"))
	require.False(t, posts(sandbox.Match{Route: sandbox.RouteDeleteTweet}, b.acme, "x"))
	require.True(t, posts(sandbox.Match{Username: "ACME"}, b.acme, "x"))
	require.False(t, posts(sandbox.Match{Username: "acme"}, other, "x"))
	require.True(t, posts(sandbox.Match{Text: "needle"}, b.acme, `hay "needle" hay`))
	require.False(t, posts(sandbox.Match{Text: "needle"}, b.acme, "hay"))
	require.False(t, posts(sandbox.Match{Text: "needle", Username: "other"}, b.acme, "needle"))
	require.True(t, struck(sandbox.Match{TweetID: id}, b.acme, "GET", "/2/tweets/"+id, ""))
	require.False(t, struck(sandbox.Match{TweetID: id}, b.acme, "GET", "/2/tweets/1", ""))
	require.False(t, struck(sandbox.Match{Text: "x"}, b.acme, "GET", "/2/users/me", ""))
	require.True(t, struck(sandbox.Match{}, b.acme, "GET", "/nowhere", ""))
}

func TestNth(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	f := b.fault(sandbox.Fault{Match: sandbox.Match{Username: "acme"}, Kind: sandbox.KindStatusBefore, Skip: 2, Times: 2})
	other := b.user("other")
	var got []int
	for i := range 6 {
		got = append(got, b.post(b.acme, fmt.Sprint(i)).status)
		require.Equal(t, 201, b.post(other, fmt.Sprint(i)).status)
	}
	require.Equal(t, []int{201, 201, 503, 503, 201, 201}, got)
	require.Equal(t, 2, f.Hits())
}

// TestFirstWins: one fault strikes, and the others do not count the request.
func TestFirstWins(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	first := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 500, Times: 1})
	second := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 502, Times: 1})
	require.Equal(t, 500, b.post(b.acme, "x").status)
	require.Equal(t, 0, second.Hits())
	require.Equal(t, 502, b.post(b.acme, "x").status)
	require.Equal(t, 201, b.post(b.acme, "x").status)
	require.Equal(t, 1, first.Hits())
}

// TestRate: a seed determines which requests are struck, and the rate holds.
func TestRate(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		b := setup(t, sandbox.Config{Seed: seed, Limits: []sandbox.Limit{}, DuplicateWindow: -1})
		b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Rate: 0.3})
		var all strings.Builder
		for range 400 {
			if b.post(b.acme, "x").status == 503 {
				all.WriteByte('!')
			} else {
				all.WriteByte('.')
			}
		}
		return all.String()
	}
	first := run(7)
	require.Equal(t, first, run(7))
	require.NotEqual(t, first, run(8))
	require.InDelta(t, 120, strings.Count(first, "!"), 45) // five standard deviations
}
