package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// shellBlock is a block of commands to type in. Other blocks hold what only the reader can fill in.
var shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")

// shellCommands are the lines of the blocks to type in.
func shellCommands(markdown string) []string {
	var commands []string
	for _, block := range shellBlock.FindAllStringSubmatch(markdown, -1) {
		for line := range strings.Lines(block[1]) {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	return commands
}

// TestReadmeCommands types in every command of the README, in order, as a new user with an account
// on the sandbox would. `make test` is what runs this test, and .ci/run.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	all := shellCommands(string(readme))
	require.Contains(t, all, "make demo")
	require.Contains(t, all, "make test")
	require.Contains(t, all, "bin/worker sandbox")
	ci, err := os.ReadFile(filepath.Join("..", "..", ".ci", "run"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)\bmake test\b`, string(ci))

	account := append(os.Environ(), readmeAccount(t)...)
	for section := range strings.SplitSeq(string(readme), "\n## ") {
		env := account
		for _, command := range shellCommands(section) {
			switch {
			case command == "make test": // it is what runs this
			case command == "bin/worker":
				startReadmeWorker(t, env)
			case command == "bin/worker sandbox":
				env = append(os.Environ(), startReadmeSandbox(t)...)
			case strings.HasPrefix(command, "curl "):
				t.Logf("%s\n%s", command, curl(t, env, command))
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
		if strings.Contains(section, "Did this one arrive?") {
			requireBothArrived(t, env)
		}
	}
}

// requireBothArrived waits until the stand-in has what the README tweets there, also the tweet of
// which it told nobody, once each, and until that is found.
func requireBothArrived(t *testing.T, env []string) {
	t.Helper()
	var tweets string
	require.Eventually(t, func() bool {
		tweets = curl(t, env, `curl -s "$X_API_BASE_URL/sandbox/tweets"`)
		return strings.Contains(tweets, "Did this one arrive?")
	}, patience, 10*time.Millisecond)
	require.Equal(t, 2, strings.Count(tweets, `"text":`))
	require.Contains(t, tweets, "Hello, stand-in")
	require.Regexp(t, `Did this one arrive\?[^,]*,"fault":"drop_after"`, curl(t, env, `curl -s "$X_API_BASE_URL/sandbox/requests"`))
	require.Eventually(t, func() bool {
		list := exec.CommandContext(t.Context(), filepath.Join("..", "..", "bin", "enqueue"), "list", "--status", "posted")
		list.Env = env
		posted, err := list.Output()
		return err == nil && strings.Contains(string(posted), "Did this one arrive?")
	}, patience, 200*time.Millisecond)
	require.Equal(t, 2, strings.Count(curl(t, env, `curl -s "$X_API_BASE_URL/sandbox/tweets"`), `"text":`))
}

// curlCommand is what the documents do with curl.
var curlCommand = regexp.MustCompile(`^curl -s(?: -X (\w+))?(?: -d '([^']*)')? "\$X_API_BASE_URL([^"]*)"$`)

// curl does what the command does, so that the tests need no such program, and returns the answer.
func curl(t *testing.T, env []string, command string) string {
	t.Helper()
	parts := curlCommand.FindStringSubmatch(command)
	require.NotNil(t, parts, command)
	method := parts[1]
	if method == "" {
		method = http.MethodGet
		if parts[2] != "" {
			method = http.MethodPost
		}
	}
	base := ""
	for _, setting := range env {
		if value, ok := strings.CutPrefix(setting, "X_API_BASE_URL="); ok {
			base = value
		}
	}
	return controlX(t, method, base+parts[3], parts[2])
}

// startReadmeSandbox runs bin/worker sandbox beside the test, as in another terminal, on a port that
// is free, and returns the environment of those who paste its lines.
func startReadmeSandbox(t *testing.T) []string {
	t.Helper()
	env := []string{"TWEETQUEUE_STATE_DIR=" + stateDir(t), "DATABASE_URL=", "TWEETQUEUE_KEY="}
	x := startCommand(t, exec.Command(filepath.Join("..", "..", "bin", "worker"), "sandbox", "--listen=127.0.0.1:0"), nil)
	x.stdout.awaitText(t, "Requests follow.")
	for line := range strings.Lines(x.stdout.String()) {
		if exported, ok := strings.CutPrefix(line, "export "); ok {
			env = append(env, strings.Fields(exported)...)
		}
	}
	return env
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
