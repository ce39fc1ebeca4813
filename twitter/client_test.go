package twitter

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewClientReportsEverything(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  Config
		auth Auth
		want []string
	}{
		"AllAtOnce": {
			Config{BaseURL: "ftp://x", Timeout: -time.Second, HTTPClient: http.DefaultClient},
			OAuth1{APISecret: "se cret", AccessToken: "tok\n", AccessTokenSecret: "ok"},
			[]string{
				`BaseURL "ftp://x": want https://host`, "Timeout is negative: -1s", "OAuth1.APIKey is empty",
				"OAuth1.APISecret holds a space", "OAuth1.AccessToken holds a space",
			},
		},
		"NoAuth":        {Config{}, nil, []string{"auth is nil"}},
		"NoHost":        {Config{BaseURL: "https://"}, testAuth(), []string{"want https://host"}},
		"NoScheme":      {Config{BaseURL: "api.x.com"}, testAuth(), []string{"want https://host"}},
		"Unparseable":   {Config{BaseURL: "https://me:hunter2@x\x7f"}, testAuth(), []string{"BaseURL is not a URL"}},
		"Password":      {Config{BaseURL: "https://me:hunter2@x"}, testAuth(), []string{"user name or password"}},
		"Query":         {Config{BaseURL: "https://x/?a=b"}, testAuth(), []string{"query or fragment"}},
		"EmptyQuery":    {Config{BaseURL: "https://x/?"}, testAuth(), []string{"query or fragment"}},
		"Fragment":      {Config{BaseURL: "https://x/#a"}, testAuth(), []string{"query or fragment"}},
		"HTTP2":         {Config{HTTPClient: &http.Client{Transport: http.DefaultTransport}}, testAuth(), []string{"speaks HTTP/2"}},
		"HTTP2Protocol": {Config{HTTPClient: &http.Client{Transport: http2Transport()}}, testAuth(), []string{"speaks HTTP/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := NewClient(tc.cfg, tc.auth)
			require.Nil(t, client)
			require.ErrorContains(t, err, "new X client: ")
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
			for _, secret := range []string{"se cret", "tok\n", "hunter2"} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
}

func http2Transport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}

func TestNewClientDefaults(t *testing.T) {
	t.Parallel()
	for _, hc := range []*http.Client{nil, {}} {
		client, err := NewClient(Config{HTTPClient: hc}, testAuth())
		require.NoError(t, err)
		require.Equal(t, "https://api.x.com", client.base.String())
		require.Equal(t, 30*time.Second, client.timeout)
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	// answer returns a client of an X that answers so, and what it was sent last.
	answer := func(t *testing.T, status int, text string) (*Client, *atomic.Value) {
		t.Helper()
		sent := new(atomic.Value)
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			sent.Store(r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body))
			w.Header().Set("Date", "Fri, 27 Mar 2026 10:00:00 GMT")
			w.Header().Set("X-Transaction-Id", "e92f067a164a24a1")
			w.Header().Set("X-Access-Level", "read-write")
			w.Header().Set("X-Rate-Limit-Limit", "100")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}), sent
	}
	requireAnswer := func(t *testing.T, a Answer, status int, text string) {
		t.Helper()
		require.Equal(t, Answer{
			StatusCode: status, RawBody: a.RawBody, RequestID: "e92f067a164a24a1", AccessLevel: "read-write",
			Date:   time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC),
			Limits: Limits{Endpoint: &Window{Limit: 100, Remaining: -1}},
			// Of this machine's clock: TestClockOffset.
			Received: a.Received, RoundTrip: a.RoundTrip,
		}, a)
		require.Equal(t, text, string(a.RawBody))
	}

	t.Run("Create", func(t *testing.T) {
		t.Parallel()
		// The id array is as captured in September 2026, and an error beside data takes nothing back.
		text := `{"data":{"id":"1445880548472328192","text":"A &amp; B","edit_history_tweet_ids":[""]},"errors":[{"title":"Partial"}]}`
		body := ` { "text" : "A & B" }`
		client, sent := answer(t, 201, text)
		tweet, err := client.CreateTweet(t.Context(), []byte(body))
		require.NoError(t, err)
		require.Equal(t, "1445880548472328192", tweet.ID)
		require.Equal(t, "A &amp; B", tweet.Text)
		requireAnswer(t, tweet.Answer, 201, text)
		require.Equal(t, "POST /2/tweets application/json "+body, sent.Load())
	})
	t.Run("CreateWith200", func(t *testing.T) {
		t.Parallel()
		client, _ := answer(t, 200, `{"data":{"id":"7","text":"Hi","edit_history_post_ids":["7"]}}`)
		tweet, err := client.CreateTweet(t.Context(), []byte(`{}`))
		require.NoError(t, err)
		require.Equal(t, "7", tweet.ID)
	})
	t.Run("Delete", func(t *testing.T) {
		t.Parallel()
		client, sent := answer(t, 200, `{"data":{"deleted":true}}`)
		deleted, err := client.DeleteTweet(t.Context(), "7")
		require.NoError(t, err)
		require.True(t, deleted.Deleted)
		requireAnswer(t, deleted.Answer, 200, `{"data":{"deleted":true}}`)
		require.Equal(t, "DELETE /2/tweets/7  ", sent.Load())
	})
	t.Run("DeletedNothing", func(t *testing.T) {
		t.Parallel()
		client, _ := answer(t, 200, `{"data":{"deleted":false}}`)
		deleted, err := client.DeleteTweet(t.Context(), "7")
		require.NoError(t, err)
		require.False(t, deleted.Deleted)
	})
	t.Run("DeleteWith204", func(t *testing.T) {
		t.Parallel()
		client, _ := answer(t, 204, ``)
		deleted, err := client.DeleteTweet(t.Context(), "7")
		require.NoError(t, err)
		require.True(t, deleted.Deleted)
	})
	t.Run("Me", func(t *testing.T) {
		t.Parallel()
		client, sent := answer(t, 200, `{"data":{"id":"2244994945","name":"Acme Ltd","username":"acme"}}`)
		user, err := client.Me(t.Context())
		require.NoError(t, err)
		requireAnswer(t, user.Answer, 200, `{"data":{"id":"2244994945","name":"Acme Ltd","username":"acme"}}`)
		require.Equal(t, User{ID: "2244994945", Username: "acme", Name: "Acme Ltd", Answer: user.Answer}, *user)
		require.Equal(t, "GET /2/users/me  ", sent.Load())
	})
	t.Run("MeWithoutUsername", func(t *testing.T) {
		t.Parallel()
		client, _ := answer(t, 200, `{"data":{"id":"2244994945"}}`)
		_, err := client.Me(t.Context())
		requireError(t, err, KindUnreadable)
	})
}

