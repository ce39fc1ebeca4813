package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Upcoming is a scheduled row as a forecast sees it: one that goes by itself when it is due and the limits allow.
type Upcoming struct {
	ID        int64
	AccountID int64
	Action    string
	// ReadyAt is when only the limits, the budgets and its thread can hold it back any more: it is due, it need not wait before
	// it is tried again, and what holds its account back for a time, such as a look-up, is over.
	ReadyAt  time.Time
	DueAt    time.Time // post_at, delete_at or retweet_at
	Priority int
	Before   *time.Time // its deadline, post_before

	PreviousID int64  // the tweet before it in its thread: see [ThreadsRead]; 0: none
	Own        bool   // the reading transaction has written it
	HasURL     bool   // the tweet's text has a URL, as far as a worker has looked
	Text       string // of a tweet at whose text no worker has looked, and that may have one
}

// HeldRows are rows of an account of which nobody knows when they go.
type HeldRows struct {
	AccountID int64
	// For is what a scheduled row waits for, such as an account that is paused until a person says otherwise, or
	// the status of one that is sending or unconfirmed.
	For  string
	Rows int
}

// InSnapshot runs do in a transaction that only reads, and sees all as it stood at one instant.
func InSnapshot(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
	if err != nil {
		return fmt.Errorf("read a snapshot: %w", err)
	}
	return nil
}

// TrySnapshot is InSnapshot for a transaction that also writes, and sees what it writes: all of it is taken back.
func TrySnapshot(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	tried := errors.New("tried")
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return tried
	})
	if errors.Is(err, tried) {
		return nil
	}
	return err //nolint:wrapcheck // It is what do says, or what the driver does.
}

// forecastWith are the accounts of the apps named by $1, with what holds back their rows. A doubt of an account ends with its
// next look-up, as far as anybody knows.
const forecastWith = `accounts AS MATERIALIZED (
    SELECT a.id, a.username,
        CASE WHEN p.state <> 'active' AND p.state_until IS NULL THEN 'app'
            WHEN a.state <> 'active' AND a.state_until IS NULL THEN 'account' END AS held,
        greatest(CASE WHEN p.state <> 'active' THEN p.state_until END,
            CASE WHEN a.state <> 'active' THEN a.state_until END) AS held_until,
        (SELECT max(d.next_attempt_at) FROM tweetqueue.tweets d
            WHERE d.account = a.username AND d.status = 'unconfirmed') AS doubt_until
    FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id WHERE p.name = ANY ($1)
)
`

// forecastOf is the union over all kinds of a query over rows t and their accounts s.
func forecastOf(query string) string {
	var all []string
	for _, kind := range Kinds() {
		doubt, previous, url := "NULL::timestamptz", "0", "false, ''"
		if kind == PostTweet {
			doubt, previous = "s.doubt_until", "coalesce(t.previous_id, 0)"
			url = "coalesce(t.has_url, false), CASE WHEN t.has_url IS NULL AND position('.' IN t.text) > 0 THEN t.text ELSE '' END"
		}
		all = append(all, strings.NewReplacer("{doubt_until}", doubt, "{previous}", previous, "{url}", url).Replace(kind.sql(query)))
	}
	return strings.Join(all, "\nUNION ALL\n")
}

// UpcomingRead calls do with the scheduled rows of the apps' accounts, by the instant at which they are ready, as they come from
// the database: there may be more than fit into memory. What goes only after somebody has done something is left
// out: see [HeldList].
func UpcomingRead(ctx context.Context, db DBTX, apps []string, do func(row Upcoming)) error {
	query := `-- name: UpcomingRead :many
WITH ` + forecastWith + forecastOf(`SELECT t.id, s.id, {action},
    greatest(CASE WHEN t.waiting_for IN ('time', 'retry') THEN t.wake_at ELSE t.{due_at} END, s.held_until, {doubt_until}) AS ready_at,
    t.{due_at}, t.priority, {deadline}, {previous}, coalesce(t.xmin = pg_current_xact_id_if_assigned()::xid, false), {url}
FROM {table} t JOIN accounts s ON s.username = t.account
WHERE t.status = 'scheduled' AND s.held IS NULL`) + `
ORDER BY ready_at`
	rows, err := db.Query(ctx, query, apps)
	if err != nil {
		return fmt.Errorf("read what is to go: %w", err)
	}
	var u Upcoming
	targets := []any{
		&u.ID, &u.AccountID, &u.Action, &u.ReadyAt, &u.DueAt, &u.Priority, &u.Before, &u.PreviousID, &u.Own, &u.HasURL, &u.Text,
	}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		do(u)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is to go: %w", err)
	}
	return nil
}

