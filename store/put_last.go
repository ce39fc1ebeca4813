package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	// putLastAfter is how many jobs of one account may stand in River's queue of a kind before those of others.
	putLastAfter = 50
	// putLastBatch is how many of the jobs are looked at that come first. River's fetch passes over those that are put last meanwhile.
	putLastBatch = 2000
	// last is the priority of River that is fetched last.
	last = 4
)

// JobsPutLast keeps an account that has many rows due at once from standing before all others, for accounts share River's queue of a
// kind: of its jobs among those that come first 50 keep their places, and the others get River's last priority. Which of the
// account's rows goes first is not for these to say: see [Lines]. It returns how many jobs it has put last; if any,
// there may be more. Jobs that somebody has locked are passed over, and tweets that have a deadline.
func JobsPutLast(ctx context.Context, db DBTX) (put int, err error) {
	// Mostly there are few.
	const query = `-- name: JobsAreMany :many
SELECT '{kind}' WHERE $1::bigint < (SELECT count(*) FROM (
    SELECT FROM tweetqueue.river_job WHERE state = 'available' AND queue = '{queue}' AND priority < $2 LIMIT $1 + 1) AS first)`
	rows, err := db.Query(ctx, everyKind(query), putLastAfter, last)
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
func jobsPutLast(ctx context.Context, db DBTX, kind Kind) (int, error) {
	// A look-up of each, and the text of a state: where statistics know of few available jobs the planner would join all with all, and
	// look for each id among all of a state.
	const query = `-- name: JobsPutLast :exec
WITH jobs AS MATERIALIZED (
    SELECT j.id, j.priority, j.scheduled_at, (
        SELECT t.account FROM {table} t WHERE t.id = (j.args ->> 'row_id')::bigint AND {deadline} IS NULL) AS account
    FROM tweetqueue.river_job j
    WHERE j.kind = '{kind}' AND j.state = 'available' AND j.queue = '{queue}' AND j.priority < $3
    ORDER BY j.priority, j.scheduled_at, j.id LIMIT $2
), placed AS MATERIALIZED (
    SELECT id, row_number() OVER (PARTITION BY account ORDER BY priority, scheduled_at, id) AS place FROM jobs WHERE account IS NOT NULL
), locked AS MATERIALIZED (
    SELECT p.id FROM placed p CROSS JOIN LATERAL (
        SELECT FROM tweetqueue.river_job j WHERE j.id = p.id AND j.state::text = 'available' FOR UPDATE SKIP LOCKED) AS j
    WHERE p.place > $1
)
UPDATE tweetqueue.river_job j SET priority = $3 FROM locked l WHERE j.id = l.id`
	tag, err := db.Exec(ctx, kind.sql(query), putLastAfter, putLastBatch, last)
	if err != nil {
		return 0, fmt.Errorf("put jobs of %s last: %w", kind.table(), err)
	}
	return int(tag.RowsAffected()), nil
}
