package jobs

import (
	"maps"
	"slices"
	"sync"
)

// working is the set of requests that this process is sending or settling. A row that is sending
// under this process's lease and is not among them was lost hold of, by a panic or a settlement that the
// database refuses: nobody will settle it.
type working struct {
	mu       sync.Mutex
	requests map[int64]struct{}
}

func (w *working) add(claims []claimed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests == nil {
		w.requests = map[int64]struct{}{}
	}
	for _, claim := range claims {
		w.requests[claim.request.ID] = struct{}{}
	}
}

func (w *working) remove(claims []claimed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, claim := range claims {
		delete(w.requests, claim.request.ID)
	}
}

// list is never nil, for SQL.
func (w *working) list() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.AppendSeq(make([]int64, 0, len(w.requests)), maps.Keys(w.requests))
}
