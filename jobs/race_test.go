package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

func TestTwoWorkersPostEachOnce(t *testing.T) {
	t.Parallel()
	const tweets = 200
	w := newWorld(t, sandbox.Config{})
	first, second := w.start(opts{}), w.start(opts{})
	w.exec(`INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'number ' || i FROM generate_series(1, $1) AS i`, tweets)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	_, err := w.x.WaitRequests(ctx, tweets, sandbox.Match{})
	require.NoError(t, err)
	w.eventually("all are settled", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`) == tweets
	})
	seen := map[string]int{}
	for _, text := range w.texts() {
		seen[text]++
	}
	require.Len(t, seen, tweets)
	require.Len(t, w.x.Requests(), tweets)
	require.Equal(t, tweets, one[int](w, `SELECT count(DISTINCT tweet_id) FROM tweetqueue.tweets`))
	require.Equal(t, tweets, w.taken("posts"))
	first.stop()
	second.stop()
	require.Equal(t, tweets, len(first.all(EventDone))+len(second.all(EventDone)), "each is told once")
	t.Logf("%d by the first, %d by the second", len(first.all(EventDone)), len(second.all(EventDone)))
}

// worked subscribes to what River says of jobs, and returns a function that waits until an attempt of
// one is over.
func (r *running) worked(id int64, attempt int) (wait func() *rivertype.JobRow) {
	r.world.Helper()
	events, cancel := r.river.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled)
	r.world.Cleanup(cancel)
	return func() *rivertype.JobRow {
		r.world.Helper()
		late := time.After(soon)
		for {
			select {
			case event := <-events:
				if event.Job.ID == id && event.Job.Attempt == attempt {
					return event.Job
				}
			case <-late:
				require.FailNow(r.world, "a job did not run")
			}
		}
	}
}

// A job that is run again, by whatever hand, finds that its row needs nothing.
func TestJobRetriedByHandPostsNothing(t *testing.T) {
	t.Parallel()
	for name, retry := range map[string]func(*world, *running, int64){
		"ByRiver": func(w *world, r *running, id int64) {
			_, err := r.river.JobRetry(w.Context(), id)
			require.NoError(w, err)
		},
		"BySQL": func(w *world, _ *running, id int64) {
			w.exec(`UPDATE tweetqueue.river_job SET state = 'available', finalized_at = NULL WHERE id = $1`, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			id := w.tweet("Only once")
			r := w.start(opts{})
			job := r.wait(EventDone, id).JobID
			w.eventually("River has completed the job", func() bool {
				return storetest.Jobs(t, w.db, id)[0].State == "completed"
			})
			worked := r.worked(job, 2)
			retry(w, r, job)
			require.Equal(t, rivertype.JobStateCompleted, worked().State)
			require.Len(t, w.x.Requests(), 1)
			require.Len(t, w.requests(id), 1)
			require.Equal(t, 1, w.taken("posts"))
			require.Len(t, storetest.Jobs(t, w.db, id), 1)
		})
	}
}

// A parked job that is run by hand before its time neither posts early nor loses the wake-up.
func TestJobRunTooEarlyIsParkedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := storetest.Tweet(t, w.db, "In an hour", time.Hour)
	r := w.start(opts{})
	job := storetest.Jobs(t, w.db, id)[0].ID
	worked := r.worked(job, 1)
	_, err := r.river.JobRetry(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, rivertype.JobStateCompleted, worked().State)
	require.Empty(t, w.x.Requests())
	jobs := storetest.Jobs(t, w.db, id)
	require.Len(t, jobs, 2)
	require.Equal(t, "pending", jobs[1].State)
	require.WithinDuration(t, w.entry(id).DueAt, jobs[1].ScheduledAt, time.Microsecond)
}

// A job that a worker had fetched, and died before the commit of its claim, is taken over with the worker's rows: the
// sweep would find it after a minute, and tell.
func TestTakesOverAFetchedJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.tweet("fetched")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running', attempt = 1, attempted_at = tweetqueue.clock(), attempted_by = '{gone}'`)
	r := w.start(opts{})
	r.wait(EventDone, id)
	require.Empty(t, r.all(EventError))
	require.Len(t, w.x.Requests(), 1)
	require.Equal(t, 2, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE kind = 'post_tweet'`))
}

// A job that somebody removed, or of which nobody knows whose it is, is no reason to lose a tweet.
func TestSweepHealsALostJob(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"Deleted":   `DELETE FROM tweetqueue.river_job`,
		"Cancelled": `UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = now()`,
		"Discarded": `UPDATE tweetqueue.river_job SET state = 'discarded', finalized_at = now()`,
		"Completed": `UPDATE tweetqueue.river_job SET state = 'completed', finalized_at = now()`,
		// Nobody knows whose it was.
		"RunningNowhere": `UPDATE tweetqueue.river_job SET state = 'running', attempt = 1,
attempted_at = now() - interval '61 seconds', attempted_by = '{}'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			id := storetest.Tweet(t, w.db, "Long due", -2*time.Minute)
			w.exec(lose)
			r := w.start(opts{})
			r.wait(EventDone, id)
			require.Len(t, w.x.Requests(), 1)
			require.ErrorContains(t, r.waitFor(func(e Event) bool { return e.Type == EventError }).Err, "1 due rows had lost their jobs")
			w.eventually("no job is left that would run", func() bool {
				return one[int](w, `SELECT count(*) FROM tweetqueue.river_job
WHERE kind = 'post_tweet' AND finalized_at IS NULL`) == 0
			})
		})
	}
}

