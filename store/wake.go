package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Woken is what a [Wake] has done.
type Woken struct {
	Rows  int   // woken
	After int64 // the tweet that the next call goes on after; 0: from the first
	More  bool  // there may be more that can be woken at once
}

// Wake wakes rows that waited for something that is over: for a tweet before them in their thread, for a
// doubt of their account, and for an account or an app that is active again. Of an account or an app whose hold
// has come to its end it wakes one row, which tries ([AccountProbe]). At most limit of each sort; rows that
// someone else has locked are passed over until a later call. Of threads it goes on after the tweet of that id.
func Wake(ctx context.Context, db DBTX, after int64, limit int) (Woken, error) {
	// What is over says so on its own row: see the triggers. Mostly there is nothing. The order makes
	// the planner use the index also where it has no statistics.
	const marked = `-- name: WakesPending :one
SELECT (SELECT id FROM tweetqueue.tweets WHERE wake_next ORDER BY id LIMIT 1) IS NOT NULL,
    (SELECT id FROM tweetqueue.tweets WHERE wake_account ORDER BY id LIMIT 1) IS NOT NULL,
    EXISTS (SELECT FROM tweetqueue.accounts WHERE wake_held)
        OR EXISTS (SELECT FROM tweetqueue.apps WHERE wake_held),
    EXISTS (SELECT FROM tweetqueue.accounts WHERE state <> 'active' AND state_until <= tweetqueue.clock())
        OR EXISTS (SELECT FROM tweetqueue.apps WHERE state <> 'active' AND state_until <= tweetqueue.clock())`
	var woken Woken
	var threads, doubts, holds, ends bool
	if err := db.QueryRow(ctx, marked).Scan(&threads, &doubts, &holds, &ends); err != nil {
		return woken, fmt.Errorf("look for what is over: %w", err)
	}
	if threads {
		if err := woken.threads(ctx, db, after, limit); err != nil {
			return woken, err
		}
	}
	if doubts {
		if err := woken.doubted(ctx, db, limit); err != nil {
			return woken, err
		}
	}
	if holds {
		if err := woken.held(ctx, db, limit); err != nil {
			return woken, err
		}
	}
	if ends {
		return woken, woken.probes(ctx, db, limit)
	}
	return woken, nil
}

// threads wakes what stands after tweets that are over. A tweet's mark stays for as long as one of these
// rows is locked: a claim may be about to make it wait for what the tweet was before.
func (w *Woken) threads(ctx context.Context, db DBTX, after int64, limit int) error {
	const query = `-- name: ThreadsWake :one
WITH over AS MATERIALIZED (
    SELECT id FROM tweetqueue.tweets WHERE wake_next AND id > $1 ORDER BY id LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
), next AS MATERIALIZED (
    SELECT id FROM tweetqueue.tweets
    WHERE previous_id = ANY (ARRAY(SELECT id FROM over)) AND status = 'scheduled'
    FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
    UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM next)) AND waiting_for = 'thread'
    RETURNING 1
), cleared AS (
    UPDATE tweetqueue.tweets t SET wake_next = false
    WHERE t.id = ANY (ARRAY(SELECT id FROM over)) AND NOT EXISTS (
        SELECT FROM tweetqueue.tweets n
        WHERE n.previous_id = t.id AND n.status = 'scheduled'
            AND n.id <> ALL (ARRAY(SELECT id FROM next)))
)
SELECT (SELECT count(*) FROM woken),
    (SELECT CASE WHEN count(*) = $2 THEN max(id) ELSE 0 END FROM over)`
	if err := db.QueryRow(ctx, query, after, limit).Scan(&w.Rows, &w.After); err != nil {
		return fmt.Errorf("wake threads: %w", err)
	}
	w.More = w.After != 0
	return nil
}

