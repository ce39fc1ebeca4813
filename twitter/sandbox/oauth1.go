package sandbox

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is the only signature of OAuth 1.0a that X knows.
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signedRequest is what an OAuth 1.0a signature covers (RFC 5849, 3.4.1).
type signedRequest struct {
	method string
	scheme string            // http or https
	host   string            // as in the Host header, with its port
	path   string            // as on the request line, still escaped
	query  string            // as on the request line, without the question mark
	form   string            // the body, if it is application/x-www-form-urlencoded; JSON is not signed
	oauth  map[string]string // the decoded parameters of the Authorization header, realm aside
}

// newSignedRequest reads what was signed from a request. It fails with the reason if the
// Authorization header is none of OAuth 1.0a.
func newSignedRequest(r *http.Request, body []byte) (signedRequest, error) {
	oauth, err := parseAuthorization(r.Header.Values("Authorization"))
	if err != nil {
		return signedRequest{}, err
	}
	v := signedRequest{method: r.Method, scheme: "http", host: r.Host, oauth: oauth}
	if r.TLS != nil {
		v.scheme = "https"
	}
	// RequestURI, not URL: a handler that mounts the server under a prefix strips it from the URL,
	// and the client signed what it dialled.
	v.path, v.query, _ = strings.Cut(r.RequestURI, "?")
	if r.RequestURI == "" { // not a request of a net/http server
		v.path, v.query = r.URL.EscapedPath(), r.URL.RawQuery
	}
	if _, rest, ok := strings.Cut(v.path, "://"); ok { // absolute form, as proxies are sent it
		_, path, _ := strings.Cut(rest, "/")
		v.path = "/" + path
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil &&
		t == "application/x-www-form-urlencoded" {
		v.form = string(body)
	}
	return v, nil
}

// parseAuthorization splits `OAuth a="b", c="d"` and decodes it.
func parseAuthorization(headers []string) (map[string]string, error) {
	if len(headers) != 1 {
		return nil, fmt.Errorf("%d Authorization headers instead of one", len(headers))
	}
	scheme, list, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil, errors.New("the Authorization header's scheme is not OAuth")
	}
	params := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		name, quoted, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
			return nil, errors.New("the Authorization header is not a list of name=\"value\"")
		}
		name, err := url.PathUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("the Authorization header's names: %w", err)
		}
		value, err := url.PathUnescape(quoted[1 : len(quoted)-1])
		if err != nil {
			return nil, fmt.Errorf("the Authorization header's values: %w", err)
		}
		if name == "realm" {
			continue
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("the Authorization header has %s twice", name)
		}
		params[name] = value
	}
	return params, nil
}

// verify reports why the request is not one that the holder of both secrets signed, or nil. It
// knows no clock and no past: timestamp and nonce are checked apart.
func (v signedRequest) verify(consumerSecret, tokenSecret string) error {
	if m := v.oauth["oauth_signature_method"]; m != "HMAC-SHA1" {
		return fmt.Errorf("oauth_signature_method is %q, not HMAC-SHA1", m)
	}
	if version, ok := v.oauth["oauth_version"]; ok && version != "1.0" {
		return fmt.Errorf("oauth_version is %q, not 1.0", version)
	}
	for _, name := range []string{"oauth_consumer_key", "oauth_token", "oauth_timestamp", "oauth_nonce"} {
		if v.oauth[name] == "" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	want, err := v.signature(consumerSecret, tokenSecret)
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(want), []byte(v.oauth["oauth_signature"])) {
		return errors.New("the signature does not match")
	}
	return nil
}

// signature is the HMAC-SHA1 of RFC 5849, 3.4.2, in base64.
func (v signedRequest) signature(consumerSecret, tokenSecret string) (string, error) {
	base, err := v.baseString()
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, []byte(percentEncode(consumerSecret)+"&"+percentEncode(tokenSecret)))
	mac.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// baseString is METHOD&address&parameters, each percent-encoded (RFC 5849, 3.4.1.1).
