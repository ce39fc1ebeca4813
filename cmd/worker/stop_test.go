package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

const stopping = "stopping"

// held starts a send that X keeps back, and returns its row.
func (b *bundle) held(t *testing.T) (int64, *sandbox.ActiveFault) {
	t.Helper()
	fault := b.fault(t, sandbox.Fault{Kind: sandbox.KindHoldBefore, Times: 1})
	return b.tweet(t, "held"), fault
}

// TestStopInASend: what is being sent is finished, and nothing else is begun.
func TestStopInASend(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id, hold := b.held(t)
	w := start(t, b.settings)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	w.stop()
	w.awaitText(t, stopping)
	next := b.tweet(t, "too late")
	hold.Lift()
	require.NoError(t, w.wait(t))

	require.Equal(t, "posted", b.show(t, id).Status)
	require.Len(t, b.requests("held"), 1)
	require.Equal(t, "scheduled", b.show(t, next).Status)
	require.Empty(t, b.requests("too late"))
	alive, err := store.WorkersAlive(t.Context(), b.db)
	require.NoError(t, err)
	require.Zero(t, alive)
}

// TestSIGTERMInASend is the same for the program, with a real signal.
func TestSIGTERMInASend(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id, hold := b.held(t)
	w := startProcess(t, "worker", b.settings)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	w.signal(t, syscall.SIGTERM)
	w.awaitText(t, stopping)
	hold.Lift()
	require.Zero(t, w.wait(t))
	require.Equal(t, "posted", b.show(t, id).Status)
	require.Len(t, b.requests("held"), 1)
}

// TestSIGHUPInASend: a terminal that closes stops the worker as SIGTERM does, though the shell and the
// kernel send it a SIGHUP each.
func TestSIGHUPInASend(t *testing.T) {
	t.Parallel()
	// Tests that run under nohup would hand it on; what is caught here is not ignored by a program started.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	b := newBundle(t)
	id, hold := b.held(t)
	w := startProcess(t, "worker", b.settings)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	w.signal(t, syscall.SIGHUP)
	w.awaitText(t, stopping)
	// It says so about when a second signal of another kind begins to kill.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 10 {
		<-again.C
		w.signal(t, syscall.SIGHUP)
	}
	hold.Lift()
	require.Zero(t, w.wait(t))
	require.Equal(t, "posted", b.show(t, id).Status)
	require.Len(t, b.requests("held"), 1)
}

// TestNohup: what was told to outlive its terminal does.
func TestNohup(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id, hold := b.held(t)
	w := startCommand(t, exec.Command("sh", "-c", `trap "" HUP; exec "$0"`, binary(t, "worker")), b.settings)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	w.signal(t, syscall.SIGHUP)
	hold.Lift()
	w.awaitEvent(t, id, "done")
	w.awaitEvent(t, b.tweet(t, "later"), "done")
	require.NotContains(t, w.String(), stopping)
}

// TestSecondSignal kills. The next worker finds the row being sent by a dead one, and its tweet on X.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id, hold := b.held(t)
	w := startProcess(t, "worker", b.settings)
	require.NoError(t, hold.WaitHeld(t.Context(), 1))
	w.signal(t, syscall.SIGTERM)
	w.awaitText(t, stopping)
	// It says so about when the second signal begins to kill.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for killed := false; !killed; {
		w.signal(t, syscall.SIGTERM)
		select {
		case <-w.ended:
			killed = true
		case <-again.C:
		}
	}
	require.Equal(t, -1, w.wait(t))
	require.Equal(t, syscall.SIGTERM, w.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	hold.Lift() // X works it, and nobody hears the answer

	require.Equal(t, "sending", storetest.Status(t, b.db, id))
	b.age(t)
	next := start(t, b.settings)
	require.Contains(t, next.awaitEvent(t, id, "unconfirmed").Reason, "stopped while this was being sent")
	done := next.awaitEvent(t, id, "done")
	next.end(t)
	require.Len(t, b.x.Tweets(), 1)
	require.Equal(t, b.x.Tweets()[0].ID, done.TweetID)
	require.Len(t, b.requests("held"), 1)
}

// enqueueMany enqueues tweets "tweet 00", "tweet 01" and so on, and returns their rows. They are due at
// once but for the last quarter, which becomes due in a few seconds.
func (b *bundle) enqueueMany(t *testing.T, tweets int) []int64 {
	t.Helper()
	ids := make([]int64, tweets)
	for i := range ids {
		var later []string
		if i >= tweets*3/4 {
			later = []string{"--at", time.Now().Add(3 * time.Second).Format(time.RFC3339Nano)}
		}
		ids[i] = b.tweet(t, fmt.Sprintf("tweet %02d", i), later...)
	}
	return ids
}

