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

// Fault says which requests suffer, and what. The zero value of each criterion matches all.
//
// Of what a fault can do, these are orthogonal: when something happens to the request or to its
// connection (Kind), what is answered (Status, or a refusal of X's as Kind), and what becomes of the
// answer on its way (Body, Header).
type Fault struct {
	Match

	// Skip lets that many matching requests pass first: Skip 1 with Times 1 is the second.
	Skip int `json:"skip,omitempty"`
	// Times ends the fault after it has struck so often. 0 is no end. In a step it is how many
	// requests in a row suffer the step; 0 is one.
	Times int `json:"times,omitempty"`
	// Rate strikes each matching request (after Skip) with this probability, by a sequence that
	// Config.Seed determines. 0 is always.
	Rate float64 `json:"rate,omitempty"`

	// Kind is what the requests suffer, unless Steps say so.
	Kind Kind `json:"kind,omitempty"`
	// Delay is how long the kinds that hold do so. 0 is until Lift. In JSON it is text: "250ms".
	Delay time.Duration `json:"delay,omitempty"`
	// Status is what KindStatusBefore and KindStatusAfter answer, 200 to 599. 0 is 503.
	Status int `json:"status,omitempty"`
	// Wait is how long KindRateLimited makes the user wait from now (0: to the end of the window),
	// or how far off the next billing cycle is for KindSpendCapReached (0: the next month). In JSON
	// it is text: "15m".
	Wait time.Duration `json:"wait,omitempty"`
	// Body is what is sent instead of the answer's body. Empty is the body itself, but for the
	// statuses 520 to 527: those are Cloudflare's, and so BodyHTML.
	Body Body `json:"body,omitempty"`
	// Header are headers of the answer, instead of those it would have had. An empty value takes a
	// header away.
	Header map[string]string `json:"header,omitempty"`

	// Steps make a script: of the requests that the fault strikes, the first suffers the first step,
	// and so on. A step has neither criteria nor Skip, Rate or steps of its own. After the last one
	// the fault is over, unless Repeat begins again.
	Steps  []Fault `json:"steps,omitempty"`
	Repeat bool    `json:"repeat,omitempty"`
}

// Match selects requests. All criteria that are set must hold.
type Match struct {
	Route    Route  `json:"route,omitempty"`    // one of the sandbox's
	Username string `json:"username,omitempty"` // whose token the request presents, case ignored, whether or not it is valid
	Text     string `json:"text,omitempty"`     // contained in the text of the tweet to post
	TweetID  string `json:"tweet_id,omitempty"` // the id in the path, the last one if there are two
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

	id     int
	server *Server
	lifted chan struct{} // closed by Lift

	// Guarded by Server.mu.
	random *rand.Rand
	seen   int // matching requests
	hits   int // requests struck
	held   int // requests that were ever held
	step   int // the step that the next request suffers
	took   int // requests that have suffered it
	over   bool
}

// FaultState is how a fault stands.
type FaultState struct {
	ID    int   `json:"id"` // 1 for the first that was set
	Fault Fault `json:"fault"`
	Seen  int   `json:"seen"` // requests that match
	Hits  int   `json:"hits"` // requests that it has struck
	Held  int   `json:"held"` // requests that it has held, counting those that have gone on
	Over  bool  `json:"over"` // it strikes no more
}

// struck is what one request suffers: a fault, or the step of a script.
type struck struct {
	Fault

	by *ActiveFault
}

// Fault puts a fault in force. Where several match a request, the one set first strikes, alone.
func (s *Server) Fault(f Fault) (*ActiveFault, error) {
	active, err := s.setFaults(f)
	if err != nil {
		return nil, err
	}
	return active[0], nil
}

// Script puts a fault in force under which the n-th request that matches suffers the n-th step.
// KindNone is a step that lets one pass. It is Fault with Steps.
func (s *Server) Script(m Match, steps ...Fault) (*ActiveFault, error) {
	if len(steps) == 0 {
		return nil, errors.New("script: it has no steps")
	}
	return s.Fault(Fault{Match: m, Steps: steps})
}

// Faults are the states of all faults that were set, in that order, also of those that are over.
func (s *Server) Faults() []FaultState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]FaultState, len(s.faultsSet))
	for i, a := range s.faultsSet {
		states[i] = a.state()
	}
	return states
}

// setFaults puts all of them in force, or none.
func (s *Server) setFaults(faults ...Fault) ([]*ActiveFault, error) {
	all := make([]*ActiveFault, len(faults))
	for i, f := range faults {
		f = f.complete()
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("fault %q: %w", f.Kind, err)
		}
		all[i] = &ActiveFault{Fault: f, server: s, lifted: make(chan struct{})}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range all {
		s.faultSeq++
		a.id = int(s.faultSeq)
		a.random = rand.New(rand.NewPCG(s.cfg.Seed, s.faultSeq))
	}
	s.faults = append(s.faults, all...)
	s.faultsSet = append(s.faultsSet, all...)
	return all, nil
}

// complete fills what may be left out.
func (f Fault) complete() Fault {
	if f.Kind == KindStatusBefore || f.Kind == KindStatusAfter {
		if f.Status == 0 {
			f.Status = http.StatusServiceUnavailable
		}
		if f.Body == "" && f.Status >= 520 && f.Status <= 527 {
			f.Body = BodyHTML
		}
	}
	if len(f.Steps) > 0 {
		f.Steps = slices.Clone(f.Steps)
		for i, step := range f.Steps {
			f.Steps[i] = step.complete()
		}
	}
	return f
}

