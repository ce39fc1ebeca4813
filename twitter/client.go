package twitter

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// DefaultBaseURL is the X API.
const DefaultBaseURL = "https://api.x.com"

// DefaultTimeout bounds a whole request unless [Config] says otherwise.
const DefaultTimeout = 30 * time.Second

const (
	// deliveryTimeout is how long the kernel tries to deliver what was written to a connection.
	deliveryTimeout = 20 * time.Second
	// writeBuffer holds headers and body of the largest request: 25,000 characters, each escaped.
	writeBuffer = 256 << 10
)

// Config says where X is and how to reach it. The zero value is the real X.
type Config struct {
	// BaseURL is where the paths /2/... begin; it may have a path of its own. Default
	// DefaultBaseURL.
	BaseURL string
	// HTTPClient carries the requests. Only its Transport is used: redirects, cookies and the
	// time limit are this package's own. It must not speak HTTP/2, must not repeat requests, and
	// must hand the request's context on to an *http.Transport. Nil, or without Transport, it is
	// NewHTTPClient(), whose connections are then this Client's alone: for many accounts, make one
	// and share it.
	HTTPClient *http.Client
	// Timeout bounds a whole request, from dialling to the last byte of the answer. Default
	// DefaultTimeout.
	Timeout time.Duration
}

// Client calls the X API for one account. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	transport http.RoundTripper // signs, then passes the gate
	timeout   time.Duration
}

// NewHTTPClient returns an *http.Client that suits [Config]: HTTP/1.1, many connections to one
// host, and proxies as the environment names them. Kept connections are dropped after 30 s
// unused, sooner than servers close them: a request that meets a connection just closed by the
// server is in doubt. Make one and share it among all accounts.
//
// It bounds how long a request may stay on this machine: as long as one may still arrive, it proves
// nothing that X does not show its tweet. On Linux, bytes that the other end does not acknowledge
// within 20 s are given up with their connection (TCP_USER_TIMEOUT), also when this process has
// closed it or has died. Headers and body leave in one write, so that a process that is stopped in
// the middle has no half of a request left to go on with; over TLS this holds up to 16 KiB, the size
// of a record, and never where the kernel takes only a part at once. Neither bounds how long a proxy
// or X itself keeps what it has acknowledged.
func NewHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second, Control: boundDelivery}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		DialContext:            dialer.DialContext,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    512, // there is one host
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              protocols,
		Proxy:                  http.ProxyFromEnvironment,
		// Else records begin with some 1400 bytes, each a write of its own.
		TLSClientConfig:     &tls.Config{DynamicRecordSizingDisabled: true, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		WriteBufferSize:     writeBuffer,
	}}
}

// NewClient returns a client that signs with auth. It is cheap, and opens no connection. All that
// is wrong with cfg and auth is reported at once.
func NewClient(cfg Config, auth Auth) (*Client, error) {
	base, errs := cfg.parse()
	if auth == nil {
		errs = append(errs, errors.New("auth is nil"))
	} else {
		errs = append(errs, auth.problems()...)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("new X client: %w", errors.Join(errs...))
	}
	return &Client{base: base, transport: auth.sign(cfg.gate()), timeout: cfg.timeout()}, nil
}

func (cfg Config) timeout() time.Duration {
	if cfg.Timeout == 0 {
		return DefaultTimeout
	}
	return cfg.Timeout
}

func (cfg Config) gate() gate {
	shared := cfg.HTTPClient
	if shared == nil || shared.Transport == nil {
		shared = NewHTTPClient()
	}
	return gate{shared.Transport}
}

func (cfg Config) parse() (*url.URL, []error) {
	var errs []error
	if cfg.Timeout < 0 {
		errs = append(errs, fmt.Errorf("Timeout is negative: %s", cfg.Timeout))
	}
	if cfg.HTTPClient != nil {
		if t, ok := cfg.HTTPClient.Transport.(*http.Transport); ok && wantsHTTP2(t) {
			errs = append(errs, fmt.Errorf("HTTPClient: %w", errHTTP2))
		}
	}
	raw := cfg.BaseURL
	if raw == "" {
		raw = DefaultBaseURL
	}
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		// The error of url.Parse repeats the URL, which may hold a password.
		errs = append(errs, errors.New("BaseURL is not a URL"))
	case base.User != nil:
		errs = append(errs, errors.New("BaseURL holds a user name or password: credentials belong in auth"))
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		errs = append(errs, fmt.Errorf("BaseURL %q: want https://host, with or without a path", raw))
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		errs = append(errs, fmt.Errorf("BaseURL %q: it has a query or fragment", raw))
	}
	return base, errs
}

// wantsHTTP2 reports whether t was told to speak HTTP/2. One that does so of its own accord is
// caught when it has a connection.
func wantsHTTP2(t *http.Transport) bool {
	if t.Protocols == nil {
		return t.ForceAttemptHTTP2
	}
	return t.Protocols.HTTP2() || t.Protocols.UnencryptedHTTP2()
}

// call is one request, below the base URL.
type call struct {
	op     string // for errors: "create tweet"
	method string
	path   []string
	query  url.Values
	body   []byte // JSON, or nil
	// collection says that the path names no single resource, so that a 404 is not about one.
	collection bool
	limit      int // of the answer's body in bytes; 0 is MaxBody

	accessToken *string  // that signed it, nil for OAuth 1.0a and until it is signed
	secrets     []string // in it, that no error may repeat
}

// do sends one request and reads its answer. For a 2xx it lets decode take the result from the
// answer, and decode's error makes the answer an unreadable one; anything else is an *Error.
//
// It calls the transport itself instead of an http.Client, which would look at redirects even to
// refuse them.
func (c *Client) do(ctx context.Context, r call, decode func(Answer) error) (Answer, error) {
	ctx, stop := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %s: %w", c.timeout, context.DeadlineExceeded))
	defer stop()
	ctx, f := newFlight(ctx, r.method)
	defer f.cancel(nil)

	req, err := c.request(ctx, r)
	if err != nil {
		return Answer{}, r.unsendable(err)
	}
	resp, err := c.transport.RoundTrip(req)
	r.accessToken = f.signedWith()
	if err != nil {
		return Answer{}, r.unanswered(f.end(err))
	}
	defer resp.Body.Close()
	received := time.Now()
	answer, readErr := readAnswer(resp, received, cmp.Or(r.limit, MaxBody))
	answer.RoundTrip = f.roundTrip(received)
	if answer.StatusCode/100 != 2 {
		return answer, r.refusal(answer, readErr, received)
	}
	if err := decode(answer); err != nil {
		return answer, r.unusable(answer, errors.Join(err, readErr))
	}
	return answer, nil
}

func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		// A transport may go on reading the body after RoundTrip has returned, when the answer came
		// before the end of it; the caller's bytes are the caller's again by then.
		body = bytes.NewReader(bytes.Clone(r.body))
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	setHeaders(req)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// setHeaders sets what all requests have.
func setHeaders(req *http.Request) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "tweetqueue")
}