// A job that lives is not doubled.
func TestSweepLeavesTheLiving(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"available", "pending", "retryable", "running", "scheduled"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			id := storetest.Tweet(t, w.db, "Long due", -2*time.Minute)
			w.exec(`UPDATE tweetqueue.river_job SET state = $1::text::tweetqueue.river_job_state, attempted_at = now()`, state)
			swept, _, err := store.Sweep(t.Context(), w.db, store.PostTweet, store.SweepFrom{}, loopBatch)
			require.NoError(t, err)
			require.Zero(t, swept)
			require.Len(t, storetest.Jobs(t, w.db, id), 1)
		})
	}
}

// application opens a transaction of another application, which is rolled back when the test ends.
func (w *world) application() pgx.Tx {
	w.Helper()
	return storetest.Tx(w, w.db)
}

// Another application's open transaction holds up the row that it has edited, and no other.
func TestOpenTransactionHoldsUpItsRowAlone(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"commit", "rollback"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			locked := storetest.Tweet(t, w.db, "before the edit", 200*time.Millisecond)
			app := w.application()
			_, err := app.Exec(t.Context(), `UPDATE tweetqueue.tweets SET text = 'after the edit' WHERE id = $1`, locked)
			require.NoError(t, err)
			r := w.start(opts{})
			var others []int64
			for i := range 50 {
				others = append(others, storetest.Tweet(t, w.db, fmt.Sprintf("other %d", i), 200*time.Millisecond))
			}
			r.wait(EventDone, others...)
			w.eventually("its job has met the lock", func() bool { return len(storetest.Jobs(t, w.db, locked)) > 1 })
			require.Len(t, w.x.Requests(), len(others))

			want := "before the edit"
			if end == "commit" {
				want = "after the edit"
				require.NoError(t, app.Commit(t.Context()))
			} else {
				require.NoError(t, app.Rollback(t.Context()))
			}
			r.wait(EventDone, locked)
			require.Equal(t, want, w.texts()[len(others)])
			require.Len(t, w.x.Requests(), len(others)+1)
			require.LessOrEqual(t, one[int](w, `SELECT count(*) FROM tweetqueue.river_job
WHERE args @> jsonb_build_object('row_id', $1::bigint) AND finalized_at IS NULL`, locked), 1, "waiting for a lock does not pile up jobs")
		})
	}
}

