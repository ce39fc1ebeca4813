package sandbox_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// billed is the bill of the bundle's app.
func (b *testBundle) billed() sandbox.Bill {
	b.t.Helper()
	bill, err := b.server.Billed(b.app.Key)
	require.NoError(b.t, err)
	return bill
}

// TestBill: by default everything is priced, and nobody is stopped.
func TestBill(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	require.Equal(t, sandbox.Bill{
		AppID: b.app.ID, App: "tests", CycleEnds: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Items: map[sandbox.Item]sandbox.Charge{},
	}, b.billed())
	id := b.mustPost(b.acme, "one")
	b.mustPost(b.acme, "two: example.ai")
	b.mustPost(b.user("other"), "three")
	b.costs(b.acme, "GET", "/2/tweets/"+id, "/2/tweets/"+id)
	clock.Advance(24 * time.Hour * 10) // December
	b.costs(b.acme, "DELETE", "/2/tweets/"+id)
	want := sandbox.Bill{
		AppID: b.app.ID, App: "tests", CycleEnds: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		Cycle: 5_000, Total: 240_000, Items: map[sandbox.Item]sandbox.Charge{
			sandbox.ItemPostCreate:        {2, 30_000},
			sandbox.ItemPostCreateWithURL: {1, 200_000},
			sandbox.ItemPostRead:          {1, 5_000},
			sandbox.ItemContentManage:     {1, 5_000},
		},
	}
	require.Equal(t, want, b.billed())
	sum := sandbox.USD(0)
	for _, r := range b.server.Requests() {
		sum += r.Cost
	}
	require.Equal(t, want.Total, sum, "the record and the bill agree")
	_, err := b.server.Billed("none")
	require.EqualError(t, err, "billed: no app has this key")
}

// TestCredits: the last request may cost more than is left; then X refuses until credits are added.
func TestCredits(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Billing: sandbox.Billing{Credits: new(sandbox.USD(20_000))}})
	id := b.mustPost(b.acme, "one")
	require.Equal(t, sandbox.USD(5_000), *b.billed().Credits)
	b.mustPost(b.acme, "two")
	require.Equal(t, sandbox.USD(-10_000), *b.billed().Credits)

	got := b.post(b.acme, "three")
	require.Equal(t, http.StatusPaymentRequired, got.status)
	require.JSONEq(t, `{"title":"CreditsDepleted","detail":"Your enrolled account [2012982477812371456] does not have any credits to fulfill this request.",
		"type":"https://api.twitter.com/2/problems/credits"}`, got.body)
	requireNoFamily(t, got, "x-rate-limit")
	require.Equal(t, "no credits", b.last().Reason)
	require.Zero(t, b.last().CountedAt, "it took no place")
	for call, target := range map[string]string{
		"DELETE tweet": "/2/tweets/" + id, "GET tweet": "/2/tweets/" + id, "GET timeline": "/2/users/" + b.acme.ID + "/tweets",
	} {
		var method string
		_, err := fmt.Sscan(call, &method)
		require.NoError(t, err)
		require.Equal(t, http.StatusPaymentRequired, b.do(b.acme, method, target, "").status, call)
	}
	require.Equal(t, []string{"0"}, b.costs(b.acme, "GET", "/2/users/me"), "it works, and nobody pays")
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/usage/tweets", "").status)

	require.NoError(t, b.server.AddCredits(b.app.Key, 10_000))
	require.Equal(t, http.StatusPaymentRequired, b.post(b.acme, "three").status, "0 is none")
	require.NoError(t, b.server.AddCredits(b.app.Key, 1))
	require.Equal(t, http.StatusCreated, b.post(b.acme, "three").status)
	require.Equal(t, sandbox.USD(1-15_000), *b.billed().Credits)
	require.EqualError(t, b.server.AddCredits("none", 1), "add credits: no app has this key")
}

// TestCreditsAreOfOneApp: another app goes on, and one without a bound gets a balance.
func TestCreditsAreOfOneApp(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, err := b.server.AddApp(sandbox.App{})
	require.NoError(t, err)
	require.NoError(t, b.server.AddCredits(b.app.Key, 0))
	require.Equal(t, http.StatusPaymentRequired, b.post(b.acme, "x").status)
	require.Equal(t, http.StatusCreated, b.post(b.authorize(app, b.acme.User), "x").status)
	other, err := b.server.Billed(app.Key)
	require.NoError(t, err)
	require.Nil(t, other.Credits)
	require.Equal(t, sandbox.USD(15_000), other.Total)
	require.Zero(t, b.billed().Total)

	left := *b.billed().Credits
	*b.billed().Credits = 99
	require.Equal(t, left, *b.billed().Credits, "a bill is a copy")
}

