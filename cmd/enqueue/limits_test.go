package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// windows runs `limits` with --json.
func (b *testBundle) windows(t *testing.T, args ...string) []window {
	t.Helper()
	var windows []window
	require.NoError(t, json.Unmarshal([]byte(b.ok(t, append([]string{"limits", "--json"}, args...)...)), &windows))
	return windows
}

func TestLimits(t *testing.T) {
	t.Parallel()

	t.Run("OfPreset", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
		b.ok(t, "limits", "use", "free", "other")
		heading := func(account string) (names []string) {
			for _, w := range b.windows(t, account) {
				names = append(names, w.Per+" "+w.Account+" "+w.Name)
			}
			return names
		}
		require.Equal(t, []string{
			"user acme posts", "user acme deletions", "user acme writes", "app  deletions of the app", "app  posts of the app",
		}, heading("ACME"))
		require.Len(t, b.windows(t), 3+4+2)
		require.Len(t, b.windows(t, "--app", "default"), 3+4+2)

		now := b.now(t)
		w := b.windows(t, "@acme")[2]
		require.False(t, w.NextAt.Before(now))
		require.Equal(t, w.NextAt, w.EmptyAt)
		w.NextAt, w.EmptyAt = time.Time{}, time.Time{}
		require.Equal(t, window{
			Account: "acme", App: "default", Name: "writes", Per: "user", Actions: []string{"post", "retweet"}, Maximum: 300,
			MaximumBy: "preset", ConfiguredMaximum: 300, Period: "3h",
		}, w)
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		b.run(t, "", "limits", "nobody").refused(t, setup.ExitRefused, `account "nobody": not found: add it with`)
		b.run(t, "", "limits", "a b").refused(t, setup.ExitUsage, `"a b" is not a username of X`)
		b.run(t, "", "limits", "--app", "none").refused(t, setup.ExitRefused, `no such account of app "none": not found: see 'enqueue account list'`)
		b.run(t, "", "limits", "use", "none", "acme").refused(t, setup.ExitRefused, `refused: unknown limits preset "none"`)
		b.run(t, "", "limits", "use", "free", "acme", "nobody").refused(t, setup.ExitRefused, `account "nobody": not found`)
		require.Len(t, b.windows(t), 3) // neither was changed

		none := &testBundle{env: map[string]string{"DATABASE_URL": storetest.URL(t)}}
		require.Equal(t, "there are no limits: add an account with 'enqueue account add'\n", none.ok(t, "limits"))
		require.Equal(t, "[]\n", none.ok(t, "limits", "--json"))
	})

	// Ours and others', X's maximum and X's block, each with when it ends.
	t.Run("Used", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		const period = 15 * 60 * 1_000_000 // µs
		now := b.now(t)
		bucket := now.UnixMicro() / (period / 256)
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET buckets = ARRAY[$1::bigint], grants = '{7}', x_maximum = 10, others = 3,
    others_until = $2 WHERE name = 'posts'`, bucket, now.Add(time.Minute))
		require.NoError(t, err)
		_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET blocked_until = $1 WHERE name = 'deletions'`, now.Add(time.Hour))
		require.NoError(t, err)
		_, err = b.db.Exec(t.Context(), `INSERT INTO tweetqueue.quotas (app_id, name, actions, maximum, period, x_maximum, configured)
VALUES (1, 'of X', '{post}', 40, '24 hours', 40, false)`)
		require.NoError(t, err)

		windows := b.windows(t)
		require.Len(t, windows, 4)
		posts, deletions, ofX := windows[0], windows[1], windows[3]
		require.Equal(t, []any{7, 3, 10, "x", 200, 10}, []any{posts.Used, posts.Others, posts.Maximum, posts.MaximumBy, posts.ConfiguredMaximum, posts.XMaximum})
		require.Equal(t, now.Add(time.Minute), posts.NextAt)
		require.Equal(t, time.UnixMicro((bucket+1)*(period/256)+period).UTC(), posts.EmptyAt.UTC())
		require.Equal(t, now.Add(time.Hour), *deletions.BlockedUntil)
		require.Equal(t, now.Add(time.Hour), deletions.NextAt)
		require.Equal(t, []any{"", "app", "x", 0, 40, "1d"}, []any{ofX.Account, ofX.Per, ofX.MaximumBy, ofX.ConfiguredMaximum, ofX.Maximum, ofX.Period})

		out := b.ok(t, "limits")
		require.Contains(t, out, "acme, preset guide; it is "+formatShort(now, zone(t, "Europe/Vienna"))[:11])
		require.Contains(t, out, "\n\napp \"default\"; it is ")
		require.Regexp(t, `(?m)^posts +post +7\+3 +10 +15m +X +`, out)
		require.Regexp(t, `(?m)^writes +post, retweet +0 +300 +3h +preset +now +now$`, out)
		require.Contains(t, out, "\n  posts: the preset says 200, X's headers say 10\n")
		require.Contains(t, out, "\n  deletions: X said 429, so nothing goes until "+formatShort(now.Add(time.Hour), zone(t, "Europe/Vienna"))+"\n")
	})
}

