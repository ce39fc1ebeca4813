package pglocal

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *fileLock {
		lock, err := openLock(path)
		require.NoError(t, err)
		return lock
	}
	try := func(lock *fileLock, how int, want bool) {
		t.Helper()
		got, err := lock.try(how)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	one, other := open(), open()
	try(one, syscall.LOCK_SH, true)
	try(other, syscall.LOCK_SH, true)
	try(one, syscall.LOCK_EX, false)
	other.release()
	try(one, syscall.LOCK_EX, true)
	other = open()
	try(other, syscall.LOCK_SH, false)

	// What a child has between fork and exec.
	child, err := syscall.Dup(int(one.file.Fd()))
	require.NoError(t, err)
	one.release()
	try(other, syscall.LOCK_EX, true)
	require.NoError(t, syscall.Close(child))
	other.release()

	_, err = openLock(filepath.Join(path, "under a file"))
	require.ErrorIs(t, err, syscall.ENOTDIR)
}