func (v signedRequest) baseString() (string, error) {
	type pair struct{ name, value string } // both encoded, which is the order they are sorted in
	var pairs []pair
	for name, value := range v.oauth {
		if name != "oauth_signature" {
			pairs = append(pairs, pair{percentEncode(name), percentEncode(value)})
		}
	}
	for _, form := range []string{v.query, v.form} {
		for part := range strings.SplitSeq(form, "&") {
			if part == "" {
				continue
			}
			name, value, _ := strings.Cut(part, "=")
			name, err := url.QueryUnescape(name)
			if err != nil {
				return "", fmt.Errorf("the parameters that were signed: %w", err)
			}
			value, err = url.QueryUnescape(value)
			if err != nil {
				return "", fmt.Errorf("the parameters that were signed: %w", err)
			}
			pairs = append(pairs, pair{percentEncode(name), percentEncode(value)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p.name + "=" + p.value
	}
	return strings.ToUpper(v.method) + "&" + percentEncode(v.address()) + "&" +
		percentEncode(strings.Join(joined, "&")), nil
}

// address is the URL without query, its host in lower case, without the scheme's own port.
func (v signedRequest) address() string {
	host := strings.ToLower(v.host)
	switch v.scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	path := v.path
	if path == "" {
		path = "/"
	}
	return v.scheme + "://" + host + path
}

// percentEncode leaves only RFC 3986's unreserved characters as they are.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + len(s)/2)
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// authenticate is the auth stage. Every refusal has the same body, as at X; the record has why.
func (s *Server) authenticate(x *exchange) (answer, bool) {
	if a, refused := s.forced(x, stageAuth); refused {
		return a, true
	}
	if err := s.checkAuth(x); err != nil {
		return unauthorized(err.Error()), true
	}
	return answer{}, false
}

func (s *Server) checkAuth(x *exchange) error {
	if x.bearer != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.accounts.checkToken(x, s.now())
	}
	switch {
	case x.signedErr != nil:
		return x.signedErr
	case x.token.kind == tokenNone:
		return errors.New("the token is unknown")
	case x.token.appKey != x.signed.oauth["oauth_consumer_key"]:
		return errors.New("the token is another app's")
	}
	if err := x.signed.verify(x.app.Secret, x.token.secret); err != nil {
		return err
	}
	now := s.now()
	seconds, err := strconv.ParseInt(x.signed.oauth["oauth_timestamp"], 10, 64)
	if err != nil {
		return errors.New("oauth_timestamp is not a number of seconds")
	}
	if skew := s.cfg.TimestampSkew; skew > 0 {
		if off := now.Sub(time.Unix(seconds, 0)); off > skew || off < -skew {
			return fmt.Errorf("oauth_timestamp is off by %s", off)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.nonces.add(x.signed.oauth["oauth_token"], x.signed.oauth["oauth_nonce"], now, s.nonceLife()) {
		return errors.New("oauth_nonce was used before")
	}
	return s.accounts.checkToken(x, now)
}

// nonceLife is how long a nonce must be remembered: a timestamp may be one skew ahead when it is
// first used, and stays good until it is one skew behind.
func (s *Server) nonceLife() time.Duration {
	return 2 * max(s.cfg.TimestampSkew, defaultTimestampSkew)
}

// nonces remembers what was used, in two generations so that nothing has to be searched for what
// may be forgotten. The zero value is empty. Guarded by Server.mu.
type nonces struct {
	young, old map[[16]byte]struct{}
	since      time.Time // when young began
}

// add reports false if the token has used the nonce within the last life.
func (n *nonces) add(token, nonce string, now time.Time, life time.Duration) bool {
	if n.young == nil || now.Sub(n.since) > life {
		n.young, n.old, n.since = map[[16]byte]struct{}{}, n.young, now
	}
	key := nonceKey(token, nonce)
	_, young := n.young[key]
	_, old := n.old[key]
	if young || old {
		return false
	}
	n.young[key] = struct{}{}
	return true
}

func nonceKey(token, nonce string) [16]byte {
	sum := sha256.Sum256([]byte(token + " " + nonce))
	return [16]byte(sum[:16])
}
