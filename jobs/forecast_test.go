package jobs

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// forecast reads the forecast of all accounts.
func forecast(t testing.TB, db *pgxpool.Pool) *Forecast {
	t.Helper()
	accounts, err := store.AccountList(t.Context(), db)
	require.NoError(t, err)
	var f *Forecast
	require.NoError(t, store.InSnapshot(t.Context(), db, func(tx pgx.Tx) (err error) {
		f, err = ForecastRead(t.Context(), tx, accounts)
		return err
	}))
	return f
}

// only is the forecast of one account that has rows.
func (f *Forecast) only(t *testing.T, username string) AccountForecast {
	t.Helper()
	for i := range f.Accounts {
		if f.Accounts[i].Account == username {
			return f.Accounts[i]
		}
	}
	require.FailNow(t, "no forecast of "+username)
	return AccountForecast{}
}

// execOn returns what runs a statement.
func execOn(t *testing.T, db *pgxpool.Pool) func(sql string, args ...any) {
	t.Helper()
	return func(sql string, args ...any) {
		t.Helper()
		_, err := db.Exec(t.Context(), sql, args...)
		require.NoError(t, err, sql)
	}
}

func TestForecast(t *testing.T) {
	t.Parallel()

	// Where others use a limit, one request at a time goes: which makes nothing later than the limit does.
	t.Run("BesideOthers", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		execOn(t, db)(`UPDATE tweetqueue.quotas SET others_seen = tweetqueue.clock(), others = 190, x_used = 190, rolls = true,
			others_until = tweetqueue.clock() + interval '15 minutes', x_reset = tweetqueue.clock() + interval '15 minutes' WHERE name = 'posts'`)
		for range 10 {
			storetest.Tweet(t, db, "now", 0)
		}
		f := forecast(t, db)
		require.Equal(t, f.At, *f.Last)
		storetest.Tweet(t, db, "one more", 0)
		f = forecast(t, db)
		require.Greater(t, *f.Last, f.At.Add(5*time.Minute))
	})

	// Rows that can go at once, at their time, and when a limit allows; and what is missed meanwhile.
	t.Run("Limits", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		storetest.Account(t, db, storetest.AccountOpts{Username: "idle", XUserID: "43"})
		_, err := db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET maximum = 3 WHERE name = 'posts'`)
		require.NoError(t, err)
		for range 4 {
			storetest.Tweet(t, db, "now", 0)
		}
		storetest.Tweet(t, db, "later", time.Hour)
		now, err := store.Clock(t.Context(), db)
		require.NoError(t, err)
		_, _, err = store.TweetInsert(t.Context(), db, "acme", store.Tweet{Text: "a", PostBefore: new(now.Add(5 * time.Minute))}, nil, 4)
		require.NoError(t, err)
		storetest.Deletion(t, db, "1", 2*time.Hour)

		f := forecast(t, db)
		require.Len(t, f.Accounts, 2)
		require.Equal(t, Outlook{}, f.only(t, "idle").Outlook)
		acme := f.only(t, "acme")
		require.Equal(t, f.Outlook, acme.Outlook)
		require.Equal(t, 6, f.Rows)
		require.Equal(t, 1, f.Missed)
		require.Equal(t, f.At, *f.First)
		require.WithinDuration(t, now.Add(2*time.Hour), *f.Last, time.Second)
		require.Empty(t, acme.Held)
		require.Nil(t, f.Own)

		const period = 15 * time.Minute
		require.Len(t, acme.Limits, 1)
		freed := acme.Limits[0].Last
		require.True(t, !freed.Before(f.At.Add(sendWithin+period)) && !freed.After(f.At.Add(sendWithin+period+period/256)), freed)
		acme.Limits[0].Last = time.Time{}
		require.Equal(t, []LimitForecast{{Name: "posts", Per: "user", Rows: 1}}, acme.Limits)
	})

	// What nobody knows of is counted apart, and what is held for a time goes when that is over.
	t.Run("Held", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		for i, username := range []string{"acme", "paused", "resting"} {
			storetest.Account(t, db, storetest.AccountOpts{Username: username, XUserID: string(rune('1' + i))})
		}
		exec := execOn(t, db)
		exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand' WHERE username = 'paused'`)
		exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'for a while', state_until = tweetqueue.clock() + interval '3 hours'
