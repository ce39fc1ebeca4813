package pglocal

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkStart measures how long a command waits for its database: with nothing there yet, with
// data of an earlier run, and with a server that runs; and then how long the last user's end takes.
// The data is on disk and written through, as a user's is.
func BenchmarkStart(b *testing.B) {
	disk := func(b *testing.B) string {
		b.Helper()
		dir, err := os.MkdirTemp("/var/tmp", "pglocal-bench-") //nolint:usetesting // its directory is closed to the server
		require.NoError(b, err)
		require.NoError(b, os.Chmod(dir, 0o755))
		b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
		return filepath.Join(dir, "instance")
	}
	start := func(b *testing.B, dir string) *Server {
		b.Helper()
		server, err := Start(b.Context(), Config{Dir: dir})
		require.NoError(b, err)
		return server
	}

	b.Run("Cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := disk(b)
			b.StartTimer()
			server := start(b, dir)
			b.StopTimer()
			require.NoError(b, server.Close())
			b.StartTimer()
		}
	})

	b.Run("Warm", func(b *testing.B) {
		dir := disk(b)
		require.NoError(b, start(b, dir).Close())
		for b.Loop() {
			server := start(b, dir)
			b.StopTimer()
			require.NoError(b, server.Close())
			b.StartTimer()
		}
	})

	b.Run("Adopt", func(b *testing.B) {
		dir := disk(b)
		first := start(b, dir)
		for b.Loop() {
			require.NoError(b, start(b, dir).Close())
		}
		require.NoError(b, first.Close())
	})

	b.Run("Stop", func(b *testing.B) {
		dir := disk(b)
		require.NoError(b, start(b, dir).Close())
		for b.Loop() {
			b.StopTimer()
			server := start(b, dir)
			b.StartTimer()
			require.NoError(b, server.Close())
		}
	})

	b.Run("TemporaryWithStop", func(b *testing.B) {
		for b.Loop() {
			server, err := StartTemporary(b.Context(), Config{})
			require.NoError(b, err)
			require.NoError(b, server.Close())
		}
	})
}

// BenchmarkNotice measures how soon after kill -9 of the server Done is closed.
func BenchmarkNotice(b *testing.B) {
	dir, err := makeDir()
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	cfg := Config{Dir: filepath.Join(dir, "instance"), Settings: fast()}
	for b.Loop() {
		b.StopTimer()
		server, err := Start(b.Context(), cfg)
		require.NoError(b, err)
		file, err := readPidfile(filepath.Join(cfg.Dir, "data"))
		require.NoError(b, err)
		b.StartTimer()
		require.NoError(b, syscall.Kill(file.pid, syscall.SIGKILL))
		<-server.Done()
		b.StopTimer()
		require.NoError(b, server.Close())
		b.StartTimer()
	}
	server, err := Start(b.Context(), cfg) // clears up after the last one
	require.NoError(b, err)
	require.NoError(b, server.Close())
}
