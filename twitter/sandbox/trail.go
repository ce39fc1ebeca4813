package sandbox

import "slices"

// trail is records in an order. It forgets the oldest, if it has a bound.
type trail struct {
	keep    int // how many it remembers; 0 is all
	dropped int // how many it has let go
	held    []*Request
}

// add appends a record. What is too old goes in batches, so that adding stays cheap.
func (t *trail) add(r *Request) {
	t.held = append(t.held, r)
	if t.keep > 0 && len(t.held) >= 2*t.keep {
		excess := len(t.held) - t.keep
		t.held = slices.Delete(t.held, 0, excess)
		t.dropped += excess
	}
}

// total is how many were ever added.
func (t *trail) total() int { return t.dropped + len(t.held) }

// since are the remembered records but for those among the first n that were ever added.
func (t *trail) since(n int) []*Request {
	if t.keep > 0 {
		n = max(n, t.total()-t.keep)
	}
	return t.held[min(max(0, n-t.dropped), len(t.held)):]
}
