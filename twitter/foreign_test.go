package twitter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// roundTripper makes a function a base that is not an *http.Transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestForeignTransport(t *testing.T) {
	t.Parallel()
	closeAfterRequest := func(w *wire, conn net.Conn) { _ = readRequest(w.tee(conn)) }

	t.Run("ReportsNothing", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })}})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindMaybeSent)
	})

	t.Run("IsCheckedBefore", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) { panic("called") })}})
		_, err := client.CreateTweet(refuse(t.Context()), []byte(helloBody))
		requireError(t, err, KindNeverSent)
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		inner := NewHTTPClient()
		client := newTestClient(t, Config{BaseURL: refusedURL(t), HTTPClient: &http.Client{Transport: roundTripper(inner.Transport.RoundTrip)}})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindNeverSent)
	})

	t.Run("Repeats", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, closeAfterRequest)
		inner := NewHTTPClient()
		client := newTestClient(t, Config{BaseURL: w.url, HTTPClient: &http.Client{Transport: roundTripper(
			func(req *http.Request) (*http.Response, error) {
				if resp, err := inner.Transport.RoundTrip(req); err == nil {
					return resp, nil
				}
				req.Body, _ = req.GetBody()
				return inner.Transport.RoundTrip(req)
			})}})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.ErrorIs(t, requireError(t, err, KindMaybeSent), errReplay)
		require.Equal(t, 1, strings.Count(w.bytes(), "POST /2/tweets"))
	})

	t.Run("RepeatsAfterRefusal", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, answerAll)
		inner := NewHTTPClient()
		client := newTestClient(t, Config{BaseURL: w.url, HTTPClient: &http.Client{Transport: roundTripper(
			func(req *http.Request) (*http.Response, error) {
				if resp, err := inner.Transport.RoundTrip(req); err == nil {
					return resp, nil
				}
				return inner.Transport.RoundTrip(req.Clone(context.WithoutCancel(req.Context())))
			})}})
		var asked atomic.Int32
		ctx := WithRequestCheck(t.Context(), func() error {
			if asked.Add(1) == 2 { // the first is the one for a foreign transport
				return errNotNow
			}
			return nil
		})
		_, err := client.Tweet(ctx, "1")
		require.ErrorIs(t, requireError(t, err, KindNeverSent), errNotNow)
		require.Empty(t, w.bytes())
		require.EqualValues(t, 2, asked.Load())
	})

	t.Run("GoesOn", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, answerAll)
		inner := NewHTTPClient()
		gaveUp, wentOn := make(chan struct{}), make(chan error)
		client := newTestClient(t, Config{BaseURL: w.url, HTTPClient: &http.Client{Transport: roundTripper(
			func(req *http.Request) (*http.Response, error) {
				late := req.Clone(context.WithoutCancel(req.Context()))
				go func() {
					<-gaveUp
					resp, err := inner.Transport.RoundTrip(late)
					if err == nil {
						_ = resp.Body.Close()
					}
					wentOn <- err
				}()
				return nil, errors.New("gave up")
			})}})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindMaybeSent)
		close(gaveUp)
		require.Error(t, <-wentOn)
		require.Empty(t, w.bytes())
	})
}

// TestLateConnection has the verdict given while the check runs, as a transport might that goes on
// by itself after it gave up: "never sent" must stay true.
func TestLateConnection(t *testing.T) {
	t.Parallel()
	var f *flight
	var kind Kind
	ctx := WithRequestCheck(t.Context(), func() error {
		if f.sought {
			kind, _ = f.end(errors.New("gave up"))
		}
		return nil
	})
	_, f = newFlight(ctx, http.MethodPost)
	require.NoError(t, f.hand(roundTripper(nil)))
	f.seek("")
	require.ErrorIs(t, f.admit(false), errOver)
	require.Equal(t, KindNeverSent, kind)
}
