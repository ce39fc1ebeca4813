package jobs

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// X answers to nobody: after doubts on five accounts the app rests, and one row at a time tries.
func TestOutageOfX(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]sandbox.Kind{"Silent": sandbox.KindDropBefore, "Status503": sandbox.KindStatusBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			fault := w.fault(sandbox.Fault{Kind: kind})
			r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
			tweet := func(n int) int64 {
				account := fmt.Sprintf("user%d", n)
				w.account(account)
				return w.enqueue(account, store.Tweet{Text: "Is anybody there?"}, 0)
			}
			for n := range 5 {
				require.Empty(t, r.all(EventHeld))
				r.wait(EventUnconfirmed, tweet(n))
			}
			require.Equal(t, store.ForApp, r.waitFor(func(e Event) bool { return e.Type == EventHeld }).WaitingFor)
			var waiting []int64
			for n := range 5 {
				waiting = append(waiting, tweet(5+n))
			}
			event := r.wait(EventWaiting, waiting...)
			require.Equal(t, store.ForApp, event.WaitingFor)
			require.Contains(t, event.Reason, outageReason)
			require.Equal(t, 5, w.count(creates()))

			// The rest is over. One tries, and leaves another doubt.
			w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
			w.eventually("one tries, and all others wait", func() bool {
				return one[bool](w, `SELECT count(*) FILTER (WHERE status = 'unconfirmed') = 6
					AND bool_and(status = 'unconfirmed' OR waiting_for = 'app') FROM tweetqueue.tweets`)
			})
			require.Equal(t, 6, w.count(creates()))
			require.Equal(t, "paused", one[string](w, `SELECT state FROM tweetqueue.apps`))
			require.Len(t, r.all(EventHeld), 1, "it is told once")

			fault.Lift()
			w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
			var sent []int64
			for _, id := range waiting {
				if w.status(id) != "unconfirmed" {
					sent = append(sent, id)
				}
			}
			r.wait(EventDone, sent...)
			require.Len(t, sent, 4)
			require.Equal(t, "active {}", one[string](w, `SELECT state || ' ' || doubted::text FROM tweetqueue.apps`))
		})
	}
}

// A deletion that tries, and gets no answer, ends no outage.
func TestOutageBesideADeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	for n := range 5 {
		username := fmt.Sprintf("user%d", n)
		w.account(username)
		r.wait(EventUnconfirmed, w.enqueue(username, store.Tweet{Text: "Is anybody there?"}, 0))
	}
	r.waitFor(func(e Event) bool { return e.Type == EventHeld })
	w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
	deletion := storetest.Deletion(t, w.db, "1445880548472328192", 0)
	require.Equal(t, store.ForRetry, r.wait(EventWaiting, deletion).WaitingFor)
	require.Equal(t, "paused", one[string](w, `SELECT state FROM tweetqueue.apps`))
	require.Len(t, r.all(EventHeld), 1, "it is told once")
}

// While the app rests its rows are left alone: at each end of the rest a few wake, one of them tries, and its
// answer wakes the rest.
func TestOutageLeavesRowsAlone(t *testing.T) {
	t.Parallel()
	const many, probes = 60, 3
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	for n := range 5 {
		username := fmt.Sprintf("user%d", n)
		w.account(username)
		r.wait(EventUnconfirmed, w.enqueue(username, store.Tweet{Text: "first"}, 0))
	}
	r.waitFor(func(e Event) bool { return e.Type == EventHeld })
	var waiting []int64
	for n := range many {
		username := fmt.Sprintf("many%d", n%4)
		if n < 4 {
			w.account(username)
		}
		waiting = append(waiting, w.enqueue(username, store.Tweet{Text: fmt.Sprintf("number %d", n)}, 0))
	}
	r.wait(EventWaiting, waiting...)
	require.Len(t, r.all(EventWaiting, waiting...), many)
	for n := range probes {
		w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
		w.eventually("one tries", func() bool { return w.count(creates()) == 5+n+1 })
		w.eventually("and leaves a doubt", func() bool {
			return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'unconfirmed'`) == 5+n+1
		})
	}
	require.Less(t, len(r.all(EventWaiting, waiting...)), many+many/2, "not all of them again")
	require.Equal(t, many-probes, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'scheduled'`))

	fault.Lift()
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE status = 'unconfirmed'`) // a person's
	w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
	w.eventually("all others are posted", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`) == many-probes
	})
}