// TestSpendCap: X refuses once the cycle's cost has reached it, until the next cycle.
func TestSpendCap(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Billing: sandbox.Billing{
		SpendCap: 3 * sandbox.Cent, CycleEnds: time.Date(2026, 10, 25, 6, 0, 0, 0, time.UTC),
	}})
	ends := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	b.mustPost(b.acme, "one")
	b.mustPost(b.acme, "two")
	got := b.post(b.acme, "three")
	require.Equal(t, http.StatusForbidden, got.status)
	require.JSONEq(t, `{"title":"SpendCapReached","detail":"Your enrolled account [2012982477812371456] has reached its billing cycle spend cap. `+
		`API requests will be blocked until the next cycle begins on 2026-11-25.","reset_date":"2026-11-25","type":"https://api.twitter.com/2/problems/credits"}`, got.body)
	require.Equal(t, "spend cap reached", b.last().Reason)
	require.Equal(t, []string{"0"}, b.costs(b.acme, "GET", "/2/users/me"))

	require.NoError(t, b.server.SetSpendCap(b.app.Key, 4*sandbox.Cent))
	b.mustPost(b.acme, "three")
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "four").status)
	clock.Advance(ends.Add(-time.Nanosecond).Sub(clock.Now()))
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "four").status)
	clock.Advance(time.Nanosecond)
	b.mustPost(b.acme, "four")
	require.Equal(t, sandbox.USD(15_000), b.billed().Cycle)
	require.Equal(t, sandbox.USD(60_000), b.billed().Total)
	require.Equal(t, ends.AddDate(0, 1, 0), b.billed().CycleEnds)

	b.mustPost(b.acme, "five")
	b.mustPost(b.acme, "six")
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "seven").status)
	require.NoError(t, b.server.SetSpendCap(b.app.Key, 0))
	b.mustPost(b.acme, "seven")
	require.EqualError(t, b.server.SetSpendCap(b.app.Key, -1), "set spend cap -0.000001: use more than 0, or 0 for none")
	require.EqualError(t, b.server.SetSpendCap("none", 1), "set spend cap: no app has this key")
}

// TestPostReadCap: the month's tweets are read, and writes go on.
func TestPostReadCap(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Billing: sandbox.Billing{PostReadCap: 3}})
	ids := b.addTweets("acme", 3)
	b.costs(b.acme, "GET", "/2/tweets?ids="+ids[0]+","+ids[1], "/2/tweets?ids="+ids[0]+","+ids[1])
	for _, target := range []string{"/2/tweets/" + ids[2], "/2/tweets?ids=" + ids[2], "/2/users/" + b.acme.ID + "/tweets"} {
		got := b.do(b.acme, "GET", target, "")
		require.Equal(t, http.StatusTooManyRequests, got.status)
		require.JSONEq(t, `{"title":"UsageCapExceeded","detail":"Usage cap exceeded: Monthly product cap","type":"https://api.twitter.com/2/problems/usage-capped",
			"period":"Monthly","scope":"Product","account_id":2012982477812371456}`, got.body)
	}
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	usage := b.bearer(app, "GET", "/2/usage/tweets", "").data(t)
	require.Equal(t, []any{"3", "4"}, []any{usage["project_cap"], usage["project_usage"]})
	b.mustPost(b.acme, "x")
	b.costs(b.acme, "GET", "/2/users/me")
	clock.Advance(24 * time.Hour * 8) // December
	b.costs(b.acme, "GET", "/2/tweets/"+ids[2])
}

// TestNoCredits: what else X was seen to say to those that have no credits.
func TestNoCredits(t *testing.T) {
	t.Parallel()
	for kind, want := range map[sandbox.Kind]struct {
		status int
		words  string
	}{
		"":                              {402, "CreditsDepleted"},
		sandbox.KindCreditsDepleted:     {402, "CreditsDepleted"},
		sandbox.KindUsageCapExceeded:    {429, "UsageCapExceeded"},
		sandbox.KindForbidden:           {403, "Forbidden"},
		sandbox.KindFeatureNotPermitted: {403, "Your account is not permitted to access this feature."},
	} {
		t.Run("Kind"+string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{Billing: sandbox.Billing{Credits: new(sandbox.USD(0)), NoCredits: kind}})
			got := b.post(b.acme, "x")
			require.Equal(t, want.status, got.status)
			require.Contains(t, got.body, want.words)
		})
	}
}

// TestBillingStage: who is not known is not billed, and who may not post is told of money first.
func TestBillingStage(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Billing: sandbox.Billing{Credits: new(sandbox.USD(0))}})
	require.Equal(t, http.StatusPaymentRequired, b.do(b.acme, "POST", "/2/tweets", "no JSON").status)
	b.acme.Suspended = true
	require.NoError(t, b.server.SetUser(b.acme.User))
	require.Equal(t, http.StatusPaymentRequired, b.post(b.acme, "x").status)
	b.acme.creds.AccessTokenSecret = "wrong"
	require.Equal(t, http.StatusUnauthorized, b.post(b.acme, "x").status)
	b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Times: 1})
	require.Equal(t, http.StatusServiceUnavailable, b.post(b.acme, "x").status)
}

