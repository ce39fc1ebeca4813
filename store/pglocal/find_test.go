package pglocal

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	t.Parallel()

	t.Run("TheFirstThatRuns", func(t *testing.T) {
		t.Parallel()
		absent, idle, dir := filepath.Join(newDir(t), "absent"), seededDir(t), seededDir(t)
		found, ok, err := Find(t.Context(), absent, idle, dir)
		require.NoError(t, err)
		require.False(t, ok)
		require.Empty(t, found)
		require.NoDirExists(t, absent)

		server := startIn(t, dir)
		found, ok, err = Find(t.Context(), absent, idle, dir)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, dir, found)

		startIn(t, idle)
		found, _, err = Find(t.Context(), absent, idle, dir)
		require.NoError(t, err)
		require.Equal(t, idle, found)
		require.NoError(t, server.Close())
		_, ok, err = Find(t.Context(), dir)
		require.NoError(t, err)
		require.False(t, ok)
		require.Zero(t, logged(t, idle, "incomplete startup packet"), "it leaves no trace")
	})

	t.Run("NotACrashedOne", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		kill(t, serverPid(t, dir), syscall.SIGKILL)
		waitDone(t, server)
		_, ok, err := Find(t.Context(), dir)
		require.NoError(t, err)
		require.False(t, ok)
		startIn(t, dir) // clears the killed server's memory up
	})

	t.Run("NotOneThatMayNotBeEntered", func(t *testing.T) {
		t.Parallel()
		denied, own := seededDir(t), seededDir(t)
		if os.Geteuid() != 0 {
			require.NoError(t, os.Chmod(filepath.Join(denied, "data"), 0))
			_, ok, err := Find(t.Context(), denied, own)
			require.False(t, ok)
			require.ErrorIs(t, err, fs.ErrPermission)
			var which *DeniedError
			require.ErrorAs(t, err, &which)
			require.Equal(t, []string{denied}, which.Dirs)
			closed := filepath.Join(denied, "data", "absent")
			_, _, err = Find(t.Context(), closed)
			require.ErrorIs(t, err, fs.ErrPermission)
			require.ErrorContains(t, err, "stat "+closed+": permission denied")
			startIn(t, own)
			found, ok, err := Find(t.Context(), denied, own)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, own, found)
			require.NoError(t, os.Chmod(filepath.Join(denied, "data"), 0o700))
			return
		}
		// Root's instance runs, and a user looks for it. Only a copy of this program is where
		// that user may run it.
		startIn(t, denied)
		program := filepath.Join(newDir(t), "program")
		require.NoError(t, exec.Command("cp", os.Args[0], program).Run())
		asNobody := func(dirs ...string) report {
			return startHelperAs(t, func(cmd *exec.Cmd) {
				cmd.Path, cmd.Dir = program, "/"
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}, "find", dirs...).nextAny(t)
		}
		r := asNobody(denied)
		require.Contains(t, r.Error, denied+" belongs to another user")
		require.Empty(t, r.Dir)
		require.NoError(t, os.Chmod(filepath.Join(denied, "data"), 0o755))
		require.Contains(t, asNobody(denied).Error, denied, "the socket's directory is closed, too")
		closed := filepath.Join(denied, "sock", "absent")
		r = asNobody(closed)
		require.Contains(t, r.Error, "stat "+closed+": permission denied: use a directory of your own")
		require.NotContains(t, r.Error, "belongs")
		require.NoError(t, os.Chmod(filepath.Join(denied, "data"), 0o700))
	})

	t.Run("CalledOff", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := Find(ctx, seededDir(t))
		require.ErrorIs(t, err, context.Canceled)
	})
}
