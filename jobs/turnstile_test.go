package jobs

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// One at a time of each account, and of none that shares none; nothing is left in the end.
func TestTurnstile(t *testing.T) {
	t.Parallel()
	var stile turnstile
	inside, mu := map[int64]int{}, sync.Mutex{}
	count := func(ids []int64, n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			inside[id] += n
			if inside[id] > 1 {
				t.Errorf("%d are inside of %d", inside[id], id)
			}
		}
	}
	var group errgroup.Group
	for i := range 200 {
		group.Go(func() error {
			ids := [][]int64{{1}, {2}, {1, 2}, {2, 3}}[i%4]
			leave, err := stile.enter(t.Context(), ids)
			if err != nil {
				return err
			}
			count(ids, 1)
			count(ids, -1)
			leave()
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Empty(t, stile.accounts)

	leave, err := stile.enter(t.Context(), []int64{1})
	require.NoError(t, err)
	other, err := stile.enter(t.Context(), []int64{2})
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = stile.enter(ended, []int64{1, 2})
	require.ErrorIs(t, err, context.Canceled)
	leave()
	other()
	require.Empty(t, stile.accounts)
}
