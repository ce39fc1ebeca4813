package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// bucketsPerPeriod is how finely a window is kept: a grant is held at most this part of the period
// longer than the period.
const bucketsPerPeriod = 256

// Quota is one window of an account or of an app: at most Max requests of its actions on any interval as
// long as Period. It is decided on while its row is locked, and by the clock after the lock.
type Quota struct {
	ID        int64
	AccountID int64 // 0: it is an app's
	AppID     int64 // 0: it is an account's
	Name      string
	Actions   []string // whose requests count
	Family    string   // the headers by which X tells of it: endpoint, user_24hour, app_24hour; empty: none
	Maximum   int      // requests, as configured
	// XMaximum is what X's headers say; 0: nothing yet. It outranks Maximum, but raises no window that is Fixed.
	XMaximum     int
	Fixed        bool
	Period       time.Duration // the window's length
	Others       int           // places that others have taken, by X's headers, until OthersUntil
	OthersUntil  *time.Time
	OthersSeen   *time.Time // when X's headers last told of others
	Alone        bool       // others, if there are any, take no more: a forecast's assumption
	Open         int        // requests of which the answer is not here, if others were seen lately; else 0
	XReset       *time.Time // of X's latest window of which is known, by X's clock,
	XUsed        int        // and the most that it has counted in it
	Rolls        bool       // X's window rolls, by the resets that it told
	BlockedUntil *time.Time // X said so: nothing before this instant
	Configured   bool       // false: only X's headers have told of it, and it is over when they have not for two of its periods
	ToldAt       time.Time  // when X's headers last told of it, of one that is not configured

	// The non-empty buckets, by number since the epoch, ascending, and the grants in each. A grant
	// counts until its bucket's end plus the period.
	buckets []int64
	grants  []int32
}

