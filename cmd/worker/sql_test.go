package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// arrival returns when the one request for a tweet arrived at X.
func (b *bundle) arrival(t *testing.T, text string) time.Time {
	t.Helper()
	_, err := b.x.WaitRequests(t.Context(), 1, sandbox.Match{Text: text})
	require.NoError(t, err)
	requests := b.requests(text)
	require.Len(t, requests, 1)
	return requests[0].ArrivedAt
}

// insert writes a row as another application does, and returns its id and the instant it is due.
func (b *bundle) insert(t *testing.T, sql string, args ...any) (id int64, due time.Time) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), sql+` RETURNING id, post_at`, args...).Scan(&id, &due))
	return id, due
}

func TestInsertDueInTwoSeconds(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w := startProcess(t, "worker", b.settings, slowPoll)
	w.awaitText(t, "starting")
	id, due := b.insert(t, `INSERT INTO tweetqueue.tweets (account, text, post_at) VALUES ('ACME', 'soon', now() + interval '2 seconds')`)
	w.awaitEvent(t, id, "done")
	late := b.arrival(t, "soon").Sub(due)
	t.Logf("%s after its due time", late)
	require.GreaterOrEqual(t, late, time.Duration(0))
	require.Less(t, late, patience/2) // a poll would take longer, mostly
	var status, tweetID string
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT status, tweet_id FROM tweetqueue.tweets WHERE id = $1`, id).Scan(&status, &tweetID))
	require.Equal(t, "posted", status)
	require.Equal(t, b.x.Tweets()[0].ID, tweetID)
}

// slowPoll is of a worker with which nothing goes out soon that it does not know the instant of, or is not notified of.
const slowPoll = "--poll-interval=1m"

// TestInsertDueNow: a row that is due when it is inserted does not wait for a poll.
func TestInsertDueNow(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w := startProcess(t, "worker", b.settings, slowPoll)
	for i := range 5 {
		id, _ := b.insert(t, `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', $1)`, fmt.Sprintf("number %d", i))
		w.awaitEvent(t, id, "done")
	}
}

func TestMoveAndCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	earlier := storetest.Tweet(t, b.db, "earlier", time.Hour)
	later := storetest.Tweet(t, b.db, "later", 3*time.Second)
	cancelled := storetest.Tweet(t, b.db, "cancelled", 3*time.Second)
	restored := storetest.Tweet(t, b.db, "restored", 3*time.Second)
	w := start(t, b.settings)
	w.awaitText(t, "starting")
	move := func(id int64, in string) (due time.Time) {
		require.NoError(t, b.db.QueryRow(t.Context(), `UPDATE tweetqueue.tweets SET post_at = now() + $2::interval WHERE id = $1 RETURNING post_at`,
			id, in).Scan(&due))
		return due
	}
	setStatus := func(id int64, status string) {
		b.exec(t, `UPDATE tweetqueue.tweets SET status = $2 WHERE id = $1`, id, status)
	}
	setStatus(cancelled, "cancelled")
	setStatus(restored, "cancelled")
	movedLater := move(later, "4 seconds")
	setStatus(restored, "scheduled")
	movedEarlier := move(earlier, "0")

	for text, due := range map[string]time.Time{"earlier": movedEarlier, "later": movedLater} {
		late := b.arrival(t, text).Sub(due)
		require.GreaterOrEqual(t, late, time.Duration(0), text)
		require.Less(t, late, patience/2, text) // an hour would be the job's old time
	}
	for _, id := range []int64{earlier, later, restored} {
		w.awaitEvent(t, id, "done")
	}
	w.end(t)
	require.Equal(t, store.Cancelled, b.entry(t, cancelled).Status)
	require.Empty(t, b.requests("cancelled"))
	require.Len(t, b.x.Requests(), 3)
}

