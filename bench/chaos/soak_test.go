//go:build soak

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// SIGKILL between the creation on X and our settlement, a hundred times.
func TestSoakKillAfterCreate(t *testing.T) {
	t.Parallel()
	for range 20 {
		killAfterCreate(t, 5)
	}
}

// The database's server dies while X holds the answers to 200 requests.
func TestSoakImmediateRestart(t *testing.T) {
	t.Parallel()
	immediateRestart(t, 20, 10)
}

// finding is what the harness says of a broken build: a row with two tweets, one that is lost, a request that was
// sent twice. That a run takes too long, or a test waits in vain, is none.
var finding = regexp.MustCompile(`(duplicate: |duplicate or lost: |lost: |false match: |early: |late: |thread: |X's request \d+ |should have 1 item|what is said of an older request)[^\n]*`)

// A worker with one rule broken is found out, within a few seeds, by the random runs alone or by the test of
// the fault that the rule is for.
func TestSoakMutants(t *testing.T) {
	t.Parallel()
	for _, mutant := range []string{"mutant_status", "mutant_matcher", "mutant_latest", "mutant_lease"} {
		broken := filepath.Join(t.TempDir(), mutant)
		said, err := exec.Command("go", "test", "-c", "-race", "-tags="+mutant, "-o", broken, ".").CombinedOutput()
		require.NoError(t, err, string(said))
		require.True(t, noticed(t, broken), "nobody noticed %s", mutant)
	}
}

// noticed reports whether a broken build is found out.
func noticed(t *testing.T, broken string) bool {
	t.Helper()
	const seeds = 3
	for _, test := range []string{"TestChaos$", "TestThaw|TestWake"} {
		for seed := 1; seed <= seeds; seed++ {
			found := findings(broken, test, seed)
			t.Logf("%s, %s, seed %d: %s", filepath.Base(broken), test, seed, found)
			if found != "" {
				return true
			}
		}
	}
	return false
}

// findings runs a broken build, and returns what was found first; nothing, if it passed.
func findings(broken, test string, seed int) string {
	cmd := exec.Command(broken, "-test.run="+test, "-test.timeout=10m")
	cmd.Env = append(os.Environ(), fmt.Sprintf("SEED=%d", seed), "N=")
	said, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	return finding.FindString(string(said))
}
