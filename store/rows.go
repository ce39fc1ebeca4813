package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// TweetInsert writes a row of tweets, and by the same statement its job. at nil means now. It
// returns the row's id and the instant it is due. [ErrRefused] says which rule refused it.
func TweetInsert(ctx context.Context, db DBTX, account string, tweet Tweet, at *time.Time, priority int) (int64, time.Time, error) {
	const query = `-- name: TweetInsert :one
INSERT INTO tweetqueue.tweets (account, post_at, priority, text, in_reply_to_tweet_id,
    exclude_reply_user_ids, quote_tweet_id, media_ids, tagged_user_ids, poll_options,
    poll_duration_minutes, place_id, reply_settings, community_id, made_with_ai,
    paid_partnership, extra, previous_id, post_before, delete_after, if_unconfirmed,
    idempotency_key, metadata)
VALUES ($1, coalesce($2, tweetqueue.clock()), coalesce(nullif($3::smallint, 0), 2), $4, $5, $6, $7,
    $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    coalesce(nullif($21, ''), 'resend'), $22, $23)
RETURNING id, post_at`
	var id int64
	var due time.Time
	err := db.QueryRow(ctx, query, account, at, priority, tweet.Text, tweet.InReplyToTweetID,
		tweet.ExcludeReplyUserIDs, tweet.QuoteTweetID, tweet.MediaIDs, tweet.TaggedUserIDs, tweet.PollOptions,
		tweet.PollDurationMinutes, tweet.PlaceID, tweet.ReplySettings, tweet.CommunityID, tweet.MadeWithAI,
		tweet.PaidPartnership, tweet.Extra, tweet.PreviousID, tweet.PostBefore, tweet.DeleteAfter, tweet.IfUnconfirmed,
		tweet.IdempotencyKey, tweet.Metadata).Scan(&id, &due)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue tweet: %w", refusal(err))
	}
	return id, due, nil
}

// DeletionInsert writes a row of deletions, and by the same statement its job. at nil means now. It
// returns the row's id and the instant it is due. [ErrRefused] says which rule refused it.
func DeletionInsert(ctx context.Context, db DBTX, account, tweetID string, at *time.Time, priority int) (int64, time.Time, error) {
	return deletionInsert(ctx, db, account, tweetID, false, at, priority)
}

// UndoInsert writes a row of deletions that undoes the account's retweet of a tweet; else as [DeletionInsert].
func UndoInsert(ctx context.Context, db DBTX, account, tweetID string, at *time.Time, priority int) (int64, time.Time, error) {
	return deletionInsert(ctx, db, account, tweetID, true, at, priority)
}

func deletionInsert(ctx context.Context, db DBTX, account, tweetID string, retweet bool, at *time.Time, priority int) (int64, time.Time, error) {
	const query = `-- name: DeletionInsert :one
INSERT INTO tweetqueue.deletions (account, tweet_id, retweet, delete_at, priority)
VALUES ($1, $2, $3, coalesce($4, tweetqueue.clock()), coalesce(nullif($5::smallint, 0), 2))
RETURNING id, delete_at`
	var id int64
	var due time.Time
	if err := db.QueryRow(ctx, query, account, tweetID, retweet, at, priority).Scan(&id, &due); err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue deletion: %w", refusal(err))
	}
	return id, due, nil
}

// RetweetInsert writes a row of retweets, and by the same statement its job. undoAfter is how long the
// retweet stays on X; invalid: for ever. at nil means now. It returns the row's id and the instant it is due.
// [ErrRefused] says which rule refused it.
func RetweetInsert(ctx context.Context, db DBTX, account, tweetID string, undoAfter pgtype.Interval, at *time.Time, priority int) (int64, time.Time, error) {
	const query = `-- name: RetweetInsert :one
INSERT INTO tweetqueue.retweets (account, tweet_id, undo_after, retweet_at, priority)
VALUES ($1, $2, $3, coalesce($4, tweetqueue.clock()), coalesce(nullif($5::smallint, 0), 2))
RETURNING id, retweet_at`
	var id int64
	var due time.Time
	if err := db.QueryRow(ctx, query, account, tweetID, undoAfter, at, priority).Scan(&id, &due); err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue retweet: %w", refusal(err))
	}
	return id, due, nil
}

