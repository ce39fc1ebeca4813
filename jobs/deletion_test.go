package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// old is a tweet of a user from an hour ago.
func (w *world) old(username string) string {
	w.Helper()
	tweet, err := w.x.AddTweet(sandbox.Tweet{Username: username, Text: "an old one", CreatedAt: time.Now().Add(-time.Hour)})
	require.NoError(w, err)
	return tweet.ID
}

// deletes matches the requests that delete tweets, looks those that look at one.
func deletes() sandbox.Match { return sandbox.Match{Route: sandbox.RouteDeleteTweet} }
func looks() sandbox.Match   { return sandbox.Match{Route: sandbox.RouteGetTweet} }

// A deletion whose answer was lost is repeated, whether or not X has made it; what is then gone already is
// looked at once.
func TestDeletionIsRepeated(t *testing.T) {
	t.Parallel()
	for _, missing := range []sandbox.DeleteMissing{sandbox.DeleteMissing404, sandbox.DeleteMissingFalse, sandbox.DeleteMissingTrue} {
		for name, fault := range map[string]sandbox.Fault{
			"DropBefore":   {Kind: sandbox.KindDropBefore, Times: 2}, // Go's transport repeats it once by itself
			"DropAfter":    {Kind: sandbox.KindDropBody, Times: 1},
			"Status503":    {Kind: sandbox.KindStatusBefore, Times: 1},
			"Status503Yet": {Kind: sandbox.KindStatusAfter, Times: 1},
		} {
			t.Run(string(missing)+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sandbox.Config{DeleteMissing: missing})
				tweetID := w.old("acme")
				fault.Match = deletes()
				w.fault(fault)
				id := storetest.Deletion(t, w.db, tweetID, 0)
				r := w.start(opts{config: lookingUp()})
				require.Equal(t, store.ForRetry, r.wait(EventWaiting, id).WaitingFor)
				r.wait(EventDone, id)
				require.Equal(t, "deleted", w.status(id))
				require.False(t, w.x.Tweets()[0].DeletedAt.IsZero())
				_, lookUps := w.sent(id)
				gone := missing != sandbox.DeleteMissingTrue && (name == "DropAfter" || name == "Status503Yet")
				require.Len(t, lookUps, map[bool]int{true: 1, false: 0}[gone])
				require.Empty(t, r.all(EventFailed))
			})
		}
	}
}

// "Already gone" in all its shapes costs one look-up.
func TestDeletionOfWhatIsGone(t *testing.T) {
	t.Parallel()
	for _, missing := range []sandbox.DeleteMissing{sandbox.DeleteMissing404, sandbox.DeleteMissingFalse, "403"} {
		for _, shown := range []sandbox.MissingTweet{sandbox.MissingTweet200, sandbox.MissingTweet404} {
			t.Run(string(missing+"Shown")+string(shown), func(t *testing.T) {
				t.Parallel()
				config := sandbox.Config{DeleteMissing: missing, MissingTweet: shown}
				if missing == "403" { // X's words for another's tweet, which it has of one that is gone, too
					config.DeleteMissing = sandbox.DeleteMissing404
				}
				w := newWorld(t, config)
				tweetID := "1445880548472328192" // never was
				if missing == "403" {
					w.account("other")
					tweetID = w.old("other")
					// Deleted between the answer and the look-up.
					r := w.start(opts{config: lookingUp()})
					hold := w.fault(sandbox.Fault{Match: looks(), Kind: sandbox.KindHoldBefore, Times: 1})
					id := storetest.Deletion(t, w.db, tweetID, 0)
					w.held(hold, 1)
					theirs := w.enqueueDeletion("other", tweetID)
					r.wait(EventDone, theirs)
					hold.Lift()
					w.requireGone(r, id)
					return
				}
				r := w.start(opts{config: lookingUp()})
				w.requireGone(r, storetest.Deletion(t, w.db, tweetID, 0))
			})
		}
	}
}

// requireGone waits for a deletion of a tweet that is gone, and requires that it took one look-up.
func (w *world) requireGone(r *running, id int64) {
	w.Helper()
	require.Contains(w, r.wait(EventUnconfirmed, id).Reason, "it is not known whether the tweet is gone")
	r.wait(EventDone, id)
	entry := w.entry(id)
	require.Equal(w, store.Deleted, entry.Status)
	require.NotNil(w, entry.DoneAt)
	require.Nil(w, entry.Error)
	require.Equal(w, []string{"X did not have the tweet any more, if it ever had"}, entry.Warnings)
	sent, lookUps := w.sent(id)
	require.Len(w, sent, 1)
	require.Len(w, lookUps, 1)
	require.Equal(w, "done", *lookUps[0].Outcome)
	require.Equal(w, "0", lookUps[0].CostUSD.String())
	require.Empty(w, r.all(EventFailed))
}

func (w *world) enqueueDeletion(account, tweetID string) int64 {
	w.Helper()
	id, _, err := store.DeletionInsert(w.Context(), w.db, account, tweetID, nil, 0)
	require.NoError(w, err)
	return id
}

// Another's tweet fails, whichever way X says so.
func TestDeletionOfAnothersTweet(t *testing.T) {
	t.Parallel()
	for _, missing := range []sandbox.DeleteMissing{sandbox.DeleteMissing404, sandbox.DeleteMissingFalse} {
		t.Run(string(missing), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{DeleteMissing: missing})
			w.account("other")
			r := w.start(opts{config: lookingUp()})
			id := storetest.Deletion(t, w.db, w.old("other"), 0)
			require.Contains(t, r.wait(EventFailed, id).Reason, "the tweet is another user's")
			_, lookUps := w.sent(id)
			require.Len(t, lookUps, 1)
			require.Equal(t, "0.005", lookUps[0].CostUSD.String())
		})
	}
}

