package limits

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// modes are the limits with windows as X's endpoints have them, and as its daily caps have them.
func modes(limits []sandbox.Limit) map[string][]sandbox.Limit {
	return map[string][]sandbox.Limit{"Anchored": limits, "Rolling": sandbox.Rolling(limits)}
}

// load is how many rows of each sort are due at once.
type load struct{ posts, retweets, deletions int }

func (l load) all() int { return l.posts + l.retweets + l.deletions }

// enqueue makes rows of a user that are due now.
func (w *world) enqueue(user string, l load) {
	w.Helper()
	var others, own []string
	for range l.retweets {
		others = append(others, w.tweetOf("author"))
	}
	for range l.deletions {
		own = append(own, w.tweetOf(user))
	}
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at)
SELECT $1, 'number ' || i, tweetqueue.clock() FROM generate_series(1, $2) AS i`, user, l.posts)
	w.exec(`INSERT INTO tweetqueue.retweets (account, tweet_id, retweet_at) SELECT $1, id, tweetqueue.clock() FROM unnest($2::text[]) AS id`, user, others)
	w.exec(`INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at) SELECT $1, id, tweetqueue.clock() FROM unnest($2::text[]) AS id`, user, own)
}

// guided is a world with the limits, its users author and acme, and a worker.
func guided(t testing.TB, config sandbox.Config, slots int) *world {
	t.Helper()
	w := newWorld(t, config)
	w.account("author")
	w.account("acme")
	w.work(slots)
	return w
}

// As the only client, by the limits of the guide, nothing is refused.
func TestGuide(t *testing.T) {
	t.Parallel()
	for name, limits := range modes(sandbox.DefaultLimits()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guide(t, limits, load{posts: 310, retweets: 20, deletions: 60}, 200*time.Millisecond)
		})
	}
}

// guide plays a load and requires that X has done all of it, and refused none. What it takes at least is known: 300 writes go
// in 3 hours, and 50 deletions in 15 minutes.
func guide(t *testing.T, limits []sandbox.Limit, l load, delay time.Duration) {
	t.Helper()
	w := guided(t, sandbox.Config{Limits: limits, ArrivalDelay: sandbox.Delay{Min: time.Microsecond, Max: delay}}, 10)
	w.enqueue("acme", l)
	began := time.Now()
	w.play()
	require.Empty(t, w.tooMany())
	require.Empty(t, w.problems())
	took := map[string]time.Duration{}
	for _, part := range []struct {
		name   string
		routes []sandbox.Route
		want   int
		least  time.Duration
	}{
		{"writes", []sandbox.Route{sandbox.RouteCreateTweet, sandbox.RouteRetweet}, l.posts + l.retweets, time.Duration((l.posts+l.retweets-1)/300) * 3 * time.Hour},
		{"deletions", []sandbox.Route{sandbox.RouteDeleteTweet}, l.deletions, time.Duration((l.deletions-1)/50) * 15 * time.Minute},
	} {
		arrivals := w.arrivals("acme", part.routes...)
		require.Len(t, arrivals, part.want)
		took[part.name] = arrivals[part.want-1].CountedAt.Sub(w.start)
		require.LessOrEqual(t, took[part.name], part.least+part.least/50+time.Hour/2, "beside the 15 minutes until the last of a window may go")
	}
	t.Logf("%d requests, writes in %s, deletions in %s, simulated in %s with %d jumps",
		l.all(), took["writes"], took["deletions"], time.Since(began).Round(time.Millisecond), w.jumps)
}

// Posts and retweets share 300 writes in 3 hours: then the next of either waits until the first of them no longer counts, and
// a deletion does not.
func TestSharedLimit(t *testing.T) {
	t.Parallel()
	w := guided(t, sandbox.Config{Limits: sandbox.DefaultLimits()}, 10)
	w.enqueue("acme", load{posts: 150, retweets: 50})
	for _, after := range []time.Duration{20 * time.Minute, 40 * time.Minute} {
		w.at(after, func() { w.enqueue("acme", load{retweets: 50}) })
	}
	w.play()
	require.Len(t, w.arrivals("acme", sandbox.RouteCreateTweet, sandbox.RouteRetweet), 300)
	require.Less(t, w.clock.Now().Sub(w.start), time.Hour)

	w.enqueue("acme", load{posts: 1, retweets: 1, deletions: 1})
	status := func(table string) string {
		return one[string](w, `SELECT concat_ws(':', status, waiting_for) FROM tweetqueue.`+table+` ORDER BY id DESC LIMIT 1`)
	}
	w.playUntil(func() bool {
		return status("tweets") == "scheduled:quota" && status("retweets") == "scheduled:quota" && status("deletions") == "deleted" &&
			one[int](w, `SELECT count(*) FROM tweetqueue.quota_waits WHERE until > tweetqueue.clock()`) == 2 // they are not about to be looked at
	})
	require.Less(t, w.clock.Now().Sub(w.start), time.Hour)
	granted := one[time.Time](w, `SELECT min(granted_at) FROM tweetqueue.requests WHERE kind <> 'delete_tweet'`)
	for _, kind := range []string{"tweet", "retweet"} {
		until := one[time.Time](w, `SELECT next_attempt_at FROM tweetqueue.waiting WHERE kind = $1`, kind)
		require.False(t, until.Before(granted.Add(3*time.Hour)), "a %s would go too early", kind)
		require.False(t, until.After(granted.Add(3*time.Hour+3*time.Hour/buckets+sendWithin)), "a %s would go too late", kind)
	}
	w.play()
	require.Empty(t, w.tooMany())
	require.Empty(t, w.problems())
	last := w.arrivals("acme", sandbox.RouteCreateTweet, sandbox.RouteRetweet)[300:]
	require.Len(t, last, 2)
}

// X's limit is lower than the guide's, as it is by now: it is believed from its first answer on, also where more
// requests were under way by then than it allows.
func TestLowerLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ maximum, posts, slots int }{
		"FewUnderWay":  {maximum: 100, posts: 120, slots: 10},
		"ManyUnderWay": {maximum: 20, posts: 60, slots: 40},
	} {
		limits := sandbox.CurrentLimits()
		limits[0].Max = test.maximum
		for mode, limits := range modes(limits) {
			if scenarios < 10 && (mode == "Anchored") != (test.slots < test.maximum) {
				continue // the long form has all
			}
			t.Run(mode+name, func(t *testing.T) {
				t.Parallel()
				w := guided(t, sandbox.Config{Limits: limits, ArrivalDelay: sandbox.Delay{Min: time.Second / 2, Max: time.Second}}, test.slots)
				w.enqueue("acme", load{posts: test.posts})
				w.play()
				require.Len(t, w.arrivals("acme", sandbox.RouteCreateTweet), test.posts)
				require.Empty(t, w.problems())
				require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.requests
WHERE status_code = 429 AND granted_at > (SELECT min(answered_at) FROM tweetqueue.requests)`), "granted after X had told its limit")
			})
		}
	}
}

