package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math/bits"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxBody is what the sandbox reads of a body, in bytes. The longest tweet is a tenth of it.
const maxBody = 1 << 20

// exchange is one request on its way through the server. Its goroutine alone uses it.
type exchange struct {
	left    <-chan struct{} // closed when the client has left
	header  http.Header
	query   string
	arrived time.Time
	body    []byte
	tooLong bool           // the body was cut at maxBody
	fields  map[string]any // the body, if it is a JSON object
	bodyErr string         // otherwise X's message about it
	form    url.Values     // the body of a request for tokens, if it is a form

	route   *route // nil if there is none
	pathID  string // the first id in the path
	pathID2 string // the second

	signed    signedRequest
	signedErr error  // why there is nothing to verify
	bearer    string // the token of OAuth 2.0, if one is presented instead
	// Of the token that was presented, before it is verified. Zero if it is unknown. An app's own
	// token has no user. A request for tokens has an app once that has authenticated itself.
	token token
	app   App
	user  User

	fault  *struck           // what strikes it, or nil
	limits map[string]string // the limit headers, once it was counted
	record *Request          // guarded by Server.mu
}

func (x *exchange) strikes(k Kind) bool {
	return x.fault != nil && x.fault.Kind == k
}

// arrive reads the request, opens its record, and picks the fault that strikes it. It reports
// false if the client left before it had sent all, or the server closed while it was under way.
func (s *Server) arrive(w http.ResponseWriter, r *http.Request) (*exchange, bool) {
	x := &exchange{left: r.Context().Done(), header: r.Header, query: r.URL.RawQuery}
	var err error
	x.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, x.tooLong = errors.AsType[*http.MaxBytesError](err); !x.tooLong {
			return nil, false
		}
	}
	if !s.travel() {
		return nil, false
	}
	x.arrived = s.now()
	x.fields, x.bodyErr = parseBody(x.body)
	if x.bearer = bearerToken(r.Header); x.bearer == "" {
		x.signed, x.signedErr = newSignedRequest(r, x.body)
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), s.cfg.BasePath)
	if strings.HasPrefix(r.URL.EscapedPath(), s.cfg.BasePath) {
		x.route, x.pathID, x.pathID2 = s.match(r.Method, path)
	}
	if x.query != "" {
		path += "?" + x.query
	}
	text, _ := x.fields["text"].(string)
	x.record = &Request{
		ArrivedAt: x.arrived, Method: r.Method, Path: path, Body: string(x.body),
		Outcome: OutcomeOpen, text: text, pathID: cmp.Or(x.pathID2, x.pathID),
	}
	if x.route != nil {
		x.record.Route = x.route.name
		if x.route.name.issuesTokens() {
			x.form = formOf(r.Header, x.body)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	x.token = s.accounts.presented(x)
	x.app = s.accounts.apps[x.token.appKey]
	x.record.App = x.app.Name
	if user := s.accounts.users[x.token.userID]; user != nil {
		x.user = *user
		x.record.UserID, x.record.Username = x.user.ID, x.user.Username
	}
	if x.form != nil {
		s.nameGrant(x)
	}
	s.requests.add(x.record)
	x.record.N = s.requests.total()
	x.record.RequestID = transactionID(s.cfg.Seed, x.record.N)
	if x.fault = s.strike(x.record); x.fault != nil {
		x.record.Fault = x.fault.Kind
	}
	return x, true
}

// parseBody decodes a JSON object, or gives X's message about what it is instead.
func parseBody(body []byte) (map[string]any, string) {
	const notJSON = "Request body is not valid JSON."
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, notJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, notJSON
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, "Request body must be a JSON object."
	}
	return fields, ""
}

// transactionID is 16 hex digits, unlike for each request and the same for each run.
func transactionID(seed uint64, n int) string {
	const odd = 0x9e3779b97f4a7c15 // multiplying by an odd number is one-to-one
	id := bits.ReverseBytes64((seed + uint64(n)) * odd)
	digits := strconv.FormatUint(id, 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}

// write sends the answer with the headers that X sends.
func (s *Server) write(w http.ResponseWriter, x *exchange, a answer) {
	now := s.now()
	h := w.Header()
	h.Set("Date", now.Format(http.TimeFormat))
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Transaction-Id", x.record.RequestID)
	h.Set("X-Response-Time", strconv.FormatInt(now.Sub(x.arrived).Milliseconds(), 10))
	// X tells neither its limits nor the access level with a 401 or 402.
	if a.status != http.StatusUnauthorized && a.status != http.StatusPaymentRequired {
		h.Set("Api-Version", "2.167")
		h.Set("Cache-Control", "no-cache, no-store, max-age=0")
		if level := x.accessLevel(); level != "" {
			h.Set("X-Access-Level", level)
		}
		for name, value := range s.limitHeaders(x) {
			h.Set(name, value)
		}
	}
	s.deliver(w, x, a)
}