// ThreadsRead returns the tweets that a scheduled one of the apps' accounts follows in a thread, and whether it need not wait for
// them any more: they are on X, or about to be. It waits for ever for those of the others that [UpcomingRead] does not read.
func ThreadsRead(ctx context.Context, db DBTX, apps []string) (map[int64]bool, error) {
	const query = `-- name: ThreadsRead :many
SELECT b.id, b.status IN ('posted', 'sending') OR (b.status = 'unconfirmed' AND b.next_attempt_at IS NOT NULL)
FROM tweetqueue.tweets t JOIN tweetqueue.tweets b ON b.id = t.previous_id
WHERE t.status = 'scheduled' AND t.account = ANY (ARRAY(
    SELECT a.username FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id WHERE p.name = ANY ($1)))`
	rows, err := db.Query(ctx, query, apps)
	if err != nil {
		return nil, fmt.Errorf("read threads: %w", err)
	}
	threads := map[int64]bool{}
	var id int64
	var gone bool
	_, err = pgx.ForEachRow(rows, []any{&id, &gone}, func() error {
		threads[id] = gone
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read threads: %w", err)
	}
	return threads, nil
}

// HeldList counts the rows of the apps' accounts that are neither over nor read by [UpcomingRead].
func HeldList(ctx context.Context, db DBTX, apps []string) ([]HeldRows, error) {
	query := `-- name: HeldList :many
WITH ` + forecastWith + forecastOf(`SELECT s.id, CASE WHEN t.status <> 'scheduled' THEN t.status ELSE s.held END AS held_for, count(*)
FROM {table} t JOIN accounts s ON s.username = t.account
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed') AND (t.status <> 'scheduled' OR s.held IS NOT NULL)
GROUP BY 1, 2`)
	rows, err := db.Query(ctx, query, apps)
	if err != nil {
		return nil, fmt.Errorf("count what is held: %w", err)
	}
	held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldRows])
	if err != nil {
		return nil, fmt.Errorf("count what is held: %w", err)
	}
	return held, nil
}

// BudgetsRead reads the budgets of the apps and of their accounts for this month, by account, as [BudgetsLock] does, but
// locks nothing.
func BudgetsRead(ctx context.Context, db DBTX, apps []string) (map[int64]Budgets, error) {
	const query = `-- name: BudgetsReadAll :many
SELECT a.id AS account_id, a.id, 0, a.username, tweetqueue.month_of(tweetqueue.clock()) AS month, a.budget_usd, coalesce(s.spent_usd, 0)
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
LEFT JOIN tweetqueue.spending s ON s.account_id = a.id AND s.month = tweetqueue.month_of(tweetqueue.clock())
WHERE p.name = ANY ($1) AND a.budget_usd IS NOT NULL
UNION ALL
SELECT a.id, 0, p.id, p.name, tweetqueue.month_of(tweetqueue.clock()), p.budget_usd, coalesce(s.spent_usd, 0)
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
LEFT JOIN tweetqueue.app_spending s ON s.app_id = p.id AND s.month = tweetqueue.month_of(tweetqueue.clock())
WHERE p.name = ANY ($1) AND p.budget_usd IS NOT NULL`
	prices, err := PricesRead(ctx, db)
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, query, apps)
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	all, ofApps := map[int64]Budgets{}, map[int64]*Budget{}
	var accountID int64
	var b Budget
	_, err = pgx.ForEachRow(rows, []any{&accountID, &b.AccountID, &b.AppID, &b.Name, &b.Month, &b.Limit, &b.Spent}, func() error {
		budget := new(b)
		if known := ofApps[b.AppID]; known != nil {
			budget = known // the same for all accounts
		} else if b.AppID != 0 {
			ofApps[b.AppID] = budget
		}
		all[accountID] = Budgets{Prices: prices, Of: append(all[accountID].Of, budget)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	return all, nil
}

// Renew makes it the budget of the month of an instant, of which nothing is spent yet, if its own month is over then.
func (b *Budget) Renew(now time.Time) {
	if now.Before(b.Month.AddDate(0, 1, 0)) {
		return
	}
	now = now.UTC()
	b.Month, b.Spent, b.Told = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), 0, 0
}
