package store

import (
	"context"
	"fmt"
	"time"
)

// Wake wakes rows that waited for something that is over: for a tweet before them in their thread, for
// an account or an app that is active again. At most limit of each sort; rows that someone else has
// locked are passed over until the next call. It returns how many, and whether there are more that it
// could wake at once.
func Wake(ctx context.Context, db DBTX, limit int) (woken int, more bool, err error) {
	// What is over says so on its own row: see the triggers. Mostly there is nothing. The order makes
	// the planner use the index also where it has no statistics.
	const marked = `-- name: WakesPending :one
SELECT (SELECT id FROM tweetqueue.tweets WHERE wake_next ORDER BY id LIMIT 1) IS NOT NULL,
    EXISTS (SELECT FROM tweetqueue.accounts WHERE wake_held)
        OR EXISTS (SELECT FROM tweetqueue.apps WHERE wake_held)`
	var threads, holds bool
	if err := db.QueryRow(ctx, marked).Scan(&threads, &holds); err != nil {
		return 0, false, fmt.Errorf("look for what is over: %w", err)
	}
	if threads {
		if woken, err = wakeThreads(ctx, db, limit); err != nil {
			return 0, false, err
		}
		more = woken >= limit
	}
	if holds {
		held, full, err := wakeHeld(ctx, db, limit)
		if err != nil {
			return woken, false, err
		}
		woken, more = woken+held, more || full
	}
	return woken, more, nil
}

// wakeThreads wakes what stands after tweets that are over. A tweet's mark stays for as long as one of
// them was locked.
func wakeThreads(ctx context.Context, db DBTX, limit int) (int, error) {
	const query = `-- name: ThreadsWake :one
WITH over AS MATERIALIZED (
    SELECT id FROM tweetqueue.tweets WHERE wake_next ORDER BY id LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), next AS MATERIALIZED (
    SELECT id FROM tweetqueue.tweets
    WHERE previous_id = ANY (ARRAY(SELECT id FROM over)) AND status = 'scheduled'
        AND waiting_for = 'thread'
    FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
    UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM next))
    RETURNING 1
), cleared AS (
    UPDATE tweetqueue.tweets t SET wake_next = false
    WHERE t.id = ANY (ARRAY(SELECT id FROM over)) AND NOT EXISTS (
        SELECT FROM tweetqueue.tweets n
        WHERE n.previous_id = t.id AND n.status = 'scheduled' AND n.waiting_for = 'thread'
            AND n.id <> ALL (ARRAY(SELECT id FROM next)))
)
SELECT count(*) FROM woken`
	var woken int
	if err := db.QueryRow(ctx, query, limit).Scan(&woken); err != nil {
		return 0, fmt.Errorf("wake threads: %w", err)
	}
	return woken, nil
}

// wakeHeld wakes what accounts and apps have held back. Whoever makes a row wait for one has seen it
// held, under a lock that the end of the hold waits for: so what is not found here never waited.
func wakeHeld(ctx context.Context, db DBTX, limit int) (woken int, full bool, err error) {
	const byAccount = `-- name: HeldByAccountWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.accounts a JOIN {table} t ON t.account = a.username
    WHERE a.wake_held AND t.status = 'scheduled' AND t.waiting_for = 'account'
    LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED))`
	const byApp = `-- name: HeldByAppWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.apps p JOIN tweetqueue.accounts a ON a.app_id = p.id
    JOIN {table} t ON t.account = a.username
    WHERE p.wake_held AND t.status = 'scheduled' AND t.waiting_for = 'app'
    LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED))`
	const clearAccounts = `-- name: AccountsWoken :exec
UPDATE tweetqueue.accounts a SET wake_held = false
WHERE a.wake_held AND NOT EXISTS (
    SELECT FROM tweetqueue.tweets t
    WHERE t.account = a.username AND t.status = 'scheduled' AND t.waiting_for = 'account'
    UNION ALL
    SELECT FROM tweetqueue.deletions t
    WHERE t.account = a.username AND t.status = 'scheduled' AND t.waiting_for = 'account')`
	const clearApps = `-- name: AppsWoken :exec
UPDATE tweetqueue.apps p SET wake_held = false
WHERE p.wake_held AND NOT EXISTS (
    SELECT FROM tweetqueue.accounts a JOIN tweetqueue.tweets t ON t.account = a.username
    WHERE a.app_id = p.id AND t.status = 'scheduled' AND t.waiting_for = 'app'
    UNION ALL
    SELECT FROM tweetqueue.accounts a JOIN tweetqueue.deletions t ON t.account = a.username
    WHERE a.app_id = p.id AND t.status = 'scheduled' AND t.waiting_for = 'app')`
	for _, kind := range Kinds() {
		for _, query := range []string{byAccount, byApp} {
			tag, err := db.Exec(ctx, kind.sql(query), limit)
			if err != nil {
				return woken, false, fmt.Errorf("wake held %s: %w", kind.table(), err)
			}
			woken += int(tag.RowsAffected())
			full = full || tag.RowsAffected() >= int64(limit)
		}
	}
	for _, query := range []string{clearAccounts, clearApps} {
		if _, err := db.Exec(ctx, query); err != nil {
			return woken, full, fmt.Errorf("end the waking of what was held: %w", err)
		}
	}
	return woken, full, nil
}

