package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A request costs its price from its claim on, so that what is under way counts. X bills what it has done, so that a
// refusal costs nothing; what X did not answer keeps its price until it is known whether X did it.

// spend is the part of a statement that adds to what accounts have spent in the months of their requests: of rows
// (account_id, granted_at, usd). And what apps have that have a budget.
func spend(rows string) string {
	return `spent AS (
    INSERT INTO tweetqueue.spending AS s (account_id, month, spent_usd)
    SELECT account_id, tweetqueue.month_of(granted_at), sum(usd) FROM ` + rows + `
    GROUP BY 1, 2 HAVING sum(usd) <> 0 ORDER BY 1, 2
    ON CONFLICT (account_id, month) DO UPDATE SET spent_usd = s.spent_usd + excluded.spent_usd
    RETURNING 1
), spent_by_app AS (
    INSERT INTO tweetqueue.app_spending AS s (app_id, month, spent_usd)
    SELECT p.id, tweetqueue.month_of(r.granted_at), sum(r.usd) FROM ` + rows + ` r
    JOIN tweetqueue.accounts a ON a.id = r.account_id JOIN tweetqueue.apps p ON p.id = a.app_id
    WHERE p.budget_usd IS NOT NULL AND (SELECT count(*) FROM spent) > 0 -- and so after it
    GROUP BY 1, 2 HAVING sum(r.usd) <> 0 ORDER BY 1, 2
    ON CONFLICT (app_id, month) DO UPDATE SET spent_usd = s.spent_usd + excluded.spent_usd
    RETURNING 1
)`
}

// refunded are the accounts of rows (account_id, usd) to which money comes back.
const refunded = `coalesce(array_agg(DISTINCT account_id) FILTER (WHERE usd < 0), '{}')`

// budgetWaitsRecheck looks again at what waits for a budget of accounts, or of their apps, for money has come back. What was spent
// is locked by now, and this is a statement of its own: so it sees what a claim that had the lock before has made wait.
func budgetWaitsRecheck(ctx context.Context, db DBTX, accountIDs []int64) error {
	const query = `-- name: BudgetWaitsRecheck :exec
UPDATE tweetqueue.budget_waits SET until = tweetqueue.clock()
WHERE account_id = ANY (ARRAY(
    SELECT w.account_id FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
    JOIN tweetqueue.accounts b ON b.app_id = p.id AND (b.id = a.id OR p.budget_usd IS NOT NULL)
    JOIN tweetqueue.budget_waits w ON w.account_id = b.id
    WHERE a.id = ANY ($1) AND w.until > tweetqueue.clock()
    ORDER BY w.account_id FOR NO KEY UPDATE OF w))`
	if len(accountIDs) == 0 {
		return nil
	}
	if _, err := db.Exec(ctx, query, accountIDs); err != nil {
		return fmt.Errorf("look again at what waits for a budget: %w", err)
	}
	return nil
}

// costChange is by how much more a request has cost than was written.
type costChange struct {
	requestID int64
	usd       USD
}

// costsChange adds changes to what accounts have spent. Mostly there are none.
func costsChange(ctx context.Context, tx pgx.Tx, changes []costChange) error {
	query := `-- name: CostsChange :one
WITH changed AS MATERIALIZED (
    SELECT r.account_id, r.granted_at, i.usd
    FROM unnest($1::bigint[], $2::numeric[]) AS i (request_id, usd) JOIN tweetqueue.requests r ON r.id = i.request_id
), ` + spend("changed") + `
SELECT ` + refunded + ` FROM changed`
	if len(changes) == 0 {
		return nil
	}
	requestIDs, amounts := make([]int64, len(changes)), make([]USD, len(changes))
	for i, c := range changes {
		requestIDs[i], amounts[i] = c.requestID, c.usd
	}
	var accountIDs []int64
	if err := tx.QueryRow(ctx, query, requestIDs, amounts).Scan(&accountIDs); err != nil {
		return fmt.Errorf("record what requests have cost: %w", err)
	}
	return budgetWaitsRecheck(ctx, tx, accountIDs)
}

// billed reports whether X bills the request by its answer; nil if that does not tell.
func (s Settlement) billed() *bool {
	switch code := s.StatusCode; {
	case s.GiveBack: // it did not reach X
		return new(false)
	case code >= 200 && code <= 299:
		return new(true)
	case code >= 400 && code <= 499 && code != 408:
		return new(false)
	}
	return nil
}

// mayBeBilled is whether a request r may have had an effect on X, and been billed, although X did not say so.
const mayBeBilled = `(r.outcome IS NULL OR r.outcome IN ('unconfirmed', 'repeat'))
    AND (r.status_code IS NULL OR r.status_code NOT BETWEEN 400 AND 499 OR r.status_code = 408)`

