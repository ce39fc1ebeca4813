package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// requireNoAttempts checks that waiting used up no attempt of River: each wait is another job.
func (w *world) requireNoAttempts() {
	w.Helper()
	require.Equal(w, 1, one[int](w, `SELECT max(attempt) FROM tweetqueue.river_job`))
	require.Zero(w, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE errors IS NOT NULL`))
}

// An empty window makes rows wait for the instant that it allows, without a request, and never lets
// more go than it has.
func TestQuotaHoldsBack(t *testing.T) {
	t.Parallel()
	const places, more, period = 5, 3, 2 * time.Second
	w := newWorld(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.quotas SET maximum = $1, period = $2 WHERE name = 'posts'`, places, period)
	var ids []int64
	for i := range places + more {
		ids = append(ids, w.tweet(fmt.Sprintf("number %d", i)))
	}
	w.account("other")
	bystander := w.enqueue("other", store.Tweet{Text: "a bystander"}, 0)
	r := w.start(opts{})
	r.wait(EventDone, bystander)
	waiting := r.waitFor(func(e Event) bool { return e.WaitingFor == store.ForQuota })
	require.Equal(t, "no place was left in the limit posts", waiting.Reason)
	r.wait(EventDone, ids...)

	first := r.all(EventDue, ids...)[0]
	granted := one[time.Time](w, `SELECT granted_at FROM tweetqueue.requests WHERE id = $1`, first.RequestID)
	sendBy := one[time.Time](w, `SELECT send_by FROM tweetqueue.requests WHERE id = $1`, first.RequestID)
	require.False(t, waiting.Until.Before(granted.Add(period)), "not before the first place is free")
	require.False(t, waiting.Until.After(sendBy.Add(period+period/256)), "nor later than a window after it can have been sent")
	require.GreaterOrEqual(t, len(r.all(EventWaiting, ids...)), more)

	var grants, arrivals []time.Time
	for _, id := range ids {
		requests := w.requests(id)
		require.Len(t, requests, 1, "waiting costs no request")
		grants = append(grants, requests[0].GrantedAt)
	}
	for _, request := range w.x.Requests() {
		if request.Username == "acme" {
			arrivals = append(arrivals, request.ArrivedAt)
		}
	}
	require.Len(t, arrivals, places+more)
	slices.SortFunc(grants, time.Time.Compare)
	for i := range more {
		require.GreaterOrEqual(t, grants[i+places].Sub(grants[i]), period, "granted within a window")
		// Requests travel; for how long on a loaded machine is not what is tested.
		require.Greater(t, arrivals[i+places].Sub(arrivals[i]), period/2, "arrived within a window")
	}
	w.requireNoAttempts()
}

