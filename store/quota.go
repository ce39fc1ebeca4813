package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// bucketsPerPeriod is how finely a window is kept: a grant is held at most this part of the period
// longer than the period.
const bucketsPerPeriod = 256

// Quota is one window of an account: at most Maximum requests of its actions on any interval as
// long as Period. It is decided on while its row is locked, and by the clock after the lock.
type Quota struct {
	ID           int64
	AccountID    int64
	Name         string
	Actions      []string      // whose requests count
	Maximum      int           // requests
	Period       time.Duration // the window's length
	BlockedUntil *time.Time    // X said so: nothing before this instant

	// The non-empty buckets, by number since the epoch, ascending, and the grants in each. A grant
	// counts until its bucket's end plus the period.
	buckets []int64
	grants  []int32
}

func (q *Quota) width() int64 { return max(1, q.Period.Microseconds()/bucketsPerPeriod) }

// expiry is the instant from which a bucket's grants no longer count.
func (q *Quota) expiry(bucket int64) time.Time {
	return time.UnixMicro((bucket+1)*q.width() + q.Period.Microseconds())
}

// used counts the grants that count at now, and drops the others.
func (q *Quota) used(now time.Time) int {
	first, used := 0, 0
	for i, bucket := range q.buckets {
		if q.expiry(bucket).After(now) {
			used += int(q.grants[i])
		} else {
			first = i + 1
		}
	}
	q.buckets, q.grants = q.buckets[first:], q.grants[first:]
	return used
}

// Next returns the earliest instant, not before now, at which the window has a place, if nobody
// else takes it.
func (q *Quota) Next(now time.Time) time.Time {
	next := now
	excess := q.used(now) - q.Maximum // how many places must come free, less one
	for i := 0; excess >= 0 && i < len(q.buckets); i++ {
		excess -= int(q.grants[i])
		next = q.expiry(q.buckets[i])
	}
	if q.BlockedUntil != nil && q.BlockedUntil.After(next) {
		next = *q.BlockedUntil
	}
	return next
}

// Take takes a place for a request that arrives at X at the latest at an instant: its send_by. The
// caller has seen that Next is now.
func (q *Quota) Take(at time.Time) {
	bucket := at.UnixMicro() / q.width()
	last := len(q.buckets) - 1
	if last >= 0 && q.buckets[last] >= bucket { // a clock that was set back must not reorder them
		q.grants[last]++
		return
	}
	q.buckets, q.grants = append(q.buckets, bucket), append(q.grants, 1)
}

// GiveBack returns a place that was taken for an instant and certainly not used.
func (q *Quota) GiveBack(at time.Time) {
	// Take may have put it into a later bucket, never into an earlier one. If no older one is left, it may
	// count no more, and must not stand for one that does.
	i, found := slices.BinarySearch(q.buckets, at.UnixMicro()/q.width())
	if i == len(q.buckets) || (i == 0 && !found) {
		return
	}
	q.grants[i]--
	if q.grants[i] == 0 {
		q.buckets, q.grants = slices.Delete(q.buckets, i, i+1), slices.Delete(q.grants, i, i+1)
	}
}

// Delay moves a place that was taken for an instant to a later one: the answer took longer, so the
// request may have arrived later.
func (q *Quota) Delay(from, to time.Time) {
	q.GiveBack(from)
	q.Take(to)
}

// QuotasCounting returns those of the windows that count an action.
func QuotasCounting(quotas []*Quota, action string) []*Quota {
	var counting []*Quota
	for _, q := range quotas {
		if slices.Contains(q.Actions, action) {
			counting = append(counting, q)
		}
	}
	return counting
}

// QuotasLock locks the windows of the accounts that count one of the actions, and returns them by account,
// each account's in the order of their ids.
func QuotasLock(ctx context.Context, tx pgx.Tx, accountIDs []int64, actions ...string) (map[int64][]*Quota, error) {
	const query = `-- name: QuotasLock :many
SELECT id, account_id, name, actions, maximum, period, blocked_until, buckets, grants
FROM tweetqueue.quotas
WHERE account_id = ANY ($1) AND actions && $2
ORDER BY id
FOR UPDATE`
	rows, err := tx.Query(ctx, query, accountIDs, actions)
	if err != nil {
		return nil, fmt.Errorf("lock quotas: %w", err)
	}
	quotas := make(map[int64][]*Quota, len(accountIDs))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		q := &Quota{}
		err := row.Scan(&q.ID, &q.AccountID, &q.Name, &q.Actions, &q.Maximum, &q.Period, &q.BlockedUntil, &q.buckets, &q.grants)
		quotas[q.AccountID] = append(quotas[q.AccountID], q)
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("lock quotas: %w", err)
	}
	return quotas, nil
}

// QuotasSave writes back the windows that were locked by the same transaction.
func QuotasSave(ctx context.Context, tx pgx.Tx, quotas map[int64][]*Quota) error {
	const query = `-- name: QuotaSave :exec
UPDATE tweetqueue.quotas SET buckets = $2, grants = $3, blocked_until = $4 WHERE id = $1`
	batch := &pgx.Batch{}
	for _, windows := range quotas {
		for _, q := range windows {
			batch.Queue(query, q.ID, q.buckets, q.grants, q.BlockedUntil)
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("save quotas: %w", err)
	}
	return nil
}
