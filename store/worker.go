package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// WorkerStart writes the lease row of a worker process, which knows the migrations up to knows, and returns its id. The
// lease is alive while it was renewed less than 12 s ago by the database's clock. [ErrRefused] if the database needs a
// worker that knows more.
func WorkerStart(ctx context.Context, db DBTX, name string, knows int) (int64, error) {
	const query = `-- name: WorkerStart :one
INSERT INTO tweetqueue.workers (name, knows) VALUES ($1, $2) RETURNING id`
	var id int64
	if err := db.QueryRow(ctx, query, name, knows).Scan(&id); err != nil {
		return 0, fmt.Errorf("start lease: %w", refusal(err))
	}
	return id, nil
}

// WorkerRenew renews a lease that is still alive; [ErrLostRace] if it died, for by then another
// worker may have taken its rows over, and it must not come back to life. [ErrRefused] if the database was migrated
// and needs a worker that knows more.
func WorkerRenew(ctx context.Context, db DBTX, id int64) error {
	const query = `-- name: WorkerRenew :exec
UPDATE tweetqueue.workers SET renewed_at = tweetqueue.clock()
WHERE id = $1 AND tweetqueue.worker_alive(renewed_at, stopped_at)`
	tag, err := db.Exec(ctx, query, id)
	if err != nil {
		return fmt.Errorf("renew lease %d: %w", id, refusal(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("renew lease %d: %w", id, ErrLostRace)
	}
	return nil
}

// WorkerStop ends a lease: the worker has settled all that it sent.
func WorkerStop(ctx context.Context, db DBTX, id int64) error {
	const query = `-- name: WorkerStop :exec
UPDATE tweetqueue.workers SET stopped_at = tweetqueue.clock() WHERE id = $1 AND stopped_at IS NULL`
	if _, err := db.Exec(ctx, query, id); err != nil {
		return fmt.Errorf("stop lease %d: %w", id, err)
	}
	return nil
}

// WorkersAlive counts the workers whose lease is alive.
func WorkersAlive(ctx context.Context, db DBTX) (int, error) {
	const query = `-- name: WorkersAlive :one
SELECT count(*) FROM tweetqueue.workers WHERE tweetqueue.worker_alive(renewed_at, stopped_at)`
	var count int
	if err := db.QueryRow(ctx, query).Scan(&count); err != nil {
		return 0, fmt.Errorf("count workers: %w", err)
	}
	return count, nil
}

// TakenOver is a row whose worker died while it was being sent.
type TakenOver struct {
	Kind   Kind
	RowID  int64
	Status Status
	Worker string // the worker's name

	AccountID int64
	Action    string    // of the row
	SendBy    time.Time // of the request
}

// TakeOver takes over the rows that are being sent by a worker whose lease is dead, at most limit of each
// kind, and finalises their jobs, so that River does not run them again. So it does with rows of the
// worker own, claimed more than a minute ago, whose requests it is not working on any more. A tweet may
// have reached X: it becomes unconfirmed, to be looked up at the given time after its request was granted. A
// deletion or a retweet is repeated, which does no harm. [PlacesProlong] belongs in the same transaction, as long as nobody has
// locked the windows.
func TakeOver(ctx context.Context, db DBTX, limit int, own int64, working []int64, lookUpAfter time.Duration) ([]TakenOver, error) {
	const query = `-- name: TakeOver :many
WITH lost AS (
    SELECT t.id, r.job_id, r.granted_at, r.account_id, r.send_by, w.name
    FROM {table} t
    JOIN tweetqueue.requests r ON r.id = t.request_id
    JOIN tweetqueue.workers w ON w.id = r.worker_id
    WHERE t.status = 'sending' AND (NOT tweetqueue.worker_alive(w.renewed_at, w.stopped_at)
        OR (w.id = $2 AND r.id <> ALL ($3) AND r.granted_at < tweetqueue.clock() - interval '1 minute'))
    ORDER BY t.id LIMIT $1
    FOR NO KEY UPDATE OF t SKIP LOCKED
), finalized AS (
    UPDATE tweetqueue.river_job j SET state = 'cancelled', finalized_at = tweetqueue.clock()
    FROM lost WHERE j.id = lost.job_id AND j.state = 'running'
)
UPDATE {table} t SET {taken_over} || 'the worker ' || lost.name || ' stopped while this was being sent'
FROM lost WHERE t.id = lost.id AND t.status = 'sending'
RETURNING t.id, t.status, lost.name, lost.account_id, ({action})::text, lost.send_by`
	var all []TakenOver
	for _, kind := range Kinds() {
		rows, err := db.Query(ctx, kind.sql(query), limit, own, working, lookUpAfter)
		if err != nil {
			return all, fmt.Errorf("take over %s: %w", kind.table(), err)
		}
		taken, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (TakenOver, error) {
			t := TakenOver{Kind: kind}
			err := row.Scan(&t.RowID, &t.Status, &t.Worker, &t.AccountID, &t.Action, &t.SendBy)
			return t, err
		})
		if err != nil {
			return all, fmt.Errorf("take over %s: %w", kind.table(), err)
		}
		all = append(all, taken...)
	}
	return all, nil
}

// PlacesProlong holds the places of requests that were taken over as if they had arrived by now: nobody knows when their
// worker died, nor how long they were under way. [ErrRowLocked] if somebody has locked the windows for long, such as a person; the
// transaction goes on as if it had not been called.
func PlacesProlong(ctx context.Context, tx pgx.Tx, taken []TakenOver) error {
	const impatience = `-- name: PlacesProlongImpatience :exec
SET LOCAL lock_timeout = '500ms'`
	return orRowLocked(pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
		if _, err := tx.Exec(ctx, impatience); err != nil {
			return fmt.Errorf("bound the wait for quotas: %w", err)
		}
		return placesProlong(ctx, tx, taken)
	}))
}