// An answer between doubts is one, also to a request that is older than they are.
func TestAnswerBetweenDoubts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	for n := range 6 {
		w.account(fmt.Sprintf("user%d", n))
	}
	w.fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteCreateTweet, Text: "lost"}, Kind: sandbox.KindDropBefore})
	held := w.fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteCreateTweet, Text: "fine"}, Kind: sandbox.KindHoldAfter})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	fine := w.enqueue("user5", store.Tweet{Text: "fine"}, 0)
	w.held(held, 1)
	for n := range 4 {
		r.wait(EventUnconfirmed, w.enqueue(fmt.Sprintf("user%d", n), store.Tweet{Text: "lost"}, 0))
	}
	held.Lift()
	r.wait(EventDone, fine)
	w.eventually("the answer is noted", func() bool { return one[string](w, `SELECT doubted::text FROM tweetqueue.apps`) == "{}" })
	r.wait(EventUnconfirmed, w.enqueue("user4", store.Tweet{Text: "lost"}, 0))
	require.Equal(t, "active", one[string](w, `SELECT state FROM tweetqueue.apps`))
}

// Doubts with answers between them are X's usual weather.
func TestDoubtsAreNoOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: sandbox.Match{Text: "lost"}, Kind: sandbox.KindDropAfter})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	for n := range 7 {
		account := fmt.Sprintf("user%d", n)
		w.account(account)
		r.wait(EventUnconfirmed, w.enqueue(account, store.Tweet{Text: "lost"}, 0))
		id := w.tweet(fmt.Sprintf("number %d", n))
		r.wait(EventDone, id)
		w.eventually("the answer is noted", func() bool { return one[string](w, `SELECT doubted::text FROM tweetqueue.apps`) == "{}" })
	}
	require.Empty(t, r.all(EventHeld))
}

// After a day's outage of ours nothing goes out late that nobody asked to; what was missed is listed.
func TestOutageOfADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	tweetID := w.old("acme")
	late := w.tweet("yesterday's news")
	longer := time.Now().Add(48 * time.Hour)
	kept := w.enqueue("other", store.Tweet{Text: "no hurry", PostBefore: &longer}, 0)
	shorter := time.Now().Add(time.Hour)
	past := w.enqueue("other", store.Tweet{Text: "by noon", PostBefore: &shorter}, 0)
	first := w.tweet("a thread has begun")
	second := w.enqueue("acme", store.Tweet{Text: "and goes on", PreviousID: &first}, 0)
	w.posted(first)
	limited := w.tweet("had to wait for a limit until a moment ago")
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'time', late_from = tweetqueue.clock() + interval '24 hours' WHERE id = $1`, limited)
	held := w.tweet("had to wait for its account")
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'account' WHERE id = $1`, held)
	again := w.tweet("scheduled again")
	_, err := store.Cancel(t.Context(), w.db, again)
	require.NoError(t, err)
	deletion := storetest.Deletion(t, w.db, tweetID, 0)

	config := w.moveClock(Config{}, 25*time.Hour)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, again)
	written := storetest.Tweet(t, w.db, "written now, due long ago", -30*24*time.Hour)
	r := w.start(opts{config: config})
	reason := r.wait(EventMissed, late, past, held).Reason
	require.Contains(t, reason, "(it waited for account)")
	require.Contains(t, *w.entry(late).Error, "it is 25h0m", "and how late it is")
	require.Contains(t, *w.entry(past).Error, "its deadline passed")
	r.wait(EventDone, kept, second, limited, again, deletion, written)
	list, err := store.EntryList(t.Context(), w.db, store.EntryFilter{Statuses: []store.Status{store.Missed}})
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.NotContains(t, w.texts(), "yesterday's news")
	require.NotContains(t, w.texts(), "by noon")
}

