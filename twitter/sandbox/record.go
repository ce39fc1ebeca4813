package sandbox

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Outcome is what a request did to the sandbox, which is not always what its client was told.
type Outcome string

const (
	// OutcomeOpen is a request that has not been worked yet: it is held, or just came in.
	OutcomeOpen Outcome = "open"
	// OutcomeCreated made a tweet.
	OutcomeCreated Outcome = "created"
	// OutcomeDeleted deleted a tweet.
	OutcomeDeleted Outcome = "deleted"
	// OutcomeRead changed nothing, and was a read.
	OutcomeRead Outcome = "read"
	// OutcomeRefused changed nothing, because X said no.
	OutcomeRefused Outcome = "refused"
	// OutcomeNothing changed nothing: it was dropped before it was worked, or deleted a tweet that
	// was not there and was told 200.
	OutcomeNothing Outcome = "nothing"
	// OutcomeRefreshed used up a refresh token and gave another.
	OutcomeRefreshed Outcome = "refreshed"
	// OutcomeRevoked ended a token.
	OutcomeRevoked Outcome = "revoked"
)

// Request is the record of one request. It holds no header, and so no secret, but for the Body of
// a request that refreshes or revokes a token.
type Request struct {
	N         int       `json:"n"`                   // 1 for the first that arrived
	ArrivedAt time.Time `json:"arrived_at"`          // when all of it was there, after Config.ArrivalDelay
	CountedAt time.Time `json:"counted_at,omitzero"` // when it got past the limits, and they counted it; zero if never
	EndedAt   time.Time `json:"ended_at,omitzero"`   // right before the answer, or when it was cut; zero while open
	Method    string    `json:"method"`              // as on the request line
	Path      string    `json:"path"`                // with its query, without the base path
	Route     Route     `json:"route,omitempty"`     // empty if the sandbox has none
	App       string    `json:"app,omitempty"`       // the name of the app whose token was presented
	UserID    string    `json:"user_id,omitempty"`   // the user whose token was presented, also if
	Username  string    `json:"username,omitempty"`  // the signature turned out wrong
	Body      string    `json:"body,omitempty"`      // as it came
	Fault     Kind      `json:"fault,omitempty"`     // the fault that struck it
	Status    int       `json:"status"`              // what the client was told; 0 is nothing, or it had left
	Outcome   Outcome   `json:"outcome"`             // what happened to the sandbox
	TweetID   string    `json:"tweet_id,omitempty"`  // the tweet that was created, deleted or read
	Cost      USD       `json:"cost_usd,omitzero"`   // what it was billed
	Reason    string    `json:"reason,omitempty"`    // why it was refused, in more words than X has
	RequestID string    `json:"request_id,omitzero"` // the answer's x-transaction-id

	text   string // of the tweet to post, for Match
	pathID string // the id in the path, for Match
}

// Requests are copies of all records that Config.KeepRequests keeps, in the order of arrival.
func (s *Server) Requests() []Request { return s.requestsSince(0) }

// requestsSince are those of Requests that arrived after the n-th.
func (s *Server) requestsSince(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.requests.since(n)
	all := make([]Request, len(kept))
	for i, r := range kept {
		all[i] = *r
	}
	return all
}

// WaitRequests waits until n requests that match have ended, and returns the first n in the order
// in which they ended. A client that has its answer finds its request among them, unless
// Config.KeepRequests has let it go before the call. For one that a fault holds, see
// ActiveFault.WaitHeld.
func (s *Server) WaitRequests(ctx context.Context, n int, match Match) ([]Request, error) {
	var found []Request
	seen := 0
	err := s.await(ctx, func() bool {
		for _, r := range s.ended.since(seen) {
			if len(found) < n && match.matches(r) {
				found = append(found, *r)
			}
		}
		seen = s.ended.total()
		return len(found) >= n
	})
	if err != nil {
		return found, fmt.Errorf("wait for %d requests, %d so far: %w", n, len(found), err)
	}
	return found, nil
}

// Ended yields each request that ends, those of before the call first, in the order in which they
// end, until ctx ends. What Config.KeepRequests lets go before its turn is left out.
func (s *Server) Ended(ctx context.Context) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		for seen := 0; ; {
			var found []Request
			err := s.await(ctx, func() bool {
				for _, r := range s.ended.since(seen) {
					found = append(found, *r)
				}
				seen = s.ended.total()
				return len(found) > 0
			})
			if err != nil {
				return
			}
			for _, r := range found {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// await returns once done, which is called with s.mu held after each change of the record,
// reports true.
func (s *Server) await(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		if done() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// signal wakes all that await. Callers hold s.mu.
func (s *Server) signal() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// effect notes what the request did, at once: a hold of the answer may follow.
func (s *Server) effect(x *exchange, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.record.Outcome = a.outcome
	x.record.TweetID = a.tweetID
	x.record.Reason = a.reason
	x.record.Cost = a.cost
}

// end closes the record of a request.
func (s *Server) end(x *exchange, a answer) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := x.record
	r.EndedAt = now
	select {
	case <-x.left:
	default:
		r.Status = a.status
	}
	r.Outcome = a.outcome
	r.Reason = a.reason
	s.ended.add(r)
	s.signal()
}
