package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// leave gives up a user's place, which it releases, and stops the server if it was the last.
func (in *instance) leave(users *fileLock) error {
	lock, err := in.lockStart(context.Background(), in.cfg.StartTimeout)
	if err != nil {
		users.release()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary instance that its owner has removed
		}
		return fmt.Errorf("leave the private PostgreSQL in %s: %w", in.dir, err)
	}
	defer lock.release()
	defer users.release() // first: who has the start lock next finds nobody's exclusive lock
	last, err := users.try(syscall.LOCK_EX)
	if err == nil && (last || in.temporary) {
		err = in.stop()
	}
	if err == nil && in.temporary {
		err = in.remove()
	}
	if err != nil {
		return fmt.Errorf("stop the private PostgreSQL in %s: %w", in.dir, err)
	}
	return nil
}

// stop ends the server that runs now, whoever started it: after a crash it may be another than
// the one that this user once got.
func (in *instance) stop() error {
	file, err := readPidfile(in.path("data"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errEmptyPidfile) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := openProcess(max(file.pid, -file.pid))
	if err != nil {
		return err
	}
	defer p.release()
	if file.pid < 0 || identify(context.Background(), file.pid, in.path("data")) != server {
		return nil
	}
	return p.stop(in.host.ladder)
}

// remove deletes a temporary instance, and nothing else.
func (in *instance) remove() error {
	if _, err := os.Lstat(in.path(temporaryMark)); err != nil {
		return fmt.Errorf("remove temporary instance: %w", err)
	}
	if dir := in.socketPath(); dir != in.path("sock") {
		_ = os.Remove(dir) // empty, or it is not ours
	}
	if err := os.RemoveAll(in.dir); err != nil {
		return fmt.Errorf("remove temporary instance: %w", err)
	}
	return nil
}
