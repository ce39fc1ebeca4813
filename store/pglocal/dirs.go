package pglocal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// SystemDir is the instance of root, and so of a worker that runs as a system service.
const SystemDir = "/var/lib/tweetqueue/postgres"

// DefaultDir returns the instance that belongs to user uid when nothing is configured: SystemDir
// for root, else tweetqueue/postgres in $XDG_STATE_HOME, which is ~/.local/state if unset. It
// makes nothing.
func DefaultDir(lookupEnv func(string) (string, bool), uid int) (string, error) {
	if uid == 0 {
		return SystemDir, nil
	}
	// The XDG specification has relative paths ignored.
	if state, _ := lookupEnv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "tweetqueue", "postgres"), nil
	}
	home, _ := lookupEnv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("no place for the private database: set HOME or XDG_STATE_HOME to an absolute path, or DATABASE_URL")
	}
	return filepath.Join(home, ".local", "state", "tweetqueue", "postgres"), nil
}

// prepareDir makes the instance's directory, or checks that the one there may be trusted.
func (in *instance) prepareDir() error {
	if err := in.host.mkdirAll(in.dir); err != nil {
		return fmt.Errorf("make instance directory: %w", err)
	}
	info, err := os.Stat(in.dir)
	if err != nil {
		return fmt.Errorf("check instance directory: %w", err)
	}
	uid, _, err := owner(in.dir)
	switch {
	case err != nil:
		return fmt.Errorf("check instance directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", in.dir)
	case uid != in.host.uid:
		return fmt.Errorf("%s belongs to user %d, this is user %d: run as its owner, or use a directory of your own: %w",
			in.dir, uid, in.host.uid, fs.ErrPermission)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%s may be written by everybody, who could then take the database over: chmod o-w %[1]s", in.dir)
	}
	return nil
}

// mkdirAll makes dir and its missing parents: closed to others, except as root, where the
// server's unprivileged user has to pass, whatever the umask says.
func (h *host) mkdirAll(dir string) error {
	if h.uid != 0 {
		return os.MkdirAll(dir, 0o700)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.mkdirAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // see above
		if errors.Is(err, fs.ErrExist) {
			return nil // another process was faster
		}
		return err
	}
	return os.Chmod(dir, 0o755) //nolint:gosec // see above
}

// longestSocket is what fits a socket address on Linux and on macOS, without its final zero.
const longestSocket = 103

// socketName is PostgreSQL's name for the socket of port 5432, the only port that is used.
const socketName = ".s.PGSQL." + port

// socketPath is the directory for the socket: in the instance, or, where that path is too long
// or cannot stand in a connection string, in the directory for temporary files.
func (in *instance) socketPath() string {
	dir := in.path("sock")
	if len(filepath.Join(dir, socketName)) <= longestSocket && !strings.ContainsAny(dir, `,"`) {
		return dir
	}
	sum := sha256.Sum256([]byte(in.dir))
	return filepath.Join(in.host.tempDir, fmt.Sprintf("tweetqueue-%d-%x", in.host.uid, sum[:6]))
}

// socketDir makes that directory. The one for temporary files is open to everybody and the
// name in it can be guessed, so that it matters who made it first.
func (in *instance) socketDir(as account) (string, error) {
	dir := in.socketPath()
	if len(filepath.Join(dir, socketName)) > longestSocket {
		return "", fmt.Errorf("socket path %s is longer than %d bytes: set TMPDIR to a shorter path, or use a shorter instance directory than %s",
			filepath.Join(dir, socketName), longestSocket, in.dir)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	// A directory that root has just made, or had made when it was killed, still is root's.
	if uid, err := linkOwner(dir); err == nil && uid == in.host.uid && uid != as.uid {
		if err := os.Lchown(dir, as.uid, as.gid); err != nil {
			return "", fmt.Errorf("make socket directory: %w", err)
		}
	}
	return dir, checkSocketDir(dir, as.uid)
}

// checkSocketDir refuses a directory that somebody else could put a socket into, or reach ours
// in: everybody who reaches the socket is the database's superuser.
func checkSocketDir(dir string, uid int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check socket directory: %w", err)
	}
	got, err := linkOwner(dir)
	switch {
	case err != nil:
		return fmt.Errorf("check socket directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s stands where the socket directory belongs: remove it", dir)
	case got != uid:
		return fmt.Errorf("socket directory %s belongs to user %d, not to %d: remove it, or set TMPDIR to another directory", dir, got, uid)
	case info.Mode().Perm() != 0o700:
		return fmt.Errorf("socket directory %s has mode %o: chmod 700 %[1]s", dir, info.Mode().Perm())
	}
	return nil
}

// linkOwner is owner for path itself, should it be a link.
func linkOwner(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("no owner known of %s: %w", path, errors.ErrUnsupported)
	}
	return int(stat.Uid), nil
}
