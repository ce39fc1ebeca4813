package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// temporaryPrefix begins the directory name of every temporary instance.
	temporaryPrefix = "tweetqueue-temporary-"
	// temporaryMark is the file in it that allows its removal. It is written once its owner
	// holds the users lock, so whoever gets that lock and sees the mark knows the owner is dead.
	temporaryMark = "temporary"
	// temporaryRoom is the least free space to put one into /dev/shm, which Docker limits to
	// 64 MB: a new cluster is 40 MB, and its log of changes may grow.
	temporaryRoom = 512 << 20
)

// StartTemporary starts a new server that forgets everything: its data is made anew, is not
// written through to disk, and is removed by Close, which also stops it if others have
// adopted it meanwhile. Those that killed processes left behind are removed first.
func StartTemporary(ctx context.Context, cfg Config) (*Server, error) {
	return newHost().startTemporary(ctx, cfg)
}

func (h *host) startTemporary(ctx context.Context, cfg Config) (*Server, error) {
	parent := cfg.Dir
	if parent == "" {
		parent = h.temporaryParent()
	}
	h.sweep(parent)
	dir, err := os.MkdirTemp(parent, temporaryPrefix)
	if err != nil {
		return nil, fmt.Errorf("start a temporary PostgreSQL: %w", err)
	}
	if h.uid == 0 { // the server's user has to pass
		err = os.Chmod(dir, 0o755) //nolint:gosec // what is private in it has its own mode
	}
	settings := map[string]string{
		// In the data directory, so that a killed server leaves nothing in /dev/shm.
		"dynamic_shared_memory_type": "mmap",
		"fsync":                      "off",
		"full_page_writes":           "off",
		"synchronous_commit":         "off",
	}
	maps.Copy(settings, cfg.Settings)
	cfg.Dir, cfg.Settings = dir, settings
	var server *Server
	if err == nil {
		cfg, err = cfg.withDefaults()
	}
	if err == nil {
		in := &instance{cfg: cfg, dir: cfg.Dir, host: h, temporary: true}
		server, err = in.start(ctx)
	}
	if err != nil {
		// Nothing runs in it: a failed start has stopped what it started.
		return nil, fmt.Errorf("start a temporary PostgreSQL in %s: %w", dir, errors.Join(err, os.RemoveAll(dir)))
	}
	return server, nil
}

// temporaryParent is a place that everybody may enter and that has room.
func (h *host) temporaryParent() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(h.shmDir, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= temporaryRoom {
		return h.shmDir
	}
	return h.tempDir
}

// sweep stops and removes the temporary instances in parent whose owner was killed. It is not
// what the caller came for, so that nothing it meets is an error.
func (h *host) sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		in := &instance{dir: filepath.Join(parent, entry.Name()), host: h, temporary: true}
		uid, err := linkOwner(in.dir)
		if err == nil && uid == h.uid && entry.IsDir() && strings.HasPrefix(entry.Name(), temporaryPrefix) {
			_ = in.sweep()
		}
	}
}

func (in *instance) sweep() error {
	if _, err := os.Lstat(in.path(temporaryMark)); errors.Is(err, fs.ErrNotExist) {
		return nil // its owner is about to lock it
	}
	lock, err := in.lockStart(context.Background(), time.Millisecond)
	if err != nil {
		return err
	}
	defer lock.release()
	users, err := openLock(in.path("users"))
	if err != nil {
		return err
	}
	defer users.release()
	if alone, err := users.try(syscall.LOCK_EX); err != nil || !alone {
		return err
	}
	if err := in.stop(); err != nil {
		return err
	}
	return in.remove()
}
