package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// cost is what the latest request was billed.
func (b *testBundle) cost() string { return b.last().Cost.String() }

// costs are what requests of the user were billed, one after another.
func (b *testBundle) costs(who account, method string, targets ...string) []string {
	b.t.Helper()
	all := make([]string, len(targets))
	for i, target := range targets {
		require.Equal(b.t, http.StatusOK, b.do(who, method, target, "").status, target)
		all[i] = b.cost()
	}
	return all
}

// TestPriceOfCreation: a link costs more, and what X makes a link of is one without a scheme too.
func TestPriceOfCreation(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	for text, want := range map[string]string{
		"no link":                     "0.015",
		"at 3.14, v1.2, a.txt":        "0.015",
		"@acme #tag me@example.com":   "0.015",
		"https://example.com/":        "0.2",
		"see example.ai":              "0.2",
		"HTTP://EXAMPLE.COM/x?y=1 z":  "0.2",
		"short: https://t.co/abc":     "0.2",
		"\u65e5example.com\u3067":     "0.2",
		"two: example.com example.ai": "0.2",
	} {
		b.mustPost(b.acme, text)
		require.Equal(t, want, b.cost(), text)
	}
}

// TestPriceOfReplies: one that was asked for, by a mention or a quote, costs less; an own thread does not.
func TestPriceOfReplies(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{SelfServe: sandbox.SelfServeOff})
	b.user("fan")
	fan := func(text, quoted string) string {
		added, err := b.server.AddTweet(sandbox.Tweet{Username: "fan", Text: text, Quoted: quoted})
		require.NoError(t, err)
		return added.ID
	}
	own := b.mustPost(b.acme, "mine, says @acme")
	for name, tt := range map[string]struct{ parent, text, want string }{
		"Own":      {own, "goes on", "0.015"},
		"Mention":  {fan("hello @acme", ""), "hello you", "0.01"},
		"Quote":    {fan("look", own), "thanks", "0.01"},
		"Unasked":  {fan("to nobody", ""), "but I say", "0.015"},
		"WithLink": {fan("@acme where?", ""), "at example.com", "0.2"},
	} {
		body := `{"text":"` + tt.text + `","reply":{"in_reply_to_tweet_id":"` + tt.parent + `"}}`
		require.Equal(t, http.StatusCreated, b.do(b.acme, "POST", "/2/tweets", body).status, name)
		require.Equal(t, tt.want, b.cost(), name)
	}
}

// TestPriceOfWrites: what is done, and what there was nothing to do for.
func TestPriceOfWrites(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{DeleteMissing: sandbox.DeleteMissingFalse})
	id := b.mustPost(b.acme, "x")
	retweets := "/2/users/" + b.acme.ID + "/retweets"
	require.Equal(t, http.StatusOK, b.retweet(b.acme, id).status)
	require.Equal(t, "0.015", b.cost())
	require.Equal(t, []string{"0.01", "0.01"}, b.costs(b.acme, "DELETE", retweets+"/"+id, retweets+"/"+id))
	require.Equal(t, []string{"0.005", "0.005"}, b.costs(b.acme, "DELETE", "/2/tweets/"+id, "/2/tweets/"+id))
}

// TestPriceOfReads: each tweet that is returned, once a day and route; includes are not counted.
func TestPriceOfReads(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	other := b.user("other")
	ids := b.addTweets("acme", 3)
	quote := b.mustPost(other, "see")
	body := `{"text":"this","quote_tweet_id":"` + b.mustPost(b.acme, "to be quoted") + `"}`
	require.Equal(t, http.StatusCreated, b.do(b.acme, "POST", "/2/tweets", body).status)
	quoting := b.last().TweetID

	require.Equal(t, []string{"0.005", "0", "0.01", "0"}, b.costs(b.acme, "GET", "/2/tweets/"+ids[0],
		"/2/tweets/"+ids[0], "/2/tweets?ids="+ids[0]+","+ids[1]+",1", "/2/tweets?ids="+ids[1]), "X's days do not reach across routes")
	require.Equal(t, []string{"0"}, b.costs(other, "GET", "/2/tweets/"+ids[0]), "the app pays, whoever reads")
	require.Equal(t, []string{"0"}, b.costs(b.acme, "GET", "/2/tweets/1"), "no data")
	require.Equal(t, []string{"0.005"}, b.costs(b.acme, "GET", "/2/tweets/"+quoting+"?expansions=referenced_tweets.id,author_id"))
	require.Equal(t, []string{"0.025", "0", "0.005"}, b.costs(b.acme, "GET", "/2/users/"+b.acme.ID+"/tweets",
		"/2/users/"+b.acme.ID+"/tweets", "/2/users/"+other.ID+"/tweets"))
	require.Equal(t, []string{"0.01", "0"}, b.costs(b.acme, "GET", "/2/users/me", "/2/users/me"))
	require.Equal(t, []string{"0.01"}, b.costs(other, "GET", "/2/users/me"))
	require.Equal(t, []string{"0.005"}, b.costs(other, "GET", "/2/tweets/"+quote))

	clock.Advance(12*time.Hour - time.Nanosecond)
	require.Equal(t, []string{"0"}, b.costs(b.acme, "GET", "/2/tweets/"+ids[0]), "the day has not ended")
	clock.Advance(time.Nanosecond)
	require.Equal(t, []string{"0.005", "0"}, b.costs(b.acme, "GET", "/2/tweets/"+ids[0], "/2/tweets/"+ids[0]))

	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/tweets/"+ids[1], "").status)
	require.Equal(t, "0.005", b.cost())
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/usage/tweets", "").status)
	require.Equal(t, "0", b.cost())
}

