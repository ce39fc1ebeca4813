package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	// putLastAfter is how many jobs of one account and action may stand in River's queue before those of others, and keepFirst how many
	// do at least, where there are others all the time.
	putLastAfter, keepFirst = 50, 10
	// firstBatch and lastBatch are how many of the jobs are looked at that come first, and of those that were put last: of the oldest
	// and of the newest so many, for behind a large bulk of one account are those of others. River's fetch passes over those that are
	// being put last.
	firstBatch, lastBatch = 2000, 500
	// lastPriority is the priority of River that is fetched last.
	lastPriority = 4
)

// JobsPutLast keeps an account that has many rows due at once from standing before all others, for accounts share River's queue of a
// kind: of its jobs of an action among those that come first 50 keep their places, and the others get River's last priority. When it has less than
// 10 left of them, and does not wait for a limit, some get back what their rows have, and stand behind what is due by then. Which of the
// account's rows goes first is not for these to say: see [Lines]. It returns how many jobs it has put last; if any, there may be more. Jobs that somebody has
// locked are passed over.
func JobsPutLast(ctx context.Context, db DBTX) (put int, err error) {
	// Mostly there are few, and none was put last.
	const query = `-- name: JobsAreMany :many
SELECT '{kind}' WHERE EXISTS (
    SELECT FROM tweetqueue.river_job WHERE state = 'available' AND queue = '{queue}' AND priority = $2
) OR $1::bigint < (SELECT count(*) FROM (
    SELECT FROM tweetqueue.river_job WHERE state = 'available' AND queue = '{queue}' AND priority < $2 LIMIT $1::bigint + 1) AS first)`
	rows, err := replanned{db}.Query(ctx, everyKind(query), putLastAfter, lastPriority)
	if err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	many, err := pgx.CollectRows(rows, pgx.RowTo[Kind])
	if err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	for _, kind := range many {
		n, err := jobsPutLast(ctx, replanned{db}, kind)
		if err != nil {
			return put, err
		}
		put += n
	}
	return put, nil
}

// jobsPutLast does so in the queue of one kind.
func jobsPutLast(ctx context.Context, db DBTX, kind Kind) (put int, err error) {
	// A look-up of each, and the text of a state: where statistics know of few available jobs the planner would join all with all, and
	// look for each id among all of a state.
	const query = `-- name: JobsPutLast :one
WITH waiting AS MATERIALIZED (
    SELECT a.username, w.action FROM tweetqueue.quota_waits w JOIN tweetqueue.accounts a ON a.id = w.account_id WHERE w.until > tweetqueue.clock()
), first AS MATERIALIZED (
    SELECT id, (args ->> 'row_id')::bigint AS row_id, priority, scheduled_at FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'available' AND queue = '{queue}' AND priority < $5
    ORDER BY priority, scheduled_at, id LIMIT $3
), last AS MATERIALIZED (
    (SELECT id, (args ->> 'row_id')::bigint AS row_id, priority, scheduled_at FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'available' AND queue = '{queue}' AND priority = $5
    ORDER BY priority, scheduled_at, id LIMIT $4)
    UNION
    (SELECT id, (args ->> 'row_id')::bigint AS row_id, priority, scheduled_at FROM tweetqueue.river_job
    WHERE kind = '{kind}' AND state = 'available' AND queue = '{queue}' AND priority = $5
    ORDER BY priority DESC, scheduled_at DESC, id DESC LIMIT $4)
), jobs AS MATERIALIZED (
    SELECT j.id, j.priority, t.account, t.action, t.priority AS own,
        row_number() OVER (PARTITION BY t.account, t.action ORDER BY j.priority, j.scheduled_at, j.id) AS place
    FROM (
            SELECT id, row_id, priority, scheduled_at FROM first UNION ALL SELECT id, row_id, priority, scheduled_at FROM last
        ) AS j CROSS JOIN LATERAL (
        SELECT t.account, ({action})::text AS action, t.priority FROM {table} t WHERE t.id = j.row_id OFFSET 0) AS t
), wanted AS MATERIALIZED (
    SELECT id, CASE WHEN priority < $5 THEN $5 ELSE own END AS priority FROM jobs
    WHERE priority < $5 AND place > $1
        OR priority = $5 AND own < $5 AND ((account, action) IN (SELECT username, action FROM waiting)) IS NOT TRUE
            -- Where not all that come first were seen, it may have others behind these.
            AND place <= CASE WHEN (SELECT count(*) FROM first) < $3 THEN $2 ELSE 1 END
), locked AS MATERIALIZED (
    SELECT w.id, w.priority FROM wanted w CROSS JOIN LATERAL (
        SELECT FROM tweetqueue.river_job j WHERE j.id = w.id AND j.state::text = 'available' FOR UPDATE SKIP LOCKED) AS j
), put AS (
    UPDATE tweetqueue.river_job j SET priority = l.priority,
        scheduled_at = CASE WHEN l.priority = $5 THEN j.scheduled_at ELSE tweetqueue.clock() END -- behind what is due by now
    FROM locked l WHERE j.id = l.id RETURNING j.priority
)
SELECT count(*) FROM put WHERE priority = $5`
	err = db.QueryRow(ctx, kind.sql(query), putLastAfter, keepFirst, firstBatch, lastBatch, lastPriority).Scan(&put)
	if err != nil {
		return 0, fmt.Errorf("put jobs of %s last: %w", kind.table(), err)
	}
	return put, nil
}