WHERE username = 'resting'`)
		exec(`INSERT INTO tweetqueue.tweets (account, text) VALUES ('paused', 'a'), ('resting', 'b')`)
		exec(`INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at) VALUES ('paused', '1', tweetqueue.clock() + interval '1 day')`)

		// A thread whose first tweet was cancelled, and one that goes.
		first, alive := storetest.Tweet(t, db, "first", time.Hour), storetest.Tweet(t, db, "alive", 2*time.Hour)
		exec(`INSERT INTO tweetqueue.tweets (account, text, previous_id, post_at) VALUES ('acme', 'second', $1, tweetqueue.clock())`, first)
		exec(`INSERT INTO tweetqueue.tweets (account, text, previous_id, post_at)
SELECT 'acme', 'third', max(id), tweetqueue.clock() FROM tweetqueue.tweets`)
		exec(`INSERT INTO tweetqueue.tweets (account, text, previous_id, post_at) VALUES ('acme', 'after it', $1, tweetqueue.clock())`, alive)
		_, err := store.Cancel(t.Context(), db, first)
		require.NoError(t, err)

		f := forecast(t, db)
		require.Equal(t, 3, f.Rows)
		require.Equal(t, 2, f.only(t, "acme").Rows)
		require.Equal(t, []HeldForecast{{For: "thread", Rows: 2}}, f.only(t, "acme").Held)
		require.Equal(t, Outlook{}, f.only(t, "paused").Outlook)
		require.Equal(t, []HeldForecast{{For: "account", Rows: 2}}, f.only(t, "paused").Held)
		require.Equal(t, 1, f.only(t, "resting").Rows)
		require.WithinDuration(t, f.At.Add(3*time.Hour), *f.only(t, "resting").First, 10*time.Second)
		require.Equal(t, f.Last, f.only(t, "resting").Last)

		exec(`UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'by hand'`)
		f = forecast(t, db)
		require.Equal(t, Outlook{}, f.Outlook)
		require.Equal(t, []HeldForecast{{For: "app", Rows: 2}}, f.only(t, "paused").Held)
	})

	// An app's window makes one account wait for another that nobody asked about.
	t.Run("App", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		storetest.Account(t, db, storetest.AccountOpts{Username: "other", XUserID: "43"})
		_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.quotas (app_id, name, actions, maximum, period) VALUES (1, 'all', '{post}', 2, '24 hours')`)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), `INSERT INTO tweetqueue.tweets (account, text, post_at)
SELECT account, 'a', tweetqueue.clock() FROM unnest(ARRAY['acme', 'other', 'other', 'acme', 'other']) AS account`)
		require.NoError(t, err)
		acme, err := store.AccountGet(t.Context(), db, "acme")
		require.NoError(t, err)
		f, err := ForecastRead(t.Context(), db, []store.Account{acme})
		require.NoError(t, err)
		require.Len(t, f.Accounts, 1)
		require.Equal(t, 2, f.Rows)
		require.Equal(t, f.At, *f.First)
		require.WithinDuration(t, f.At.Add(24*time.Hour), *f.Last, 10*time.Minute)
		require.Equal(t, "app", f.Accounts[0].Limits[0].Per)
		require.WithinDuration(t, f.At.Add(48*time.Hour), *forecast(t, db).Last, 20*time.Minute) // the other's last
	})

	// What X charges for what goes, and not for what is missed or held; whether or not a worker has looked at the texts.
	t.Run("Cost", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		_, err := db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET maximum = 3 WHERE name = 'posts'`)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), `INSERT INTO tweetqueue.tweets (account, text, post_before, priority)
VALUES ('acme', 'plain', NULL, 1), ('acme', 'see example.com', NULL, 1), ('acme', '3.5 is none', NULL, 1), ('acme', 'example.com', tweetqueue.clock() + interval '1 minute', 4)`)
		require.NoError(t, err)
		storetest.Deletion(t, db, "1", 0)
		storetest.Retweet(t, db, "2", 0)
		const cost = "0.25" // 2 x 0.015 + 0.2 + 0.005 + 0.015
		require.Equal(t, cost, forecast(t, db).CostUSD.String())
		_, err = db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET measured = true, has_url = text LIKE '%example.com%'`)
		require.NoError(t, err)
		f := forecast(t, db)
		require.Equal(t, cost, f.CostUSD.String())
		require.Equal(t, f.CostUSD, f.Accounts[0].CostUSD)
		require.Equal(t, 1, f.Missed)
	})

	// What a budget has too little for goes in the next month, what is cheaper before that, and what no month can pay for never.
	t.Run("Budget", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		exec := execOn(t, db)
		exec(`UPDATE tweetqueue.accounts SET budget_usd = 0.05`)
		exec(`INSERT INTO tweetqueue.tweets (account, text, priority)
VALUES ('acme', 'a', 2), ('acme', 'a', 2), ('acme', 'a', 2), ('acme', 'a', 2), ('acme', 'see example.com', 1)`)
		exec(`INSERT INTO tweetqueue.deletions (account, tweet_id, priority) VALUES ('acme', '1', 4)`)
		f := forecast(t, db)
		ends := time.Date(f.At.Year(), f.At.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		require.Equal(t, 5, f.Rows)
		require.Equal(t, f.At, *f.First)
		require.Equal(t, ends, *f.Last)
		require.Equal(t, "0.065", f.CostUSD.String())
		require.Equal(t, []BudgetForecast{{Per: "user", BudgetUSD: 50_000, Rows: 1, Last: ends}}, f.Accounts[0].Budgets)
		require.Equal(t, []HeldForecast{{For: "budget", Rows: 1}}, f.Accounts[0].Held)
		require.Empty(t, f.Accounts[0].Limits)

		// What was spent counts, and so does what waits for the budget already.
		exec(`UPDATE tweetqueue.spending SET spent_usd = 0.045`)
		exec(`UPDATE tweetqueue.tweets SET waiting_for = 'budget', next_attempt_at = tweetqueue.clock() + interval '100 years'`)
		f = forecast(t, db)
		require.Equal(t, 5, f.Rows)
		require.Equal(t, "0.065", f.CostUSD.String())
		later := ends.AddDate(0, 1, 0) // the next month pays for three
		require.Equal(t, []BudgetForecast{{Per: "user", BudgetUSD: 50_000, Rows: 4, Last: later}}, f.Accounts[0].Budgets)

		// With the month, a window's places come free one after the other.
		exec(`UPDATE tweetqueue.quotas SET maximum = 2 WHERE name = 'posts'`)
		f = forecast(t, db)
		require.Equal(t, later, *f.Last)
		require.Equal(t, 4, f.Accounts[0].Budgets[0].Rows)
		require.Equal(t, 1, f.Accounts[0].Limits[0].Rows)
		require.WithinDuration(t, ends.Add(15*time.Minute), f.Accounts[0].Limits[0].Last, 10*time.Second)

		exec(`UPDATE tweetqueue.accounts SET budget_usd = 0`)
		f = forecast(t, db)
		require.Zero(t, f.Rows)
		require.Zero(t, f.CostUSD)
		require.Equal(t, []HeldForecast{{For: "budget", Rows: 6}}, f.Accounts[0].Held)
	})

	// An app's budget makes one account wait for another that nobody asked about.
	t.Run("AppBudget", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		storetest.Account(t, db, storetest.AccountOpts{Username: "other", XUserID: "43"})
		_, err := db.Exec(t.Context(), `UPDATE tweetqueue.apps SET budget_usd = 0.03`)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), `INSERT INTO tweetqueue.tweets (account, text) SELECT account, 'a' FROM unnest(ARRAY['acme', 'other', 'other', 'acme']) AS account`)
		require.NoError(t, err)
		acme, err := store.AccountGet(t.Context(), db, "acme")
		require.NoError(t, err)
		f, err := ForecastRead(t.Context(), db, []store.Account{acme})
		require.NoError(t, err)
		ends := time.Date(f.At.Year(), f.At.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		require.Equal(t, 2, f.Rows)
		require.Equal(t, f.At, *f.First)
		require.Equal(t, []BudgetForecast{{Per: "app", BudgetUSD: 30_000, Rows: 1, Last: ends}}, f.Accounts[0].Budgets)
	})

	// A tweet goes after the one before it, however early it is due; and never if that never does.
	t.Run("Thread", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		exec := execOn(t, db)
		first := storetest.Tweet(t, db, "first", 48*time.Hour)
		exec(`INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'second', $1)`, first)
		exec(`INSERT INTO tweetqueue.tweets (account, text, previous_id, post_at) SELECT 'acme', 'third', max(id), tweetqueue.clock() + interval '72 hours' FROM tweetqueue.tweets`)
		f := forecast(t, db)
		require.Equal(t, 3, f.Rows)
		require.WithinDuration(t, f.At.Add(48*time.Hour), *f.First, 10*time.Second)
		require.WithinDuration(t, f.At.Add(72*time.Hour), *f.Last, 10*time.Second)

		// The second waits for a limit, then.
		exec(`UPDATE tweetqueue.quotas SET maximum = 1 WHERE name = 'posts'`)
		f = forecast(t, db)
		require.Len(t, f.Accounts[0].Limits, 1)
		require.WithinDuration(t, f.At.Add(48*time.Hour+15*time.Minute), f.Accounts[0].Limits[0].Last, 20*time.Second)
		require.Equal(t, 1, f.Accounts[0].Limits[0].Rows)

		exec(`UPDATE tweetqueue.tweets SET post_before = post_at + interval '1 minute' WHERE id = $1`, first)
		for range 2 {
			storetest.Tweet(t, db, "takes the place", 48*time.Hour-time.Minute)
		}
		f = forecast(t, db)
		require.Equal(t, 2, f.Rows)
		require.Equal(t, 1, f.Missed)
		require.Equal(t, []HeldForecast{{For: "thread", Rows: 2}}, f.Accounts[0].Held)
	})

	// What can never go is no instant of a calendar.
	t.Run("Never", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		_, err := db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET maximum = 1, period = '100 years' WHERE name = 'posts'`)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), `INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'a' FROM generate_series(1, 100)`)
		require.NoError(t, err)
		f := forecast(t, db)
		require.Equal(t, 81, f.Rows) // a month of an interval is 30 days
		require.Equal(t, []HeldForecast{{For: "quota", Rows: 19}}, f.Accounts[0].Held)
	})

	// What a transaction has written and takes back.
	t.Run("Own", func(t *testing.T) {
		t.Parallel()
		db := storetest.DB(t)
		storetest.Account(t, db, storetest.AccountOpts{})
		_, err := db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET maximum = 1 WHERE name = 'deletions'`)
		require.NoError(t, err)
		storetest.Deletion(t, db, "1", 0)
		tx := storetest.Tx(t, db)
		storetest.Deletion(t, tx, "2", 0)
		storetest.Deletion(t, tx, "3", 0)
		accounts, err := store.AccountList(t.Context(), tx)
		require.NoError(t, err)
		f, err := ForecastRead(t.Context(), tx, accounts)
		require.NoError(t, err)
		require.Equal(t, 3, f.Rows)
		require.Equal(t, 2, f.Own.Rows)
		require.WithinDuration(t, f.At.Add(15*time.Minute), *f.Own.First, 10*time.Second)
		require.Equal(t, f.Last, f.Own.Last)
		require.Equal(t, "0.01", f.Own.CostUSD.String())
		require.Equal(t, 1, forecast(t, db).Rows)
	})
}

