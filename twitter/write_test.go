package twitter

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// countedConn counts the writes to a connection.
type countedConn struct {
	net.Conn

	writes *atomic.Int32
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestRequestLeavesInOneWrite: a process that is stopped in between would leave half a request behind,
// and send the rest when it goes on.
func TestRequestLeavesInOneWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tls  bool
		size int // of the text in bytes
		want int32
	}{
		"Short":    {false, 280, 1},
		"Longest":  {false, 200_000, 1},
		"ShortTLS": {true, 1120, 1},
		"LongTLS":  {true, 12_000, 1},
		"PastTLS":  {true, 30_000, 2}, // a record of TLS has 16 KiB at most
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := make(chan int, 2)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				received <- len(body)
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, `{"data":{"id":"1","text":"Hi"}}`)
			})
			server := httptest.NewUnstartedServer(handler)
			hc := NewHTTPClient()
			transport := hc.Transport.(*http.Transport)
			if tc.tls {
				server.StartTLS()
				transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			writes, dial := new(atomic.Int32), transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return countedConn{conn, writes}, err
			}
			client := newTestClient(t, Config{BaseURL: server.URL, HTTPClient: hc})
			body := []byte(`{"text":"` + strings.Repeat("a", tc.size) + `"}`)
			ctx := WithRequestCheck(t.Context(), func() error {
				writes.Store(0) // those of the handshake
				return nil
			})
			_, err := client.CreateTweet(ctx, body)
			require.NoError(t, err)
			require.Equal(t, len(body), <-received)
			require.Equal(t, tc.want, writes.Load())
		})
	}
}
