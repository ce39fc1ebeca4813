package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Settlement is what became of a request, and what follows for its row.
type Settlement struct {
	RequestID int64
	RowID     int64
	AccountID int64
	SendBy    time.Time // of the request: what its places in the quotas stand for
	Action    string    // of the row; empty: the kind's

	// Status is what the row becomes: done (posted, deleted or retweeted), failed, unconfirmed, or scheduled.
	Status Status
	// TweetID is X's id of a posted tweet.
	TweetID string
	// WaitFor and Wait say what a scheduled row waits for, and for how long from now.
	WaitFor WaitingFor
	Wait    time.Duration
	// LookUpAt is when an unconfirmed row is looked up first; zero leaves it to a person.
	LookUpAt time.Time
	// Retries is the row's new count of retries in a row.
	Retries int
	// Error says in words why the row is not done.
	Error string
	// Warning is added to the row's warnings; may be empty.
	Warning string
	// More is how many requests it was beside the first: the pages of a look-up.
	More int
	// Doubt says that an earlier request for the row may have taken effect.
	Doubt bool
	// GiveBack returns the request's places in the quotas: it certainly did not reach X.
	GiveBack bool
	// Block is for how long X accepts nothing of the row's action, if it did not say which window is exhausted.
	Block time.Duration
	// Reports are what X's headers told of its windows.
	Reports []Report
	// Age is how long ago X answered: Block and what Reports tell are counted from there.
	Age time.Duration

	// What is recorded of the answer.
	Outcome        string
	StatusCode     int    // HTTP; 0: no answer
	XTransactionID string // X's request id
	Answer         []byte // X's raw body, bounded
	Limits         any    // what X's headers reported, as JSON; nil: nothing
}

// Settled is a row after its settlement.
type Settled struct {
	RequestID int64
	RowID     int64
	Account   string
	// Applied is false if the request was not the row's latest, or the row had an answer already:
	// the answer is recorded on the request, the row is unchanged.
	Applied bool
	// PostedTwice says that the request created a tweet that its row has not: the row has another one, or is over
	// without one, or is being sent again. The row's warnings say so.
	PostedTwice bool
	Status      Status
	WaitingFor  *WaitingFor
	TweetID     *string
	DueAt       time.Time
	DoneAt      *time.Time
	NextAt      *time.Time
	Error       *string
	// Wakes says that it ended what other rows wait for, and they are to be woken: see [Wake].
	Wakes bool
	// Frees says that what waits for a limit may have a place sooner: see [QuotaWaitsDue].
	Frees bool
	// AppID is its account's app, and AppDoubted says that the app's latest requests left doubts: see [AppDoubt].
	AppID      int64
	AppDoubted bool
}

// settledColumns are what scanSettled reads of an updated row t.
const settledColumns = `t.request_id, t.id, t.account, t.status, t.waiting_for, t.tweet_id, t.{due_at}, t.{done_at},
    t.next_attempt_at, t.error, {wakes}, ` + settledApp

const settledApp = `(SELECT a.app_id FROM tweetqueue.accounts a WHERE a.username = t.account),
    (SELECT p.doubted <> '{}' FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
        WHERE a.username = t.account)`

