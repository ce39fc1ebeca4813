package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A job is a wake-up for one more row of an account, and need not be its own: of those that are due the best goes first,
// whichever job is run first. Each has a job of its own, so there are as many of these as there are rows.

// Turn is a due row's place in the order of its account: by priority, then by when it is due.
type Turn struct {
	RowID    int64
	Priority int
	DueAt    time.Time
}

// Before reports whether it goes before another one.
func (t Turn) Before(other Turn) bool {
	if t.Priority != other.Priority {
		return t.Priority < other.Priority
	}
	if !t.DueAt.Equal(other.DueAt) {
		return t.DueAt.Before(other.DueAt)
	}
	return t.RowID < other.RowID
}

// Line is who is next of an account and action.
type Line struct {
	Due     []Turn // the first few that are due, and wait for nothing
	Waiting *Turn  // the first that waits for a limit
}

// lineDue is how many rows that are due are read of a line: some may turn out not to be for sending.
const lineDue = 2

// Lines returns who is next of the accounts and actions of the rows, by row. The transaction has locked the accounts'
// windows. It reads no more than a few rows, however many there are.
func Lines(ctx context.Context, tx pgx.Tx, kind Kind, rowIDs []int64) (map[int64]Line, error) {
	const query = `-- name: RowsLines :many
WITH asked AS MATERIALIZED (
    SELECT t.id, t.account, ({action})::text AS action, tweetqueue.clock() AS now FROM {table} t WHERE t.id = ANY ($1)
)
SELECT asked.id, t.waiting_for, t.id, t.priority, t.due_at
FROM asked CROSS JOIN unnest(ARRAY['time', 'quota']) AS w (waiting_for)
CROSS JOIN LATERAL (
    SELECT t.waiting_for, t.id, t.priority, t.due_at FROM generate_series(1, 4) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT t.waiting_for, t.id, t.priority, t.{due_at} AS due_at FROM {table} t
        WHERE t.account = asked.account AND {of_asked} AND t.status = 'scheduled' AND t.waiting_for IN ('time', 'quota')
            AND t.waiting_for = w.waiting_for AND t.priority = p.priority AND t.{due_at} <= asked.now
            AND (t.waiting_for = 'quota' OR t.wake_at <= asked.now)
        ORDER BY t.{due_at}, t.id LIMIT CASE w.waiting_for WHEN 'time' THEN $2 ELSE 1 END) AS t
    ORDER BY t.priority, t.due_at, t.id LIMIT CASE w.waiting_for WHEN 'time' THEN $2 ELSE 1 END) AS t
ORDER BY t.priority, t.due_at, t.id`
	asked := strings.ReplaceAll(query, "{of_asked}", strings.ReplaceAll(kind.parts().ofAction, "$2", "asked.action"))
	rows, err := tx.Query(ctx, kind.sql(asked), rowIDs, lineDue)
	if err != nil {
		return nil, fmt.Errorf("read which %s are next: %w", kind.table(), err)
	}
	lines := map[int64]Line{}
	var asker int64
	var waitingFor WaitingFor
	var turn Turn
	_, err = pgx.ForEachRow(rows, []any{&asker, &waitingFor, &turn.RowID, &turn.Priority, &turn.DueAt}, func() error {
		line, next := lines[asker], turn
		if waitingFor == ForQuota {
			line.Waiting = &next
		} else {
			line.Due = append(line.Due, next)
		}
		lines[asker] = line
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read which %s are next: %w", kind.table(), err)
	}
	return lines, nil
}

// Turn is the row's place in its line.
func (r *Row) Turn() Turn { return Turn{RowID: r.ID, Priority: r.Priority, DueAt: r.askedAt} }

// Swap is a row that was taken by the job of another, which is due, too, and is left to its job.
type Swap struct{ Taken, Left int64 }

// SwapJobs gives the jobs of rows that were taken, and are still parked, to the rows that were left: a parked
// job is moved with its row. Those that are not parked any more come to these rows by themselves.
func SwapJobs(ctx context.Context, tx pgx.Tx, kind Kind, swaps []Swap) error {
	const query = `-- name: JobsSwap :exec
UPDATE tweetqueue.river_job j SET args = jsonb_build_object('row_id', i.left_id)
FROM unnest($1::bigint[], $2::bigint[]) AS i (taken_id, left_id)
WHERE j.kind = '{kind}' AND j.state = 'pending' AND (j.args ->> 'row_id')::bigint = i.taken_id`
	taken, left := make([]int64, len(swaps)), make([]int64, len(swaps))
	for i, swap := range swaps {
		taken[i], left[i] = swap.Taken, swap.Left
	}
	if _, err := tx.Exec(ctx, kind.sql(query), taken, left); err != nil {
		return fmt.Errorf("swap jobs of %s: %w", kind.table(), err)
	}
	return nil
}
