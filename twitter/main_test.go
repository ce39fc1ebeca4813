package twitter

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testAuth are the keys of X's own examples of a signature, which are no secrets.
func testAuth() OAuth1 {
	return OAuth1{
		APIKey:            "xvz1evFS4wEEPTGEFPHBog",
		APISecret:         "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
		AccessToken:       "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
		AccessTokenSecret: "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
	}
}

// newTestClient returns a client of base whose connections end with the test.
func newTestClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = NewHTTPClient()
	}
	t.Cleanup(cfg.HTTPClient.CloseIdleConnections)
	client, err := NewClient(cfg, testAuth())
	require.NoError(t, err)
	return client
}

// serve returns a client of a server that answers with handler, below a path prefix.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	return newTestClient(t, serveConfig(t, handler))
}

// serveConfig is serve for those who make the client themselves.
func serveConfig(t *testing.T, handler http.HandlerFunc) Config {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/x", handler))
	t.Cleanup(server.Close)
	hc := NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	return Config{BaseURL: server.URL + "/x", HTTPClient: hc}
}

// requireError returns the *Error in err.
func requireError(t *testing.T, err error, kind Kind) *Error {
	t.Helper()
	require.Error(t, err)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kind, e.Kind, "%v", err)
	return e
}

// wire is a TCP server that sees every byte. Its script is called for each connection.
type wire struct {
	url string
	// end closes the listener and waits until the connections have ended. One that the client
	// keeps is cut after a moment: all that was written to it has been read by then.
	end func()

	mu       sync.Mutex
	received bytes.Buffer // guarded by mu
	conns    []net.Conn   // guarded by mu
	ended    bool         // guarded by mu
}

func newWire(t *testing.T, script func(w *wire, conn net.Conn)) *wire {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{url: "http://" + listener.Addr().String()}
	var scripts sync.WaitGroup
	scripts.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			if w.conns = append(w.conns, conn); w.ended {
				_ = conn.Close()
			}
			w.mu.Unlock()
			scripts.Go(func() {
				defer conn.Close()
				script(w, conn)
			})
		}
	})
	w.end = sync.OnceFunc(func() {
		_ = listener.Close()
		w.mu.Lock()
		w.ended = true
		for _, conn := range w.conns {
			_ = conn.SetDeadline(time.Now().Add(time.Second / 4))
		}
		w.mu.Unlock()
		scripts.Wait()
	})
	t.Cleanup(w.end)
	return w
}

// tee reads from conn and records.
func (w *wire) tee(conn net.Conn) *bufio.Reader {
	return bufio.NewReader(io.TeeReader(conn, w))
}

// Write records.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.received.Write(p)
}

func (w *wire) bytes() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.received.String()
}

func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// countReuse returns a context whose requests count in reused when they are given a kept connection.
// Tests that need one cannot insist on it: on a busy machine, net/http gives up a connection whose
// write loop is slow to report.
func countReuse(ctx context.Context, reused *atomic.Int32) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			reused.Add(1)
		}
	}})
}

// readRequest reads one request to the end of its body.
func readRequest(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// created answers with a tweet and keeps the connection.
const created = "HTTP/1.1 201 Created\r\nContent-Length: 31\r\n\r\n" + `{"data":{"id":"1","text":"Hi"}}`

// helloBody is a request that no answer repeats by chance.
const helloBody = `{"text":"The doors of the old mill open at nine"}`
