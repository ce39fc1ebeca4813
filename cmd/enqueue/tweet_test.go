package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestTweet(t *testing.T) {
	t.Parallel()

	t.Run("AllFlags", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		at, due := b.local(t, 48*time.Hour, "Asia/Tokyo")
		before, deadline := b.local(t, 49*time.Hour, "Asia/Tokyo")
		out := b.ok(t, "tweet", "--account", "@ACME", "--at", at, "--zone", "Asia/Tokyo", "--before", before, "--delete-after", "1d12h",
			"--priority", "1", "--reply-to", "https://x.com/bob/status/77?s=20", "--idempotency-key", "k1", "Doors open")

		list := b.entries(t, "list")
		require.Len(t, list, 1)
		require.Equal(t, "Doors open", *list[0].Text)
		require.Equal(t, "acme", list[0].Account)
		require.Equal(t, due, list[0].DueAt)
		require.Equal(t, 1, list[0].Priority)
		tweet, err := store.TweetGet(t.Context(), b.db, list[0].ID)
		require.NoError(t, err)
		require.Equal(t, "77", *tweet.InReplyToTweetID)
		require.Equal(t, "k1", *tweet.IdempotencyKey)
		require.True(t, deadline.Equal(*tweet.PostBefore))
		require.Equal(t, 36*time.Hour, time.Duration(tweet.DeleteAfter.Microseconds)*time.Microsecond)

		tokyo := zone(t, "Asia/Tokyo")
		require.Equal(t, fmt.Sprintf("tweet %d for acme: due %s (Asia/Tokyo), %s, in 1 day 23 hours\n", list[0].ID,
			due.In(tokyo).Format("Mon 2006-01-02 15:04:05 -07:00"), due.Format("2006-01-02T15:04:05Z"))+
			fmt.Sprintf("  never posted after %s, in 2 days\n", formatInstant(deadline, tokyo))+
			"  deleted 1d12h after it was posted\n", out)
	})

	t.Run("ExactInstant", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		// --zone only says how an instant with an offset is shown.
		b.ok(t, "tweet", "--account", "acme", "--at", "2100-01-01T00:00:00.123456-03:30", "--zone", "Asia/Tokyo", "a")
		out := b.ok(t, "tweet", "--account", "acme", "--at", "2100-01-01T00:00:00-03:30", "--zone", "UTC", "a")
		require.Contains(t, out, "due Fri 2100-01-01T03:30:00Z, in ")
		require.Equal(t, "2100-01-01T03:30:00.123456Z", b.entries(t, "list")[1].DueAt.Format(time.RFC3339Nano))
	})

	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		at, due := b.local(t, 48*time.Hour, "Europe/Vienna")
		before, deadline := b.local(t, 49*time.Hour, "Europe/Vienna")
		r := b.run(t, "", "--json", "tweet", "--account", "acme", "--at", at, "--before", before, "--delete-after", "36h", "Türen <auf>")
		require.NoError(t, r.err)
		require.Empty(t, r.stderr)
		require.Contains(t, r.stdout, "Türen <auf>")
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &row))
		require.Equal(t, "post_tweet", row["kind"])
		require.Equal(t, due.Format(time.RFC3339), row["due_at"])
		require.Equal(t, due.In(zone(t, "Europe/Vienna")).Format(time.RFC3339), row["due_local"])
		require.Equal(t, "Europe/Vienna", row["zone"])
		require.Equal(t, deadline.Format(time.RFC3339), row["post_before"])
		require.Equal(t, "1d12h", row["delete_after"])
		require.InDelta(t, 1, row["workers_alive"], 0)
	})

	// As long as the database takes.
	t.Run("LongestLifetime", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		require.Contains(t, b.ok(t, "tweet", "--account", "acme", "--delete-after", fmt.Sprintf("%dd", maxDays), "a"), "deleted 36000d after it was posted\n")
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET delete_after = delete_after + interval '1 second'`)
		require.ErrorContains(t, err, "tweets_delete_after_check")
	})

	t.Run("Now", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		before := b.now(t)
		require.Contains(t, b.ok(t, "tweet", "--account", "acme", "Doors open"), "Z, now\n")
		due := b.entries(t, "list")[0].DueAt
		require.False(t, due.Before(before))
		require.False(t, due.After(b.now(t)))
	})

	t.Run("StandardInput", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		for stdin, want := range map[string]string{
			"no line break":     "no line break",
			"one\n":             "one",
			"one\r\n":           "one",
			"two\n\n":           "two\n",
			"a\nb\n":            "a\nb",
			"  spaces stay  \n": "  spaces stay  ",
		} {
			for _, args := range [][]string{{}, {"-"}} {
				r := b.run(t, stdin, append([]string{"tweet", "--account", "acme", "--json"}, args...)...)
				require.NoError(t, r.err, r.stderr)
				var entry store.Entry
				require.NoError(t, json.Unmarshal([]byte(r.stdout), &entry))
				require.Equal(t, want, *entry.Text)
			}
		}
	})

	t.Run("TextLimit", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		// As long as X allows, though longer in bytes, and more where the account may.
		text := strings.Repeat("👨‍👩‍👧‍👦", 128) + " https://example.com/" + strings.Repeat("a", 200)
		b.ok(t, "tweet", "--account", "acme", text)
		require.Equal(t, text, *b.entries(t, "list")[0].Text)
		b.run(t, "", "tweet", "--account", "acme", text+"b c").refused(t, setup.ExitRefused, "its weighted length is 282, the limit is 280")
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET text_limit = 282 WHERE username = 'acme'`)
		require.NoError(t, err)
		b.ok(t, "tweet", "--account", "acme", text+"b c")
	})

	t.Run("TextOfDash", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		b.ok(t, "tweet", "--account", "acme", "--", "-5 degrees")
		require.Equal(t, "-5 degrees", *b.entries(t, "list")[0].Text)
	})

	t.Run("Thread", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		first := storetest.Tweet(t, b.db, "first", time.Hour)
		b.ok(t, "tweet", "--account", "acme", "--previous", id(first), "second")
		list := b.entries(t, "list")
		require.Equal(t, "second", *list[0].Text)
		require.Equal(t, first, *list[0].PreviousID)
	})
}

