package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrLocked says that another process went on starting or stopping the server of this
// directory for longer than Config.StartTimeout, without any sign of progress.
var ErrLocked = errors.New("another process holds the start lock")

// fileLock is an advisory flock on a file of the instance. The kernel drops it when the process
// dies, so that nothing has to be cleaned up after kill -9.
type fileLock struct {
	file *os.File
}

// openLock opens the lock file at path, without locking it. The mode keeps other users of the
// machine from taking, and so blocking, the lock.
func openLock(path string) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return &fileLock{file: file}, nil
}

// try takes the lock (syscall.LOCK_EX or LOCK_SH) if nobody holds it in a conflicting way, and
// reports whether it did. A shared lock that cannot be made exclusive is lost.
func (l *fileLock) try(how int) (bool, error) {
	for {
		err := syscall.Flock(int(l.file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			return false, fmt.Errorf("lock %s (is it on a local file system?): %w", l.file.Name(), err)
		}
	}
}

// release unlocks before it closes: between fork and exec a child shares the open file, and
// with a mere close the lock would live on for that moment, hiding that its holder has left.
func (l *fileLock) release() {
	_ = syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	_ = l.file.Close()
}

// lockStart takes the instance's start lock. It waits for a holder that makes progress (a long
// crash recovery, say) for as long as ctx allows, for any other at most limit.
func (in *instance) lockStart(ctx context.Context, limit time.Duration) (*fileLock, error) {
	lock, err := openLock(in.path("start.lock"))
	if err != nil {
		return nil, err
	}
	err = poll(ctx, in.progress(limit), func() (bool, error) { return lock.try(syscall.LOCK_EX) })
	if err != nil {
		holder, _ := os.ReadFile(lock.file.Name())
		_ = lock.file.Close()
		if errors.Is(err, errStalled) {
			return nil, fmt.Errorf("%w: process %s has held %s for %s: wait for it, or end it",
				ErrLocked, strings.TrimSpace(string(holder)), lock.file.Name(), limit)
		}
		return nil, fmt.Errorf("wait for the start lock: %w", err)
	}
	// The content only names the holder in the error above, so a failure to write it is harmless.
	_ = lock.file.Truncate(0)
	_, _ = lock.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return lock, nil
}
