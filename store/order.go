package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// Line is who is next of an account and action, as the row of a job sees it.
type Line struct {
	Own     Turn
	OwnDue  bool   // the row of the job may be sent now
	OwnOnly bool   // and has waited for something else than its time, so that no other job comes to it
	LookUp  bool   // or is to be looked up
	Due     []Turn // the first few that are due, and wait for nothing; the row of the job may be among them
	Waiting *Turn  // the first that waits for a limit
}

// lineDue is how many rows that are due are read of a line: some may turn out not to be for sending, or somebody has them locked.
const lineDue = 8

// Lines returns the clock, and who is next of the accounts and actions of the rows, by row. The transaction has locked
// the accounts' windows. It locks nothing, and reads no more than a few rows, however many there are.
func Lines(ctx context.Context, tx pgx.Tx, kind Kind, rowIDs []int64) (now time.Time, lines map[int64]Line, err error) {
	const query = `-- name: RowsLines :many
WITH asked AS MATERIALIZED (
    SELECT t.id, t.account, ({action})::text AS action, t.priority, t.{due_at} AS due_at, t.status, t.waiting_for, t.wake_at, clock.now
    FROM tweetqueue.clock() AS clock (now) LEFT JOIN {table} t ON t.id = ANY ($1)
)
SELECT asked.now, coalesce(asked.id, 0), coalesce(asked.priority, 0), coalesce(asked.due_at, 'epoch'),
    coalesce(asked.status = 'scheduled' AND asked.wake_at <= asked.now, false),
    coalesce(asked.status = 'scheduled' AND asked.wake_at <= asked.now AND asked.waiting_for <> 'time', false),
    coalesce(asked.status = 'unconfirmed' AND asked.wake_at <= asked.now, false),
    coalesce(t.waiting_for, ''), coalesce(t.id, 0), coalesce(t.priority, 0), coalesce(t.due_at, 'epoch')
FROM asked LEFT JOIN LATERAL (
    (SELECT t.waiting_for, t.id, t.priority, t.due_at FROM generate_series(1, 4) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT t.waiting_for, t.id, t.priority, t.{due_at} AS due_at FROM {table} t
            WHERE t.account = asked.account AND {of_asked} AND t.status = 'scheduled'
                AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'time'
                AND t.priority = p.priority AND t.{due_at} <= asked.now AND t.wake_at <= asked.now
            ORDER BY t.{due_at}, t.id LIMIT $2) AS t
        ORDER BY t.priority, t.due_at, t.id LIMIT $2)
    UNION ALL
    (SELECT t.waiting_for, t.id, t.priority, t.due_at FROM generate_series(1, 4) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT t.waiting_for, t.id, t.priority, t.{due_at} AS due_at FROM {table} t
            WHERE t.account = asked.account AND {of_asked} AND t.status = 'scheduled'
                AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota'
                AND t.priority = p.priority AND t.{due_at} <= asked.now
            ORDER BY t.{due_at}, t.id LIMIT 1) AS t
        ORDER BY t.priority, t.due_at, t.id LIMIT 1)
    ) AS t ON true
ORDER BY t.priority, t.due_at, t.id`
	asked := strings.ReplaceAll(query, "{of_asked}", strings.ReplaceAll(kind.parts().ofAction, "$2", "asked.action"))
	rows, err := tx.Query(ctx, kind.sql(asked), rowIDs, lineDue)
	if err != nil {
		return now, nil, fmt.Errorf("read which %s are next: %w", kind.table(), err)
	}
	lines = map[int64]Line{}
	var own, turn Turn
	var due, only, lookUp bool
	var waitingFor WaitingFor
	targets := []any{&now, &own.RowID, &own.Priority, &own.DueAt, &due, &only, &lookUp, &waitingFor, &turn.RowID, &turn.Priority, &turn.DueAt}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		line, next := lines[own.RowID], turn
		line.Own, line.OwnDue, line.OwnOnly, line.LookUp = own, due, only, lookUp
		switch {
		case turn.RowID == 0:
		case waitingFor == ForQuota:
			line.Waiting = &next
		default:
			line.Due = append(line.Due, next)
		}
		lines[own.RowID] = line
		return nil
	})
	if err != nil {
		return now, nil, fmt.Errorf("read which %s are next: %w", kind.table(), err)
	}
	return now, lines, nil
}

