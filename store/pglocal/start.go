package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// host is what the package needs of the machine. Tests replace its parts.
type host struct {
	binaries   finder
	ladder     []rung
	lookupUser func(name string) (*user.User, error)
	shmDir     string // memory-backed, for temporary instances
	tempDir    string
	uid        int
}

func newHost() *host {
	return &host{
		binaries:   newFinder(),
		ladder:     defaultLadder(),
		lookupUser: user.Lookup,
		shmDir:     "/dev/shm",
		tempDir:    os.TempDir(),
		uid:        os.Geteuid(),
	}
}

// instance is one directory with its configuration.
type instance struct {
	cfg       Config
	dir       string
	host      *host
	temporary bool // made by StartTemporary, and so removed at the end
}

func (in *instance) path(name string) string { return filepath.Join(in.dir, name) }

// postmaster is a server that runs and may be used.
type postmaster struct {
	adopted   bool
	process   *process
	socketDir string
}

func (h *host) start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	in := &instance{cfg: cfg, dir: cfg.Dir, host: h}
	server, err := in.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the private PostgreSQL in %s: %w", in.dir, err)
	}
	return server, nil
}

// start runs under the start lock throughout, so that of many processes one runs initdb, one
// starts the server, and one creates the database.
func (in *instance) start(ctx context.Context) (_ *Server, err error) {
	if err := in.prepareDir(); err != nil {
		return nil, err
	}
	lock, err := in.lockStart(ctx, in.cfg.StartTimeout)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	users, err := openLock(in.path("users"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			users.release()
		}
	}()
	// It is taken exclusively under the start lock only, so it is free for sharing now.
	if ok, err := users.try(syscall.LOCK_SH); err != nil || !ok {
		return nil, errors.Join(errors.New("join the users of the server"), err)
	}
	if in.temporary {
		if err := os.WriteFile(in.path(temporaryMark), nil, 0o600); err != nil {
			return nil, fmt.Errorf("mark as temporary: %w", err)
		}
	}
	running, err := in.run(ctx)
	if err != nil {
		return nil, err
	}
	if err := in.ensureDatabase(ctx, running); err != nil {
		if !running.adopted {
			err = errors.Join(err, running.process.stop(in.host.ladder))
		}
		running.process.release()
		return nil, err
	}
	return in.handOver(running, users), nil
}

// run adopts the server that runs, or starts one. A start can find its place taken by a server
// whose starter was killed before that server had written its postmaster.pid, or by the last
// processes of a crashed one; both clear up within moments.
func (in *instance) run(ctx context.Context) (*postmaster, error) {
	const patience = 10 * time.Second
	for began := time.Now(); ; {
		running, err := in.adopt(ctx)
		if !errors.Is(err, errNoServer) {
			return running, err
		}
		running, err = in.launch(ctx)
		if early, ok := errors.AsType[*exitError](err); !ok || !early.taken() || time.Since(began) > patience {
			return running, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// errNoServer says that a server may be started.
var errNoServer = errors.New("no server runs")

// adopt returns the server that runs, or errNoServer, which it never concludes from slowness.
func (in *instance) adopt(ctx context.Context) (*postmaster, error) {
	data := in.path("data")
	file, err := in.settledPidfile(ctx)
	if err != nil {
		return nil, err
	}
	if file.pid < 0 {
		if identify(ctx, -file.pid, data) == server {
			return nil, fmt.Errorf("process %d works on the data alone (postgres --single): wait for its end", -file.pid)
		}
		return nil, errNoServer
	}
	p, err := openProcess(file.pid)
	if err != nil {
		return nil, err
	}
	if what := identify(ctx, file.pid, data); what != server {
		p.release()
		if err := in.clearStale(ctx, what, file); err != nil {
			return nil, err
		}
		return nil, errNoServer
	}
	socketDir, err := in.awaitReady(ctx, p)
	switch {
	case errors.Is(err, errEnded): // it was stopping
		p.release()
		return nil, errNoServer
	case err != nil:
		p.release()
		return nil, fmt.Errorf("adopt the server, process %d: %w", file.pid, err)
	}
	if uid, _, err := owner(data); err != nil {
		p.release()
		return nil, err
	} else if err := checkSocketDir(socketDir, uid); err != nil {
		p.release()
		return nil, err
	}
	return &postmaster{adopted: true, process: p, socketDir: socketDir}, nil
}

// settledPidfile reads postmaster.pid; errNoServer says that there is none. It removes one that
// stays empty: it names no process, but PostgreSQL would refuse to start over it.
func (in *instance) settledPidfile(ctx context.Context) (pidfile, error) {
	const settle = 2 * time.Second
	var file pidfile
	err := poll(ctx, in.progress(settle), func() (bool, error) {
		var err error
		file, err = readPidfile(in.path("data"))
		if errors.Is(err, errEmptyPidfile) {
			return false, nil
		}
		return err == nil, err
	})
	if errors.Is(err, errStalled) {
		if err := os.Remove(in.path("data/postmaster.pid")); err != nil {
			return pidfile{}, fmt.Errorf("remove empty postmaster.pid: %w", err)
		}
		return pidfile{}, errNoServer
	}
	if errors.Is(err, fs.ErrNotExist) {
		return pidfile{}, errNoServer
	}
	return file, err
}

// clearStale deals with the postmaster.pid of a server that is dead. PostgreSQL clears it up
// itself if the number is free (and uses what it says of the dead server's memory), but not
// if another program, or an unreaped child, has that number now.
func (in *instance) clearStale(ctx context.Context, what kind, file pidfile) error {
	if file.socketDir != "" {
		if err := in.refuseAnswering(ctx, file.socketDir); err != nil {
			return err
		}
	}
	if what == gone && errors.Is(syscall.Kill(file.pid, 0), syscall.ESRCH) {
		return nil
	}
	if err := os.Remove(in.path("data/postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// errEnded says that the awaited process has ended.
var errEnded = errors.New("the process ended")

// exitError says that the server ended while it was being started.
type exitError struct {
	how string
	log string // what it wrote since it was started
}

func (e *exitError) Error() string {
	return fmt.Sprintf("postgres %s; the end of its log:\n%s", e.how, e.log)
}

// taken reports whether the server found another one's traces that go away by themselves. It
// exits with status 1 for that as for everything else, and its messages are always English.
func (e *exitError) taken() bool {
	return strings.Contains(e.log, "is still in use") || strings.Contains(e.log, `lock file "postmaster.pid" already exists`)
}

// awaitReady waits until the server says that it is ready, and returns its socket's directory.
// It reads the server's file instead of knocking, which would fill the log.
func (in *instance) awaitReady(ctx context.Context, p *process) (string, error) {
	var socketDir, status string
	err := poll(ctx, in.progress(in.cfg.StartTimeout), func() (bool, error) {
		file, err := readPidfile(in.path("data"))
		if err == nil && file.pid == p.pid {
			socketDir, status = file.socketDir, file.status
			if status == "ready" || status == "standby" {
				return true, nil
			}
		}
		if p.exited() {
			return false, errEnded
		}
		return false, nil
	})
	if errors.Is(err, errStalled) {
		return "", fmt.Errorf("the server is %q and has shown no progress for %s, so it is left alone: see %s",
			status, in.cfg.StartTimeout, in.path("postgres.log"))
	}
	return socketDir, err
}