// Settle records the answers on their requests and brings their rows to what follows, in the order
// of the package's locks. The answer to a row's latest request is accepted whoever owns the row by then;
// one to an older request is recorded only, and if it made a tweet that the row has not, the row warns of it.
// [ErrRowLocked] if another transaction has locked one of the
// rows: it is to be tried again, and alone, so that nobody's lock holds up the others.
func Settle(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement) ([]Settled, error) {
	rowIDs := make([]int64, len(settlements))
	for i, s := range settlements {
		rowIDs[i] = s.RowID
	}
	if err := rowsLockAll(ctx, tx, kind, rowIDs); err != nil {
		return nil, err
	}
	until, frees, err := quotasCorrect(ctx, tx, kind, settlements)
	if err != nil {
		return nil, err
	}
	if kind == PostTweet {
		if err := yieldToMade(ctx, tx, settlements); err != nil {
			return nil, err
		}
	}
	if err := resumeSending(ctx, tx, kind, settlements); err != nil {
		return nil, err
	}
	if err := answerRequests(ctx, tx, settlements); err != nil {
		return nil, err
	}
	settled, err := settleRows(ctx, tx, kind, settlements)
	if err != nil {
		return nil, err
	}
	if err := settledBill(ctx, tx, kind, settlements, settled); err != nil {
		return nil, err
	}
	for i := range settled {
		settled[i].Frees = frees
		if at, waits := until[settled[i].RequestID]; waits && settled[i].NextAt != nil && at.Before(*settled[i].NextAt) {
			settled[i].NextAt = &at // if not its deadline comes first
		}
	}
	return withUnapplied(ctx, tx, kind, settlements, settled)
}

// rowsLockAll locks the rows, or returns [ErrRowLocked] at once. Waiting for a lock would take up a
// connection, for as long as an application pleases.
func rowsLockAll(ctx context.Context, tx pgx.Tx, kind Kind, rowIDs []int64) error {
	const query = `-- name: RowsLockAll :one
WITH locked AS (
    SELECT id FROM {table} WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
SELECT (SELECT count(*) FROM locked) = (SELECT count(*) FROM {table} WHERE id = ANY ($1))`
	var all bool
	if err := tx.QueryRow(ctx, kind.sql(query), rowIDs).Scan(&all); err != nil {
		return fmt.Errorf("lock %s: %w", kind.table(), err)
	}
	if !all {
		return fmt.Errorf("lock %s: %w", kind.table(), ErrRowLocked)
	}
	return nil
}

func answerRequests(ctx context.Context, tx pgx.Tx, settlements []Settlement) error {
	const query = `-- name: RequestAnswer :one
WITH asked AS MATERIALIZED (
    SELECT id, cost_usd, CASE WHEN price_usd IS NULL THEN cost_usd WHEN $8 THEN price_usd WHEN NOT $8 THEN 0 ELSE cost_usd END AS cost
    FROM tweetqueue.requests WHERE id = $1 FOR NO KEY UPDATE
)
UPDATE tweetqueue.requests r SET answered_at = tweetqueue.clock(), outcome = $2, status_code = nullif($3, 0),
    x_transaction_id = nullif($4, ''), answer = $5, limits = $6, error = nullif($7, ''), cost_usd = a.cost, places = $9
FROM asked a WHERE r.id = a.id
RETURNING coalesce(a.cost - a.cost_usd, 0)`
	var changed []costChange
	batch := &pgx.Batch{}
	for _, s := range settlements {
		var answer *string
		if len(s.Answer) > 0 {
			text := validText(string(s.Answer))
			answer = &text
		}
		var limits []byte
		if s.Limits != nil {
			var err error
			if limits, err = json.Marshal(s.Limits); err != nil {
				return fmt.Errorf("encode limits: %w", err)
			}
		}
		batch.Queue(query, s.RequestID, s.Outcome, s.StatusCode, validText(s.XTransactionID), answer, limits, validText(s.Error), s.billed(), s.places()).QueryRow(func(row pgx.Row) error {
			change := costChange{requestID: s.RequestID}
			err := row.Scan(&change.usd)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // there is no such request
			}
			if change.usd != 0 {
				changed = append(changed, change)
			}
			return err
		})
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("record answers: %w", err)
	}
	return costsChange(ctx, tx, changed)
}

// places is how many the request takes of each window that counts it, as [Settlement.place] leaves them.
func (s Settlement) places() int {
	if s.GiveBack {
		return 0
	}
	return 1 + s.More
}