func TestLimitsPresets(t *testing.T) {
	t.Parallel()

	t.Run("List", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		out := b.ok(t, "limits", "presets")
		require.Regexp(t, `(?m)^guide +writes +post, retweet +300 +3h +user *`, out)
		require.Regexp(t, `(?m)^free +posts of the app +post +17 +1d +app +app_24hour$`, out)
		var limits []limit
		require.NoError(t, json.Unmarshal([]byte(b.ok(t, "limits", "presets", "guide", "--json")), &limits))
		require.Len(t, limits, 3)
		require.Equal(t, limit{Preset: "guide", Name: "deletions", Per: "user", Actions: []string{"delete"}, Maximum: 50, Period: "15m", Family: "endpoint"}, limits[0])
		b.run(t, "", "limits", "presets", "none").refused(t, setup.ExitRefused, `preset "none": not found`)
	})

	// One's own preset: made, given, changed, reduced; what was counted stays counted.
	t.Run("Own", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		b.ok(t, "limits", "set", "careful", "posts", "--actions", "post", "--maximum", "20", "--period", "15m")
		require.Equal(t, "preset careful is saved; accounts that have it: 0\n"+
			"  all writes: 100 of post, retweet, delete in 1d, per app, told by X's headers of app_24hour, which may only lower it\n",
			b.ok(t, "limits", "set", "careful", "all writes", "--actions", "post,retweet,delete", "--maximum", "100", "--period", "1d", "--per", "app", "--family", "app_24hour", "--fixed"))
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET buckets = ARRAY[$1::bigint], grants = '{7}' WHERE name = 'posts'`,
			b.now(t).UnixMicro()/(15*60*1_000_000/256))
		require.NoError(t, err)
		require.Equal(t, "acme has the limits of preset careful\nits limits per app hold for all accounts of app default together: 1\n", b.ok(t, "limits", "use", "careful", "acme"))
		windows := b.windows(t)
		require.Len(t, windows, 2)
		require.Equal(t, []any{"posts", 7, 20}, []any{windows[0].Name, windows[0].Used, windows[0].Maximum})
		require.Equal(t, []any{"all writes", 0, 100, "app"}, []any{windows[1].Name, windows[1].Used, windows[1].Maximum, windows[1].Per})

		require.Equal(t, "preset careful is saved; accounts that have it: 1\n  posts: 30 of post in 15m, per user\n  before: 20 of post in 15m, per user\nits limits per app hold for all accounts of app default together: 1\n",
			b.ok(t, "limits", "set", "careful", "posts", "--actions", "post", "--maximum", "30", "--period", "15m"))
		require.Equal(t, 30, b.windows(t)[0].Maximum)
		require.Equal(t, 7, b.windows(t)[0].Used)
		b.ok(t, "limits", "remove", "careful", "all writes")
		require.Len(t, b.windows(t), 1)
		b.run(t, "", "limits", "remove", "careful", "posts").refused(t, setup.ExitRefused, "it is the last, and accounts have the preset: give them another one")
		b.run(t, "", "limits", "remove", "careful", "none").refused(t, setup.ExitRefused, `limit "none" of preset "careful": not found`)
		b.ok(t, "limits", "use", "guide", "acme")
		require.Equal(t, "preset careful is gone with its last window\n", b.ok(t, "limits", "remove", "careful", "posts"))
		require.NotContains(t, b.ok(t, "limits", "presets"), "careful")
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		set := func(args ...string) result { return b.run(t, "", append([]string{"limits", "set"}, args...)...) }
		set("p", "w", "--actions", "tweet", "--maximum", "1", "--period", "1h").refused(t, setup.ExitUsage, "must be one of")
		set("p", "w", "--actions", "", "--maximum", "1", "--period", "1h").refused(t, setup.ExitUsage, "--actions is empty")
		set("p", "w", "--actions", "post", "--maximum", "1", "--period", "1h", "--fixed").refused(t, setup.ExitUsage, "--fixed is about X's headers")
		set("p", "w", "--maximum", "1", "--period", "1h").refused(t, setup.ExitUsage, "missing flags: --actions")
		set("p", "a\nb", "--actions", "post", "--maximum", "0", "--period", "soon").refused(t, setup.ExitUsage,
			`"a b" is no name for a window`, "--maximum is 0", `--period: "soon" is not a length of time`)
		set("p", "w", "--actions", "post", "--maximum", "1", "--period", "59s").refused(t, setup.ExitUsage, "--period is 59s: use 1m or more")
		for _, preset := range []string{"guide", "pro", "free"} {
			set(preset, "posts", "--actions", "post", "--maximum", "1", "--period", "1h").refused(t, setup.ExitRefused, "built in", "enqueue limits set", "enqueue limits use")
			b.run(t, "", "limits", "remove", preset, "posts").refused(t, setup.ExitRefused, "built in")
		}
	})
}

// TestTweetOfAFullLimit: who enqueues what must wait learns of it, and for which limit.
func TestTweetOfAFullLimit(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + interval '1 hour' WHERE name = 'writes'`)
	require.NoError(t, err)
	const told = `  the limit "writes" has no place before `
	require.Contains(t, b.ok(t, "tweet", "--account", "acme", "must wait"), told)
	require.Contains(t, b.ok(t, "retweet", "--account", "acme", "77"), told)
	require.NotContains(t, b.ok(t, "delete", "--account", "acme", "77"), told)
	require.NotContains(t, b.ok(t, "tweet", "--account", "acme", "--at", b.now(t).Add(2*time.Hour).Format(time.RFC3339), "later"), told)
	require.Regexp(t, `with it, of acme:\n  3 rows wait for the limit "writes", the last until [^\n]*\nwhat takes it off X later costs more, and is not in this\n`,
		b.ok(t, "tweet", "--account", "acme", "--delete-after", "7d", "--dry-run", "must wait, too"))
}

