package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// What waits for a budget has no instant of its own, and its account waits until the month ends ([BudgetWaitsBegin]). Then, or as
// soon as a budget or a price is changed or X has refused what was to be paid for, as many of the account's best rows go on as there is
// money for ([BudgetWaitRelease]). So a row is fetched once for each time that it waits, however many there are.

// BudgetWait is a row that waits for a budget.
type BudgetWait struct {
	RowID     int64
	AccountID int64
	HasURL    bool // of a tweet: see [Request]
}

// BudgetWaitsBegin writes that accounts have rows that wait for a budget, until the month of an instant ends: that for
// which the budgets are locked.
func BudgetWaitsBegin(ctx context.Context, tx pgx.Tx, kind Kind, now time.Time, waits []BudgetWait) error {
	const begin = `-- name: BudgetWaitsBegin :exec
INSERT INTO tweetqueue.budget_waits AS w (account_id, until)
SELECT DISTINCT id, tweetqueue.month_end($2) FROM unnest($1::bigint[]) AS i (id) ORDER BY id
ON CONFLICT (account_id) DO UPDATE SET until = least(w.until, excluded.until)`
	const known = `-- name: TweetsHaveURLs :exec
UPDATE tweetqueue.tweets t SET has_url = i.has_url FROM unnest($1::bigint[], $2::boolean[]) AS i (id, has_url)
WHERE t.id = i.id AND t.has_url IS DISTINCT FROM i.has_url`
	if len(waits) == 0 {
		return nil
	}
	n := len(waits)
	accountIDs, rowIDs, hasURLs := make([]int64, n), make([]int64, n), make([]bool, n)
	for i, w := range waits {
		accountIDs[i], rowIDs[i], hasURLs[i] = w.AccountID, w.RowID, w.HasURL
	}
	if _, err := tx.Exec(ctx, begin, accountIDs, now); err != nil {
		return fmt.Errorf("begin to wait for a budget: %w", err)
	}
	if kind != PostTweet {
		return nil
	}
	if _, err := tx.Exec(ctx, known, rowIDs, hasURLs); err != nil {
		return fmt.Errorf("note which tweets have a URL: %w", err)
	}
	return nil
}

// BudgetWaitsDue returns accounts whose rows may have money again, at most limit of them, the longest due first.
func BudgetWaitsDue(ctx context.Context, db DBTX, limit int) ([]int64, error) {
	const query = `-- name: BudgetWaitsDue :many
SELECT account_id FROM tweetqueue.budget_waits WHERE until <= tweetqueue.clock() ORDER BY until LIMIT $1`
	rows, err := db.Query(ctx, query, limit)
	if err != nil {
		return nil, fmt.Errorf("look for what waits for a budget: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for what waits for a budget: %w", err)
	}
	return due, nil
}

// budgetRow is a row that waits for a budget, with what its request costs.
type budgetRow struct {
	kind     Kind
	id       int64
	priority int
	due      time.Time
	usd      USD
}

// budgetShare is how many rows of each kind of an account go on at once where accounts share the budget of their app: they take turns.
const budgetShare = 10

// BudgetWaitRelease lets as many of an account's best rows go on as there is money for, at most limit of each kind: by
// priority, then by when they are due; one that costs too much stays, and a cheaper one goes. It writes when the others are looked at
// again, and returns how many go on. Their claims take the money; until then it is counted.
func BudgetWaitRelease(ctx context.Context, tx pgx.Tx, accountID int64, limit int) (int, error) {
	const lock = `-- name: BudgetWaitLock :one
SELECT TRUE FROM tweetqueue.budget_waits WHERE account_id = $1 AND until <= tweetqueue.clock() FOR UPDATE`
	now, err := Clock(ctx, tx)
	if err != nil {
		return 0, err
	}
	budgets, err := BudgetsLock(ctx, tx, []int64{accountID}, now)
	if err != nil {
		return 0, err
	}
	var due bool
	err = tx.QueryRow(ctx, lock, accountID).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil // another worker has been faster
	}
	if err != nil {
		return 0, fmt.Errorf("lock what waits for a budget: %w", err)
	}
	if slices.ContainsFunc(budgets[accountID].Of, func(b *Budget) bool { return b.AppID != 0 }) {
		limit = min(limit, budgetShare)
	}
	left := budgets[accountID].left()
	unclaimed, err := budgetsUnclaimed(ctx, tx, budgets[accountID])
	if err != nil {
		return 0, err
	}
	rows, more, err := budgetRows(ctx, tx, accountID, unclaimed.left(), limit)
	if err != nil {
		return 0, err
	}
	released := 0
	for _, kind := range Kinds() {
		var ids []int64
		for _, row := range affordable(rows, unclaimed.left()) {
			if row.kind == kind {
				ids = append(ids, row.id)
			}
		}
		if err := budgetRowsRelease(ctx, tx, kind, ids); err != nil {
			return 0, err
		}
		released += len(ids)
	}
	return released, budgetWaitNext(ctx, tx, accountID, now, left, more)
}

