package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// put writes a window of a preset, and gives it to the accounts that have it.
func (b *testBundle) put(t *testing.T, limit store.Limit) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		_, err := store.LimitPut(t.Context(), tx, limit)
		require.NoError(t, err)
	})
}

// use gives the account a preset.
func (b *testBundle) use(t *testing.T, preset string) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.AccountsLimits(t.Context(), tx, []string{"acme"}, preset))
	})
}

// windowOf reads a window of the account's or its app's.
func (b *testBundle) windowOf(t *testing.T, name string) *store.QuotaRead {
	t.Helper()
	quotas, err := store.QuotasRead(t.Context(), b.db, []string{"acme"}, nil)
	require.NoError(t, err)
	for i := range quotas {
		if quotas[i].Name == name {
			return &quotas[i]
		}
	}
	require.Fail(t, "no such window", name)
	return nil
}

// exhaust makes X have said that the account's posts of the day are exhausted, by others.
const exhaust = `UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + interval '20 hours', others = 17, rolls = true,
    others_until = tweetqueue.clock() + interval '20 hours', others_seen = tweetqueue.clock(), x_reset = tweetqueue.clock() + interval '20 hours', x_used = 17, x_maximum = 17
WHERE name IN ('posts', 'posts of the app')`

// What X told of a window of another family or length does not hold for the new one.
func TestPresetChangeForgetsWhatXSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	state := func(name string) []any {
		q := b.windowOf(t, name)
		return []any{q.XMaximum, q.BlockedUntil != nil, q.Others, q.OthersUntil != nil, q.OthersSeen != nil, q.XReset != nil, q.XUsed, q.Rolls}
	}
	none, all := []any{0, false, 0, false, false, false, 0, false}, []any{17, true, 17, true, true, true, 17, true}

	b.use(t, "free")
	exec(t, b.db, exhaust)
	b.use(t, "free")
	require.Equal(t, all, state("posts"), "it is the same plan")
	require.Equal(t, all, state("posts of the app"))

	b.use(t, "pro")
	require.Equal(t, none, state("posts"))
	require.Equal(t, []any{0, false, 17, true, true, true, 17, true}, state("posts of the app"), "others have used it all the same")
	require.Equal(t, 10000, b.windowOf(t, "posts of the app").Max())

	// The same family and length: a larger maximum is not exhausted; a smaller one may well be.
	b.use(t, "free")
	exec(t, b.db, exhaust)
	b.use(t, "basic")
	require.Equal(t, []any{0, false, 17, true, true, true, 17, true}, state("posts"))
	exec(t, b.db, exhaust)
	b.use(t, "free")
	require.Equal(t, []any{0, true, 17, true, true, true, 17, true}, state("posts"))
}

// A window of another length goes on counting what it has granted.
func TestPeriodChangeKeepsTheCount(t *testing.T) {
	t.Parallel()
	for name, period := range map[string]time.Duration{"Longer": 4 * time.Hour, "Shorter": 2 * time.Hour, "LittleLonger": 3*time.Hour + time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 5, Period: 3 * time.Hour}
			b.put(t, mine)
			b.use(t, "mine")
			requests := b.granted(t, 5)
			mine.Period = period
			b.put(t, mine)
			granted, err := grant(t.Context(), b.db, store.PostTweet, b.accountID)
			require.NoError(t, err)
			require.False(t, granted)
			next := b.windowOf(t, "all").Next(time.Now())
			held := requests[0].SendBy.Add(period) // as if it had been so long all the time, or a bucket longer
			require.False(t, next.Before(held), "%s before %s", next, held)
			require.True(t, next.Before(held.Add(period/128)), "%s after %s", next, held)
			storetest.MoveClock(t, b.db, period+period/64)
			b.granted(t, 5)
		})
	}
}

// A bucket of a long period ends long after its requests, which is nothing to a short one.
func TestPeriodThatWasLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 1, Period: 300 * aDay}
	b.put(t, mine)
	b.use(t, "mine")
	b.granted(t, 1)
	mine.Period = time.Minute
	b.put(t, mine)
	now, err := store.Clock(t.Context(), b.db)
	require.NoError(t, err)
	next := b.windowOf(t, "all").Next(now)
	require.Greater(t, next, now.Add(time.Minute))
	require.Less(t, next, now.Add(3*time.Minute), "not when a bucket of the long period ends")
}

// A window that becomes shorter and then longer again counts each request once, though its places lie in other buckets by then.
func TestPeriodChangeAndBack(t *testing.T) {
	t.Parallel()
	for name, short := range map[string]time.Duration{"Minute": time.Minute, "QuarterHour": 15 * time.Minute, "Day": aDay} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 50, Period: 3 * time.Hour}
			b.put(t, mine)
			b.use(t, "mine")
			for i := range 24 {
				storetest.MoveClock(t, b.db, time.Duration(i)*min(short/12, time.Minute))
				b.settle(t, store.PostTweet, b.granted(t, 1)[0], posted(fmt.Sprint(1001+i)))
			}
			mine.Period = short
			b.put(t, mine)
			b.settle(t, store.PostTweet, b.granted(t, 1)[0], posted("2001"))
			mine.Period = 3 * time.Hour
			b.put(t, mine)
			require.Equal(t, 25, b.places(t, "all"))
			b.settle(t, store.PostTweet, b.granted(t, 1)[0], posted("2002"))
			require.Equal(t, 26, b.places(t, "all"))
		})
	}
}