// TestTweetRefused: nothing is enqueued, and each error says what to do next.
func TestTweetRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET time_zone = 'Mars/Olympus' WHERE username = 'other'`)
	require.NoError(t, err)
	foreign, _, err := store.TweetInsert(t.Context(), b.db, "other", store.Tweet{Text: "foreign"}, nil, 0)
	require.NoError(t, err)
	b.ok(t, "tweet", "--account", "acme", "--idempotency-key", "used", "first")
	b.ok(t, "tweet", "--account", "acme", "--idempotency-key", "cancelled", "never")
	mine := b.entries(t, "list", "--account", "acme")
	first, cancelled := mine[0].ID, id(mine[1].ID)
	b.ok(t, "cancel", cancelled)
	deletion := storetest.Deletion(t, b.db, "1", time.Hour)
	before := b.tweetCount(t)
	past, _ := b.local(t, -time.Hour, "Europe/Vienna")
	soon, _ := b.local(t, 2*time.Hour, "Europe/Vienna")

	for name, test := range map[string]struct {
		stdin string
		args  []string
		code  int
		words []string
	}{
		"DeadlineBeforeNow":  {"", []string{"--before", past, "a"}, setup.ExitUsage, []string{"--before: the deadline ", " is not after now, "}},
		"DeadlineBeforeTime": {"", []string{"--at", soon, "--before", soon, "a"}, setup.ExitUsage, []string{"is not after the time it is due, "}},
		"Empty":              {"\n", nil, setup.ExitUsage, []string{"the text is empty"}},
		"EmptyArgument":      {"from stdin", []string{""}, setup.ExitUsage, []string{"the text is empty"}},
		"GapOfClocks": {
			"",
			[]string{"--at", "2099-03-29 02:30", "a"},
			setup.ExitUsage,
			[]string{`--at: "2099-03-29 02:30" does not exist in Europe/Vienna`, "2099-03-29T01:30:00+01:00 or 2099-03-29T03:30:00+02:00"},
		},
		"InvalidChar":       {"\ufeffsecret", nil, setup.ExitRefused, []string{"refused: the text holds U+FEFF, which X accepts in no tweet: take it out"}},
		"InvalidUTF8":       {"secret \xff", nil, setup.ExitUsage, []string{"not valid UTF-8"}},
		"KeyUsed":           {"", []string{"--idempotency-key", "used", "a"}, setup.ExitRefused, []string{"refused: tweet " + id(first) + " has this --idempotency-key already, so nothing was added: see 'enqueue show " + id(first) + "'"}},
		"KeyCancelled":      {"", []string{"--idempotency-key", "cancelled", "a"}, setup.ExitRefused, []string{"'enqueue show " + cancelled + "'; it is cancelled: UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = " + cancelled + " has it posted after all, as it was written; for another tweet use another key"}},
		"KeyTooLong":        {"", []string{"--idempotency-key", strings.Repeat("k", 201), "a"}, setup.ExitUsage, []string{"use 1 to 200 characters"}},
		"LooksLikeFlag":     {"", []string{"--secret is out"}, setup.ExitUsage, []string{"argument 4 is out of place; if it is a text that begins with a dash, put -- before it: see 'enqueue tweet --help'"}},
		"NoTime":            {"", []string{"--at", "soon", "a"}, setup.ExitUsage, []string{`--at: "soon" is not a time`}},
		"NoUsername":        {"", []string{"--account", "a b", "a"}, setup.ExitUsage, []string{`--account: "a b" is not a username of X`}},
		"LengthOfCenturies": {"", []string{"--delete-after", "200000d", "a"}, setup.ExitUsage, []string{`--delete-after: "200000d" is out of range: use 1s to 36000d`}},
		"LengthOfNothing":   {"", []string{"--delete-after", "0s", "a"}, setup.ExitUsage, []string{`--delete-after: "0s" is out of range: use 1s to 36000d`}},
		"NotALength":        {"", []string{"--delete-after", "1 day", "a"}, setup.ExitUsage, []string{`--delete-after: "1 day" is not a length of time: write 90m`}},
		"NUL":               {"secret \x00", nil, setup.ExitUsage, []string{"holds a NUL"}},
		"Past":              {"", []string{"--at", past, "a"}, setup.ExitUsage, []string{"is past (1 hour ", "ago); it is ", " now: give a later time, or leave --at out for now"}},
		"PreviousForeign":   {"", []string{"--previous", id(foreign), "a"}, setup.ExitRefused, []string{"refused: --previous " + id(foreign) + ": it is a tweet of other; give the row id of a tweet of acme"}},
		"PreviousDeletion":  {"", []string{"--previous", id(deletion), "a"}, setup.ExitRefused, []string{"it is a deletion"}},
		"PreviousNoID":      {"", []string{"--previous", "x", "a"}, setup.ExitUsage, []string{`--previous: "x" is not a row's id`}},
		"PreviousMissing":   {"", []string{"--previous", "999999", "a"}, setup.ExitRefused, []string{"--previous 999999: there is no such row", "enqueue list --account acme --status all"}},
		"Priority":          {"", []string{"--priority", "5", "a"}, setup.ExitUsage, []string{"--priority must be one of", "see 'enqueue tweet --help'"}},
		"ReplyAndThread":    {"", []string{"--previous", id(foreign), "--reply-to", "1", "a"}, setup.ExitUsage, []string{"can't be used together"}},
		"ReplyToNoID":       {"", []string{"--reply-to", "x.com/a", "a"}, setup.ExitUsage, []string{`--reply-to: "x.com/a" is not a tweet's id`}},
		"SeveralAtOnce":     {"", []string{"--zone", "Mars", "--reply-to", "a", "--delete-after", "b", "a"}, setup.ExitUsage, []string{"--zone: ", "--reply-to: ", "--delete-after: "}},
		"SeveralTexts":      {"", []string{"secret", "text"}, setup.ExitUsage, []string{"the text is 2 arguments: put it in quotes"}},
		"TooLarge":          {strings.Repeat("secret ", 20000), nil, setup.ExitUsage, []string{"longer than 100000 bytes"}},
		"TooLong":           {strings.Repeat("secret ", 50), nil, setup.ExitRefused, []string{`refused: the text is too long for account "acme": its weighted length is 350, the limit is 280: shorten it`, "--text-limit 25000"}},
		"TooLongByEmoji":    {strings.Repeat("👩🏽‍💻", 141), nil, setup.ExitRefused, []string{"its weighted length is 282, the limit is 280"}}, // the database would take it
		"TwiceOnClocks": {
			"",
			[]string{"--at", "2099-10-25T02:30", "a"},
			setup.ExitUsage,
			[]string{"exists twice in Europe/Vienna", "2099-10-25T02:30:00+02:00 or 2099-10-25T02:30:00+01:00"},
		},
		"UnknownAccount":     {"", []string{"--account", "nobody", "a"}, setup.ExitRefused, []string{`"nobody": not found: add it with 'enqueue account add nobody'`}},
		"UnknownAccountZone": {"", []string{"--account", "other", "a"}, setup.ExitUsage, []string{`account other: unknown time zone "Mars/Olympus"`, "or give --zone"}},
		"UnknownZone":        {"", []string{"--zone", "Vienna", "a"}, setup.ExitUsage, []string{`--zone: unknown time zone "Vienna": use an IANA name`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := b.run(t, test.stdin, append([]string{"tweet", "--account", "acme"}, test.args...)...)
			r.refused(t, test.code, test.words...)
			require.NotContains(t, r.stderr, "secret", "a text is told")

			r = b.run(t, test.stdin, append([]string{"tweet", "--json", "--account", "acme"}, test.args...)...)
			var told complaint
			require.NoError(t, json.Unmarshal([]byte(r.stderr), &told), r.stderr)
			require.Equal(t, test.code, told.ExitCode)
			require.NotEmpty(t, told.Error)
			require.NotRegexp(t, `_(check|key|fkey)\b`, told.Error, "a constraint is told")
			require.Equal(t, name == "KeyUsed", told.RowID == first)
			require.Equal(t, before, b.tweetCount(t))
		})
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	at, due := b.local(t, time.Hour, "Europe/Vienna")

	for _, arg := range []string{
		"1445880548472328192", "https://x.com/acme/status/1445880548472328192", "https://twitter.com/ACME/status/1445880548472328192?s=20",
		"https://mobile.twitter.com/acme/statuses/1445880548472328192/photo/1", "https://x.com/i/web/status/1445880548472328192#m",
	} {
		out := b.ok(t, "delete", "--account", "Acme", "--at", at, arg)
		require.Contains(t, out, "deletion ")
		require.Contains(t, out, " for acme: due "+formatInstant(due, zone(t, "Europe/Vienna")))
	}
	list := b.entries(t, "list")
	require.Len(t, list, 5)
	for _, e := range list {
		require.Equal(t, store.DeleteTweet, e.Kind)
		require.Equal(t, "1445880548472328192", *e.TweetID)
		require.Equal(t, due, e.DueAt)
	}

	past, _ := b.local(t, -time.Hour, "Europe/Vienna")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"Foreign":   {[]string{"https://x.com/bob/status/1"}, "that of a tweet of bob, and only its author can delete it: use --account bob"},
		"NotATweet": {[]string{"https://x.com/acme"}, "is not a tweet's id"},
		"Past":      {[]string{"--at", past, "1"}, "is past (1 hour "}, // a mistyped year must not delete at once
		"TooLong":   {[]string{"12345678901234567890"}, "is not a tweet's id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t, "", append([]string{"delete", "--account", "acme"}, test.args...)...).refused(t, setup.ExitUsage, test.want)
		})
	}
}