// Max is how many requests the window has places for.
func (q *Quota) Max() int {
	if q.XMaximum > 0 && (!q.Fixed || q.XMaximum < q.Maximum) {
		return q.XMaximum
	}
	return q.Maximum
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

// others is how many places others have at now.
func (q *Quota) others(now time.Time) int {
	others := 0
	for _, freed := range q.othersFree() {
		if freed.at.After(now) {
			others += freed.places
		}
	}
	return others
}

// freed is how many places come free at an instant.
type freed struct {
	places int
	at     time.Time
}

// othersFree is when those of others come free, ascending: with X's window; one by one where that rolls, which the next
// answers tell, and none is left a period after they were told of.
func (q *Quota) othersFree() []freed {
	switch {
	case q.Others == 0:
		return nil
	case !q.Rolls || q.OthersSeen == nil:
		return []freed{{q.Others, *q.OthersUntil}}
	}
	return []freed{{1, *q.OthersUntil}, {q.Others - 1, laterOf(*q.OthersUntil, q.OthersSeen.Add(q.Period))}}
}

// Used is how many places are taken at now, by us and by others.
func (q *Quota) Used(now time.Time) (ours, others int) { return q.used(now), q.others(now) }

// Free is how many places the window has at now.
func (q *Quota) Free(now time.Time) int {
	if q.BlockedUntil != nil && q.BlockedUntil.After(now) {
		return 0
	}
	free := max(0, q.Max()-q.used(now)-q.others(now))
	if q.cautious(now) {
		free = min(free, max(0, 1-q.Open))
	}
	return free
}

// IsShared reports whether the window has places at now, of which none goes out: others use it, and our latest request is
// not answered.
func (q *Quota) IsShared(now time.Time) bool {
	alone := *q
	alone.Alone = true
	return q.Free(now) == 0 && alone.Free(now) > 0
}

// Next returns the earliest instant, not before now, at which the window has a place, if nobody
// else takes it.
func (q *Quota) Next(now time.Time) time.Time { return q.NextAfter(now, 0) }

// NextAfter is Next if so many more places were taken now.
func (q *Quota) NextAfter(now time.Time, more int) time.Time {
	next := now
	// How many places must come free, less one.
	excess := q.used(now) + q.others(now) + more - q.Max()
	free := func(n int, at time.Time) {
		if excess >= 0 {
			excess, next = excess-n, at
		}
	}
	others := slices.DeleteFunc(q.othersFree(), func(f freed) bool { return !f.at.After(now) })
	othersBy := func(at time.Time) {
		for ; len(others) > 0 && !others[0].at.After(at); others = others[1:] {
			free(others[0].places, others[0].at)
		}
	}
	for i := range q.buckets {
		at := q.expiry(q.buckets[i])
		othersBy(at)
		free(int(q.grants[i]), at)
	}
	if len(others) > 0 {
		othersBy(others[len(others)-1].at)
	}
	free(more, q.expiry(now.UnixMicro()/q.width())) // those that were taken now
	if q.BlockedUntil != nil && q.BlockedUntil.After(next) {
		next = *q.BlockedUntil
	}
	if again := now.Add(releaseAgain); q.cautious(now) && q.Open+more > 0 && again.After(next) {
		next = again // its answer makes it sooner
	}
	return next
}

// Take takes a place for a request that arrives at X at the latest at an instant: its send_by. The
// caller has seen that Next is now.
func (q *Quota) Take(at time.Time) {
	q.Open++
	bucket := at.UnixMicro() / q.width()
	last := len(q.buckets) - 1
	if last >= 0 && q.buckets[last] >= bucket { // a clock that was set back must not reorder them
		q.grants[last]++
		return
	}
	q.buckets, q.grants = append(q.buckets, bucket), append(q.grants, 1)
}

// GiveBack returns a place that was taken for an instant and certainly not used.
func (q *Quota) GiveBack(at, now time.Time) {
	// Take may have put it into a later bucket, never into an earlier one. If none is left from before, its own may be
	// over, and it must not stand for one that counts.
	bucket := at.UnixMicro() / q.width()
	i, found := slices.BinarySearch(q.buckets, bucket)
	if i == len(q.buckets) || i == 0 && !found && !q.expiry(bucket).After(now) {
		return
	}
	q.grants[i]--
	if q.grants[i] == 0 {
		q.buckets, q.grants = slices.Delete(q.buckets, i, i+1), slices.Delete(q.grants, i, i+1)
	}
}

// Move moves a place that was taken for an instant to now, by which its request has arrived: the answer came later
// than that, or so much earlier that the place would be held for too long.
func (q *Quota) Move(from, now time.Time) {
	q.GiveBack(from, now)
	bucket := now.UnixMicro() / q.width()
	i, found := slices.BinarySearch(q.buckets, bucket)
	if found {
		q.grants[i]++
		return
	}
	q.buckets, q.grants = slices.Insert(q.buckets, i, bucket), slices.Insert(q.grants, i, 1)
}

// Quotas are the windows that a transaction has locked, by account: each account's own and its app's. Those
// of an app are the same for all of its accounts.
type Quotas map[int64][]*Quota

// Of returns the windows that count an action of an account.
func (all Quotas) Of(accountID int64, action string) []*Quota {
	var counting []*Quota
	for _, q := range all[accountID] {
		if slices.Contains(q.Actions, action) {
			counting = append(counting, q)
		}
	}
	return counting
}

// byID returns each window once.
func (all Quotas) byID() map[int64]*Quota {
	byID := map[int64]*Quota{}
	for _, windows := range all {
		for _, q := range windows {
			byID[q.ID] = q
		}
	}
	return byID
}

// QuotasLock locks the windows of the accounts and of their apps that count one of the actions: those of
// accounts by id, then those of apps. A window that came while it waited for another is one of them.
func QuotasLock(ctx context.Context, tx pgx.Tx, accountIDs []int64, actions ...string) (Quotas, error) {
	const query = `-- name: QuotasCount :one
SELECT count(*) FROM tweetqueue.quotas q WHERE ` + quotaCounts
	for {
		var quotas Quotas
		n, batch := 0, &pgx.Batch{}
		batch.Queue(quotasQuery("FOR UPDATE OF q"), accountIDs, actions).Query(func(rows pgx.Rows) (err error) {
			quotas, err = quotasCollect(rows)
			return err
		})
		batch.Queue(query, accountIDs, actions).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return nil, fmt.Errorf("lock quotas: %w", err)
		}
		// Whoever adds a window holds the others that count the action, and counts what was granted by then. A statement that
		// waited for him does not see the new one; the next does. What it locks then may be out of order: a claim that
		// Postgres ends for that comes again. (Where the action has no window yet, nobody waits, and the first does
		// not count what is being claimed.)
		if n == len(quotas.byID()) {
			return quotas, quotasOpen(ctx, tx, quotas)
		}
	}
}

// Owners are whose windows count the requests of rows: what [QuotasLock] is to lock before the rows are.
type Owners struct {
	AccountIDs []int64 // ascending
	AppIDs     []int64 // theirs
	Actions    []string
}

// RowsOwners reads the owners of rows. Nothing is locked, so a row may have other ones by the time it is: see [Owners.Cover].
func RowsOwners(ctx context.Context, db DBTX, kind Kind, rowIDs []int64) (Owners, error) {
	const query = `-- name: RowsOwners :one
SELECT coalesce(array_agg(DISTINCT a.id), '{}'), coalesce(array_agg(DISTINCT a.app_id), '{}'), coalesce(array_agg(DISTINCT ({action})::text), '{}')
FROM {table} t JOIN tweetqueue.accounts a ON a.username = t.account WHERE t.id = ANY ($1)`
	var o Owners
	if err := db.QueryRow(ctx, kind.sql(query), rowIDs).Scan(&o.AccountIDs, &o.AppIDs, &o.Actions); err != nil {
		return o, fmt.Errorf("read the accounts of %s: %w", kind.table(), err)
	}
	return o, nil
}

// Cover reports whether a row, which is locked, has these owners still.
func (o Owners) Cover(row *Row) bool {
	return slices.Contains(o.AccountIDs, row.AccountID) && slices.Contains(o.AppIDs, row.AppID) && slices.Contains(o.Actions, row.Action())
}

