package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Doubt is a row of which it is not known whether a request for it took effect on X.
type Doubt struct {
	Kind   Kind
	RowID  int64
	Status Status // Sending (it will be known in a moment) or Unconfirmed
	// LookedUp says that it is being looked up; otherwise a person decides, or its request is under way.
	LookedUp bool
	// RequestID is the row's latest request, Error what became of it, in words.
	RequestID int64
	Error     string
	Retries   int
	// SeenFrom is when X answered the first complete look-up since the latest request, by X's clock; nil if there was
	// none, or X did not date it.
	SeenFrom *time.Time
	// Refused says that X refused the latest request, which may be for what an earlier one has done: a tweet as a
	// duplicate, a retweet in any words.
	Refused bool
	// IfUnconfirmed is what happens if X does not show the tweet: resend or hold.
	IfUnconfirmed string
	PostBefore    *time.Time
	// TweetID is the tweet to delete or to retweet.
	TweetID string
	// Open are the requests that may have taken effect, the oldest first. There is at least one.
	Open []OpenRequest
}

// OpenRequest is a request that may have taken effect.
type OpenRequest struct {
	ID        int64
	Body      []byte // the exact bytes of a POST; nil for a DELETE
	GrantedAt time.Time
	SendBy    time.Time
}

// DoubtsLock locks the rows of an account that are being looked up and returns their ids, in order. It
// leaves out what another transaction has locked.
func DoubtsLock(ctx context.Context, tx pgx.Tx, kind Kind, accountID int64) ([]int64, error) {
	const query = `-- name: DoubtsLock :many
SELECT t.id FROM {table} t
WHERE t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1)
    AND t.status = 'unconfirmed' AND t.next_attempt_at IS NOT NULL
ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED`
	rows, err := tx.Query(ctx, kind.sql(query), accountID)
	if err != nil {
		return nil, fmt.Errorf("lock doubts: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("lock doubts: %w", err)
	}
	return ids, nil
}

// Doubts returns the rows of an account whose requests may have taken effect, by id: those that are
// being sent, those that are looked up, and those that a person decides on. Or only one of them, if rowID is not 0.
// A request that X says has taken effect is open for as long as its row has not its tweet.
func Doubts(ctx context.Context, db DBTX, kind Kind, accountID, rowID int64) ([]*Doubt, error) {
	const query = `-- name: Doubts :many
SELECT t.id, t.status, t.next_attempt_at IS NOT NULL, t.request_id,
    coalesce(l.error, 'it may be on X: nobody has recorded the answer'), t.retries,
    coalesce(l.outcome = 'unconfirmed' AND {refused}, false), {doubt},
    (SELECT min(s.x_at) FROM tweetqueue.requests s
        WHERE s.looked_for @> ARRAY[t.id] AND s.id > t.request_id AND s.outcome = 'done'),
    r.id, r.body, r.granted_at, r.send_by
FROM {table} t
JOIN tweetqueue.requests l ON l.id = t.request_id
JOIN tweetqueue.requests r ON r.row_id = t.id AND r.kind = '{kind}'
    AND (r.outcome IS NULL OR r.outcome IN ('unconfirmed', 'repeat', 'done'))
WHERE t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1)
    AND t.status IN ('sending', 'unconfirmed') AND ($2 = 0 OR t.id = $2)
ORDER BY t.id, r.id`
	rows, err := db.Query(ctx, kind.sql(query), accountID, rowID)
	if err != nil {
		return nil, fmt.Errorf("read doubts: %w", err)
	}
	var doubts []*Doubt
	d := Doubt{Kind: kind}
	var request OpenRequest
	var body *string
	_, err = pgx.ForEachRow(rows, []any{
		&d.RowID, &d.Status, &d.LookedUp, &d.RequestID, &d.Error, &d.Retries, &d.Refused,
		&d.IfUnconfirmed, &d.PostBefore, &d.TweetID, &d.SeenFrom, &request.ID, &body, &request.GrantedAt, &request.SendBy,
	}, func() error {
		if len(doubts) == 0 || doubts[len(doubts)-1].RowID != d.RowID {
			doubt := d
			doubts = append(doubts, &doubt)
		}
		open := request
		if body != nil {
			open.Body = []byte(*body)
		}
		last := doubts[len(doubts)-1]
		last.Open = append(last.Open, open)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read doubts: %w", err)
	}
	return doubts, nil
}

// LookUp is a request that reads, as it is written before it is sent.
type LookUp struct {
	AccountID int64
	WorkerID  int64
	JobID     int64
	RowIDs    []int64 // what it looks for
	SendBy    time.Time
}

// LookUpAction is the name under which limits count look-ups.
const LookUpAction = "look_up"

// LookUpsPostpone puts off the look-up of rows.
func LookUpsPostpone(ctx context.Context, tx pgx.Tx, kind Kind, rowIDs []int64, rest time.Duration) error {
	const query = `-- name: LookUpsPostpone :exec
UPDATE {table} SET next_attempt_at = tweetqueue.clock() + $2 WHERE id = ANY ($1) AND status = 'unconfirmed'`
	if _, err := tx.Exec(ctx, kind.sql(query), rowIDs, rest); err != nil {
		return fmt.Errorf("postpone the next look-up: %w", err)
	}
	return nil
}

// LookUpStart writes the request of a look-up, returns its id, and puts off the next look-up of its rows
// by rest: whoever sees that instant knows that this one was never settled.
func LookUpStart(ctx context.Context, tx pgx.Tx, kind Kind, l LookUp, rest time.Duration) (int64, error) {
	const start = `-- name: LookUpStart :one
INSERT INTO tweetqueue.requests (kind, looked_for, account_id, worker_id, job_id, granted_at, send_by)
VALUES ('look_up', $1, $2, $3, $4, tweetqueue.clock(), $5) RETURNING id`
	var id int64
	err := tx.QueryRow(ctx, start, l.RowIDs, l.AccountID, l.WorkerID, l.JobID, l.SendBy).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("start look-up: %w", err)
	}
	return id, LookUpsPostpone(ctx, tx, kind, l.RowIDs, rest)
}

// LookUpAnswer is what became of a look-up.
type LookUpAnswer struct {
	RequestID      int64
	AccountID      int64
	RowIDs         []int64 // what was looked for
	SendBy         time.Time
	Requests       int           // how many requests it was, a page each
	Block          time.Duration // as of a [Settlement], and so are Reports and Age
	Reports        []Report
	Age            time.Duration
	Outcome        string
	Error          string
	StatusCode     int
	XTransactionID string
	Answer         []byte
	Limits         any
	XAt            time.Time // X's clock when it answered; zero: not known
	// TweetIDs are the tweets that X returned; nil: it is not known.
	TweetIDs []string
}

// LookUpSettle records the answer of a look-up, in the transaction that settles what it found. It locks
// the rows first; [ErrRowLocked] if another transaction has locked one of them.
func LookUpSettle(ctx context.Context, tx pgx.Tx, kind Kind, a LookUpAnswer) error {
	const dated = `-- name: LookUpDate :exec
UPDATE tweetqueue.requests SET x_at = $2 WHERE id = $1`
	if err := rowsLockAll(ctx, tx, kind, a.RowIDs); err != nil {
		return err
	}
	settlements := []Settlement{{
		RequestID: a.RequestID, AccountID: a.AccountID, SendBy: a.SendBy, Action: LookUpAction, More: a.Requests - 1,
		Block: a.Block, Reports: a.Reports, Age: a.Age, GiveBack: a.Requests == 0,
		Outcome: a.Outcome, StatusCode: a.StatusCode, XTransactionID: a.XTransactionID, Answer: a.Answer, Limits: a.Limits, Error: a.Error,
	}}
	if _, _, err := quotasCorrect(ctx, tx, kind, settlements); err != nil {
		return err
	}
	if err := answerRequests(ctx, tx, settlements); err != nil {
		return err
	}
	if !a.XAt.IsZero() {
		if _, err := tx.Exec(ctx, dated, a.RequestID, a.XAt); err != nil {
			return fmt.Errorf("record when look-up %d was answered: %w", a.RequestID, err)
		}
	}
	return lookUpBill(ctx, tx, kind, a)
}

// TweetIDsKnown returns which of X's ids stand on any row of tweets.
func TweetIDsKnown(ctx context.Context, db DBTX, accountID int64, ids []string) ([]string, error) {
	const query = `-- name: TweetIDsKnown :many
SELECT tweet_id FROM tweetqueue.tweets
WHERE account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND tweet_id = ANY ($2)`
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := db.Query(ctx, query, accountID, ids)
	if err != nil {
		return nil, fmt.Errorf("look for known tweets: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for known tweets: %w", err)
	}
	return known, nil
}

// Resolution ends a doubt, or says when it is looked up again.
type Resolution struct {
	RowID     int64
	RequestID int64 // the row's latest: the resolution of another doubt changes nothing
	// Status is what the row becomes: done (posted, deleted or retweeted), scheduled, failed or missed; or Unconfirmed:
	// then NextAt is the next look-up, and nil leaves it to a person.
	Status  Status
	NextAt  *time.Time // also of a scheduled row: not before; nil: at once
	WaitFor WaitingFor // of a scheduled row
	Retries int
	TweetID string     // of a posted tweet
	DoneAt  *time.Time // nil: now
	Error   string
	Warning string // added to the row's warnings; may be empty
}

// Resolve brings unconfirmed rows to what was found out. Rows that are not unconfirmed any more, or
// have another request by now, stay as they are, and are not returned.
func Resolve(ctx context.Context, tx pgx.Tx, kind Kind, resolutions []Resolution) ([]Settled, error) {
	const query = `-- name: RowsResolve :many
UPDATE {table} t
SET status = i.status, waiting_for = nullif(i.waiting_for, ''), retries = i.retries,
    next_attempt_at = CASE WHEN i.status IN ('scheduled', 'unconfirmed') THEN i.next_at END,
    {done_at} = CASE WHEN i.status = '{done}' THEN coalesce(i.done_at, tweetqueue.clock()) END,
    {set_tweet_id} error = nullif(i.error, ''),
    warnings = CASE WHEN i.warning = '' THEN t.warnings ELSE array_append(t.warnings, i.warning) END
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[],
    $7::timestamptz[], $8::text[], $9::text[], $10::text[])
    AS i (row_id, request_id, status, waiting_for, retries, next_at, done_at, tweet_id, error, warning)
WHERE t.id = i.row_id AND t.request_id = i.request_id AND t.status = 'unconfirmed'
RETURNING ` + settledColumns
	n := len(resolutions)
	rowIDs, requestIDs, retries := make([]int64, n), make([]int64, n), make([]int32, n)
	statuses, fors, errs, warnings := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	nexts, dones, tweetIDs := make([]*time.Time, n), make([]*time.Time, n), make([]*string, n)
	for i, r := range resolutions {
		rowIDs[i], requestIDs[i], retries[i] = r.RowID, r.RequestID, int32(r.Retries)
		statuses[i], fors[i], errs[i] = string(r.Status), string(r.WaitFor), validText(r.Error)
		nexts[i], dones[i], warnings[i] = r.NextAt, r.DoneAt, r.Warning
		if r.TweetID != "" {
			tweetIDs[i] = &r.TweetID
		}
	}
	rows, err := tx.Query(ctx, kind.sql(query), rowIDs, requestIDs, statuses, fors, retries, nexts, dones, tweetIDs, errs, warnings)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", kind.table(), err)
	}
	resolved, err := pgx.CollectRows(rows, scanSettled)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", kind.table(), err)
	}
	return resolved, resolvedBill(ctx, tx, kind, resolved)
}

