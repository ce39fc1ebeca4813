package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/jobs"
	"tweetqueue/store/storetest"
)

// exec runs a statement.
func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *testBundle) forecast(t *testing.T, args ...string) jobs.Forecast {
	t.Helper()
	var f jobs.Forecast
	require.NoError(t, json.Unmarshal([]byte(b.ok(t, append(args, "--json")...)), &f))
	return f
}

func TestForecast(t *testing.T) {
	t.Parallel()

	t.Run("Nothing", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		require.Equal(t, "nothing waits\n", b.ok(t, "forecast"))
		require.Equal(t, "nothing waits\n", b.ok(t, "forecast", "@ACME", "--app", "default"))
		f := b.forecast(t, "forecast")
		require.Len(t, f.Accounts, 1)
		require.Zero(t, f.Rows)
		b.run(t, "", "forecast", "nobody").refused(t, setup.ExitRefused, `account "nobody": not found`)
		b.run(t, "", "forecast", "a b").refused(t, setup.ExitUsage, `"a b" is not a username of X`)
		b.run(t, "", "forecast", "--app", "none").refused(t, setup.ExitRefused, `no such account of app "none"`)
	})

	t.Run("Words", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
		b.exec(t, `UPDATE tweetqueue.quotas SET maximum = 1 WHERE name = 'posts'`)
		for range 3 {
			storetest.Tweet(t, b.db, "a", 0)
		}
		f := b.forecast(t, "forecast", "acme")
		require.Equal(t, 3, f.Rows)
		out := b.ok(t, "forecast")
		require.Regexp(t, `^acme: 3 rows go, the last [-0-9]{10} [:0-9]{8} \+0[12]:00, in 30 minutes.*; X charges \$0\.045
  2 rows wait for the limit "posts", the last until [-0-9]{10} [:0-9]{8} \+0[12]:00\n`, out)
		require.NotContains(t, out, "in all")
		require.NotContains(t, out, "other")

		b.exec(t, `INSERT INTO tweetqueue.tweets (account, text, post_before) VALUES ('acme', 'a', tweetqueue.clock() + interval '1 minute')`)
		b.exec(t, `INSERT INTO tweetqueue.deletions (account, tweet_id) VALUES ('other', '1')`)
		out = b.ok(t, "forecast")
		require.Contains(t, out, "; 1 row will be missed: the deadline passes first\n")
		require.Contains(t, out, "\nother: 1 row goes, the last ")
		require.Contains(t, out, ", now; X charges $0.005\nin all: 4 rows go, the last ")

		b.exec(t, `UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand' WHERE username = 'acme'`)
		require.Contains(t, b.ok(t, "forecast"), "acme: nothing goes by itself\n  not counted: 4 rows wait for the account: see 'enqueue account list'\n")
		b.exec(t, `UPDATE tweetqueue.accounts SET state = 'active'`)
		b.exec(t, `UPDATE tweetqueue.accounts SET budget_usd = 0.016 WHERE username = 'acme'`)
		b.exec(t, `UPDATE tweetqueue.apps SET budget_usd = 0.01`)
		require.Contains(t, b.ok(t, "forecast"), "acme: nothing goes by itself\n  not counted: 4 rows cost more than the budget of a whole month: see 'enqueue budget'\n")
		b.exec(t, `UPDATE tweetqueue.apps SET budget_usd = 0.05`)
		out = b.ok(t, "forecast", "acme")
		require.Contains(t, out, "acme: 3 rows go, the last ")
		require.Contains(t, out, "\n  2 rows wait for its budget of $0.016 a month, the last until ")
		b.exec(t, `UPDATE tweetqueue.workers SET stopped_at = tweetqueue.clock()`)
		require.Contains(t, b.run(t, "", "forecast").stderr, "warning: no worker is running")
	})
}

// TestDryRun: nothing is added, the rules hold, and it is said when it would go.
func TestDryRun(t *testing.T) {
	t.Parallel()

	t.Run("Words", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		out := b.ok(t, "tweet", "--account", "acme", "--dry-run", "a")
		require.Contains(t, out, "nothing was added; this tweet for acme would go ")
		require.NotContains(t, out, ", now")
		require.Contains(t, out, ", and cost $0.015\n")
		require.Contains(t, b.ok(t, "tweet", "--account", "acme", "--dry-run", "see example.com"), ", and cost $0.2\n")
		at, _ := b.local(t, 2*time.Hour, "Europe/Vienna")
		require.Contains(t, b.ok(t, "delete", "--account", "acme", "--dry-run", "--at", at, "1"), "nothing was added; this deletion for acme would go ")
		b.exec(t, `UPDATE tweetqueue.quotas SET maximum = 1, period = '1 day'`)
		storetest.Retweet(t, b.db, "1", 0)
		require.Regexp(t, `^nothing was added; this retweet for acme would go .*\(Europe/Vienna\), .*Z, in (23 hours|1 day)`,
			b.ok(t, "retweet", "--account", "acme", "--dry-run", "2"))
		before, _ := b.local(t, 2*time.Hour, "Europe/Vienna")
		require.Equal(t, "nothing was added; this tweet for acme would be missed: its deadline passes before it can go\n",
			b.ok(t, "tweet", "--account", "acme", "--dry-run", "--before", before, "a"))
		b.exec(t, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
		require.Equal(t, "nothing was added; this tweet for acme would wait, and nobody knows for how long\nwith it, of acme:\n"+
			"  not counted: 2 rows cost more than the budget of a whole month: see 'enqueue budget'\n", b.ok(t, "tweet", "--account", "acme", "--dry-run", "a"))
		b.exec(t, `UPDATE tweetqueue.accounts SET budget_usd = NULL, state = 'paused', state_reason = 'by hand'`)
		r := b.run(t, "", "tweet", "--account", "acme", "--dry-run", "a")
		require.Equal(t, "nothing was added; this tweet for acme would wait, and nobody knows for how long\nwith it, of acme:\n  not counted: 2 rows wait for the account: see 'enqueue account list'\n", r.stdout)
		require.Contains(t, r.stderr, "warning: account acme is paused: by hand; its rows wait\n")
		require.Equal(t, 1, b.tweetCount(t))
	})

	t.Run("Rules", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		b.ok(t, "tweet", "--account", "acme", "--idempotency-key", "k", "a")
		b.run(t, "", "tweet", "--account", "acme", "--dry-run", "--idempotency-key", "k", "b").refused(t, setup.ExitRefused, "has this --idempotency-key already")
		b.run(t, "", "tweet", "--account", "acme", "--dry-run", "--previous", "77", "b").refused(t, setup.ExitRefused, "there is no such row")
		f := b.forecast(t, "tweet", "--account", "acme", "--dry-run", "b")
		require.Equal(t, 2, f.Rows)
		require.Equal(t, 1, f.Own.Rows)
		require.Equal(t, 1, b.tweetCount(t))
	})
}
