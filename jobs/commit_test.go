package jobs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// A claim whose COMMIT has an unknown outcome is not sent but undone, and the row goes out once.
func TestClaimWhoseCommitIsCut(t *testing.T) {
	t.Parallel()
	for _, how := range []cut{cutBefore, cutAfter, cutLate} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			p := newProxy(t, w.url)
			// A COMMIT that comes late is passed on while it is being undone, or right after that.
			made := p.cut(how, "RequestsStart", func(sql string, ran []string) bool {
				return slices.Contains(ran, "RowsLockAll") || (sql == "commit" && slices.Contains(ran, "RequestExists"))
			})
			id := w.tweet("Only once")
			r := w.start(opts{database: p.url})
			w.within(made, "a COMMIT is cut")
			r.wait(EventDone, id)
			require.Equal(t, "posted", w.status(id))
			require.Len(t, w.x.Requests(), 1)
			require.Len(t, r.all(EventDone, id), 1)
			require.Equal(t, 1, w.taken("posts"), "the place of the claim that was undone is returned")

			requests := w.requests(id)
			if how == cutBefore {
				require.Len(t, requests, 1)
				return
			}
			require.Len(t, requests, 2)
			require.Equal(t, "not_sent", *requests[0].Outcome)
			require.Contains(t, *requests[0].Error, "commit transaction")
			require.Equal(t, "done", *requests[1].Outcome)
		})
	}
}

// A settlement whose COMMIT has an unknown outcome is written again, and counts once.
func TestSettlementWhoseCommitIsCut(t *testing.T) {
	t.Parallel()
	for _, how := range []cut{cutBefore, cutAfter} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			p := newProxy(t, w.url)
			r := w.start(opts{database: p.url})

			// Posted.
			made := p.cut(how, "RequestAnswer", nil)
			first := w.tweet("Only once")
			r.wait(EventDone, first)
			w.within(made, "a COMMIT is cut")
			require.ErrorAs(t, r.wait(EventError, first).Err, new(*store.CommitError))
			require.Equal(t, "posted", w.status(first))
			require.Len(t, r.all(EventDone, first), 1)
			require.Len(t, w.x.Requests(), 1)

			// Deleted.
			made = p.cut(how, "RequestAnswer", nil)
			deletion := storetest.Deletion(t, w.db, *w.entry(first).TweetID, 0)
			r.wait(EventDone, deletion)
			w.within(made, "a COMMIT is cut")
			require.Len(t, r.all(EventDone, deletion), 1)
			require.Equal(t, "deleted", w.status(deletion))

			// Waiting for a retry, its place returned.
			require.NoError(t, w.x.Close())
			made = p.cut(how, "RequestAnswer", nil)
			second := w.tweet("Not at all")
			require.Equal(t, store.ForRetry, r.wait(EventWaiting, second).WaitingFor)
			w.within(made, "a COMMIT is cut")
			r.stop()
			require.Equal(t, "scheduled:retry", w.status(second))
			require.Equal(t, 1, w.taken("posts"), "only one place is returned")
			retries := one[int](w, `SELECT retries FROM tweetqueue.tweets WHERE id = $1`, second)
			require.Len(t, r.all(EventWaiting, second), retries, "each wait is told once")
			require.Len(t, w.requests(second), retries)
		})
	}
}

// What X has answered is recorded although every connection to the database is cut meanwhile.
func TestAnswersSurviveTerminatedConnections(t *testing.T) {
	t.Parallel()
	const tweets = 50
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldAfter})
	r := w.start(opts{config: Config{Workers: tweets}})
	var ids []int64
	for i := range tweets {
		ids = append(ids, w.tweet(fmt.Sprintf("number %d", i)))
	}
	w.held(fault, tweets)
	terminate := func() int {
		return one[int](w, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1`, workerApp)
	}
	require.Positive(t, terminate())
	fault.Lift()
	terminate() // and once more, while they settle
	r.wait(EventDone, ids...)
	require.Len(t, w.x.Requests(), tweets)
	for _, id := range ids {
		requests := w.requests(id)
		require.Len(t, requests, 1)
		require.Equal(t, 201, *requests[0].StatusCode)
		require.Contains(t, *requests[0].Answer, *w.entry(id).TweetID)
	}

	// It goes on as before.
	r.wait(EventDone, w.tweet("afterwards"))
	require.Empty(t, r.all(EventUnconfirmed))
}
