package sandbox_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// The requests of these tests are written by hand from X's documents, and signed by the code
// below, which shares nothing with the package's own.

// oauthParams are the parameters of an Authorization header before the signature.
func oauthParams(c sandbox.Credentials, nonce string, at time.Time) map[string]string {
	return map[string]string{
		"oauth_consumer_key":     c.APIKey,
		"oauth_nonce":            nonce,
		"oauth_signature_method": "HMAC-SHA1",
		"oauth_timestamp":        fmt.Sprint(at.Unix()),
		"oauth_token":            c.AccessToken,
		"oauth_version":          "1.0",
	}
}

// sign computes oauth_signature over method, address and all parameters.
func sign(method, address string, oauth map[string]string, others url.Values, consumerSecret, tokenSecret string) string {
	var list []string
	for k, v := range oauth {
		list = append(list, escape(k)+"="+escape(v))
	}
	for k, vs := range others {
		for _, v := range vs {
			list = append(list, escape(k)+"="+escape(v))
		}
	}
	slices.Sort(list) // of whole pairs, which is right as long as no name begins with another
	base := method + "&" + escape(address) + "&" + escape(strings.Join(list, "&"))
	h := hmac.New(sha1.New, []byte(escape(consumerSecret)+"&"+escape(tokenSecret)))
	_, _ = io.WriteString(h, base)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// toRFC3986 is what url.QueryEscape does otherwise than RFC 3986.
var toRFC3986 = strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~")

func escape(s string) string { return toRFC3986.Replace(url.QueryEscape(s)) }

func authorization(oauth map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(oauth)) {
		list = append(list, fmt.Sprintf(`%s="%s"`, k, escape(oauth[k])))
	}
	return "OAuth " + strings.Join(list, ", ")
}

// testClock is a clock that tests move.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock {
	return &testClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testBundle is a running sandbox with one app and one user.
type testBundle struct {
	t      *testing.T
	server *sandbox.Server
	app    sandbox.App
	acme   account
	now    func() time.Time
	client *http.Client
	nonces atomic.Int64
}

// account is a user and what signs for it.
type account struct {
	sandbox.User

	creds sandbox.Credentials
}

func setup(t *testing.T, cfg sandbox.Config) *testBundle {
	t.Helper()
	s, err := sandbox.New(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Start(""))
	b := &testBundle{t: t, server: s, now: cfg.Now, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	if b.now == nil {
		b.now = time.Now
	}
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		require.NoError(t, s.Close())
	})
	b.app, err = s.AddApp(sandbox.App{Name: "tests"})
	require.NoError(t, err)
	b.acme = b.user("acme")
	return b
}

// user adds a user who has authorized the bundle's app.
func (b *testBundle) user(name string) account {
	b.t.Helper()
	u, err := b.server.AddUser(sandbox.User{Username: name})
	require.NoError(b.t, err)
	return b.authorize(b.app, u)
}

func (b *testBundle) authorize(app sandbox.App, u sandbox.User) account {
	b.t.Helper()
	c, err := b.server.Authorize(app.Key, u.Username)
	require.NoError(b.t, err)
	return account{u, c}
}

// nonce is a fresh one.
func (b *testBundle) nonce() string { return fmt.Sprintf("nonce-%d", b.nonces.Add(1)) }

// request is a signed request for target, a path with an optional query.
func (b *testBundle) request(who account, method, target, body string) *http.Request {
	b.t.Helper()
	address, query, _ := strings.Cut(b.server.URL()+target, "?")
	values, err := url.ParseQuery(query)
	require.NoError(b.t, err)
	oauth := oauthParams(who.creds, b.nonce(), b.now())
	oauth["oauth_signature"] = sign(method, address, oauth, values, who.creds.APISecret, who.creds.AccessTokenSecret)
	r, err := http.NewRequest(method, b.server.URL()+target, strings.NewReader(body))
	require.NoError(b.t, err)
	r.Header.Set("Authorization", authorization(oauth))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// reply is an answer as the client sees it.
type reply struct {
	status int
	header http.Header
	body   string
}

// send returns an error if there is no answer.
func (b *testBundle) send(r *http.Request) (reply, error) {
	res, err := b.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(body)}, err
}

func (b *testBundle) do(who account, method, target, body string) reply {
	b.t.Helper()
	got, err := b.send(b.request(who, method, target, body))
	require.NoError(b.t, err)
	return got
}

// post posts a text and returns the answer.
func (b *testBundle) post(who account, text string) reply {
	b.t.Helper()
	return b.do(who, "POST", "/2/tweets", textBody(text))
}

// mustPost posts a text and returns the tweet's id.
func (b *testBundle) mustPost(who account, text string) string {
	b.t.Helper()
	got := b.post(who, text)
	require.Equal(b.t, http.StatusCreated, got.status, got.body)
	id, _ := got.data(b.t)["id"].(string)
	require.Regexp(b.t, `^[0-9]{1,19}$`, id)
	return id
}

func (b *testBundle) fault(f sandbox.Fault) *sandbox.ActiveFault {
	b.t.Helper()
	a, err := b.server.Fault(f)
	require.NoError(b.t, err)
	return a
}

// last is the record of the request that arrived last.
func (b *testBundle) last() sandbox.Request {
	b.t.Helper()
	all := b.server.Requests()
	require.NotEmpty(b.t, all)
	return all[len(all)-1]
}

func textBody(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string never fails
	}
	return `{"text":` + string(quoted) + `}`
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

func (r reply) data(t *testing.T) map[string]any {
	t.Helper()
	data, ok := r.json(t)["data"].(map[string]any)
	require.True(t, ok, r.body)
	return data
}

// messages are those of an invalid-request problem, whose other members it checks.
func (r reply) messages(t *testing.T) []string {
	t.Helper()
	require.Equal(t, http.StatusBadRequest, r.status, r.body)
	var v struct {
		Errors []struct {
			Parameters map[string][]string
			Message    string
		}
		Title, Detail, Type string
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &v))
	require.Equal(t, "Invalid Request", v.Title)
	require.Equal(t, "One or more parameters to your request was invalid.", v.Detail)
	require.Equal(t, "invalid-request", v.Type[strings.LastIndex(v.Type, "/")+1:])
	var all []string
	for _, e := range v.Errors {
		require.NotNil(t, e.Parameters)
		all = append(all, e.Message)
	}
	return all
}

// waitContext bounds a wait, generously: it passes only if the test has failed.
func waitContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// async sends a request from another goroutine; the answer or its absence comes on the channel.
func (b *testBundle) async(r *http.Request) <-chan result {
	c := make(chan result, 1)
	go func() {
		got, err := b.send(r)
		c <- result{got, err}
	}()
	return c
}

type result struct {
	reply

	err error
}

// receive waits for an asynchronous answer.
func receive(t *testing.T, c <-chan result) result {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-waitContext(t).Done():
		require.Fail(t, "no answer within a minute")
		return result{}
	}
}
