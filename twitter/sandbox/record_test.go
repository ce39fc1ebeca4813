package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestRecordJSON pins what the demo prints, and that no secret is in it.
func TestRecordJSON(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	old, err := b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "old", CreatedAt: clock.Now().Add(-time.Hour)})
	require.NoError(t, err)
	id := b.mustPost(b.acme, "new")
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+old.ID, "").status)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "new").status)
	requests, err := json.Marshal(b.server.Requests())
	require.NoError(t, err)
	ids := make([]string, 3)
	for i, r := range b.server.Requests() {
		ids[i] = r.RequestID
	}
	const at = `"arrived_at":"2026-11-23T12:00:00Z","counted_at":"2026-11-23T12:00:00Z","ended_at":"2026-11-23T12:00:00Z"`
	who := fmt.Sprintf(`"app":"tests","user_id":%q,"username":"acme"`, b.acme.ID)
	require.JSONEq(t, `[
		{"n":1,`+at+`,"method":"POST","path":"/2/tweets","route":"POST /2/tweets",`+who+`,"body":"{\"text\":\"new\"}","status":201,"outcome":"created","tweet_id":"`+id+`","cost_usd":"0.015","request_id":"`+ids[0]+`"},
		{"n":2,`+at+`,"method":"DELETE","path":"/2/tweets/`+old.ID+`","route":"DELETE /2/tweets/:id",`+who+`,"status":200,"outcome":"deleted","tweet_id":"`+old.ID+`","cost_usd":"0.005","request_id":"`+ids[1]+`"},
		{"n":3,`+at+`,"method":"POST","path":"/2/tweets","route":"POST /2/tweets",`+who+`,"body":"{\"text\":\"new\"}","status":403,"outcome":"refused","reason":"You are not allowed to create a Tweet with duplicate content.","request_id":"`+ids[2]+`"}
	]`, string(requests))
	tweets, err := json.Marshal(b.server.Tweets())
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"id":"`+old.ID+`","author_id":"`+b.acme.ID+`","username":"acme","text":"old","created_at":"2026-11-23T11:00:00Z","deleted_at":"2026-11-23T12:00:00Z"},
		{"id":"`+id+`","author_id":"`+b.acme.ID+`","username":"acme","text":"new","created_at":"2026-11-23T12:00:00Z","request":1}
	]`, string(tweets))
	for _, secret := range []string{b.acme.creds.APISecret, b.acme.creds.AccessToken, b.acme.creds.AccessTokenSecret, b.acme.creds.APIKey} {
		require.NotContains(t, string(requests), secret)
	}
}

// TestRecordsAreCopies: what was handed out does not change.
func TestRecordsAreCopies(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.mustPost(b.acme, "x")
	b.server.Requests()[0].Body = "changed"
	b.server.Tweets()[0].Text = "changed"
	require.Equal(t, textBody("x"), b.server.Requests()[0].Body)
	require.Equal(t, "x", b.server.Tweets()[0].Text)
}

func TestWaitRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	other := b.user("other")
	type waited struct {
		requests []sandbox.Request
		err      error
	}
	c := make(chan waited, 1)
	go func() {
		r, err := b.server.WaitRequests(waitContext(t), 2, sandbox.Match{Username: "acme", Route: sandbox.RouteCreateTweet})
		c <- waited{r, err}
	}()
	b.mustPost(b.acme, "one")
	b.mustPost(other, "not counted")
	b.do(b.acme, "GET", "/2/users/me", "")
	b.mustPost(b.acme, "two")
	b.mustPost(b.acme, "three")
	got := <-c
	require.NoError(t, got.err)
	require.Len(t, got.requests, 2)
	require.Equal(t, textBody("one"), got.requests[0].Body)
	require.Equal(t, textBody("two"), got.requests[1].Body)

	again, err := b.server.WaitRequests(waitContext(t), 3, sandbox.Match{Username: "acme", Route: sandbox.RouteCreateTweet})
	require.NoError(t, err, "those that have ended before count")
	require.Len(t, again, 3)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	some, err := b.server.WaitRequests(ctx, 2, sandbox.Match{Text: "three"})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "wait for 2 requests, 1 so far")
	require.Len(t, some, 1)

	f := b.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	require.ErrorContains(t, f.WaitHeld(ctx, 1), "wait for 1 held requests, 0 so far")
}

// TestAnsweredMeansRecorded: a client that has its answer finds its request ended.
func TestAnsweredMeansRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	for i := range 50 {
		b.mustPost(b.acme, fmt.Sprint(i))
		require.Equal(t, http.StatusCreated, b.last().Status)
		require.False(t, b.last().EndedAt.IsZero())
	}
}

// TestConcurrent: 64 clients of 8 users, with faults. Nothing is lost and nothing is counted twice.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const clients, each = 64, 25
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{
		{Routes: []sandbox.Route{sandbox.RouteCreateTweet}, Per: sandbox.PerUser, Max: 150, Window: time.Hour, Family: sandbox.FamilyEndpoint},
	}})
	users := make([]account, 8)
	for i := range users {
		users[i] = b.user(fmt.Sprintf("user%d", i))
	}
	after := b.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Rate: 0.05})
	before := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Rate: 0.05})
	var mu sync.Mutex
	told := map[int]int{} // answers by status; 0 is none
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				got, _ := b.send(b.request(users[c%8], "POST", "/2/tweets", textBody(fmt.Sprintf("%d of %d", i, c))))
				b.server.Requests()
				mu.Lock()
				told[got.status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	_, err := b.server.WaitRequests(waitContext(t), clients*each, sandbox.Match{})
	require.NoError(t, err)

	created := map[string]int{}
	statuses := map[int]int{}
	ids := map[string]bool{}
	numbers := map[int]bool{}
	for _, r := range b.server.Requests() {
		statuses[r.Status]++
		numbers[r.N] = true
		if r.Outcome == sandbox.OutcomeCreated {
			created[r.Username]++
			ids[r.TweetID] = true
		}
	}
	require.Equal(t, told, statuses)
	require.Len(t, numbers, clients*each)
	require.Len(t, b.server.Tweets(), len(ids))
	require.Equal(t, after.Hits(), statuses[0])
	require.Equal(t, before.Hits(), statuses[503])
	require.Positive(t, statuses[0])
	require.Positive(t, statuses[503])
	require.Len(t, created, 8)
	for name, n := range created {
		require.Equal(t, 150, n, name) // each sent about 190 that were counted
	}
	require.Equal(t, clients*each, len(ids)+statuses[429]+statuses[503]+statuses[0]-dropped(b))
}

// dropped is how many unanswered requests created a tweet.
func dropped(b *testBundle) int {
	n := 0
	for _, r := range b.server.Requests() {
		if r.Status == 0 && r.Outcome == sandbox.OutcomeCreated {
			n++
		}
	}
	return n
}
