package pglocal

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// patience is for what takes milliseconds on a quiet machine.
const patience = 60 * time.Second

// helperArg makes the test binary a user of a server in a process of its own: it starts or
// adopts, says so, and closes at the end of its standard input.
const helperArg = "pglocal-helper"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		if err := helperMain(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	seed, err := seedOnce()
	if err == nil {
		err = os.RemoveAll(filepath.Dir(seed))
	}
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// report is what the helper says, a JSON line each.
type report struct {
	Adopted bool
	Closed  bool
	Dir     string
	Error   string
	Gone    string
	URL     string
}

func helperMain(verb string, args []string) error {
	ctx := context.Background()
	say := json.NewEncoder(os.Stdout)
	var server *Server
	var err error
	switch verb {
	case "find":
		dir, _, err := Find(ctx, args...)
		r := report{Dir: dir}
		if err != nil {
			r.Error = err.Error()
		}
		return say.Encode(r)
	case "start":
		server, err = Start(ctx, Config{Dir: args[0], Settings: fast()})
	case "temporary":
		server, err = StartTemporary(ctx, Config{Dir: args[0]})
	}
	if err != nil {
		return say.Encode(report{Error: err.Error()})
	}
	if err := say.Encode(report{Adopted: server.Adopted(), Dir: server.Dir(), URL: server.URL()}); err != nil {
		return err
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-end:
	case <-server.Done():
		if err := say.Encode(report{Gone: server.Err().Error()}); err != nil {
			return err
		}
		<-end
	}
	if err := server.Close(); err != nil {
		return say.Encode(report{Error: err.Error()})
	}
	return say.Encode(report{Closed: true})
}

// helper is a running helper process.
type helper struct {
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	said chan report
}

func startHelper(t *testing.T, verb string, args ...string) *helper {
	t.Helper()
	return startHelperAs(t, func(*exec.Cmd) {}, verb, args...)
}

func startHelperAs(t *testing.T, change func(*exec.Cmd), verb string, args ...string) *helper {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, append([]string{helperArg, verb}, args...)...)
	cmd.Stderr = os.Stderr
	change(cmd)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &helper{cmd: cmd, in: in, out: bufio.NewReader(out), said: make(chan report, 8)}
	go func() {
		defer close(h.said)
		for decoder := json.NewDecoder(out); ; {
			var r report
			if decoder.Decode(&r) != nil {
				return
			}
			h.said <- r
		}
	}()
	t.Cleanup(func() { h.kill() })
	return h
}

// next returns what the helper says next, which must not be an error.
func (h *helper) next(t *testing.T) report {
	t.Helper()
	r := h.nextAny(t)
	require.Empty(t, r.Error)
	return r
}

func (h *helper) nextAny(t *testing.T) report {
	t.Helper()
	select {
	case r, ok := <-h.said:
		require.True(t, ok, "the helper has ended")
		return r
	case <-time.After(patience):
		require.FailNow(t, "the helper says nothing")
		panic("unreachable")
	}
}

// leave has the helper close its server.
func (h *helper) leave(t *testing.T) {
	t.Helper()
	require.NoError(t, h.in.Close())
	require.True(t, h.next(t).Closed)
	h.kill()
}

// kill is kill -9, and waits for the end.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	for range h.said {
	}
	_ = h.cmd.Wait()
}

// fast are settings for data that nobody needs tomorrow. The servers that are killed here would
// fill /dev/shm otherwise.
func fast() map[string]string {
	return map[string]string{"fsync": "off", "dynamic_shared_memory_type": "mmap"}
}

// base is where the tests' directories are: in memory if possible, and enterable by the user
// that root's server runs as, which t.TempDir is not.
func base() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return "/tmp"
}

func newDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDir()
	require.NoError(t, err)
	t.Cleanup(func() {
		requireNoServersUnder(t, dir)
		require.NoError(t, os.RemoveAll(dir))
	})
	return dir
}

