package sandbox_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// wire sends a request on a connection of its own and returns all bytes that come back until it ends.
func (b *testBundle) wire(r *http.Request) string {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.server.URL(), "http://"))
	require.NoError(b.t, err)
	defer conn.Close()
	require.NoError(b.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	require.NoError(b.t, r.Write(conn))
	got, err := io.ReadAll(conn)
	require.NoError(b.t, err)
	return string(got)
}

// TestDropWithin: the connection ends within the answer, and the tweet exists.
func TestDropWithin(t *testing.T) {
	t.Parallel()
	for kind, want := range map[sandbox.Kind]struct {
		wire   string // a regular expression for the bytes that arrive
		err    string // of a client
		status int    // in the record
	}{
		sandbox.KindDropFirstByte: {`^H$`, "malformed HTTP|EOF", 0},
		sandbox.KindDropHeaders:   {`(?s)^HTTP/1\.1 201 Created\r\n.*Content-Length: [1-9][0-9]+\r\n.*\r\n\r\n$`, "unexpected EOF", 201},
		sandbox.KindDropBody:      {`(?s)^HTTP/1\.1 201 Created\r\n.*\r\n\r\n\{"data":\{"[^}]*$`, "unexpected EOF", 201},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{})
			b.fault(sandbox.Fault{Kind: kind})
			require.Regexp(t, want.wire, b.wire(b.request(b.acme, "POST", "/2/tweets", textBody("one"))))
			_, err := b.send(b.request(b.acme, "POST", "/2/tweets", textBody("two")))
			require.Error(t, err)
			require.Regexp(t, want.err, err.Error())
			require.Len(t, b.server.Tweets(), 2)
			for i, r := range b.server.Requests() {
				require.Equal(t, sandbox.OutcomeCreated, r.Outcome)
				require.Equal(t, b.server.Tweets()[i].ID, r.TweetID)
				require.Equal(t, want.status, r.Status)
				require.False(t, r.EndedAt.IsZero())
			}
		})
	}
}

// TestDropFirstByteWithoutConnection: where the connection cannot be taken over, nothing is sent.
func TestDropFirstByteWithoutConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.fault(sandbox.Fault{Kind: sandbox.KindDropFirstByte})
	w := httptest.NewRecorder()
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		b.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/2/users/me", http.NoBody))
	})
	require.Empty(t, w.Body.String())
}

