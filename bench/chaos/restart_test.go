package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// The database's server dies while X holds the answers to requests. The answers come while it recovers, and each
// is recorded all the same.
func TestImmediateRestart(t *testing.T) {
	t.Parallel()
	immediateRestart(t, 15, 2)
}

// immediateRestart has a number of tweets of each of the accounts under way when the server dies.
func immediateRestart(t *testing.T, accounts, each int) {
	t.Helper()
	const workers = 2
	pg := startPostgres(t)
	w := newWorld(t, pg.server.URL(), sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1}, 2, accounts)
	held := w.fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteCreateTweet}, Kind: sandbox.KindHoldAfter})
	var rows []int64
	for _, account := range w.accounts {
		for i := range each {
			rows = append(rows, w.tweet(account.username, fmt.Sprintf("%s says %d.", account.username, i), ""))
		}
	}
	p := short()
	p.Timeout = soon // nothing is in doubt
	for i := range workers {
		c := w.child(fmt.Sprintf("worker %d", i), p)
		c.Workers = accounts * each // whoever gets them
		w.spawn(c)
	}
	w.held(held, len(rows))

	restarted := make(chan error, 1)
	go func() { restarted <- pg.restart(t.Context()) }()
	held.Lift()
	require.NoError(t, <-restarted)
	w.eventually("each answer is recorded", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`) == len(rows)
	})
	require.Len(t, w.x.Tweets(), len(rows))
	for _, tweet := range w.x.Tweets() {
		require.Equal(t, tweet.ID, one[string](w, `SELECT tweet_id FROM tweetqueue.tweets WHERE text = $1`, tweet.Text))
	}
	// A row that was taken over may be posted by its look-up before.
	w.eventually("each answer is on record", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.requests WHERE status_code = 201 AND outcome = 'done'`) == len(rows)
	})
}

// X shows nobody what it creates, ever, and the rows say hold: what is in doubt stays so, and is not sent
// again.
func TestReadsLagForever(t *testing.T) {
	t.Parallel()
	const n = 40
	w := newWorld(t, storetest.URL(t), sandbox.Config{
		Seed: 1, Limits: []sandbox.Limit{}, DuplicateWindow: -1, ReadLag: sandbox.ReadLag{Min: 1000 * time.Hour},
	}, 2, 8)
	for _, f := range []sandbox.Fault{
		{Kind: sandbox.KindDropAfter, Rate: 0.15},
		{Kind: sandbox.KindDropBefore, Rate: 0.15},
		{Kind: sandbox.KindStatusAfter, Rate: 0.15},
		{Kind: sandbox.KindHangAfter, Rate: 0.15},
	} {
		f.Route = sandbox.RouteCreateTweet
		w.fault(f)
	}
	for i := range n {
		w.tweet(w.accounts[i%len(w.accounts)].username, fmt.Sprintf("Number %d.", i), "hold")
	}
	doomed := w.child("doomed", short())
	doomed.Doom = &doom{Point: afterAnswer, Nth: n / 8}
	w.spawn(doomed)
	w.spawn(w.child("living", short()))
	w.eventually("all are over, or in doubt for good", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status NOT IN ('posted', 'unconfirmed')`) == 0 &&
			one[int](w, openDoubts) == 0
	})
	unconfirmed := 0
	for _, entry := range w.entries() {
		on := w.on(*entry.Text)
		require.LessOrEqual(t, len(on), 1, *entry.Text)
		if entry.Status == store.Posted {
			require.Len(t, on, 1)
			require.Equal(t, on[0].ID, *entry.TweetID)
			continue
		}
		unconfirmed++
		require.NotEmpty(t, *entry.Error)
	}
	require.Equal(t, unconfirmed, one[int](w, `SELECT count(DISTINCT row_id) FROM tweetqueue.requests
WHERE kind = 'post_tweet' AND outcome IS DISTINCT FROM 'done' AND outcome IS DISTINCT FROM 'not_sent'`), "each doubt stays one")
	require.NotZero(t, unconfirmed)
}