// BenchmarkForecast: 100,000 deletions of an account that wait for 50 per 15 minutes: three weeks.
func BenchmarkForecast(b *testing.B) {
	db := storetest.DB(b)
	storetest.Account(b, db, storetest.AccountOpts{})
	_, err := db.Exec(b.Context(), `INSERT INTO tweetqueue.deletions (account, tweet_id) SELECT 'acme', i FROM generate_series(1, 100000) AS i`)
	require.NoError(b, err)
	for b.Loop() {
		f := forecast(b, db)
		require.Equal(b, 100_000, f.Rows)
		require.InEpsilon(b, 1999*15*time.Minute, f.Last.Sub(f.At), 0.01)
	}
}

// BenchmarkForecastThreads: 100,000 tweets in threads of ten, of which one in ten has come to its end at its first tweet, under
// a budget that lets a thousand go in a month.
func BenchmarkForecastThreads(b *testing.B) {
	db := storetest.DB(b)
	storetest.Account(b, db, storetest.AccountOpts{})
	for _, sql := range []string{
		`UPDATE tweetqueue.accounts SET budget_usd = 15`,
		`INSERT INTO tweetqueue.tweets (id, account, text, previous_id) OVERRIDING SYSTEM VALUE
SELECT i, 'acme', 'a', CASE WHEN i % 10 > 0 THEN i - 1 END FROM generate_series(1000000, 1099999) AS i`,
		`UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id % 100 = 0`,
	} {
		_, err := db.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	for b.Loop() {
		f := forecast(b, db)
		require.Equal(b, 90_000, f.Rows)
		require.Equal(b, []HeldForecast{{For: "thread", Rows: 9000}}, f.Accounts[0].Held)
		require.InEpsilon(b, 89*30*24*time.Hour, f.Last.Sub(f.At), 0.04)
	}
}