// quotasRead reads the windows that count one of the actions, without a lock.
func quotasRead(ctx context.Context, db DBTX, accountIDs []int64, actions []string) (Quotas, error) {
	rows, err := db.Query(ctx, quotasQuery(""), accountIDs, actions)
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	quotas, err := quotasCollect(rows)
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	return quotas, nil
}

// quotasQuery reads the windows of accounts $1 that count one of the actions $2, and of which of the accounts they are.
func quotasQuery(lock string) string {
	return `-- name: QuotasRead :many
SELECT ` + quotaColumns + `,
    ARRAY(SELECT a.id FROM tweetqueue.accounts a WHERE a.id = ANY ($1) AND (a.id = q.account_id OR a.app_id = q.app_id))
FROM tweetqueue.quotas q WHERE ` + quotaCounts + `
ORDER BY q.app_id IS NOT NULL, q.id
` + lock
}

func quotasCollect(rows pgx.Rows) (Quotas, error) {
	all := Quotas{}
	_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		q, accounts := &Quota{}, []int64(nil)
		err := row.Scan(append(q.targets(), &accounts)...)
		for _, id := range accounts {
			all[id] = append(all[id], q)
		}
		return struct{}{}, err
	})
	return all, err //nolint:wrapcheck // Its callers do.
}

// quotaCounts is true of the windows of the accounts $1 and of their apps that count one of the actions $2. (Arrays, not a
// join: both halves of the condition are index look-ups then.)
const quotaCounts = `(q.account_id = ANY ($1) OR q.app_id = ANY (ARRAY(SELECT a.app_id FROM tweetqueue.accounts a WHERE a.id = ANY ($1))))
    AND q.actions && $2 AND ` + quotaHolds

const quotaColumns = `q.id, coalesce(q.account_id, 0), coalesce(q.app_id, 0), q.name, q.actions, coalesce(q.family, ''),
    q.maximum, coalesce(q.x_maximum, 0), q.fixed, q.period, q.others, q.others_until,
    CASE WHEN q.others_seen + 2 * q.period > tweetqueue.clock() THEN q.others_seen END, -- longer ago it says nothing
    q.x_reset, q.x_used, q.rolls, q.blocked_until, q.configured, q.told_at, q.buckets, q.grants`

// quotaHolds is true of a window that is configured, or of which X's headers have told lately.
const quotaHolds = `(q.configured OR greatest(q.told_at + 2 * q.period, q.blocked_until) > tweetqueue.clock())`

// quotasOpen counts the rows that are being sent, of locked windows of which others take places; of one that is ours
// alone it does not matter. It reads after the locks: what the statement that waited for them sees may be older.
func quotasOpen(ctx context.Context, tx pgx.Tx, quotas Quotas) error {
	const open = `(SELECT count(*) FROM {table} t WHERE t.status = 'sending' AND {action} = ANY (q.actions)
    AND t.account = ANY (ARRAY(SELECT a.username FROM tweetqueue.accounts a WHERE a.id = q.account_id OR a.app_id = q.app_id)))`
	shared := quotas.byID()
	maps.DeleteFunc(shared, func(_ int64, q *Quota) bool { return q.OthersSeen == nil })
	if len(shared) == 0 {
		return nil
	}
	var counts []string
	for _, kind := range Kinds() {
		counts = append(counts, kind.sql(open))
	}
	query := `-- name: QuotasOpen :many
SELECT q.id, ` + strings.Join(counts, " + ") + ` FROM tweetqueue.quotas q WHERE q.id = ANY ($1)`
	rows, err := tx.Query(ctx, query, slices.Collect(maps.Keys(shared)))
	if err != nil {
		return fmt.Errorf("count what is being sent: %w", err)
	}
	var id int64
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		shared[id].Open = n
		return nil
	})
	if err != nil {
		return fmt.Errorf("count what is being sent: %w", err)
	}
	return nil
}

func (q *Quota) targets() []any {
	return []any{
		&q.ID, &q.AccountID, &q.AppID, &q.Name, &q.Actions, &q.Family, &q.Maximum, &q.XMaximum, &q.Fixed, &q.Period,
		&q.Others, &q.OthersUntil, &q.OthersSeen, &q.XReset, &q.XUsed, &q.Rolls, &q.BlockedUntil, &q.Configured, &q.ToldAt, &q.buckets, &q.grants,
	}
}

// QuotasSave writes back the windows that were locked by the same transaction.
func QuotasSave(ctx context.Context, tx pgx.Tx, quotas Quotas) error {
	const query = `-- name: QuotaSave :exec
UPDATE tweetqueue.quotas SET buckets = $2, grants = $3, blocked_until = $4, x_maximum = nullif($5, 0),
    others = $6, others_until = $7, others_seen = $8, x_reset = $9, x_used = $10, rolls = $11, told_at = $12
WHERE id = $1`
	batch := &pgx.Batch{}
	for id, q := range quotas.byID() {
		batch.Queue(query, id, q.buckets, q.grants, q.BlockedUntil, q.XMaximum, q.Others, q.OthersUntil, q.OthersSeen, q.XReset, q.XUsed, q.Rolls, q.ToldAt)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("save quotas: %w", err)
	}
	return nil
}
