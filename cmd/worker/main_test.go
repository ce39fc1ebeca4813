package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tweetqueue/store/storetest"
)

// patience is for what takes milliseconds on a quiet machine.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests mostly wait: for the time of a tweet, or for a program that they have started.
	_ = flag.Set("test.parallel", "8")
	code := storetest.Main(m)
	if err := removeBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// The binaries, built once and only if a test wants them, as a release is.
var (
	builtWorker  = sync.OnceValues(func() (string, error) { return build("worker") })
	builtEnqueue = sync.OnceValues(func() (string, error) { return build("enqueue") })
	binaryDir    = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "tweetqueue-binaries-") })
)

func build(name string) (string, error) {
	dir, err := binaryDir()
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // also for a test that becomes another user
		return "", err
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "../"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

func removeBinaries() error {
	dir, err := binaryDir()
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// binary returns the path of a built program.
func binary(t *testing.T, name string) string {
	t.Helper()
	built := builtWorker
	if name == "enqueue" {
		built = builtEnqueue
	}
	path, err := built()
	require.NoError(t, err)
	return path
}

// settings are what a program under test finds in its environment, and nothing else.
type settings map[string]string

func (s settings) lookup(name string) (string, bool) {
	value, ok := s[name]
	return value, ok
}

// with returns a copy with more settings: name, value, and so on. An empty value removes one.
func (s settings) with(pairs ...string) settings {
	all := settings{}
	maps.Copy(all, s)
	for i := 0; i < len(pairs); i += 2 {
		if all[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(all, pairs[i])
		}
	}
	return all
}

// environ is the environment of a process. Whatever is not on this machine is behind a proxy that
// does not exist: Go never uses one for loopback addresses.
func (s settings) environ() []string {
	environ := []string{"PATH=" + os.Getenv("PATH"), "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
	for name, value := range s {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// stateDir returns a new directory for a private database, which the server's user may enter.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(storetest.Dir()), "tweetqueue-state-") //nolint:usetesting // The directory of t.TempDir is too long for a socket, and closed to the server's user.
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, patience, 10*time.Millisecond, "a server whose last user was killed writes until it has stopped")
	})
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// ordinaryUser lets root run a program as somebody else, who owns the directories.
func ordinaryUser(t *testing.T, cmd *exec.Cmd, dirs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.Atoi(nobody.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(nobody.Gid)
	require.NoError(t, err)
	for _, dir := range dirs {
		require.NoError(t, os.Chown(dir, uid, gid))
	}
	cmd.Dir = "/" // this one may be closed to others
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// secretFile writes a setting to a file, with the line break that editors add, and returns its path.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content+"\n"), 0o600))
	return path
}

// requireNone fails if one of the secrets stands in the text.
func requireNone(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		if at := strings.Index(text, secret); at >= 0 {
			require.Failf(t, "a secret is told", "%q in: %s", secret, text[max(0, at-100):min(len(text), at+len(secret)+20)])
		}
	}
}
