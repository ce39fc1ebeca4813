package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A window may count several actions, such as posts and retweets. Then its places go to the best rows of all of these.

// quotaRivals returns the other actions of which rows of the account wait.
func quotaRivals(ctx context.Context, tx pgx.Tx, wait QuotaWait) ([]string, error) {
	const query = `-- name: QuotaRivals :many
SELECT action FROM tweetqueue.quota_waits WHERE account_id = $1 AND action <> $2`
	rows, err := tx.Query(ctx, query, wait.AccountID, wait.Action)
	if err != nil {
		return nil, fmt.Errorf("read what else waits for a limit: %w", err)
	}
	rivals, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read what else waits for a limit: %w", err)
	}
	return rivals, nil
}

// shareOf is how many of an account's rows of an action may go on, of which its windows have so many places, beside rows of
// other actions that wait for the same ones.
func shareOf(ctx context.Context, tx pgx.Tx, quotas Quotas, wait QuotaWait, rivals []string, own places, now time.Time) (int, error) {
	shared := releaseBatch // the places of the windows that are shared
	var all []Turn
	for _, rival := range rivals {
		windows := quotas.Of(wait.AccountID, rival)
		together := false
		for _, q := range windows {
			if q.AccountID != 0 && slices.Contains(q.Actions, wait.Action) {
				together, shared = true, min(shared, max(0, q.Free(now)-own.pending[q.ID]))
			}
		}
		if !together {
			continue
		}
		theirs, err := placesOf(ctx, tx, windows, now)
		if err != nil {
			return 0, err
		}
		turns, err := turnsWaiting(ctx, tx, wait.AccountID, rival, theirs.free)
		if err != nil {
			return 0, err
		}
		all = append(all, turns...)
	}
	if len(all) == 0 {
		return own.free, nil
	}
	mine, err := turnsWaiting(ctx, tx, wait.AccountID, wait.Action, own.free)
	if err != nil {
		return 0, err
	}
	all = append(all, mine...)
	slices.SortFunc(all, func(a, b Turn) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	share := 0
	for _, turn := range all[:min(shared, len(all))] {
		if slices.Contains(mine, turn) {
			share++
		}
	}
	return share, nil
}

// turnsWaiting returns the first n of an account's due rows of an action that wait for a limit.
func turnsWaiting(ctx context.Context, tx pgx.Tx, accountID int64, action string, n int) ([]Turn, error) {
	const query = `-- name: TurnsWaiting :many
SELECT t.id, t.priority, t.{due_at} FROM {table} t
WHERE t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND {of_action}
    AND t.status = 'scheduled' AND t.waiting_for IN ('time', 'quota') AND t.waiting_for = 'quota' AND t.{due_at} <= tweetqueue.clock()
ORDER BY t.priority, t.{due_at}, t.id LIMIT $3`
	kind := kindsOf(action)[0]
	rows, err := tx.Query(ctx, kind.sql(query), accountID, action, n)
	if err != nil {
		return nil, fmt.Errorf("read which %s wait: %w", kind.table(), err)
	}
	turns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Turn])
	if err != nil {
		return nil, fmt.Errorf("read which %s wait: %w", kind.table(), err)
	}
	return turns, nil
}