// X says that it is gone, and shows it: it is deleted again, and fails only when no lag of reads can be
// the reason any more.
func TestDeletionOfWhatIsStillThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: deletes(), Kind: sandbox.KindStatusBefore, Status: 404})
	id := storetest.Deletion(t, w.db, w.old("acme"), 0)
	w.exec(`UPDATE tweetqueue.deletions SET retries = $1`, patience-1)
	// It was answered before: else its first answer begins a new count.
	w.exec(`INSERT INTO tweetqueue.workers (name, knows) VALUES ('before', 1000)`)
	w.exec(`WITH r AS (INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, answered_at, outcome, status_code)
		SELECT 'delete_tweet', $1, a.id, w.id, 1, now(), now(), now(), 'unconfirmed', 404 FROM tweetqueue.accounts a, tweetqueue.workers w RETURNING id)
		UPDATE tweetqueue.deletions SET request_id = r.id FROM r`, id)
	r := w.start(opts{config: lookingUp()})
	event := r.wait(EventWaiting, id)
	require.Contains(t, event.Reason, "X still shows the tweet, so it is deleted again")
	require.Equal(t, store.ForRetry, event.WaitingFor)
	require.Equal(t, patience, one[int](w, `SELECT retries FROM tweetqueue.deletions`), "what it was refused counts on")

	w.exec(`UPDATE tweetqueue.requests SET granted_at = granted_at - interval '1 minute', send_by = send_by - interval '1 minute'`)
	w.exec(`UPDATE tweetqueue.deletions SET next_attempt_at = tweetqueue.clock()`)
	require.Contains(t, r.wait(EventFailed, id).Reason, "X still shows the tweet, and answered to its deletion")
	require.Equal(t, "failed", w.status(id))
}

// Reads show for a while what is deleted already.
func TestDeletionUnderReadLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	tweetID := w.old("acme")
	w.fault(sandbox.Fault{Match: deletes(), Kind: sandbox.KindStatusAfter, Times: 1})
	id := storetest.Deletion(t, w.db, tweetID, 0)
	require.NoError(t, w.x.SetReadLag(sandbox.ReadLag{Min: time.Hour - time.Minute}))
	r := w.start(opts{config: lookingUp()})
	r.waitFor(func(e Event) bool { return e.RowID == id && e.Type == EventUnconfirmed })
	r.waitFor(func(e Event) bool {
		return e.RowID == id && e.Type == EventWaiting && e.RequestID != 0 && e.Reason == "X still shows the tweet, so it is deleted again"
	})
	require.NoError(t, w.x.SetReadLag(sandbox.ReadLag{}))
	r.wait(EventDone, id)
	require.Equal(t, "deleted", w.status(id))
	require.Empty(t, r.all(EventFailed))
}

// A tweet that is younger than reads lag is not taken for gone because they do not show it.
func TestDeletionOfAYoungTweet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{ReadLag: sandbox.ReadLag{Min: time.Hour}})
	tweet, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "a new one"})
	require.NoError(t, err)
	w.fault(sandbox.Fault{Match: deletes(), Kind: sandbox.KindStatusBefore, Status: 404, Times: 1})
	config := lookingUp()
	config.ReadLag = time.Minute
	r := w.start(opts{config: config})
	id := storetest.Deletion(t, w.db, tweet.ID, 0)
	event := r.lookedUp(id, "X does not show it, or not yet")
	require.WithinDuration(t, tweet.CreatedAt.Add(time.Minute), *event.Until, 10*time.Second)
	require.Equal(t, "unconfirmed", w.status(id))

	require.NoError(t, w.x.SetReadLag(sandbox.ReadLag{}))
	w.exec(`UPDATE tweetqueue.deletions SET next_attempt_at = tweetqueue.clock()`)
	r.wait(EventDone, id)
	require.False(t, w.x.Tweets()[0].DeletedAt.IsZero(), "it is deleted again, once it is seen")
}

// An account that may not look at its own tweet: a person decides. The account's tweets do not wait for that.
func TestDeletionThatMayNotBeLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: looks(), Kind: sandbox.KindForbidden})
	r := w.start(opts{config: lookingUp()})
	id := storetest.Deletion(t, w.db, "1445880548472328192", 0)
	r.wait(EventDone, w.tweet("meanwhile"))
	reason := r.person(id)
	require.Contains(t, reason, "--deleted' or ")
	require.Contains(t, reason, "the account may not read its own tweets")
	require.Empty(t, r.all(EventFailed))
	_, err := storetest.ResolveByHand(t, w.db, id, true, nil, nil)
	require.NoError(t, err)
	require.Equal(t, "deleted", w.status(id))
}

// A 404 that says nothing of the tweet is no proof that it is gone: X has answered so for hours to everybody.
func TestDeletionInAnOutageOf404(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	tweetID := w.old("acme")
	w.fault(sandbox.Fault{Match: deletes(), Kind: sandbox.KindStatusBefore, Status: 404, Times: 1})
	outage := w.fault(sandbox.Fault{Match: looks(), Kind: sandbox.KindStatusBefore, Status: 404, Times: 1})
	id := storetest.Deletion(t, w.db, tweetID, 0)
	r := w.start(opts{config: lookingUp()})
	r.waitFor(func(e Event) bool {
		return e.Type == EventUnconfirmed && strings.Contains(e.Reason, "the look-up failed")
	})
	require.True(t, w.x.Tweets()[0].DeletedAt.IsZero())
	require.Equal(t, 1, outage.Hits())
	r.wait(EventDone, id)
	require.False(t, w.x.Tweets()[0].DeletedAt.IsZero())
}
