package main

import (
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

func TestPostAndDelete(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old, err := b.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "old"})
	require.NoError(t, err)
	var deletion entered
	enqueue(t, b.settings, "", &deletion, "delete", "--account", "acme", old.ID)
	tweet := b.tweet(t, "new")

	w := start(t, b.settings)
	posted := w.awaitEvent(t, tweet, "done")
	w.awaitEvent(t, deletion.ID, "done")
	w.end(t)

	row := b.show(t, tweet)
	require.Equal(t, "posted", row.Status)
	require.Equal(t, posted.TweetID, row.TweetID)
	require.Equal(t, "deleted", b.show(t, deletion.ID).Status)
	require.Len(t, b.x.Requests(), 2)
	tweets := b.x.Tweets()
	require.Len(t, tweets, 2)
	require.False(t, tweets[0].DeletedAt.IsZero())
	require.Equal(t, posted.TweetID, tweets[1].ID)
	require.Equal(t, "new", tweets[1].Text)
}

// TestRateLimited: a 429 makes the row wait until the reset that X told, and costs no attempt.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.fault(t, sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1, Wait: 3 * time.Second})
	id := b.tweet(t, "limited")
	w := start(t, b.settings)

	waiting := w.awaitEvent(t, id, "waiting")
	require.Equal(t, "quota", waiting.WaitingFor)
	limited := b.show(t, id)
	require.Equal(t, "scheduled", limited.Status)
	require.Equal(t, "quota", limited.WaitingFor)
	// Whoever comes next does not ask X either.
	next := b.tweet(t, "next")
	require.Equal(t, "quota", w.awaitEvent(t, next, "waiting").WaitingFor)

	w.awaitEvent(t, id, "done")
	w.awaitEvent(t, next, "done")
	row := b.show(t, id)
	require.Equal(t, "posted", row.Status)
	require.Equal(t, "posted", b.show(t, next).Status)
	requests := b.requests("limited")
	require.Len(t, requests, 2)
	require.Equal(t, 429, requests[0].Status)
	require.Len(t, b.requests("next"), 1)

	require.Len(t, row.Requests, 2)
	require.Equal(t, 429, row.Requests[0].StatusCode)
	reset := resetOf(t, row.Requests[0].Limits)
	require.WithinDuration(t, requests[0].ArrivedAt.Add(3*time.Second), reset, 1500*time.Millisecond)
	for _, r := range append(requests[1:], b.requests("next")...) {
		require.False(t, r.ArrivedAt.Before(reset), "sent %s before the reset", reset.Sub(r.ArrivedAt))
	}
	requireFirstAttempts(t, b)
}

// resetOf is the instant that X's headers told with an answer.
func resetOf(t *testing.T, told json.RawMessage) time.Time {
	t.Helper()
	var limits map[string]any
	require.NoError(t, json.Unmarshal(told, &limits), "%s", told)
	var latest time.Time
	var find func(any)
	find = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, inner := range value {
				find(inner)
			}
		case string:
			if at, err := time.Parse(time.RFC3339, value); err == nil && at.After(latest) {
				latest = at
			}
		}
	}
	find(limits)
	require.False(t, latest.IsZero(), "%s", told)
	return latest
}

