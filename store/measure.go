package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Unmeasured is a scheduled tweet whose text may be too long, or have a URL: the database knows only a lower bound of
// its weighted length, and that there is none without a dot.
type Unmeasured struct {
	RowID     int64
	Account   string
	Text      string
	TextLimit int // of its account
}

// TweetsUnmeasured locks and returns scheduled tweets whose texts are to be measured, at most limit of
// them by id. Those that are due within ahead are left to their claims, which measure them too and
// should not find them locked; so are those that somebody has locked.
func TweetsUnmeasured(ctx context.Context, db DBTX, ahead time.Duration, limit int) ([]Unmeasured, error) {
	const query = `-- name: TweetsUnmeasured :many
SELECT t.id, a.username, t.text, a.text_limit
FROM tweetqueue.tweets t JOIN tweetqueue.accounts a ON a.username = t.account
WHERE t.status = 'scheduled'
    AND (NOT t.measured AND octet_length(t.text) > 280 OR (NOT t.measured OR t.has_url IS NULL) AND position('.' IN t.text) > 0
        OR t.has_url IS NULL AND t.waiting_for = 'budget')
    AND t.wake_at > tweetqueue.clock() + $1
ORDER BY t.id LIMIT $2
FOR NO KEY UPDATE OF t SKIP LOCKED`
	rows, err := db.Query(ctx, query, ahead, limit)
	if err != nil {
		return nil, fmt.Errorf("look for texts to measure: %w", err)
	}
	unmeasured, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Unmeasured])
	if err != nil {
		return nil, fmt.Errorf("look for texts to measure: %w", err)
	}
	return unmeasured, nil
}

// TweetsMeasured notes that the texts of tweets, which the transaction has locked, are short enough, and whether they
// have a URL.
func TweetsMeasured(ctx context.Context, db DBTX, rowIDs []int64, hasURLs []bool) error {
	// One that waits for a budget may be cheaper than it was.
	const query = `-- name: TweetsMeasured :exec
WITH measured AS (
    UPDATE tweetqueue.tweets t SET measured = true, has_url = i.has_url
    FROM unnest($1::bigint[], $2::boolean[]) AS i (id, has_url) WHERE t.id = i.id
    RETURNING t.account, t.waiting_for
)
UPDATE tweetqueue.budget_waits SET until = tweetqueue.clock()
WHERE until > tweetqueue.clock() AND account_id = ANY (ARRAY(
    SELECT a.id FROM measured m JOIN tweetqueue.accounts a ON a.username = m.account WHERE m.waiting_for = 'budget'))`
	if _, err := db.Exec(ctx, query, rowIDs, hasURLs); err != nil {
		return fmt.Errorf("note measured texts: %w", err)
	}
	return nil
}