// TestMoveAndCancelWhenFetched: an application's edit that is open when the row becomes due, and so
// when its job is fetched, counts as soon as it is committed.
func TestMoveAndCancelWhenFetched(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	moved := storetest.Tweet(t, b.db, "moved", 500*time.Millisecond)
	cancelled := storetest.Tweet(t, b.db, "cancelled", 500*time.Millisecond)
	changed := storetest.Tweet(t, b.db, "to be changed", 500*time.Millisecond)
	sentinel := storetest.Tweet(t, b.db, "sentinel", 1200*time.Millisecond)
	edit := storetest.Tx(t, b.db)
	var due time.Time
	require.NoError(t, edit.QueryRow(t.Context(), `UPDATE tweetqueue.tweets SET post_at = now() + interval '3 seconds' WHERE id = $1 RETURNING post_at`,
		moved).Scan(&due))
	_, err := edit.Exec(t.Context(), `UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id = $1`, cancelled)
	require.NoError(t, err)
	_, err = edit.Exec(t.Context(), `UPDATE tweetqueue.tweets SET text = 'changed' WHERE id = $1`, changed)
	require.NoError(t, err)

	w := start(t, b.settings)
	w.awaitEvent(t, sentinel, "done") // they were due before it
	require.Len(t, b.x.Requests(), 1)
	require.NoError(t, edit.Commit(t.Context()))

	w.awaitEvent(t, changed, "done")
	require.Len(t, b.requests("changed"), 1)
	w.awaitEvent(t, moved, "done")
	require.False(t, b.arrival(t, "moved").Before(due))
	w.end(t)
	require.Equal(t, store.Cancelled, b.entry(t, cancelled).Status)
	require.Len(t, b.x.Requests(), 3)
}

// TestOpenTransaction keeps another application's transaction open, which has edited one due row, for longer than
// a worker waits for a lock; other tweets become due meanwhile, evenly, and go out before it ends.
func TestOpenTransaction(t *testing.T) {
	t.Parallel()
	const tweets, while = 70, 7 * time.Second
	b := newBundleOn(t, sandbox.Config{Limits: []sandbox.Limit{}})
	w := startProcess(t, "worker", b.settings)
	b.openTransaction(t, w, 1, tweets, while)
	require.NotContains(t, w.String(), "lock timeout")
}

// openTransaction edits a due row in a transaction, and ends it when the other tweets have gone. It returns by how much
// they were late, sorted.
func (b *bundle) openTransaction(t *testing.T, w *process, round, tweets int, while time.Duration) []time.Duration {
	t.Helper()
	edited := storetest.Tweet(t, b.db, fmt.Sprintf("to be edited %d", round), 3*time.Second)
	edit := storetest.Tx(t, b.db)
	text := fmt.Sprintf("edited %d", round)
	_, err := edit.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 0`) // as elsewhere
	require.NoError(t, err)
	_, err = edit.Exec(t.Context(), `UPDATE tweetqueue.tweets SET text = $2 WHERE id = $1`, edited, text)
	require.NoError(t, err)

	late := b.lateness(t, fmt.Sprintf("round %d, tweet ", round), tweets, while)
	require.Empty(t, b.requests(text))
	require.NoError(t, edit.Commit(t.Context()))
	w.awaitEvent(t, edited, "done")
	require.Len(t, b.requests(text), 1)

	require.GreaterOrEqual(t, late[0], time.Duration(0))
	t.Logf("round %d, %d tweets in %s: late by %s (median), %s (99%%), %s (longest)",
		round, tweets, while, late[tweets/2], late[tweets*99/100], late[tweets-1])
	return late
}

// lateness inserts tweets that become due evenly over a while, and returns by how much each arrived
// after its due time, sorted.
func (b *bundle) lateness(t *testing.T, text string, tweets int, while time.Duration) []time.Duration {
	t.Helper()
	rows, err := b.db.Query(t.Context(), `INSERT INTO tweetqueue.tweets (account, text, post_at)
SELECT 'acme', $1 || i, now() + interval '600 milliseconds' + $3::interval * (i::float / $2)
FROM generate_series(1, $2::integer) i RETURNING text, post_at`, text, tweets, while)
	require.NoError(t, err)
	due := map[string]time.Time{}
	for rows.Next() {
		var row string
		var at time.Time
		require.NoError(t, rows.Scan(&row, &at))
		due[row] = at
	}
	require.NoError(t, rows.Err())

	requests, err := b.x.WaitRequests(t.Context(), tweets, sandbox.Match{Text: text})
	require.NoError(t, err)
	late := make([]time.Duration, tweets)
	for i, request := range requests {
		var body struct{ Text string }
		require.NoError(t, json.Unmarshal([]byte(request.Body), &body))
		late[i] = request.ArrivedAt.Sub(due[body.Text])
	}
	slices.Sort(late)
	return late
}