// Entry is a row of any kind as people see it.
type Entry struct {
	Kind          Kind        `json:"kind"`
	ID            int64       `json:"id"`
	Account       string      `json:"account"`
	Text          *string     `json:"text,omitempty"`
	TweetID       *string     `json:"tweet_id,omitempty"`
	PreviousID    *int64      `json:"previous_id,omitempty"`
	Retweet       bool        `json:"retweet,omitempty"` // of a deletion: it undoes the retweet of tweet_id
	DueAt         time.Time   `json:"due_at"`            // post_at, delete_at or retweet_at
	Priority      int         `json:"priority"`
	Status        Status      `json:"status"`
	WaitingFor    *WaitingFor `json:"waiting_for,omitempty"`
	NextAttemptAt *time.Time  `json:"next_attempt_at,omitempty"` // nil: at due_at, or not known
	DoneAt        *time.Time  `json:"done_at,omitempty"`         // posted_at, deleted_at or retweeted_at
	Error         *string     `json:"error,omitempty"`
	Warnings      []string    `json:"warnings,omitempty"`
	CreatedAt     time.Time   `json:"created_at"`
	TimeZone      string      `json:"time_zone"` // of the account, IANA name
	// Deletion is what deleted a posted tweet, or undid a retweet, and PendingDeletion what is going to, while nothing has;
	// only [DeletionsRead] sets them.
	Deletion        *EntryDeletion        `json:"deletion,omitempty"`
	PendingDeletion *EntryPendingDeletion `json:"pending_deletion,omitempty"`

	UndoAfter pgtype.Interval `json:"-"` // of a retweet: how long it stays on X; invalid: for ever
}

// Action is the name under which limits and prices count the row's request, as of [Row.Action].
func (e Entry) Action() string {
	if e.Retweet {
		return undoRetweet
	}
	return e.Kind.Action()
}

// EntryDeletion is the row that deleted a tweet, or undid a retweet.
type EntryDeletion struct {
	ID        int64     `json:"id"`
	DeletedAt time.Time `json:"deleted_at"`
}

// EntryPendingDeletion is the row that is going to.
type EntryPendingDeletion struct {
	ID     int64     `json:"id"`
	DueAt  time.Time `json:"due_at"`
	Status Status    `json:"status"` // scheduled, sending or unconfirmed
}

// nextAttempt is when a row's next attempt is due, as far as it is known: what is on the row of one that waits
// for an account, an app or a thread is only when it is looked at if nothing wakes it, and no month ends the wait of one that costs more
// than the whole of a budget.
const nextAttempt = `CASE
    WHEN t.waiting_for = 'quota' THEN (SELECT w.until FROM tweetqueue.quota_waits w WHERE w.account_id = a.id AND w.action = {action})
    WHEN t.waiting_for = 'budget' AND (SELECT c.usd FROM tweetqueue.prices c WHERE c.action = {action} AND c.with_url = {has_url})
        > least(a.budget_usd, p.budget_usd) THEN NULL
    ELSE tweetqueue.next_attempt(t.waiting_for, t.next_attempt_at, a.state_until, p.state_until) END`

// entries selects all rows as [Entry].
func entries() string {
	return everyKind(`SELECT '{kind}' AS kind, t.id, t.account, {asked}, t.{due_at} AS due_at, t.priority, t.status,
    t.waiting_for, ` + nextAttempt + `, t.{done_at} AS done_at, t.error, t.warnings, t.created_at, a.time_zone
FROM {table} t JOIN tweetqueue.accounts a ON a.username = t.account
JOIN tweetqueue.apps p ON p.id = a.app_id`)
}

func scanEntry(row pgx.CollectableRow) (Entry, error) {
	var e Entry
	err := row.Scan(&e.Kind, &e.ID, &e.Account, &e.Text, &e.TweetID, &e.PreviousID, &e.Retweet, &e.UndoAfter, &e.DueAt, &e.Priority,
		&e.Status, &e.WaitingFor, &e.NextAttemptAt, &e.DoneAt, &e.Error, &e.Warnings, &e.CreatedAt, &e.TimeZone)
	return e, err
}

// EntryFilter restricts EntryList. The zero value is everything that is not over.
type EntryFilter struct {
	Account  string   // empty: all
	Statuses []Status // empty: scheduled, sending, unconfirmed
	Limit    int      // rows; 0: 1000
}

// LatestFirst reports whether it asks for what is over, and for nothing else.
func (f EntryFilter) LatestFirst() bool {
	return len(f.Statuses) > 0 && !slices.ContainsFunc(f.Statuses, func(s Status) bool { return !s.Final() })
}

// EntryList returns rows by the instant they are due, then by id; of statuses that are all final, the latest first.
func EntryList(ctx context.Context, db DBTX, filter EntryFilter) ([]Entry, error) {
	query := `-- name: EntryList :many
SELECT * FROM (` + entries() + `) e
WHERE ($1 = '' OR e.account = $1) AND e.status = ANY ($2)
ORDER BY CASE WHEN $4 THEN e.due_at END DESC, CASE WHEN $4 THEN e.id END DESC, e.due_at, e.id LIMIT $3`
	if len(filter.Statuses) == 0 {
		filter.Statuses = []Status{Scheduled, Sending, Unconfirmed}
	}
	if filter.Limit == 0 {
		filter.Limit = 1000
	}
	rows, err := db.Query(ctx, query, filter.Account, filter.Statuses, filter.Limit, filter.LatestFirst())
	if err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanEntry)
	if err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	return list, nil
}