// SweepFrom is where a sweep goes on: after the last overdue row that was looked at. Zero is the
// beginning.
type SweepFrom struct {
	WakeAt time.Time
	RowID  int64
}

// Sweep looks at rows of a kind that have been due for a while, at most limit of them in the order of
// wake_at, and gives a new job to those that have none that lives: somebody removed or cancelled it in
// River, or its worker died before it had claimed the row. That one is finalised. It returns how many,
// and where the next sweep goes on; zero, once it has come to the end.
func Sweep(ctx context.Context, db DBTX, kind Kind, from SweepFrom, limit int) (swept int, next SweepFrom, err error) {
	// A claim takes at most 15 s: a job that has run for longer while its row is still scheduled and due
	// has no worker, or one that will find the row taken.
	const query = `-- name: RowsSweep :one
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() - interval '20 seconds' AS ago
), overdue AS MATERIALIZED (
    SELECT id, wake_at, priority, (SELECT ago FROM clock) AS ago FROM {table}
    WHERE status = 'scheduled' AND wake_at < (SELECT ago FROM clock) AND wake_at >= $1
        AND (wake_at, id) > ($1, $2)
    ORDER BY wake_at, id LIMIT $3
), lost AS (
    SELECT id, wake_at, priority FROM overdue
    WHERE NOT EXISTS (
        SELECT FROM tweetqueue.river_job j
        WHERE j.kind = '{kind}' AND j.args @> jsonb_build_object('row_id', overdue.id)
            AND (j.state IN ('available', 'pending', 'retryable', 'scheduled')
                OR (j.state = 'running' AND j.attempted_at > overdue.ago)))
), finalized AS (
    UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = tweetqueue.clock()
    WHERE kind = '{kind}' AND state = 'running'
        AND (args ->> 'row_id')::bigint = ANY (ARRAY(SELECT id FROM lost))
), parked AS (
    INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at)
    SELECT jsonb_build_object('row_id', id), '{kind}', 32767, priority, '{queue}', wake_at
    FROM lost
    RETURNING 1
), last AS (SELECT wake_at, id FROM overdue ORDER BY wake_at DESC, id DESC LIMIT 1)
SELECT (SELECT count(*) FROM parked), (SELECT count(*) FROM overdue) = $3,
    coalesce((SELECT wake_at FROM last), 'epoch'), coalesce((SELECT id FROM last), 0)`
	var full bool
	if err := db.QueryRow(ctx, kind.sql(query), from.WakeAt, from.RowID, limit).Scan(&swept, &full, &next.WakeAt, &next.RowID); err != nil {
		return 0, from, fmt.Errorf("sweep %s: %w", kind.table(), err)
	}
	if !full {
		next = SweepFrom{}
	}
	return swept, next, nil
}

// CancelDeadJobs finalises jobs that have run for more than an hour and have nothing left to do: their
// worker died after it had settled the row. River's rescuer leaves jobs alone that have no time-out.
func CancelDeadJobs(ctx context.Context, db DBTX, limit int) (int, error) {
	const query = `-- name: DeadJobsCancel :exec
UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = tweetqueue.clock()
WHERE id = ANY (ARRAY(
    SELECT j.id FROM tweetqueue.river_job j
    WHERE j.state = 'running' AND j.kind = '{kind}'
        AND j.attempted_at < tweetqueue.clock() - interval '1 hour'
        AND coalesce((SELECT t.status FROM {table} t WHERE t.id = (j.args ->> 'row_id')::bigint), '')
            NOT IN ('scheduled', 'sending')
    LIMIT $1 FOR NO KEY UPDATE OF j SKIP LOCKED))`
	cancelled := 0
	for _, kind := range Kinds() {
		tag, err := db.Exec(ctx, kind.sql(query), limit)
		if err != nil {
			return cancelled, fmt.Errorf("cancel dead jobs of %s: %w", kind.table(), err)
		}
		cancelled += int(tag.RowsAffected())
	}
	return cancelled, nil
}
