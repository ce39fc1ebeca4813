package chaos

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestChaos is a short run, of SEED if the environment names one; or, if it says N, long ones: N tweets and N/4
// deletions, WORKERS workers, and the seeds 1, 2 and 3 or SEED.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed, n, workers := number("SEED", 0), int(number("N", 0)), int(number("WORKERS", 4))
	if n == 0 {
		chaos(t, newPlan(cmp.Or(seed, 3), 2, short()), 40) // the database's clock is behind, and X takes duplicates
		return
	}
	seeds := []uint64{1, 2, 3}
	if seed != 0 {
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
	waiting, all := b.unconfirmed(), len(b.tweets)+len(b.deletions)
	// Of a short run the few rows that say hold, and never reached X, are more than one in a hundred.
	require.Less(t, len(waiting)*100, max(all, 401), "%d of %d rows wait for a person:\n%s", len(waiting), all, strings.Join(waiting, "\n"))
}

// number reads a number of the environment.
func number(name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 32)
	if err != nil {
		return otherwise
	}
	return n
}
