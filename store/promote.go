package store

import (
	"context"
	"fmt"
	"strings"
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
// River. Those of rows whose account waits for a limit it puts off instead: they stay parked. A
// row or a job that someone else has locked is passed over until the next call. Jobs that failed run again
// after 2, 5 and then 15 seconds by the database's clock: River itself goes by the clock of a worker.
func Promote(ctx context.Context, db DBTX, limit int) (Promotion, error) {
	// One reading of the clock: a job that fell due between two would be missed by both. Each job is locked before it is decided which of
	// both is done, so that another worker passes over it. An array, not a join: the planner cannot know how few are due, and would
	// scan the table for many.
	const query = `-- name: JobPromote :one
WITH clock AS MATERIALIZED (SELECT $2::timestamptz AS now
), jobs AS MATERIALIZED (
    SELECT id, kind, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE state = 'pending' AND scheduled_at <= $2
    ORDER BY scheduled_at LIMIT $1
    FOR UPDATE SKIP LOCKED
), wanted AS MATERIALIZED ({wanted}
), put_off AS (
    UPDATE tweetqueue.river_job j SET scheduled_at = ` + putOffUntil + `
    FROM wanted WHERE j.id = wanted.id
    RETURNING j.scheduled_at
), promoted AS (
    UPDATE tweetqueue.river_job SET state = 'available'
    WHERE id = ANY (ARRAY(SELECT id FROM jobs EXCEPT SELECT id FROM wanted))
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
SELECT (SELECT count(*) FROM promoted), (SELECT count(*) FROM put_off), (SELECT count(*) FROM jobs) = $1, least((SELECT min(scheduled_at) FROM put_off), (
    SELECT scheduled_at FROM tweetqueue.river_job
    WHERE state = 'pending' AND scheduled_at > $2
    ORDER BY scheduled_at LIMIT 1)) - tweetqueue.clock()
FROM told`
	now, kinds, err := waitingKinds(ctx, db)
	if err != nil {
		return Promotion{}, err
	}
	wanted := []string{`(SELECT NULL::bigint AS id, NULL::bigint AS row_id, NULL::timestamptz AS until WHERE false)`}
	for _, kind := range kinds {
		wanted = append(wanted, kind.sql(toHold))
	}
	var p Promotion
	err = replanned{db}.QueryRow(ctx, strings.Replace(query, "{wanted}", strings.Join(wanted, "\n    UNION ALL "), 1), limit, now).Scan(
		&p.Promoted, &p.PutOff, &p.More, &p.Next)
	if err != nil {
		return p, fmt.Errorf("promote jobs: %w", err)
	}
	return p, nil
}
