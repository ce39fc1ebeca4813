package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// runningSandbox is `worker sandbox` in this process.
type runningSandbox struct {
	*record // what it prints

	stop  context.CancelFunc
	ended chan struct{}
	err   error // of run, once ended is closed
}

// startSandbox runs it on a free port until the end of the test.
func startSandbox(t *testing.T, args ...string) *runningSandbox {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &runningSandbox{record: &record{}, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = inProcess(ctx, nil, r.record, &record{}, append([]string{"sandbox", "--listen=127.0.0.1:0"}, args...)...)
		r.over(fmt.Sprintf("run returned: %v", r.err))
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	return r
}

// ready is the first object of --json.
func (r *runningSandbox) ready(t *testing.T) *sandboxReady {
	t.Helper()
	var ready sandboxReady
	line := r.awaitText(t, `"base_url"`)
	require.NoError(t, json.Unmarshal([]byte(line), &ready))
	return &ready
}

// client posts as the n-th user.
func (r *sandboxReady) client(t *testing.T, n int) *twitter.Client {
	t.Helper()
	toX := loopbackOnly()
	t.Cleanup(toX.CloseIdleConnections)
	client, err := twitter.NewClient(twitter.Config{BaseURL: r.BaseURL, HTTPClient: toX}, twitter.OAuth1{
		APIKey: r.Tokens[n].APIKey, APISecret: r.Tokens[n].APISecret,
		AccessToken: r.Tokens[n].AccessToken, AccessTokenSecret: r.Tokens[n].AccessTokenSecret,
	})
	require.NoError(t, err)
	return client
}

// postX posts a text.
func postX(ctx context.Context, client *twitter.Client, text string) (*twitter.CreatedTweet, error) {
	return client.CreateTweet(ctx, []byte(`{"text":`+strconv.Quote(text)+`}`))
}

// controlX sends a control request and returns the body of its answer.
func controlX(t *testing.T, method, address, body string) string {
	t.Helper()
	toX := loopbackOnly()
	defer toX.CloseIdleConnections()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	require.NoError(t, err)
	res, err := toX.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(all))
	return string(all)
}

// TestSandboxJSON: all that a tester needs is in the first line, and each request in one of its own.
func TestSandboxJSON(t *testing.T) {
	t.Parallel()
	x := startSandbox(t, "--json", "--user=acme", "--user=umbrella:token:its:secret", "--api-key=key", "--api-secret=secret",
		"--client-id=client", "--client-secret=hidden")
	ready := x.ready(t)
	require.Equal(t, []string{"key", "secret", "client", "hidden"},
		[]string{ready.Apps[0].Key, ready.Apps[0].Secret, ready.Apps[0].ClientID, ready.Apps[0].ClientSecret})
	require.NotEmpty(t, ready.Apps[0].BearerToken)
	require.Equal(t, "acme", ready.Users[0].Username)
	require.Equal(t, sandbox.Credentials{APIKey: "key", APISecret: "secret", AccessToken: "token", AccessTokenSecret: "its:secret"}, ready.Tokens[1].Credentials)
	require.Equal(t, []string{"umbrella", "umbrella"}, []string{ready.Users[1].Username, ready.Tokens[1].Username})

	for n, text := range []string{"<one>", "two"} {
		_, err := postX(t.Context(), ready.client(t, n), text)
		require.NoError(t, err)
	}
	var posted sandbox.Request
	require.NoError(t, json.Unmarshal([]byte(x.awaitText(t, `"n":2`)), &posted))
	require.Equal(t, []any{sandbox.RouteCreateTweet, "umbrella", 201, sandbox.OutcomeCreated},
		[]any{posted.Route, posted.Username, posted.Status, posted.Outcome})
	require.Contains(t, x.String(), `<one>`, "a text is as it came")

	require.Contains(t, controlX(t, "POST", ready.BaseURL+"/sandbox/faults", `{"kind":"drop_after","times":1}`), `"id":1`)
	_, err := postX(t.Context(), ready.client(t, 0), "three")
	require.Error(t, err)
	require.NoError(t, json.Unmarshal([]byte(x.awaitText(t, `"n":3`)), &posted))
	require.Equal(t, sandbox.KindDropAfter, posted.Fault)
	require.Contains(t, controlX(t, "GET", ready.BaseURL+"/sandbox/requests?since=2", ""), posted.TweetID)
	require.Contains(t, controlX(t, "GET", ready.BaseURL+"/sandbox/tweets", ""), "three")

	x.stop()
	<-x.ended
	require.NoError(t, x.err)
	require.Len(t, strings.Split(strings.TrimSpace(x.String()), "\n"), 4, "control requests are not told")
}