// TestBillingOfMany: what many requests at once cost is exact.
func TestBillingOfMany(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}, Billing: sandbox.Billing{Credits: new(sandbox.Dollar)}})
	var group sync.WaitGroup
	for i := range 8 {
		requests := make([]*http.Request, 10)
		for j := range requests {
			requests[j] = b.request(b.acme, "POST", "/2/tweets", textBody(fmt.Sprint(i, " ", j)))
		}
		group.Go(func() {
			for _, r := range requests {
				_, _ = b.send(r)
			}
		})
	}
	group.Wait()
	created := len(b.server.Tweets())
	// 67 are paid for, the last of them partly; the 7 others may have been let through before that.
	require.GreaterOrEqual(t, created, 67)
	require.LessOrEqual(t, created, 67+7)
	cost := sandbox.USD(created) * 15_000
	require.Equal(t, cost, b.billed().Total)
	require.Equal(t, sandbox.Dollar-cost, *b.billed().Credits)
}

func TestBillingRefused(t *testing.T) {
	t.Parallel()
	for want, billing := range map[string]sandbox.Billing{
		`no credits "duplicate": use credits_depleted`:          {NoCredits: sandbox.KindDuplicate},
		"cycle ends 2026-01-29: use a day that every month has": {CycleEnds: time.Date(2026, 1, 29, 0, 0, 0, 0, time.UTC)},
		"post read cap -1: use 1 or more":                       {PostReadCap: -1},
		"spend cap -1: use more than 0":                         {SpendCap: -sandbox.Dollar},
		`there is no item "gold": use any of content_manage`:    {Prices: sandbox.Prices{"gold": 1}},
		"owned_read costs -0.000001: use 0 or more":             {Prices: sandbox.Prices{sandbox.ItemOwnedRead: -1}},
	} {
		_, err := sandbox.New(sandbox.Config{Billing: billing})
		require.ErrorContains(t, err, want)
	}
}

// TestControlBills: the same over HTTP.
func TestControlBills(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Control: true})
	b.mustPost(b.acme, "x")
	bill := func(id, name, more, items string) string {
		return fmt.Sprintf(`{"app_id":%q,"app":%q,"cycle_ends":"2026-12-01T00:00:00Z",%s,"items":{%s}}`, id, name, more, items)
	}
	const item = `"post_create":{"count":1,"cost_usd":"0.015"}`
	require.JSONEq(t, `{"bills":[`+bill(b.app.ID, "tests", `"cycle_usd":"0.015","total_usd":"0.015"`, item)+`]}`, b.control("GET", "/sandbox/bills", "").body)
	mine := bill(b.app.ID, "tests", `"cycle_usd":"0.015","total_usd":"0.015","credits_usd":"25","spend_cap_usd":"0.01"`, item)
	require.JSONEq(t, `{"bills":[`+mine+`]}`, b.control("POST", "/sandbox/bills", `{"add_credits_usd":"25","spend_cap_usd":"0.01"}`).body)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "y").status)

	_, err := b.server.AddApp(sandbox.App{ID: "77", Name: "another"})
	require.NoError(t, err)
	other := bill("77", "another", `"cycle_usd":"0","total_usd":"0","credits_usd":"-0.5"`, "")
	require.JSONEq(t, `{"bills":[`+other+`]}`, b.control("POST", "/sandbox/bills", `{"app_id":"77","add_credits_usd":"-0.5"}`).body)
	require.JSONEq(t, `{"bills":[`+mine+`,`+other+`]}`, b.control("GET", "/sandbox/bills", "").body)
	for body, want := range map[string]string{
		`[]`:                                    "it is no JSON object with any of app_id, add_credits_usd, spend_cap_usd",
		`{}`:                                    "there is nothing to change: send add_credits_usd or spend_cap_usd",
		`{"credits":"1"}`:                       `there is no field "credits": use any of app_id, add_credits_usd, spend_cap_usd`,
		`{"add_credits_usd":1}`:                 "add_credits_usd: a value of the kind number is not what it takes",
		`{"add_credits_usd":"1$"}`:              `"1$" is no amount in dollars`,
		`{"add_credits_usd":"1"}`:               "name one by app_id",
		`{"app_id":"78","add_credits_usd":"1"}`: "there is not one app alone with the id 78",
		`{"app_id":"77","add_credits_usd":"1","spend_cap_usd":"-1"}`:       "set spend cap -1: use more than 0",
		`{"app_id":"77","add_credits_usd":"` + string(make([]byte, 1<<20)): "the body cannot be read",
	} {
		require.Contains(t, b.control("POST", "/sandbox/bills", body).controlError(t, http.StatusBadRequest), want)
	}
	require.JSONEq(t, `{"bills":[`+mine+`,`+other+`]}`, b.control("GET", "/sandbox/bills", "").body, "and nothing was changed")
}