// TestPriceOfOwnedReads: the app's owner reads their own timeline cheaper, and nobody else does.
func TestPriceOfOwnedReads(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	other := b.user("other")
	b.app.OwnerID = b.acme.ID
	require.NoError(t, b.server.SetApp(b.app))
	b.addTweets("acme", 2)
	b.addTweets("other", 2)
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	require.Equal(t, []string{"0.002", "0.01"}, b.costs(b.acme, "GET", "/2/users/"+b.acme.ID+"/tweets", "/2/users/"+other.ID+"/tweets"))
	more := b.addTweets("acme", 1)
	require.Equal(t, []string{"0.005"}, b.costs(other, "GET", "/2/users/"+b.acme.ID+"/tweets"))
	require.Equal(t, []string{"0.005"}, b.costs(b.acme, "GET", "/2/tweets/"+more[0]))
	b.addTweets("acme", 1)
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/users/"+b.acme.ID+"/tweets", "").status)
	require.Equal(t, "0.005", b.cost())

	b.app.OwnerID = "nobody"
	require.ErrorContains(t, b.server.SetApp(b.app), `the owner's id "nobody" does not match`)
}

// TestNothingIsBilledForFailures: what is refused or fails is free, and what nobody was told is not.
func TestNothingIsBilledForFailures(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, tt := range []struct {
		fault sandbox.Fault
		want  string
	}{
		{sandbox.Fault{Kind: sandbox.KindUnauthorized}, "0"},
		{sandbox.Fault{Kind: sandbox.KindCreditsDepleted}, "0"},
		{sandbox.Fault{Kind: sandbox.KindSpendCapReached}, "0"},
		{sandbox.Fault{Kind: sandbox.KindUsageCapExceeded}, "0"},
		{sandbox.Fault{Kind: sandbox.KindNotPermitted}, "0"},
		{sandbox.Fault{Kind: sandbox.KindStatusBefore}, "0"},
		{sandbox.Fault{Kind: sandbox.KindDropBefore}, "0"},
		{sandbox.Fault{Kind: sandbox.KindStatusAfter}, "0"},
		{sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 200, Body: sandbox.BodyEmpty}, "0.015"},
		{sandbox.Fault{Kind: sandbox.KindDropAfter}, "0.015"},
		{sandbox.Fault{Kind: sandbox.KindDropFirstByte}, "0.015"},
		{sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated}, "0.015"},
	} {
		tt.fault.Times = 1
		b.fault(tt.fault)
		_, _ = b.send(b.request(b.acme, "POST", "/2/tweets", textBody(string(tt.fault.Kind)+string(tt.fault.Body))))
		require.Equal(t, tt.want, b.cost(), tt.fault.Kind)
	}
	require.Equal(t, http.StatusForbidden, b.post(b.acme, string(sandbox.KindDropAfter)).status)
	require.Equal(t, "0", b.cost(), "a duplicate")
	require.Equal(t, http.StatusBadRequest, b.do(b.acme, "POST", "/2/tweets", "{}").status)
	require.Equal(t, "0", b.cost())
	require.Equal(t, http.StatusNotFound, b.do(b.acme, "DELETE", "/2/tweets/1", "").status)
	require.Equal(t, "0", b.cost())
}

// TestOwnPrices: what is not in the list is free, and counted.
func TestOwnPrices(t *testing.T) {
	t.Parallel()
	prices := sandbox.Prices{sandbox.ItemPostCreate: 7}
	b := setup(t, sandbox.Config{Billing: sandbox.Billing{Prices: prices}})
	prices[sandbox.ItemPostCreate] = 8
	id := b.mustPost(b.acme, "x")
	require.Equal(t, "0.000007", b.cost())
	require.Equal(t, []string{"0"}, b.costs(b.acme, "DELETE", "/2/tweets/"+id))
	require.Equal(t, map[sandbox.Item]sandbox.Charge{
		sandbox.ItemPostCreate: {1, 7}, sandbox.ItemContentManage: {1, 0},
	}, b.billed().Items)
}
