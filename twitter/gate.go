package twitter

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

type checkKey struct{}

// WithRequestCheck returns a context whose requests ask check once their connection is ready
// (dialled, TLS done) and before the first byte of the request is written to it. If check returns
// an error, that connection is closed instead, no byte of the request leaves, and the method
// returns an [Error] of [KindNeverSent] that wraps the error.
//
// Check must be quick. It is asked once for each connection that the request is about to use,
// which is more than once if Go's transport finds a kept connection dead before anything was
// written, and never again after it refused. A later WithRequestCheck replaces an earlier one.
func WithRequestCheck(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, checkKey{}, check)
}

var (
	errHTTP2  = errors.New("the HTTP client speaks HTTP/2, whose transport may send a POST twice: make it with twitter.NewHTTPClient")
	errReplay = errors.New("the HTTP client tried to send the request a second time")
	errOver   = errors.New("the HTTP client went on with a request after it had given up")
)

type flightKey struct{}

// flight follows one request from the moment it is signed, and knows whether a byte of it may
// have left. Its hooks run on goroutines of the transport, so mu guards all that changes.
type flight struct {
	method string
	check  func() error            // whether the request may still go out
	cancel context.CancelCauseFunc // ends the request's context

	mu      sync.Mutex
	trusted bool  // the base is an *http.Transport, whose order of events is known
	handed  bool  // the base has been given the request
	sought  bool  // the base has begun to look for a connection, so it does report
	had     bool  // a connection was had and not refused
	wrote   bool  // the request may have been written to a connection that was not refused
	over    bool  // RoundTrip has returned an error
	refused error // why a connection was refused; nothing is written from then on

	began       time.Time // when the base was given the request, then when it had a connection
	accessToken *string   // the OAuth 2.0 token that signed it
}

// newFlight returns a context for one request and the flight that follows it.
func newFlight(ctx context.Context, method string) (context.Context, *flight) {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &flight{method: method, cancel: cancel, check: func() error {
		if check, ok := ctx.Value(checkKey{}).(func() error); ok {
			if err := check(); err != nil {
				return err
			}
		}
		return context.Cause(ctx)
	}}
	return context.WithValue(ctx, flightKey{}, f), f
}

// gate stands between the transport that signs and the shared one, and lets the flight watch.
type gate struct{ base http.RoundTripper }

func (g gate) RoundTrip(req *http.Request) (*http.Response, error) {
	f, ok := req.Context().Value(flightKey{}).(*flight)
	if !ok {
		return nil, errors.New("request without a flight")
	}
	if err := f.hand(g.base); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	return g.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn:          f.seek,
		GotConn:          f.gotConn,
		WroteHeaderField: func(string, []string) { f.write() },
		WroteHeaders:     f.write,
		WroteRequest:     func(httptrace.WroteRequestInfo) { f.write() },
	})))
}

// hand notes that base is given the request. A base that is not an *http.Transport may not report
// its connections, so the check is asked here as well: better too early than not at all.
func (f *flight) hand(base http.RoundTripper) error {
	_, trusted := base.(*http.Transport)
	var err error
	if !trusted {
		err = f.check()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.refused = err
		return err
	}
	f.trusted, f.handed, f.began = trusted, true, time.Now()
	return nil
}

func (f *flight) seek(string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sought = true
}

// gotConn runs in RoundTrip, before the connection's write loop is given the request. Cancelling
// alone would not do: HTTP/1 does not look at the context between here and the write. A closed
// connection takes no byte. HTTP/2 does look at it, under the lock under which it writes the
// headers, and its connection carries the requests of others, so that one is left open.
func (f *flight) gotConn(info httptrace.GotConnInfo) {
	http2 := isHTTP2(info.Conn)
	err := f.admit(http2)
	if err == nil {
		return
	}
	f.cancel(err)
	if !http2 {
		_ = info.Conn.Close()
	}
}

// admit decides whether the request may be written to a connection, and remembers it.
func (f *flight) admit(http2 bool) error {
	err := f.objection(http2)
	if err == nil {
		err = f.check() // without the lock: it is the caller's code
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.over { // asked last: the verdict may have been given meanwhile
		err = errOver
	}
	if err != nil {
		f.refused = err
		return err
	}
	f.had, f.began = true, time.Now()
	return nil
}

func (f *flight) objection(http2 bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.refused != nil:
		return f.refused
	case http2:
		return errHTTP2
	case f.wrote && !f.trusted && f.method != http.MethodGet:
		// An *http.Transport comes here only if nothing was written. Of another base nothing
		// is known.
		return errReplay
	}
	return nil
}

// write notes that the transport is writing the request. The hooks also run for a connection that
// was refused, and closed: the request then gets as far as the transport's buffer.
func (f *flight) write() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		f.wrote = true
	}
}

// end closes the flight of a request that brought no answer, and tells its kind and cause.
//
// An *http.Transport has ended its write loop when RoundTrip returns an error, so for it "no hook
// has reported a write" is final. Any other base might still be writing to a connection it was
// granted, or might not report at all: it is believed only if it sought a connection and had none.
func (f *flight) end(err error) (Kind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.refused != nil {
		err = f.refused
	}
	switch {
	case f.wrote:
		return KindMaybeSent, err
	case !f.handed, f.trusted:
		return KindNeverSent, err
	case f.sought && !f.had:
		return KindNeverSent, err
	}
	return KindMaybeSent, err
}

// sign notes the token that signed the request.
func (f *flight) sign(accessToken string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accessToken = &accessToken
}

func (f *flight) signedWith() *string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accessToken
}

// roundTrip is the time from when the request may have begun to leave to when the answer came.
func (f *flight) roundTrip(received time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return received.Sub(f.began)
}

func isHTTP2(conn net.Conn) bool {
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && c.ConnectionState().NegotiatedProtocol == "h2"
}