// EntryGet returns the row of that id, of whatever kind. [ErrNotFound] if there is none.
func EntryGet(ctx context.Context, db DBTX, id int64) (Entry, error) {
	query := `-- name: EntryGet :one
SELECT * FROM (` + entries() + `) e WHERE e.id = $1`
	rows, err := db.Query(ctx, query, id)
	if err != nil {
		return Entry{}, fmt.Errorf("read row %d: %w", id, err)
	}
	entry, err := pgx.CollectExactlyOneRow(rows, scanEntry)
	if errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, fmt.Errorf("row %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read row %d: %w", id, err)
	}
	return entry, nil
}

// DeletionsRead sets which of the entries' tweets have been deleted, and which retweets undone, or are going to be, and by which
// row: the first, if there are several. What undid an earlier retweet of the same tweet did not undo a later one.
func DeletionsRead(ctx context.Context, db DBTX, list []Entry) error {
	const query = `-- name: DeletionsRead :many
SELECT DISTINCT ON (t.id, d.status = 'deleted') t.id, d.id, d.status, d.delete_at, d.deleted_at
FROM (SELECT id, account, tweet_id, false AS retweet, NULL::timestamptz AS since FROM tweetqueue.tweets WHERE id = ANY ($1)
    UNION ALL SELECT id, account, tweet_id, true, retweeted_at FROM tweetqueue.retweets WHERE id = ANY ($1)) t
JOIN tweetqueue.deletions d ON d.account = t.account AND d.tweet_id = t.tweet_id AND d.retweet = t.retweet
WHERE d.status IN ('scheduled', 'sending', 'unconfirmed') OR d.status = 'deleted' AND d.deleted_at >= coalesce(t.since, '-infinity')
ORDER BY t.id, d.status = 'deleted', coalesce(d.deleted_at, d.delete_at), d.id`
	at := map[int64]int{}
	for i, e := range list {
		if e.Status == Posted || e.Status == Retweeted {
			at[e.ID] = i
		}
	}
	if len(at) == 0 {
		return nil
	}
	rows, err := db.Query(ctx, query, slices.Collect(maps.Keys(at)))
	if err != nil {
		return fmt.Errorf("read what was deleted: %w", err)
	}
	var id int64
	var d EntryPendingDeletion
	var deletedAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &d.ID, &d.Status, &d.DueAt, &deletedAt}, func() error {
		entry := &list[at[id]]
		if deletedAt == nil {
			entry.PendingDeletion = new(d)
		} else {
			entry.Deletion, entry.PendingDeletion = &EntryDeletion{ID: d.ID, DeletedAt: *deletedAt}, nil
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what was deleted: %w", err)
	}
	return nil
}

// DeletionOf returns the id of the row whose tweet a deletion deletes, or whose retweet it undoes: of several retweets of that tweet,
// the one that it was written for, else the latest before it. [ErrNotFound] if there is none.
func DeletionOf(ctx context.Context, db DBTX, id int64) (int64, error) {
	const query = `-- name: DeletionOf :one
SELECT t.id FROM tweetqueue.deletions d
JOIN (SELECT id, account, tweet_id, false AS retweet, NULL::timestamptz AS since, NULL::interval AS undo_after FROM tweetqueue.tweets
    UNION ALL SELECT id, account, tweet_id, true, retweeted_at, undo_after FROM tweetqueue.retweets WHERE status = 'retweeted') t
    ON t.account = d.account AND t.tweet_id = d.tweet_id AND t.retweet = d.retweet
WHERE d.id = $1 AND coalesce(t.since <= d.deleted_at, true)
ORDER BY t.since + t.undo_after IS NOT DISTINCT FROM d.delete_at DESC, t.since DESC, t.id DESC LIMIT 1`
	var of int64
	err := db.QueryRow(ctx, query, id).Scan(&of)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("what deletion %d is of: %w", id, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("read what deletion %d is of: %w", id, err)
	}
	return of, nil
}

// TweetByKey returns the id of the account's tweet with that idempotency key. [ErrNotFound] if there is
// none.
func TweetByKey(ctx context.Context, db DBTX, account, key string) (int64, error) {
	const query = `-- name: TweetByKey :one
SELECT id FROM tweetqueue.tweets WHERE account = $1 AND idempotency_key = $2`
	var id int64
	err := db.QueryRow(ctx, query, account, key).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("tweet with that idempotency key: %w", ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("read tweet by its idempotency key: %w", err)
	}
	return id, nil
}

