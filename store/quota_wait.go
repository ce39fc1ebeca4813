package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What waits for a limit waits as one. A claim that finds no place writes when there is one at the earliest, for
// the account and the action ([QuotaWaitsBegin]). From then on the account's rows that fall due are not
// fetched at all ([QuotaWaitsHold]); at that instant as many of its best as there are places go on ([QuotaWaitRelease]). So a row
// is fetched once, however many wait, a place that is given up is used by another, an urgent row goes first, and a
// window that changes needs no plan to be made anew.

// QuotaWait is an account of which rows wait for a limit.
type QuotaWait struct {
	AccountID int64
	Action    string
	Until     time.Time // when a place is free, at the earliest
	AppID     int64     // as [QuotaWaitsDue] tells it
}

const (
	// releaseBatch bounds how many rows go on at once: an account's windows are locked meanwhile.
	releaseBatch = 200
	// releaseAgain is how soon an account is looked at again whose places wait for rows that were let go on, and
	// have not been claimed: one of them may have been cancelled.
	releaseAgain = time.Second
	// releaseEach is what a look at each of the accounts may take that share the windows of an app.
	releaseEach = 10 * time.Millisecond
	// waitForever is how far away the instant is at which a row that waits for a limit would wake by itself.
	waitForever = "interval '100 years'"
)

// QuotaWaitsBegin writes that rows of accounts wait. The transaction has locked the accounts' windows, so that
// nobody knows better.
func QuotaWaitsBegin(ctx context.Context, tx pgx.Tx, waits []QuotaWait) error {
	const query = `-- name: QuotaWaitsBegin :exec
INSERT INTO tweetqueue.quota_waits AS w (account_id, action, until) VALUES ($1, $2, $3)
ON CONFLICT (account_id, action) DO UPDATE SET until = excluded.until`
	if len(waits) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	slices.SortFunc(waits, func(a, b QuotaWait) int {
		return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.Action, b.Action))
	})
	for _, w := range waits {
		batch.Queue(query, w.AccountID, w.Action, w.Until)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("begin to wait for a limit: %w", err)
	}
	return nil
}

// quotaWaitsRecheck makes an account be looked at again at once that may have a place sooner; of those that share the windows of
// an app, as many as have places, those first that would be looked at first. The transaction has locked the windows.
func quotaWaitsRecheck(ctx context.Context, tx pgx.Tx, windows []*Quota, now time.Time) error {
	const query = `-- name: QuotaWaitsRecheck :exec
UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock() WHERE (account_id, action) IN (
    SELECT w.account_id, w.action FROM tweetqueue.quota_waits w
    WHERE w.account_id = ANY (ARRAY(SELECT id FROM tweetqueue.accounts WHERE id = $1 OR app_id = $2))
        AND w.action = ANY ($3) AND w.until > tweetqueue.clock()
    ORDER BY w.until, w.account_id, w.action LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED)`
	for _, q := range windows {
		accounts := len(q.Actions) // of one
		if q.AppID != 0 {
			accounts = max(1, q.Free(now))
		}
		if _, err := tx.Exec(ctx, query, q.AccountID, q.AppID, q.Actions, accounts); err != nil {
			return fmt.Errorf("look again at what waits for a limit: %w", err)
		}
	}
	return nil
}

// QuotaWaitsDue returns the accounts that may have a place, at most limit of them, the longest due first, and how
// long it is until the next one may (nil: none waits for later).
func QuotaWaitsDue(ctx context.Context, db DBTX, limit int) (due []QuotaWait, next *time.Duration, err error) {
	const query = `-- name: QuotaWaitsDue :many
SELECT w.account_id, w.action, w.until, a.app_id FROM tweetqueue.quota_waits w JOIN tweetqueue.accounts a ON a.id = w.account_id
WHERE w.until <= tweetqueue.clock() ORDER BY w.until LIMIT $1`
	const later = `-- name: QuotaWaitsNext :one
SELECT min(until) - tweetqueue.clock() FROM tweetqueue.quota_waits WHERE until > tweetqueue.clock()`
	if err := db.QueryRow(ctx, later).Scan(&next); err != nil {
		return nil, nil, fmt.Errorf("look for what waits for a limit: %w", err)
	}
	rows, err := db.Query(ctx, query, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("look for what waits for a limit: %w", err)
	}
	due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[QuotaWait])
	if err != nil {
		return nil, nil, fmt.Errorf("look for what waits for a limit: %w", err)
	}
	return due, next, nil
}