// TestWarnings: what keeps a row from being sent is said when it is enqueued.
func TestWarnings(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.run(t, "", "tweet", "--account", "acme", "a")
	require.NoError(t, r.err)
	require.Equal(t, "database: the database of DATABASE_URL\n", r.stderr)

	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.workers SET stopped_at = tweetqueue.clock();
UPDATE tweetqueue.accounts SET state = 'needs_login', state_reason = E'X said\nno';
UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'no credits'`)
	require.NoError(t, err)
	for _, args := range [][]string{{"tweet", "--account", "acme", "a"}, {"delete", "--account", "acme", "1"}} {
		r = b.run(t, "", args...)
		require.NoError(t, r.err)
		require.Contains(t, r.stderr, "warning: no worker is running on this database: start one with 'worker'\n")
		require.Contains(t, r.stderr, "warning: account acme is needs login: X said no; its rows wait\n")
		require.Contains(t, r.stderr, "warning: app \"default\" is paused: no credits; the rows of its accounts wait\n")

		r = b.run(t, "", append(args, "--json")...)
		require.NoError(t, r.err)
		require.Contains(t, r.stdout, `"workers_alive": 0`)
		require.Contains(t, r.stderr, `{"warning":"no worker is running on this database: start one with 'worker'"}`)
	}
}
