package jobs

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

func TestNewReportsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := New(Config{})
	for _, field := range []string{"Keyring", "Logger", "Name", "Pool"} {
		require.ErrorContains(t, err, field+" is ")
	}
	_, err = New(Config{PollInterval: -1, StopTimeout: -1, Workers: -1})
	for _, field := range []string{"PollInterval", "StopTimeout", "Workers"} {
		require.ErrorContains(t, err, field+" is negative")
	}
}

// TestNewNeedsConnections: one keeps the lease, and the claims, the settlements and River's services share the others.
func TestNewNeedsConnections(t *testing.T) {
	t.Parallel()
	pool := storetest.OpenAs(t, storetest.URL(t), workerApp, 3)
	_, err := New(Config{Pool: pool})
	require.ErrorContains(t, err, "Pool may have 3 connections, and a worker needs 4")
}

func TestPostsADueTweetOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.tweet("Doors open at nine")
	r := w.start(opts{})
	due, done := r.wait(EventDue, id), r.wait(EventDone, id)

	tweets := w.x.Tweets()
	require.Len(t, tweets, 1)
	require.Equal(t, "Doors open at nine", tweets[0].Text)
	require.Equal(t, "acme", tweets[0].Username)

	entry := w.entry(id)
	require.Equal(t, store.Posted, entry.Status)
	require.Equal(t, tweets[0].ID, *entry.TweetID)
	require.Nil(t, entry.Error)
	require.Nil(t, entry.WaitingFor)
	require.Nil(t, entry.NextAttemptAt)

	requests := w.requests(id)
	require.Len(t, requests, 1)
	require.Equal(t, w.x.Requests()[0].Body, *requests[0].Body, "the request records the exact bytes")
	require.Equal(t, 201, *requests[0].StatusCode)
	require.Equal(t, "done", *requests[0].Outcome)
	require.Contains(t, *requests[0].Answer, tweets[0].ID)
	require.Equal(t, w.x.Requests()[0].RequestID, *requests[0].XTransactionID)
	require.NotNil(t, requests[0].AnsweredAt)

	require.Equal(t, Event{
		Type: EventDue, At: due.At, Kind: store.PostTweet, RowID: id, RequestID: requests[0].ID, JobID: due.JobID,
		Account: "acme", DueAt: due.DueAt, Lateness: due.Lateness,
	}, due)
	require.Equal(t, Event{
		Type: EventDone, At: done.At, Kind: store.PostTweet, RowID: id, RequestID: requests[0].ID, JobID: due.JobID,
		Account: "acme", TweetID: tweets[0].ID, DueAt: entry.DueAt, Lateness: entry.DoneAt.Sub(entry.DueAt),
	}, done)
	require.Equal(t, 1, w.taken("posts"))
	require.Equal(t, 1, w.taken("writes"))
	require.Zero(t, w.taken("deletions"))
}

// A tweet goes out at its instant, not before, whether the worker knew of it when it started or not.
func TestPostsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	before := storetest.Tweet(t, w.db, "enqueued before", 700*time.Millisecond)
	after := storetest.Tweet(t, w.db, "then", 900*time.Millisecond)
	// It knows the instants: it does not depend on how often it looks.
	first := w.start(opts{config: Config{PollInterval: time.Hour}})
	first.wait(EventDone, before, after)
	first.stop()
	later := storetest.Tweet(t, w.db, "enqueued later", 300*time.Millisecond)
	second := w.start(opts{})
	for id, r := range map[int64]*running{before: first, after: first, later: second} {
		done := r.wait(EventDone, id)
		due := r.wait(EventDue, id)
		require.GreaterOrEqual(t, due.Lateness, time.Duration(0))
		require.Equal(t, done.DueAt, due.DueAt)
		require.Less(t, due.Lateness, 5*time.Second) // seconds are for a loaded machine
	}
	// What is due by the time the worker starts is sent at once, in any order.
	require.ElementsMatch(t, []string{"enqueued before", "then", "enqueued later"}, w.texts())
	for _, id := range []int64{before, after, later} {
		entry := w.entry(id)
		i := slices.IndexFunc(w.x.Tweets(), func(tweet sandbox.Tweet) bool { return tweet.ID == *entry.TweetID })
		request := w.x.Requests()[w.x.Tweets()[i].Request-1]
		require.False(t, request.ArrivedAt.Before(entry.DueAt), "it is not early")
	}
}

func TestDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	old, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "an old one"})
	require.NoError(t, err)
	id := storetest.Deletion(t, w.db, old.ID, 0)
	r := w.start(opts{})
	r.wait(EventDone, id)
	require.Equal(t, "deleted", w.status(id))
	require.False(t, w.x.Tweets()[0].DeletedAt.IsZero())
	requests := w.requests(id)
	require.Len(t, requests, 1)
	require.Nil(t, requests[0].Body)
	require.Equal(t, 1, w.taken("deletions"))
	require.Zero(t, w.taken("posts"))
}

func TestMissesADeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	now, err := store.Clock(t.Context(), w.db)
	require.NoError(t, err)
	w.exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand'`)
	deadline := now.Add(time.Minute).Truncate(time.Microsecond)
	id := w.enqueue("acme", store.Tweet{Text: "Too late", PostBefore: &deadline}, 0)
	r := w.start(opts{})
	wait := r.wait(EventWaiting, id)
	require.Equal(t, store.ForAccount, wait.WaitingFor)
	require.WithinDuration(t, deadline, one[time.Time](w, `SELECT wake_at FROM tweetqueue.tweets`), 0, "it is looked at again when its deadline passes")
	require.Nil(t, w.entry(id).NextAttemptAt, "when it can go nobody knows")
	w.exec(`UPDATE tweetqueue.tweets SET post_before = c.soon, next_attempt_at = c.soon
FROM (SELECT tweetqueue.clock() + interval '300 milliseconds' AS soon) c`)
	r.wait(EventMissed, id)
	require.Equal(t, "missed", w.status(id))
	require.Contains(t, *w.entry(id).Error, "it waited for account")
	require.Empty(t, w.x.Requests())
}

func TestFailsWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.enqueue("acme", store.Tweet{Text: "Hi", Extra: []byte(`{"text":"other"}`)}, 0)
	r := w.start(opts{})
	r.wait(EventFailed, id)
	require.Contains(t, *w.entry(id).Error, `extra has "text"`)
	require.Empty(t, w.x.Requests())
	require.Zero(t, w.taken("posts"))
}