// TestRefusedHere checks what never gets as far as a connection.
func TestRefusedHere(t *testing.T) {
	t.Parallel()
	client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: roundTripper(
		func(*http.Request) (*http.Response, error) { panic("sent") })}})
	for _, body := range []string{"", "  ", "null", `"text"`, "[]", `{"text":`, "{}{}"} {
		_, err := client.CreateTweet(t.Context(), []byte(body))
		require.Zero(t, requireError(t, err, KindInvalidRequest).Answer.StatusCode, "%q", body)
	}
	for _, id := range []string{"", "abc", "12345678901234567890", "1/../2", "-1", "1?a=b", "١٢٣", "1\n"} {
		_, err := client.DeleteTweet(t.Context(), id)
		require.Zero(t, requireError(t, err, KindInvalidRequest).Answer.StatusCode, "%q", id)
		_, err = client.Tweet(t.Context(), id)
		requireError(t, err, KindInvalidRequest)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := client.DeleteTweet(t.Context(), "abc")
	require.EqualError(t, err, `delete tweet "abc": invalid request: want an id of 1 to 19 digits`)
}

// TestRedirectsAreNotFollowed would let the Authorization header travel.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindOther)
		_, err = client.DeleteTweet(t.Context(), "1")
		requireError(t, err, KindOther)
		_, err = client.Tweet(t.Context(), "1")
		requireError(t, err, KindOther)
		_, err = client.Me(t.Context())
		require.Equal(t, status, requireError(t, err, KindOther).Answer.StatusCode)
	}
	require.Zero(t, followed.Load())
}

