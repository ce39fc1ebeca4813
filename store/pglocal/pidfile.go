package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pidfile is what a server writes of itself into its data directory, as postmaster.pid. A
// server that was killed leaves it behind.
type pidfile struct {
	pid       int
	socketDir string // "" until the server has its socket
	status    string // "starting", "ready", "stopping", "standby"; "" before that
}

// errEmptyPidfile: a server creates the file before it fills it, within microseconds; and a
// power cut can leave it empty for good.
var errEmptyPidfile = errors.New("postmaster.pid is empty")

// readPidfile reads postmaster.pid. The error is fs.ErrNotExist where no server has run, or the
// last one ended in order, and fs.ErrPermission where the data belongs to another user.
// Its lines (PostgreSQL's miscadmin.h): pid, data directory, start time, port, socket directory,
// listen address, shared memory key, status.
func readPidfile(data string) (pidfile, error) {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		return pidfile{}, err
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return pidfile{}, errEmptyPidfile
	}
	lines := strings.Split(string(text), "\n")
	var file pidfile
	// A single-user server (pg_upgrade, a repair by hand) writes its pid as a negative number.
	if file.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil || file.pid == 0 {
		return pidfile{}, fmt.Errorf("%s does not begin with a process id: %q", path, lines[0])
	}
	if len(lines) > 4 {
		file.socketDir = lines[4]
	}
	if len(lines) > 7 {
		file.status = strings.TrimSpace(lines[7])
	}
	return file, nil
}

// answers reports whether a server listens on the socket in dir. It sends nothing, which
// the server's log does not mention.
func answers(ctx context.Context, dir string) (bool, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", filepath.Join(dir, socketName))
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, fs.ErrPermission), ctx.Err() != nil:
		return false, err
	default:
		return false, nil
	}
}

// refuseAnswering is for when no process of a server is to be found: in another container the
// same number means another process, but the socket is the same. A server that was just killed
// may answer for a moment longer, as far as its children have not closed the socket yet.
func (in *instance) refuseAnswering(ctx context.Context, dir string) error {
	const linger = 2 * time.Second
	err := poll(ctx, in.progress(linger), func() (bool, error) {
		alive, err := answers(ctx, dir)
		return !alive, err
	})
	if errors.Is(err, errStalled) {
		return fmt.Errorf("a server answers in %s, but its process is not to be seen from here (another container?): stop it there first", dir)
	}
	return err
}
