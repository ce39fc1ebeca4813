package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestChaos is a short run, or, as the environment says, long ones: N tweets and N/4 deletions, WORKERS
// workers, and the seeds 1, 2 and 3 or the one that SEED names.
func TestChaos(t *testing.T) {
	t.Parallel()
	n, err := strconv.Atoi(os.Getenv("N"))
	if err != nil {
		chaos(t, newPlan(1, 2, short()), 60)
		return
	}
	workers, err := strconv.Atoi(os.Getenv("WORKERS"))
	if err != nil {
		workers = 4
	}
	seeds := []uint64{1, 2, 3}
	if seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Logf("to replay: make chaos N=%d SEED=%d WORKERS=%d", n, seed, workers)
		chaos(t, newPlan(seed, workers, long(max(time.Minute, time.Duration(n)*60*time.Millisecond))), n)
		if t.Failed() {
			return
		}
	}
}

// chaos does a run, and requires that its accounts agree.
func chaos(t *testing.T, p *plan, n int) {
	t.Helper()
	r := newRun(t, p, n)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p)
		}
	})
	r.toEnd()
	t.Log(r.summary())
	b := r.keep()
	for _, fault := range b.audit() {
		t.Error(fault)
	}
	waiting, all := b.unconfirmed()
	if settlesDoubts {
		require.Less(t, waiting*100, all, "%d of %d rows wait for a person", waiting, all)
	}
}