// resumeSending takes rows out of the queue again that are about to be sent once more, because nobody knew
// what became of their latest request: now X's answer to it is here, and they are settled as if they had
// never been in doubt. So it does if X made the tweet of an older request: while the row has no other, it is
// the row's.
func resumeSending(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement) error {
	const query = `-- name: RowsResumeSending :exec
UPDATE {table} t SET waiting_for = NULL, next_attempt_at = NULL, request_id = i.request_id, {resumed}
    status = CASE t.status WHEN 'scheduled' THEN 'sending' ELSE t.status END
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS i (row_id, request_id, made)
JOIN tweetqueue.requests r ON r.id = i.request_id AND (r.outcome IS NULL OR r.outcome = 'unconfirmed')
WHERE t.id = i.row_id AND ((t.request_id = i.request_id AND t.status = 'scheduled')
    OR (i.made AND t.request_id <> i.request_id AND t.status IN ('scheduled', 'unconfirmed')))`
	var rowIDs, requestIDs []int64
	var made []bool
	for _, s := range settlements {
		if s.Status != Unconfirmed {
			rowIDs, requestIDs = append(rowIDs, s.RowID), append(requestIDs, s.RequestID)
			made = append(made, s.TweetID != "")
		}
	}
	if len(rowIDs) == 0 {
		return nil
	}
	// Beside what X made there may be more, or other words.
	const resumedTweet = `warnings = t.warnings
    || CASE WHEN i.made AND t.status = 'unconfirmed' AND t.request_id <> i.request_id THEN ARRAY['` + madeTwice + `'] ELSE '{}' END
    || CASE WHEN i.made AND coalesce(r.body::jsonb ->> 'text', '') <> t.text THEN ARRAY['` + madeOfOldWords + `'] ELSE '{}' END,`
	resumed := ""
	if kind == PostTweet {
		resumed = resumedTweet
	}
	if _, err := tx.Exec(ctx, strings.ReplaceAll(kind.sql(query), "{resumed}", resumed), rowIDs, requestIDs, made); err != nil {
		return fmt.Errorf("resume %s: %w", kind.table(), err)
	}
	return nil
}

// settleRows applies the settlements to rows whose latest request they answer, and returns those.
func settleRows(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement) ([]Settled, error) {
	const query = `-- name: RowsSettle :many
UPDATE {table} t
SET status = i.status, waiting_for = nullif(i.waiting_for, ''), retries = i.retries,
    next_attempt_at = CASE i.status WHEN 'scheduled' THEN least({deadline},
            tweetqueue.clock() + CASE i.waiting_for WHEN 'quota' THEN ` + waitForever + ` ELSE i.wait END)
        WHEN 'unconfirmed' THEN i.look_up_at END,
    {done_at} = CASE WHEN i.status = '{done}' THEN tweetqueue.clock() END,
    {set_tweet_id} error = nullif(i.error, ''),
    warnings = CASE WHEN i.warning = '' THEN t.warnings ELSE array_append(t.warnings, i.warning) END
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::interval[],
    $7::text[], $8::text[], $9::timestamptz[], $10::text[])
    AS i (row_id, request_id, status, waiting_for, retries, wait, tweet_id, error, look_up_at, warning)
WHERE t.id = i.row_id` + latest + ` AND t.status IN ('sending', 'unconfirmed')
    AND NOT (t.status = 'unconfirmed' AND i.status = 'unconfirmed' AND i.look_up_at IS NOT NULL)
RETURNING ` + settledColumns
	n := len(settlements)
	rowIDs, requestIDs := make([]int64, n), make([]int64, n)
	statuses, fors, tweetIDs, errs := make([]string, n), make([]string, n), make([]*string, n), make([]string, n)
	retries, waits, lookUps, warnings := make([]int32, n), make([]time.Duration, n), make([]*time.Time, n), make([]string, n)
	for i, s := range settlements {
		rowIDs[i], requestIDs[i], statuses[i], fors[i] = s.RowID, s.RequestID, string(s.Status), string(s.WaitFor)
		if !s.LookUpAt.IsZero() {
			lookUps[i] = &s.LookUpAt
		}
		retries[i], waits[i], errs[i], warnings[i] = int32(s.Retries), s.Wait, validText(s.Error), s.Warning
		if s.TweetID != "" {
			tweetIDs[i] = &s.TweetID
		}
	}
	rows, err := tx.Query(ctx, kind.sql(query), rowIDs, requestIDs, statuses, fors, retries, waits, tweetIDs, errs, lookUps, warnings)
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", kind.table(), err)
	}
	settled, err := pgx.CollectRows(rows, scanSettled)
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", kind.table(), err)
	}
	return settled, nil
}

