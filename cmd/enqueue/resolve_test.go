package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
)

// doubt makes a scheduled row unconfirmed, whose request was made so long ago, and that nobody looks up
// any more.
func (b *testBundle) doubt(t *testing.T, kind store.Kind, row int64, ago time.Duration) {
	t.Helper()
	table := map[store.Kind]string{store.PostTweet: "tweets", store.DeleteTweet: "deletions", store.Retweet: "retweets"}[kind]
	var request int64
	require.NoError(t, b.db.QueryRow(t.Context(), `
INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, answered_at, outcome, error)
SELECT $1, $2, a.id, w.id, 1, tweetqueue.clock() - $3::interval, tweetqueue.clock() - $3::interval, tweetqueue.clock(), 'unconfirmed', 'no answer'
FROM tweetqueue.accounts a, tweetqueue.workers w RETURNING id`, kind, row, ago).Scan(&request))
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.`+table+` SET status = 'sending', waiting_for = NULL, request_id = $2 WHERE id = $1`, row, request)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.`+table+` SET status = 'unconfirmed', error = 'it may be on X: no answer' WHERE id = $1`, row)
	require.NoError(t, err)
}

// tweetInDoubt returns a tweet that is unconfirmed since an hour.
func (b *testBundle) tweetInDoubt(t *testing.T) int64 {
	t.Helper()
	row := storetest.Tweet(t, b.db, "a", 0)
	b.doubt(t, store.PostTweet, row, time.Hour)
	return row
}

func (b *testBundle) deletionInDoubt(t *testing.T) int64 {
	t.Helper()
	row := storetest.Deletion(t, b.db, "123", 0)
	b.doubt(t, store.DeleteTweet, row, time.Hour)
	return row
}

// tweetID is an id that X could have given so long ago.
func (b *testBundle) tweetID(t *testing.T, ago time.Duration) (string, time.Time) {
	t.Helper()
	at := b.now(t).Add(-ago).Truncate(time.Millisecond)
	id := twitter.IDAt(at.Add(time.Millisecond)) // the last one of at
	return id, at
}

func (b *testBundle) entry(t *testing.T, row int64) store.Entry {
	t.Helper()
	entry, err := store.EntryGet(t.Context(), b.db, row)
	require.NoError(t, err)
	return entry
}

func TestResolvePosted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	tweet, at := b.tweetID(t, 59*time.Minute)
	out := b.ok(t, "resolve", id(row), "--posted", "https://twitter.com/Acme/status/"+tweet+"?s=20")
	require.Equal(t, "tweet "+id(row)+" for acme: posted as https://x.com/acme/status/"+tweet+", "+formatInstant(at, zone(t, "Europe/Vienna"))+"\n", out)
	entry := b.entry(t, row)
	require.Equal(t, store.Posted, entry.Status)
	require.Equal(t, tweet, *entry.TweetID)
	require.Equal(t, at.UTC(), entry.DoneAt.UTC())
	require.Nil(t, entry.Error)

	// The same tweet is not a second row's.
	second := b.tweetInDoubt(t)
	b.run(t, "", "resolve", id(second), "--posted", tweet).refused(t, setup.ExitRefused,
		"refused: tweet "+tweet+" on X is that of row "+id(row)+": see 'enqueue show "+id(row)+"'")
	require.Equal(t, store.Unconfirmed, b.entry(t, second).Status)

	// Nor that of another account.
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET account = 'other' WHERE id = $1`, row)
	require.NoError(t, err)
	for range 2 {
		b.run(t, "", "resolve", id(second), "--posted", tweet).refused(t, setup.ExitRefused,
			"refused: tweet "+tweet+" on X is that of row "+id(row)+", of account other: see 'enqueue show "+id(row)+"'")
	}
	require.Equal(t, store.Unconfirmed, b.entry(t, second).Status)
}

// TestResolvePutsRight: a person's word can be put right by another, X's cannot.
func TestResolvePutsRight(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row, other := b.tweetInDoubt(t), b.tweetInDoubt(t)
	wrong, _ := b.tweetID(t, 59*time.Minute)
	right, at := b.tweetID(t, 58*time.Minute)
	taken, _ := b.tweetID(t, 57*time.Minute)
	old, _ := b.tweetID(t, 80*time.Minute)
	b.ok(t, "resolve", id(row), "--posted", wrong)
	b.ok(t, "resolve", id(other), "--posted", taken)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"NotPosted": {[]string{"--not-posted"}, "tweet " + id(row) + " is posted, as " + wrong + ", by a person's word, and what is posted stays so: --posted TWEET_ID puts right which tweet it is; if none is on X, enqueue it anew"},
		"TheSame":   {[]string{"--posted", wrong}, "is posted as " + wrong + " already"},
		"Taken":     {[]string{"--posted", taken}, "tweet " + taken + " on X is that of row " + id(other)},
		"TooOld":    {[]string{"--posted", old}, "by its id it was created "},
		"Foreign":   {[]string{"--posted", "https://x.com/other/status/" + right}, "is that of a tweet of other"},
	} {
		b.run(t, "", append([]string{"resolve", id(row)}, test.args...)...).refused(t, setup.ExitRefused, test.want)
		require.Equal(t, wrong, *b.entry(t, row).TweetID, name)
	}
	deletion := storetest.Deletion(t, b.db, wrong, 0)
	b.doubt(t, store.DeleteTweet, deletion, time.Minute)
	b.ok(t, "resolve", id(deletion), "--deleted")

	r := b.run(t, "", "resolve", id(row), "--posted", right)
	require.NoError(t, r.err)
	require.Equal(t, "tweet "+id(row)+" for acme: posted as https://x.com/acme/status/"+right+", "+formatInstant(at, zone(t, "Europe/Vienna"))+"\n", r.stdout)
	require.Contains(t, r.stderr, "warning: deletion "+id(deletion)+" has deleted tweet "+wrong+" already; 'enqueue delete --account acme "+right+"' deletes this one\n")
	entry := b.entry(t, row)
	require.Equal(t, right, *entry.TweetID)
	require.Equal(t, at.UTC(), entry.DoneAt.UTC())
	require.Contains(t, entry.Warnings[1], "that it is on X as tweet "+right+"; before: posted as tweet "+wrong)

	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET warnings = '{}' WHERE id = $1`, row) // as if X had said it
	require.NoError(t, err)
	b.run(t, "", "resolve", id(row), "--posted", wrong).refused(t, setup.ExitRefused, "tweet "+id(row)+" is posted, and only an unconfirmed row can be resolved")
}

