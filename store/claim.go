package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Row is a locked row of any kind, with all that the decision on it rests on.
type Row struct {
	Kind       Kind
	ID         int64
	Status     Status
	WaitingFor *WaitingFor
	DueAt      time.Time // post_at, delete_at or retweet_at; the instant at which it was written if that is later
	LateFrom   time.Time // since when it is late: DueAt, or when it could go after it had to wait for a limit
	WakeAt     time.Time // due, and not before what it last waited for
	Priority   int
	Released   bool  // it waited for a limit, and was let go on: see [QuotaWaitRelease]
	Retries    int   // in a row, so far
	RequestID  int64 // its last request; 0: none yet
	// Answered says that the row's last request was answered by X, and not only that X is out of order; Doubt that one
	// of its requests may have taken effect.
	Answered, Doubt bool
	// LookedUp says that the row is unconfirmed and its next look-up is due at WakeAt.
	LookedUp bool

	AccountID int64
	Username  string
	XUserID   string
	TextLimit int // weighted length
	Account   Hold
	AppID     int64
	AppName   string
	App       Hold
	// Budgeted says that the account or the app has a budget; then Budgets are to be set: see [BudgetsLock].
	Budgeted bool
	Budgets  Budgets
	// Sealed: see OpenAccount and OpenApp.
	AccountCredentials, AppCredentials []byte
	// AccountDoubt is a tweet of the account that is being looked up; nil if there is none.
	AccountDoubt *int64

	// TweetID is the tweet to delete or to retweet; empty for a tweet to post.
	TweetID string
	// UndoRetweet says that a deletion takes back the account's retweet of TweetID.
	UndoRetweet bool
	// Tweet is what to post; zero for the other kinds.
	Tweet Tweet
	// PreviousStatus and PreviousTweetID are of the row before it in a thread, if it has one.
	PreviousStatus  *Status
	PreviousTweetID *string
	// Made is the tweet that X says it made of an earlier request of the row, and the body of that request: see
	// [PostMade]. Nil: none.
	Made []string
}

// RowsLock locks the rows of these ids and returns them by id. Rows that another transaction has
// locked are left out, as are rows that do not exist: see [RowsRewake]. One that only adds the next
// tweet of a thread, and so refers to a row, does not lock it against this.
func RowsLock(ctx context.Context, tx pgx.Tx, kind Kind, ids []int64) ([]*Row, error) {
	const query = `-- name: RowsLock :many
SELECT t.id, t.status, t.waiting_for, greatest(t.{due_at}, t.created_at),
    greatest(t.{due_at}, t.created_at, t.late_from), t.wake_at, t.priority,
    t.waiting_for = 'time' AND t.next_attempt_at IS NOT NULL, t.retries, coalesce(t.request_id, 0),
    t.request_id IS NOT NULL AND EXISTS (SELECT FROM tweetqueue.requests r
        WHERE r.id = t.request_id AND r.status_code IS NOT NULL AND r.outcome <> 'repeat'),
    t.request_id IS NOT NULL AND EXISTS (SELECT FROM tweetqueue.requests r
        WHERE r.row_id = t.id AND (r.outcome IN ('unconfirmed', 'repeat') OR r.outcome IS NULL
            OR (r.outcome = 'done' AND r.kind = 'retweet'))), -- X answered when the row was over
    t.status = 'unconfirmed' AND t.next_attempt_at IS NOT NULL,
    a.id, a.username, a.x_user_id, a.text_limit, a.state, a.state_reason, a.state_until, a.credentials,
    p.id, p.name, p.state, p.state_reason, p.state_until, p.credentials,
    a.budget_usd IS NOT NULL OR p.budget_usd IS NOT NULL,
    (SELECT d.id FROM tweetqueue.tweets d
        WHERE d.account = t.account AND d.status = 'unconfirmed' AND d.next_attempt_at IS NOT NULL LIMIT 1),
    {own}
FROM {table} t
JOIN tweetqueue.accounts a ON a.username = t.account
JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.id = ANY ($1)
ORDER BY t.id
FOR NO KEY UPDATE OF t SKIP LOCKED`
	rows, err := tx.Query(ctx, kind.sql(query), ids)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", kind.table(), err)
	}
	locked, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Row, error) {
		r, released := &Row{Kind: kind}, (*bool)(nil)
		targets := []any{
			&r.ID, &r.Status, &r.WaitingFor, &r.DueAt, &r.LateFrom, &r.WakeAt, &r.Priority, &released, &r.Retries, &r.RequestID, &r.Answered, &r.Doubt, &r.LookedUp,
			&r.AccountID, &r.Username, &r.XUserID, &r.TextLimit, &r.Account.State, &r.Account.Reason, &r.Account.Until, &r.AccountCredentials,
			&r.AppID, &r.AppName, &r.App.State, &r.App.Reason, &r.App.Until, &r.AppCredentials, &r.Budgeted,
			&r.AccountDoubt,
		}
		err := row.Scan(append(targets, r.targets()...)...)
		r.Released = released != nil && *released
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", kind.table(), err)
	}
	return locked, previousRead(ctx, tx, locked)
}