// doubted wakes what waited for a doubt of its account that is settled, once the account has no other and
// is not held: the end of the last of these wakes the rows. Whoever makes a row wait for a doubt has it
// locked: so what is not found here never waited.
func (w *Woken) doubted(ctx context.Context, db DBTX, limit int) error {
	const query = `-- name: DoubtedWake :one
WITH settled AS MATERIALIZED (
    SELECT id, account FROM tweetqueue.tweets WHERE wake_account ORDER BY id LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), free AS MATERIALIZED (
    SELECT DISTINCT s.account FROM settled s JOIN tweetqueue.accounts a ON a.username = s.account
    WHERE a.state = 'active' AND NOT EXISTS (
        SELECT FROM tweetqueue.tweets d
        WHERE d.account = s.account AND d.status = 'unconfirmed' AND d.next_attempt_at IS NOT NULL)
), next AS MATERIALIZED (
    SELECT id FROM tweetqueue.tweets
    WHERE account = ANY (ARRAY(SELECT account FROM free))
        AND status = 'scheduled' AND waiting_for = 'account'
    ORDER BY priority, post_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
    UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM next))
    RETURNING 1
), cleared AS (
    UPDATE tweetqueue.tweets t SET wake_account = false
    WHERE t.id = ANY (ARRAY(SELECT id FROM settled)) AND NOT EXISTS (
        SELECT FROM tweetqueue.tweets n
        WHERE n.account = t.account AND n.status = 'scheduled'
            AND n.waiting_for = 'account'
            AND n.account = ANY (ARRAY(SELECT account FROM free))
            AND n.id <> ALL (ARRAY(SELECT id FROM next)))
    RETURNING 1
)
SELECT (SELECT count(*) FROM woken), (SELECT count(*) FROM cleared) = $1 OR (SELECT count(*) FROM next) = $1`
	var rows int
	var more bool
	if err := db.QueryRow(ctx, query, limit).Scan(&rows, &more); err != nil {
		return fmt.Errorf("wake what a doubt held back: %w", err)
	}
	w.Rows += rows
	w.More = w.More || more
	return nil
}

// held wakes what accounts and apps have held back. Whoever makes a row wait for one has seen it
// held, under a lock that the end of the hold waits for: so what is not found here never waited.
func (w *Woken) held(ctx context.Context, db DBTX, limit int) error {
	const byAccount = `-- name: HeldByAccountWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.accounts a JOIN {table} t ON t.account = a.username
    WHERE a.wake_held AND t.status = 'scheduled' AND t.waiting_for = 'account'
    ORDER BY t.priority, t.{due_at} LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED))`
	const byApp = `-- name: HeldByAppWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.apps p JOIN tweetqueue.accounts a ON a.app_id = p.id
    JOIN {table} t ON t.account = a.username
    WHERE p.wake_held AND t.status = 'scheduled' AND t.waiting_for = 'app'
    ORDER BY t.priority, t.{due_at} LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED))`
	clearAccounts := `-- name: AccountsWoken :exec
UPDATE tweetqueue.accounts SET wake_held = false
WHERE id = ANY (ARRAY(SELECT a.id FROM tweetqueue.accounts a WHERE a.wake_held AND NOT EXISTS (
` + everyKind(`SELECT FROM {table} t
    WHERE t.account = a.username AND t.status = 'scheduled' AND t.waiting_for = 'account'`) + `)
    FOR NO KEY UPDATE SKIP LOCKED))`
	clearApps := `-- name: AppsWoken :exec
UPDATE tweetqueue.apps SET wake_held = false
WHERE id = ANY (ARRAY(SELECT p.id FROM tweetqueue.apps p WHERE p.wake_held AND NOT EXISTS (
` + everyKind(`SELECT FROM tweetqueue.accounts a JOIN {table} t ON t.account = a.username
    WHERE a.app_id = p.id AND t.status = 'scheduled' AND t.waiting_for = 'app'`) + `)
    FOR NO KEY UPDATE SKIP LOCKED))`
	for _, kind := range Kinds() {
		for _, query := range []string{byAccount, byApp} {
			tag, err := db.Exec(ctx, kind.sql(query), limit)
			if err != nil {
				return fmt.Errorf("wake held %s: %w", kind.table(), err)
			}
			w.Rows += int(tag.RowsAffected())
			w.More = w.More || tag.RowsAffected() >= int64(limit)
		}
	}
	for _, query := range []string{clearAccounts, clearApps} {
		if _, err := db.Exec(ctx, query); err != nil {
			return fmt.Errorf("end the waking of what was held: %w", err)
		}
	}
	return nil
}

