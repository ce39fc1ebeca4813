package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Promotion is what [Promote] has done.
type Promotion struct {
	Promoted int            // jobs that River fetches now
	PutOff   int            // jobs of accounts that wait for a limit, of which the rows are to be held: see [QuotaWaitsHold]
	More     bool           // there may be more to do at once
	Next     *time.Duration // how long it is until the next job is due; nil: none is parked for later
}

// Promote moves the parked jobs that are due, at most limit of them, to where River fetches them, and tells
// River. Those of rows that are due while their account waits for a limit it puts off instead: they stay parked. A
// row or a job that someone else has locked is passed over until the next call. Jobs that failed run again
// after 2, 5 and then 15 seconds by the database's clock: River itself goes by the clock of a worker.
func Promote(ctx context.Context, db DBTX, limit int) (Promotion, error) {
	var p Promotion
	// What falls due after this is left to the next call: else it would not have been looked at whether it is to be put off.
	now, kinds, err := waitingKinds(ctx, db)
	if err != nil {
		return p, err
	}
	var failed error // of what waits, which is no matter of the others
	for _, kind := range kinds {
		n, err := jobsPutOffDue(ctx, replanned{db}, kind, limit)
		failed = errors.Join(failed, err)
		p.PutOff += n
	}
	// No more than were looked at, of each kind.
	limit = max(0, limit-p.PutOff)
	if p.Promoted, p.Next, err = promote(ctx, replanned{db}, now, limit); err != nil {
		return p, errors.Join(failed, err)
	}
	p.More = p.PutOff > 0 || p.Promoted == limit
	return p, failed
}

// promote moves the jobs that are due at now.
func promote(ctx context.Context, db DBTX, now time.Time, limit int) (promoted int, next *time.Duration, err error) {
	// An array, not a join: the planner cannot know how few are due, and would scan the table for many.
	const query = `-- name: JobPromote :one
WITH promoted AS (
    UPDATE tweetqueue.river_job SET state = 'available'
    WHERE id = ANY (ARRAY(
        SELECT id FROM tweetqueue.river_job
        WHERE state = 'pending' AND scheduled_at <= $2
        ORDER BY scheduled_at LIMIT $1
        FOR UPDATE SKIP LOCKED))
    RETURNING queue
), failed AS (
    UPDATE tweetqueue.river_job SET state = 'available', scheduled_at = $2
    WHERE id = ANY (ARRAY(
        SELECT id FROM tweetqueue.river_job
        WHERE attempt > 0 AND state IN ('available', 'retryable')
            AND attempted_at <= $2::timestamptz - interval '2 seconds'
            AND attempted_at <= $2::timestamptz - CASE attempt
                WHEN 1 THEN interval '2 seconds' WHEN 2 THEN interval '5 seconds' ELSE interval '15 seconds' END
            AND (state = 'retryable' OR scheduled_at > $2)
        LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING queue
), queues AS (
    SELECT queue, count(*) AS jobs FROM (SELECT queue FROM promoted UNION ALL SELECT queue FROM failed) AS q GROUP BY queue
), told AS (
    SELECT count(pg_notify('tweetqueue.river_insert', json_build_object('queue', queue)::text)) FROM queues)
SELECT (SELECT count(*) FROM promoted), (
    SELECT scheduled_at - tweetqueue.clock() FROM tweetqueue.river_job
    WHERE state = 'pending' AND scheduled_at > $2
    ORDER BY scheduled_at LIMIT 1)
FROM told`
	if err := db.QueryRow(ctx, query, limit, now).Scan(&promoted, &next); err != nil {
		return 0, nil, fmt.Errorf("promote jobs: %w", err)
	}
	return promoted, next, nil
}

// jobsPutOffDue puts off the parked jobs that are due, or will be within a second, of rows that are to be held.
func jobsPutOffDue(ctx context.Context, db DBTX, kind Kind, limit int) (int, error) {
	const query = `-- name: JobsPutOffDue :exec
WITH ` + waitingAccounts + `, jobs AS MATERIALIZED (
    SELECT id, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'pending' AND scheduled_at <= (SELECT now FROM clock) + interval '1 second'
    ORDER BY scheduled_at LIMIT $1
), ` + toHold + `, locked AS MATERIALIZED (
    SELECT w.id, w.until FROM wanted w CROSS JOIN LATERAL (
        SELECT FROM tweetqueue.river_job j WHERE j.id = w.id AND j.state::text = 'pending' FOR UPDATE SKIP LOCKED) AS j
)
UPDATE tweetqueue.river_job j SET scheduled_at = ` + putOffUntil + `
FROM locked l WHERE j.id = l.id`
	tag, err := db.Exec(ctx, kind.sql(query), limit)
	if err != nil {
		return 0, fmt.Errorf("put off jobs of %s: %w", kind.table(), err)
	}
	return int(tag.RowsAffected()), nil
}
