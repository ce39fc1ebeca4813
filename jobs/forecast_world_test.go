package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// moved is a clock that a test moves forward, with the database's.
type moved struct{ by atomic.Int64 }

// now is the sandbox's clock.
func (m *moved) now() time.Time { return time.Now().Add(time.Duration(m.by.Load())) }

// Now is River's clock, by which it measures.
func (m *moved) Now() time.Time { return time.Now() }

// NowOrNil is what River asks the database for.
func (m *moved) NowOrNil() *time.Time { return new(m.now()) }

// jump moves all clocks, while nothing is being sent. The worker's lease lives on.
func (w *world) jump(clock *moved, by time.Duration) {
	w.Helper()
	total := time.Duration(clock.by.Add(int64(by)))
	require.NoError(w, store.InTx(w.Context(), w.db, func(tx pgx.Tx) error {
		storetest.MoveClock(w, tx, total)
		_, err := tx.Exec(w.Context(), `UPDATE tweetqueue.workers SET renewed_at = renewed_at + $1`, by)
		return err
	}))
}

// runOut moves the clocks from one instant at which something happens to the next, until nothing more does.
func (w *world) runOut(clock *moved) {
	w.Helper()
	// Nothing is under way, or is about to be; and when something is, the next time.
	const query = `SELECT NOT EXISTS (SELECT FROM tweetqueue.waiting WHERE status = 'sending')
    AND NOT EXISTS (SELECT FROM tweetqueue.river_job WHERE state IN ('available', 'running', 'retryable'))
    AND NOT EXISTS (SELECT FROM tweetqueue.tweets WHERE wake_next OR wake_account)
    AND NOT EXISTS (SELECT FROM tweetqueue.accounts WHERE wake_held), (
    SELECT extract(epoch FROM min(at) - tweetqueue.clock()) FROM (
        SELECT scheduled_at AS at FROM tweetqueue.river_job WHERE state = 'pending'
        UNION ALL SELECT until FROM tweetqueue.quota_waits
        UNION ALL SELECT until FROM tweetqueue.budget_waits
        UNION ALL SELECT a.state_until FROM tweetqueue.accounts a WHERE a.state <> 'active' AND (a.state_until > tweetqueue.clock()
            OR EXISTS (SELECT FROM tweetqueue.waiting v WHERE v.account = a.username AND v.waiting_for = 'account'))) AS events)`
	const never = 50 * 365 * 24 * 3600.0 // seconds: a job of a row that wakes by another's end
	for {
		var next *float64
		w.eventually("nothing is under way", func() bool {
			idle := false
			require.NoError(w, w.db.QueryRow(w.Context(), query).Scan(&idle, &next))
			return idle && (next == nil || *next > 0)
		})
		if next == nil || *next > never {
			return
		}
		w.jump(clock, time.Duration(*next*float64(time.Second)))
	}
}

// scenario is rows of a few accounts under limits, by chance.
type scenario struct {
	*world

	clock    *moved
	random   *rand.Rand
	accounts []string
	others   int64 // tweets on X so far, to be deleted or retweeted
	tweets   int
	// budgeted says that there are budgets, and no limits of several actions or accounts: with those it is not foreseen
	// to the row what has gone by the end of the money.
	budgeted bool
	threads  map[string]bool // accounts whose tweets are in threads
	// deadlines says that it is foreseen which tweets are missed: their limits are theirs alone.
	deadlines bool
}

