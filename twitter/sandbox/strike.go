package sandbox

import (
	"fmt"
	"time"
)

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

// strikeAfter lets the fault act before the answer. It reports false if there is none.
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
	case <-x.fault.by.lifted:
		return true
	case <-s.closing:
		return false
	}
}

// hang ends when the client leaves, the fault is lifted or the server closes.
func (s *Server) hang(x *exchange) {
	s.noteHeld(x)
	select {
	case <-x.left:
	case <-x.fault.by.lifted:
	case <-s.closing:
	}
}

func (s *Server) noteHeld(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.fault.by.held++
	s.signal()
}
