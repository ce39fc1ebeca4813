package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// Budget is what an account or an app may spend in a month, and what it has spent, requests under way included. It is
// decided on while its row is locked.
type Budget struct {
	AccountID int64 // 0: it is an app's
	AppID     int64 // 0: it is an account's
	Name      string
	Month     time.Time // its first instant, in UTC
	Limit     USD
	Spent     USD
	Told      int // of what a person was warned, a sum of the Told constants: see [Budget.Warns]
}

// What a person is warned of: most of a budget is spent, or a row waits for it.
const (
	ToldMost  = 1
	ToldWaits = 2
)

// most is the part of a budget, in hundredths, of which a person is warned.
const most = 80

// Left is how much may still be spent.
func (b *Budget) Left() USD { return max(0, b.Limit-b.Spent) }

// Take spends an amount. The caller has seen that it is left.
func (b *Budget) Take(amount USD) { b.Spent += amount }

// Warns reports whether a person is to be told that most of it is spent, or that a row waits for it; each once a month.
func (b *Budget) Warns(waits bool) bool {
	told := 0
	switch {
	case waits:
		told = ToldWaits
	case b.mostSpent():
		told = ToldMost
	}
	if b.Told&told == told {
		return false
	}
	b.Told |= told
	return true
}

func (b *Budget) mostSpent() bool { return b.Spent*100 >= b.Limit*most }

// Budgets are those that a row's request must fit in, with what requests cost.
type Budgets struct {
	Prices Prices
	Of     []*Budget
}

// Lacking returns the first budget of which less is left than an amount; nil if there is none.
func (b Budgets) Lacking(amount USD) *Budget {
	for _, budget := range b.Of {
		if budget.Left() < amount {
			return budget
		}
	}
	return nil
}

// left is what is left of all of them together.
func (b Budgets) left() USD {
	left := USD(math.MaxInt64)
	for _, budget := range b.Of {
		left = min(left, budget.Left())
	}
	return left
}

// BudgetsLock locks the budgets of accounts and of their apps for the month of an instant: those of accounts by id, then
// those of apps, which is the order in which they are charged. It returns them by account; those of an app are the same for all of its accounts.
func BudgetsLock(ctx context.Context, tx pgx.Tx, accountIDs []int64, now time.Time) (map[int64]Budgets, error) {
	const ofAccounts = `-- name: AccountBudgetsLock :exec
INSERT INTO tweetqueue.spending AS s (account_id, month)
SELECT a.id, tweetqueue.month_of($2) FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE a.id = ANY ($1) AND (a.budget_usd IS NOT NULL OR p.budget_usd IS NOT NULL) ORDER BY a.id
ON CONFLICT (account_id, month) DO UPDATE SET spent_usd = s.spent_usd`
	const ofApps = `-- name: AppBudgetsLock :exec
INSERT INTO tweetqueue.app_spending AS s (app_id, month)
SELECT id, tweetqueue.month_of($2) FROM tweetqueue.apps
WHERE id = ANY (ARRAY(SELECT app_id FROM tweetqueue.accounts WHERE id = ANY ($1))) AND budget_usd IS NOT NULL ORDER BY id
ON CONFLICT (app_id, month) DO UPDATE SET spent_usd = s.spent_usd`
	// After the locks, so that no budget is older than what was spent.
	const read = `-- name: BudgetsRead :many
SELECT a.id AS account_id, a.id, 0, a.username, s.month, a.budget_usd, s.spent_usd, s.told
FROM tweetqueue.accounts a JOIN tweetqueue.spending s ON s.account_id = a.id AND s.month = tweetqueue.month_of($2)
WHERE a.id = ANY ($1) AND a.budget_usd IS NOT NULL
UNION ALL
SELECT a.id, 0, p.id, p.name, s.month, p.budget_usd, s.spent_usd, s.told
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
JOIN tweetqueue.app_spending s ON s.app_id = p.id AND s.month = tweetqueue.month_of($2)
WHERE a.id = ANY ($1) AND p.budget_usd IS NOT NULL`
	for _, lock := range []string{ofAccounts, ofApps} {
		if _, err := tx.Exec(ctx, lock, accountIDs, now); err != nil {
			return nil, fmt.Errorf("lock budgets: %w", err)
		}
	}
	prices, err := PricesRead(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, read, accountIDs, now)
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	all, apps := map[int64]Budgets{}, map[int64]*Budget{}
	for _, id := range accountIDs {
		all[id] = Budgets{Prices: prices}
	}
	var accountID int64
	var b Budget
	_, err = pgx.ForEachRow(rows, []any{&accountID, &b.AccountID, &b.AppID, &b.Name, &b.Month, &b.Limit, &b.Spent, &b.Told}, func() error {
		budget, of := b, all[accountID]
		if known := apps[b.AppID]; known != nil {
			of.Of = append(of.Of, known)
		} else {
			of.Of = append(of.Of, &budget)
		}
		if b.AppID != 0 {
			apps[b.AppID] = of.Of[len(of.Of)-1]
		}
		all[accountID] = of
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	return all, nil
}

// BudgetsTold notes of what a person was warned. The budgets are locked.
func BudgetsTold(ctx context.Context, tx pgx.Tx, budgets []*Budget) error {
	const account = `-- name: AccountBudgetTold :exec
UPDATE tweetqueue.spending SET told = $3 WHERE account_id = $1 AND month = tweetqueue.month_of($2)`
	const app = `-- name: AppBudgetTold :exec
UPDATE tweetqueue.app_spending SET told = $3 WHERE app_id = $1 AND month = tweetqueue.month_of($2)`
	for _, b := range budgets {
		query, id := account, b.AccountID
		if b.AppID != 0 {
			query, id = app, b.AppID
		}
		if _, err := tx.Exec(ctx, query, id, b.Month, b.Told); err != nil {
			return fmt.Errorf("note a warning of the budget of %s: %w", b.Name, err)
		}
	}
	return nil
}