// budgetsUnclaimed returns budgets as they will be once what was let go on is claimed.
func budgetsUnclaimed(ctx context.Context, tx pgx.Tx, budgets Budgets) (Budgets, error) {
	query := `-- name: BudgetsUnclaimed :one
SELECT coalesce(sum(usd), 0) FROM (` + everyKind(`SELECT coalesce(p.usd, 0) AS usd
    FROM {table} t LEFT JOIN tweetqueue.prices p ON p.action = {action} AND p.with_url = {has_url}
    WHERE t.account = ANY (ARRAY(SELECT username FROM tweetqueue.accounts WHERE id = $1 OR app_id = $2))
        AND t.status = 'scheduled' AND t.waiting_for = 'time' AND t.late_from IS NOT NULL AND t.wake_at <= tweetqueue.clock()`) + `
) AS unclaimed`
	unclaimed := Budgets{Prices: budgets.Prices}
	for _, b := range budgets.Of {
		budget, usd := *b, USD(0)
		if err := tx.QueryRow(ctx, query, budget.AccountID, budget.AppID).Scan(&usd); err != nil {
			return unclaimed, fmt.Errorf("sum what will be spent: %w", err)
		}
		budget.Take(usd)
		unclaimed.Of = append(unclaimed.Of, &budget)
	}
	return unclaimed, nil
}

// affordable returns the rows that go on: the best, less those for which too little is left.
func affordable(rows []budgetRow, left USD) []budgetRow {
	var chosen []budgetRow
	for _, row := range rows {
		if row.usd <= left {
			left -= row.usd
			chosen = append(chosen, row)
		}
	}
	return chosen
}

// What rows cost is the same for all of an action, with a URL or without: of a class. Of one for which there is no money no row
// is read, however many wait. $1 is the account, $2 are the actions.
const (
	budgetClasses = `(SELECT action, with_url, coalesce(p.usd, 0) AS usd FROM unnest($2::text[]) AS action
    CROSS JOIN (VALUES (false), (true)) AS u (with_url) LEFT JOIN tweetqueue.prices p USING (action, with_url)) AS c`
	waitsOfClass = `t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND t.status = 'scheduled'
        AND t.waiting_for = 'budget' AND {action} = c.action AND {has_url} = c.with_url`
)

