package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Unmeasured is a scheduled tweet whose text may be too long: the database knows only a lower bound of
// its weighted length.
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
WHERE t.status = 'scheduled' AND NOT t.measured
    AND (octet_length(t.text) > 280 OR position('.' IN t.text) > 0)
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

// TweetsMeasured notes that the texts of tweets, which the transaction has locked, are short enough.
func TweetsMeasured(ctx context.Context, db DBTX, rowIDs []int64) error {
	const query = `-- name: TweetsMeasured :exec
UPDATE tweetqueue.tweets SET measured = true WHERE id = ANY ($1)`
	if _, err := db.Exec(ctx, query, rowIDs); err != nil {
		return fmt.Errorf("note measured texts: %w", err)
	}
	return nil
}