// An application that writes the next tweet of a thread locks the one before it, for its foreign
// key. That is no reason to be late with it.
func TestOpenTransactionOfAFollowUpHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	first := storetest.Tweet(t, w.db, "one", 300*time.Millisecond)
	app := w.application()
	var second int64
	require.NoError(t, app.QueryRow(t.Context(), `INSERT INTO tweetqueue.tweets (account, text, previous_id)
VALUES ('acme', 'two', $1) RETURNING id`, first).Scan(&second))
	r := w.start(opts{})
	r.wait(EventDue, first)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	_, err := w.x.WaitRequests(ctx, 1, sandbox.Match{})
	require.NoError(t, err)
	require.NoError(t, app.Commit(t.Context()))
	r.wait(EventDone, first, second)
	require.Equal(t, []string{"one", "two"}, w.texts())
	require.Equal(t, w.x.Tweets()[0].ID, w.x.Tweets()[1].InReplyTo)
}

// What is edited between River's fetch and our claim is claimed as it then is.
func TestEditBetweenFetchAndClaim(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ edit, want string }{
		"Moved":     {`UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() + interval '1 hour' WHERE id = $1`, "scheduled:time"},
		"Cancelled": {`UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id = $1`, "cancelled"},
		"Removed":   {`DELETE FROM tweetqueue.tweets WHERE id = $1`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			id := storetest.Tweet(t, w.db, "Not now", 200*time.Millisecond)
			app := w.application()
			_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, id)
			require.NoError(t, err)
			r := w.start(opts{})
			w.eventually("its job was fetched", func() bool { return len(storetest.Jobs(t, w.db, id)) > 1 })
			_, err = app.Exec(t.Context(), test.edit, id)
			require.NoError(t, err)
			require.NoError(t, app.Commit(t.Context()))

			w.eventually("only a parked job is left", func() bool {
				return one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE kind = 'post_tweet'
AND finalized_at IS NULL AND NOT (state = 'pending' AND scheduled_at > now() + interval '30 minutes')`) == 0
			})
			require.Empty(t, w.x.Requests())
			if test.want == "" {
				return
			}
			require.Equal(t, test.want, w.status(id))
			if test.want == "cancelled" {
				w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
			} else {
				w.exec(`UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() WHERE id = $1`, id)
			}
			r.wait(EventDone, id)
			require.Len(t, w.x.Requests(), 1)
		})
	}
}

// No transaction is open while X is asked.
func TestNoTransactionIsOpenWhileSending(t *testing.T) {
	t.Parallel()
	const tweets = 5
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	var ids []int64
	for i := range tweets {
		ids = append(ids, w.tweet(fmt.Sprintf("number %d", i)))
	}
	r := w.start(opts{})
	w.held(fault, tweets)
	// Short ones, such as a poll's, come and go: all that were open once have to end.
	const open = `SELECT coalesce(array_agg(pid || ' ' || xact_start), '{}') FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1 AND state LIKE 'idle in transaction%'`
	before := one[[]string](w, open, workerApp)
	w.eventually("all transactions have ended", func() bool {
		return one[int](w, `SELECT count(*) FROM pg_stat_activity WHERE pid || ' ' || xact_start = ANY ($1)`, before) == 0
	})
	fault.Lift()
	r.wait(EventDone, ids...)
}

// An answer that the database refuses, here since another row has its tweet already, is left to a person at
// once: no look-up knows better than X's answer. The account's next tweet goes on.
func TestAnswerThatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Whose is it?")
	w.held(fault, 1)
	other := storetest.Tweet(t, w.db, "Mine", time.Hour)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'sending', waiting_for = NULL, request_id = 0 WHERE id = $1`, other)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'posted', tweet_id = $2, posted_at = tweetqueue.clock() WHERE id = $1`, other, w.x.Tweets()[0].ID)
	fault.Lift()
	reason := r.person(id)
	require.Contains(t, reason, "the answer could not be recorded")
	require.Contains(t, reason, "tweets_tweet_id_key")
	require.Contains(t, reason, w.x.Tweets()[0].ID)
	r.wait(EventDone, w.tweet("The next one"))
	require.Len(t, w.requests(id), 1, "it is not looked up")
	require.Equal(t, "unconfirmed", w.status(id))
}
