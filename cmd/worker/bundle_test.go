package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// bundle is a migrated database with an account "acme", and an X that knows it.
type bundle struct {
	db       *pgxpool.Pool
	settings settings // of a worker for both
	tokens   sandbox.Credentials
	user     sandbox.User
	x        *sandbox.Server
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	return newBundleOn(t, sandbox.Config{BasePath: "/x"})
}

func newBundleOn(t *testing.T, config sandbox.Config) *bundle {
	t.Helper()
	url, key := storetest.URL(t), store.NewKey()
	b := &bundle{db: storetest.Open(t, url)}
	b.newX(t, config)
	require.NoError(t, b.x.Start(""))
	b.settings = settings{
		// Each connection costs more than most tests do.
		"DATABASE_URL": url + "&pool_max_conns=5", "TWEETQUEUE_KEY": string(key), "X_API_BASE_URL": b.x.URL(),
	}
	b.addAccount(t, b.db, key)
	return b
}

// newX makes a sandbox with the account, and does not start it.
func (b *bundle) newX(t *testing.T, config sandbox.Config) {
	t.Helper()
	var err error
	b.x, err = sandbox.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.x.Close()) })
	app, err := b.x.AddApp(sandbox.App{})
	require.NoError(t, err)
	b.user, err = b.x.AddUser(sandbox.User{Username: "acme"})
	require.NoError(t, err)
	b.tokens, err = b.x.Authorize(app.Key, "acme")
	require.NoError(t, err)
}

func (b *bundle) addAccount(t *testing.T, db store.DBTX, key store.Secret) {
	t.Helper()
	ring, err := store.ParseKeyring(key)
	require.NoError(t, err)
	storetest.Account(t, db, storetest.AccountOpts{
		XUserID: b.user.ID, Ring: ring, APIKey: b.tokens.APIKey, APISecret: b.tokens.APISecret,
		Token: b.tokens.AccessToken, Secret: b.tokens.AccessTokenSecret,
	})
}

// fault puts a fault in force at X.
func (b *bundle) fault(t *testing.T, fault sandbox.Fault) *sandbox.ActiveFault {
	t.Helper()
	active, err := b.x.Fault(fault)
	require.NoError(t, err)
	return active
}

// exec runs a statement of another application.
func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// entry reads a row.
func (b *bundle) entry(t *testing.T, id int64) store.Entry {
	t.Helper()
	entry, err := store.EntryGet(t.Context(), b.db, id)
	require.NoError(t, err)
	return entry
}

// requests are those that X got for tweets with that text.
func (b *bundle) requests(text string) []sandbox.Request {
	body := strconv.Quote(text)
	var all []sandbox.Request
	for _, r := range b.x.Requests() {
		if strings.Contains(r.Body, body) {
			all = append(all, r)
		}
	}
	return all
}

// loopbackOnly is a client for X that refuses every address beyond this machine.
func loopbackOnly() *http.Client {
	client := twitter.NewHTTPClient()
	transport := client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("%s is beyond this machine", address)
		}
		return dial(ctx, network, address)
	}
	return client
}

// inProcess runs a worker's command line in this process.
func inProcess(ctx context.Context, s settings, stdout, stderr *record, args ...string) error {
	env := &environment{lookup: s.lookup, stdout: stdout, stderr: stderr, toX: loopbackOnly()}
	return env.run(ctx, args)
}

// running is a worker in this process.
type running struct {
	*record // what it logs

	ended chan struct{}
	err   error // of run, once ended is closed
	stop  context.CancelFunc
}

// start starts a worker, which ends with the test at the latest.
func start(t *testing.T, s settings, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{record: &record{}, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = inProcess(ctx, s, &record{}, r.record, args...)
		r.over(fmt.Sprintf("run returned: %v", r.err))
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
		if t.Failed() {
			t.Logf("the worker's log:\n%s", r)
		}
	})
	return r
}

// wait returns what run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		require.Fail(t, "the worker does not end")
	}
	return r.err
}

// end stops the worker as a first signal does, and waits until it has ended.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	require.NoError(t, r.wait(t))
}

// process is a program of its own.
type process struct {
	*record // its standard error

	cmd    *exec.Cmd
	ended  chan struct{}
	stdout *record
}

// startProcess starts a built program, which is killed at the end of the test if it still runs.
func startProcess(t *testing.T, name string, s settings, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(binary(t, name), args...), s)
}

func startCommand(t *testing.T, cmd *exec.Cmd, s settings) *process {
	t.Helper()
	p := &process{record: &record{}, stdout: &record{}, cmd: cmd, ended: make(chan struct{})}
	cmd.Env = s.environ()
	cmd.Stderr = p.record
	if cmd.Stdout == nil {
		cmd.Stdout = p.stdout
	}
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
		p.over(cmd.ProcessState.String())
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s:\n%s%s", cmd, p.stdout, p.record)
		}
	})
	return p
}

// wait returns the process's exit code, or -1 if a signal ended it.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Failf(t, "the process does not end", "%s", p.cmd)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(t, err)
	}
}

// record keeps what is written to it, and tells who waits for a line.
type record struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
	end     string // why nothing more will come
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signal()
	return r.buf.Write(p)
}

// over says that nothing more will come.
func (r *record) over(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = why
	r.signal()
}

func (r *record) signal() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// await returns the first line that matches, written already or yet to come.
func (r *record) await(t *testing.T, what string, match func(line string) bool) string {
	t.Helper()
	timeout := time.After(patience)
	for seen := 0; ; {
		r.mu.Lock()
		for {
			line, _, whole := strings.Cut(string(r.buf.Bytes()[seen:]), "\n")
			if !whole {
				break
			}
			seen += len(line) + 1
			if match(line) {
				r.mu.Unlock()
				return line
			}
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed, end := r.changed, r.end
		r.mu.Unlock()
		if end != "" {
			require.Failf(t, "nothing came", "waited for %s, but it ended: %s", what, end)
		}
		select {
		case <-changed:
		case <-timeout:
			require.Failf(t, "nothing came", "waited for %s", what)
		}
	}
}

// awaitText waits for a line that contains a text.
func (r *record) awaitText(t *testing.T, text string) string {
	t.Helper()
	return r.await(t, text, func(line string) bool { return strings.Contains(line, text) })
}

// event is a line of a worker's log.
type event struct {
	Level      string     `json:"level"`
	Message    string     `json:"message"`
	RowID      int64      `json:"row_id"`
	TweetID    string     `json:"tweet_id"`
	Account    string     `json:"account"`
	WaitingFor string     `json:"waiting_for"`
	Until      *time.Time `json:"until"`
	Reason     string     `json:"reason"`
	Error      string     `json:"error"`
}

// awaitEvent waits for the first event of a row that is of one of these types.
func (r *record) awaitEvent(t *testing.T, rowID int64, messages ...string) event {
	t.Helper()
	var found event
	r.await(t, fmt.Sprintf("%q of row %d", messages, rowID), func(line string) bool {
		found = event{}
		return json.Unmarshal([]byte(line), &found) == nil && found.RowID == rowID && slices.Contains(messages, found.Message)
	})
	return found
}