// TestSandboxForPeople: lines for a shell, and a line for each request without its text.
func TestSandboxForPeople(t *testing.T) {
	t.Parallel()
	x := startSandbox(t, "--user=acme", "--user=umbrella")
	x.awaitText(t, "Requests follow.")
	var ready sandboxReady
	for line := range strings.SplitSeq(strings.TrimSpace(x.String()), "\n") {
		require.Regexp(t, `^(# |export [A-Z_]+=\S+( [A-Z_]+=\S+)?$)`, line, "a shell takes it")
	}
	value := func(name string) []string {
		var all []string
		for _, match := range regexp.MustCompile(`\b`+name+`=(\S+)`).FindAllStringSubmatch(x.String(), -1) {
			all = append(all, match[1])
		}
		return all
	}
	ready.BaseURL = value("X_API_BASE_URL")[0]
	require.Contains(t, x.String(), "# Its record: "+ready.BaseURL+"/sandbox/requests, ")
	for n, token := range value("X_ACCESS_TOKEN") {
		ready.Tokens = append(ready.Tokens, sandboxToken{Credentials: sandbox.Credentials{
			APIKey: value("X_API_KEY")[0], APISecret: value("X_API_SECRET")[0], AccessToken: token, AccessTokenSecret: value("X_ACCESS_TOKEN_SECRET")[n],
		}})
	}
	created, err := postX(t.Context(), ready.client(t, 1), "a secret")
	require.NoError(t, err)
	require.Regexp(t, `^[0-9:.]{12}  umbrella        POST   /2/tweets  201, created `+created.ID+`$`, x.awaitText(t, "POST"))
	_, err = postX(t.Context(), ready.client(t, 1), "a secret")
	require.Error(t, err)
	require.Regexp(t, `  403, refused: You are not allowed to create a Tweet with duplicate content\.$`, x.awaitText(t, ", refused"))
	controlX(t, "POST", ready.BaseURL+"/sandbox/faults", `{"kind":"drop_before"}`)
	_, err = postX(t.Context(), ready.client(t, 0), "a secret")
	require.Error(t, err)
	require.Regexp(t, `  acme            POST   /2/tweets  no answer, nothing \(fault drop_before\)$`, x.awaitText(t, "no answer"))
	require.NotContains(t, x.String(), "a secret")
}