// TestHoldBody: headers and the first half arrive, the rest when the test says so.
func TestHoldBody(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	gate := b.fault(sandbox.Fault{Kind: sandbox.KindHoldBody})
	res, err := b.client.Do(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
	require.NoError(t, err, "the headers are there")
	defer res.Body.Close()
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.NoError(t, gate.WaitHeld(waitContext(t), 1))
	half := make([]byte, res.ContentLength/2)
	_, err = io.ReadFull(res.Body, half)
	require.NoError(t, err)
	require.True(t, b.last().EndedAt.IsZero())
	gate.Lift()
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	got := reply{body: string(half) + string(rest)}
	require.Equal(t, b.server.Tweets()[0].ID, got.data(t)["id"])
	require.Equal(t, http.StatusCreated, b.last().Status)

	b.fault(sandbox.Fault{Kind: sandbox.KindHoldBody, Delay: time.Millisecond})
	b.mustPost(b.acme, "goes on by itself")
}

// TestHangBody: the rest never comes.
func TestHangBody(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	f := b.fault(sandbox.Fault{Kind: sandbox.KindHangBody})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	res, err := b.client.Do(b.request(b.acme, "POST", "/2/tweets", textBody("x")).WithContext(ctx))
	require.NoError(t, err)
	defer res.Body.Close()
	require.NoError(t, f.WaitHeld(waitContext(t), 1))
	giveUp()
	_, err = io.ReadAll(res.Body)
	require.ErrorIs(t, err, context.Canceled)
	ended, err := b.server.WaitRequests(waitContext(t), 1, sandbox.Match{})
	require.NoError(t, err)
	require.Zero(t, ended[0].Status, "it left before it had it all")
	require.Equal(t, sandbox.OutcomeCreated, ended[0].Outcome)

	lifted := b.async(b.request(b.acme, "GET", "/2/users/me", ""))
	require.NoError(t, f.WaitHeld(waitContext(t), 2))
	f.Lift()
	require.ErrorIs(t, receive(t, lifted).err, io.ErrUnexpectedEOF)
}

// TestBody: each form of a body, for X's own answer and for statuses before and after.
func TestBody(t *testing.T) {
	t.Parallel()
	page := func(status int, name string) string {
		return fmt.Sprintf("<!DOCTYPE html>\n<html><head><title>api.x.com | %d: %s</title></head>\n<body><h1>%s</h1><p>Error code %d</p></body></html>\n",
			status, name, name, status)
	}
	for name, test := range map[string]struct {
		fault   sandbox.Fault
		status  int
		body    string // a regular expression
		created bool
	}{
		"CreatedHTML":      {sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyHTML}, 201, "^" + page(201, "Created") + "$", true},
		"CreatedEmpty":     {sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyEmpty}, 201, "^$", true},
		"CreatedEmpty200":  {sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 200, Body: sandbox.BodyEmpty}, 200, "^$", true},
		"CreatedNoContent": {sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 204}, 204, "^$", true},
		"CreatedTruncated": {sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated}, 201, `^\{"data":\{"[^}]*$`, true},
		"Created503HTML":   {sandbox.Fault{Kind: sandbox.KindStatusAfter, Body: sandbox.BodyHTML}, 503, page(503, "Service Unavailable"), true},
		"Created520":       {sandbox.Fault{Kind: sandbox.KindStatusAfter, Status: 520}, 520, page(520, "Web server error"), true},
		"Before520":        {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 520}, 520, page(520, "Web server error"), false},
		"Before527":        {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 527}, 527, page(527, "Web server error"), false},
		"Before502Empty":   {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 502, Body: sandbox.BodyEmpty}, 502, "^$", false},
		"Before408HTML":    {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 408, Body: sandbox.BodyHTML}, 408, page(408, "Request Timeout"), false},
		"Before200HTML":    {sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 200, Body: sandbox.BodyHTML}, 200, page(200, "OK"), false},
		"429HTML":          {sandbox.Fault{Kind: sandbox.KindRateLimited, Body: sandbox.BodyHTML}, 429, page(429, "Too Many Requests"), false},
		"403Truncated":     {sandbox.Fault{Kind: sandbox.KindForbidden, Body: sandbox.BodyTruncated}, 403, `^\{"detail":"Forbidden","type":"[^}]*$`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{})
			b.fault(test.fault)
			got := b.post(b.acme, "x")
			require.Equal(t, test.status, got.status)
			require.Regexp(t, test.body, got.body)
			if got.status != http.StatusNoContent {
				require.Equal(t, fmt.Sprint(len(got.body)), got.header.Get("content-length"))
			}
			if strings.HasPrefix(got.body, "<") {
				require.Equal(t, "text/html; charset=UTF-8", got.header.Get("content-type"))
				require.Equal(t, "cloudflare", got.header.Get("server"))
				for _, name := range []string{"x-rate-limit-limit", "x-transaction-id", "x-access-level", "api-version"} {
					require.NotContains(t, got.header, http.CanonicalHeaderKey(name), "the page is not X's")
				}
			} else {
				require.NotEmpty(t, got.header.Get("x-transaction-id"))
			}
			require.Equal(t, test.status, b.last().Status)
			require.Equal(t, test.created, b.last().Outcome == sandbox.OutcomeCreated)
			require.Equal(t, test.created, len(b.server.Tweets()) == 1)
		})
	}
}

// TestHeader: any header of an answer can be another, or missing.
func TestHeader(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.fault(sandbox.Fault{Kind: sandbox.KindAnswer, Header: map[string]string{
		"content-type": "text/plain", "x-rate-limit-reset": "99999999999", "x-rate-limit-remaining": "", "date": "", "retry-after": "30",
	}})
	got := b.post(b.acme, "x")
	require.Equal(t, 201, got.status)
	require.Equal(t, b.server.Tweets()[0].ID, got.data(t)["id"])
	require.Equal(t, "text/plain", got.header.Get("content-type"))
	require.Equal(t, "99999999999", got.header.Get("x-rate-limit-reset"))
	require.Equal(t, "200", got.header.Get("x-rate-limit-limit"))
	require.Equal(t, "30", got.header.Get("retry-after"))
	require.NotContains(t, got.header, "X-Rate-Limit-Remaining")
	require.NotContains(t, got.header, "Date")
}