// requireEach checks the statuses of all rows, in their order, and that each was sent once.
func (b *bundle) requireEach(t *testing.T, ids []int64, want func(i int) string) {
	t.Helper()
	for i, id := range ids {
		row := b.show(t, id)
		require.Equal(t, want(i), row.Status, "tweet %d", i)
		require.Len(t, b.requests(fmt.Sprintf("tweet %02d", i)), 1, "tweet %d", i)
	}
	require.Len(t, b.x.Tweets(), len(ids))
}

// TestRestart: what waits while a worker stops, and becomes due while none runs, goes out once each.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hold := b.fault(t, sandbox.Fault{Kind: sandbox.KindHoldBefore, Match: sandbox.Match{Text: "tweet 1"}})
	ids := b.enqueueMany(t, 20)
	first := start(t, b.settings, "--workers=3")
	require.NoError(t, hold.WaitHeld(t.Context(), 3)) // of the second ten; nobody is left for the rest
	first.stop()
	first.awaitText(t, stopping)
	hold.Lift()
	require.NoError(t, first.wait(t))

	left := b.scheduled(t, ids, 7)
	second := start(t, b.settings)
	for _, id := range left {
		second.awaitEvent(t, id, "done")
	}
	second.end(t)
	b.requireEach(t, ids, func(int) string { return "posted" })
}

// scheduled returns those of the rows that are still to be sent, so many.
func (b *bundle) scheduled(t *testing.T, ids []int64, want int) []int64 {
	t.Helper()
	left := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return b.entry(t, id).Status != store.Scheduled })
	require.Len(t, left, want)
	return left
}

// TestKilled: a worker that is killed repeats nothing and loses nothing. What it was sending is found.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hold := b.fault(t, sandbox.Fault{Kind: sandbox.KindHoldBefore, Match: sandbox.Match{Text: "tweet 1"}})
	ids := b.enqueueMany(t, 20)
	first := startProcess(t, "worker", b.settings, "--workers=3")
	require.NoError(t, hold.WaitHeld(t.Context(), 3))
	for _, id := range ids[:10] {
		first.awaitEvent(t, id, "done")
	}
	first.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, first.wait(t))
	hold.Lift() // X creates the tweets, and nobody hears of it
	b.age(t)
	left := b.scheduled(t, ids, 7)

	second := startProcess(t, "worker", b.settings)
	for _, id := range ids[10:] {
		if !slices.Contains(left, id) {
			second.awaitEvent(t, id, "unconfirmed")
		}
		second.awaitEvent(t, id, "done")
	}
	second.signal(t, syscall.SIGINT)
	require.Zero(t, second.wait(t))
	b.requireEach(t, ids, func(int) string { return "posted" })
}

// TestKilledBeforeTheClaim: what a worker had fetched and not claimed when it was killed is sent by
// the next one.
func TestKilledBeforeTheClaim(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	lock := storetest.Tx(t, b.db)
	_, err := lock.Exec(t.Context(), `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	require.NoError(t, err)
	id := storetest.Tweet(t, b.db, "fetched", 0)
	first := startProcess(t, "worker", b.settings)
	require.Eventually(t, func() bool {
		jobs := storetest.Jobs(t, b.db, id)
		return len(jobs) == 1 && jobs[0].State == "running"
	}, patience, 10*time.Millisecond)
	first.signal(t, syscall.SIGKILL)
	first.wait(t)
	require.NoError(t, lock.Rollback(t.Context()))
	b.age(t)

	second := start(t, b.settings)
	second.awaitEvent(t, id, "done")
	second.end(t)
	require.Len(t, b.requests("fetched"), 1)
}

// age lets an hour pass for what a dead worker has left: its lease, its leadership of River's clients,
// the jobs that River takes for running, and the rows, past the triggers that would wake them.
func (b *bundle) age(t *testing.T) {
	t.Helper()
	b.exec(t, `BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '1 hour';
DELETE FROM tweetqueue.river_leader;
UPDATE tweetqueue.river_job SET attempted_at = attempted_at - interval '1 hour' WHERE state = 'running';
UPDATE tweetqueue.tweets SET post_at = post_at - interval '1 hour' WHERE post_at < tweetqueue.clock();
COMMIT`)
}
