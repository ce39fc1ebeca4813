package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// shellBlock is a block of commands to type in. Other blocks hold what only the reader can fill in.
var shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")

// TestReadmeCommands types in every command of the README, in order, as a new user with an account
// on the sandbox would. `make test` is what runs this test, and .ci/run.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	var commands []string
	for _, block := range shellBlock.FindAllStringSubmatch(string(readme), -1) {
		for line := range strings.Lines(block[1]) {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	require.Contains(t, commands, "make demo")
	require.Contains(t, commands, "make test")
	ci, err := os.ReadFile(filepath.Join("..", "..", ".ci", "run"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)\bmake test\b`, string(ci))

	env := append(os.Environ(), readmeAccount(t)...)
	for _, command := range commands {
		switch command {
		case "make test": // it is what runs this
		case "bin/worker":
			startReadmeWorker(t, env)
		default:
			// A directory up: the tests run where their package is. The binaries are those that the
			// README's own `make build` has made.
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
			cmd.Dir, cmd.Env = filepath.Join("..", ".."), env
			out, err := cmd.CombinedOutput()
			require.NoErrorf(t, err, "%s\n%s", command, out)
			t.Logf("%s\n%s", command, out)
		}
	}
}

// readmeAccount starts a sandbox with the README's account and returns the environment that its
// reader sets: the four secrets, and for the test another X and another place for the state.
func readmeAccount(t *testing.T) []string {
	t.Helper()
	x, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	app, err := x.AddApp(sandbox.App{})
	require.NoError(t, err)
	_, err = x.AddUser(sandbox.User{Username: "acme"})
	require.NoError(t, err)
	tokens, err := x.Authorize(app.Key, "acme")
	require.NoError(t, err)
	require.NoError(t, x.Start(""))
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return []string{
		"X_API_KEY=" + tokens.APIKey, "X_API_SECRET=" + tokens.APISecret,
		"X_ACCESS_TOKEN=" + tokens.AccessToken, "X_ACCESS_TOKEN_SECRET=" + tokens.AccessTokenSecret,
		"X_API_BASE_URL=" + x.URL(), "TWEETQUEUE_STATE_DIR=" + stateDir(t), "DATABASE_URL=", "TWEETQUEUE_KEY=",
	}
}

// startReadmeWorker runs bin/worker beside the test, as in another terminal, and waits until it works.
func startReadmeWorker(t *testing.T, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	worker := exec.Command(filepath.Join("..", "..", "bin", "worker"))
	worker.Env = env
	log, err := worker.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	started := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"starting"`) {
				close(started)
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
		<-ended
		require.NoError(t, worker.Wait())
	})
	select {
	case <-started:
	case <-ctx.Done():
		t.Fatal("bin/worker does not start")
	}
}