func (f Fault) validate() error {
	var errs []error
	if f.Route != "" && !slices.Contains(Routes(), f.Route) {
		errs = append(errs, fmt.Errorf("route %q is none of the sandbox: use one of %s", f.Route, list(Routes())))
	}
	if f.Rate < 0 || f.Rate > 1 {
		errs = append(errs, fmt.Errorf("rate %v: use 0 to 1", f.Rate))
	}
	if f.Skip < 0 || f.Times < 0 || f.Delay < 0 || f.Wait < 0 {
		errs = append(errs, errors.New("skip, times, delay and wait are not negative"))
	}
	if len(f.Steps) == 0 {
		errs = append(errs, f.validateKind())
		if f.Repeat {
			errs = append(errs, errors.New("repeat is for steps, and there are none"))
		}
		return errors.Join(errs...)
	}
	if f.Kind != "" || f.Delay != 0 || f.Status != 0 || f.Wait != 0 || f.Body != "" || f.Header != nil {
		errs = append(errs, errors.New("with steps, each step says what happens: leave kind, delay, status, wait, body and header to them"))
	}
	for i, step := range f.Steps {
		if step.Match != (Match{}) || step.Skip != 0 || step.Rate != 0 || step.Steps != nil || step.Repeat {
			errs = append(errs, fmt.Errorf("step %d: match, skip, rate, steps and repeat are for the whole script", i+1))
		}
		if err := step.validate(); err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// validateKind checks what happens to a request.
func (f Fault) validateKind() error {
	var errs []error
	if !slices.Contains(Kinds(), f.Kind) {
		errs = append(errs, fmt.Errorf("there is no such kind: use one of %s", list(Kinds())))
	}
	if f.Body != "" && !slices.Contains(Bodies(), f.Body) {
		errs = append(errs, fmt.Errorf("there is no body %q: use one of %s", f.Body, list(Bodies())))
	}
	takesStatus := f.Kind == KindStatusBefore || f.Kind == KindStatusAfter
	if takesStatus && (f.Status < 200 || f.Status > 599) {
		errs = append(errs, fmt.Errorf("status %d: use 200 to 599", f.Status))
	}
	if !takesStatus && f.Status != 0 {
		errs = append(errs, fmt.Errorf("status is for %s and %s", KindStatusBefore, KindStatusAfter))
	}
	changes := f.Body != "" || f.Header != nil
	if f.Kind == KindAnswer && !changes {
		errs = append(errs, errors.New("say by body or header what becomes of the answer"))
	}
	if slices.Contains(silentKinds(), f.Kind) && changes {
		errs = append(errs, errors.New("body and header change an answer, and this kind sends none"))
	}
	return errors.Join(errs...)
}

// list writes names with commas between.
func list[T ~string](names []T) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return strings.Join(all, ", ")
}

// ID tells the fault from others: 1 for the first that was set.
func (a *ActiveFault) ID() int { return a.id }

// Lift ends the fault: it strikes no more, held requests go on, hanging ones are cut. Lifting
// again does nothing.
func (a *ActiveFault) Lift() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.server.endFault(a)
	select {
	case <-a.lifted:
	default:
		close(a.lifted)
	}
}

// Hits is how many requests the fault has struck.
func (a *ActiveFault) Hits() int { return a.State().Hits }

// State is how the fault stands.
func (a *ActiveFault) State() FaultState {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	return a.state()
}

// state is State for callers that hold Server.mu.
func (a *ActiveFault) state() FaultState {
	return FaultState{ID: a.id, Fault: a.Fault, Seen: a.seen, Hits: a.hits, Held: a.held, Over: a.over}
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

// strike picks what a new request suffers, if anything. Callers hold s.mu.
func (s *Server) strike(r *Request) *struck {
	for _, a := range slices.Clone(s.faults) { // those that end are taken out on the way
		if !a.matches(r) {
			continue
		}
		f, strikes := a.draw()
		if a.over || a.Times > 0 && a.hits >= a.Times {
			s.endFault(a)
		}
		if strikes {
			return &struck{f, a}
		}
	}
	return nil
}

// draw counts a matching request and decides whether the fault strikes it, and by what.
func (a *ActiveFault) draw() (Fault, bool) {
	a.seen++
	if a.seen <= a.Skip || a.Rate > 0 && a.random.Float64() >= a.Rate {
		return Fault{}, false
	}
	f := a.Fault
	if len(a.Steps) > 0 {
		f = a.nextStep()
	}
	if f.Kind == KindNone {
		return f, false
	}
	a.hits++
	return f, true
}

// nextStep goes on in the script. At its end it begins again, or the fault is over.
func (a *ActiveFault) nextStep() Fault {
	f := a.Steps[a.step]
	a.took++
	if a.took < f.Times {
		return f
	}
	a.step, a.took = a.step+1, 0
	if a.step == len(a.Steps) {
		a.step, a.over = 0, !a.Repeat
	}
	return f
}

// endFault takes a fault out of those that strike. Callers hold s.mu.
func (s *Server) endFault(a *ActiveFault) {
	a.over = true
	s.faults = slices.DeleteFunc(s.faults, func(f *ActiveFault) bool { return f == a })
}