// TestTweetWithoutMoney: who enqueues what a budget holds back learns of it, unless the next month's money pays for it.
func TestTweetWithoutMoney(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.ok(t, "budget", "set", "acme", "--monthly", "0.10")
	_, err := b.db.Exec(t.Context(), `INSERT INTO tweetqueue.spending (account_id, month, spent_usd)
		SELECT id, tweetqueue.month_of(tweetqueue.clock()), 0.09 FROM tweetqueue.accounts ON CONFLICT (account_id, month) DO UPDATE SET spent_usd = 0.09`)
	require.NoError(t, err)
	require.Contains(t, b.ok(t, "tweet", "--account", "acme", "a"), `  it costs $0.015, and the budget of account "acme" has $0.01 left in this month: see 'enqueue budget'`)
	require.Contains(t, b.ok(t, "tweet", "--account", "acme", "see example.com"), `  it costs $0.2, and the whole budget of account "acme" is $0.1 a month: 'enqueue budget set' raises it`)
	require.NotContains(t, b.ok(t, "tweet", "--account", "acme", "--at", b.now(t).AddDate(0, 1, 1).Format(time.RFC3339), "a"), "it costs")
	require.Contains(t, b.ok(t, "tweet", "--account", "acme", "--json", "a"), `"lack_of_money": "it costs $0.015`)
	b.ok(t, "budget", "set", "acme", "--none")
	require.NotContains(t, b.ok(t, "tweet", "--account", "acme", "a"), "it costs")
}

// TestLimitsFit: the widest window of the presets fits a terminal of 100 columns.
func TestLimitsFit(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.ok(t, "limits", "set", "wide", strings.Repeat("w", 60), "--actions", "post,retweet,delete,look_up", "--maximum", "50000", "--period", "1d12h30m")
	b.ok(t, "limits", "use", "wide", "acme")
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.quotas SET others = 49999, others_until = tweetqueue.clock() + interval '2 days'`)
	require.NoError(t, err)
	for _, args := range [][]string{{"limits"}, {"limits", "presets"}} {
		for line := range strings.Lines(b.ok(t, args...)) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 100, line)
		}
	}
}

func TestFormatNear(t *testing.T) {
	t.Parallel()
	vienna := zone(t, "Europe/Vienna")
	now := time.Date(2026, 12, 30, 22, 30, 0, 0, time.UTC) // 23:30 in Vienna
	for in, want := range map[time.Duration]string{
		0: "now", time.Second: "23:30:01", 30 * time.Minute: "Dec 31 00:00", 25 * time.Hour: "2027-01-01",
	} {
		require.Equal(t, want, formatNear(now.Add(in), now, vienna))
	}
}

// TestLimitsOfReader: who may only read sees the limits, and changes none.
func TestLimitsOfReader(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.env["DATABASE_URL"] += "&role=tweetqueue_reader"
	require.Len(t, b.windows(t), 3)
	require.Contains(t, b.ok(t, "limits", "presets"), "guide")
	b.run(t, "", "limits", "use", "free", "acme").refused(t, setup.ExitFailed, "permission denied")
	accounts, err := store.AccountList(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, "guide", accounts[0].LimitsPreset)
}
