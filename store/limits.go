package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Limit is one window of a preset: at most Maximum requests of its actions on any interval as long as Period. An account
// has a window of its own for each of its preset that is per user; its app has those per app.
type Limit struct {
	Preset  string
	Name    string        // unique in the preset
	Per     string        // whose requests count together: user or app
	Actions []string      // whose requests count
	Maximum int           // requests
	Period  time.Duration // the window's length
	Family  string        // the headers by which X tells of it: endpoint, user_24hour, app_24hour; empty: none
	Fixed   bool          // X's headers may lower it, and not raise it
}

// LimitList returns the windows of all presets, by preset, those per user first.
func LimitList(ctx context.Context, db DBTX) ([]Limit, error) {
	const query = `-- name: LimitList :many
SELECT preset, name, per, actions, maximum, period, coalesce(family, ''), fixed
FROM tweetqueue.limits ORDER BY preset, per DESC, name`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	limits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Limit])
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	return limits, nil
}

// LimitPut writes a window of a preset, which is new with its first, and gives it to the accounts that have the
// preset, and to their apps. It returns their number. What was counted stays counted. [ErrRefused] if the preset is not
// one's own.
func LimitPut(ctx context.Context, tx pgx.Tx, limit Limit) (accounts int, err error) {
	const query = `-- name: LimitPut :exec
INSERT INTO tweetqueue.limits (preset, name, per, actions, maximum, period, family, fixed)
VALUES ($1, $2, $3, $4, $5, $6, nullif($7, ''), $8)
ON CONFLICT (preset, name) DO UPDATE SET per = excluded.per, actions = excluded.actions, maximum = excluded.maximum,
    period = excluded.period, family = excluded.family, fixed = excluded.fixed`
	if err := presetOwn(ctx, tx, limit.Preset); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, query, limit.Preset, limit.Name, limit.Per, limit.Actions, limit.Maximum, limit.Period, limit.Family, limit.Fixed)
	if err != nil {
		return 0, fmt.Errorf("save limit %q of preset %q: %w", limit.Name, limit.Preset, refusal(err))
	}
	return presetApply(ctx, tx, limit.Preset)
}

// LimitRemove removes a window from a preset, and from the accounts that have the preset and their apps, of which it
// returns the number, and whether it was the last, with which the preset is gone. [ErrNotFound] if there is no such
// window; [ErrRefused] if it is the last and accounts have the preset, or the preset is not one's own.
func LimitRemove(ctx context.Context, tx pgx.Tx, preset, name string) (accounts int, gone bool, err error) {
	const query = `-- name: LimitRemove :exec
DELETE FROM tweetqueue.limits WHERE preset = $1 AND name = $2`
	const left = `-- name: PresetIsGone :one
SELECT NOT EXISTS (SELECT FROM tweetqueue.limits WHERE preset = $1), EXISTS (SELECT FROM tweetqueue.accounts WHERE limits_preset = $1)`
	var used bool
	if err := presetOwn(ctx, tx, preset); err != nil {
		return 0, false, err
	}
	tag, err := tx.Exec(ctx, query, preset, name)
	if err != nil {
		return 0, false, fmt.Errorf("remove limit %q of preset %q: %w", name, preset, err)
	}
	if tag.RowsAffected() == 0 {
		return 0, false, fmt.Errorf("limit %q of preset %q: %w: see 'enqueue limits presets'", name, preset, ErrNotFound)
	}
	if err := tx.QueryRow(ctx, left, preset).Scan(&gone, &used); err != nil {
		return 0, false, fmt.Errorf("read what is left of preset %q: %w", preset, err)
	}
	if gone && used {
		return 0, false, fmt.Errorf("remove limit %q of preset %q: %w: it is the last, and accounts have the preset: give them another one with 'enqueue limits use' first",
			name, preset, ErrRefused)
	}
	accounts, err = presetApply(ctx, tx, preset)
	return accounts, gone, err
}

// presetLock lets one transaction at a time change a preset, or give it to accounts: else an account could get it as it was before.
func presetLock(ctx context.Context, tx pgx.Tx, preset string) error {
	const query = `-- name: PresetLock :exec
SELECT FROM tweetqueue.limits WHERE preset = $1 ORDER BY name FOR UPDATE`
	if _, err := tx.Exec(ctx, query, preset); err != nil {
		return fmt.Errorf("lock preset %q: %w", preset, err)
	}
	return nil
}

