package main

import (
	"context"
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

func TestList(t *testing.T) {
	t.Parallel()

	t.Run("Empty", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		require.Equal(t, "nothing waits\n", b.ok(t, "list"))
		require.Equal(t, "nothing waits of acme\n", b.ok(t, "list", "--account", "@acme"))
		require.Equal(t, "no row is failed or missed\n", b.ok(t, "list", "--status", "failed,missed"))
		require.Equal(t, "there are no rows\n", b.ok(t, "list", "--status", "all"))
		require.Equal(t, "[]\n", b.ok(t, "list", "--json"))
	})

	t.Run("Filters", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
		foreign, _, err := store.DeletionInsert(t.Context(), b.db, "other", "9", nil, 0)
		require.NoError(t, err)
		later := storetest.Tweet(t, b.db, "later", 2*time.Hour)
		sooner := storetest.Tweet(t, b.db, "sooner", time.Hour)
		cancelled := storetest.Tweet(t, b.db, "cancelled", 3*time.Hour)
		_, err = store.Cancel(t.Context(), b.db, cancelled)
		require.NoError(t, err)

		ids := func(args ...string) (ids []int64) {
			for _, e := range b.entries(t, append([]string{"list"}, args...)...) {
				ids = append(ids, e.ID)
			}
			return ids
		}
		require.Equal(t, []int64{foreign, sooner, later}, ids())
		require.Equal(t, []int64{sooner, later}, ids("--account", "ACME"))
		require.Equal(t, []int64{cancelled}, ids("--status", "cancelled"))
		require.Equal(t, []int64{foreign, sooner, later, cancelled}, ids("--status", "all"))
		require.Equal(t, []int64{foreign, sooner, later}, ids("--limit", "3"))
		b.run(t, "", "list", "--account", "nobody").refused(t, setup.ExitRefused, "add it with 'enqueue account add nobody'")
		b.run(t, "", "list", "--account", "a b").refused(t, setup.ExitUsage, `--account: "a b" is not a username of X`)
		b.run(t, "", "list", "--status", "open").refused(t, setup.ExitUsage, "must be one of")
		b.run(t, "", "list", "--limit", "0").refused(t, setup.ExitUsage, "use 1 to 100000")
	})

	t.Run("NothingCutSilently", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		storetest.Tweet(t, b.db, "first", time.Hour)
		storetest.Tweet(t, b.db, "second", 2*time.Hour)
		r := b.run(t, "", "list", "--limit", "1")
		require.NoError(t, r.err)
		require.NotContains(t, r.stdout, "second")
		require.Contains(t, r.stderr, "warning: there are more: these are the 1 that are due first, --limit shows more\n")
		r = b.run(t, "", "list", "--limit", "1", "--json")
		require.Contains(t, r.stderr, `{"warning":"there are more`)
		require.NotContains(t, b.run(t, "", "list", "--limit", "2").stderr, "more")
	})

	t.Run("Table", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		due := b.now(t).Add(time.Hour)
		tweet, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "line\none \x1b[31m" + strings.Repeat("の", 100)}, &due, 0)
		require.NoError(t, err)
		deletion := storetest.Deletion(t, b.db, "123", 2*time.Hour)
		_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.deletions SET waiting_for = 'quota', error = 'nothing is left'`)
		require.NoError(t, err)
		_, err = b.db.Exec(t.Context(), `INSERT INTO tweetqueue.quota_waits SELECT id, 'delete', '2099-07-01T00:00:00Z' FROM tweetqueue.accounts`)
		require.NoError(t, err)
		lines := strings.Split(b.ok(t, "list"), "\n")
		require.Len(t, lines, 4)
		require.Equal(t, []string{"ID", "KIND", "ACCOUNT", "DUE", "STATUS", "WHY", "WHAT"}, strings.Fields(lines[0]))
		require.True(t, strings.HasPrefix(lines[1], id(tweet)+" "))
		require.Contains(t, lines[1], "  tweet     acme     "+due.In(zone(t, "Europe/Vienna")).Format("2006-01-02 15:04:05 -07:00")+"  scheduled  waits for its time ")
		require.Contains(t, lines[1], "  line one [31m"+strings.Repeat("の", 26)+"…")
		require.True(t, strings.HasPrefix(lines[2], id(deletion)+" "))
		require.Contains(t, lines[2], "waits for quota until 2099-07-01 02:00:00 +02:00: nothing is left  tweet 123")
	})
}

// TestListIdle: a row that is due and not taken says so, and so does the lack of workers.
func TestListIdle(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := storetest.Tweet(t, b.db, "a", 0)
	require.Contains(t, b.ok(t, "list"), "  due, waits for a worker  a\n")
	require.NotContains(t, b.run(t, "", "list").stderr, "warning")
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.workers SET stopped_at = tweetqueue.clock()`)
	require.NoError(t, err)
	const warning = "warning: no worker is running on this database: start one with 'worker'\n"
	require.Contains(t, b.run(t, "", "list").stderr, warning)
	require.Contains(t, b.run(t, "", "show", id(row)).stderr, warning)

	b.ok(t, "cancel", id(row))
	require.NotContains(t, b.run(t, "", "list", "--status", "all").stderr, "warning")
	require.NotContains(t, b.run(t, "", "show", id(row)).stderr, "warning")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	tweet := storetest.Tweet(t, b.db, "a", time.Hour)
	deletion := storetest.Deletion(t, b.db, "1", time.Hour)
	third := storetest.Tweet(t, b.db, "c", time.Hour)

	out := b.ok(t, "cancel", id(tweet), id(deletion))
	require.Contains(t, out, "cancelled tweet "+id(tweet)+" for acme, which was due ")
	require.Contains(t, out, "cancelled deletion "+id(deletion)+" for acme")
	require.Equal(t, "cancelled", storetest.Status(t, b.db, tweet))
	require.Equal(t, "cancelled", storetest.Status(t, b.db, deletion))
	require.Empty(t, storetest.Jobs(t, b.db, tweet))

	// Of several, those that can be are; the others are all told.
	r := b.run(t, "", "cancel", "--json", id(tweet), id(third), "999999")
	require.Equal(t, setup.ExitRefused, r.code())
	var list []store.Entry
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.Len(t, list, 1)
	require.Equal(t, third, list[0].ID)
	require.Contains(t, r.stderr, "refused: tweet "+id(tweet)+" is cancelled, and only a scheduled one can be cancelled")
	require.Contains(t, r.stderr, "row 999999: not found")

	b.run(t, "", "cancel", "999999").refused(t, setup.ExitRefused, "row 999999: not found")
	b.run(t, "", "cancel").refused(t, setup.ExitUsage, `expected "<id> ..."`, "see 'enqueue cancel --help'")
	for _, command := range []string{"cancel", "show"} {
		for _, not := range []string{"one", "0", "1.5", "99999999999999999999"} {
			b.run(t, "", command, not).refused(t, setup.ExitUsage, `"`+not+`" is not a row's id: it is the number`, "see 'enqueue "+command+" --help'")
		}
	}

	// An id that is given twice is cancelled once.
	fourth := storetest.Tweet(t, b.db, "d", time.Hour)
	require.Equal(t, 1, strings.Count(b.ok(t, "cancel", id(fourth), id(fourth)), "cancelled tweet "))
	_, err := b.db.Exec(t.Context(), `BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE tweetqueue.tweets SET status = 'posted', waiting_for = NULL, tweet_id = '77', posted_at = now() WHERE id = `+id(fourth)+`;
COMMIT`)
	require.NoError(t, err)
	b.run(t, "", "cancel", id(fourth)).refused(t, setup.ExitRefused,
		"refused: tweet "+id(fourth)+" is posted, and only a scheduled one can be cancelled; 'enqueue delete --account acme 77' takes it off X")
}