// posted makes a row posted, as if a worker had.
func (w *world) posted(id int64) {
	w.Helper()
	tweet, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: w.text(id)})
	require.NoError(w, err)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'sending', waiting_for = NULL, request_id = 0 WHERE id = $1`, id)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'posted', tweet_id = $2, posted_at = tweetqueue.clock() WHERE id = $1`, id, tweet.ID)
}

func (w *world) text(id int64) string {
	w.Helper()
	return one[string](w, `SELECT text FROM tweetqueue.tweets WHERE id = $1`, id)
}

// A MaxLate of less than nothing is none, and any other is kept to.
func TestMaxLate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		maxLate time.Duration
		want    EventType
	}{
		"None": {-1, EventDone}, "Longer": {26 * time.Hour, EventDone}, "Shorter": {time.Hour, EventMissed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			id := w.tweet("yesterday's news")
			config := w.moveClock(Config{MaxLate: test.maxLate}, 25*time.Hour)
			w.start(opts{config: config}).wait(test.want, id)
		})
	}
}

// After an hour's outage all that is due goes out in its order, and no more than the limits allow.
func TestOutageOfAnHour(t *testing.T) {
	t.Parallel()
	const each, workers, places = 30, 4, 20
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	w.exec(`UPDATE tweetqueue.quotas SET maximum = $1 WHERE name = 'posts' AND account_id = (SELECT id FROM tweetqueue.accounts WHERE username = 'other')`, places)
	var ids []int64
	for n := range 2 * each {
		account := []string{"acme", "other"}[n%2]
		ids = append(ids, w.enqueue(account, store.Tweet{Text: fmt.Sprintf("number %d", n)}, time.Duration(n)*time.Second))
	}
	config := w.moveClock(Config{Workers: workers}, time.Hour)
	r := w.start(opts{config: config})
	w.eventually("all that may go out has, and the rest waits for its limit", func() bool {
		return one[bool](w, `SELECT bool_and(status = 'posted' OR waiting_for = 'quota') FROM tweetqueue.tweets`)
	})
	r.stop()
	require.Equal(t, each+places, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`))
	require.Equal(t, each+places, w.count(creates()))
	rows, err := w.db.Query(t.Context(), `SELECT row_id FROM tweetqueue.requests ORDER BY id`)
	require.NoError(t, err)
	defer rows.Close()
	var granted []int64
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		granted = append(granted, id)
	}
	require.NoError(t, rows.Err())
	for i, id := range granted {
		for _, before := range granted[i+1:] {
			require.Less(t, slices.Index(ids, id)-slices.Index(ids, before), 2*workers, "row %d before row %d", id, before)
		}
	}
}

// Doubts that come at the same instant count, each of them.
func TestDoubtsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}, X: twitter.Config{Timeout: 2 * time.Second}}})
	var ids []int64
	for n := range 5 {
		username := fmt.Sprintf("user%d", n)
		w.account(username)
		ids = append(ids, w.enqueue(username, store.Tweet{Text: "all together"}, 0))
	}
	w.held(fault, 5)
	r.wait(EventUnconfirmed, ids...)
	w.eventually("the app rests", func() bool { return one[string](w, `SELECT state FROM tweetqueue.apps`) == "paused" })
	require.Equal(t, store.ForApp, r.waitFor(func(e Event) bool { return e.Type == EventHeld }).WaitingFor)
}

// Somebody has the app's row locked: a doubt is recorded all the same.
func TestDoubtBesideALockedApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Match: creates(), Times: 1})
	lock := w.application()
	_, err := lock.Exec(t.Context(), `SELECT FROM tweetqueue.apps FOR NO KEY UPDATE`)
	require.NoError(t, err)
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	id := w.tweet("first")
	r.wait(EventUnconfirmed, id)
	require.Equal(t, "unconfirmed", w.status(id))
	require.NoError(t, lock.Rollback(t.Context()))
}