// TestSandboxFlags: what each does to the X that is played.
func TestSandboxFlags(t *testing.T) {
	t.Parallel()
	post := func(t *testing.T, client *twitter.Client, text string) error {
		t.Helper()
		_, err := postX(t.Context(), client, text)
		return err
	}
	t.Run("DuplicateWindow", func(t *testing.T) {
		t.Parallel()
		client := startSandbox(t, "--json", "--duplicate-window=0").ready(t).client(t, 0)
		require.NoError(t, post(t, client, "again"))
		require.NoError(t, post(t, client, "again"))
	})
	t.Run("Limits", func(t *testing.T) {
		t.Parallel()
		for limits, want := range map[string]int{"guide": 200, "current": 100, "none": 205} {
			client := startSandbox(t, "--json", "--limits="+limits).ready(t).client(t, 0)
			posted := 0
			for i := range 205 {
				if post(t, client, fmt.Sprint(i)) == nil {
					posted++
				}
			}
			require.Equal(t, want, posted, limits)
		}
	})
	t.Run("DeleteMissing", func(t *testing.T) {
		t.Parallel()
		x := startSandbox(t, "--json", "--delete-missing=true")
		_, _ = x.ready(t).client(t, 0).DeleteTweet(t.Context(), "7")
		require.Contains(t, x.awaitText(t, `"n":1`), `"status":200`)
	})
	t.Run("KeepRequests", func(t *testing.T) {
		t.Parallel()
		ready := startSandbox(t, "--json", "--keep-requests=1").ready(t)
		require.NoError(t, post(t, ready.client(t, 0), "one"))
		require.NoError(t, post(t, ready.client(t, 0), "two"))
		require.NotContains(t, controlX(t, "GET", ready.BaseURL+"/sandbox/requests", ""), `"n":1,`)
	})
	t.Run("Billing", func(t *testing.T) {
		t.Parallel()
		for flag, want := range map[string]string{"--credits=0.01": "does not have any credits", "--spend-cap=0.01": "has reached its billing cycle spend cap"} {
			ready := startSandbox(t, "--json", flag).ready(t)
			client := ready.client(t, 0)
			require.NoError(t, post(t, client, "one"))
			require.ErrorContains(t, post(t, client, "two"), want)
			require.Contains(t, controlX(t, "GET", ready.BaseURL+"/sandbox/bills", ""), `"total_usd":"0.015"`)
			controlX(t, "POST", ready.BaseURL+"/sandbox/bills", `{"add_credits_usd":"1","spend_cap_usd":"0"}`)
			require.NoError(t, post(t, client, "two"))
		}
		ready := startSandbox(t, "--json").ready(t)
		require.NotContains(t, controlX(t, "GET", ready.BaseURL+"/sandbox/bills", ""), "credits_usd")
	})
	t.Run("Seed", func(t *testing.T) {
		t.Parallel()
		tokens := func(args ...string) []sandboxToken {
			tokens := startSandbox(t, append(args, "--json", "--user=a", "--user=b")...).ready(t).Tokens
			for n := range tokens {
				tokens[n].OAuth2 = sandbox.OAuth2Token{} // they hold the time
			}
			return tokens
		}
		require.Equal(t, tokens(), tokens("--seed=1"))
		require.NotEqual(t, tokens("--seed=1"), tokens("--seed=2"))
		first, second := tokens("--seed=0"), tokens("--seed=0")
		require.NotEqual(t, first, second)
	})
	t.Run("SelfServe", func(t *testing.T) {
		t.Parallel()
		for words, ok := range map[string]bool{"newer": false, "older": false, "off": true} {
			client := startSandbox(t, "--json", "--self-serve="+words).ready(t).client(t, 0)
			require.Equal(t, ok, post(t, client, "$ONE $TWO") == nil, words)
		}
	})
	t.Run("Reads", func(t *testing.T) {
		t.Parallel()
		read := func(args ...string) string {
			x := startSandbox(t, append(args, "--json")...)
			client := x.ready(t).client(t, 0)
			created, err := postX(t.Context(), client, "to be read")
			require.NoError(t, err)
			_, _ = client.Tweet(t.Context(), created.ID)
			return x.awaitText(t, `"n":2`)
		}
		require.NotContains(t, read(), `"reason"`)
		require.Contains(t, read("--read-lag=1h"), `"status":200,"outcome":"read","reason":"no such tweet"`)
		require.Contains(t, read("--read-lag=1h", "--read-lag-max=2h", "--missing-tweet=404"), `"status":404`)
	})
	t.Run("OAuth2", func(t *testing.T) {
		t.Parallel()
		ready := startSandbox(t, "--json", "--access-token-lifetime=10h").ready(t)
		token := ready.Tokens[0].OAuth2
		require.WithinDuration(t, time.Now().Add(10*time.Hour), token.ExpiresAt, time.Hour)
		toX := loopbackOnly()
		defer toX.CloseIdleConnections()
		r, err := http.NewRequest(http.MethodGet, ready.BaseURL+"/2/users/me", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token.AccessToken)
		res, err := toX.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode)
	})
}

