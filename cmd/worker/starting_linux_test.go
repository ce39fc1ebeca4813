package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStopWhileStarting: Ctrl-C while the private database is being made is no failure, and what makes it
// is let finish.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"Demo": {"demo"}, "Run": {"run"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settings{"TWEETQUEUE_STATE_DIR": stateDir(t)}
			cmd := exec.Command(binary(t, "worker"), args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			p := startCommand(t, cmd, s)
			require.Eventually(t, func() bool { return hasChild(t, cmd.Process.Pid, "initdb") }, patience, time.Millisecond)
			require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)) // the terminal's whole group
			require.Zero(t, p.wait(t))
			require.NotContains(t, p.String(), "worker: ")
			if name == "Run" {
				made, err := filepath.Glob(filepath.Join(s["TWEETQUEUE_STATE_DIR"], "postgres", "data*"))
				require.NoError(t, err)
				require.Equal(t, []string{filepath.Join(s["TWEETQUEUE_STATE_DIR"], "postgres", "data")}, made)
			}
		})
	}
}

// hasChild reports whether the process has a child that runs that program.
func hasChild(t *testing.T, pid int, program string) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		stat, _ := os.ReadFile(path) // it may have ended just now
		name, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasSuffix(name, "("+program) && strings.HasPrefix(rest[min(2, len(rest)):], fmt.Sprintf("%d ", pid)) {
			return true
		}
	}
	return false
}
