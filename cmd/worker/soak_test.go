//go:build soak

package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
)

// TestSoakKilledBeforeTheClaim: what a worker had fetched and not claimed when it was killed is sent
// by the next one, when River gives up waiting for it.
func TestSoakKilledBeforeTheClaim(t *testing.T) {
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

func TestSoakOpenTransaction(t *testing.T) {
	t.Parallel()
	requireOthersOnTime(t, 1000, 10*time.Second)
}