// presetOwn returns [ErrRefused] if a preset is the guide or one of X's plans.
func presetOwn(ctx context.Context, tx pgx.Tx, preset string) error {
	const query = `-- name: PresetIsBuiltIn :one
SELECT EXISTS (SELECT FROM tweetqueue.limits WHERE preset = $1 AND built_in)`
	if err := presetLock(ctx, tx, preset); err != nil {
		return err
	}
	var builtIn bool
	if err := tx.QueryRow(ctx, query, preset).Scan(&builtIn); err != nil {
		return fmt.Errorf("look up preset %q: %w", preset, err)
	}
	if builtIn {
		return fmt.Errorf("preset %q: %w: it is built in: make one of your own with 'enqueue limits set', and give it to accounts with 'enqueue limits use'",
			preset, ErrRefused)
	}
	return nil
}

// presetApply gives a preset's windows, as they are now, to the accounts that have it. It returns their number.
func presetApply(ctx context.Context, tx pgx.Tx, preset string) (int, error) {
	const query = `-- name: AccountsOfPresetLock :many
SELECT id FROM tweetqueue.accounts WHERE limits_preset = $1 ORDER BY id FOR NO KEY UPDATE`
	rows, err := tx.Query(ctx, query, preset)
	if err != nil {
		return 0, fmt.Errorf("lock the accounts of preset %q: %w", preset, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, fmt.Errorf("lock the accounts of preset %q: %w", preset, err)
	}
	return len(ids), presetGive(ctx, tx, preset, ids)
}

// AccountsLimits gives accounts a preset. [ErrNotFound] if there is no account of one of the usernames, [ErrRefused] if there
// is no such preset. What was counted stays counted, and a window that is new counts their latest requests.
func AccountsLimits(ctx context.Context, tx pgx.Tx, usernames []string, preset string) error {
	const query = `-- name: AccountsLock :many
SELECT id FROM tweetqueue.accounts WHERE username = ANY ($1) ORDER BY id FOR NO KEY UPDATE`
	for _, username := range usernames {
		if _, err := AccountGet(ctx, tx, username); err != nil {
			return err
		}
	}
	if err := presetLock(ctx, tx, preset); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, query, usernames)
	if err != nil {
		return fmt.Errorf("lock accounts: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("lock accounts: %w", err)
	}
	return presetGive(ctx, tx, preset, ids)
}

// PresetApp is an app that has the windows of a preset that are per app.
type PresetApp struct {
	App      string `json:"app"`
	Accounts int    `json:"accounts"` // all that it has: they share these windows
}

// PresetApps returns the apps that have windows of a preset, because an account of theirs has the preset.
func PresetApps(ctx context.Context, db DBTX, preset string) ([]PresetApp, error) {
	const query = `-- name: PresetApps :many
SELECT p.name, (SELECT count(*) FROM tweetqueue.accounts a WHERE a.app_id = p.id) FROM tweetqueue.apps p
WHERE EXISTS (SELECT FROM tweetqueue.limits WHERE preset = $1 AND per = 'app')
    AND EXISTS (SELECT FROM tweetqueue.accounts a WHERE a.app_id = p.id AND a.limits_preset = $1)
ORDER BY p.name`
	rows, err := db.Query(ctx, query, preset)
	if err != nil {
		return nil, fmt.Errorf("list the apps of preset %q: %w", preset, err)
	}
	apps, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PresetApp])
	if err != nil {
		return nil, fmt.Errorf("list the apps of preset %q: %w", preset, err)
	}
	return apps, nil
}

// presetGive gives accounts that are locked a preset, and them and their apps its windows.
func presetGive(ctx context.Context, tx pgx.Tx, preset string, accountIDs []int64) error {
	const give = `-- name: AccountsSetPreset :exec
UPDATE tweetqueue.accounts SET limits_preset = $2 WHERE id = ANY ($1)`
	// The trigger does so only where an account has got another preset, not where the preset has changed.
	const again = `-- name: AccountsSetQuotas :exec
SELECT tweetqueue.set_quotas($1, ARRAY(SELECT DISTINCT app_id FROM tweetqueue.accounts WHERE id = ANY ($1)))`
	if len(accountIDs) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, give, accountIDs, preset); err != nil {
		return fmt.Errorf("give accounts the limits of preset %q: %w: see 'enqueue limits presets'", preset, refusal(err))
	}
	if _, err := tx.Exec(ctx, again, accountIDs); err != nil {
		return fmt.Errorf("give accounts the limits of preset %q: %w", preset, refusal(err))
	}
	return nil
}