// budgetRows locks and returns the best of an account's rows that wait for a budget and for which, each alone, an amount would do; at most
// limit of each kind, and whether there may be more. Rows that somebody else has locked are left out: they are looked at the next time.
func budgetRows(ctx context.Context, tx pgx.Tx, accountID int64, left USD, limit int) (all []budgetRow, more bool, err error) {
	const query = `-- name: BudgetRows :many
SELECT '{kind}', t.id, t.priority, t.due_at, c.usd
FROM ` + budgetClasses + ` CROSS JOIN LATERAL (
    SELECT t.id, t.priority, t.{due_at} AS due_at FROM {table} t WHERE ` + waitsOfClass + `
    ORDER BY t.priority, t.{due_at}, t.id LIMIT $4 FOR NO KEY UPDATE OF t SKIP LOCKED) AS t
WHERE c.usd <= $3
ORDER BY t.priority, t.due_at, t.id LIMIT $4`
	for _, kind := range Kinds() {
		rows, err := tx.Query(ctx, kind.sql(query), accountID, kind.actions(), left, limit)
		if err != nil {
			return nil, false, fmt.Errorf("look for %s that wait for a budget: %w", kind.table(), err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r budgetRow, err error) {
			err = row.Scan(&r.kind, &r.id, &r.priority, &r.due, &r.usd)
			return r, err
		})
		if err != nil {
			return nil, false, fmt.Errorf("look for %s that wait for a budget: %w", kind.table(), err)
		}
		all, more = append(all, found...), more || len(found) == limit
	}
	slices.SortFunc(all, func(a, b budgetRow) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), a.due.Compare(b.due), cmp.Compare(a.id, b.id))
	})
	return all, more, nil
}

// budgetRowsRelease lets rows go on. They are not late before now.
func budgetRowsRelease(ctx context.Context, tx pgx.Tx, kind Kind, ids []int64) error {
	const query = `-- name: BudgetRowsRelease :exec
UPDATE {table} SET waiting_for = 'time', next_attempt_at = NULL, error = NULL, late_from = tweetqueue.clock() WHERE id = ANY ($1)`
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, kind.sql(query), ids); err != nil {
		return fmt.Errorf("let %s go on: %w", kind.table(), err)
	}
	return nil
}

// budgetWaitNext writes when an account is looked at again, or that it waits no more: none of its rows does. A row for which there is
// money was locked by somebody, or leaves it to another that was let go on, and that may yet be cancelled.
func budgetWaitNext(ctx context.Context, tx pgx.Tx, accountID int64, now time.Time, left USD, more bool) error {
	query := `-- name: BudgetWaitNext :exec
WITH waiting AS NOT MATERIALIZED (` + everyKind(`SELECT FROM {table} t
    WHERE t.account = (SELECT username FROM tweetqueue.accounts WHERE id = $1) AND t.status = 'scheduled' AND t.waiting_for = 'budget'`) + `
), affordable AS NOT MATERIALIZED (` + everyKind(`SELECT FROM `+budgetClasses+` CROSS JOIN LATERAL (
        SELECT FROM {table} t WHERE `+waitsOfClass+` LIMIT 1) AS t WHERE c.usd <= $4`) + `
), over AS (
    DELETE FROM tweetqueue.budget_waits WHERE account_id = $1 AND NOT EXISTS (SELECT FROM waiting)
)
UPDATE tweetqueue.budget_waits SET until = CASE WHEN $3 THEN tweetqueue.clock()
    WHEN EXISTS (SELECT FROM affordable) THEN tweetqueue.clock() + $5 ELSE tweetqueue.month_end($6) END
WHERE account_id = $1 AND EXISTS (SELECT FROM waiting)`
	var actions []string
	for _, kind := range Kinds() {
		actions = append(actions, kind.actions()...)
	}
	if _, err := tx.Exec(ctx, query, accountID, actions, more, left, releaseAgain, now); err != nil {
		return fmt.Errorf("write when a budget is looked at again: %w", err)
	}
	return nil
}

// BudgetWaitsSweep makes accounts be looked at of which rows wait for a budget, and that nobody knows of: somebody has changed them
// by hand.
func BudgetWaitsSweep(ctx context.Context, db DBTX) error {
	query := `-- name: BudgetWaitsSweep :exec
INSERT INTO tweetqueue.budget_waits (account_id, until)
SELECT a.id, tweetqueue.clock() FROM tweetqueue.accounts a
WHERE EXISTS (` + everyKind(`SELECT FROM {table} t WHERE t.account = a.username AND t.status = 'scheduled' AND t.waiting_for = 'budget'`) + `)
    AND NOT EXISTS (SELECT FROM tweetqueue.budget_waits w WHERE w.account_id = a.id)
ON CONFLICT DO NOTHING`
	if _, err := db.Exec(ctx, query); err != nil {
		return fmt.Errorf("look for what waits for a budget: %w", err)
	}
	return nil
}
