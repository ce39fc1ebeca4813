package pglocal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAwaitReady plays a server that recovers from a crash for a long time. Its process is this
// one, its words are written into its files, and the time is not real.
func TestAwaitReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		word string        // what it logs
		each time.Duration // how often
		err  string
	}{
		"Reports":                 {"LOG:  redo in progress, elapsed time: 10.00 s", 10 * time.Second, ""},
		"ReportsJustInTime":       {"LOG:  redo in progress, elapsed time: 59.00 s", 59 * time.Second, ""},
		"ReportsTooSeldom":        {"LOG:  redo in progress, elapsed time: 90.00 s", 90 * time.Second, `is "starting" and has shown no progress for 1m0s`},
		"OnlyApplicationsAreSeen": {"FATAL:  the database system is starting up", time.Second, "has shown no progress for 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
			synctest.Test(t, func(t *testing.T) {
				in := testInstance(t, dir)
				status := func(word string) {
					text := fmt.Sprintf("%d\n%s\n1\n5432\n/sockets\n\n0 0\n%s\n", os.Getpid(), in.path("data"), word)
					// The real one is rewritten in place, too, in one write.
					require.NoError(t, os.WriteFile(in.path("data/postmaster.pid"), []byte(text), 0o600))
				}
				log, err := os.Create(in.path("postgres.log"))
				require.NoError(t, err)
				defer log.Close()
				status("starting")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					for began := time.Now(); time.Since(began) < 10*time.Minute; {
						select {
						case <-ctx.Done():
							return
						case <-time.After(test.each):
							_, _ = fmt.Fprintf(log, "2026-11-24 02:54:30.325 UTC [7] %s\n", test.word)
						}
					}
					status("ready   ")
				}()
				began := time.Now()
				socketDir, err := in.awaitReady(ctx, &process{pid: os.Getpid()})
				if test.err != "" {
					require.ErrorContains(t, err, test.err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "/sockets", socketDir)
				require.Greater(t, time.Since(began), 10*time.Minute-time.Second)
			})
		})
	}
}

func TestProgressSurvivesRotation(t *testing.T) {
	t.Parallel()
	in := testInstance(t, newDir(t))
	log := in.path("postgres.log")
	require.NoError(t, os.WriteFile(log, []byte("x LOG:  a long line of old\n"), 0o600))
	p := in.progress(time.Minute)
	require.False(t, p.read())
	require.NoError(t, os.WriteFile(log, []byte("x LOG:  new\n"), 0o600))
	require.True(t, p.read())
	require.False(t, p.read())
	require.NoError(t, os.Remove(log))
	require.False(t, p.read())
}
