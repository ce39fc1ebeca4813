package jobs

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// A worker that is told to stop finishes what it is sending, and says goodbye.
func TestStopFinishesWhatIsBeingSent(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{sandbox.KindHoldBefore, sandbox.KindHoldAfter} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			fault := w.fault(sandbox.Fault{Kind: kind, Times: 1})
			id := w.tweet("Finish this")
			r := w.start(opts{})
			w.held(fault, 1)
			r.tell()
			if kind == sandbox.KindHoldBefore {
				// Its lease goes on, or its own rows would be taken from it.
				const renewed = `SELECT renewed_at FROM tweetqueue.workers`
				before := one[time.Time](w, renewed)
				w.eventually("the lease is renewed", func() bool { return one[time.Time](w, renewed).After(before) })
			}
			require.Equal(t, "sending", w.status(id))
			require.Nil(t, one[*time.Time](w, `SELECT stopped_at FROM tweetqueue.workers`))
			fault.Lift()
			w.within(r.ended, "it ends")
			require.NoError(t, r.err)
			require.Equal(t, "posted", w.status(id))
			require.Len(t, r.all(EventDone, id), 1)
			require.NotNil(t, one[*time.Time](w, `SELECT stopped_at FROM tweetqueue.workers`))
			require.Len(t, w.x.Requests(), 1)
			require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'running'`))
		})
	}
}

// A worker that is told to stop while it starts has done nothing, and nothing is wrong with it.
func TestStopBeforeTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	ended, end := context.WithCancel(t.Context())
	end()
	require.NoError(t, w.newWorker(opts{}).Run(ended))
	require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.workers WHERE stopped_at IS NULL`))
}

// A worker that cannot start says why, and leaves no lease behind.
func TestStartFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	w.exec(`ALTER TABLE tweetqueue.river_queue RENAME TO gone`)
	require.ErrorContains(t, worker.Run(t.Context()), "start River")
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.workers WHERE stopped_at IS NOT NULL`))

	w.exec(`ALTER TABLE tweetqueue.gone RENAME TO river_queue`)
	w.exec(`UPDATE tweetqueue.schema_versions SET oldest_worker = version + 1000, version = version + 1000
WHERE version = (SELECT max(version) FROM tweetqueue.schema_versions)`)
	require.ErrorIs(t, w.newWorker(opts{}).Run(t.Context()), migrations.ErrTooNew)
	require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.workers`))
}

// A process that gets SIGTERM in a send ends by itself, with the tweet posted.
func TestSIGTERMFinishesWhatIsBeingSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	id := w.tweet("Finish this")
	p := w.spawn(w.x.URL())
	w.held(fault, 1)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	fault.Lift()
	p.gone.Do(func() { require.NoError(t, p.cmd.Wait()) })
	require.Equal(t, "posted", w.status(id))
	require.NotNil(t, one[*time.Time](w, `SELECT stopped_at FROM tweetqueue.workers`))
}

// A worker whose time to stop is over gives its requests up, and still settles them: in doubt.
func TestStopThatTakesTooLongLeavesDoubts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHangBefore})
	id := w.tweet("Too slow")
	r := w.start(opts{config: Config{StopTimeout: 200 * time.Millisecond}})
	w.held(fault, 1)
	r.stop()
	require.NoError(t, r.err)
	require.Equal(t, "unconfirmed", w.status(id))
	require.Len(t, r.all(EventUnconfirmed, id), 1)
	require.NotNil(t, w.requests(id)[0].AnsweredAt)
}

// An answer that is held is written even by a job that was told to end, once the row is free.
func TestSettleOutlastsTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	id := w.tweet("Posted all the same")
	claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
	require.NoError(t, err)
	result := worker.send(t.Context(), claims[0])
	require.NoError(t, result.err)

	lock := w.application()
	_, err = lock.Exec(t.Context(), `SELECT FROM tweetqueue.requests WHERE row_id = $1 FOR UPDATE`, id)
	require.NoError(t, err)
	ended, end := context.WithCancel(t.Context())
	end()
	settled := make(chan error, 1)
	go func() { settled <- worker.settle(ended, result) }()
	w.lockWaits(workerApp, 1)
	require.NoError(t, lock.Rollback(t.Context()))
	require.NoError(t, <-settled)
	require.Equal(t, "posted", w.status(id))
}