// QuotaWaitPostpone makes an account be looked at again a little later, of which somebody else has the windows locked.
func QuotaWaitPostpone(ctx context.Context, db DBTX, wait QuotaWait) error {
	const query = `-- name: QuotaWaitPostpone :exec
UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock() + $3 WHERE (account_id, action) IN (
    SELECT account_id, action FROM tweetqueue.quota_waits
    WHERE account_id = $1 AND action = $2 AND until <= tweetqueue.clock() FOR NO KEY UPDATE SKIP LOCKED)`
	if _, err := db.Exec(ctx, query, wait.AccountID, wait.Action, releaseAgain); err != nil {
		return fmt.Errorf("postpone what waits for a limit: %w", err)
	}
	return nil
}

// QuotaWaitRelease lets as many of an account's best rows go on as there are places, by priority, then by when they are
// due, and writes when it is to be looked at again. It returns how many. It looks only at windows that it has locked, and
// at the clock after the lock. What it lets go on takes its place when it is claimed; until then it is counted. [ErrRowLocked]
// if somebody else has the windows locked for longer than a claim does: see [QuotaWaitPostpone].
func QuotaWaitRelease(ctx context.Context, tx pgx.Tx, wait QuotaWait) (int, error) {
	const impatience = `-- name: QuotaWaitImpatience :exec
SET LOCAL lock_timeout = '200ms'`
	rivals, err := quotaRivals(ctx, tx, wait)
	if err != nil {
		return 0, err
	}
	// Who waits behind it in the loop must not wait for long for somebody who has locked its windows.
	if _, err := tx.Exec(ctx, impatience); err != nil {
		return 0, fmt.Errorf("bound the wait for quotas: %w", err)
	}
	quotas, err := QuotasLock(ctx, tx, []int64{wait.AccountID}, append(rivals, wait.Action)...)
	if err != nil {
		return 0, orRowLocked(err)
	}
	released, err := quotaWaitRelease(ctx, tx, wait, rivals, quotas)
	return released, orRowLocked(err)
}

// quotaWaitRelease does so under the locks of the windows.
func quotaWaitRelease(ctx context.Context, tx pgx.Tx, wait QuotaWait, rivals []string, quotas Quotas) (released int, err error) {
	const lock = `-- name: QuotaWaitLock :one
SELECT TRUE FROM tweetqueue.quota_waits
WHERE account_id = $1 AND action = $2 AND until <= tweetqueue.clock() FOR UPDATE`
	var due bool
	err = tx.QueryRow(ctx, lock, wait.AccountID, wait.Action).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil // another worker has been faster
	}
	if err != nil {
		return 0, fmt.Errorf("lock what waits for a limit: %w", err)
	}
	now, err := Clock(ctx, tx)
	if err != nil {
		return 0, err
	}
	windows := quotas.Of(wait.AccountID, wait.Action)
	places, err := placesOf(ctx, tx, windows, now)
	if err != nil {
		return 0, err
	}
	kind, share := kindsOf(wait.Action)[0], places.free
	if share > 0 && len(rivals) > 0 {
		if share, err = shareOf(ctx, tx, quotas, wait, rivals, places, now); err != nil {
			return 0, err
		}
	}
	if share > 0 {
		if released, err = releaseRows(ctx, tx, kind, wait, min(share, releaseBatch)); err != nil {
			return 0, err
		}
	}
	return released, quotaWaitNext(ctx, tx, kind, wait, places.next(windows, now, released))
}

