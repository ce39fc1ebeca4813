package sandbox

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Delay is how long requests are under way. Each has a delay of its own between Min and Max, by a
// sequence that Config.Seed determines, so that a later request may arrive before an earlier one. It
// arrives also if its client has left meanwhile.
type Delay struct {
	Min time.Duration `json:"min"` // nanoseconds in JSON
	Max time.Duration `json:"max"` // 0 is Min
}

func (d Delay) validate() error {
	if d.Min < 0 || d.Max < 0 || d.Max > 0 && d.Max < d.Min {
		return fmt.Errorf("arrival delay %s to %s: use 0 or more, and a maximum not below the minimum", d.Min, d.Max)
	}
	return nil
}

// draw is one request's delay.
func (d Delay) draw(random *rand.Rand) time.Duration {
	if d.Max <= d.Min {
		return d.Min
	}
	return d.Min + time.Duration(random.Int64N(int64(d.Max-d.Min)+1))
}

// SetArrivalDelay changes the delay of the requests to come.
func (s *Server) SetArrivalDelay(d Delay) error {
	if err := d.validate(); err != nil {
		return fmt.Errorf("set arrival delay: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
	return nil
}

// travel waits until a request has arrived. It reports false if the server closes before.
func (s *Server) travel() bool {
	s.mu.Lock()
	delay := s.delay.draw(s.delays)
	s.mu.Unlock()
	if delay == 0 {
		return true
	}
	select {
	case <-s.cfg.After(delay):
		return true
	case <-s.closing:
		return false
	}
}