// A request that is granted after its window became far shorter is counted once, when it is answered and when it is given back.
func TestRequestAfterAPeriodChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 50, Period: 300 * aDay}
	b.put(t, mine)
	b.use(t, "mine")
	b.granted(t, 3)
	mine.Period = time.Minute
	b.put(t, mine)
	requests := b.granted(t, 2)
	require.Equal(t, 5, b.places(t, "all"))
	b.settle(t, store.PostTweet, requests[0], posted("1001"))
	require.Equal(t, 5, b.places(t, "all"))
	b.settle(t, store.PostTweet, requests[1], store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, GiveBack: true})
	require.Equal(t, 4, b.places(t, "all"))
}

// A request that was under way when its window became another length gives its own place back, and no other's.
func TestPeriodChangeBesideARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 5, Period: time.Hour}
	b.put(t, mine)
	b.use(t, "mine")
	requests := b.granted(t, 2)
	mine.Period = 2 * time.Hour
	b.put(t, mine)
	requests = append(requests, b.granted(t, 1)...)
	require.Equal(t, 3, b.places(t, "all"))
	b.settle(t, store.PostTweet, requests[0], store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, GiveBack: true})
	require.Equal(t, 2, b.places(t, "all"))
	b.settle(t, store.PostTweet, requests[1], posted("1001"))
	b.settle(t, store.PostTweet, requests[2], posted("1002"))
	require.Equal(t, 2, b.places(t, "all"))
}

// What a window has given back is none of what it counts when it changes, and a look-up of several pages is as many.
func TestPeriodChangeCountsPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 50, Period: 15 * time.Minute}
	b.put(t, mine)
	b.use(t, "mine")
	for i, request := range b.granted(t, 4) {
		b.settle(t, store.PostTweet, request, posted(fmt.Sprint(1001+i)))
	}
	for _, request := range b.granted(t, 20) { // X could not be reached
		b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, GiveBack: true, Outcome: "retry"})
	}
	exec(t, b.db, `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, outcome, answered_at, places, looked_for)
		SELECT 'look_up', NULL, $1, $2, 1, tweetqueue.clock(), tweetqueue.clock(), 'done', tweetqueue.clock(), 6, '{1}'`, b.accountID, b.workerID)
	require.Equal(t, 4, b.places(t, "all"))
	for _, change := range []struct {
		change func()
		places int
	}{
		{func() { mine.Period = 20 * time.Minute }, 4},
		{func() { mine.Actions = []string{"post", "retweet", "look_up"} }, 10},
		{func() { mine.Period = 15 * time.Minute }, 10},
		{func() { mine.Period = time.Hour }, 10},
	} {
		change.change()
		b.put(t, mine)
		require.Equal(t, change.places, b.places(t, "all"))
	}
}

// A window counts all that its actions did, however few it had places for, and whatever it counted in between.
func TestWindowChangesToAndFro(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.granted(t, 10)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 1, Period: 3 * time.Hour}
	for _, change := range []struct {
		change func()
		places int
	}{
		{func() {}, 10},
		{func() { mine.Maximum = 40 }, 10},
		{func() { mine.Actions = []string{"retweet"} }, 0},
		{func() { mine.Actions = []string{"post", "retweet"} }, 10},
		{func() { mine.Per = "app" }, 10},
	} {
		change.change()
		b.put(t, mine)
		b.use(t, "mine")
		require.Equal(t, change.places, b.places(t, "all"))
	}
}

// Of the requests of actions that no longer count none hides one that does.
func TestActionsAndPeriodChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post", "retweet"}, Maximum: 5, Period: 15 * time.Minute}
	b.put(t, mine)
	b.use(t, "mine")
	exec(t, b.db, `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, outcome, status_code, answered_at)
		SELECT CASE WHEN n <= 3 THEN 'retweet' ELSE 'post_tweet' END, n, $1, $2, 1, at, at, 'done', 201, at
		FROM generate_series(1, 2000) AS n, LATERAL (SELECT tweetqueue.clock() - interval '10 hours' + n * interval '10 seconds') AS t (at)`, b.accountID, b.workerID)
	mine.Actions, mine.Period = []string{"retweet"}, aDay
	b.put(t, mine)
	require.Equal(t, 3, b.places(t, "all"))
}