func placesProlong(ctx context.Context, tx pgx.Tx, taken []TakenOver) error {
	var accountIDs []int64
	var actions []string
	for _, t := range taken {
		accountIDs, actions = append(accountIDs, t.AccountID), append(actions, t.Action)
	}
	quotas, err := QuotasLock(ctx, tx, accountIDs, actions...)
	if err != nil {
		return err
	}
	now, err := Clock(ctx, tx)
	if err != nil {
		return err
	}
	for _, t := range taken {
		for _, q := range quotas.Of(t.AccountID, t.Action) {
			if now.After(t.SendBy) {
				q.Move(t.SendBy, now)
			}
		}
	}
	return QuotasSave(ctx, tx, quotas)
}

// TakeOverJobs gives a successor to each job that a dead worker had fetched, and had not claimed a row for; it finalises the
// old ones. At most limit of each kind. It returns how many. River knows a worker by the name of its lease.
//
// A job whose own row is over, or has a parked one, may have been another row's turn. Its successor is available, not parked, so
// that it does not go where its own row goes; if there is nothing for it to do, it ends.
func TakeOverJobs(ctx context.Context, db DBTX, limit int) (int, error) {
	const query = `-- name: JobsTakeOver :one
WITH lost AS MATERIALIZED (
    SELECT j.id, (j.args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job j
    WHERE j.state = 'running' AND j.kind = '{kind}' AND cardinality(j.attempted_by) > 0 AND NOT EXISTS (
        SELECT FROM tweetqueue.workers w
        WHERE w.name = j.attempted_by[cardinality(j.attempted_by)]
            AND tweetqueue.worker_alive(w.renewed_at, w.stopped_at))
        AND j.id NOT IN (SELECT r.job_id FROM {table} t JOIN tweetqueue.requests r ON r.id = t.request_id WHERE t.status = 'sending')
    LIMIT $1 FOR UPDATE SKIP LOCKED
), finalized AS (
    UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = tweetqueue.clock()
    WHERE id = ANY (ARRAY(SELECT id FROM lost))
), parked AS MATERIALIZED (
    SELECT (args ->> 'row_id')::bigint AS row_id FROM tweetqueue.river_job
    WHERE state = 'pending' AND (args ->> 'row_id')::bigint = ANY (ARRAY(SELECT row_id FROM lost))
), rows AS MATERIALIZED (
    SELECT t.id, t.priority, t.wake_at, t.lives, row_number() OVER (PARTITION BY t.id) = 1 AS first FROM lost CROSS JOIN LATERAL (
        SELECT t.id, t.priority, t.wake_at, t.status = 'scheduled' OR (t.status = 'unconfirmed' AND t.next_attempt_at IS NOT NULL) AS lives
        FROM {table} t WHERE t.id = lost.row_id OFFSET 0) AS t
), succeeding AS (
    INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at, state)
    SELECT jsonb_build_object('row_id', id), '{kind}', 32767, priority, '{queue}',
        CASE WHEN own THEN wake_at ELSE tweetqueue.clock() END, CASE WHEN own THEN 'pending' ELSE 'available' END::tweetqueue.river_job_state
    FROM (SELECT id, priority, wake_at, lives AND first AND id NOT IN (SELECT row_id FROM parked) AS own FROM rows) AS rows
    RETURNING 1
)
SELECT count(*) FROM succeeding`
	taken := 0
	for _, kind := range Kinds() {
		n := 0
		if err := db.QueryRow(ctx, kind.sql(query), limit).Scan(&n); err != nil {
			return taken, fmt.Errorf("take over jobs of %s: %w", kind.table(), err)
		}
		taken += n
	}
	return taken, nil
}