// ResolveByHand is a person's word on an unconfirmed row, of whatever kind: whether it took effect,
// and, of a tweet, as which one and since when. What did not take effect is scheduled again, or missed if
// its deadline has passed. It returns the row as it is then. [ErrNotFound] if there is none; [ErrLostRace],
// with the row, if it is not unconfirmed; [ErrRefused] if another row has that tweet. What was said, by whom
// and when, stays among the row's warnings.
func ResolveByHand(ctx context.Context, tx pgx.Tx, id int64, done bool, tweetID *string, doneAt *time.Time) (Entry, error) {
	// That a person took long is no lateness of the row.
	const query = `-- name: RowResolveByHand :exec
UPDATE {table} t
SET status = i.status, {set_tweet_id} retries = 0,
    {done_at} = CASE WHEN i.status = '{done}' THEN coalesce($4, tweetqueue.clock()) END,
    waiting_for = CASE WHEN i.status = 'scheduled' THEN 'time' END,
    next_attempt_at = NULL, late_from = tweetqueue.clock(),
    error = CASE WHEN i.status = 'missed' THEN 'its deadline passed before it was known not to be on X' END,
    warnings = array_append(t.warnings, format('a person (database user %s) said on %s UTC that %s; before: %s', session_user,
        to_char(tweetqueue.clock() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), $5::text, t.error))
FROM (SELECT t.id AS row_id, $3::text AS tweet_id, CASE WHEN $2 THEN '{done}'
        WHEN {deadline} <= tweetqueue.clock() THEN 'missed' ELSE 'scheduled' END AS status
    FROM {table} t WHERE t.id = $1) AS i
WHERE t.id = i.row_id AND t.status = 'unconfirmed'`
	if err := refuseOthers(ctx, tx, id, tweetID); err != nil {
		return Entry{}, err
	}
	for _, kind := range Kinds() {
		tag, err := tx.Exec(ctx, kind.sql(query), id, done, tweetID, doneAt, said(kind, done, tweetID))
		if err != nil {
			return Entry{}, fmt.Errorf("resolve row %d: %w", id, refusal(err))
		}
		if tag.RowsAffected() == 1 {
			if err := doubtsBill(ctx, tx, kind, []int64{id}, []bool{done}); err != nil {
				return Entry{}, err
			}
			return EntryGet(ctx, tx, id)
		}
	}
	entry, err := EntryGet(ctx, tx, id)
	if err != nil {
		return Entry{}, err
	}
	return entry, fmt.Errorf("resolve row %d: %w: it is %s, and only an unconfirmed one can be resolved", id, ErrLostRace, entry.Status)
}

