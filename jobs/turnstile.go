package jobs

import (
	"context"
	"fmt"
	"sync"
)

// turnstile lets one claim of an account through at a time. In the database they would wait for each other all the same,
// each with a connection and in a queue of locks that a settlement stands in, too.
type turnstile struct {
	mu       sync.Mutex
	accounts map[int64]*passage
}

// passage is an account's, as long as somebody is in it or waits.
type passage struct {
	free  chan struct{} // holds one token
	users int
}

// enter waits until no other claim of the accounts is being decided; leave ends this one. Ids are ascending, so that no two
// claims wait for each other. It returns an error only if ctx ends.
func (t *turnstile) enter(ctx context.Context, accountIDs []int64) (leave func(), err error) {
	entered := 0
	leave = func() {
		for _, id := range accountIDs[:entered] {
			t.passage(id, 0).free <- struct{}{}
		}
		for _, id := range accountIDs {
			t.passage(id, -1)
		}
	}
	for _, id := range accountIDs {
		t.passage(id, 1)
	}
	for _, id := range accountIDs {
		select {
		case <-t.passage(id, 0).free:
			entered++
		case <-ctx.Done():
			leave()
			return nil, fmt.Errorf("wait for another claim of the account: %w", ctx.Err())
		}
	}
	return leave, nil
}

// passage returns an account's, after it has more users, or fewer.
func (t *turnstile) passage(id int64, users int) *passage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accounts == nil {
		t.accounts = map[int64]*passage{}
	}
	p := t.accounts[id]
	if p == nil {
		p = &passage{free: make(chan struct{}, 1)}
		p.free <- struct{}{}
		t.accounts[id] = p
	}
	p.users += users
	if p.users == 0 {
		delete(t.accounts, id)
	}
	return p
}
