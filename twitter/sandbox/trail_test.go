package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestKeepRequests: the newest requests are kept, under the numbers that they had, and whoever
// waits finds them.
func TestKeepRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{KeepRequests: 5})
	type waited struct {
		requests []sandbox.Request
		err      error
	}
	c := make(chan waited, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		r, err := b.server.WaitRequests(waitContext(t), 4, sandbox.Match{Text: "waited for"})
		c <- waited{r, err}
	}()
	<-started
	for n := 1; n <= 23; n++ {
		text := fmt.Sprint(n)
		if n > 19 {
			text += " waited for"
		}
		require.Equal(t, http.StatusCreated, b.post(b.acme, text).status)
		kept := b.server.Requests()
		require.Len(t, kept, min(n, 5))
		for i, r := range kept {
			require.Equal(t, n-len(kept)+1+i, r.N)
		}
	}
	got := <-c
	require.NoError(t, got.err)
	require.Len(t, got.requests, 4)
	require.Equal(t, 20, got.requests[0].N)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	some, err := b.server.WaitRequests(ctx, 23, sandbox.Match{})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, some, 5, "the others are gone")
}
