package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

const retweetedID = "1445880548472328192"

func TestRetweet(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	at, due := b.local(t, time.Hour, "Europe/Vienna")
	out := b.ok(t, "retweet", "--account", "@ACME", "--at", at, "--priority", "1", "--undo-after", "1d12h", "https://x.com/other/status/"+retweetedID+"?s=20")
	list := b.entries(t, "list")
	require.Len(t, list, 1)
	require.Equal(t, store.Retweet, list[0].Kind)
	require.Equal(t, "acme", list[0].Account)
	require.Equal(t, retweetedID, *list[0].TweetID)
	require.Equal(t, due, list[0].DueAt)
	require.Equal(t, 1, list[0].Priority)
	row := id(list[0].ID)
	require.Contains(t, out, "retweet "+row+" for acme: due "+formatInstant(due, zone(t, "Europe/Vienna")))
	require.Contains(t, out, "\n  undone 1d12h after it was made\n")

	require.Regexp(t, `(?m)^`+row+` +retweet +acme .* scheduled +waits for its time +tweet `+retweetedID+`$`, b.ok(t, "list"))
	out = b.ok(t, "show", row)
	require.Contains(t, out, "retweet "+row+" for acme: scheduled\n")
	require.Contains(t, out, "  retweet of              https://x.com/i/status/"+retweetedID+"\n")
	require.Contains(t, out, "  undone after            1d12h\n")
	require.Contains(t, b.ok(t, "cancel", row), "cancelled retweet "+row+" for acme, which was due ")
	require.Contains(t, b.ok(t, "list", "--status", "cancelled"), "tweet "+retweetedID)

	r := b.run(t, "", "retweet", "--json", "--account", "acme", "--undo-after", "36h", retweetedID)
	require.NoError(t, r.err)
	for _, printed := range []string{r.stdout, b.ok(t, "show", "--json", id(b.entries(t, "list")[0].ID))} {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(printed), &row))
		require.Equal(t, "retweet", row["kind"])
		require.Equal(t, "1d12h", row["undo_after"])
	}

	for name, args := range map[string][]string{
		"is not a tweet's id":          {"https://x.com/acme"},
		"\"0\" is not a tweet's id":    {"0"},
		"status/00\" is not a tweet's": {"https://x.com/acme/status/00"},
		"--undo-after: \"soon\" is":    {"--undo-after", "soon", "1"},
		"\"0s\" is out of range":       {"--undo-after", "0s", "1"},
		"--at: ":                       {"--at", "yesterday", "1"},
		"--account is empty":           {"--account", "", "1"},
		"expected \"<tweet-id>\"":      {},
		"unknown flag --delete-after":  {"--delete-after", "1d", "1"},
	} {
		b.run(t, "", append([]string{"retweet", "--account", "acme"}, args...)...).refused(t, setup.ExitUsage, name)
	}
	b.run(t, "", "tweet", "--account", "acme", "--previous", row, "a").refused(t, setup.ExitRefused, "it is a retweet")
}

// A retweet is undone by a row of deletions, whoever's tweet it is.
func TestDeleteRetweet(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	out := b.ok(t, "delete", "--account", "acme", "--retweet", "https://x.com/other/status/"+retweetedID)
	list := b.entries(t, "list")
	require.Len(t, list, 1)
	require.Equal(t, store.DeleteTweet, list[0].Kind)
	require.True(t, list[0].Retweet)
	require.Equal(t, retweetedID, *list[0].TweetID)
	row := id(list[0].ID)
	require.Contains(t, out, "deletion "+row+" for acme: due ")
	require.Contains(t, b.ok(t, "list"), "  retweet of tweet "+retweetedID+"\n")
	require.Contains(t, b.ok(t, "show", row), "  retweet of              https://x.com/i/status/"+retweetedID+"\n")

	b.doubt(t, store.DeleteTweet, list[0].ID, time.Hour)
	require.Equal(t, "deletion "+row+" for acme: scheduled, is undone again at once\n", b.ok(t, "resolve", row, "--not-deleted"))
}

func (b *testBundle) retweetInDoubt(t *testing.T) int64 {
	t.Helper()
	row := storetest.Retweet(t, b.db, retweetedID, 0)
	b.doubt(t, store.Retweet, row, time.Hour)
	return row
}