func makeDir() (string, error) {
	dir, err := os.MkdirTemp(base(), "pglocal-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// servers counts the servers that run on data in or under dir.
func servers(t *testing.T, dir string) int {
	t.Helper()
	return strings.Count(commands(t), "/postgres -D "+dir+"/")
}

// commands lists the command lines of all processes, one a line. A minimal Linux has no ps.
func commands(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-axww", "-o", "args=").Output()
		require.NoError(t, err)
		return string(out)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var lines strings.Builder
	for _, file := range files {
		args, _ := os.ReadFile(file) // it may have ended just now
		lines.WriteString(strings.ReplaceAll(string(args), "\x00", " ") + "\n")
	}
	return lines.String()
}

// environment is what a process was given.
func environment(t *testing.T, pid int) string {
	t.Helper()
	if runtime.GOOS == "linux" {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		require.NoError(t, err)
		return string(env)
	}
	out, err := exec.Command("ps", "eww", "-p", strconv.Itoa(pid)).Output()
	require.NoError(t, err)
	return string(out)
}

// seedOnce makes one data directory, of which most tests use copies: a copy takes 0.1 s and
// initdb one second.
var seedOnce = sync.OnceValues(func() (string, error) {
	dir, err := makeDir()
	if err != nil {
		return "", err
	}
	server, err := Start(context.Background(), Config{Dir: filepath.Join(dir, "seed"), Settings: fast()})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "seed"), server.Close()
})

// seededDir is an instance that has been used before.
func seededDir(t *testing.T) string {
	t.Helper()
	seed, err := seedOnce()
	require.NoError(t, err)
	dir := filepath.Join(newDir(t), "instance")
	require.NoError(t, exec.Command("cp", "-a", seed, dir).Run())
	require.NoError(t, os.Remove(filepath.Join(dir, "postgres.log")))
	return dir
}

func startIn(t *testing.T, dir string) *Server {
	t.Helper()
	server, err := Start(t.Context(), Config{Dir: dir, Settings: fast()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

// query runs one statement and returns its first column as text.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var text *string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&text))
	if text == nil {
		return ""
	}
	return *text
}

// serverPid is the pid of the server that runs in dir.
func serverPid(t *testing.T, dir string) int {
	t.Helper()
	file, err := readPidfile(filepath.Join(dir, "data"))
	require.NoError(t, err)
	return file.pid
}

func requireNoServer(t *testing.T, dir string) {
	t.Helper()
	require.NoFileExists(t, filepath.Join(dir, "data", "postmaster.pid"))
	requireNoServersUnder(t, dir)
}

// requireNoServersUnder gives the last children of a killed server, which look like it, a moment.
func requireNoServersUnder(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool { return servers(t, dir) == 0 }, patience, 10*time.Millisecond, "a server was left behind")
}

func waitDone(t *testing.T, server *Server) {
	t.Helper()
	select {
	case <-server.Done():
	case <-time.After(patience):
		require.FailNow(t, "nobody noticed")
	}
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, signal))
}

// testInstance is an instance whose host the test may change.
func testInstance(t *testing.T, dir string) *instance {
	t.Helper()
	cfg, err := Config{Dir: dir, Settings: fast()}.withDefaults()
	require.NoError(t, err)
	return &instance{cfg: cfg, dir: dir, host: newHost()}
}

func noUser(string) (*user.User, error) { return nil, user.UnknownUserError("postgres") }

// session is a connection that is left to itself after a query.
type session struct{ conn *pgconn.PgConn }

func connectPg(t *testing.T, url string) *session {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &session{conn: conn}
}

// send does not wait for the answer.
func (s *session) send(t *testing.T, sql string) {
	t.Helper()
	s.conn.Frontend().SendQuery(&pgproto3.Query{String: sql})
	require.NoError(t, s.conn.Frontend().Flush())
}
