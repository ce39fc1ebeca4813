package twitter

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errNotNow = errors.New("the lease is stale")

func refuse(ctx context.Context) context.Context {
	return WithRequestCheck(ctx, func() error { return errNotNow })
}

// answerAll answers each request with a created tweet until the peer closes.
func answerAll(w *wire, conn net.Conn) {
	for r := w.tee(conn); readRequest(r) == nil; {
		_, _ = io.WriteString(conn, created)
	}
}

func TestRequestCheck(t *testing.T) {
	t.Parallel()

	type verb = func(context.Context, *Client) error
	verbs := map[string]verb{
		"Post": func(ctx context.Context, c *Client) error {
			_, err := c.CreateTweet(ctx, []byte(helloBody))
			return err
		},
		"Delete":  func(ctx context.Context, c *Client) error { _, err := c.DeleteTweet(ctx, "1"); return err },
		"Get":     func(ctx context.Context, c *Client) error { _, err := c.Tweet(ctx, "1"); return err },
		"Retweet": func(ctx context.Context, c *Client) error { _, err := c.Retweet(ctx, "1", "2"); return err },
		"Undo":    func(ctx context.Context, c *Client) error { _, err := c.UndoRetweet(ctx, "1", "2"); return err },
		"Page": func(ctx context.Context, c *Client) error {
			_, err := c.UserTweets(ctx, "1", UserTweetsQuery{})
			return err
		},
		"Lookup": func(ctx context.Context, c *Client) error { _, err := c.Tweets(ctx, []string{"1"}); return err },
	}
	for name, verb := range verbs {
		t.Run(name+"NewConnection", func(t *testing.T) {
			t.Parallel()
			w := newWire(t, func(w *wire, conn net.Conn) { _, _ = io.Copy(w, conn) })
			client := newTestClient(t, Config{BaseURL: w.url})
			for range 200 {
				e := requireError(t, verb(refuse(t.Context()), client), KindNeverSent)
				require.ErrorIs(t, e, errNotNow)
			}
			require.Eventually(t, func() bool { return w.connections() == 200 }, 10*time.Second, time.Millisecond,
				"the check must come after the connection was had")
			w.end()
			require.Empty(t, w.bytes())
		})
		t.Run(name+"KeptConnection", func(t *testing.T) {
			t.Parallel()
			w := newWire(t, answerAll)
			client := newTestClient(t, Config{BaseURL: w.url})
			var reused atomic.Int32
			var sent int
			for ; reused.Load() < 200; sent++ {
				require.Less(t, sent, 1000, "connections are not kept")
				_, err := client.CreateTweet(t.Context(), []byte(helloBody))
				require.NoError(t, err)
				requireError(t, verb(countReuse(refuse(t.Context()), &reused), client), KindNeverSent)
			}
			w.end()
			require.Equal(t, sent, strings.Count(w.bytes(), " HTTP/1.1\r\n"))
		})
	}

	t.Run("Passes", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, answerAll)
		client := newTestClient(t, Config{BaseURL: w.url})
		var asked atomic.Int32
		ctx := WithRequestCheck(t.Context(), func() error {
			require.NotContains(t, w.bytes(), "POST", "asked after the first byte")
			asked.Add(1)
			return nil
		})
		_, err := client.CreateTweet(ctx, []byte(helloBody))
		require.NoError(t, err)
		require.EqualValues(t, 1, asked.Load())
	})

	t.Run("NotAskedWithoutConnection", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{BaseURL: refusedURL(t)})
		ctx := WithRequestCheck(t.Context(), func() error { panic("asked") })
		_, err := client.CreateTweet(ctx, []byte(helloBody))
		requireError(t, err, KindNeverSent)
	})

	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		server, client := serveTLS(t, false)
		_, err := client.CreateTweet(refuse(t.Context()), []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindNeverSent), errNotNow)
		require.Zero(t, server.Load())
		_, err = client.CreateTweet(t.Context(), []byte(helloBody))
		require.NoError(t, err)
		require.EqualValues(t, 1, server.Load())
	})
}