// TestConnectionsAreShared posts for many accounts over one connection.
func TestConnectionsAreShared(t *testing.T) {
	t.Parallel()
	w := newWire(t, answerAll)
	shared := NewHTTPClient()
	for range 20 {
		client := newTestClient(t, Config{BaseURL: w.url, HTTPClient: shared})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.NoError(t, err)
	}
	require.Less(t, w.connections(), 10)
}

// TestConnectionsAreKept sends 8 requests at once, twice, and wants no new connection for the
// second time: net/http keeps 2 to a host unless told otherwise.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const atOnce = 8
	var arrived, done sync.WaitGroup
	w := newWire(t, func(w *wire, conn net.Conn) {
		for r := w.tee(conn); readRequest(r) == nil; {
			arrived.Done()
			arrived.Wait()
			_, _ = io.WriteString(conn, created)
		}
	})
	client := newTestClient(t, Config{BaseURL: w.url})
	for range 2 {
		arrived.Add(atOnce)
		for range atOnce {
			done.Go(func() {
				_, err := client.CreateTweet(t.Context(), []byte(helloBody))
				assert.NoError(t, err)
			})
		}
		done.Wait()
	}
	require.Less(t, w.connections(), atOnce+4) // not atOnce+6
}

// TestClockSkewIsNamed because X's 401 does not tell it from wrong keys.
func TestClockSkewIsNamed(t *testing.T) {
	t.Parallel()
	unauthorized := func(ahead time.Duration) *Client {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}`)
		})
	}
	_, err := unauthorized(7 * time.Minute).Me(t.Context())
	requireError(t, err, KindUnauthorized)
	require.Regexp(t, `this machine's clock is (6m5\ds|7m0s) off X's`, err.Error())
	_, err = unauthorized(0).Me(t.Context())
	requireError(t, err, KindUnauthorized)
	require.NotContains(t, err.Error(), "off X's")
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 3, 27, 10, 0, 10, 0, time.UTC)
	for name, tc := range map[string]struct {
		date           time.Time
		roundTrip      time.Duration
		offset, margin time.Duration
	}{
		"SameClock": {received, 0, time.Second / 2, time.Second / 2},
		"Ahead":     {received.Add(time.Minute), 2 * time.Second, time.Minute + 1500*time.Millisecond, 1500 * time.Millisecond},
		"Behind":    {received.Add(-time.Hour), time.Second, -time.Hour + time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offset, margin, known := Answer{Date: tc.date, Received: received, RoundTrip: tc.roundTrip}.ClockOffset()
			require.True(t, known)
			require.Equal(t, tc.offset, offset)
			require.Equal(t, tc.margin, margin)
		})
	}
	_, _, known := Answer{Received: received}.ClockOffset()
	require.False(t, known)

	t.Run("OfAnAnswer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			const ahead = 7 * time.Minute
			transport := roundTripper(func(*http.Request) (*http.Response, error) {
				<-time.After(400 * time.Millisecond)
				h := header("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
				<-time.After(300 * time.Millisecond)
				return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(`{"data":{"id":"1","username":"acme"}}`))}, nil
			})
			user, err := newTestClient(t, Config{HTTPClient: &http.Client{Transport: transport}}).Me(t.Context())
			require.NoError(t, err)
			require.Equal(t, 700*time.Millisecond, user.Answer.RoundTrip)
			offset, margin, known := user.Answer.ClockOffset()
			require.True(t, known)
			require.Equal(t, 850*time.Millisecond, margin)
			require.LessOrEqual(t, (offset - ahead).Abs(), margin)
		})
	})
}

// BenchmarkCreateTweet measures what the client itself costs: signing, watching, decoding.
func BenchmarkCreateTweet(b *testing.B) {
	transport := roundTripper(func(*http.Request) (*http.Response, error) {
		body := io.NopCloser(strings.NewReader(`{"data":{"id":"1","text":"Hi"}}`))
		return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: body}, nil
	})
	cfg := Config{HTTPClient: &http.Client{Transport: transport}}
	oauth2, err := NewOAuth2(cfg, testOAuth2())
	require.NoError(b, err)
	for name, auth := range map[string]Auth{"OAuth1": testAuth(), "OAuth2": oauth2} {
		b.Run(name, func(b *testing.B) {
			client, err := NewClient(cfg, auth)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.CreateTweet(b.Context(), []byte(helloBody)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
