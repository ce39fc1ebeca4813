package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ControlPath is where the control routes are if Config.Control serves them: at the root of the
// listener, whatever Config.BasePath is. They are none of X's, so they count against no limit and
// no fault, and no record tells of them.
//
//	GET    /sandbox/requests?since=N   the record of requests, those after the N-th
//	GET    /sandbox/tweets             all tweets that ever were, without retweets
//	GET    /sandbox/retweets           all retweets that ever were
//	GET    /sandbox/bills              what each app was billed, and its credits
//	POST   /sandbox/bills              add credits, set the spend cap: {"app_id":"...","add_credits_usd":"25","spend_cap_usd":"100"}
//	GET    /sandbox/faults             how each fault stands
//	POST   /sandbox/faults             put one fault in force, or all of {"faults":[...]}
//	GET    /sandbox/faults/:id         how that fault stands
//	DELETE /sandbox/faults             lift and forget all faults
//	DELETE /sandbox/faults/:id         lift and forget that fault
//
// Answers are JSON objects: {"requests":[...]}, {"tweets":[...]}, {"retweets":[...]},
// {"bills":[...]}, {"faults":[...]}, and for what is refused {"error":"..."}. They guard nothing but
// against pages in a browser on the same machine: a request for another host than a loopback one, or
// from another origin, is refused.
const ControlPath = "/sandbox"

// requestsAnswer is what GET /sandbox/requests says.
type requestsAnswer struct {
	Requests []Request `json:"requests"`
}

// tweetsAnswer is what GET /sandbox/tweets says.
type tweetsAnswer struct {
	Tweets []Tweet `json:"tweets"`
}

// retweetsAnswer is what GET /sandbox/retweets says.
type retweetsAnswer struct {
	Retweets []Retweet `json:"retweets"`
}

// faultsAnswer is what all routes of faults say.
type faultsAnswer struct {
	Faults []FaultState `json:"faults"`
}

// faultsAsked is the body of POST /sandbox/faults for several.
type faultsAsked struct {
	Faults []Fault `json:"faults"`
}

// controlError is a refused control request.
type controlError struct {
	status int
	err    error
}

func (e *controlError) Error() string { return e.err.Error() }

func refuseControl(status int, format string, args ...any) error {
	return &controlError{status, fmt.Errorf(format, args...)}
}

// control answers the request if it is for a control route.
func (s *Server) control(w http.ResponseWriter, r *http.Request) bool {
	if !s.cfg.Control || r.URL.Path != ControlPath && !strings.HasPrefix(r.URL.Path, ControlPath+"/") {
		return false
	}
	status := http.StatusOK
	var answer any
	err := checkLocal(r)
	if err == nil {
		answer, err = s.serveControl(w, r)
	}
	if refused, ok := errors.AsType[*controlError](err); ok {
		status = refused.status
		answer = map[string]string{"error": refused.Error()}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(answer), '\n'))
	return true
}

// checkLocal refuses what a page of another origin could have sent, also one whose name was made to
// resolve to this machine.
func checkLocal(r *http.Request) error {
	if !isLoopback(r.Host) {
		return refuseControl(http.StatusForbidden, "the control routes are for this machine: the host %q is no loopback address", r.Host)
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
		return refuseControl(http.StatusForbidden, "the control routes are for this machine: the origin %q is another", origin)
	}
	return nil
}

// isLoopback reports whether a host, with or without a port, is this machine by its name.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}

// serveControl finds the route. Its error is always a *controlError.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) (any, error) {
	path := strings.TrimPrefix(r.URL.Path, ControlPath)
	id, one := strings.CutPrefix(path, "/faults/")
	if one {
		path = "/faults/:id"
	}
	switch r.Method + " " + path {
	case "GET /requests":
		return s.controlRequests(r)
	case "GET /tweets":
		return tweetsAnswer{listed(s.Tweets())}, nil
	case "GET /retweets":
		return retweetsAnswer{listed(s.Retweets())}, nil
	case "GET /bills":
		return billsAnswer{s.bills()}, nil
	case "POST /bills":
		return s.controlChangeBill(w, r)
	case "GET /faults":
		return faultsAnswer{s.Faults()}, nil
	case "POST /faults":
		return s.controlSetFaults(w, r)
	case "DELETE /faults":
		return s.controlLift(s.knownFaults()), nil
	case "GET /faults/:id", "DELETE /faults/:id":
		a := s.knownFault(id)
		if a == nil {
			return nil, refuseControl(http.StatusNotFound, "there is no fault %q", id)
		}
		if r.Method == http.MethodDelete {
			return s.controlLift([]*ActiveFault{a}), nil
		}
		return faultsAnswer{[]FaultState{a.State()}}, nil
	}
	return nil, refuseControl(http.StatusNotFound, "there is no %s %s: use GET /sandbox/requests?since=N, GET /sandbox/tweets, "+
		"GET /sandbox/retweets, GET or POST /sandbox/bills, GET, POST or DELETE /sandbox/faults, GET or DELETE /sandbox/faults/:id", r.Method, r.URL.Path)
}

func (s *Server) controlRequests(r *http.Request) (any, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "the query is not valid")
	}
	since := 0
	for name, values := range query {
		if since, err = strconv.Atoi(values[0]); name != "since" || len(values) > 1 || err != nil || since < 0 {
			return nil, refuseControl(http.StatusBadRequest, "the query is %q: use since=N, the n of the last request that you have", r.URL.RawQuery)
		}
	}
	return requestsAnswer{s.requestsSince(since)}, nil
}

func (s *Server) controlSetFaults(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "the body cannot be read: send at most %d bytes", maxBody)
	}
	faults, err := parseFaults(body)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	set, err := s.setFaults(faults...)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	return faultsAnswer{states(set)}, nil
}

// parseFaults reads one fault, or {"faults":[...]}.
func parseFaults(body []byte) ([]Fault, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, errors.New(`the body is no JSON object: send a fault, or {"faults":[...]}`)
	}
	if _, several := members["faults"]; !several {
		var one Fault
		err := json.Unmarshal(body, &one)
		return []Fault{one}, err
	}
	if err := checkFields(body, reflect.TypeFor[faultsAsked]()); err != nil {
		return nil, err
	}
	var asked faultsAsked
	if err := unmarshal(body, &asked); err != nil {
		return nil, err
	}
	if len(asked.Faults) == 0 {
		return nil, errors.New("faults is empty: name at least one")
	}
	return asked.Faults, nil
}

// controlLift lifts faults and forgets them. It tells how they stood.
func (s *Server) controlLift(faults []*ActiveFault) faultsAnswer {
	for _, a := range faults {
		a.Lift()
		s.forgetFault(a)
	}
	return faultsAnswer{states(faults)}
}

func states(faults []*ActiveFault) []FaultState {
	all := make([]FaultState, len(faults))
	for i, a := range faults {
		all[i] = a.State()
	}
	return all
}

// knownFaults are those that were set and not forgotten.
func (s *Server) knownFaults() []*ActiveFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faultsSet)
}

// knownFault is the one with that id, or nil.
func (s *Server) knownFault(id string) *ActiveFault {
	for _, a := range s.knownFaults() {
		if strconv.Itoa(a.id) == id {
			return a
		}
	}
	return nil
}

// forgetFault takes a fault out of those that Faults tells.
func (s *Server) forgetFault(a *ActiveFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultsSet = slices.DeleteFunc(s.faultsSet, func(f *ActiveFault) bool { return f == a })
}

// listed is the list, for JSON: one that is empty is [] and not null.
func listed[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
