package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind is what a fault does to a request.
type Kind string

// These act on the connection, or at the edge before X looks at the request. "Before" means that
// nothing was created or deleted; "after" that the request was worked in full, and only its answer
// suffers. They strike a request whether X would have accepted or refused it.
const (
	// KindHoldBefore keeps the request back for Fault.Delay, or until Lift; then it is worked and
	// answered as usual. It is worked even if the client has left: that is the request that
	// arrives late.
	KindHoldBefore Kind = "hold_before"
	// KindHoldAfter works the request and keeps the answer back in the same way.
	KindHoldAfter Kind = "hold_after"
	// KindHangBefore never answers and does nothing: it ends, the connection cut, when the client
	// leaves, at Lift, or at Close. To the client it is a time-out.
	KindHangBefore Kind = "hang_before"
	// KindHangAfter works the request and never answers.
	KindHangAfter Kind = "hang_after"
	// KindDropBefore cuts the connection at once.
	KindDropBefore Kind = "drop_before"
	// KindDropAfter works the request and cuts the connection: the tweet exists and nobody was told.
	KindDropAfter Kind = "drop_after"
	// KindStatusBefore answers Fault.Status and does nothing.
	KindStatusBefore Kind = "status_before"
	// KindStatusAfter works the request and answers Fault.Status all the same.
	KindStatusAfter Kind = "status_after"
)

// Fault says which requests suffer, and what. The zero value of each criterion matches all.
type Fault struct {
	Match

	// Skip lets that many matching requests pass first: Skip 1 with Times 1 is the second.
	Skip int
	// Times ends the fault after it has struck so often. 0 is no end.
	Times int
	// Rate strikes each matching request (after Skip) with this probability, by a sequence that
	// Config.Seed determines. 0 is always.
	Rate float64

	Kind Kind
	// Delay is how long KindHoldBefore and KindHoldAfter hold. 0 is until Lift.
	Delay time.Duration
	// Status is what KindStatusBefore and KindStatusAfter answer, 400 to 599. 0 is 503.
	Status int
	// Wait is how long KindRateLimited makes the user wait from now (0: to the end of the window),
	// or how far off the next billing cycle is for KindSpendCapReached (0: the next month).
	Wait time.Duration
}

// Match selects requests. All criteria that are set must hold.
type Match struct {
	Route    Route  // one of the sandbox's
	Username string // whose token the request presents, case ignored, whether or not it is valid
	Text     string // contained in the text of the tweet to post
	TweetID  string // the id in the path, the last one if there are two
}

func (m Match) matches(r *Request) bool {
	return (m.Route == "" || m.Route == r.Route) &&
		(m.Username == "" || strings.EqualFold(m.Username, r.Username)) &&
		(m.Text == "" || strings.Contains(r.text, m.Text)) &&
		(m.TweetID == "" || m.TweetID == r.pathID)
}

// ActiveFault is a fault in force.
type ActiveFault struct {
	Fault

	server *Server
	lifted chan struct{} // closed by Lift

	// Guarded by Server.mu.
	random *rand.Rand
	seen   int // matching requests
	hits   int // requests struck
	held   int // requests that were ever held
	over   bool
}

