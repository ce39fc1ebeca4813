package main

import (
	"fmt"
	"os/exec"
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
	return storetest.Tweet(t, b.db, "held", 0), fault
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
	next := storetest.Tweet(t, b.db, "too late", 0)
	hold.Lift()
	require.NoError(t, w.wait(t))

	require.Equal(t, store.Posted, b.entry(t, id).Status)
	require.Len(t, b.requests("held"), 1)
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, next))
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
	require.Equal(t, store.Posted, b.entry(t, id).Status)
	require.Len(t, b.requests("held"), 1)
}

// TestSecondSignal kills. The next worker finds the row being sent by a dead one, and does not send
// it again.
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
	next.end(t)
	requireStaysSo(t, b, id, "held")
}

// TestRestart: what becomes due while a worker stops, while none runs, and while the next one starts,
// goes out once each.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const tweets = 40
	ids := make([]int64, tweets)
	for i := range ids {
		ids[i] = storetest.Tweet(t, b.db, fmt.Sprintf("tweet %02d", i), time.Duration(i)*50*time.Millisecond)
	}
	first := start(t, b.settings)
	first.awaitEvent(t, ids[tweets/4], "done")
	first.end(t)
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, ids[tweets-1]))

	second := start(t, b.settings)
	for _, id := range ids[tweets/2:] {
		second.awaitEvent(t, id, "done")
	}
	second.end(t)
	for i, id := range ids {
		require.Equal(t, store.Posted, b.entry(t, id).Status)
		require.Len(t, b.requests(fmt.Sprintf("tweet %02d", i)), 1)
	}
	require.Len(t, b.x.Requests(), tweets)
}

// TestKilled: a worker that is killed repeats nothing, and the next one goes on.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	program := binary(t, "worker") // built before the tweets become due
	const tweets = 20
	ids := make([]int64, tweets)
	for i := range ids {
		ids[i] = storetest.Tweet(t, b.db, fmt.Sprintf("tweet %02d", i), 500*time.Millisecond+time.Duration(i)*50*time.Millisecond)
	}
	first := startCommand(t, exec.Command(program), b.settings)
	first.awaitEvent(t, ids[tweets/4], "done")
	first.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, first.wait(t))
	b.age(t)

	second := startCommand(t, exec.Command(program), b.settings)
	second.awaitEvent(t, ids[tweets-1], "done")
	second.signal(t, syscall.SIGINT)
	require.Zero(t, second.wait(t))
	for i := range ids {
		require.LessOrEqual(t, len(b.requests(fmt.Sprintf("tweet %02d", i))), 1)
	}
}

// age lets time pass for what a dead worker has left: its lease, its leadership of River's clients,
// and the jobs that River takes for running.
func (b *bundle) age(t *testing.T) {
	t.Helper()
	b.exec(t, `UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '1 hour'`)
	b.exec(t, `DELETE FROM tweetqueue.river_leader`)
	b.exec(t, `UPDATE tweetqueue.river_job SET attempted_at = attempted_at - interval '1 hour' WHERE state = 'running'`)
}
