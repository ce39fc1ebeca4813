package limits

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// bystander is an account of which one tweet is due at a time.
func bystander(i int) string { return fmt.Sprintf("bystander%d", i) }

// burden gives a world an account with so many rows that are due, one that is paused, and one that X always answers
// 429.
func (w *world) burden(rows int) {
	w.Helper()
	_, err := w.x.Fault(sandbox.Fault{Match: sandbox.Match{Username: "limited"}, Kind: sandbox.KindRateLimited, Wait: time.Second})
	require.NoError(w, err)
	w.exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'for the test' WHERE username = 'paused'`)
	for user, n := range map[string]int{"loaded": rows, "paused": rows / 10, "limited": rows / 10} {
		w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT $1, 'number ' || i, tweetqueue.clock() FROM generate_series(1, $2) AS i`, user, n)
	}
}

// crowd is a world with so many bystanders, and the accounts that a burden is for. Of the one with the load a few
// tweets go every second.
func crowd(t testing.TB, bystanders int) *world {
	t.Helper()
	w := newWorld(t, sandbox.Config{})
	w.poll = 0 // no clock is moved under these
	for i := range bystanders {
		w.account(bystander(i))
	}
	for _, user := range []string{"loaded", "paused", "limited"} {
		w.account(user)
	}
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 5, period = '1 second'
WHERE name = 'posts' AND account_id = (SELECT id FROM tweetqueue.accounts WHERE username = 'loaded')`)
	return w
}

// invite makes a tweet of each bystander due, one after the other within some time, and returns when each is.
func (w *world) invite(bystanders int, within time.Duration) map[string]time.Time {
	w.Helper()
	due := map[string]time.Time{}
	var users []string
	var at []time.Time
	first := w.clock.Now().Add(time.Second).Truncate(time.Microsecond)
	for i := range bystanders {
		users = append(users, bystander(i))
		at = append(at, first.Add(within*time.Duration(i)/time.Duration(bystanders)).Truncate(time.Microsecond))
		due[users[i]] = at[i]
	}
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT account, 'now', at FROM unnest($1::text[], $2::timestamptz[]) AS t (account, at)`, users, at)
	return due
}

// An account with a long queue, one that is paused and one that X always refuses hold up nobody else.
func TestBystanders(t *testing.T) {
	t.Parallel()
	const bystanders, rows = 50, 2000
	w := crowd(t, bystanders)
	w.work(40)
	w.burden(rows)
	due := w.invite(bystanders, time.Second)
	arrived := map[string]time.Time{}
	w.wait(func() bool {
		arrived = w.bystanders(w.start)
		return len(arrived) == bystanders
	})
	for user, at := range due {
		require.False(t, arrived[user].Before(at), "%s went too early", user)
	}
	waiting := one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE account = 'loaded' AND status = 'scheduled'`)
	require.Greater(t, waiting, rows*3/4)
	require.Empty(t, w.arrivals("paused", sandbox.RouteCreateTweet))
	require.Empty(t, w.problems())
}

// What one account has too much of is overtaken by what falls due after it of others, also where no limit binds it.
func TestBulkIsOvertaken(t *testing.T) {
	t.Parallel()
	const bystanders, rows = 50, 3000
	w := crowd(t, bystanders)
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 1000000`)
	w.work(40)
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT 'loaded', 'number ' || i, tweetqueue.clock() FROM generate_series(1, $1) AS i`, rows)
	w.invite(bystanders, time.Second)
	w.wait(func() bool { return len(w.bystanders(w.start)) == bystanders })
	require.Greater(t, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE account = 'loaded' AND status = 'scheduled'`), rows/10)
	require.Empty(t, w.problems())
}

// bystanders are the arrivals of their tweets since an instant.
func (w *world) bystanders(since time.Time) map[string]time.Time {
	arrived := map[string]time.Time{}
	for _, r := range w.arrivals("", sandbox.RouteCreateTweet) {
		if len(r.Username) > len("bystander") && r.ArrivedAt.After(since) {
			arrived[r.Username] = r.ArrivedAt
		}
	}
	return arrived
}

// BenchmarkLimitsBystanders tells how late the tweets of 500 accounts are beside an account with 50,000 that wait, one
// that is paused and one that X always refuses, and how late without them. The two take turns: while one is measured the
// other has no worker.
func BenchmarkLimitsBystanders(b *testing.B) {
	const bystanders, rows, within, rounds = 500, 50_000, 20 * time.Second, 3
	for b.Loop() {
		alone, beside := crowd(b, bystanders), crowd(b, bystanders)
		beside.hold("loaded", rows)
		beside.burden(rows / 50)
		late := map[*world][]time.Duration{}
		for range rounds {
			for _, w := range []*world{alone, beside} {
				stop := w.work(40)
				w.lateness(bystanders, within/2) // in which a worker that has just begun learns what waits
				late[w] = append(late[w], w.lateness(bystanders, within)...)
				stop()
			}
		}
		require.Empty(b, alone.problems())
		require.Empty(b, beside.problems())
		without, with := quantile(late[alone], 0.99), quantile(late[beside], 0.99)
		b.ReportMetric(milliseconds(without), "p99-alone-ms")
		b.ReportMetric(milliseconds(with), "p99-beside-ms")
		b.ReportMetric(float64(with)/float64(without), "p99-ratio")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkLimitsBacklog tells how late the tweets of 100 accounts are in the ten seconds after 50,000 of another one fall due
// at once, of which 200 may go.
func BenchmarkLimitsBacklog(b *testing.B) {
	const bystanders, rows, within = 100, 50_000, 10 * time.Second
	for b.Loop() {
		w := crowd(b, bystanders)
		w.exec(`UPDATE tweetqueue.quotas SET maximum = 200, period = '15 minutes' WHERE name = 'posts'`)
		w.work(40)
		w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT 'loaded', 'number ' || i, tweetqueue.clock() FROM generate_series(1, $1) AS i`, rows)
		late := w.lateness(bystanders, within)
		require.Empty(b, w.problems())
		b.ReportMetric(milliseconds(quantile(late, 0.5)), "median-ms")
		b.ReportMetric(milliseconds(quantile(late, 1)), "longest-ms")
		b.ReportMetric(0, "ns/op")
	}
}

// lateness is how late the tweets of the bystanders arrive.
func (w *world) lateness(bystanders int, within time.Duration) []time.Duration {
	w.Helper()
	since := w.clock.Now()
	due := w.invite(bystanders, within)
	arrived := map[string]time.Time{}
	// Nobody looks before they are due: to look through all that X has counted takes the more of the machine, the more that is.
	<-time.After(slices.MaxFunc(slices.Collect(maps.Values(due)), time.Time.Compare).Sub(w.clock.Now()))
	w.wait(func() bool {
		arrived = w.bystanders(since)
		return len(arrived) == bystanders
	})
	var late []time.Duration
	for user, at := range due {
		late = append(late, arrived[user].Sub(at))
	}
	return late
}

func quantile(all []time.Duration, q float64) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[int(q*float64(len(all)-1))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
