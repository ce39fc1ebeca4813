package limits

import (
	"slices"
	"sync"
	"time"
)

// clock is the time of a test: the machine's, and as far ahead as the test has moved it. It runs between the moves.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration
	timers []timer
}

// timer is a request to X that is under way.
type timer struct {
	at   time.Time
	fire chan time.Time
}

// Now is the time of X.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// After is X's timer: see sandbox.Config.
func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := timer{at: c.now().Add(d), fire: make(chan time.Time, 1)}
	c.timers = append(c.timers, t)
	return t.fire
}

// fire lets the requests arrive whose time has come.
func (c *clock) fire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.timers = slices.DeleteFunc(c.timers, func(t timer) bool {
		if t.at.After(now) {
			return false
		}
		t.fire <- now
		return true
	})
}

// underWay is how many requests have not arrived, and when the next one does.
func (c *clock) underWay() (n int, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.timers {
		if next.IsZero() || t.at.Before(next) {
			next = t.at
		}
	}
	return len(c.timers), next
}

// move moves the clock on, and returns how far it is ahead.
func (c *clock) move(by time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
	return c.ahead
}

// riverTime is the clock as River reads it: what River asks the database for is by the test's time, what it
// measures itself is by the machine's.
type riverTime struct{ *clock }

func (riverTime) Now() time.Time { return time.Now() }

func (r riverTime) NowOrNil() *time.Time {
	now := r.clock.Now()
	return &now
}
