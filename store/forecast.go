package store

import (
	"context"
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
	// ReadyAt is when only the limits can hold it back any more: it is due, it need not wait before it is tried again, and what
	// holds its account back for a time, such as a look-up, is over.
	ReadyAt  time.Time
	DueAt    time.Time // post_at, delete_at or retweet_at
	Priority int
	Before   *time.Time // its deadline, post_before
	Own      bool       // the reading transaction has written it
	HasURL   bool       // the tweet's text has a URL, as far as a worker has looked
	Text     string     // of a tweet at whose text no worker has looked, and that may have one
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

// forecastWith are the accounts of the apps named by $1, with what holds back their rows, and the tweets that are the next
// of a thread that has come to its end. A doubt of an account ends with its next look-up, as far as anybody knows.
const forecastWith = `accounts AS MATERIALIZED (
    SELECT a.id, a.username,
        CASE WHEN p.state <> 'active' AND p.state_until IS NULL THEN 'app'
            WHEN a.state <> 'active' AND a.state_until IS NULL THEN 'account' END AS held,
        greatest(CASE WHEN p.state <> 'active' THEN p.state_until END,
            CASE WHEN a.state <> 'active' THEN a.state_until END) AS held_until,
        (SELECT max(d.next_attempt_at) FROM tweetqueue.tweets d
            WHERE d.account = a.username AND d.status = 'unconfirmed') AS doubt_until
    FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id WHERE p.name = ANY ($1)
), stuck AS (
    SELECT t.id FROM tweetqueue.tweets t JOIN tweetqueue.tweets b ON b.id = t.previous_id
    WHERE t.status = 'scheduled'
        AND (b.status IN ('failed', 'missed', 'cancelled') OR (b.status = 'unconfirmed' AND b.next_attempt_at IS NULL))
    UNION
    SELECT t.id FROM stuck JOIN tweetqueue.tweets t ON t.previous_id = stuck.id WHERE t.status = 'scheduled'
)
`

// forecastOf is the union over all kinds of a query over rows t and their accounts s.
func forecastOf(query string) string {
	var all []string
	for _, kind := range Kinds() {
		stuck, doubt, url := "false", "NULL::timestamptz", "false, ''"
		if kind == PostTweet {
			stuck, doubt = "t.id = ANY (ARRAY(SELECT id FROM stuck))", "s.doubt_until"
			url = "coalesce(t.has_url, false), CASE WHEN t.has_url IS NULL AND position('.' IN t.text) > 0 THEN t.text ELSE '' END"
		}
		all = append(all, strings.NewReplacer("{stuck}", stuck, "{doubt_until}", doubt, "{url}", url).Replace(kind.sql(query)))
	}
	return strings.Join(all, "\nUNION ALL\n")
}

// goes is what rows wait for that go by themselves.
const goes = `('time', 'quota', 'retry', 'thread', 'account', 'app')`

// UpcomingRead calls do with the scheduled rows of the apps' accounts, by the instant at which they are ready, as they come from
// the database: there may be more than fit into memory. What goes only after somebody has done something is left
// out: see [HeldList].
func UpcomingRead(ctx context.Context, db DBTX, apps []string, do func(row Upcoming)) error {
	query := `-- name: UpcomingRead :many
WITH RECURSIVE ` + forecastWith + forecastOf(`SELECT t.id, s.id, {action},
    greatest(CASE WHEN t.waiting_for IN ('time', 'retry') THEN t.wake_at ELSE t.{due_at} END, s.held_until, {doubt_until}) AS ready_at,
    t.{due_at}, t.priority, {deadline}, coalesce(t.xmin = pg_current_xact_id_if_assigned()::xid, false), {url}
FROM {table} t JOIN accounts s ON s.username = t.account
WHERE t.status = 'scheduled' AND s.held IS NULL AND NOT {stuck} AND t.waiting_for IN `+goes) + `
ORDER BY ready_at`
	rows, err := db.Query(ctx, query, apps)
	if err != nil {
		return fmt.Errorf("read what is to go: %w", err)
	}
	var u Upcoming
	targets := []any{&u.ID, &u.AccountID, &u.Action, &u.ReadyAt, &u.DueAt, &u.Priority, &u.Before, &u.Own, &u.HasURL, &u.Text}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		do(u)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is to go: %w", err)
	}
	return nil
}

// HeldList counts the rows of the apps' accounts that are neither over nor read by [UpcomingRead].
func HeldList(ctx context.Context, db DBTX, apps []string) ([]HeldRows, error) {
	query := `-- name: HeldList :many
WITH RECURSIVE ` + forecastWith + forecastOf(`SELECT s.id, CASE WHEN t.status <> 'scheduled' THEN t.status WHEN s.held IS NOT NULL THEN s.held
        WHEN {stuck} THEN 'thread' ELSE t.waiting_for END AS held_for, count(*)
FROM {table} t JOIN accounts s ON s.username = t.account
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed')
    AND (t.status <> 'scheduled' OR s.held IS NOT NULL OR {stuck} OR t.waiting_for NOT IN `+goes+`)
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
