package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// madeTweetID is the id that X's answer to request r gives, in SQL; null if it gives none. X's body may be cut, so it
// is not read as JSON. Within a JSON string the quotes would be escaped.
const madeTweetID = `substring(r.answer FROM '"id"\s*:\s*"([0-9]{1,19})"')`

// madeURL is the address of a tweet, whoever's it is.
func madeURL(tweetID string) string { return "https://x.com/i/web/status/" + tweetID }

// warnMade keeps on a row that X made a tweet of it which the row has not, once, however often the answer is settled.
// Of a row that is over without a tweet it also corrects the error.
func warnMade(ctx context.Context, tx pgx.Tx, row *Settled, tweetID string) error {
	const query = `-- name: TweetWarnMade :one
UPDATE tweetqueue.tweets t
SET warnings = array_append(t.warnings, $2 || $3),
    error = CASE WHEN t.status IN ('failed', 'missed', 'cancelled') THEN $4 ELSE t.error END
WHERE t.id = $1 AND NOT EXISTS (SELECT FROM unnest(t.warnings) AS w WHERE starts_with(w, $2))
RETURNING t.error`
	made := "X made " + madeURL(tweetID) + " of this row"
	err := tx.QueryRow(ctx, query, row.RowID, made+", ", row.madeWarning(tweetID), made+" after all").Scan(&row.Error)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("warn of tweet %s of row %d: %w", tweetID, row.RowID, err)
	}
	return nil
}

// madeWarning says how a tweet stands to the row that it was made of, and what a person can do.
func (r Settled) madeWarning(tweetID string) string {
	remove := fmt.Sprintf("'enqueue delete --account %s %s' deletes it", r.Account, tweetID)
	switch {
	case r.TweetID != nil:
		return fmt.Sprintf("beside %s, which the row stands for: that is one too many, unless somebody has deleted one; %s", madeURL(*r.TweetID), remove)
	case r.Status == Scheduled:
		return "and the answer came when it was scheduled again: it is not sent once more, but becomes posted when it is due; " + remove
	case !r.Status.Final():
		return "and the answer came when it was being sent again: if X makes another one of it, there are two; " + remove
	case r.Error != nil:
		return fmt.Sprintf("and the answer came when it was %s already (%s): leave it there, or %s; do not enqueue it anew", r.Status, *r.Error, remove)
	}
	return fmt.Sprintf("and the answer came when it was %s already: leave it there, or %s; do not enqueue it anew", r.Status, remove)
}

// TweetIDsMade returns X's ids of the tweets that were made of rows of an account which are in no doubt, and that
// stand in X's answers, not all of them on the rows: the second tweet of one row is no other row's either. Only rows
// with warnings can have such a tweet.
func TweetIDsMade(ctx context.Context, db DBTX, accountID int64) ([]string, error) {
	// An array, not a join: they are few, which the planner cannot know.
	const query = `-- name: TweetIDsMade :many
SELECT ` + madeTweetID + `
FROM tweetqueue.requests r
WHERE r.row_id = ANY (ARRAY(
        SELECT id FROM tweetqueue.tweets
        WHERE account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND warnings <> '{}'
            AND status NOT IN ('sending', 'unconfirmed')))
    AND r.kind = 'post_tweet' AND r.outcome IN ('done', 'unconfirmed') AND ` + madeTweetID + ` IS NOT NULL`
	rows, err := db.Query(ctx, query, accountID)
	if err != nil {
		return nil, fmt.Errorf("look for tweets that were made: %w", err)
	}
	made, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for tweets that were made: %w", err)
	}
	return made, nil
}