// Next are the rows of which the first that can be sent is the job's: those that are due and go before its own, and
// its own. A row that is to be looked up is, and then its job may have been meant for another.
func (l Line) Next() []Turn {
	var next []Turn
	if l.LookUp {
		next = append(next, l.Own)
	}
	for _, turn := range l.Due {
		if turn.RowID == l.Own.RowID || l.OwnDue && !turn.Before(l.Own) {
			break
		}
		next = append(next, turn)
	}
	if l.LookUp {
		return next
	}
	return append(next, l.Own)
}

// Swap is a row that was taken by the job of another, which is due, too, and is left to its job.
type Swap struct{ Taken, Left int64 }

// parkedJob is the parked job of row $1. The order of what has one answer: where statistics know of few parked jobs the planner
// would read all of them.
const parkedJob = `(SELECT id FROM (
        SELECT id, (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
        WHERE state = 'pending' AND (args ->> 'row_id')::bigint >= $1 ORDER BY (args ->> 'row_id')::bigint LIMIT 1) AS next
    WHERE row_id = $1)`

// SwapJobs gives the jobs of rows that were taken, and are still parked, to the rows that were left, which are due: a parked
// job is moved with its row, and may have been put off. Those that are not parked any more come to these rows by themselves. It
// returns how many were parked, which are to be promoted.
func SwapJobs(ctx context.Context, tx pgx.Tx, swaps []Swap) (parked int64, err error) {
	const query = `-- name: JobsSwap :exec
UPDATE tweetqueue.river_job SET args = jsonb_build_object('row_id', $2::bigint), scheduled_at = least(scheduled_at, tweetqueue.clock())
WHERE state::text = 'pending' AND id = ` + parkedJob
	batch := &pgx.Batch{}
	for _, swap := range swaps {
		batch.Queue(query, swap.Taken, swap.Left).Exec(func(tag pgconn.CommandTag) error {
			parked += tag.RowsAffected()
			return nil
		})
	}
	err = sendJobs(ctx, tx, batch)
	return parked, err
}

// FreeJobs lets the jobs of due rows that are still parked go on, before the rows wait: the rows were taken by jobs whose own
// are over, or wait. Whose those were, because they had been taken, too, have these instead.
func FreeJobs(ctx context.Context, tx pgx.Tx, rowIDs []int64) error {
	const query = `-- name: JobsFree :exec
UPDATE tweetqueue.river_job SET state = 'available', scheduled_at = least(scheduled_at, tweetqueue.clock())
WHERE state::text = 'pending' AND id = ` + parkedJob
	batch := &pgx.Batch{}
	for _, id := range rowIDs {
		batch.Queue(query, id)
	}
	return sendJobs(ctx, tx, batch)
}

// JobAgain makes the job of a row come again after a delay, whatever has become of the row: it is some other row's by now. It
// stays available, so that it does not go with its own.
func JobAgain(ctx context.Context, tx pgx.Tx, kind Kind, rowID int64, delay time.Duration) error {
	const query = `-- name: JobAgain :exec
INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at, state)
SELECT jsonb_build_object('row_id', id), '{kind}', 32767, priority, '{queue}', tweetqueue.clock() + $2, 'available'
FROM {table} WHERE id = $1`
	if _, err := tx.Exec(ctx, kind.sql(query), rowID, delay); err != nil {
		return fmt.Errorf("let a job of %s come again: %w", kind.table(), err)
	}
	return nil
}

func sendJobs(ctx context.Context, tx pgx.Tx, batch *pgx.Batch) error {
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("change the jobs of rows that were taken: %w", err)
	}
	return nil
}
