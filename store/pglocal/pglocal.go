package pglocal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// port is only a part of the socket's name; nothing listens on a network.
	port = "5432"
	// superuser is the only role that a new instance has.
	superuser       = "tweetqueue"
	defaultDatabase = "tweetqueue"
	// defaultStartTimeout bounds silence, not the start; see Config.StartTimeout.
	defaultStartTimeout = time.Minute
)

// ErrServerGone says that the server ended while it was in use, by a crash or by somebody's
// hand. Start again to recover it.
var ErrServerGone = errors.New("the private PostgreSQL server is gone")

// Config says which server to run. Only Dir is required.
type Config struct {
	// BinDir holds postgres and initdb. Empty: the newest that is installed, or the one of the
	// major version of the data that is there.
	BinDir string
	// Database is created if it does not exist. Default: tweetqueue.
	Database string
	// Dir is the instance: an absolute path, made if it does not exist. For StartTemporary it is
	// where the new instance's directory is made; empty there: /dev/shm if it has room, else the
	// directory for temporary files.
	Dir string
	// Settings are server parameters (postgresql.conf) on top of the package's own, for example
	// {"fsync": "off"}. They count for whoever starts the server; who adopts it takes it as it
	// is. What keeps the server on its private socket cannot be set.
	Settings map[string]string
	// StartTimeout is the longest wait without any progress: of the server while it starts, of
	// another process that is starting it. A crash recovery that goes on reporting is waited
	// for, as long as the context allows. Default: 1 minute; PostgreSQL reports every 10 s.
	StartTimeout time.Duration
}

// Server is one user's hold on a running server. Its methods are safe for concurrent use.
type Server struct {
	adopted   bool
	closed    func() error // runs once
	done      chan struct{}
	err       error // why done was closed; written before that, read after
	in        *instance
	stopWatch context.CancelFunc
	url       string
	users     *fileLock
	watched   chan struct{} // closed when the watching goroutine has ended
}

// Start starts the server of cfg.Dir, or adopts it if it runs already, in this process or
// another. ctx bounds the start only; an initdb under way is let finish when it ends. The errors: ErrNoBinaries, ErrVersionMismatch, ErrLocked,
// fs.ErrPermission for a directory of another user's, and what PostgreSQL itself complains of,
// with the end of its log.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	return newHost().start(ctx, cfg)
}

// URL is the connection string, in the form that both pgx and libpq (psql) read:
// postgres://tweetqueue@/DATABASE?host=DIR&port=5432&sslmode=disable. It holds no secret: who
// may enter the directory may connect.
func (s *Server) URL() string { return s.url }

// Adopted reports whether the server ran before this Start.
func (s *Server) Adopted() bool { return s.adopted }

// Dir is the instance's directory.
func (s *Server) Dir() string { return s.in.dir }

// Done is closed when the server is gone: it died, somebody else stopped it, or Close let go of
// it. PostgreSQL's own restart after the crash of one session does not count. With a pidfd
// it is noticed within milliseconds, elsewhere within a quarter of a second.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil as long as Done is open, and after a Close; otherwise it wraps ErrServerGone.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close gives the server up. The last user stops it; a temporary one is stopped and removed.
// Every call returns what the first one did.
func (s *Server) Close() error { return s.closed() }

// watch closes done when the server ends, unless Close comes first.
func (s *Server) watch(ctx context.Context, p *process) {
	defer close(s.watched)
	defer close(s.done)
	defer p.release()
	if err := p.wait(ctx); err == nil {
		s.err = fmt.Errorf("%w: process %d %s; the end of %s:\n%s",
			ErrServerGone, p.pid, p.how(), s.in.path("postgres.log"), s.in.logTail(0))
	}
}

// release is Close's first run.
func (s *Server) release() error {
	s.stopWatch()
	<-s.watched
	return s.in.leave(s.users)
}

// handOver makes the Server for a started or adopted server and begins to watch it.
func (in *instance) handOver(running *postmaster, users *fileLock) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		adopted:   running.adopted,
		done:      make(chan struct{}),
		in:        in,
		stopWatch: cancel,
		url:       connString(running.socketDir, in.cfg.Database),
		users:     users,
		watched:   make(chan struct{}),
	}
	s.closed = sync.OnceValue(s.release)
	go s.watch(ctx, running.process)
	return s
}

// connString writes the URL. libpq, unlike pgx, does not read "+" as a space.
func connString(socketDir, database string) string {
	host := strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(socketDir))
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s&sslmode=disable",
		superuser, url.PathEscape(database), host, port)
}

var settingName = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)?$`)

// withDefaults checks the configuration, reporting all that is wrong with it at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Database == "" {
		c.Database = defaultDatabase
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = defaultStartTimeout
	}
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("Dir %q is not an absolute path", c.Dir))
	} else if c.Dir = filepath.Clean(c.Dir); strings.ContainsAny(c.Dir, "\n\x00") {
		errs = append(errs, fmt.Errorf("Dir %q contains a line break", c.Dir))
	}
	if c.BinDir != "" && !filepath.IsAbs(c.BinDir) {
		errs = append(errs, fmt.Errorf("BinDir %q is not an absolute path", c.BinDir))
	}
	if c.StartTimeout < 0 {
		errs = append(errs, fmt.Errorf("StartTimeout %s is negative", c.StartTimeout))
	}
	if len(c.Database) > 63 || strings.ContainsRune(c.Database, 0) {
		errs = append(errs, fmt.Errorf("Database %q is longer than 63 bytes or contains a zero byte", c.Database))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		switch {
		case !settingName.MatchString(name):
			errs = append(errs, fmt.Errorf("Settings: %q is no name of a server parameter", name))
		case slices.Contains(fixedSettings(), name):
			errs = append(errs, fmt.Errorf("Settings: %s is fixed, because the private socket is what protects the server", name))
		}
	}
	if len(errs) > 0 {
		return Config{}, fmt.Errorf("configure the private PostgreSQL: %w", errors.Join(errs...))
	}
	return c, nil
}