func TestResolveNotPosted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	r := b.run(t, "", "resolve", id(row), "--not-posted")
	require.NoError(t, r.err)
	require.Equal(t, "tweet "+id(row)+" for acme: scheduled, is sent again at once\n", r.stdout)
	require.Contains(t, r.stderr, "warning: if tweet "+id(row)+" is on X after all, there will be two: 'enqueue cancel "+id(row)+"' stops it")
	require.NotContains(t, r.stderr, "no worker")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, row))
	require.NotEmpty(t, storetest.Jobs(t, b.db, row))

	// Its deadline has passed: it is not sent any more.
	late := storetest.Tweet(t, b.db, "b", 0)
	b.doubt(t, store.PostTweet, late, time.Hour)
	require.NoError(t, b.replica(t, `UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() - interval '2 hours',
    post_before = tweetqueue.clock() - interval '1 hour' WHERE id = `+id(late)))
	require.Equal(t, "tweet "+id(late)+" for acme: missed: its deadline passed before it was known not to be on X\n",
		b.ok(t, "resolve", id(late), "--not-posted"))

	// It is not to be sent again either, nor by a worker that is faster than a second command.
	over, gone := b.tweetInDoubt(t), b.deletionInDoubt(t)
	require.Equal(t, "tweet "+id(over)+" for acme: cancelled\n", b.ok(t, "resolve", id(over), "--not-posted", "--cancel"))
	require.Equal(t, "deletion "+id(gone)+" for acme: cancelled\n", b.ok(t, "resolve", id(gone), "--not-deleted", "--cancel"))
	require.Equal(t, "cancelled", storetest.Status(t, b.db, over))

	// Nobody would send it.
	idle := b.tweetInDoubt(t)
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.workers SET stopped_at = tweetqueue.clock()`)
	require.NoError(t, err)
	r = b.run(t, "", "resolve", "--json", id(idle), "--not-posted")
	require.NoError(t, r.err)
	require.Contains(t, r.stderr, `{"warning":"no worker is running on this database: start one with 'worker'"}`)
	var entry store.Entry
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &entry))
	require.Equal(t, store.Scheduled, entry.Status)
}

// replica runs a statement without the rules of the triggers.
func (b *testBundle) replica(t *testing.T, statement string) error {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `BEGIN; SET LOCAL session_replication_role = replica; `+statement+`; COMMIT`)
	return err
}

func TestResolveDeletion(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	gone, there := b.deletionInDoubt(t), b.deletionInDoubt(t)
	require.Equal(t, "deletion "+id(gone)+" for acme: deleted\n", b.ok(t, "resolve", id(gone), "--deleted"))
	require.Equal(t, store.Deleted, b.entry(t, gone).Status)
	r := b.run(t, "", "resolve", id(there), "--not-deleted")
	require.NoError(t, r.err)
	require.Equal(t, "deletion "+id(there)+" for acme: scheduled, is deleted again at once\n", r.stdout)
	require.NotContains(t, r.stderr, "warning")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, there))
}

// TestResolveRefused: what is wrong, what is another row's, and what cannot be is refused, and the row
// stays as it is.
func TestResolveRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	tweet, deletion := b.tweetInDoubt(t), b.deletionInDoubt(t)
	fresh, scheduled := storetest.Tweet(t, b.db, "fresh", 0), storetest.Tweet(t, b.db, "later", time.Hour)
	b.doubt(t, store.PostTweet, fresh, time.Minute)
	right, _ := b.tweetID(t, 59*time.Minute)
	old, _ := b.tweetID(t, 80*time.Minute)
	future, _ := b.tweetID(t, -time.Hour)
	for name, test := range map[string]struct {
		code int
		args []string
		want string
	}{
		"Nothing":        {setup.ExitUsage, []string{id(tweet)}, "see 'enqueue resolve --help'"},
		"Two":            {setup.ExitUsage, []string{id(tweet), "--posted", right, "--not-posted"}, "can't be used together"},
		"NoID":           {setup.ExitUsage, []string{id(tweet), "--posted", ""}, "--posted: \"\" is not a tweet's id"},
		"OfATweet":       {setup.ExitUsage, []string{id(tweet), "--deleted"}, "is a tweet: use --posted TWEET_ID or --not-posted"},
		"OfADeletion":    {setup.ExitUsage, []string{id(deletion), "--posted", right}, "is a deletion: use --deleted or --not-deleted"},
		"CancelOfDone":   {setup.ExitUsage, []string{id(tweet), "--posted", right, "--cancel"}, "--cancel goes with --not-posted, --not-deleted or --not-retweeted"},
		"NoRow":          {setup.ExitRefused, []string{"999999", "--not-posted"}, "row 999999: not found"},
		"InNoDoubt":      {setup.ExitRefused, []string{id(scheduled), "--not-posted"}, "tweet " + id(scheduled) + " is scheduled, and only an unconfirmed row can be resolved"},
		"OfSomebodyElse": {setup.ExitRefused, []string{id(tweet), "--posted", "https://x.com/other/status/" + right}, "a tweet of other, and tweet " + id(tweet) + " is one of acme"},
		"TooOld":         {setup.ExitRefused, []string{id(tweet), "--posted", old}, "by its id it was created "},
		"OfTheFuture":    {setup.ExitRefused, []string{id(tweet), "--posted", future}, "by its id it was created in the future"},
		"NoTime":         {setup.ExitRefused, []string{id(tweet), "--posted", "20"}, "no tweet of today has such an id"},
		"TooSoon":        {setup.ExitRefused, []string{id(fresh), "--not-posted"}, "tweet " + id(fresh) + " was sent "},
		"TooSoonForThem": {setup.ExitRefused, []string{id(tweet), "--not-posted", "--longest-creation=1h"}, "X may take 1h0m0s to create it and 5m0s more to show it (--longest-creation and --read-lag, as the worker has them): look at the account after "},
		"NoTimes":        {setup.ExitUsage, []string{id(tweet), "--not-posted", "--longest-creation=0s", "--read-lag=2h"}, "--longest-creation is 0s: use 100ms to 1h\n  --read-lag is 2h0m0s: use 100ms to 1h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t, "", append([]string{"resolve"}, test.args...)...).refused(t, test.code, test.want)
			for _, row := range []int64{tweet, deletion, fresh} {
				require.Equal(t, "unconfirmed", storetest.Status(t, b.db, row))
			}
		})
	}
}

// TestResolveWaitsAsTheWorker: by its flags a person may be sooner, or has to wait longer.
func TestResolveWaitsAsTheWorker(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	early, late := storetest.Tweet(t, b.db, "early", 0), storetest.Tweet(t, b.db, "late", 0)
	b.doubt(t, store.PostTweet, early, 6*time.Minute) // of 7
	b.doubt(t, store.PostTweet, late, 8*time.Minute)
	b.run(t, "", "resolve", id(early), "--not-posted").refused(t, setup.ExitRefused, "was sent 6 minutes ")
	b.ok(t, "resolve", id(early), "--not-posted", "--longest-creation=30s")
	b.run(t, "", "resolve", id(late), "--not-posted", "--read-lag=10m").refused(t, setup.ExitRefused, "was sent 8 minutes ")
	b.ok(t, "resolve", id(late), "--not-posted")
}

// TestResolveForced: a person may know better than the times.
func TestResolveForced(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first, second, fresh := b.tweetInDoubt(t), b.tweetInDoubt(t), storetest.Tweet(t, b.db, "fresh", 0)
	b.doubt(t, store.PostTweet, fresh, time.Minute)
	old, at := b.tweetID(t, 80*time.Minute)
	b.ok(t, "resolve", id(first), "--posted", old, "--force")
	require.Equal(t, at.UTC(), b.entry(t, first).DoneAt.UTC())
	before := b.now(t)
	b.ok(t, "resolve", id(second), "--posted", "20", "--force")
	require.WithinRange(t, *b.entry(t, second).DoneAt, before, b.now(t))
	b.ok(t, "resolve", id(fresh), "--not-posted", "--force")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, fresh))
}

// TestResolveAsWriter: an application cannot say what became of its row.
func TestResolveAsWriter(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	_, err := b.db.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE enqueue_resolves LOGIN IN ROLE tweetqueue_writer;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	require.NoError(t, err)
	b.env["DATABASE_URL"] = strings.Replace(b.env["DATABASE_URL"], "://tweetqueue@", "://enqueue_resolves@", 1)
	b.run(t, "", "resolve", id(row), "--not-posted").refused(t, setup.ExitFailed,
		"permission denied", "takes the rights of the database's owner or of tweetqueue_worker")
}

// TestUnconfirmedIsTold: a row in doubt says when it is looked up, or that a person decides and how.
func TestUnconfirmedIsTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	require.Contains(t, b.ok(t, "list"), "  unconfirmed  you decide, see 'enqueue show "+id(row)+"': it may be on X: no answer  a\n")
	out := b.ok(t, "show", id(row))
	require.Contains(t, out, `  why                     nobody knows whether it is on X, and no worker looks any more: you decide
  what to do              look at https://x.com/acme, replies too, then say what you saw:
                          enqueue resolve `+id(row)+` --posted TWEET_ID       it is there: this is its id, or its address
                          enqueue resolve `+id(row)+` --not-posted            it is not: it is sent again at once
                          enqueue resolve `+id(row)+` --not-posted --cancel   it is not, and is not to be sent again