// TestRedirect: X does not redirect; a proxy may.
func TestRedirect(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 307, Header: map[string]string{"Location": "https://x.com/"}})
	got := b.wire(closing(b.request(b.acme, "POST", "/2/tweets", textBody("x"))))
	require.Regexp(t, `(?s)^HTTP/1\.1 307 .*\r\nLocation: https://x\.com/\r\n`, got)
}

func TestGzip(t *testing.T) {
	t.Parallel()
	packed := setup(t, sandbox.Config{Gzip: true})
	plain := setup(t, sandbox.Config{})
	encoding := func(b *testBundle, accept string) (string, string) {
		t.Helper()
		r := b.request(b.acme, "GET", "/2/users/me", "")
		r.Header.Set("Accept-Encoding", accept) // so that Go's transport leaves the body as it is
		got, err := b.send(r)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(len(got.body)), got.header.Get("content-length"))
		return got.header.Get("content-encoding"), got.body
	}
	for _, accept := range []string{"gzip", "br, GZIP;q=0.5", "deflate,gzip; q=1"} {
		name, body := encoding(packed, accept)
		require.Equal(t, "gzip", name, accept)
		z, err := gzip.NewReader(strings.NewReader(body))
		require.NoError(t, err)
		read, err := io.ReadAll(z)
		require.NoError(t, err)
		require.Equal(t, "acme", reply{body: string(read)}.data(t)["username"])
	}
	for _, accept := range []string{"identity", "br", "gzip;q=0", "x-gzip-not"} {
		name, body := encoding(packed, accept)
		require.Empty(t, name, accept)
		require.Equal(t, "acme", reply{body: body}.data(t)["username"])
	}
	name, _ := encoding(plain, "gzip")
	require.Empty(t, name)

	packed.mustPost(packed.acme, "read through Go's own decompression")
	packed.fault(sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated, Times: 1})
	require.Regexp(t, `^\{"data":\{"[^}]*$`, packed.post(packed.acme, "truncated and then compressed").body)
	packed.fault(sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyEmpty, Times: 1})
	got := packed.post(packed.acme, "empty")
	require.Empty(t, got.body)
	require.Empty(t, got.header.Get("content-encoding"))
}

func TestBrokenGzip(t *testing.T) {
	t.Parallel()
	for _, compresses := range []bool{false, true} {
		b := setup(t, sandbox.Config{Gzip: compresses})
		b.fault(sandbox.Fault{Kind: sandbox.KindAnswer, Body: sandbox.BodyBrokenGzip})
		_, err := b.send(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, b.server.Tweets(), 1)
		require.Equal(t, 201, b.last().Status)
	}
}

// closing asks the server to end the connection after its answer.
func closing(r *http.Request) *http.Request {
	r.Close = true
	return r
}

// TestOutages are those that X has had, of one route or of everybody.
func TestOutages(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	other := b.user("other")
	timeline := "/2/users/" + b.acme.ID + "/tweets"
	outage := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 404, Match: sandbox.Match{Route: sandbox.RouteUserTweets}})
	id := b.mustPost(b.acme, "only timelines are gone")
	for range 3 {
		require.Equal(t, 404, b.do(b.acme, "GET", timeline, "").status)
		require.Equal(t, 200, b.do(b.acme, "GET", "/2/tweets/"+id, "").status)
	}
	outage.Lift()
	require.Equal(t, 200, b.do(b.acme, "GET", timeline, "").status)

	storm := b.fault(sandbox.Fault{Kind: sandbox.KindUnauthorized})
	for _, who := range []account{b.acme, other} {
		require.Equal(t, 401, b.do(who, "GET", "/2/users/me", "").status)
		require.Equal(t, 401, b.post(who, "not created").status)
	}
	require.Equal(t, 4, storm.Hits())
	storm.Lift()
	require.Equal(t, 200, b.do(other, "GET", "/2/users/me", "").status)
	require.Len(t, b.server.Tweets(), 1)
}