// probes wakes rows that try whether a hold is over that has come to its end: one of an account, and one of
// each of a few accounts of an app, for what one of them waits for next may be something else. None of an account
// that could not try, because its app is held, too, or a tweet of it is in doubt. The first that
// can be sent extends the hold; until then the next call wakes others.
func (w *Woken) probes(ctx context.Context, db DBTX, limit int) error {
	const ofAccounts = `-- name: AccountProbesWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
    CROSS JOIN LATERAL (SELECT id FROM {table}
        WHERE account = a.username AND status = 'scheduled' AND waiting_for = 'account'
        ORDER BY priority, {due_at} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS t
    WHERE a.state <> 'active' AND a.state_until <= tweetqueue.clock()
        AND (p.state = 'active' OR p.state_until <= tweetqueue.clock()) AND {not_in_doubt} LIMIT $1))`
	const ofApps = `-- name: AppProbesWake :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL
WHERE id = ANY (ARRAY(
    SELECT t.id FROM tweetqueue.apps p
    CROSS JOIN LATERAL (SELECT t.id FROM tweetqueue.accounts a
        CROSS JOIN LATERAL (SELECT id, priority, {due_at} AS due_at FROM {table}
            WHERE account = a.username AND status = 'scheduled' AND waiting_for = 'app'
            ORDER BY priority, {due_at} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS t
        WHERE a.app_id = p.id AND (a.state = 'active' OR a.state_until <= tweetqueue.clock())
            AND {not_in_doubt}
        ORDER BY t.priority, t.due_at LIMIT 3) AS t
    WHERE p.state <> 'active' AND p.state_until <= tweetqueue.clock() LIMIT $1))`
	// An account of which a tweet is in doubt sends no tweet.
	const notInDoubt = `NOT EXISTS (SELECT FROM tweetqueue.tweets d
            WHERE d.account = a.username AND d.status = 'unconfirmed' AND d.next_attempt_at IS NOT NULL)`
	for _, kind := range Kinds() {
		for _, query := range []string{ofAccounts, ofApps} {
			tag, err := db.Exec(ctx, kind.sql(strings.ReplaceAll(query, "{not_in_doubt}", notInDoubt)), limit)
			if err != nil {
				return fmt.Errorf("wake %s at the end of a hold: %w", kind.table(), err)
			}
			w.Rows += int(tag.RowsAffected())
		}
	}
	return nil
}

// SweepFrom is where a sweep goes on: after the last overdue row that was looked at. Zero is the
// beginning.
type SweepFrom struct {
	WakeAt time.Time
	RowID  int64
}

// Sweep looks at rows of a kind that have been due for a while, also those whose look-up is, at most limit of them in the order of
// wake_at, and gives a new job to those that have none that lives: somebody removed or cancelled it in
// River, or its worker died before it had claimed the row. That one is finalised. It returns how many,
// and where the next sweep goes on; zero, once it has come to the end.
func Sweep(ctx context.Context, db DBTX, kind Kind, from SweepFrom, limit int) (swept int, next SweepFrom, err error) {
	// A claim takes at most 15 s, and may have waited for others of its account: a job that has run for a minute while its
	// row is still scheduled and due has no worker, or one that will find the row taken.
	const query = `-- name: RowsSweep :one
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() - interval '20 seconds' AS ago
), overdue AS MATERIALIZED (
    SELECT id, wake_at, priority, account, {action} AS action, waiting_for, greatest(wake_at, late_from) AS since,
        (SELECT ago FROM clock) AS ago FROM {table} t
    WHERE (status = 'scheduled' OR (status = 'unconfirmed' AND next_attempt_at IS NOT NULL))
        AND wake_at < (SELECT ago FROM clock) AND wake_at >= $1
        -- One that was let go on after it waited for a limit is as good as due since then.
        AND (late_from IS NULL OR late_from < (SELECT ago FROM clock))
        AND (wake_at, id) > ($1, $2)
    ORDER BY wake_at, id LIMIT $3
), jobs AS MATERIALIZED ( -- all of them at once: a look-up in River's index of args reads whatever was inserted lately
    SELECT (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE state IN ('available', 'retryable', 'scheduled', 'running') AND kind = '{kind}'
        AND (state <> 'running' OR attempted_at > (SELECT ago FROM clock) - interval '40 seconds')
        AND EXISTS (SELECT FROM overdue)
), lost AS (
    SELECT id, wake_at, priority FROM overdue
    -- The job of a row may have been another's turn: while its account goes on, its own comes soon.
    WHERE NOT (overdue.waiting_for = 'time' AND overdue.since > overdue.ago - interval '1 minute' AND EXISTS (
        SELECT FROM tweetqueue.quotas q JOIN tweetqueue.accounts a ON a.id = q.account_id
        WHERE a.username = overdue.account AND overdue.action = ANY (q.actions) AND q.buckets <> '{}'
            AND to_timestamp((q.buckets[cardinality(q.buckets)] + 1) * extract(epoch FROM q.period) / 256) > overdue.ago))
    AND overdue.id IN (SELECT id FROM overdue EXCEPT SELECT row_id FROM jobs) -- linear, however many jobs there are
    AND NOT EXISTS (SELECT FROM tweetqueue.river_job j WHERE j.state = 'pending' AND (j.args ->> 'row_id')::bigint = overdue.id)
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
        AND coalesce((SELECT CASE WHEN t.status <> 'unconfirmed' OR t.next_attempt_at IS NOT NULL THEN t.status END
            FROM {table} t WHERE t.id = (j.args ->> 'row_id')::bigint), '')
            NOT IN ('scheduled', 'sending', 'unconfirmed')
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