`)
	deletion := b.deletionInDoubt(t)
	require.Contains(t, b.ok(t, "show", id(deletion)), `  what to do              look at https://x.com/acme/status/123, then say what you saw:
                          enqueue resolve `+id(deletion)+` --deleted               it is gone
                          enqueue resolve `+id(deletion)+` --not-deleted           it is there: it is deleted again at once
                          enqueue resolve `+id(deletion)+` --not-deleted --cancel  it is there, and is to stay
`)
	require.NotContains(t, out, "next look-up")

	for _, table := range []string{"tweets", "deletions"} {
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.`+table+` SET next_attempt_at = '2099-07-01T00:00:00Z'`)
		require.NoError(t, err)
	}
	require.Contains(t, b.ok(t, "list"), "  unconfirmed  next look-up on X at 2099-07-01 02:00:00 +02:00: it may be on X: no answer  a\n")
	out = b.ok(t, "show", id(row))
	require.Contains(t, out, "  why                     a worker looks on X whether it is there, and sends it again if it is not\n")
	require.Contains(t, out, "  next look-up            Wed 2099-07-01 02:00:00 +02:00 (Europe/Vienna)")
	require.NotContains(t, out, "not before")
	require.NotContains(t, out, "what to do")
	require.Contains(t, b.ok(t, "show", id(deletion)), "  why                     a worker looks on X whether the tweet is gone, and deletes it again if it is not\n")
	require.NoError(t, b.replica(t, `UPDATE tweetqueue.tweets SET if_unconfirmed = 'hold'`))
	require.Contains(t, b.ok(t, "show", id(row)), "  why                     a worker looks on X whether it is there, and leaves it to you if it is not\n")
}

// TestLookUpIsShown: with what it cost, and without the timeline's length.
func TestLookUpIsShown(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	row := b.tweetInDoubt(t)
	_, err := b.db.Exec(t.Context(), `
INSERT INTO tweetqueue.requests (kind, looked_for, account_id, worker_id, job_id, granted_at, send_by, answered_at, outcome, status_code, answer, cost_usd)
SELECT 'look_up', ARRAY[$1::bigint], a.id, w.id, 1, tweetqueue.clock(), tweetqueue.clock(), tweetqueue.clock(), 'done', 200, repeat('timeline ', 1000), 0.003
FROM tweetqueue.accounts a, tweetqueue.workers w`, row)
	require.NoError(t, err)
	out := b.ok(t, "show", id(row))
	require.Regexp(t, `(?m)^look-up \d+ by test worker: done \(200\)$`, out)
	require.Contains(t, out, "  cost                    $0.003\n")
	require.Contains(t, out, "  X answered              timeline timeline ")
	require.Less(t, len(out), 3000)
	require.Greater(t, len(b.ok(t, "show", "--json", id(row))), 9000)
}