func TestDeletesAfterALifetime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	lifetime := pgtype.Interval{Microseconds: time.Second.Microseconds(), Valid: true}
	id := w.enqueue("acme", store.Tweet{Text: "For a second", DeleteAfter: lifetime}, 0)
	r := w.start(opts{})
	posted := r.wait(EventDone, id)
	gone := r.waitFor(func(e Event) bool { return e.Type == EventDone && e.Kind == store.DeleteTweet })
	entry := w.entry(gone.RowID)
	require.Equal(t, posted.TweetID, *entry.TweetID)
	require.Equal(t, w.entry(id).DoneAt.Add(time.Second), entry.DueAt)
	require.False(t, w.x.Tweets()[0].DeletedAt.IsZero())
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.deletions`))
}

// thread enqueues three tweets of a thread, due after these waits.
func (w *world) thread(in ...time.Duration) []int64 {
	w.Helper()
	var ids []int64
	for i, text := range []string{"one", "two", "three"} {
		tweet := store.Tweet{Text: text}
		if i > 0 {
			tweet.PreviousID = &ids[i-1]
		}
		ids = append(ids, w.enqueue("acme", tweet, in[i]))
	}
	return ids
}

// requireThread checks that the thread is on X, in order, each tweet a reply to the one before.
func (w *world) requireThread(ids []int64) {
	w.Helper()
	require.Equal(w, []string{"one", "two", "three"}, w.texts())
	tweets := w.x.Tweets()
	for i, id := range ids {
		require.Equal(w, tweets[i].ID, *w.entry(id).TweetID)
		if i > 0 {
			require.Equal(w, tweets[i-1].ID, tweets[i].InReplyTo)
		}
	}
}

func TestPostsAThreadInOrder(t *testing.T) {
	t.Parallel()
	for name, in := range map[string][]time.Duration{
		"AtOnce":       {0, 0, 0},
		"FirstIsLater": {600 * time.Millisecond, 0, 0},
		"Backwards":    {600 * time.Millisecond, 300 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			ids := w.thread(in...)
			w.start(opts{}).wait(EventDone, ids...)
			w.requireThread(ids)
		})
	}
}

// The rest of a thread waits for the tweet that failed, visibly, for as long as it takes.
func TestThreadWaitsForAFailedTweet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Match: sandbox.Match{Text: "one"}, Kind: sandbox.KindNotPermitted})
	ids := w.thread(0, 0, 0)
	r := w.start(opts{})
	r.wait(EventFailed, ids[0])
	w.eventually("the second says why it waits", func() bool {
		e := w.entry(ids[1])
		return w.status(ids[1]) == "scheduled:thread" && e.Error != nil && strings.HasSuffix(*e.Error, " is failed")
	})
	r.waitFor(func(e Event) bool { return e.RowID == ids[2] && e.WaitingFor == store.ForThread })
	require.Len(t, w.x.Requests(), 1)

	fault.Lift()
	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, ids[0])
	r.wait(EventDone, ids...)
	w.requireThread(ids)
}

// Each kind of answer that ends a row without a tweet, from X to the row.
func TestRefusalsFailTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	r := w.start(opts{})
	for _, kind := range []sandbox.Kind{
		sandbox.KindDuplicate, sandbox.KindNotPermitted, sandbox.KindReplyTargetGone, sandbox.KindReplyNotAllowed,
		sandbox.KindNotAuthorizedForResource, sandbox.KindQuoteNotAllowed, sandbox.KindTooManyCashtags,
		sandbox.KindFeatureNotPermitted, sandbox.KindForbidden,
	} {
		w.fault(sandbox.Fault{Match: sandbox.Match{Text: "says " + string(kind)}, Kind: kind})
		id := w.tweet("X says " + string(kind))
		event := r.wait(EventFailed, id)
		require.Equal(t, "failed", w.status(id))
		require.Equal(t, *w.entry(id).Error, event.Reason)
		require.Contains(t, event.Reason, "create tweet: ")
		requests := w.requests(id)
		require.Len(t, requests, 1)
		require.Equal(t, 403, *requests[0].StatusCode)
		require.Equal(t, "fail", *requests[0].Outcome)
		require.NotEmpty(t, *requests[0].Answer)
		require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.accounts`))
	}
}

// What may have reached X is never sent again by itself: not after a restart of the worker either.
func TestDoubtsAreNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{
		sandbox.KindDropBefore, sandbox.KindDropAfter, sandbox.KindHangBefore, sandbox.KindHangAfter,
		sandbox.KindStatusBefore, sandbox.KindStatusAfter,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.fault(sandbox.Fault{Kind: kind})
			id := w.tweet("Is it there?")
			impatient := opts{config: Config{LookUpAfter: []time.Duration{time.Hour}, X: twitter.Config{Timeout: 500 * time.Millisecond}}}
			r := w.start(impatient)
			event := r.wait(EventUnconfirmed, id)
			require.Contains(t, event.Reason, "it may be on X")
			require.Equal(t, "unconfirmed", w.status(id))
			require.Equal(t, 1, w.taken("posts"), "its place stays taken")
			r.stop()

			again := w.start(impatient)
			other := w.tweet("This one comes after it")
			require.Equal(t, store.ForAccount, again.wait(EventWaiting, other).WaitingFor)
			require.Equal(t, "unconfirmed", w.status(id))
			require.Len(t, w.requests(id), 1)
			seen := 0
			for _, request := range w.x.Requests() {
				if request.Body == `{"text":"Is it there?"}` {
					seen++
				}
			}
			require.Equal(t, 1, seen)
		})
	}
}

