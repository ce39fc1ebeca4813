package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tweetqueue/migrations"
	"tweetqueue/store"
)

const (
	leaseRenewal = 3 * time.Second // how often it is renewed
	leaseTimeout = 3 * time.Second // how long one renewal may take
	// leaseFresh is how long after the begin of its last renewal a lease lets a request start. Others
	// take it for dead 12 s after the renewal at the earliest, so a request that starts in time
	// reaches X, or is given up, with seconds to spare.
	leaseFresh = 8 * time.Second
)

// ErrLeaseStale says that a request was not started because the worker's lease was not fresh: the
// worker was frozen, or cut off from its database.
var ErrLeaseStale = errors.New("the worker's lease is not fresh")

// lease is this process's proof of life. Behind a pooler or after a freeze nothing else is one: a
// database session outlives the process that held it.
type lease struct {
	pool *pgxpool.Pool
	name string
	// conn is the lease's own, taken from the pool for good: claims that wait for a lock can use up
	// all others, and that must not make the worker look dead. Used by one goroutine at a time.
	conn *pgxpool.Conn

	mu    sync.Mutex
	id    int64     // of the row in tweetqueue.workers; changes if the lease died
	began time.Time // when the last renewal that succeeded began, wall and monotonic clock
}

// start writes the lease row.
func (l *lease) start(ctx context.Context) error {
	began := time.Now()
	if err := l.connect(ctx); err != nil {
		return err
	}
	id, err := store.WorkerStart(ctx, l.conn, l.name, migrations.Latest)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id, l.began = id, began
	return nil
}

// renew renews the lease, or starts another if it died: by then another worker may have taken its
// rows over, so that requests under the old one may not start any more.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	began := time.Now()
	if err := l.connect(ctx); err != nil {
		return err
	}
	err := store.WorkerRenew(ctx, l.conn, l.current())
	if errors.Is(err, store.ErrLostRace) {
		if err := l.start(ctx); err != nil {
			return err
		}
		return fmt.Errorf("the worker's lease had died; it has a new one: %w", err)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = began
	return nil
}

// stop ends the lease, if it was started: nothing is being sent any more. Whatever happens, it gives
// its connection back.
func (l *lease) stop(ctx context.Context) error {
	defer l.disconnect()
	if l.current() == 0 {
		return nil
	}
	if err := l.connect(ctx); err != nil {
		return err
	}
	return store.WorkerStop(ctx, l.conn, l.current())
}

// connect takes a connection, if there is none or it broke.
func (l *lease) connect(ctx context.Context) error {
	if l.conn != nil && !l.conn.Conn().IsClosed() {
		return nil
	}
	l.disconnect()
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect the lease: %w", err)
	}
	l.conn = conn
	return nil
}

func (l *lease) disconnect() {
	if l.conn != nil {
		l.conn.Release()
		l.conn = nil
	}
}

func (l *lease) current() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

// check returns ErrLeaseStale unless the lease is still the one of that id, and fresh by both
// clocks: the monotonic one stands still while a machine sleeps, the wall clock can be set back.
func (l *lease) check(id int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	age := max(now.Sub(l.began), now.Round(0).Sub(l.began.Round(0)))
	if l.id != id {
		return fmt.Errorf("%w: it died and was replaced", ErrLeaseStale)
	}
	if age >= leaseFresh {
		return fmt.Errorf("%w: it was last renewed %s ago", ErrLeaseStale, age.Round(time.Millisecond))
	}
	return nil
}
