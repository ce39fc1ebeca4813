package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BudgetLine is what an account or an app has spent in this month, and may spend.
type BudgetLine struct {
	App       string      `json:"app"`
	Account   string      `json:"account,omitempty"` // empty: it is the app's, with all of its accounts
	Month     string      `json:"month"`             // in UTC, such as 2026-11
	SpentUSD  USD         `json:"spent_usd"`         // requests under way included
	BudgetUSD *USD        `json:"budget_usd"`        // null: none
	State     BudgetState `json:"state"`
	Waiting   int         `json:"waiting"`    // rows that wait for a budget
	TooDear   int         `json:"too_dear"`   // those of them that cost more than the whole of one
	Soon      int         `json:"soon"`       // those of the others that a worker looks at again within seconds: a budget or a price has changed
	MonthEnds time.Time   `json:"month_ends"` // when the rest may go on, as far as the next month's money goes
}

// BudgetState says how an account or an app stands.
type BudgetState string

// The states of a budget.
const (
	BudgetNone   BudgetState = "no budget"
	BudgetOpen   BudgetState = "open"
	BudgetMost   BudgetState = "most is spent"      // 80%
	BudgetLittle BudgetState = "too little is left" // for what waits
	BudgetSpent  BudgetState = "spent"
)

func (l *BudgetLine) state(told int) BudgetState {
	switch {
	case l.BudgetUSD == nil:
		return BudgetNone
	case l.SpentUSD >= *l.BudgetUSD:
		return BudgetSpent
	case told&ToldWaits != 0 && l.Waiting > l.TooDear:
		return BudgetLittle
	case (&Budget{Limit: *l.BudgetUSD, Spent: l.SpentUSD}).mostSpent():
		return BudgetMost
	}
	return BudgetOpen
}

// BudgetList returns what each app and each of its accounts has spent in this month, by their names, an app before its accounts.
func BudgetList(ctx context.Context, db DBTX) ([]BudgetLine, error) {
	query := `-- name: BudgetList :many
WITH month AS MATERIALIZED (SELECT tweetqueue.month_of(tweetqueue.clock()) AS month, tweetqueue.month_end(tweetqueue.clock()) AS ends
), waiting AS MATERIALIZED (
    SELECT w.account, count(*) AS n, count(*) FILTER (WHERE w.usd > least(a.budget_usd, p.budget_usd)) AS too_dear,
        count(*) FILTER (WHERE b.until < (SELECT ends FROM month) AND (w.usd > least(a.budget_usd, p.budget_usd)) IS NOT TRUE) AS soon
    FROM (` + everyKind(`SELECT t.account, coalesce(p.usd, 0) AS usd
        FROM {table} t LEFT JOIN tweetqueue.prices p ON p.action = {action} AND p.with_url = {has_url}
        WHERE t.status = 'scheduled' AND t.waiting_for = 'budget'`) + `) AS w
    JOIN tweetqueue.accounts a ON a.username = w.account JOIN tweetqueue.apps p ON p.id = a.app_id
    LEFT JOIN tweetqueue.budget_waits b ON b.account_id = a.id GROUP BY w.account
), lines AS (
    SELECT p.name AS app, a.username AS account, coalesce(s.spent_usd, 0) AS spent, a.budget_usd AS budget, coalesce(s.told, 0) AS told,
        coalesce(w.n, 0) AS waiting, coalesce(w.too_dear, 0) AS too_dear, coalesce(w.soon, 0) AS soon
    FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
    LEFT JOIN tweetqueue.spending s ON s.account_id = a.id AND s.month = (SELECT month FROM month)
    LEFT JOIN waiting w ON w.account = a.username
)
SELECT p.name, '' AS account, (SELECT to_char(month, 'YYYY-MM') FROM month), coalesce(s.spent_usd, l.spent, 0), p.budget_usd,
    coalesce(l.waiting, 0), coalesce(l.too_dear, 0), coalesce(l.soon, 0), (SELECT ends FROM month), coalesce(s.told, 0)
FROM tweetqueue.apps p
LEFT JOIN tweetqueue.app_spending s ON s.app_id = p.id AND s.month = (SELECT month FROM month)
LEFT JOIN (SELECT app, sum(spent) AS spent, sum(waiting) AS waiting, sum(too_dear) AS too_dear, sum(soon) AS soon FROM lines GROUP BY app) AS l ON l.app = p.name
UNION ALL
SELECT app, account, (SELECT to_char(month, 'YYYY-MM') FROM month), spent, budget, waiting, too_dear, soon, (SELECT ends FROM month), told FROM lines
ORDER BY 1, 2`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (BudgetLine, error) {
		var l BudgetLine
		var told int
		err := row.Scan(&l.App, &l.Account, &l.Month, &l.SpentUSD, &l.BudgetUSD, &l.Waiting, &l.TooDear, &l.Soon, &l.MonthEnds, &told)
		l.State = l.state(told)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	return list, nil
}

// AccountBudgetSet says what an account may spend in a month; nil: any amount. [ErrNotFound] if there is no such account.
func AccountBudgetSet(ctx context.Context, db DBTX, username string, budget *USD) error {
	const query = `-- name: AccountBudgetSet :exec
UPDATE tweetqueue.accounts SET budget_usd = $2 WHERE username = $1`
	return updateNamed(ctx, db, query, "account", username, budget)
}

// AppBudgetSet says what all accounts of an app together may spend in a month; nil: any amount. [ErrNotFound] if there is no such app.
func AppBudgetSet(ctx context.Context, db DBTX, name string, budget *USD) error {
	const query = `-- name: AppBudgetSet :exec
UPDATE tweetqueue.apps SET budget_usd = $2 WHERE name = $1`
	return updateNamed(ctx, db, query, "app", name, budget)
}

// AccountResume ends a hold of an account, whatever it is for. [ErrNotFound] if there is no such account.
func AccountResume(ctx context.Context, db DBTX, username string) error {
	const query = `-- name: AccountResume :exec
UPDATE tweetqueue.accounts SET state = 'active' WHERE username = $1`
	return updateNamed(ctx, db, query, "account", username)
}

// AppResume ends a hold of an app, whatever it is for. [ErrNotFound] if there is no such app.
func AppResume(ctx context.Context, db DBTX, name string) error {
	const query = `-- name: AppResume :exec
UPDATE tweetqueue.apps SET state = 'active', doubted = '{}' WHERE name = $1`
	return updateNamed(ctx, db, query, "app", name)
}

// updateNamed runs a statement that changes the row of a name.
func updateNamed(ctx context.Context, db DBTX, query, what, name string, args ...any) error {
	tag, err := db.Exec(ctx, query, append([]any{name}, args...)...)
	if err != nil {
		return fmt.Errorf("change %s %q: %w", what, name, refusal(err))
	}
	if tag.RowsAffected() == 0 {
		hint := "see 'enqueue account list'"
		if what == "account" {
			hint = fmt.Sprintf("add it with 'enqueue account add %s'", name)
		}
		return fmt.Errorf("%s %q: %w: %s", what, name, ErrNotFound, hint)
	}
	return nil
}
