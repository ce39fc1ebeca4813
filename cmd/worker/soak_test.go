//go:build soak

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
)

// TestSoakKilled: a worker that is killed loses nothing: what it had fetched and not begun to send is
// sent by the next one, when River gives up waiting for it.
func TestSoakKilled(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	all, left := b.killInTheMiddle(t)
	w := start(t, b.settings)
	for _, id := range left {
		// What it had just sent to the database may have been committed after its death.
		w.awaitEvent(t, id, "done", "unconfirmed")
	}
	w.end(t)
	for _, id := range all {
		require.Contains(t, []string{"posted", "unconfirmed"}, storetest.Status(t, b.db, id))
	}
	b.requireNoneTwice(t, all)
}