// Another client takes half of the places of each window, all at once or one by one: X refuses at most one request in each.
func TestSecondClient(t *testing.T) {
	t.Parallel()
	const posts, maximum = 60, 40
	limits := sandbox.DefaultLimits()[:1]
	limits[0].Max = maximum
	for name, limits := range modes(limits) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secondClient(t, limits, posts, maximum, maximum/2, 0)
		})
		t.Run(name+"OneByOne", func(t *testing.T) {
			t.Parallel()
			secondClient(t, limits, posts, maximum, 1, 0)
		})
	}
}

// secondClient plays so many tweets that are due so far apart, beside a client that takes so many places at once.
func secondClient(t *testing.T, limits []sandbox.Limit, posts, maximum, atOnce int, apart time.Duration) {
	t.Helper()
	const period = 15 * time.Minute
	w := guided(t, sandbox.Config{Limits: limits}, maximum/2)
	w.exec(`UPDATE tweetqueue.quotas SET maximum = $1 WHERE name = 'posts'`, maximum)
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at)
SELECT 'acme', 'number ' || i, tweetqueue.clock() + i * $2::interval FROM generate_series(1, $1) AS i`, posts, apart)
	var spent []time.Time
	times := maximum / 2 / atOnce // in each window
	for i := range 6 * times {
		w.at(time.Duration(i)*(period+2*time.Second)/time.Duration(times), func() {
			granted, err := w.x.Spend(w.app.Key, "acme", sandbox.RouteCreateTweet, atOnce)
			require.NoError(t, err)
			spent = append(spent, slices.Repeat([]time.Time{w.clock.Now()}, granted)...)
		})
	}
	w.play()
	require.Len(t, w.arrivals("acme", sandbox.RouteCreateTweet), posts)
	require.Empty(t, w.problems())
	windows := w.refusedByWindow(spent, period)
	t.Logf("%d windows, %d refused", len(windows), len(w.tooMany()))
	for began, refused := range windows {
		require.LessOrEqual(t, refused, 1, "refused in the window that began after %s", began)
	}
}

// refusedByWindow counts the answers 429 by windows that begin with the first request that counts.
func (w *world) refusedByWindow(spent []time.Time, period time.Duration) map[time.Duration]int {
	counted := slices.Clone(spent)
	for _, r := range w.arrivals("", sandbox.RouteCreateTweet) {
		counted = append(counted, r.CountedAt)
	}
	slices.SortFunc(counted, time.Time.Compare)
	var begun []time.Time
	for _, at := range counted {
		if len(begun) == 0 || at.Sub(begun[len(begun)-1]) >= period {
			begun = append(begun, at)
		}
	}
	refused := map[time.Duration]int{}
	for _, at := range begun {
		refused[at.Sub(w.start)] = 0
	}
	for _, r := range w.tooMany() {
		i, found := slices.BinarySearchFunc(begun, r.ArrivedAt, time.Time.Compare)
		if !found {
			i--
		}
		refused[begun[i].Sub(w.start)]++
	}
	return refused
}
