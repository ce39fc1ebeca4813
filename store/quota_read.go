package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// QuotaRead is a window as it was read, without a lock: somebody may have taken a place in it since.
type QuotaRead struct {
	Quota

	Account string // username; empty: it is an app's
	App     string // the app's name, also where the window is an account's
}

// Emptied returns the instant, not before now, from which nothing counts any more of what counts at now, ours and
// others', and X's block is over.
func (q *Quota) Emptied(now time.Time) time.Time { return q.NextAfter(now, q.Max()-1) }

// TooLong reports whether a place that was taken for an instant so far ahead of the answer is then moved to the answer: it
// would be held for more than a bucket or two too long.
func (q *Quota) TooLong(ahead time.Duration) bool { return ahead > q.Period*2/bucketsPerPeriod }

// QuotasRead reads the windows of the accounts of these usernames and of their apps, or of all if there are none, but
// only of these apps and their accounts if there are any. It locks nothing. Those of accounts come first, then those of
// apps; by the app's name, then by username.
func QuotasRead(ctx context.Context, db DBTX, usernames, apps []string) ([]QuotaRead, error) {
	const query = `-- name: QuotasReadAll :many
SELECT ` + quotaColumns + `, coalesce(a.username, ''), p.name
FROM tweetqueue.quotas q
LEFT JOIN tweetqueue.accounts a ON a.id = q.account_id
JOIN tweetqueue.apps p ON p.id = coalesce(q.app_id, a.app_id)
WHERE ` + quotaHolds + ` AND (cardinality($1::text[]) = 0 OR coalesce(a.username = ANY ($1),
        p.id IN (SELECT app_id FROM tweetqueue.accounts WHERE username = ANY ($1))))
    AND (cardinality($2::text[]) = 0 OR p.name = ANY ($2))
ORDER BY q.app_id IS NOT NULL, p.name, a.username, q.id`
	rows, err := db.Query(ctx, query, append([]string{}, usernames...), append([]string{}, apps...))
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	quotas, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (QuotaRead, error) {
		var q QuotaRead
		return q, row.Scan(append(q.targets(), &q.Account, &q.App)...)
	})
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	return quotas, nil
}