// TestSandboxUsage: what cannot work is refused with what can, and nothing is printed.
func TestSandboxUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--listen=0.0.0.0:8083":       "--listen 0.0.0.0:8083 is no loopback address: the sandbox guards nothing",
		"--listen=:8083":              "is no loopback address",
		"--listen=example.com:1":      "is no loopback address",
		"--listen=127.0.0.1":          "use an address such as 127.0.0.1:8083",
		"--duplicate-window=-1s":      "--duplicate-window is -1s: use 0 or more",
		"--limits=generous":           "--limits must be one of",
		"--delete-missing=perhaps":    "--delete-missing must be one of",
		"--credits=much":              `--credits: "much" is no amount in dollars`,
		"--spend-cap=-1":              "spend cap -1: use more than 0",
		"--keep-requests=-1":          "keep requests -1: use 0 for all, or more",
		"--access-token-lifetime=1ms": "use full seconds",
		"--read-lag=-1s":              "read lag -1s",
		"--user=not-a-name":           `add user "not-a-name"`,
		"--user=a:token":              `authorize "a": the access token and its secret must not be empty`,
		"--user=a:t:s --user=b:t:s":   `authorize "b": the access token exists already`,
		"--user=a --user=A":           `add user "A": the username is taken`,
		"--no-such-flag":              "unknown flag",
	} {
		stdout := &record{}
		err := inProcess(t.Context(), nil, stdout, &record{}, append([]string{"sandbox"}, strings.Fields(args)...)...)
		require.ErrorContains(t, err, want)
		require.Equal(t, setup.ExitUsage, setup.ExitCode(err), args)
		require.Empty(t, stdout.String())
	}
}

// TestSandboxTaken: a port that is taken is a failure that names the flag.
func TestSandboxTaken(t *testing.T) {
	t.Parallel()
	taken := strings.TrimPrefix(startSandbox(t, "--json").ready(t).BaseURL, "http://")
	err := inProcess(t.Context(), nil, &record{}, &record{}, "sandbox", "--listen="+taken)
	require.ErrorContains(t, err, "choose another address by --listen")
	require.Equal(t, setup.ExitFailed, setup.ExitCode(err))
}

// TestSandboxInterrupted: Ctrl-C is how it ends well, also while a request is held.
func TestSandboxInterrupted(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "worker", nil, "sandbox", "--listen=127.0.0.1:0", "--json")
	var ready sandboxReady
	require.NoError(t, json.Unmarshal([]byte(p.stdout.awaitText(t, `"base_url"`)), &ready))
	controlX(t, "POST", ready.BaseURL+"/sandbox/faults", `{"kind":"hang_before"}`)
	client := ready.client(t, 0)
	held := make(chan error, 1)
	go func() {
		_, err := postX(context.WithoutCancel(t.Context()), client, "held")
		held <- err
	}()
	require.Eventually(t, func() bool {
		return strings.Contains(controlX(t, "GET", ready.BaseURL+"/sandbox/faults/1", ""), `"held":1`)
	}, patience, patience/6000)
	p.signal(t, syscall.SIGINT)
	require.Zero(t, p.wait(t))
	require.Empty(t, p.String())
	require.Error(t, <-held)
}

// TestSandboxDocument: its commands work, in order, each fault that it shows is accepted, and it leaves
// out no kind, no body and no flag that changes X.
func TestSandboxDocument(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "sandbox.md"))
	require.NoError(t, err)
	document := string(content)
	base := startSandbox(t, "--json").ready(t).BaseURL
	commands := shellCommands(document)
	require.Equal(t, "bin/worker sandbox", commands[0])
	require.Greater(t, len(commands), 5)
	for _, command := range commands[1:] {
		require.NotEmpty(t, curl(t, []string{"X_API_BASE_URL=" + base}, command))
	}
	faults := regexp.MustCompile("`(\\{\".*?\\})`").FindAllStringSubmatch(document, -1)
	require.Greater(t, len(faults), 10)
	for _, fault := range faults {
		controlX(t, "POST", base+"/sandbox/faults", fault[1])
	}
	for _, kind := range sandbox.Kinds() {
		require.Contains(t, document, "`"+string(kind)+"`")
	}
	for _, body := range sandbox.Bodies() {
		require.Contains(t, document, "`"+string(body)+"`")
	}
	for field := range reflect.TypeFor[sandboxCmd]().Fields() {
		flag := field.Tag.Get("name")
		if flag == "" {
			flag = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field.Name, "$1-$2"))
		}
		if !slices.Contains([]string{"listen", "keep-requests"}, flag) {
			require.Contains(t, document, "--"+flag)
		}
	}
}