// refuseOthers returns [ErrRefused] if a tweet is a row's of another account. (An index refuses one of the same.)
func refuseOthers(ctx context.Context, db DBTX, id int64, tweetID *string) error {
	const query = `-- name: TweetOfAnotherRow :one
SELECT id, account FROM tweetqueue.tweets
WHERE account = ANY (ARRAY(SELECT username FROM tweetqueue.accounts)) AND tweet_id = $1
    AND account <> (SELECT account FROM tweetqueue.tweets WHERE id = $2) LIMIT 1`
	if tweetID == nil {
		return nil
	}
	var other int64
	var account string
	err := db.QueryRow(ctx, query, *tweetID, id).Scan(&other, &account)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for tweet %s: %w", *tweetID, err)
	}
	return fmt.Errorf("%w: tweet %s on X is that of row %d, of account %s: see 'enqueue show %d'", ErrRefused, *tweetID, other, account, other)
}

// said is a person's word on a row, for whoever reads it later.
func said(kind Kind, done bool, tweetID *string) string {
	switch {
	case done && tweetID != nil:
		return "it is on X as tweet " + *tweetID
	case done && kind == Retweet:
		return "it is retweeted"
	case done:
		return "it is gone"
	case kind == Retweet:
		return "it is not retweeted"
	case kind == DeleteTweet:
		return "it is not gone"
	}
	return "it is not on X"
}