// orRowLocked is [ErrRowLocked] if a lock was waited for in vain.
func orRowLocked(err error) error {
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Code == "55P03" { // lock_not_available
		return fmt.Errorf("%w: %w", ErrRowLocked, err)
	}
	return err
}

// places are what the windows of an account have left.
type places struct {
	free    int           // of all windows together
	pending map[int64]int // by window: rows that were let go on, and will take a place
	some    bool          // there are such
	waiting int           // accounts that wait for a place of the app
}

// placesOf counts the places. What an app has left is shared among its accounts that wait, lest the
// first takes them all.
func placesOf(ctx context.Context, tx pgx.Tx, windows []*Quota, now time.Time) (places, error) {
	p := places{free: releaseBatch, pending: map[int64]int{}}
	for _, q := range windows {
		pending, waiting, err := released(ctx, tx, q)
		if err != nil {
			return p, err
		}
		p.pending[q.ID], p.some, p.waiting = pending, p.some || pending > 0, max(p.waiting, waiting)
		free := q.Free(now) - pending
		if q.AppID != 0 && free > 0 {
			free = max(1, free/max(1, waiting))
		}
		p.free = min(p.free, max(0, free))
	}
	return p, nil
}

// next is when the account is looked at again, if more rows wait.
func (p *places) next(windows []*Quota, now time.Time, released int) time.Time {
	until := now
	for _, q := range windows {
		if at := q.NextAfter(now, p.pending[q.ID]+released); at.After(until) {
			until = at
		}
	}
	// What an answer makes sooner is looked at again then: the more accounts there are, the more seldom without one. A row that
	// was let go on may be cancelled before it takes its place.
	again := now.Add(max(releaseAgain, time.Duration(p.waiting)*releaseEach))
	if (p.some || released > 0) && until.After(again) || p.waiting > 0 && released == 0 && !until.After(now.Add(releaseAgain)) {
		return again
	}
	return until
}

// released counts the rows that were let go on, and will take a place in a window, and the accounts that wait for
// one in it.
func released(ctx context.Context, tx pgx.Tx, q *Quota) (rows, waiting int, err error) {
	const query = `-- name: RowsReleased :one
SELECT count(*) FROM {table} t
WHERE t.account = ANY (ARRAY(SELECT username FROM tweetqueue.accounts WHERE id = $1 OR app_id = $2))
    AND t.status = 'scheduled' AND t.waiting_for = 'time' AND t.next_attempt_at IS NOT NULL AND {action} = ANY ($3)
    AND t.wake_at <= tweetqueue.clock()`
	const accounts = `-- name: QuotaWaitsOfApp :one
SELECT count(DISTINCT w.account_id) FROM tweetqueue.quota_waits w JOIN tweetqueue.accounts a ON a.id = w.account_id
WHERE a.app_id = $1 AND w.action = ANY ($2)`
	for _, kind := range kindsOf(q.Actions...) {
		n := 0
		if err := tx.QueryRow(ctx, kind.sql(query), q.AccountID, q.AppID, q.Actions).Scan(&n); err != nil {
			return 0, 0, fmt.Errorf("count what will take a place: %w", err)
		}
		rows += n
	}
	if q.AppID != 0 {
		if err := tx.QueryRow(ctx, accounts, q.AppID, q.Actions).Scan(&waiting); err != nil {
			return 0, 0, fmt.Errorf("count the accounts that wait: %w", err)
		}
	}
	return rows, waiting, nil
}

