package limits

import (
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// glance is how often a play looks whether the clock can be moved.
const glance = 4 * time.Millisecond

// at plans a step, so long after the world's start.
func (w *world) at(after time.Duration, do func()) {
	w.plan = append(w.plan, step{at: w.start.Add(after), do: do})
	slices.SortStableFunc(w.plan, func(a, b step) int { return a.at.Compare(b.at) })
}

// play lets time pass until everything planned has happened and no row waits for anything. Time passes as it does, and
// where nothing is being done it moves on to when something will be. So windows are as long as they are, and requests
// are under way for as long as they are, and a test takes as long as its work.
func (w *world) play() {
	w.Helper()
	w.playUntil(func() bool { return w.idle() })
}

// playUntil lets time pass until done reports true.
func (w *world) playUntil(done func() bool) {
	w.Helper()
	w.pass(done, func() bool {
		if _, found := w.next(w.look(w.db)); !found {
			return false // most often; and it takes no lock
		}
		return !done() && w.jump() // what is done now may not have been before nothing was being done any more
	})
}

// wait waits until done reports true, and does not move the clock.
func (w *world) wait(done func() bool) {
	w.Helper()
	w.pass(done, func() bool { return false })
}

func (w *world) pass(done, jump func() bool) {
	w.Helper()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	seen, late := w.progress(), time.After(soon)
	for {
		w.clock.fire()
		w.doPlanned()
		if done() {
			return
		}
		if jump() {
			continue
		}
		if now := w.progress(); now > seen {
			seen, late = now, time.After(soon)
		}
		select {
		case <-tick.C:
		case <-late:
			require.FailNow(w, "nothing happens any more", w.rows())
		}
	}
}

// progress grows with all that happens.
func (w *world) progress() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jumps + len(w.events)
}

// doPlanned takes the planned steps whose time has come.
func (w *world) doPlanned() {
	for len(w.plan) > 0 && !w.plan[0].at.After(w.clock.Now()) {
		next := w.plan[0]
		w.plan = w.plan[1:]
		next.do()
	}
}

// idle reports whether nothing is planned, no row waits and no job is left.
func (w *world) idle() bool {
	return len(w.plan) == 0 && one[bool](w, `SELECT NOT EXISTS (SELECT FROM tweetqueue.waiting)
AND NOT EXISTS (SELECT FROM tweetqueue.river_job WHERE finalized_at IS NULL)
AND NOT EXISTS (SELECT FROM tweetqueue.quota_waits)`)
}

// still is how things stand while nobody can be granted anything.
type still struct {
	now     time.Time
	busy    bool           // an account is to be looked at
	sending map[string]int // rows by queue
	due     map[string]int // rows by queue that are due, and wait for a slot at most
	next    *time.Time     // when the next row is due, or the next account is looked at
}

// jump moves the clock to the next instant at which something is due, if nothing is being done but to wait for
// requests that are under way. It returns whether it has.
func (w *world) jump() bool {
	w.Helper()
	tx, err := w.db.Begin(w.Context())
	require.NoError(w, err)
	defer func() { _ = tx.Rollback(w.Context()) }()
	// Grants lock quotas, so nothing is granted in between the move of X's clock and that of the database's; and a lease
	// that would be renewed by the clock of before would be dead by that of after.
	_, err = tx.Exec(w.Context(), `LOCK TABLE tweetqueue.quotas, tweetqueue.workers IN EXCLUSIVE MODE NOWAIT`)
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable {
		return false
	}
	require.NoError(w, err)
	now := w.look(tx)
	next, found := w.next(now)
	if !found {
		return false
	}
	by := next.Sub(now.now)
	_, err = tx.Exec(w.Context(), `UPDATE tweetqueue.workers SET renewed_at = renewed_at + $1 WHERE stopped_at IS NULL`, by)
	require.NoError(w, err)
	storetest.MoveClock(w, tx, w.clock.move(by))
	require.NoError(w, tx.Commit(w.Context()))
	w.jumps++
	return true
}

// lockNotAvailable is the SQLSTATE of a lock that somebody else has.
const lockNotAvailable = "55P03"

// next is the instant at which something will be due, if nothing is being done now.
func (w *world) next(s still) (time.Time, bool) {
	travelling, next := w.clock.underWay()
	for _, n := range s.sending {
		travelling -= n
	}
	for queue, n := range s.due {
		s.busy = s.busy || n > 0 && s.sending[queue] < w.slots[queue]
	}
	if s.busy || travelling != 0 {
		return time.Time{}, false
	}
	if s.next != nil && (next.IsZero() || s.next.Before(next)) {
		next = *s.next
	}
	if len(w.plan) > 0 && (next.IsZero() || w.plan[0].at.Before(next)) {
		next = w.plan[0].at
	}
	return next, next.After(s.now) && next.Before(s.now.Add(far))
}

// far is beyond any window: what is due later waits for its account.
const far = 10 * 365 * 24 * time.Hour

// look reads how things stand from the rows alone: River's jobs are completed later than their rows are settled.
func (w *world) look(db store.DBTX) still {
	w.Helper()
	const query = `WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() AS now
), due AS (
    SELECT 'tweets' AS queue, status FROM tweetqueue.tweets WHERE status = 'scheduled' AND wake_at <= (SELECT now FROM clock)
    UNION ALL SELECT 'deletions', status FROM tweetqueue.deletions WHERE status = 'scheduled' AND wake_at <= (SELECT now FROM clock)
    UNION ALL SELECT 'retweets', status FROM tweetqueue.retweets WHERE status = 'scheduled' AND wake_at <= (SELECT now FROM clock)
    UNION ALL SELECT 'tweets', status FROM tweetqueue.tweets WHERE status = 'sending'
    UNION ALL SELECT 'deletions', status FROM tweetqueue.deletions WHERE status = 'sending'
    UNION ALL SELECT 'retweets', status FROM tweetqueue.retweets WHERE status = 'sending'
), counts AS (
    SELECT status, jsonb_object_agg(queue, n) AS queues FROM (SELECT status, queue, count(*) AS n FROM due GROUP BY status, queue) AS q GROUP BY status
)
SELECT (SELECT now FROM clock), EXISTS (SELECT FROM tweetqueue.quota_waits WHERE until <= (SELECT now FROM clock)),
    (SELECT queues FROM counts WHERE status = 'sending'), (SELECT queues FROM counts WHERE status = 'scheduled'), least(
        (SELECT min(wake_at) FROM tweetqueue.tweets WHERE status = 'scheduled' AND wake_at > (SELECT now FROM clock)),
        (SELECT min(wake_at) FROM tweetqueue.deletions WHERE status = 'scheduled' AND wake_at > (SELECT now FROM clock)),
        (SELECT min(wake_at) FROM tweetqueue.retweets WHERE status = 'scheduled' AND wake_at > (SELECT now FROM clock)),
        (SELECT min(until) FROM tweetqueue.quota_waits WHERE until > (SELECT now FROM clock)))`
	var s still
	require.NoError(w, db.QueryRow(w.Context(), query).Scan(&s.now, &s.busy, &s.sending, &s.due, &s.next))
	return s
}
