package sandbox

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// ReadLag is how long reads do not show yet that a tweet was created or deleted. X documents
// nothing; reports range from a few hundred milliseconds to minutes. Each creation and each
// deletion has a lag of its own between Min and Max, which Config.Seed and the tweet's id determine,
// so that a later tweet may be readable before an earlier one. Only reads lag: a tweet can be
// replied to, retweeted and deleted at once.
type ReadLag struct {
	Min time.Duration `json:"min"` // nanoseconds in JSON
	Max time.Duration `json:"max"` // 0 is Min
}

func (l ReadLag) validate() error {
	if l.Min < 0 || l.Max < 0 || l.Max > 0 && l.Max < l.Min {
		return fmt.Errorf("read lag %s to %s: use 0 or more, and a maximum not below the minimum", l.Min, l.Max)
	}
	return nil
}

// SetReadLag changes the lag, of all tweets and at once.
func (s *Server) SetReadLag(l ReadLag) error {
	if err := l.validate(); err != nil {
		return fmt.Errorf("set read lag: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readLag = l
	return nil
}

// see returns a tweet that reads show. Callers hold s.mu.
func (s *Server) see(id string, now time.Time) *storedTweet {
	if t := s.tweets.lookUp(id); t != nil && s.sees(t, now) {
		return t
	}
	return nil
}

// sees tells whether reads show the tweet. Callers hold s.mu.
func (s *Server) sees(t *storedTweet, now time.Time) bool {
	const created, deleted = 0, 1
	if s.readLag == (ReadLag{}) {
		return !t.deleted()
	}
	return !now.Before(t.CreatedAt.Add(s.lag(t, created))) &&
		(!t.deleted() || now.Before(t.DeletedAt.Add(s.lag(t, deleted))))
}

func (s *Server) lag(t *storedTweet, event uint64) time.Duration {
	l := s.readLag
	if l.Max <= l.Min {
		return l.Min
	}
	random := rand.New(rand.NewPCG(s.cfg.Seed^event, t.number))
	return l.Min + time.Duration(random.Int64N(int64(l.Max-l.Min)+1))
}
