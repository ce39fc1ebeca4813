package store

import (
	"context"
	"fmt"
	"time"
)

const (
	// holdAhead is how many of the jobs that come first are looked at.
	holdAhead = 1000
	// putOffFor is how long the jobs are put off of rows that are to be held at the longest, and putOffUntil when they come again,
	// for an account that waits until an instant: not long after it, for a row that is not held by then is not let go on.
	putOffFor   = "interval '30 seconds'"
	putOffUntil = "least((SELECT now FROM clock) + " + putOffFor + ", until + interval '50 milliseconds')"
)

// QuotaWaitsHold keeps rows from being fetched that are due, or would be fetched next, and whose account waits. It returns whether there
// may be more. First their jobs make room in River's queue for those of others, which takes little for each. Then the rows
// themselves wait, at most limit of each kind, for a claim of their account waits for as long as it takes. Rows and jobs
// that somebody has locked are passed over, and those that were let go on.
func QuotaWaitsHold(ctx context.Context, db DBTX, limit int) (more bool, err error) {
	_, kinds, err := waitingKinds(ctx, db)
	if err != nil {
		return false, err
	}
	for _, kind := range kinds {
		off, err := jobsPutOff(ctx, replanned{db}, kind)
		if err != nil {
			return more, err
		}
		held, err := rowsHold(ctx, replanned{db}, kind, limit)
		if err != nil {
			return more, err
		}
		more = more || off == holdAhead || held == limit
	}
	return more, nil
}

// waitingKinds are the kinds of rows of which accounts wait for a limit at now, by the database's clock.
func waitingKinds(ctx context.Context, db DBTX) (now time.Time, kinds []Kind, err error) {
	const query = `-- name: QuotaWaitsActions :one
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() AS now)
SELECT now, ARRAY(SELECT DISTINCT action FROM tweetqueue.quota_waits WHERE until > now) FROM clock`
	var actions []string
	if err := db.QueryRow(ctx, query).Scan(&now, &actions); err != nil {
		return now, nil, fmt.Errorf("look for what waits for a limit: %w", err)
	}
	return now, kindsOf(actions...), nil
}

// toHold are the rows of jobs (id, kind, row_id) that are to be held: those that are due and wait for nothing yet, and whose account
// waits, until an instant. A look-up of each by its id, whatever the statistics say (see [JobsPutLast]): IS TRUE keeps the planner from an
// index of all that are due.
const toHold = `(SELECT jobs.id, jobs.row_id, t.until FROM jobs CROSS JOIN LATERAL (
        SELECT (SELECT w.until FROM tweetqueue.accounts a JOIN tweetqueue.quota_waits w ON w.account_id = a.id AND w.action = ({action})::text
            WHERE a.username = t.account) AS until
        FROM {table} t WHERE t.id = jobs.row_id AND ` + mayBeHeld + ` IS TRUE OFFSET 0) AS t
    WHERE jobs.kind = '{kind}' AND t.until > (SELECT now FROM clock))`

// mayBeHeld is whether a row t is due and waits for nothing yet.
const mayBeHeld = `(t.status = 'scheduled' AND t.waiting_for = 'time' AND t.next_attempt_at IS NULL AND t.wake_at <= (SELECT now FROM clock)
        AND ({deadline} IS NULL OR {deadline} > (SELECT now FROM clock) + ` + putOffFor + `))`

// jobsPutOff puts off the jobs that River would fetch next, of rows that are to be held. A claim that takes a better row
// than its job's own leaves that row's job, if it is available, to the row that was left: parked, it would go with the row
// that was taken, and the other would have none. So the row is locked, too, and the job before it, so that nobody fetches it and
// then finds its row locked. The text of a state as in [JobsPutLast].
func jobsPutOff(ctx context.Context, db DBTX, kind Kind) (int, error) {
	const query = `-- name: JobsPutOff :exec
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() AS now
), jobs AS MATERIALIZED (
    SELECT id, kind, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'available' AND queue = '{queue}'
    ORDER BY priority, scheduled_at, id LIMIT $1
), wanted AS MATERIALIZED ` + toHold + `, locked AS MATERIALIZED (
    SELECT w.id, w.until FROM wanted w CROSS JOIN LATERAL (
        SELECT (j.args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job j
        WHERE j.id = w.id AND j.state::text = 'available' FOR UPDATE SKIP LOCKED) AS j
    CROSS JOIN LATERAL (
        SELECT FROM {table} t WHERE t.id = j.row_id AND ` + mayBeHeld + ` IS TRUE FOR NO KEY UPDATE SKIP LOCKED) AS t
)
UPDATE tweetqueue.river_job j SET state = 'pending', scheduled_at = ` + putOffUntil + `
FROM locked l WHERE j.id = l.id`
	tag, err := db.Exec(ctx, kind.sql(query), holdAhead)
	if err != nil {
		return 0, fmt.Errorf("put off jobs of %s: %w", kind.table(), err)
	}
	return int(tag.RowsAffected()), nil
}

// rowsHold makes rows wait that are due.
func rowsHold(ctx context.Context, db DBTX, kind Kind, limit int) (int, error) {
	const query = `-- name: RowsHold :exec
WITH clock AS MATERIALIZED (SELECT tweetqueue.clock() AS now
), jobs AS MATERIALIZED ( -- those that were put off are the last, where much is due soon
    (SELECT id, kind, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'pending' AND scheduled_at <= (SELECT now FROM clock) + ` + putOffFor + ` + interval '1 second'
    ORDER BY scheduled_at LIMIT $1)
    UNION
    (SELECT id, kind, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'pending' AND scheduled_at <= (SELECT now FROM clock) + ` + putOffFor + ` + interval '1 second'
    ORDER BY scheduled_at DESC LIMIT $1)
), wanted AS MATERIALIZED ` + toHold + `, held AS MATERIALIZED (
    SELECT t.id, t.account, ({action})::text AS action, ` + mayBeHeld + ` AS may_be_held FROM {table} t
    WHERE t.id = ANY (ARRAY(SELECT row_id FROM wanted)) LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), kept AS MATERIALIZED ( -- until the rows wait
    SELECT w.account_id, w.action FROM tweetqueue.quota_waits w
    WHERE (w.account_id, w.action) IN (SELECT a.id, held.action FROM held JOIN tweetqueue.accounts a ON a.username = held.account)
        AND w.until > (SELECT now FROM clock)
    FOR SHARE SKIP LOCKED
), may AS MATERIALIZED (
    SELECT held.id FROM held JOIN tweetqueue.accounts a ON a.username = held.account
    WHERE held.may_be_held AND (a.id, held.action) IN (SELECT account_id, action FROM kept)
), locked AS MATERIALIZED (
    SELECT (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE id = ANY (ARRAY(SELECT id FROM wanted WHERE (row_id IN (SELECT id FROM may)) IS TRUE)) AND state::text = 'pending'
    FOR UPDATE SKIP LOCKED
)
UPDATE {table} t SET waiting_for = 'quota', error = 'its account had no place left in a limit: ''enqueue limits'' shows which',
    next_attempt_at = least({deadline}, (SELECT now FROM clock) + ` + waitForever + `)
WHERE t.id = ANY (ARRAY(SELECT row_id FROM locked))`
	tag, err := db.Exec(ctx, kind.sql(query), holdAhead/2, limit)
	if err != nil {
		return 0, fmt.Errorf("hold %s: %w", kind.table(), err)
	}
	return int(tag.RowsAffected()), nil
}