// What a window did not count, it counts by the requests: of actions that are new to it, of longer ago, and all if it is new.
func TestWindowsCountRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second := storetest.Account(t, b.db, storetest.AccountOpts{Username: "second", XUserID: "43"})
	request := func(account int64, kind string, row int64, ago time.Duration, outcome string) {
		exec(t, b.db, `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, outcome, answered_at, places)
			SELECT $1, $2, $3, $4, 1, at, at + interval '3 seconds', nullif($6, ''), CASE WHEN $6 <> '' THEN at + interval '3 seconds' END,
				CASE $6 WHEN 'not_sent' THEN 0 ELSE 1 END
			FROM (SELECT tweetqueue.clock() - $5::interval) AS t (at)`, kind, row, account, b.workerID, ago, outcome)
	}
	undo := storetest.Deletion(t, b.db, "77", time.Hour)
	exec(t, b.db, `UPDATE tweetqueue.deletions SET retweet = true WHERE id = $1`, undo)
	request(b.accountID, "post_tweet", 1, 0, "")
	request(b.accountID, "post_tweet", 2, time.Minute, "not_sent")
	request(b.accountID, "post_tweet", 3, 90*time.Minute, "done")
	request(b.accountID, "delete_tweet", 4, time.Minute, "done")
	request(b.accountID, "delete_tweet", undo, time.Minute, "done")
	request(b.accountID, "retweet", 5, time.Minute, "done")
	request(b.accountID, "retweet", 6, 3*time.Hour, "done")
	request(second, "post_tweet", 7, 30*time.Minute, "unconfirmed")

	mine := store.Limit{Preset: "mine", Name: "all", Per: "user", Actions: []string{"post"}, Maximum: 10, Period: time.Hour}
	put := func(change func(*store.Limit)) int {
		change(&mine)
		b.put(t, mine)
		b.use(t, "mine")
		return b.places(t, mine.Name)
	}
	require.Equal(t, 1, put(func(*store.Limit) {}))
	require.Equal(t, 2, put(func(l *store.Limit) { l.Period = 2 * time.Hour }))
	require.Equal(t, 3, put(func(l *store.Limit) { l.Actions = []string{"post", "undo_retweet"} }))
	require.Equal(t, 3, put(func(l *store.Limit) { l.Maximum = 20 }))
	require.Equal(t, 6, put(func(l *store.Limit) {
		l.Actions, l.Period = []string{"post", "retweet", "delete", "undo_retweet"}, 4*time.Hour
	}))
	require.Equal(t, 4, put(func(l *store.Limit) { l.Period = time.Hour }))
	require.Equal(t, 2, put(func(l *store.Limit) { l.Name, l.Per, l.Actions = "app", "app", []string{"post"} }))
	require.Equal(t, 2, put(func(l *store.Limit) { l.Name, l.Maximum = "one of the app", 1 }), "also more than it has places for")
}

// X tells of a daily window while requests of our own are under way, which are all that it has counted.
func TestLearnedWindowCountsOurs(t *testing.T) {
	t.Parallel()
	for _, family := range []string{"user_24hour", "app_24hour"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			requests := b.granted(t, 3)
			reset := requests[0].GrantedAt.Add(24 * time.Hour).Truncate(time.Second)
			for i, request := range requests {
				s := posted(fmt.Sprint(1001 + i))
				s.Reports = []store.Report{{Family: family, Limit: 100, Remaining: 97, Reset: 24 * time.Hour, ResetAt: reset}}
				b.settle(t, store.PostTweet, request, s)
				require.Equal(t, []string{"3 0"}, queryAll[string](t, b.db,
					`SELECT concat_ws(' ', (SELECT sum(g) FROM unnest(grants) AS g), others, others_seen) FROM tweetqueue.quotas WHERE NOT configured`))
			}
		})
	}
}

// An app has the windows of the accounts that it has by now, and so has the one that an account has left.
func TestAccountMovesToAnotherApp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	b.use(t, "pro")
	exec(t, b.db, `UPDATE tweetqueue.accounts SET limits_preset = 'free' WHERE id = $1`, other)
	exec(t, b.db, `INSERT INTO tweetqueue.apps (name, credentials) SELECT 'second', credentials FROM tweetqueue.apps`)
	windows := func() []string {
		return queryAll[string](t, b.db, `SELECT concat_ws(' ', p.name, q.name, q.maximum)
			FROM tweetqueue.quotas q JOIN tweetqueue.apps p ON p.id = q.app_id ORDER BY p.id, q.name`)
	}
	require.Equal(t, []string{"default deletions of the app 17", "default posts of the app 17"}, windows())
	exec(t, b.db, `INSERT INTO tweetqueue.quota_waits VALUES ($1, 'post', tweetqueue.clock() + interval '1 day')`, other)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET app_id = (SELECT id FROM tweetqueue.apps WHERE name = 'second') WHERE id = $1`, other)
	require.Equal(t, []string{"default posts of the app 10000", "second deletions of the app 17", "second posts of the app 17"}, windows())
	require.True(t, query[bool](t, b.db, `SELECT until <= tweetqueue.clock() FROM tweetqueue.quota_waits`), "there may be a place in the other's")
}