// Action is the name under which limits count the row's request.
func (r *Row) Action() string {
	if r.UndoRetweet {
		return undoRetweet
	}
	return r.Kind.Action()
}

// targets returns where the columns are scanned to that only its kind has.
func (r *Row) targets() []any {
	switch r.Kind {
	case DeleteTweet:
		return []any{&r.TweetID, &r.UndoRetweet}
	case Retweet:
		return []any{&r.TweetID}
	case PostTweet:
	}
	return append([]any{&r.Made}, r.Tweet.targets()...)
}

// previousRead reads, after the locks, what stands before the rows in their threads. Beside a row that
// was locked it might be older than the lock: what it says stays on the row as the reason to wait.
func previousRead(ctx context.Context, tx pgx.Tx, locked []*Row) error {
	const query = `-- name: TweetsPrevious :many
SELECT id, status, tweet_id FROM tweetqueue.tweets WHERE id = ANY ($1)`
	var ids []int64
	for _, row := range locked {
		if row.Tweet.PreviousID != nil {
			ids = append(ids, *row.Tweet.PreviousID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, query, ids)
	if err != nil {
		return fmt.Errorf("read the tweets before: %w", err)
	}
	var id int64
	var status Status
	var tweetID *string
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &tweetID}, func() error {
		for _, row := range locked {
			if row.Tweet.PreviousID != nil && *row.Tweet.PreviousID == id {
				before := status
				row.PreviousStatus, row.PreviousTweetID = &before, tweetID
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the tweets before: %w", err)
	}
	return nil
}

// RowsRewake parks another job, after a delay, for each of the rows that is still scheduled, or looked up:
// they could not be locked, so that nobody knows yet what is to happen with them. Rows that do not exist
// are passed over. It returns the ids of the former.
func RowsRewake(ctx context.Context, db DBTX, kind Kind, ids []int64, delay time.Duration) ([]int64, error) {
	const query = `-- name: RowsRewake :many
WITH locked AS (
    SELECT id, priority FROM {table} WHERE id = ANY ($1)
        AND (status = 'scheduled' OR (status = 'unconfirmed' AND next_attempt_at IS NOT NULL))
),
parked AS (
    INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at, state)
    SELECT jsonb_build_object('row_id', id), '{kind}', 32767, priority, '{queue}',
        tweetqueue.clock() + $2, 'pending'
    FROM locked
)
SELECT id FROM locked`
	rows, err := db.Query(ctx, kind.sql(query), ids, delay)
	if err != nil {
		return nil, fmt.Errorf("park locked %s: %w", kind.table(), err)
	}
	parked, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("park locked %s: %w", kind.table(), err)
	}
	return parked, nil
}

// RowsPark parks a job for each of the scheduled rows that has none parked: their jobs were run before
// the rows were due, by hand or by a statement that moved the row meanwhile.
func RowsPark(ctx context.Context, tx pgx.Tx, kind Kind, ids []int64) error {
	const query = `-- name: RowsPark :exec
INSERT INTO tweetqueue.river_job (args, kind, max_attempts, priority, queue, scheduled_at, state)
SELECT jsonb_build_object('row_id', t.id), '{kind}', 32767, t.priority, '{queue}', t.wake_at, 'pending'
FROM {table} t
WHERE t.id = ANY ($1) AND t.status = 'scheduled' AND NOT EXISTS (
    SELECT FROM tweetqueue.river_job j
    WHERE j.state = 'pending' AND (j.args ->> 'row_id')::bigint = t.id)`
	if _, err := tx.Exec(ctx, kind.sql(query), ids); err != nil {
		return fmt.Errorf("park %s: %w", kind.table(), err)
	}
	return nil
}

// Request is a request to X for a row, as it is written before it is sent.
type Request struct {
	ID        int64 // set by StartRequests
	RowID     int64
	AccountID int64
	JobID     int64
	Action    string // of the row; empty: the kind's
	HasURL    bool   // of a tweet: X makes a link of something in its text, and charges more
	Body      []byte // the exact bytes of a POST; nil for a DELETE
	GrantedAt time.Time
	Retries   int // of the row, so far
	SendBy    time.Time
}

// StartRequests writes the requests and makes their rows sending, which must be scheduled:
// [ErrLostRace] otherwise. It sets the requests' ids. Nothing may be sent before the transaction
// has been committed.
func StartRequests(ctx context.Context, tx pgx.Tx, kind Kind, workerID int64, requests []*Request) error {
	query := `-- name: RequestsStart :many
WITH started AS (
    INSERT INTO tweetqueue.requests
        (kind, row_id, account_id, worker_id, job_id, body, granted_at, send_by, price_usd, cost_usd)
    SELECT '{kind}', i.row_id, i.account_id, $1, i.job_id, i.body, i.granted_at, i.send_by, coalesce(p.usd, 0), coalesce(p.usd, 0)
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[],
        $7::timestamptz[], $8::text[], $9::boolean[]) AS i (row_id, account_id, job_id, body, granted_at, send_by, action, has_url)
    LEFT JOIN tweetqueue.prices p ON p.action = i.action AND p.with_url = i.has_url
    RETURNING id, row_id, account_id, granted_at, cost_usd AS usd
), ` + spend("started") + `
UPDATE {table} t
SET status = 'sending', waiting_for = NULL, next_attempt_at = NULL, error = NULL, request_id = s.id
FROM started s
WHERE t.id = s.row_id` + claimable + `
RETURNING t.id, t.request_id`
	n := len(requests)
	rowIDs, accountIDs, jobIDs := make([]int64, n), make([]int64, n), make([]int64, n)
	bodies, grantedAts, sendBys := make([]*string, n), make([]time.Time, n), make([]time.Time, n)
	actions, hasURLs := make([]string, n), make([]bool, n)
	byRow := make(map[int64]*Request, n)
	for i, r := range requests {
		rowIDs[i], accountIDs[i], jobIDs[i], grantedAts[i], sendBys[i] = r.RowID, r.AccountID, r.JobID, r.GrantedAt, r.SendBy
		actions[i], hasURLs[i] = cmp.Or(r.Action, kind.Action()), r.HasURL
		if r.Body != nil {
			body := string(r.Body)
			bodies[i] = &body
		}
		byRow[r.RowID] = r
	}
	rows, err := tx.Query(ctx, kind.sql(query), workerID, rowIDs, accountIDs, jobIDs, bodies, grantedAts, sendBys, actions, hasURLs)
	if err != nil {
		return fmt.Errorf("start requests: %w", err)
	}
	var rowID, requestID int64
	tag, err := pgx.ForEachRow(rows, []any{&rowID, &requestID}, func() error {
		byRow[rowID].ID = requestID
		return nil
	})
	if err != nil {
		return fmt.Errorf("start requests: %w", err)
	}
	if tag.RowsAffected() != int64(n) {
		return fmt.Errorf("start requests: %w", ErrLostRace)
	}
	return nil
}

// Wait is what a row waits for, and until when.
type Wait struct {
	RowID  int64
	For    WaitingFor
	Until  time.Time
	Reason string // for a person; may be empty
	// Doubt is the tweet of the account that is being looked up, if it is that which the row waits for.
	Doubt int64
}

// recheckDelay is how soon a row is looked at again of whose wait it is not certain that its end
// would wake it; recheckDoubt if that is a doubt, which lasts for seconds, and which an application may have locked.
const (
	recheckDelay = 250 * time.Millisecond
	recheckDoubt = 5 * time.Second
)

// WaitRows makes scheduled rows wait, at most until their deadline; their jobs are parked until then
// by the same statement. Where what a row waits for has ended since the row was locked, it waits
// for a moment only. [ErrLostRace] if one of them is not scheduled any more.
func WaitRows(ctx context.Context, tx pgx.Tx, kind Kind, waits []Wait) error {
	const query = `-- name: RowsWait :exec
UPDATE {table} t
SET waiting_for = i.waiting_for, error = nullif(i.reason, ''), next_attempt_at = least({deadline},
    CASE i.waiting_for WHEN 'quota' THEN tweetqueue.clock() + ` + waitForever + ` ELSE least(i.until, tweetqueue.clock() + i.recheck) END)
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::interval[])
    AS i (row_id, waiting_for, until, reason, recheck)
WHERE t.id = i.row_id AND t.status = 'scheduled'`
	certain, err := waitsConfirm(ctx, tx, kind, waits)
	if err != nil {
		return err
	}
	n := len(waits)
	rowIDs, fors, untils, reasons := make([]int64, n), make([]string, n), make([]time.Time, n), make([]string, n)
	rechecks := make([]*time.Duration, n)
	for i, w := range waits {
		rowIDs[i], fors[i], untils[i], reasons[i] = w.RowID, string(w.For), w.Until, validText(w.Reason)
		if delay := recheckDelay; !certain(w) {
			if w.Doubt != 0 {
				delay = recheckDoubt
			}
			rechecks[i] = &delay
		}
	}
	tag, err := tx.Exec(ctx, kind.sql(query), rowIDs, fors, untils, reasons, rechecks)
	if err != nil {
		return fmt.Errorf("make %s wait: %w", kind.table(), err)
	}
	if tag.RowsAffected() != int64(n) {
		return fmt.Errorf("make %s wait: %w", kind.table(), ErrLostRace)
	}
	return nil
}

// waitsConfirm tells of which waits it is certain that their end will wake the row: what the row
// waits for is not over, and who ends it finds the row waiting. A row that [RowsLock] returned may
// stand beside an account or an app as it was before the lock was had.
func waitsConfirm(ctx context.Context, tx pgx.Tx, kind Kind, waits []Wait) (func(Wait) bool, error) {
	// The end of a hold waits for these locks, and then finds the rows waiting. If it came first, they
	// are not to be had, and need not be waited for.
	const accounts = `-- name: AccountHoldsConfirm :many
SELECT t.id FROM {table} t JOIN tweetqueue.accounts a ON a.username = t.account
WHERE t.id = ANY ($1) AND a.state <> 'active'
ORDER BY a.id FOR SHARE OF a SKIP LOCKED`
	const apps = `-- name: AppHoldsConfirm :many
SELECT t.id FROM {table} t JOIN tweetqueue.accounts a ON a.username = t.account
JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.id = ANY ($1) AND p.state <> 'active'
ORDER BY p.id FOR SHARE OF p SKIP LOCKED`
	// Who settles the doubt has it locked, or waits for this lock and then finds this row waiting.
	const doubts = `-- name: DoubtsConfirm :many
SELECT i.row_id FROM unnest($1::bigint[], $2::bigint[]) AS i (row_id, doubt)
JOIN tweetqueue.tweets d ON d.id = i.doubt
WHERE d.status = 'unconfirmed' AND d.next_attempt_at IS NOT NULL
ORDER BY d.id FOR SHARE OF d SKIP LOCKED`
	// Who ends the previous row has it locked, or waits for this lock and then finds this row waiting.
	const threads = `-- name: ThreadsConfirm :many
SELECT t.id FROM {table} t JOIN tweetqueue.tweets b ON b.id = t.previous_id
WHERE t.id = ANY ($1) AND b.status <> 'posted'
ORDER BY b.id FOR SHARE OF b SKIP LOCKED`
	confirmed := map[WaitingFor][]int64{}
	for what, query := range map[WaitingFor]string{ForAccount: accounts, ForApp: apps, ForThread: threads} {
		var rowIDs []int64
		for _, w := range waits {
			if w.For == what && w.Doubt == 0 {
				rowIDs = append(rowIDs, w.RowID)
			}
		}
		var err error
		if confirmed[what], err = waitsRead(ctx, tx, kind.sql(query), rowIDs); err != nil {
			return nil, err
		}
	}
	var rowIDs, doubtIDs []int64
	for _, w := range waits {
		if w.Doubt != 0 {
			rowIDs, doubtIDs = append(rowIDs, w.RowID), append(doubtIDs, w.Doubt)
		}
	}
	inDoubt, err := waitsRead(ctx, tx, doubts, rowIDs, doubtIDs)
	if err != nil {
		return nil, err
	}
	confirmed[ForAccount] = append(confirmed[ForAccount], inDoubt...)
	return func(w Wait) bool {
		switch w.For {
		case ForAccount, ForApp, ForThread:
			return slices.Contains(confirmed[w.For], w.RowID)
		case ForTime, ForQuota, ForRetry, ForBudget:
		}
		return true
	}, nil
}

// waitsRead returns the rows that a query confirms of those given.
func waitsRead(ctx context.Context, tx pgx.Tx, query string, rowIDs []int64, more ...any) ([]int64, error) {
	if len(rowIDs) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, query, append([]any{rowIDs}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("confirm waits: %w", err)
	}
	confirmed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("confirm waits: %w", err)
	}
	return confirmed, nil
}

// Closing is the end of a row that is not sent at all.
type Closing struct {
	RowID  int64
	Status Status // Missed or Failed
	Reason string
}

// CloseRows ends scheduled rows without a request. [ErrLostRace] if one of them is not scheduled any
// more.
func CloseRows(ctx context.Context, tx pgx.Tx, kind Kind, closings []Closing) error {
	const query = `-- name: RowsClose :exec
UPDATE {table} t
SET status = i.status, waiting_for = NULL, next_attempt_at = NULL, error = i.reason
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS i (row_id, status, reason)
WHERE t.id = i.row_id AND t.status = 'scheduled'`
	n := len(closings)
	rowIDs, statuses, reasons := make([]int64, n), make([]string, n), make([]string, n)
	for i, c := range closings {
		rowIDs[i], statuses[i], reasons[i] = c.RowID, string(c.Status), validText(c.Reason)
	}
	tag, err := tx.Exec(ctx, kind.sql(query), rowIDs, statuses, reasons)
	if err != nil {
		return fmt.Errorf("close %s: %w", kind.table(), err)
	}
	if tag.RowsAffected() != int64(n) {
		return fmt.Errorf("close %s: %w", kind.table(), ErrLostRace)
	}
	return nil
}