// An application that locks rows while they are being sent holds up their settlements, and nothing else:
// other rows go out, by as few workers as there are.
func TestLockedRowsHoldUpThemselvesAlone(t *testing.T) {
	t.Parallel()
	const workers = 2
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldAfter, Match: sandbox.Match{Text: "locked"}})
	ids := []int64{w.tweet("locked 1"), w.tweet("locked 2")}
	r := w.start(opts{config: Config{Workers: workers}})
	w.held(fault, workers)
	app := w.application()
	_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets WHERE id = ANY ($1) FOR UPDATE`, ids)
	require.NoError(t, err)
	fault.Lift()
	r.wait(EventDone, w.tweet("a bystander"))
	for _, id := range ids {
		event := r.wait(EventError, id)
		require.ErrorIs(t, event.Err, store.ErrRowLocked)
		require.Equal(t, "an answer waits to be recorded", event.Reason)
	}
	require.NoError(t, app.Rollback(t.Context()))
	r.wait(EventDone, ids...)
	require.Len(t, w.x.Requests(), workers+1)
}

// An operator's open transaction on an account holds up that account's own hold, and no other account.
func TestLockedAccountHoldsUpItselfAlone(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"Account": `UPDATE tweetqueue.accounts SET time_zone = 'UTC' WHERE username = 'acme'`,
		"App":     `UPDATE tweetqueue.apps SET website = 'https://example.com'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const conns = 4
			w := newWorld(t, sandbox.Config{})
			w.account("other")
			kind := map[string]sandbox.Kind{"Account": sandbox.KindUnauthorized, "App": sandbox.KindCreditsDepleted}[name]
			w.fault(sandbox.Fault{Match: sandbox.Match{Username: "acme"}, Kind: kind})
			operator := w.application()
			_, err := operator.Exec(t.Context(), lock)
			require.NoError(t, err)
			var ids []int64
			for i := range 2 * conns {
				ids = append(ids, w.tweet(fmt.Sprintf("of acme %d", i)))
			}
			r := w.start(opts{conns: conns, config: Config{Workers: 2}})
			r.wait(EventError, ids...) // each waits to be recorded
			r.wait(EventDone, w.enqueue("other", store.Tweet{Text: "a bystander"}, 0))
			require.NoError(t, operator.Commit(t.Context()))
			r.wait(EventWaiting, ids...)
		})
	}
}

// A worker that is told to stop waits for settlements whose jobs have left them.
func TestStopWaitsForALockedRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldAfter})
	id := w.tweet("locked")
	r := w.start(opts{})
	w.held(fault, 1)
	app := w.application()
	_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, id)
	require.NoError(t, err)
	fault.Lift()
	r.wait(EventError, id)
	w.eventually("its job has ended", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'running'`) == 0
	})
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	require.NoError(t, app.Rollback(t.Context()))
	w.within(stopped, "the worker has stopped")
	require.Equal(t, "posted", w.status(id))
}

// The end of a hold wakes rows, but for those that somebody has locked, and waits for none.
func TestEndOfAHoldWaitsForNoRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand'`)
	probe, locked, waiting := w.tweet("the probe"), w.tweet("locked"), w.tweet("waits for the account")
	r := w.start(opts{})
	r.wait(EventWaiting, probe, locked, waiting)
	app := w.application()
	_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, locked)
	require.NoError(t, err)
	w.exec(`UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock()`)
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE id = $1`, probe)
	r.wait(EventDone, probe, waiting)
	require.NoError(t, app.Rollback(t.Context()))
	r.wait(EventDone, locked)
	require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.accounts`))
}

// An application that edits what stands after many tweets in their threads, and stays open, holds up
// those rows, and neither the tweets before them nor any other.
func TestOpenTransactionOnThreads(t *testing.T) {
	t.Parallel()
	const threads = 10
	w := newWorld(t, sandbox.Config{})
	var firsts, seconds []int64
	for i := range threads {
		first := w.enqueue("acme", store.Tweet{Text: fmt.Sprintf("first %d", i)}, time.Hour)
		firsts = append(firsts, first)
		seconds = append(seconds, w.enqueue("acme", store.Tweet{Text: fmt.Sprintf("second %d", i), PreviousID: &first}, 0))
	}
	r := w.start(opts{config: Config{Workers: 2}})
	r.wait(EventWaiting, seconds...)
	app := w.application()
	_, err := app.Exec(t.Context(), `UPDATE tweetqueue.tweets SET priority = 3 WHERE id = ANY ($1)`, seconds)
	require.NoError(t, err)
	w.exec(`UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() WHERE id = ANY ($1)`, firsts)
	r.wait(EventDone, firsts...)
	r.wait(EventDone, w.tweet("a bystander"))
	require.NoError(t, app.Commit(t.Context()))
	r.wait(EventDone, seconds...)
	require.Empty(t, r.all(EventError))
}

// Claims that wait for a lock can use up every connection of the pool but the lease's: a worker that
// does not renew it would look dead, and stop.
func TestLeaseNeedsNoFreeConnection(t *testing.T) {
	t.Parallel()
	const conns = 4
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{conns: conns})
	require.NoError(t, worker.lease.start(t.Context()))
	for range conns - 1 {
		conn, err := worker.pool.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(conn.Release)
	}
	require.Equal(t, worker.pool.Stat().MaxConns(), worker.pool.Stat().AcquiredConns(), "no connection is free")
	first, began := worker.lease.id, worker.lease.began
	require.NoError(t, worker.lease.renew(t.Context()))
	require.True(t, worker.lease.began.After(began))

	// It gets another connection when its own is gone.
	require.NoError(t, worker.lease.conn.Conn().Close(t.Context()))
	require.NoError(t, worker.lease.renew(t.Context()))
	require.NoError(t, worker.lease.stop(t.Context()))
	require.Equal(t, first, one[int64](w, `SELECT max(id) FROM tweetqueue.workers WHERE stopped_at IS NOT NULL`))
	require.EqualValues(t, conns-1, worker.pool.Stat().AcquiredConns(), "it gives its connection back")
}
