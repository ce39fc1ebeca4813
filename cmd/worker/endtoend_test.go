package main

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
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
	next := b.tweet(t, "next")
	w.awaitEvent(t, id, "done")
	w.awaitEvent(t, next, "done")
	row := b.show(t, id)
	require.Equal(t, "posted", row.Status)
	require.Equal(t, "posted", b.show(t, next).Status)
	requests := b.requests("limited")
	require.Len(t, requests, 2)
	require.Equal(t, 429, requests[0].Status)
	require.Len(t, b.requests("next"), 1, "whoever comes next does not ask X either")

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

// lookUpsSoon makes a worker wait for an answer of X for a second, and settle doubts within seconds after that.
func lookUpsSoon() []string {
	return []string{"--x-timeout=1s", "--longest-creation=1s", "--read-lag=100ms", "--look-up-after=1100ms,2s"}
}

// TestUnconfirmed: what may have reached X is looked up there, and is sent again only if it is not there.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault   sandbox.Fault
		created bool
	}{
		"ServerErrorAfterCreating":  {sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 500}, true},
		"ServerErrorBeforeCreating": {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 503}, false},
		"DropAfterCreating":         {sandbox.Fault{Kind: sandbox.KindDropAfter}, true},
		"DropBeforeCreating":        {sandbox.Fault{Kind: sandbox.KindDropBefore}, false},
		"TimeOutAfterCreating":      {sandbox.Fault{Kind: sandbox.KindHangAfter}, true},
		"TimeOutBeforeCreating":     {sandbox.Fault{Kind: sandbox.KindHangBefore}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			test.fault.Times = 1
			b.fault(t, test.fault)
			id := b.tweet(t, "in doubt")
			w := start(t, b.settings, lookUpsSoon()...)
			doubt := w.awaitEvent(t, id, "unconfirmed")
			require.Equal(t, "warn", doubt.Level)
			require.Contains(t, doubt.Reason, "it may be on X")
			require.NotNil(t, doubt.Until)
			next := b.tweet(t, "the next one of the account")
			if !test.created {
				waiting := w.awaitEvent(t, next, "waiting")
				require.Equal(t, "account", waiting.WaitingFor)
				require.Contains(t, waiting.Reason, fmt.Sprintf("tweet %d of its account may be on X, and is being looked up", id))
				w.awaitEvent(t, id, "waiting") // it is sent again
			}
			done := w.awaitEvent(t, id, "done")
			w.awaitEvent(t, next, "done")
			w.end(t)

			row := b.show(t, id)
			require.Equal(t, "posted", row.Status)
			var created []string
			for _, tweet := range b.x.Tweets() {
				if tweet.Text == "in doubt" {
					created = append(created, tweet.ID)
				}
			}
			require.Equal(t, []string{row.TweetID}, created)
			require.Equal(t, row.TweetID, done.TweetID)
			sent := 1
			if !test.created {
				sent = 2
			}
			require.Len(t, b.requests("in doubt"), sent)
			requireLookUps(t, w, id, len(row.Requests)-sent)
		})
	}
}

// requireLookUps fails unless a row was looked up so often, at least once, and the log tells those that
// left it in doubt as what they are: no reason to do anything.
func requireLookUps(t *testing.T, w *running, id int64, lookUps int) {
	t.Helper()
	require.Positive(t, lookUps)
	var levels []string
	for line := range strings.Lines(w.String()) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil && e.RowID == id && e.Message == "unconfirmed" {
			levels = append(levels, e.Level)
		}
	}
	require.Equal(t, append([]string{"warn"}, slices.Repeat([]string{"info"}, lookUps-1)...), levels)
}

// TestLeftToAPerson: what nobody can tell by looking is told as a warning, with what to do, and done.
func TestLeftToAPerson(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.fault(t, sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1, Match: sandbox.Match{Text: "on hold"}})
	var row entered
	enqueue(t, b.settings, "", &row, "tweet", "--account", "acme", "on hold")
	b.exec(t, `UPDATE tweetqueue.tweets SET if_unconfirmed = 'hold' WHERE id = $1`, row.ID)
	w := start(t, b.settings, lookUpsSoon()...)
	next := b.tweet(t, "the next one of the account")
	w.awaitEvent(t, next, "done") // it waits for no person
	var last event
	w.await(t, "the last look-up", func(line string) bool {
		last = event{}
		return json.Unmarshal([]byte(line), &last) == nil && last.RowID == row.ID && last.Message == "unconfirmed" && last.Until == nil
	})
	require.Equal(t, "warn", last.Level)
	require.Contains(t, last.Reason, "X does not show it, and the row says hold: look at the account on X, then run 'enqueue resolve ")
	shown := b.show(t, row.ID)
	require.Equal(t, "unconfirmed", shown.Status)
	require.Equal(t, last.Reason, shown.Error)

	var resolved entered
	enqueue(t, b.settings, "", &resolved, "resolve", fmt.Sprint(row.ID), "--not-posted", "--force")
	require.Equal(t, "scheduled", resolved.Status)
	w.awaitEvent(t, row.ID, "done")
	require.Equal(t, "posted", b.show(t, row.ID).Status)
	require.Len(t, b.requests("on hold"), 2)
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