// TweetByTweetID returns the id of the account's row that has that tweet of X. [ErrNotFound] if there is none.
func TweetByTweetID(ctx context.Context, db DBTX, account, tweetID string) (int64, error) {
	const query = `-- name: TweetByTweetID :one
SELECT id FROM tweetqueue.tweets WHERE account = $1 AND tweet_id = $2`
	var id int64
	err := db.QueryRow(ctx, query, account, tweetID).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("row of tweet %s: %w", tweetID, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("read the row of tweet %s: %w", tweetID, err)
	}
	return id, nil
}

// TweetNext returns the ids of the scheduled tweets that continue a thread after a row, the oldest first.
func TweetNext(ctx context.Context, db DBTX, id int64) ([]int64, error) {
	const query = `-- name: TweetNext :many
SELECT id FROM tweetqueue.tweets WHERE previous_id = $1 AND status = 'scheduled' ORDER BY id`
	rows, err := db.Query(ctx, query, id)
	if err != nil {
		return nil, fmt.Errorf("list what continues row %d: %w", id, err)
	}
	next, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("list what continues row %d: %w", id, err)
	}
	return next, nil
}

// SentRequest is a request to X as it is recorded.
type SentRequest struct {
	ID             int64           `json:"id"`
	Kind           string          `json:"kind"` // post_tweet, delete_tweet, retweet or look_up
	Worker         string          `json:"worker"`
	GrantedAt      time.Time       `json:"granted_at"`
	SendBy         time.Time       `json:"send_by"` // past it, it was not begun
	AnsweredAt     *time.Time      `json:"answered_at,omitempty"`
	Outcome        *string         `json:"outcome,omitempty"`
	StatusCode     *int            `json:"status_code,omitempty"`
	XTransactionID *string         `json:"x_transaction_id,omitempty"`
	Body           *string         `json:"body,omitempty"`   // the exact bytes sent
	Answer         *string         `json:"answer,omitempty"` // X's raw answer
	Limits         json.RawMessage `json:"limits,omitempty"`
	Error          *string         `json:"error,omitempty"`
	CostUSD        *USD            `json:"cost_usd,omitempty"` // as far as is known; nil: not known
}

// RequestList returns the requests that were made for a row, the oldest first; also the look-ups that
// looked for other rows beside it.
func RequestList(ctx context.Context, db DBTX, rowID int64) ([]SentRequest, error) {
	const query = `-- name: RequestList :many
SELECT r.id, r.kind, w.name, r.granted_at, r.send_by, r.answered_at, r.outcome, r.status_code, r.x_transaction_id,
    r.body, r.answer, r.limits, r.error, r.cost_usd
FROM tweetqueue.requests r JOIN tweetqueue.workers w ON w.id = r.worker_id
WHERE r.row_id = $1 OR r.looked_for @> ARRAY[$1::bigint] ORDER BY r.id`
	rows, err := db.Query(ctx, query, rowID)
	if err != nil {
		return nil, fmt.Errorf("list requests of row %d: %w", rowID, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (SentRequest, error) {
		var r SentRequest
		err := row.Scan(&r.ID, &r.Kind, &r.Worker, &r.GrantedAt, &r.SendBy, &r.AnsweredAt, &r.Outcome, &r.StatusCode, &r.XTransactionID,
			&r.Body, &r.Answer, &r.Limits, &r.Error, &r.CostUSD)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("list requests of row %d: %w", rowID, err)
	}
	return list, nil
}

// Cancel cancels a scheduled row, of whatever kind. [ErrNotFound] if there is none;
// [ErrLostRace], with its status, if it is not scheduled any more.
func Cancel(ctx context.Context, db DBTX, id int64) (Entry, error) {
	const query = `-- name: RowCancel :exec
UPDATE {table} SET status = 'cancelled' WHERE id = $1 AND status = 'scheduled'`
	for _, kind := range Kinds() {
		tag, err := db.Exec(ctx, kind.sql(query), id)
		if err != nil {
			return Entry{}, fmt.Errorf("cancel row %d: %w", id, refusal(err))
		}
		if tag.RowsAffected() == 1 {
			return EntryGet(ctx, db, id)
		}
	}
	entry, err := EntryGet(ctx, db, id)
	if err != nil {
		return Entry{}, err
	}
	return entry, fmt.Errorf("cancel row %d: %w: it is %s, and only a scheduled one can be cancelled", id, ErrLostRace, entry.Status)
}