// TestCancelInAThread: what waits for a cancelled tweet is told, and what waits for it only by way of
// another is not, nor what is cancelled with it.
func TestCancelInAThread(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	after := func(previous int64) int64 {
		row, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a", PreviousID: &previous}, nil, 0)
		require.NoError(t, err)
		return row
	}
	first := storetest.Tweet(t, b.db, "a", time.Hour)
	second, third, cancelled := after(first), after(first), after(first)
	after(second)
	warning := fmt.Sprintf("what continues tweet %d waits until that is posted after all: tweet %d, tweet %d; 'enqueue cancel %[2]d %[3]d' cancels that, too",
		first, second, third)
	r := b.run(t, "", "cancel", id(first), id(cancelled))
	require.NoError(t, r.err)
	require.Contains(t, r.stderr, "warning: "+warning+"\n")
	require.Equal(t, 1, strings.Count(r.stderr, "warning"))
	require.NotContains(t, b.run(t, "", "cancel", id(third)).stderr, "warning")

	r = b.run(t, "", "tweet", "--account", "acme", "--previous", id(first), "b")
	require.NoError(t, r.err)
	require.Contains(t, r.stderr, "warning: tweet "+id(first)+", which this one continues, is cancelled: this one waits until that is posted after all\n")
	require.NotContains(t, b.run(t, "", "tweet", "--account", "acme", "--previous", id(second), "b").stderr, "warning")
}