// serveTLS returns a client of a TLS server and the number of requests that it was given.
func serveTLS(t *testing.T, http2 bool) (*atomic.Int32, *Client) {
	t.Helper()
	requests := new(atomic.Int32)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"data":{"id":"1","text":"Hi"}}`)
	}))
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that trusts nobody is expected
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := NewHTTPClient()
	if http2 {
		// A wrapper hides from NewClient what this transport speaks.
		transport.Transport = struct{ http.RoundTripper }{server.Client().Transport}
		t.Cleanup(server.Client().CloseIdleConnections)
	} else {
		transport.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	}
	return requests, newTestClient(t, Config{BaseURL: server.URL, HTTPClient: transport})
}

func TestHTTP2IsRefused(t *testing.T) {
	t.Parallel()
	requests, client := serveTLS(t, true)
	for range 20 { // the first dials, the others find the connection
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindNeverSent), errHTTP2)
	}
	require.Zero(t, requests.Load())
}

// refusedURL is the address of a port on which nobody listens.
func refusedURL(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return "http://" + listener.Addr().String()
}

func TestNeverSent(t *testing.T) {
	t.Parallel()

	t.Run("ConnectionRefused", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{BaseURL: refusedURL(t)})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		e := requireError(t, err, KindNeverSent)
		require.Zero(t, e.Answer.StatusCode)
		require.Contains(t, err.Error(), "create tweet: never sent: dial tcp")
		require.Contains(t, err.Error(), "connection refused")
	})

	t.Run("DNS", func(t *testing.T) {
		t.Parallel()
		hc := NewHTTPClient()
		dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		}}}
		hc.Transport.(*http.Transport).DialContext = dialer.DialContext
		hc.Transport.(*http.Transport).Proxy = nil
		client := newTestClient(t, Config{BaseURL: "http://x.invalid", HTTPClient: hc})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindNeverSent)
	})

	t.Run("UnknownCertificate", func(t *testing.T) {
		t.Parallel()
		requests, client := serveTLS(t, false)
		strict := newTestClient(t, Config{BaseURL: client.base.String()})
		_, err := strict.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindNeverSent)
		require.Contains(t, err.Error(), "certificate")
		require.Zero(t, requests.Load())
	})

	t.Run("Proxy", func(t *testing.T) {
		t.Parallel()
		hc := NewHTTPClient()
		hc.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("no proxy") }
		client := newTestClient(t, Config{BaseURL: "http://127.0.0.1:1", HTTPClient: hc})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindNeverSent)
	})

	t.Run("ContextEndedBefore", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, answerAll)
		client := newTestClient(t, Config{BaseURL: w.url})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := client.CreateTweet(ctx, []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindNeverSent), context.Canceled)
		require.Zero(t, w.connections())
	})

	t.Run("TimeoutWhileDialling", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		defer close(release)
		hc := NewHTTPClient()
		hc.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			<-release // the transport does not end a dial with the request that wanted it
			return nil, errors.New("released")
		}
		client := newTestClient(t, Config{BaseURL: "http://127.0.0.1:1", HTTPClient: hc, Timeout: 20 * time.Millisecond})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindNeverSent), context.DeadlineExceeded)
		require.Contains(t, err.Error(), "no answer within 20ms")
	})

	t.Run("ContextEndsWithConnection", func(t *testing.T) {
		t.Parallel()
		for range 50 {
			kind, sent := sendAndCancel(t, func(cancel func()) { cancel() })
			require.Equal(t, KindNeverSent, kind)
			require.Empty(t, sent)
		}
	})

	t.Run("ContextEndsWhileWriting", func(t *testing.T) {
		t.Parallel()
		var never, maybe int
		for range 200 {
			kind, sent := sendAndCancel(t, func(cancel func()) { go cancel() })
			switch kind { //nolint:exhaustive // these two, or the test fails
			case KindNeverSent:
				require.Empty(t, sent)
				never++
			case KindMaybeSent:
				maybe++
			default:
				require.Fail(t, string(kind))
			}
		}
		t.Logf("never sent %d, maybe sent %d", never, maybe)
	})
}

// sendAndCancel sends a request whose context is cancelled by way of end, when its connection is
// had. It returns what the client says, and all that the server has seen.
func sendAndCancel(t *testing.T, end func(cancel func())) (Kind, string) {
	t.Helper()
	seen := make(chan string, 1)
	w := newWire(t, func(w *wire, conn net.Conn) {
		_, _ = io.Copy(w, conn)
		seen <- w.bytes() // the connection has ended: there is no more
	})
	client := newTestClient(t, Config{BaseURL: w.url})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := client.CreateTweet(WithRequestCheck(ctx, func() error { end(cancel); return nil }), []byte(helloBody))
	require.ErrorIs(t, err, context.Canceled)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	return e.Kind, <-seen
}

func TestMaybeSent(t *testing.T) {
	t.Parallel()

	for name, script := range map[string]func(w *wire, conn net.Conn){
		"ClosedAfterRequest": func(w *wire, conn net.Conn) { _ = readRequest(w.tee(conn)) },
		"ResetAfterRequest": func(w *wire, conn net.Conn) {
			_ = readRequest(w.tee(conn))
			_ = conn.(*net.TCPConn).SetLinger(0)
		},
		"GarbageForAnswer": func(w *wire, conn net.Conn) {
			_ = readRequest(w.tee(conn))
			_, _ = io.WriteString(conn, "SSH-2.0 the doors of the old mill open at nine\r\n\r\n")
		},
		"CutInHeaders": func(w *wire, conn net.Conn) {
			_ = readRequest(w.tee(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, script)
			client := newTestClient(t, Config{BaseURL: w.url})
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			requireError(t, err, KindMaybeSent)
			require.Equal(t, 1, strings.Count(w.bytes(), "POST /2/tweets"))
			require.NotContains(t, err.Error(), "old mill")
		})
	}

	t.Run("Timeout", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, func(w *wire, conn net.Conn) { _, _ = io.Copy(w, conn) })
		client := newTestClient(t, Config{BaseURL: w.url, Timeout: 100 * time.Millisecond})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindMaybeSent), context.DeadlineExceeded)
		require.Equal(t, "create tweet: maybe sent: no answer within 100ms: context deadline exceeded", err.Error())
	})

	t.Run("Cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		w := newWire(t, func(w *wire, conn net.Conn) {
			r := w.tee(conn)
			_ = readRequest(r)
			cancel()
			_, _ = io.Copy(io.Discard, r)
		})
		_, err := newTestClient(t, Config{BaseURL: w.url}).DeleteTweet(ctx, "1")
		require.ErrorIs(t, requireError(t, err, KindMaybeSent), context.Canceled)
	})
}

// TestNotSentTwice meets the one case in which Go's transport sends a request again by itself: a
// kept connection that ends while the request is under way.
func TestNotSentTwice(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(context.Context, *Client) error{
		"POST /2/tweets ": func(ctx context.Context, c *Client) error {
			_, err := c.CreateTweet(ctx, []byte(helloBody))
			return err
		},
		"DELETE /2/tweets/1 ":       func(ctx context.Context, c *Client) error { _, err := c.DeleteTweet(ctx, "1"); return err },
		"POST /2/users/1/retweets ": func(ctx context.Context, c *Client) error { _, err := c.Retweet(ctx, "1", "2"); return err },
		"DELETE /2/users/1/retweets/2 ": func(ctx context.Context, c *Client) error {
			_, err := c.UndoRetweet(ctx, "1", "2")
			return err
		},
	} {
		var reused atomic.Int32
		for range 20 {
			var requests atomic.Int32
			w := newWire(t, func(w *wire, conn net.Conn) {
				for r := w.tee(conn); readRequest(r) == nil && requests.Add(1) != 2; {
					_, _ = io.WriteString(conn, created)
				}
			})
			client := newTestClient(t, Config{BaseURL: w.url})
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			require.NoError(t, err)
			before := strings.Count(w.bytes(), name)
			requireError(t, again(countReuse(t.Context(), &reused), client), KindMaybeSent)
			w.end()
			require.Equal(t, before+1, strings.Count(w.bytes(), name))
		}
		require.NotZero(t, reused.Load())
	}
}