// The keys that a worker is given are kept if the database has none, and replace none: nobody has asked X
// about them.
func TestRunFillsTheAppsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	keys := &store.AppCredentials{APIKey: store.Secret(w.app.Key), APISecret: store.Secret(w.app.Secret)}
	kept := func() store.AppCredentials {
		app, err := store.OpenApp(w.ring, store.DefaultApp, one[[]byte](w, `SELECT credentials FROM tweetqueue.apps`))
		require.NoError(t, err)
		return app
	}
	for _, wrong := range []store.AppCredentials{{APIKey: "wrong", APISecret: "wrong"}, {APIKey: keys.APIKey, APISecret: "wrong"}} {
		err := w.newWorker(opts{config: Config{App: &wrong}}).Run(t.Context())
		require.ErrorIs(t, err, store.ErrOtherKeys)
		require.NotContains(t, err.Error(), w.app.Key)
		require.Equal(t, *keys, kept())
	}
	w.exec(`DELETE FROM tweetqueue.quotas; DELETE FROM tweetqueue.accounts; DELETE FROM tweetqueue.apps`)
	elsewhere := w.newWorker(opts{config: Config{App: keys, X: twitter.Config{BaseURL: "http://127.0.0.1:9"}}})
	w.exec(`UPDATE tweetqueue.installation SET x_base_url = 'https://api.x.com'`)
	w.exec(`INSERT INTO tweetqueue.workers (name, knows) VALUES ('another', 1000)`)
	require.ErrorIs(t, elsewhere.Run(t.Context()), store.ErrOtherX)
	require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.apps`), "a worker that is refused changes nothing")
	w.exec(`DELETE FROM tweetqueue.workers WHERE name = 'another'`)

	r := w.start(opts{config: Config{App: keys}})
	r.waitFor(func(e Event) bool { return e.Type == EventReady })
	require.Equal(t, *keys, kept())
}

// A row that could not reach X for long has all of its tries left for a refusal that mostly is final.
func TestPatienceAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 404, Times: 2})
	id := w.tweet("after an outage")
	w.exec(`UPDATE tweetqueue.tweets SET retries = $1`, patience+1)
	r := w.start(opts{})
	require.Equal(t, store.ForRetry, r.wait(EventWaiting, id).WaitingFor)
	require.Equal(t, 1, one[int](w, `SELECT retries FROM tweetqueue.tweets`))
	r.wait(EventDone, id)
	require.Len(t, w.requests(id), 3)
	require.Zero(t, one[int](w, `SELECT retries FROM tweetqueue.tweets`))
}

// A duplicate after a request that may have arrived is no failure: most likely it did.
func TestDuplicateAfterADoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1})
	w.fault(sandbox.Fault{Kind: sandbox.KindDuplicate})
	id := w.tweet("Did it arrive?")
	r := w.start(opts{})
	r.wait(EventUnconfirmed, id)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'failed' WHERE id = $1`, id) // a person takes it for lost
	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
	r.waitFor(func(e Event) bool { return e.Type == EventUnconfirmed && strings.Contains(e.Reason, "duplicate") })
	require.Equal(t, "unconfirmed", w.status(id))
	require.Contains(t, *w.entry(id).Error, "duplicate")
	require.Len(t, w.x.Tweets(), 1)
}

// What stops a job before its row is settled is told: it is tried again, but nobody else would say so.
func TestJobsThatFailAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	r := w.start(opts{})
	r.wait(EventDone, w.tweet("before"))
	w.exec(`ALTER TABLE tweetqueue.quotas RENAME TO gone`)
	id := w.tweet("one")
	job := storetest.Jobs(t, w.db, id)[0].ID
	event := r.waitFor(func(e Event) bool { return e.Type == EventError && e.JobID == job })
	require.ErrorContains(t, event.Err, "claim post_tweet: lock quotas: ")
	require.Equal(t, "scheduled:time", w.status(id))
	w.exec(`ALTER TABLE tweetqueue.gone RENAME TO quotas`)
	r.wait(EventDone, id)
	require.Len(t, w.x.Requests(), 2)
}

// panicking is a transport with a mistake.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("a mistake") }

// A row is not left sending by a mistake of ours, nor is it sent again: nobody knows how far it got.
func TestPanicInARequestIsADoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.tweet("Is it there?")
	worker := w.newWorker(opts{})
	worker.x.HTTPClient = &http.Client{Transport: panicking{}}
	require.NoError(t, worker.lease.start(t.Context()))
	require.NoError(t, worker.work(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}}))
	require.Equal(t, "unconfirmed", w.status(id))
	require.Contains(t, *w.entry(id).Error, "it may be on X: panic in a request: a mistake")
}

func TestRunRefusesAnotherX(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	storetest.Tweet(t, w.db, "Waits", time.Hour)
	first := w.start(opts{})
	first.wait(EventDone, w.tweet("Goes at once"))
	first.stop()
	other := w.newWorker(opts{config: Config{X: twitter.Config{BaseURL: "http://127.0.0.1:9"}}})
	require.ErrorIs(t, other.Run(t.Context()), store.ErrOtherX)
}