// doubtsBill settles what the requests of rows have cost that may have been billed: of each row the latest of them if
// one had its effect, and none otherwise.
func doubtsBill(ctx context.Context, db DBTX, kind Kind, rowIDs []int64, effect []bool) error {
	query := `-- name: DoubtsBill :one
WITH latest AS MATERIALIZED (
    SELECT max(r.id) AS id, r.row_id, bool_or(i.effect) AS effect
    FROM unnest($1::bigint[], $2::boolean[]) AS i (row_id, effect)
    JOIN tweetqueue.requests r ON r.row_id = i.row_id AND r.kind = '{kind}'
    WHERE ` + mayBeBilled + ` GROUP BY r.row_id
), open AS MATERIALIZED (
    SELECT r.id, r.account_id, r.granted_at, r.cost_usd, CASE WHEN l.effect AND l.id = r.id THEN r.price_usd ELSE 0 END AS cost
    FROM latest l JOIN tweetqueue.requests r ON r.row_id = l.row_id AND r.kind = '{kind}'
    WHERE ` + mayBeBilled + ` ORDER BY r.id FOR NO KEY UPDATE OF r
), changed AS (
    UPDATE tweetqueue.requests r SET cost_usd = o.cost FROM open o WHERE r.id = o.id AND r.cost_usd <> o.cost
    RETURNING r.account_id, r.granted_at, o.cost - o.cost_usd AS usd
), ` + spend("changed") + `
SELECT ` + refunded + ` FROM changed`
	if len(rowIDs) == 0 {
		return nil
	}
	var accountIDs []int64
	if err := db.QueryRow(ctx, kind.sql(query), rowIDs, effect).Scan(&accountIDs); err != nil {
		return fmt.Errorf("record what %s have cost: %w", kind.table(), err)
	}
	return budgetWaitsRecheck(ctx, db, accountIDs)
}

// settledBill settles what the requests of rows have cost that are done, and of which earlier ones left a doubt. X did what the
// last one asked, and so nothing for those before it; or it says that there was nothing left to do. Of an undoing it
// says the same either way, and of a row that failed nothing: then what is in doubt stays so, and keeps its price.
func settledBill(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement, settled []Settled) error {
	var rowIDs []int64
	var effect []bool
	for _, s := range settlements {
		billed, done := s.billed(), slices.ContainsFunc(settled, func(r Settled) bool {
			return r.RequestID == s.RequestID && r.Applied && r.Status == kind.Done()
		})
		if !s.Doubt || !done || billed == nil || (*billed && s.Action == undoRetweet) {
			continue
		}
		rowIDs, effect = append(rowIDs, s.RowID), append(effect, !*billed)
	}
	return doubtsBill(ctx, tx, kind, rowIDs, effect)
}

// resolvedBill is settledBill for rows whose doubt was looked up.
func resolvedBill(ctx context.Context, db DBTX, kind Kind, resolved []Settled) error {
	var rowIDs []int64
	var effect []bool
	for _, r := range resolved {
		if r.Status != Unconfirmed {
			rowIDs, effect = append(rowIDs, r.RowID), append(effect, r.Status == kind.Done())
		}
	}
	return doubtsBill(ctx, db, kind, rowIDs, effect)
}

// timeline is X's endpoint that returns what an account has tweeted.
const timeline = "/2/users/:id/tweets"

// lookUpBill records what a look-up has cost: each tweet that X returned, and that it has not returned from the same
// endpoint on the same day. That of the app's owner's own timeline is cheaper.
func lookUpBill(ctx context.Context, tx pgx.Tx, kind Kind, a LookUpAnswer) error {
	query := `-- name: LookUpBill :exec
WITH looked AS MATERIALIZED (
    SELECT r.id, r.account_id, r.granted_at, p.id AS app_id,
        (coalesce($3, tweetqueue.clock()) AT TIME ZONE 'UTC')::date AS day,
        (SELECT usd FROM tweetqueue.prices WHERE name = CASE WHEN $4 = '` + timeline + `' AND p.owner_x_user_id = a.x_user_id
            THEN 'owned_read' ELSE 'post_read' END) AS usd
    FROM tweetqueue.requests r JOIN tweetqueue.accounts a ON a.id = r.account_id JOIN tweetqueue.apps p ON p.id = a.app_id
    WHERE r.id = $1 AND r.cost_usd IS NULL
    FOR NO KEY UPDATE OF r
), first AS (
    INSERT INTO tweetqueue.reads (app_id, day, endpoint, tweet_id)
    SELECT app_id, day, $4, i.id FROM looked, unnest($2::text[]) AS i (id) ORDER BY i.id
    ON CONFLICT DO NOTHING RETURNING 1
), billed AS (
    UPDATE tweetqueue.requests r SET cost_usd = l.usd * (SELECT count(*) FROM first) FROM looked l WHERE r.id = l.id
    RETURNING r.account_id, r.granted_at, r.cost_usd AS usd
), ` + spend("billed") + `
SELECT`
	if a.TweetIDs == nil {
		return nil
	}
	endpoint := timeline
	if kind == DeleteTweet {
		endpoint = "/2/tweets/:id"
	}
	var xAt *time.Time
	if !a.XAt.IsZero() {
		xAt = &a.XAt
	}
	if _, err := tx.Exec(ctx, query, a.RequestID, a.TweetIDs, xAt, endpoint); err != nil {
		return fmt.Errorf("record the cost of request %d: %w", a.RequestID, err)
	}
	return nil
}

// ReadsForget forgets what X has returned on days that are over, at most limit tweets.
func ReadsForget(ctx context.Context, db DBTX, limit int) error {
	const query = `-- name: ReadsForget :exec
DELETE FROM tweetqueue.reads WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM tweetqueue.reads WHERE day < (tweetqueue.clock() AT TIME ZONE 'UTC')::date - 1
    LIMIT $1 FOR UPDATE SKIP LOCKED))`
	if _, err := db.Exec(ctx, query, limit); err != nil {
		return fmt.Errorf("forget what was read: %w", err)
	}
	return nil
}