// The window of three hours holds back although the one of 15 minutes has places.
func TestQuotaOfTheLongerWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 1 WHERE name = 'writes'`)
	first := w.tweet("one")
	r := w.start(opts{})
	r.wait(EventDone, first)
	second := w.tweet("two")
	waiting := r.wait(EventWaiting, second)
	require.Equal(t, "no place was left in the limit writes", waiting.Reason)
	require.WithinDuration(t, time.Now().Add(3*time.Hour), *waiting.Until, 2*time.Minute)
	require.Equal(t, "scheduled:quota", w.status(second))
	require.WithinDuration(t, *waiting.Until, *w.entry(second).NextAttemptAt, time.Microsecond)
	require.Len(t, w.x.Requests(), 1)
	jobs := storetest.Jobs(t, w.db, second)
	require.Equal(t, "pending", jobs[len(jobs)-1].State)
	require.Greater(t, time.Until(jobs[len(jobs)-1].ScheduledAt), 365*24*time.Hour, "its account wakes it")

	// A deletion is no write of that window.
	deletion := storetest.Deletion(t, w.db, w.x.Tweets()[0].ID, 0)
	r.wait(EventDone, deletion)
	w.requireNoAttempts()
}

// A 429 is believed: nothing of the account and action is sent before the reset, then all of it is.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Second // in which a second tweet is tried
	w := newWorld(t, sandbox.Config{Limits: sandbox.DefaultLimits()})
	w.fault(sandbox.Fault{Kind: sandbox.KindRateLimited, Times: 1, Wait: wait})
	w.account("other")
	limited := w.tweet("one")
	w.exec(`UPDATE tweetqueue.tweets SET retries = 3`)
	r := w.start(opts{})
	event := r.wait(EventWaiting, limited)
	require.Equal(t, store.ForQuota, event.WaitingFor)
	require.Contains(t, event.Reason, "rate limited (429)")
	require.Equal(t, "scheduled:quota", w.status(limited))
	require.Equal(t, *event.Until, *w.entry(limited).NextAttemptAt)
	require.Equal(t, 3, one[int](w, `SELECT retries FROM tweetqueue.tweets`), "a limit is no failure")

	// The next tweet does not ask X, that of another account does not wait.
	second := w.tweet("two")
	w.eventually("it waits, too", func() bool { return w.status(second) == "scheduled:quota" })
	require.Contains(t, []string{
		"no place was left in the limit posts: X said 429",
		"its account had no place left in a limit: 'enqueue limits' shows which", // if it was not even fetched
	}, *w.entry(second).Error)
	require.Len(t, w.x.Requests(), 1)
	r.wait(EventDone, w.enqueue("other", store.Tweet{Text: "a bystander"}, 0))

	r.wait(EventDone, limited, second)
	refused := w.x.Requests()[0]
	for _, request := range w.x.Requests()[1:] {
		if request.Username == "acme" {
			require.GreaterOrEqual(t, request.ArrivedAt.Sub(refused.EndedAt), wait-10*time.Millisecond, "before the reset")
		}
	}
	requests := w.requests(limited)
	require.Len(t, requests, 2)
	require.Equal(t, 429, *requests[0].StatusCode)
	require.Equal(t, "wait", *requests[0].Outcome)
	require.Contains(t, string(requests[0].Limits), `"remaining": 0`)
	require.Len(t, w.requests(second), 1)
	w.requireNoAttempts()
}

// A backlog of one account is fetched once, whatever its limit: those that do not find a place are kept from being
// fetched, and then as many go on as there are places. Nobody else waits for it.
func TestBacklogIsFetchedOnce(t *testing.T) {
	t.Parallel()
	const tweets, places, workers = 120, 20, 5
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	w.exec(`UPDATE tweetqueue.quotas SET maximum = $1, period = '2 seconds' WHERE name = 'posts' AND account_id = (SELECT id FROM tweetqueue.accounts WHERE username = 'acme')`, places)
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 100000 WHERE name = 'writes'`)
	w.exec(`INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'number ' || i FROM generate_series(1, $1) AS i`, tweets)
	r := w.start(opts{config: Config{Workers: workers}})
	r.waitFor(func(e Event) bool { return e.WaitingFor == store.ForQuota })
	r.wait(EventDone, w.enqueue("other", store.Tweet{Text: "a bystander"}, 0))
	w.eventually("all are posted", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`) == tweets+1
	})
	fetched := one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE attempt > 0 AND kind = 'post_tweet'`)
	t.Logf("fetches per tweet: %.3f", float64(fetched)/(tweets+1))
	require.Less(t, fetched, tweets+tweets/5)
	require.Empty(t, one[[]string](w, `SELECT coalesce(array_agg(action), '{}') FROM tweetqueue.quota_waits`))
}