// releaseRows lets the best n rows go on. A row that was let go on is told by its next_attempt_at, which is
// when it is due: so River works them in that order. It is not late before now.
func releaseRows(ctx context.Context, tx pgx.Tx, kind Kind, wait QuotaWait, n int) (int, error) {
	const query = `-- name: RowsRelease :exec
UPDATE {table} t SET waiting_for = 'time', next_attempt_at = t.{due_at}, late_from = tweetqueue.clock(), error = NULL
WHERE t.id = ANY (ARRAY(
    SELECT t.id FROM {table} t
    WHERE t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND {of_action}
        AND t.status = 'scheduled' AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota' AND t.{due_at} <= tweetqueue.clock()
    ORDER BY t.priority, t.{due_at}, t.id LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED))`
	tag, err := tx.Exec(ctx, kind.sql(query), wait.AccountID, wait.Action, n)
	if err != nil {
		return 0, fmt.Errorf("let %s go on: %w", kind.table(), err)
	}
	return int(tag.RowsAffected()), nil
}

// quotaWaitNext writes when the account is looked at again, or that it waits no more: none of its rows does.
func quotaWaitNext(ctx context.Context, tx pgx.Tx, kind Kind, wait QuotaWait, until time.Time) error {
	// A row that somebody has moved to later waits for its time again.
	const query = `-- name: QuotaWaitNext :exec
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() AS now, (SELECT username FROM tweetqueue.accounts WHERE id = $1) AS account
), moved AS (
    UPDATE {table} t SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
    WHERE t.id = ANY (ARRAY(SELECT m.id FROM generate_series(1, 4) AS p (priority) CROSS JOIN LATERAL (
        SELECT t.id FROM {table} t
        WHERE t.account = (SELECT account FROM clock) AND {of_action} AND t.status = 'scheduled'
            AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota' AND t.priority = p.priority
            AND t.{due_at} > (SELECT now FROM clock)
        ORDER BY t.{due_at} LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED) AS m))
), waiting AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM {table} t
        WHERE t.account = (SELECT account FROM clock) AND {of_action} AND t.status = 'scheduled'
            AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota' AND t.{due_at} <= (SELECT now FROM clock)) AS due
), over AS (
    DELETE FROM tweetqueue.quota_waits WHERE account_id = $1 AND action = $2 AND NOT (SELECT due FROM waiting)
)
UPDATE tweetqueue.quota_waits SET until = $3 WHERE account_id = $1 AND action = $2 AND (SELECT due FROM waiting)`
	if _, err := tx.Exec(ctx, kind.sql(query), wait.AccountID, wait.Action, until); err != nil {
		return fmt.Errorf("write when a place is free: %w", err)
	}
	return nil
}

// QuotaWaitsSweep makes accounts wait of which rows do, and that nobody knows of: somebody has changed them by hand.
func QuotaWaitsSweep(ctx context.Context, db DBTX) (int, error) {
	// The order makes the planner use the index: where many rows of one account wait it would look for those of each other one
	// in the whole table.
	const query = `-- name: QuotaWaitsSweep :exec
INSERT INTO tweetqueue.quota_waits (account_id, action, until)
SELECT a.id, action.name, tweetqueue.clock() FROM tweetqueue.accounts a, unnest($1::text[]) AS action (name), LATERAL (
    SELECT FROM {table} t WHERE t.account = a.username AND {of_asked} AND t.status = 'scheduled'
        AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota'
    ORDER BY t.priority, t.{due_at}, t.id LIMIT 1) AS waiting
WHERE NOT EXISTS (SELECT FROM tweetqueue.quota_waits w WHERE w.account_id = a.id AND w.action = action.name)
ON CONFLICT DO NOTHING`
	swept := 0
	for _, kind := range Kinds() {
		asked := strings.ReplaceAll(query, "{of_asked}", strings.ReplaceAll(kind.parts().ofAction, "$2", "action.name"))
		tag, err := db.Exec(ctx, kind.sql(asked), kind.actions())
		if err != nil {
			return swept, fmt.Errorf("look for %s that wait for a limit: %w", kind.table(), err)
		}
		swept += int(tag.RowsAffected())
	}
	return swept, nil
}