// requireFirstAttempts fails if River has worked a job more than once.
func requireFirstAttempts(t *testing.T, b *bundle) {
	t.Helper()
	var most int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT max(attempt) FROM tweetqueue.river_job`).Scan(&most))
	require.Equal(t, 1, most)
}

// TestQuotaEmpty: with no place left, a row waits without a request.
func TestQuotaEmpty(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.exec(t, `UPDATE tweetqueue.quotas SET maximum = 1, period = interval '3 seconds' WHERE name = 'posts'`)
	w := start(t, b.settings)
	first := b.tweet(t, "first")
	w.awaitEvent(t, first, "done")
	second := b.tweet(t, "second")

	waiting := w.awaitEvent(t, second, "waiting")
	require.Equal(t, "quota", waiting.WaitingFor)
	require.Contains(t, waiting.Reason, "posts")
	empty := b.show(t, second)
	require.Equal(t, "scheduled", empty.Status)
	require.Equal(t, "quota", empty.WaitingFor)
	require.Empty(t, empty.Requests)
	require.Empty(t, b.requests("second"))

	w.awaitEvent(t, second, "done")
	require.Len(t, b.requests("first"), 1)
	require.Len(t, b.requests("second"), 1)
	before, after := b.show(t, first), b.show(t, second)
	require.Equal(t, "posted", before.Status)
	require.Equal(t, "posted", after.Status)
	require.Len(t, before.Requests, 1)
	require.Len(t, after.Requests, 1)
	require.GreaterOrEqual(t, after.Requests[0].GrantedAt.Sub(before.Requests[0].GrantedAt), 3*time.Second)
	requireFirstAttempts(t, b)
}

// TestDuplicate: X's own rule, in X's own words, and never again by itself.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := b.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "said before"})
	require.NoError(t, err)
	id := b.tweet(t, "said before")
	w := start(t, b.settings)
	w.awaitEvent(t, id, "failed")
	w.end(t)

	row := b.show(t, id)
	require.Equal(t, "failed", row.Status)
	require.Contains(t, row.Error, "You are not allowed to create a Tweet with duplicate content.")
	require.Len(t, row.Requests, 1)
	require.Equal(t, 403, row.Requests[0].StatusCode)
	require.Contains(t, row.Requests[0].Answer, `"title":"Forbidden"`)
	requireStaysSo(t, b, id, "said before")
}

// requireStaysSo starts another worker, and fails if it sends the row again.
func requireStaysSo(t *testing.T, b *bundle, id int64, text string) {
	t.Helper()
	before := b.show(t, id)
	w := start(t, b.settings)
	sentinel := b.tweet(t, "a tweet behind it")
	w.awaitEvent(t, sentinel, "done")
	w.end(t)
	require.Equal(t, before, b.show(t, id))
	require.Len(t, b.requests(text), 1)
}

// TestUnauthorized: a 401 holds the account, and its rows wait without asking X again.
func TestUnauthorized(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.fault(t, sandbox.Fault{Kind: sandbox.KindUnauthorized})
	id := b.tweet(t, "unauthorized")
	w := start(t, b.settings)
	w.awaitEvent(t, id, "waiting")
	next := b.tweet(t, "next")
	require.Equal(t, "account", w.awaitEvent(t, next, "waiting").WaitingFor)
	w.end(t)

	row := b.show(t, id)
	require.Equal(t, "scheduled", row.Status)
	require.Equal(t, "account", row.WaitingFor)
	require.Len(t, row.Requests, 1)
	require.Equal(t, 401, row.Requests[0].StatusCode)
	require.Empty(t, b.show(t, next).Requests)
	var accounts []struct {
		State  string `json:"state"`
		Reason string `json:"state_reason"`
	}
	enqueue(t, b.settings, "", &accounts, "account", "list")
	require.Len(t, accounts, 1)
	require.Equal(t, "paused", accounts[0].State)
	require.Contains(t, accounts[0].Reason, "401")
	require.Len(t, b.requests("unauthorized"), 1)
	require.Empty(t, b.requests("next"))
}

// TestUnconfirmed: what may have reached X is not sent again, not even by another worker.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault   sandbox.Fault
		args    []string
		created bool
	}{
		"ServerErrorAfterCreating":  {sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 500}, nil, true},
		"ServerErrorBeforeCreating": {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 503}, nil, false},
		"DropAfterCreating":         {sandbox.Fault{Kind: sandbox.KindDropAfter}, nil, true},
		"DropBeforeCreating":        {sandbox.Fault{Kind: sandbox.KindDropBefore}, nil, false},
		"TimeOutAfterCreating":      {sandbox.Fault{Kind: sandbox.KindHangAfter}, []string{"--x-timeout=500ms"}, true},
		"TimeOutBeforeCreating":     {sandbox.Fault{Kind: sandbox.KindHangBefore}, []string{"--x-timeout=500ms"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			test.fault.Times = 1
			b.fault(t, test.fault)
			id := b.tweet(t, "in doubt")
			w := start(t, b.settings, test.args...)
			doubt := w.awaitEvent(t, id, "unconfirmed")
			require.Contains(t, doubt.Reason, "it may be on X")
			w.end(t)

			row := b.show(t, id)
			require.Equal(t, "unconfirmed", row.Status)
			require.Len(t, row.Requests, 1)
			requireStaysSo(t, b, id, "in doubt")
			created := 0
			for _, tweet := range b.x.Tweets() {
				if tweet.Text == "in doubt" {
					created++
				}
			}
			require.Equal(t, test.created, created == 1)
		})
	}
}

// TestConnectionRefused: what certainly never left is tried again.
func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	b := &bundle{}
	b.newX(t, sandbox.Config{})
	// An address that nobody else is given; on Linux all of 127.0.0.0/8 is this machine.
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.83.47.11:0")
	if err != nil {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	}
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	url, key := storetest.URL(t), store.NewKey()
	b.db = storetest.Open(t, url)
	b.addAccount(t, b.db, key)
	b.settings = settings{"DATABASE_URL": url, "TWEETQUEUE_KEY": string(key), "X_API_BASE_URL": "http://" + address}
	id := b.tweet(t, "knock")
	w := start(t, b.settings)
	waiting := w.awaitEvent(t, id, "waiting")
	require.Equal(t, "retry", waiting.WaitingFor)
	require.Contains(t, waiting.Reason, "connection refused")
	refused := b.show(t, id)
	require.Equal(t, "scheduled", refused.Status)
	require.Equal(t, "retry", refused.WaitingFor)
	require.Empty(t, b.x.Requests())

	require.NoError(t, b.x.Start(address))
	w.awaitEvent(t, id, "done")
	require.Equal(t, "posted", b.show(t, id).Status)
	require.Len(t, b.x.Requests(), 1)
	requireFirstAttempts(t, b)
}

// TestNoNetwork: the client that these tests use reaches nothing beyond this machine.
func TestNoNetwork(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id := b.tweet(t, "to the real X")
	w := start(t, b.settings.with("X_API_BASE_URL", ""))
	waiting := w.awaitEvent(t, id, "waiting")
	require.Equal(t, "retry", waiting.WaitingFor)
	require.Contains(t, waiting.Reason, "api.x.com:443 is beyond this machine")
}