// Fault puts a fault in force. Where several match a request, the one set first strikes, alone.
func (s *Server) Fault(f Fault) (*ActiveFault, error) {
	if f.Status == 0 {
		f.Status = http.StatusServiceUnavailable
	}
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("fault %q: %w", f.Kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultSeq++
	a := &ActiveFault{
		Fault:  f,
		server: s,
		lifted: make(chan struct{}),
		random: rand.New(rand.NewPCG(s.cfg.Seed, s.faultSeq)),
	}
	s.faults = append(s.faults, a)
	return a, nil
}

func (f Fault) validate() error {
	var errs []error
	if !slices.Contains(Kinds(), f.Kind) {
		errs = append(errs, errors.New("there is no such kind"))
	}
	if f.Route != "" && !slices.Contains(Routes(), f.Route) {
		errs = append(errs, fmt.Errorf("route %q is none of the sandbox", f.Route))
	}
	if f.Rate < 0 || f.Rate > 1 {
		errs = append(errs, fmt.Errorf("rate %v: use 0 to 1", f.Rate))
	}
	if f.Skip < 0 || f.Times < 0 || f.Delay < 0 || f.Wait < 0 {
		errs = append(errs, errors.New("skip, times, delay and wait are not negative"))
	}
	if f.Status < 400 || f.Status > 599 {
		errs = append(errs, fmt.Errorf("status %d: use 400 to 599", f.Status))
	}
	return errors.Join(errs...)
}

// Kinds are all kinds of faults.
func Kinds() []Kind {
	kinds := []Kind{
		KindHoldBefore, KindHoldAfter, KindHangBefore, KindHangAfter,
		KindDropBefore, KindDropAfter, KindStatusBefore, KindStatusAfter,
	}
	return append(kinds, refusalKinds()...)
}

// Lift ends the fault: it strikes no more, held requests go on, hanging ones are cut. Lifting
// again does nothing.
func (a *ActiveFault) Lift() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.server.dropFault(a)
	select {
	case <-a.lifted:
	default:
		close(a.lifted)
	}
}

// Hits is how many requests the fault has struck.
func (a *ActiveFault) Hits() int {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	return a.hits
}

// WaitHeld waits until the fault has held n requests since it was set, counting those that have
// gone on meanwhile. Faults that do not hold never get there.
func (a *ActiveFault) WaitHeld(ctx context.Context, n int) error {
	held := 0
	err := a.server.await(ctx, func() bool {
		held = a.held
		return held >= n
	})
	if err != nil {
		return fmt.Errorf("wait for %d held requests, %d so far: %w", n, held, err)
	}
	return nil
}

// strike picks the fault that a new request suffers, if any. Callers hold s.mu.
func (s *Server) strike(r *Request) *ActiveFault {
	for _, f := range s.faults {
		if f.matches(r) && f.draw() {
			if f.Times > 0 && f.hits >= f.Times {
				s.dropFault(f)
			}
			return f
		}
	}
	return nil
}

// draw counts a matching request and decides whether the fault strikes it.
func (a *ActiveFault) draw() bool {
	a.seen++
	if a.seen <= a.Skip || a.Rate > 0 && a.random.Float64() >= a.Rate {
		return false
	}
	a.hits++
	return true
}

// dropFault takes a fault out of those that strike. Callers hold s.mu.
func (s *Server) dropFault(a *ActiveFault) {
	if !a.over {
		a.over = true
		s.faults = slices.DeleteFunc(s.faults, func(f *ActiveFault) bool { return f == a })
	}
}

// strikeBefore lets the fault act before the request is worked. It reports false if the request
// ends here, unanswered.
func (s *Server) strikeBefore(x *exchange) bool {
	switch {
	case x.strikes(KindDropBefore):
		return false
	case x.strikes(KindHangBefore):
		s.hang(x)
		return false
	case x.strikes(KindHoldBefore):
		return s.hold(x)
	}
	return true
}

// strikeAfter lets the fault act on the answer. It reports false if there is none.
func (s *Server) strikeAfter(x *exchange, a answer) (answer, bool) {
	switch {
	case x.strikes(KindDropAfter):
		return a, false
	case x.strikes(KindHangAfter):
		s.hang(x)
		return a, false
	case x.strikes(KindHoldAfter):
		return a, s.hold(x)
	case x.strikes(KindStatusAfter):
		p := problem(x.fault.Status, fmt.Sprintf("fault %s", KindStatusAfter))
		p.outcome, p.tweetID = a.outcome, a.tweetID
		return p, true
	}
	return a, true
}

// hold reports false if the server closes before the fault lets go.
func (s *Server) hold(x *exchange) bool {
	s.noteHeld(x)
	var elapsed <-chan time.Time
	if x.fault.Delay > 0 {
		timer := time.NewTimer(x.fault.Delay)
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-elapsed:
		return true
	case <-x.fault.lifted:
		return true
	case <-s.closing:
		return false
	}
}

func (s *Server) hang(x *exchange) {
	s.noteHeld(x)
	select {
	case <-x.left:
	case <-x.fault.lifted:
	case <-s.closing:
	}
}

func (s *Server) noteHeld(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.fault.held++
	s.signal()
}