func scanSettled(row pgx.CollectableRow) (Settled, error) {
	r := Settled{Applied: true}
	err := row.Scan(&r.RequestID, &r.RowID, &r.Account, &r.Status, &r.WaitingFor, &r.TweetID,
		&r.DueAt, &r.DoneAt, &r.NextAt, &r.Error, &r.Wakes, &r.AppID, &r.AppDoubted)
	return r, err
}

// withUnapplied adds, as they are, the rows whose settlement was recorded only.
func withUnapplied(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement, settled []Settled) ([]Settled, error) {
	const query = `-- name: RowSettled :one
SELECT t.account, t.status, t.waiting_for, t.tweet_id, t.{due_at}, t.{done_at}, t.next_attempt_at, t.error, ` + settledApp + `
FROM {table} t WHERE t.id = $1`
	for _, s := range settlements {
		if slices.ContainsFunc(settled, func(r Settled) bool { return r.RequestID == s.RequestID }) {
			continue
		}
		r := Settled{RequestID: s.RequestID, RowID: s.RowID}
		err := tx.QueryRow(ctx, kind.sql(query), s.RowID).
			Scan(&r.Account, &r.Status, &r.WaitingFor, &r.TweetID, &r.DueAt, &r.DoneAt, &r.NextAt, &r.Error, &r.AppID, &r.AppDoubted)
		if err != nil {
			return nil, fmt.Errorf("read %s %d: %w", kind.table(), s.RowID, err)
		}
		r.PostedTwice = kind == PostTweet && s.TweetID != "" && (r.TweetID == nil || *r.TweetID != s.TweetID)
		if r.PostedTwice {
			if err := warnMade(ctx, tx, &r, s.TweetID); err != nil {
				return nil, err
			}
		}
		settled = append(settled, r)
	}
	return settled, nil
}

// Release gives rows back that were claimed and certainly not sent, such as after a COMMIT with an
// unknown outcome: those of the requests that are still their rows' latest become scheduled and wake
// at once. Requests that were never committed are passed over; a claim whose outcome is still open has
// its rows locked: [ErrRowLocked]. It returns how many were released.
func Release(ctx context.Context, tx pgx.Tx, kind Kind, requests []*Request, reason string) (int, error) {
	const query = `-- name: RequestExists :one
SELECT TRUE FROM tweetqueue.requests WHERE id = $1 AND row_id = $2 AND kind = $3 AND answered_at IS NULL`
	rowIDs := make([]int64, len(requests))
	for i, r := range requests {
		rowIDs[i] = r.RowID
	}
	if err := rowsLockAll(ctx, tx, kind, rowIDs); err != nil {
		return 0, err
	}
	var settlements []Settlement
	for _, r := range requests {
		var exists bool
		err := tx.QueryRow(ctx, query, r.ID, r.RowID, kind).Scan(&exists)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look for request %d: %w", r.ID, err)
		}
		settlements = append(settlements, Settlement{
			RequestID: r.ID, RowID: r.RowID, AccountID: r.AccountID, SendBy: r.SendBy, Action: r.Action, Retries: r.Retries,
			Status: Scheduled, WaitFor: ForRetry, GiveBack: true, Outcome: "not_sent", Error: reason,
		})
	}
	if len(settlements) == 0 {
		return 0, nil
	}
	settled, err := Settle(ctx, tx, kind, settlements)
	released := 0
	for _, row := range settled {
		if row.Applied {
			released++
		}
	}
	return released, err
}