func TestResolveRetweet(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	made, absent, over := b.retweetInDoubt(t), b.retweetInDoubt(t), b.retweetInDoubt(t)
	out := b.ok(t, "show", id(made))
	for _, flags := range []string{"--retweeted", "--not-retweeted", "--not-retweeted --cancel"} {
		require.Contains(t, out, "enqueue resolve "+id(made)+" "+flags+"  ")
	}
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.retweets SET next_attempt_at = '2099-07-01' WHERE id = $1`, made)
	require.NoError(t, err)
	require.Contains(t, b.ok(t, "show", id(made)), "  why                     a worker looks on X whether the tweet is retweeted\n")
	require.Equal(t, "retweet "+id(made)+" for acme: retweeted\n", b.ok(t, "resolve", id(made), "--retweeted"))
	require.Equal(t, store.Retweeted, b.entry(t, made).Status)
	r := b.run(t, "", "resolve", id(absent), "--not-retweeted")
	require.NoError(t, r.err)
	require.Equal(t, "retweet "+id(absent)+" for acme: scheduled, is retweeted again at once\n", r.stdout)
	require.NotContains(t, r.stderr, "warning", "twice does no harm")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, absent))
	b.run(t, "", "resolve", id(over), "--posted", retweetedID).refused(t, setup.ExitUsage, "is a retweet: use --retweeted or --not-retweeted")
	b.run(t, "", "resolve", id(over), "--retweeted", "--cancel").refused(t, setup.ExitUsage, "--cancel goes with")
	require.Equal(t, "retweet "+id(over)+" for acme: cancelled\n", b.ok(t, "resolve", id(over), "--not-retweeted", "--cancel"))

	r = b.run(t, "", "cancel", id(made))
	require.Contains(t, r.stderr, "'enqueue delete --account acme --retweet "+retweetedID+"' undoes it")
	require.Contains(t, b.ok(t, "list", "--status", "retweeted"), "tweet "+retweetedID)
}

// An undoing in doubt is told as one, not as the deletion of a tweet.
func TestResolveUndoing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var undoings []int64
	for range 2 {
		row, _, err := store.UndoInsert(t.Context(), b.db, "acme", retweetedID, nil, 0)
		require.NoError(t, err)
		b.doubt(t, store.DeleteTweet, row, time.Hour)
		undoings = append(undoings, row)
	}
	gone, there := id(undoings[0]), id(undoings[1])
	require.Contains(t, b.ok(t, "show", gone), `  why                     nobody knows whether the retweet is undone, and no worker looks: you decide
  what to do              look at https://x.com/acme, then say what you saw:
                          enqueue resolve `+gone+` --deleted               it does not retweet https://x.com/i/status/`+retweetedID+` any more
                          enqueue resolve `+gone+` --not-deleted           it does: that is undone again at once
                          enqueue resolve `+gone+` --not-deleted --cancel  it does, and is to go on
`)
	require.Equal(t, "deletion "+gone+" for acme: deleted\n", b.ok(t, "resolve", gone, "--deleted"))
	require.Equal(t, "deletion "+there+" for acme: scheduled, is undone again at once\n", b.ok(t, "resolve", there, "--not-deleted"))
}

// The retweet and what undoes it name each other.
func TestShowUndoing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.ok(t, "retweet", "--account", "acme", "--undo-after", "7d", retweetedID)
	retweet := b.entries(t, "list")[0].ID
	b.doubt(t, store.Retweet, retweet, time.Hour)
	b.ok(t, "resolve", id(retweet), "--retweeted")
	undoing := b.entries(t, "list")[0].ID
	require.Regexp(t, `  to be undone            .* by deletion `+id(undoing)+`: 'enqueue cancel `+id(undoing)+`' stops that\n`, b.ok(t, "show", id(retweet)))
	out := b.ok(t, "show", id(undoing))
	require.Contains(t, out, "  retweet of row          "+id(retweet)+"\n")
	b.doubt(t, store.DeleteTweet, undoing, time.Hour)
	require.Contains(t, b.ok(t, "show", id(retweet)), ", by deletion "+id(undoing)+", which is unconfirmed\n")
	b.ok(t, "resolve", id(undoing), "--deleted")
	require.Regexp(t, `^retweet .* for acme: retweeted, undone since .* \(deletion `+id(undoing)+`\)\n`, b.ok(t, "show", id(retweet)))
	require.Regexp(t, ` retweeted  .*: undone since .* \(deletion `+id(undoing)+`\): a person `, b.ok(t, "list", "--status", "retweeted"))
}