// What falls due while its account waits is held back without having been fetched.
func TestDueWhileTheAccountWaits(t *testing.T) {
	t.Parallel()
	const tweets = 50
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	w.exec(`UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + interval '1 hour' WHERE name = 'posts' AND account_id = (SELECT id FROM tweetqueue.accounts WHERE username = 'acme')`)
	w.exec(`INSERT INTO tweetqueue.quota_waits (account_id, action, until)
SELECT id, 'post', tweetqueue.clock() + interval '1 hour' FROM tweetqueue.accounts WHERE username = 'acme'`)
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT 'acme', 'number ' || i, tweetqueue.clock() + interval '1 second' FROM generate_series(1, $1) AS i`, tweets)
	bystander := w.enqueue("other", store.Tweet{Text: "a bystander"}, time.Second)
	r := w.start(opts{config: Config{PollInterval: time.Minute}}) // it is not by chance that somebody looks
	r.wait(EventDone, bystander)
	w.eventually("all wait for the limit", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE waiting_for = 'quota'`) == tweets
	})
	require.Equal(t, 1, one[int](w, `SELECT sum(attempt) FROM tweetqueue.river_job`), "the bystander's")
}

// What falls due just before its account has a place again goes at that instant, with what waited for longer.
func TestDueJustBeforeAPlaceIsFree(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	for name, ahead := range map[string]time.Duration{"Just": 5 * time.Millisecond, "Before": 100 * time.Millisecond, "LongBefore": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			r := w.start(opts{config: Config{PollInterval: time.Minute}})
			w.exec(`UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + $1 WHERE name = 'posts'`, wait)
			first := w.tweet("one that waits")
			until := *r.wait(EventWaiting, first).Until
			now, err := store.Clock(t.Context(), w.db)
			require.NoError(t, err)
			second := w.enqueue("acme", store.Tweet{Text: "another"}, until.Add(-ahead).Sub(now))
			r.wait(EventDone, first, second)
			require.Less(t, w.requests(second)[0].GrantedAt.Sub(until), 15*time.Second) // half of what it would be put off for
		})
	}
}

// Where somebody has locked the windows of an app, a look at what waits for a limit waits for one of its accounts alone.
func TestLockedAppIsTriedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	w.exec(`INSERT INTO tweetqueue.quotas (app_id, name, actions, maximum, period) SELECT id, 'of the app', '{post}', 5, '1 hour' FROM tweetqueue.apps`)
	w.exec(`INSERT INTO tweetqueue.quota_waits (account_id, action, until) SELECT id, 'post', tweetqueue.clock() FROM tweetqueue.accounts`)
	r := w.newWorker(opts{})
	tries := &statements{name: "-- name: QuotaWaitImpatience "}
	config := r.pool.Config()
	config.ConnConfig.Tracer = tries
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	r.pool = pool

	holder := storetest.Tx(t, w.db)
	_, err = holder.Exec(t.Context(), `SELECT FROM tweetqueue.quotas WHERE app_id IS NOT NULL FOR UPDATE`)
	require.NoError(t, err)
	more, _, err := r.releaseQuotaWaits(t.Context())
	require.NoError(t, err)
	require.False(t, more)
	require.EqualValues(t, 1, tries.n.Load())
	require.Equal(t, 2, one[int](w, `SELECT count(*) FROM tweetqueue.quota_waits WHERE until > tweetqueue.clock()`), "both are looked at again a little later")
}

// statements is a tracer that counts the statements of a name.
type statements struct {
	name string
	n    atomic.Int32
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, s.name) {
		s.n.Add(1)
	}
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A row that was let go on, and then waits for something else, leaves its place to the next one at once.
func TestPlaceIsLeftToTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 1 WHERE name = 'posts'`)
	first := w.enqueue("acme", store.Tweet{Text: "first"}, time.Hour)
	second := w.enqueue("acme", store.Tweet{Text: "second", PreviousID: &first}, 0)
	other := w.tweet("other")
	w.exec(`UPDATE tweetqueue.tweets SET priority = 1 WHERE id = $1`, second)
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'quota', next_attempt_at = tweetqueue.clock() + interval '100 years' WHERE id <> $1`, first)
	w.exec(`INSERT INTO tweetqueue.quota_waits (account_id, action, until) SELECT id, 'post', tweetqueue.clock() FROM tweetqueue.accounts WHERE username = 'acme'`)
	w.start(opts{})
	w.eventually("the other one is posted", func() bool { return w.status(other) == "posted" })
	require.Equal(t, "scheduled:thread", w.status(second))
}
