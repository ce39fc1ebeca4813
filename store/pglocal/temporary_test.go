package pglocal

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTemporary(t *testing.T) {
	t.Parallel()

	t.Run("IsNewAndThenGone", func(t *testing.T) {
		t.Parallel()
		parent := newDir(t)
		first, err := StartTemporary(t.Context(), Config{Dir: parent, Settings: map[string]string{"work_mem": "5MB"}})
		require.NoError(t, err)
		second, err := StartTemporary(t.Context(), Config{Dir: parent})
		require.NoError(t, err)
		require.NotEqual(t, first.Dir(), second.Dir())
		require.Equal(t, "off off 5MB", query(t, first.URL(),
			`SELECT concat_ws(' ', current_setting('fsync'), current_setting('synchronous_commit'), current_setting('work_mem'))`))
		require.NoError(t, first.Close())
		require.NoError(t, first.Close())
		require.NoDirExists(t, first.Dir())
		require.Equal(t, "1", query(t, second.URL(), `SELECT '1'`))
		require.NoError(t, second.Close())
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("EndsForItsAdoptersToo", func(t *testing.T) {
		t.Parallel()
		server, err := StartTemporary(t.Context(), Config{Dir: newDir(t)})
		require.NoError(t, err)
		adopter, err := Start(t.Context(), Config{Dir: server.Dir()})
		require.NoError(t, err)
		require.NoError(t, server.Close())
		waitDone(t, adopter)
		require.ErrorIs(t, adopter.Err(), ErrServerGone)
		require.NoError(t, adopter.Close(), "there is nothing left to stop")
		require.NoDirExists(t, server.Dir())
	})

	t.Run("OfKilledProcessesIsSweptUp", func(t *testing.T) {
		t.Parallel()
		parent := newDir(t)
		dead, alive := startHelper(t, "temporary", parent), startHelper(t, "temporary", parent)
		deadDir, aliveURL := dead.next(t).Dir, alive.next(t).URL
		dead.kill()
		// What only looks like one is left alone: no mark, another name.
		unmarked, other := filepath.Join(parent, temporaryPrefix+"x"), filepath.Join(parent, "precious")
		for _, dir := range []string{unmarked, other} {
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
		}
		require.NoError(t, os.WriteFile(filepath.Join(other, temporaryMark), nil, 0o600))
		server, err := StartTemporary(t.Context(), Config{Dir: parent})
		require.NoError(t, err)
		require.NoDirExists(t, deadDir)
		requireNoServersUnder(t, deadDir)
		require.FileExists(t, filepath.Join(unmarked, "file"))
		require.FileExists(t, filepath.Join(other, "file"))
		require.Equal(t, "1", query(t, aliveURL, `SELECT '1'`))
		require.NoError(t, server.Close())
		alive.leave(t)
	})

	t.Run("LeavesNothingWhenItCannotStart", func(t *testing.T) {
		t.Parallel()
		parent := newDir(t)
		_, err := StartTemporary(t.Context(), Config{Dir: parent, Settings: map[string]string{"max_connections": "many"}})
		require.ErrorContains(t, err, "max_connections")
		_, err = StartTemporary(t.Context(), Config{Dir: parent, Settings: map[string]string{"port": "1"}})
		require.ErrorContains(t, err, "port is fixed")
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left)
		_, err = StartTemporary(t.Context(), Config{Dir: filepath.Join(parent, "absent")})
		require.ErrorIs(t, err, os.ErrNotExist)
	})

	t.Run("RemovesNothingButItsOwn", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		in := testInstance(t, dir)
		require.Error(t, in.remove())
		require.DirExists(t, filepath.Join(dir, "data"))
	})

	t.Run("GoesWhereThereIsRoom", func(t *testing.T) {
		t.Parallel()
		absent := &host{shmDir: "/nowhere", tempDir: "/tmp"}
		require.Equal(t, "/tmp", absent.temporaryParent())
		var disk syscall.Statfs_t
		require.NoError(t, syscall.Statfs(base(), &disk))
		here := &host{shmDir: base(), tempDir: "/elsewhere"}
		want := "/elsewhere"
		if disk.Bavail*uint64(disk.Bsize) >= temporaryRoom {
			want = base()
		}
		require.Equal(t, want, here.temporaryParent())
	})

	t.Run("SocketElsewhereIsRemovedToo", func(t *testing.T) {
		t.Parallel()
		parent := filepath.Join(newDir(t), strings.Repeat("long", 25))
		require.NoError(t, os.Mkdir(parent, 0o755))
		h := newHost()
		h.tempDir = newDir(t)
		server, err := h.startTemporary(t.Context(), Config{Dir: parent})
		require.NoError(t, err)
		sockets, err := os.ReadDir(h.tempDir)
		require.NoError(t, err)
		require.Len(t, sockets, 1)
		require.NoError(t, server.Close())
		sockets, err = os.ReadDir(h.tempDir)
		require.NoError(t, err)
		require.Empty(t, sockets)
	})
}