// PostMade settles scheduled tweets that X made already, by its answer to an earlier request: they become posted, as
// of that answer, and nothing is sent. One whose tweet another row has fails. See [Row.Made]. [ErrLostRace] if
// one of them is not scheduled any more.
func PostMade(ctx context.Context, tx pgx.Tx, ids []int64) ([]Settled, error) {
	// Two statements, for the table of what may follow what has no shorter way.
	const begin = `-- name: TweetsMadeSending :exec
UPDATE tweetqueue.tweets SET status = 'sending', waiting_for = NULL, next_attempt_at = NULL
WHERE id = ANY ($1) AND status = 'scheduled' AND request_id IS NOT NULL`
	const end = `-- name: TweetsMadePosted :many
UPDATE tweetqueue.tweets t
SET status = CASE WHEN i.taken_by IS NULL THEN 'posted' ELSE 'failed' END,
    tweet_id = CASE WHEN i.taken_by IS NULL THEN i.tweet_id END,
    posted_at = CASE WHEN i.taken_by IS NULL THEN i.answered_at END,
    error = CASE WHEN i.taken_by IS NOT NULL
        THEN format('X answered that it made tweet %s of this row, and that is the tweet of row %s: look at the account on X, and enqueue what is missing', i.tweet_id, i.taken_by) END
FROM (
    SELECT m.row_id, m.tweet_id, m.answered_at, o.id AS taken_by
    FROM (SELECT DISTINCT ON (r.row_id) r.row_id, ` + madeTweetID + ` AS tweet_id, r.answered_at
        FROM tweetqueue.requests r JOIN tweetqueue.tweets t ON t.id = r.row_id
        WHERE r.row_id = ANY ($1)` + made + `
        ORDER BY r.row_id, r.id DESC) AS m
    JOIN tweetqueue.tweets s ON s.id = m.row_id
    LEFT JOIN tweetqueue.tweets o ON o.account = s.account AND o.tweet_id = m.tweet_id) AS i
WHERE t.id = i.row_id AND t.status = 'sending'
RETURNING ` + settledColumns
	tag, err := tx.Exec(ctx, begin, ids)
	if err != nil {
		return nil, fmt.Errorf("post what was made: %w", err)
	}
	if tag.RowsAffected() != int64(len(ids)) {
		return nil, fmt.Errorf("post what was made: %w", ErrLostRace)
	}
	rows, err := tx.Query(ctx, PostTweet.sql(end), ids)
	if err != nil {
		return nil, fmt.Errorf("post what was made: %w", err)
	}
	posted, err := pgx.CollectRows(rows, scanSettled)
	if err != nil {
		return nil, fmt.Errorf("post what was made: %w", err)
	}
	return posted, nil
}

// yieldToMade lets settlements of tweets yield that would leave a row without a tweet, or in doubt, although X has said
// that it made it of an earlier request with the same words: the row is posted as that, and warns of the rest.
func yieldToMade(ctx context.Context, tx pgx.Tx, settlements []Settlement) error {
	const query = `-- name: TweetsMadeBefore :many
SELECT DISTINCT ON (t.id) t.id, ` + madeTweetID + `
FROM tweetqueue.tweets t
JOIN tweetqueue.requests l ON l.id = t.request_id
JOIN tweetqueue.requests r ON r.row_id = t.id AND r.id < l.id AND r.body = l.body
WHERE t.id = ANY ($1) AND t.request_id = ANY ($2) AND t.status = 'sending'` + made + `
ORDER BY t.id, r.id DESC`
	var rowIDs, requestIDs []int64
	for _, s := range settlements {
		if s.Status == Failed || s.Status == Unconfirmed {
			rowIDs, requestIDs = append(rowIDs, s.RowID), append(requestIDs, s.RequestID)
		}
	}
	if len(rowIDs) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, query, rowIDs, requestIDs)
	if err != nil {
		return fmt.Errorf("look for tweets that were made: %w", err)
	}
	var rowID int64
	var tweetID string
	_, err = pgx.ForEachRow(rows, []any{&rowID, &tweetID}, func() error {
		for i := range settlements {
			s := &settlements[i]
			if s.RowID != rowID || (s.Status != Failed && s.Status != Unconfirmed) {
				continue
			}
			s.Warning = "X made it of an earlier request, and refused a later one: " + s.Error
			if s.Status == Unconfirmed {
				s.Warning = madeTwice
			}
			s.Status, s.TweetID, s.WaitFor, s.LookUpAt, s.Error = Posted, tweetID, "", time.Time{}, ""
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for tweets that were made: %w", err)
	}
	return nil
}

const (
	// madeTwice warns of a row of which two requests may have made a tweet.
	madeTwice = "X made it of an earlier request, and may have made another of a later one: look at the account on X, and delete what is too many"
	// madeOfOldWords warns of a row that was edited before X said that it had made it.
	madeOfOldWords = "X made it before it was edited, so that it has the words from before"
)

// made says in SQL that X's answer to request r of row t is that it made the row's tweet, and that we have not deleted
// it since.
const made = ` AND r.kind = 'post_tweet' AND r.outcome = 'done' AND ` + madeTweetID + ` IS NOT NULL
    AND NOT EXISTS (SELECT FROM tweetqueue.deletions d
        WHERE d.account = t.account AND d.tweet_id = ` + madeTweetID + ` AND d.status = 'deleted' AND NOT d.retweet)`

// rowMade is what RowsLock reads as Made of a tweet t.
const rowMade = `CASE WHEN t.request_id IS NOT NULL THEN (SELECT ARRAY[` + madeTweetID + `, r.body] FROM tweetqueue.requests r
        WHERE r.row_id = t.id` + made + ` ORDER BY r.id DESC LIMIT 1) END, `