func TestShow(t *testing.T) {
	t.Parallel()

	t.Run("Deletion", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		row := storetest.Deletion(t, b.db, "123", time.Hour)
		out := b.ok(t, "show", id(row))
		require.Contains(t, out, "deletion "+id(row)+" for acme: scheduled\n")
		require.Contains(t, out, "https://x.com/acme/status/123\n")
		require.Contains(t, out, "nothing was sent to X for it\n")
		require.NotContains(t, out, "text")
	})

	t.Run("NotFound", func(t *testing.T) {
		t.Parallel()
		newBundle(t).run(t, "", "show", "7").refused(t, setup.ExitRefused, "row 7: not found")
	})

	t.Run("Tweet", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		var row int64
		require.NoError(t, b.db.QueryRow(t.Context(), `
INSERT INTO tweetqueue.tweets (account, text, post_at, priority, in_reply_to_tweet_id, exclude_reply_user_ids, media_ids,
    tagged_user_ids, place_id, reply_settings, community_id, made_with_ai, paid_partnership, extra, post_before, delete_after,
    if_unconfirmed, idempotency_key, metadata)
VALUES ('acme', E'first\nsecond', '2099-01-01T09:00:00Z', 3, '5', '{6,7}', '{8}', '{9}', 'p1', 'verified', '10', true, false,
    '{"geo2": 1}', '2099-01-01T10:00:00Z', '1 month 2 days', 'hold', 'k', '{"mine": "\u00fc"}') RETURNING id`).Scan(&row))
		insertRequest(t, b, row)

		require.Equal(t, strings.TrimLeft(`
tweet ID for acme: scheduled
  why                     waits for its time
  due                     Thu 2099-01-01 10:00:00 +01:00 (Europe/Vienna), 2099-01-01T09:00:00Z, DISTANCE
  priority                3
  written                 WRITTEN
  deadline                Thu 2099-01-01 11:00:00 +01:00 (Europe/Vienna), 2099-01-01T10:00:00Z, DISTANCE
  deleted after           1 months 2d
  if unconfirmed          hold
  idempotency key         k
  metadata                {"mine": "ü"}
  in_reply_to_tweet_id    5
  exclude_reply_user_ids  6, 7
  media_ids               8
  tagged_user_ids         9
  place_id                p1
  reply_settings          verified
  community_id            10
  made_with_ai            true
  paid_partnership        false
  extra                   {"geo2": 1}
  text                    first
                          second
request REQUEST by test worker: wait (429)
  error                   rate limited
  granted                 Thu 2099-01-01 10:00:00 +01:00 (Europe/Vienna), 2099-01-01T09:00:00Z, DISTANCE
  answered                Thu 2099-01-01 10:00:00.5 +01:00 (Europe/Vienna), 2099-01-01T09:00:00.5Z, DISTANCE
  x-transaction-id        abc
  limits                  {"x": 1}
  sent                    {"text":"first"}
  X answered              {"title": 
                           "Too  [31m Many"}
`, "\n"), neutral(t, b.ok(t, "show", id(row)), row))

		var shown map[string]any
		require.NoError(t, json.Unmarshal([]byte(b.ok(t, "show", "--json", id(row))), &shown))
		require.Equal(t, "1 months 2d", shown["delete_after"])
		asked := shown["asked"].(map[string]any)
		require.Equal(t, "verified", asked["reply_settings"])
		requests := shown["requests"].([]any)
		require.Len(t, requests, 1)
		require.Equal(t, `{"text":"first"}`, requests[0].(map[string]any)["body"])
	})
}

// insertRequest writes a request that was answered with a 429 which steers terminals.
// TestDeletedIsShown: a posted row says that its tweet is gone, and which row did it.
func TestDeletedIsShown(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	tweet, _ := b.tweetID(t, 59*time.Minute)
	b.ok(t, "resolve", id(row), "--posted", tweet)
	deletion := storetest.Deletion(t, b.db, tweet, 0)
	b.doubt(t, store.DeleteTweet, deletion, time.Minute)
	require.Contains(t, b.ok(t, "show", id(row)), "tweet "+id(row)+" for acme: posted\n", "it is not gone yet")
	require.NotContains(t, b.ok(t, "show", "--json", id(row)), `"deletion"`)

	b.ok(t, "resolve", id(deletion), "--deleted")
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.deletions SET deleted_at = '2026-07-01T00:00:00Z' WHERE id = $1`, deletion)
	require.NoError(t, err)
	out := b.ok(t, "show", id(row))
	require.Contains(t, out, "tweet "+id(row)+" for acme: posted, deleted since 2026-07-01 02:00:00 +02:00 (deletion "+id(deletion)+")\n")
	require.Contains(t, out, "  was on X                https://x.com/acme/status/"+tweet+"\n")
	require.Contains(t, b.ok(t, "list", "--status", "posted"), ": deleted since 2026-07-01 02:00:00 +02:00 (deletion "+id(deletion)+"): a person (database user ")
	require.Contains(t, b.ok(t, "show", "--json", id(row)), `"deletion": {
    "id": `+id(deletion)+`,
    "deleted_at": "2026-07-01T00:00:00Z"
  }`)
}

// A warning is not for 'show' alone: an id that was no tweet's ends as deleted, too.
func TestListWarns(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	storetest.Deletion(t, b.db, "1", time.Hour)
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.deletions SET warnings = '{"X did not have the tweet any more, if it ever had", "second"}'`)
	require.NoError(t, err)
	require.Regexp(t, `  waits for its time: X did not have the tweet any more, if it ever had  tweet 1\n`, b.ok(t, "list"))
	require.Contains(t, b.ok(t, "show", id(b.entries(t, "list")[0].ID)), "  why                     waits for its time\n")
}

