package jobs

import (
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// forADay is a retweet that is undone after a day.
func (w *world) forADay(tweetID string) int64 {
	w.Helper()
	id, _, err := store.RetweetInsert(w.Context(), w.db, "acme", tweetID, pgtype.Interval{Days: 1, Valid: true}, nil, 0)
	require.NoError(w, err)
	return id
}

// undo is a row that undoes acme's retweet of a tweet.
func (w *world) undo(tweetID string) int64 {
	w.Helper()
	id, _, err := store.UndoInsert(w.Context(), w.db, "acme", tweetID, nil, 0)
	require.NoError(w, err)
	return id
}

// script makes X answer requests so, one after another.
func (w *world) script(match sandbox.Match, faults ...sandbox.Fault) {
	w.Helper()
	_, err := w.x.Script(match, faults...)
	require.NoError(w, err)
}

// again waits until a row has had n requests and waits for the next, then makes that due at once, after so many
// retries in a row.
func (w *world) again(table string, id int64, n, retries int) {
	w.Helper()
	w.eventually("it waits for another try", func() bool {
		return len(w.requests(id)) == n && w.status(id) == "scheduled:retry"
	})
	w.exec(`UPDATE tweetqueue.`+table+` SET retries = $2, next_attempt_at = NULL WHERE id = $1`, id, retries)
}

// requireUndoings requires that so many undoings are scheduled.
func (w *world) requireUndoings(n int) {
	w.Helper()
	require.Equal(w, n, one[int](w, `SELECT count(*) FROM tweetqueue.deletions WHERE retweet`))
}

// A retweet that may stand is made sure of, however late that is, so that it can be undone.
func TestRetweetInDoubtIsNotMissed(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: retweets(), Kind: sandbox.KindDropAfter, Times: 1})
	id := w.forADay(tweetID)
	r := w.start(opts{})
	r.wait(EventWaiting, id)
	w.exec(`UPDATE tweetqueue.retweets SET retweet_at = retweet_at - interval '2 days', created_at = created_at - interval '2 days' WHERE id = $1`, id)
	r.wait(EventDone, id)
	w.requireRetweeted(id, tweetID)
	w.requireUndoings(1)
}

// What X refuses for long after a doubt is looked for on the timeline: a retweet that stands is to be undone.
func TestRetweetNotFoundAfterADoubt(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]sandbox.Kind{"Made": sandbox.KindStatusAfter, "NotMade": sandbox.KindStatusBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, tweetID := another(t, sandbox.Config{})
			notFound := sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 404}
			w.script(retweets(), sandbox.Fault{Kind: lost}, notFound, notFound)
			id := w.forADay(tweetID)
			r := w.start(opts{config: lookingUp()})
			w.again("retweets", id, 1, patience) // the outage says nothing of what X answers after it,
			w.again("retweets", id, 2, patience) // and so its first 404 is not the last
			r.wait(EventUnconfirmed, id)
			if lost == sandbox.KindStatusBefore {
				require.Contains(t, r.wait(EventFailed, id).Reason, "X shows no retweet of it by this account")
				w.requireUndoings(0)
				return
			}
			r.wait(EventDone, id)
			w.requireRetweeted(id, tweetID)
			w.requireUndoings(1)
		})
	}
}

// After an outage an undoing has the whole patience for a 404 that passes.
func TestUndoNotFoundAfterAnOutage(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	r := w.start(opts{})
	r.wait(EventDone, w.forADay(tweetID))
	w.script(undoes(), sandbox.Fault{Kind: sandbox.KindStatusBefore}, sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 404})
	id := w.undo(tweetID)
	w.again("deletions", id, 1, patience)
	w.again("deletions", id, 2, 1)
	r.wait(EventDone, id)
	require.Empty(t, w.standing())
}

// The backoff of an outage grows, whatever its answers are.
func TestRepeatsBackOff(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: retweets(), Kind: sandbox.KindStatusBefore})
	id := w.forADay(tweetID)
	w.start(opts{})
	w.again("retweets", id, 1, 4)
	w.eventually("its second try", func() bool { return len(w.requests(id)) == 2 && w.status(id) == "scheduled:retry" })
	require.Equal(t, 5, one[int](w, `SELECT retries FROM tweetqueue.retweets`))
}

// Whether a retweet that X did not answer for, and then refused to undo, still stands is a person's to say.
func TestUndoRefusedAfterADoubt(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	r := w.start(opts{config: lookingUp()})
	r.wait(EventDone, w.forADay(tweetID))
	w.script(undoes(), sandbox.Fault{Kind: sandbox.KindStatusAfter}, sandbox.Fault{Kind: sandbox.KindForbidden})
	id := w.undo(tweetID)
	event := r.wait(EventUnconfirmed, id)
	require.Nil(t, event.Until, "nothing is looked up")
	require.Contains(t, event.Reason, "it is not known whether the retweet is undone: ")
	require.Contains(t, event.Reason, "if the retweet is gone, or 'enqueue resolve ")
	require.Nil(t, w.entry(id).NextAttemptAt)
	_, err := storetest.ResolveByHand(t, w.db, id, false, nil, nil)
	require.NoError(t, err)
	r.wait(EventDone, id)
	_, lookUps := w.sent(id)
	require.Empty(t, lookUps)
}

// A retweet of before is not the row's to undo; one that may be the row's own is.
func TestRetweetThatStoodIsNotUndone(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.script(retweets(), sandbox.Fault{Kind: sandbox.KindDropAfter})
	r := w.start(opts{})
	r.wait(EventDone, w.forADay(tweetID))
	w.requireUndoings(1)
	second := w.forADay(tweetID)
	r.wait(EventDone, second)
	w.requireRetweeted(second, tweetID, "the account had retweeted it already, so this row does not undo it")
	w.requireUndoings(1)
}

// An answer that came when the row was cancelled is remembered once it is scheduled again.
func TestRetweetMadeWhileCancelled(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	hold := w.fault(sandbox.Fault{Match: retweets(), Kind: sandbox.KindHoldAfter, Times: 1})
	id := w.forADay(tweetID)
	r := w.start(opts{})
	w.held(hold, 1)
	// As if another worker had taken it over.
	w.exec(`UPDATE tweetqueue.retweets SET status = 'scheduled', waiting_for = 'retry', next_attempt_at = tweetqueue.clock() + interval '1 hour' WHERE id = $1`, id)
	_, err := store.Cancel(t.Context(), w.db, id)
	require.NoError(t, err)
	hold.Lift()
	w.eventually("the answer", func() bool { return w.requests(id)[0].AnsweredAt != nil })
	require.Equal(t, "cancelled", w.status(id))
	w.exec(`UPDATE tweetqueue.retweets SET status = 'scheduled' WHERE id = $1`, id)
	r.wait(EventDone, id)
	w.requireRetweeted(id, tweetID)
	w.requireUndoings(1)
}
