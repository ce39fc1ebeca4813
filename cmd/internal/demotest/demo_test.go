// Package demotest_test reads what `worker demo` prints, as a stranger reads it: from its output alone. It
// imports nothing of this module, so that it cannot share a mistake with the packages that do the work.
package demotest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDemo runs the built worker's demo, as different people do.
func TestDemo(t *testing.T) {
	t.Parallel()
	worker := build(t)

	// Twice in a row. Of three runs one has to be on time: other work on the machine, such as the tests
	// of other packages, is no fault of the worker.
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		late := time.Hour
		for run := 1; run <= 3 && (run <= 2 || late > time.Second); run++ {
			code, stdout, stderr := demo(t, worker, false, "--exit", "--json")
			require.Zero(t, code, "%s", stderr)
			require.Empty(t, stderr)
			late = min(late, requireDone(t, readReport(t, stdout)))
		}
		require.LessOrEqual(t, late, time.Second)
	})

	// It shows the demo to people, who redirect it into a file.
	t.Run("Shown", func(t *testing.T) {
		t.Parallel()
		code, stdout, stderr := demo(t, worker, false)
		require.Zero(t, code, "%s", stderr)
		require.Empty(t, stderr)
		requireShown(t, stdout)
	})

	// It exits with 1 and names the row that was not done; the others are. An ordinary user runs it.
	t.Run("WithAFault", func(t *testing.T) {
		t.Parallel()
		code, stdout, stderr := demo(t, worker, true, "--exit", "--json", "--fault=duplicate")
		require.Equal(t, 1, code, "%s", stderr)
		r := readReport(t, stdout)
		require.Len(t, r.Rows, 6)
		for _, row := range r.Rows {
			if row.ID == 2 {
				require.Equal(t, "failed", row.Status)
				require.Contains(t, row.Error, "duplicate content")
				require.Equal(t, "worker: not everything was done: tweet 2 is failed: "+row.Error+"\n", stderr)
			} else {
				require.Contains(t, []string{"posted", "deleted"}, row.Status)
			}
		}
		require.Len(t, r.Sandbox.Tweets, 5) // the old one among them
	})

	t.Run("WithAnUnknownFault", func(t *testing.T) {
		t.Parallel()
		code, stdout, stderr := demo(t, worker, false, "--exit", "--fault=gremlins")
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "duplicate, ")
		require.Empty(t, stdout)
	})
}

// build builds the worker as a release is, where every user can run it.
func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tweetqueue-demo-") //nolint:usetesting // The directory of t.TempDir is closed to other users.
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "worker")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "../../worker")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// demo runs `worker demo` with nothing configured; as an ordinary user, if root is to be one. It
// returns its exit code and what it wrote.
func demo(t *testing.T, worker string, ordinary bool, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), worker, append([]string{"demo"}, flags...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Dir = "/" // this one may be closed to others
	if ordinary && os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
		require.NoError(t, err)
		gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
		require.NoError(t, err)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	err := cmd.Run()
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// requireShown checks the lines for people: what is to come, each event, and a summary.
func requireShown(t *testing.T, output string) {
	t.Helper()
	count := func(pattern string) int { return len(regexp.MustCompile(`(?m)`+pattern).FindAllString(output, -1)) }
	const clock = `\d\d:\d\d:\d\d\.\d\d\d`
	require.Equal(t, 6, count(`^enqueued +(tweet|deletion) \d +due `+clock+`  \S`), "%s", output)
	require.Equal(t, 6, count(`^`+clock+` +(tweet|deletion) \d +due$`), "%s", output)
	require.Equal(t, 5, count(`^`+clock+` +tweet \d +posted, tweet id \d{19}, \d+ms after its due time$`), "%s", output)
	require.Equal(t, 1, count(`^`+clock+` +deletion \d +deleted, tweet id \d{19}, \d+ms after its due time$`), "%s", output)
	require.Equal(t, 1, count(`^5 tweets posted, 1 deleted, 0 not done; .*median \d+ms, longest \d+ms$`), "%s", output)
}