// newScenario has limits such as X's: of posts, retweets and deletions each, or of posts and retweets together, or both, and
// some of the app. It begins some hours before a month ends. Those of even seeds have budgets.
func newScenario(t *testing.T, seed uint64) *scenario {
	t.Helper()
	clock := &moved{}
	w := newWorld(t, sandbox.Config{Now: clock.now, TimestampSkew: -1})
	s := &scenario{world: w, clock: clock, random: rand.New(rand.NewPCG(seed, 0)), accounts: []string{"acme"}, budgeted: seed%2 == 0, threads: map[string]bool{}}
	now := clock.now().UTC()
	ends := time.Date(now.Year(), now.Month()+2, 1, 0, 0, 0, 0, time.UTC)
	s.jump(clock, ends.Add(-2*time.Hour-time.Duration(s.random.Int64N(int64(48*time.Hour)))).Sub(now))
	w.account("stranger") // whose tweets are retweeted
	for _, username := range []string{"beta", "gamma"}[:s.random.IntN(3)] {
		w.account(username)
		s.accounts = append(s.accounts, username)
	}
	for _, username := range s.accounts {
		s.threads[username] = s.random.IntN(2) == 0
	}
	w.exec(`DELETE FROM tweetqueue.quotas`)
	joint := false // where posts and retweets share one window, which of them go first is not foreseen
	for _, username := range s.accounts {
		windows := [][]string{{"post"}, {"delete"}, {"retweet"}}
		switch kind := s.random.IntN(3); {
		case s.budgeted:
		case kind == 0:
			windows, joint = [][]string{{"post", "retweet"}, {"delete"}}, true
		case kind == 1: // as the guide's, and more
			windows, joint = append(windows, []string{"post", "retweet"}), true
		}
		for _, actions := range windows {
			s.window(username, actions...)
		}
	}
	ofApp := []string{"post", "delete", "retweet"}
	if joint {
		ofApp = []string{"delete"}
	}
	for _, action := range ofApp {
		if s.random.IntN(4) == 0 && !s.budgeted {
			s.window("", action)
		}
	}
	s.deadlines = !one[bool](w, `SELECT EXISTS (SELECT FROM tweetqueue.quotas WHERE 'post' = ANY (actions) AND (app_id IS NOT NULL OR cardinality(actions) > 1))`)
	s.exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'for a while', state_until = tweetqueue.clock() + $1
WHERE username = 'beta'`, time.Duration(s.random.Int64N(int64(2*time.Hour))))
	return s
}

// window makes a window of an account, or of the app, in which places may have been taken. Its length makes light of the
// seconds that rows take to go.
func (s *scenario) window(username string, actions ...string) {
	s.Helper()
	period := []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour}[s.random.IntN(4)]
	taken := s.clock.now().Add(-time.Duration(s.random.Int64N(int64(period)))).UnixMicro() / (period.Microseconds() / 256)
	s.exec(`INSERT INTO tweetqueue.quotas (account_id, app_id, name, actions, maximum, period, buckets, grants)
SELECT a.id, CASE WHEN a.id IS NULL THEN p.id END, $2, $3, $4, $5, ARRAY[$6::bigint], ARRAY[$7::integer]
FROM tweetqueue.apps p LEFT JOIN tweetqueue.accounts a ON a.username = $1`,
		username, fmt.Sprint(actions), actions, 3+s.random.IntN(15), period, taken, 1+s.random.IntN(5))
}

// rows enqueues rows: in bursts and one by one, of all priorities, threads among them, some with deadlines, if it is foreseen
// which are missed.
func (s *scenario) rows(n int) {
	s.Helper()
	start, burst := one[time.Time](s.world, `SELECT tweetqueue.clock()`), time.Duration(0)
	for i := 0; i < n; i++ {
		if s.random.IntN(8) == 0 {
			burst = time.Duration(s.random.Int64N(int64(2 * time.Hour)))
		}
		at := start.Add(burst)
		if s.random.IntN(3) == 0 {
			at = at.Add(time.Duration(s.random.Int64N(int64(time.Hour))))
		}
		at = at.Truncate(time.Minute) // what is due within milliseconds goes in whichever order it is fetched
		account, priority := s.accounts[s.random.IntN(len(s.accounts))], 1+s.random.IntN(4)
		var err error
		switch s.random.IntN(4) {
		case 0:
			_, _, err = store.DeletionInsert(s.Context(), s.db, account, s.onX(account), &at, priority)
		case 1:
			_, err = s.db.Exec(s.Context(), `INSERT INTO tweetqueue.retweets (account, tweet_id, retweet_at, priority) VALUES ($1, $2, $3, $4)`,
				account, s.onX("stranger"), at, priority)
		default:
			i += s.thread(account, at, priority)
		}
		require.NoError(s, err)
	}
}

// thread enqueues a tweet, and, for some accounts, sometimes up to three that follow it, due before or after it. It returns how many
// follow. Which of an account's tweets go before and after the next one of a thread, that one's answer decides: so the accounts
// have no deadlines, and where there are budgets, all of their tweets cost the same.
func (s *scenario) thread(account string, at time.Time, priority int) int {
	s.Helper()
	follow := 0
	texts := []string{"number ", "no URL. ", "see example.com/"}
	if s.threads[account] {
		follow = max(0, s.random.IntN(10)-6)
		if s.budgeted {
			texts = texts[:2]
		}
	}
	var previous *int64
	for range follow + 1 {
		s.tweets++
		tweet := store.Tweet{Text: fmt.Sprint(texts[s.random.IntN(len(texts))], s.tweets), PreviousID: previous}
		if !s.threads[account] && s.deadlines && s.random.IntN(5) == 0 {
			tweet.PostBefore = new(at.Add(2*time.Minute + time.Duration(s.random.Int64N(int64(4*time.Hour)))))
		}
		id, _, err := store.TweetInsert(s.Context(), s.db, account, tweet, &at, priority)
		require.NoError(s, err)
		previous = &id
		at = at.Add(time.Duration(s.random.IntN(90)-30) * time.Minute)
	}
	return follow
}

// budgets gives the app, or accounts, a budget that lets most go in this month, and the others in the next. It is spent at a
// moment at which nothing goes for a while, but for two deletions: a slow machine does not decide what it was spent on.
func (s *scenario) budgets() {
	s.Helper()
	const some = store.USD(14_000) // of which two deletions can be paid
	sim, err := simulationRead(s.Context(), s.db, []string{store.DefaultApp})
	require.NoError(s, err)
	ends := time.Date(sim.now.Year(), sim.now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	ofApp := s.random.IntN(3) == 0
	gone, total := map[int64][]departure{}, map[int64]store.USD{} // by account, or of all
	count := func(row *store.Upcoming) int64 {
		id := row.AccountID
		if ofApp {
			id = 0
		}
		total[id] += sim.price(row.Action, row.HasURL)
		return id
	}
	sim.missed = func(row *store.Upcoming) { count(row) }
	sim.went = func(row *store.Upcoming, how departure) {
		id := count(row)
		gone[id] = append(gone[id], how)
	}
	require.NoError(s, sim.readRows(s.Context(), s.db, []string{store.DefaultApp}))
	for id, all := range gone {
		var spent store.USD
		for i := range all {
			quiet := i == len(all)-1 || all[i+1].at.Sub(all[i].at) > 5*time.Minute
			spent += all[i].cost
			if !quiet || spent < total[id]/2 || all[i].at.After(ends.Add(-5*time.Minute)) {
				continue
			}
			if ofApp {
				s.exec(`UPDATE tweetqueue.apps SET budget_usd = $1`, spent+some)
			} else {
				s.exec(`UPDATE tweetqueue.accounts SET budget_usd = $1 WHERE id = $2`, spent+some, id)
			}
			break
		}
	}
}

// onX makes another tweet of a user on X.
func (s *scenario) onX(username string) string {
	s.Helper()
	s.others++
	tweet, err := s.x.AddTweet(sandbox.Tweet{Username: username, Text: fmt.Sprint("old ", s.others), CreatedAt: time.Now().Add(-time.Hour - time.Duration(s.others)*time.Second)})
	require.NoError(s, err)
	return tweet.ID
}

// decide takes away the deadlines that come so near to when the row goes that a slow machine decides.
func (s *scenario) decide() {
	s.Helper()
	for {
		near := []int64{}
		sim, err := simulationRead(s.Context(), s.db, []string{store.DefaultApp})
		require.NoError(s, err)
		isNear := func(row *store.Upcoming, at time.Time) {
			if row.Before != nil && at.Sub(*row.Before).Abs() < 5*time.Minute {
				near = append(near, row.ID)
			}
		}
		sim.went = func(row *store.Upcoming, how departure) { isNear(row, how.at) }
		sim.missed = func(row *store.Upcoming) { isNear(row, sim.now) }
		require.NoError(s, sim.readRows(s.Context(), s.db, []string{store.DefaultApp}))
		if len(near) == 0 {
			return
		}
		s.exec(`UPDATE tweetqueue.tweets SET post_before = NULL WHERE id = ANY ($1)`, near)
	}
}

// outcome is what has become of the rows of an account, or of all if its name is empty.
func (s *scenario) outcome(account string) (done, missed int, last time.Time) {
	s.Helper()
	const query = `SELECT count(*) FILTER (WHERE status = done), count(*) FILTER (WHERE status = 'missed'), count(*) FILTER (WHERE status NOT IN (done, 'missed')),
    coalesce(max(r.granted_at), 'epoch') FROM (
    SELECT account, status, request_id, 'posted' AS done FROM tweetqueue.tweets
    UNION ALL SELECT account, status, request_id, 'deleted' FROM tweetqueue.deletions
    UNION ALL SELECT account, status, request_id, 'retweeted' FROM tweetqueue.retweets) AS t
LEFT JOIN tweetqueue.requests r ON r.id = t.request_id WHERE $1 IN ('', account)`
	left := 0
	require.NoError(s, s.db.QueryRow(s.Context(), query, account).Scan(&done, &missed, &left, &last))
	require.Zero(s, left, s.world.rows())
	return done, missed, last
}

// forecastHolds runs a scenario, and requires that the forecast was right: the rows, what X bills, and the last instant
// within 2%.
func forecastHolds(t *testing.T, seed uint64, rows int) {
	t.Helper()
	s := newScenario(t, seed)
	s.rows(rows)
	s.decide()
	if s.budgeted {
		s.budgets()
		s.decide()
	}
	f := forecast(t, s.db)
	s.start(opts{config: Config{MaxLate: -1, PollInterval: 20 * time.Millisecond, Time: s.clock}})
	s.runOut(s.clock)

	done, missed, last := s.outcome("")
	took, foreseen := last.Sub(f.At), f.Last.Sub(f.At)
	t.Logf("seed %d: %d rows, %d missed, wait for budgets: %v; the last after %s, foreseen %s: off by %.2f%%", seed, done, missed, f.waitForBudgets(),
		took.Round(time.Second), foreseen.Round(time.Second), 100*(took-foreseen).Seconds()/took.Seconds())
	require.Equal(t, f.Rows, done)
	require.Equal(t, f.Missed, missed)
	require.InEpsilon(t, took, foreseen, 0.02)
	bill, err := s.x.Billed(s.app.Key)
	require.NoError(t, err)
	require.Equal(t, bill.Total.String(), f.CostUSD.String(), "%v", bill.Items)
	if slices.ContainsFunc(f.Accounts, func(a AccountForecast) bool {
		return slices.ContainsFunc(a.Limits, func(l LimitForecast) bool { return l.Per == "app" })
	}) {
		return // whose turn it is among accounts is not foreseen to the instant
	}
	for _, username := range s.accounts {
		if account := f.only(t, username); account.Last != nil {
			_, _, last := s.outcome(username)
			require.InEpsilon(t, last.Sub(f.At), account.Last.Sub(f.At), 0.02, username)
		}
	}
}

// waitForBudgets is how many rows wait for a later month, by whose budget it is.
func (f *Forecast) waitForBudgets() map[string]int {
	waits := map[string]int{}
	for i := range f.Accounts {
		for _, b := range f.Accounts[i].Budgets {
			waits[b.Per] += b.Rows
		}
	}
	return waits
}

// TestForecastHolds: what the forecast says is what then happens. There are more scenarios in the soak.
func TestForecastHolds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("Seed", seed+1), func(t *testing.T) {
			t.Parallel()
			forecastHolds(t, seed+1, 40)
		})
	}
}