func insertRequest(t *testing.T, b *testBundle, row int64) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `
INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, body, granted_at, send_by, answered_at, outcome,
    status_code, x_transaction_id, answer, limits, error)
SELECT 'post_tweet', $1, a.id, w.id, 1, '{"text":"first"}', '2099-01-01T09:00:00Z', '2099-01-01T09:00:10Z', '2099-01-01T09:00:00.5Z', 'wait',
    429, 'abc', E'{"title": \n "Too \x1b[31m Many"}', '{"x": 1}', 'rate limited'
FROM tweetqueue.accounts a, tweetqueue.workers w`, row)
	require.NoError(t, err)
}

// neutral replaces what differs between runs.
func neutral(t *testing.T, out string, row int64) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out) {
		if name, _, ok := strings.Cut(line, ", in "); ok {
			line = name + ", DISTANCE\n"
		}
		if strings.HasPrefix(line, "  written ") {
			line = "  written                 WRITTEN\n"
		}
		if before, after, ok := strings.Cut(line, " by test worker"); ok && strings.HasPrefix(before, "request ") {
			line = "request REQUEST by test worker" + after
		}
		lines = append(lines, line)
	}
	return strings.Replace(strings.Join(lines, ""), "tweet "+id(row), "tweet ID", 1)
}

// TestNoDatabase: each way to have no database, or none of use, has its exit code and its advice.
func TestNoDatabase(t *testing.T) {
	t.Parallel()

	r := runWith(t, map[string]string{"DATABASE_URL": "postgres://nobody:geheim@127.0.0.1:1/none"}, "", "list")
	r.refused(t, setup.ExitNoDatabase, "no database: ")
	require.NotContains(t, r.stderr, "geheim")
	runWith(t, map[string]string{"DATABASE_URL": "postgres://%%"}, "", "list").refused(t, setup.ExitUsage, "DATABASE_URL: ")
	runWith(t, map[string]string{"DATABASE_URL": storetest.EmptyURL(t)}, "", "list").
		refused(t, setup.ExitRefused, "the database needs migration", "run 'worker migrate up'")

	url := storetest.URL(t)
	_, err := storetest.Open(t, url).Exec(t.Context(), `INSERT INTO tweetqueue.schema_versions VALUES (99, 8, 99)`)
	require.NoError(t, err)
	runWith(t, map[string]string{"DATABASE_URL": url}, "", "list").
		refused(t, setup.ExitRefused, "the database is newer than this program", "upgrade it")
}

// blockedReader is a standard input that nobody writes to.
type blockedReader struct{ done <-chan struct{} }

func (r blockedReader) Read([]byte) (int, error) {
	<-r.done
	return 0, context.Canceled
}

// TestInterrupted: a signal ends a command that waits for its input.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr strings.Builder
	lookup := func(name string) (string, bool) {
		value, ok := b.env[name]
		return value, ok
	}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"tweet", "--account", "acme"}, lookup, blockedReader{t.Context().Done()}, &stdout, &stderr)
	}()
	cancel()
	err := <-ended
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, setup.ExitFailed, setup.ExitCode(err))
	require.Contains(t, stderr.String(), "enqueue: interrupted: ")
}

// TestPrivateDatabase: without DATABASE_URL a private one is used, named, migrated, and kept.
func TestPrivateDatabase(t *testing.T) {
	t.Parallel()
	env := map[string]string{"TWEETQUEUE_STATE_DIR": stateDir(t)}
	for _, which := range []string{", which is new\n", "\n"} {
		r := runWith(t, env, "", "list")
		require.NoError(t, r.err, r.stderr)
		require.Equal(t, "nothing waits\n", r.stdout)
		require.Contains(t, r.stderr, "database: the private database in "+env["TWEETQUEUE_STATE_DIR"]+"/postgres"+which)
	}
}
