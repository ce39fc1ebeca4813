package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AppCredentials are the keys of an X developer App, for OAuth 1.0a.
type AppCredentials struct {
	APIKey    Secret
	APISecret Secret
}

// AccountCredentials are an account's tokens for its app, for OAuth 1.0a.
type AccountCredentials struct {
	AccessToken       Secret
	AccessTokenSecret Secret
}

// sealed is what is encrypted: a first and a second half, whatever X calls them.
type sealed struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

func appBinding(name string) string        { return "apps/" + name }
func accountBinding(xUserID string) string { return "accounts/" + xUserID }

// Seal encrypts the keys for the app of that name.
func (c AppCredentials) Seal(ring *Keyring, name string) ([]byte, error) {
	return ring.Seal(sealed{string(c.APIKey), string(c.APISecret)}, appBinding(name))
}

// Seal encrypts the tokens for the account of that X user id.
func (c AccountCredentials) Seal(ring *Keyring, xUserID string) ([]byte, error) {
	return ring.Seal(sealed{string(c.AccessToken), string(c.AccessTokenSecret)}, accountBinding(xUserID))
}

// OpenApp decrypts the keys of the app of that name.
func OpenApp(ring *Keyring, name string, credentials []byte) (AppCredentials, error) {
	var plain sealed
	if err := ring.Open(credentials, appBinding(name), &plain); err != nil {
		return AppCredentials{}, fmt.Errorf("keys of app %q: %w", name, err)
	}
	return AppCredentials{APIKey: Secret(plain.ID), APISecret: Secret(plain.Secret)}, nil
}

// OpenAccount decrypts the tokens of the account of that X user id.
func OpenAccount(ring *Keyring, xUserID string, credentials []byte) (AccountCredentials, error) {
	var plain sealed
	if err := ring.Open(credentials, accountBinding(xUserID), &plain); err != nil {
		return AccountCredentials{}, fmt.Errorf("tokens of X user %s: %w", xUserID, err)
	}
	return AccountCredentials{AccessToken: Secret(plain.ID), AccessTokenSecret: Secret(plain.Secret)}, nil
}

// DefaultApp is the name of the app that is filled from the environment.
const DefaultApp = "default"

// AppPut inserts the app of that name, or replaces its credentials. It returns its id.
func AppPut(ctx context.Context, db DBTX, name string, credentials []byte) (int64, error) {
	const query = `-- name: AppPut :one
INSERT INTO tweetqueue.apps (name, credentials) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET credentials = excluded.credentials
RETURNING id`
	var id int64
	if err := db.QueryRow(ctx, query, name, credentials).Scan(&id); err != nil {
		return 0, fmt.Errorf("save app %q: %w", name, refusal(err))
	}
	return id, nil
}

// AppFill gives the app of that name its keys, if it is not there yet. It replaces none, for it cannot
// know whether X accepts the new ones: [ErrOtherKeys] if they differ from those that are there.
func AppFill(ctx context.Context, tx pgx.Tx, ring *Keyring, name string, keys AppCredentials) error {
	const query = `-- name: AppFill :exec
INSERT INTO tweetqueue.apps (name, credentials) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	fresh, err := keys.Seal(ring, name)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, query, name, fresh); err != nil {
		return fmt.Errorf("save app %q: %w", name, err)
	}
	kept, err := AppSealed(ctx, tx, name)
	if err != nil {
		return err
	}
	known, err := OpenApp(ring, name, kept)
	if err != nil {
		return err
	}
	if known != keys {
		return fmt.Errorf("%w: leave out X_API_KEY and X_API_SECRET, or let 'enqueue account add' try the new ones and keep them", ErrOtherKeys)
	}
	return nil
}

// AppSealed returns the encrypted credentials of the app of that name, as [OpenApp] takes them.
// [ErrNotFound] if there is none.
func AppSealed(ctx context.Context, db DBTX, name string) ([]byte, error) {
	const query = `-- name: AppSealed :one
SELECT credentials FROM tweetqueue.apps WHERE name = $1`
	var credentials []byte
	err := db.QueryRow(ctx, query, name).Scan(&credentials)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("app %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read app %q: %w", name, err)
	}
	return credentials, nil
}

// Account is an X user that the program posts for.
type Account struct {
	ID           int64  `json:"id"`
	Username     string `json:"username"`  // as X spells it, without @
	XUserID      string `json:"x_user_id"` // X's id: it stays when the username changes
	App          string `json:"app"`
	TimeZone     string `json:"time_zone"` // IANA name
	LimitsPreset string `json:"limits_preset"`
	TextLimit    int    `json:"text_limit"` // weighted length
	Hold
	AppHold   Hold      `json:"app_hold"` // of its app: it holds the rows of all its accounts
	CreatedAt time.Time `json:"created_at"`
}

// AccountPutParams are the columns of a new or renewed account.
type AccountPutParams struct {
	Username    string
	XUserID     string
	AppID       int64
	Credentials []byte // sealed for XUserID
	TimeZone    string // IANA name; empty: UTC for a new account, unchanged for a known one
	TextLimit   int    // weighted length; 0: 280 for a new account, unchanged for a known one
}

// AccountPut inserts an account, or renews a known one, by its X user id: its username as X spells
// it now, its tokens, and its state, which becomes active.
func AccountPut(ctx context.Context, db DBTX, params AccountPutParams) (int64, error) {
	const query = `-- name: AccountPut :one
INSERT INTO tweetqueue.accounts (username, x_user_id, app_id, credentials, time_zone, text_limit)
VALUES ($1, $2, $3, $4, coalesce(nullif($5, ''), 'UTC'), coalesce(nullif($6, 0), 280))
ON CONFLICT (x_user_id) DO UPDATE
SET username = excluded.username, app_id = excluded.app_id, credentials = excluded.credentials,
    time_zone = coalesce(nullif($5, ''), accounts.time_zone),
    text_limit = coalesce(nullif($6, 0), accounts.text_limit),
    state = 'active', state_reason = NULL, state_until = NULL
RETURNING id`
	var id int64
	err := db.QueryRow(ctx, query, params.Username, params.XUserID, params.AppID, params.Credentials,
		params.TimeZone, params.TextLimit).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("save account %q: %w", params.Username, refusal(err))
	}
	return id, nil
}

const accountColumns = `a.id, a.username, a.x_user_id, p.name, a.time_zone, a.limits_preset,
    a.text_limit, a.state, a.state_reason, a.state_until, p.state, p.state_reason, p.state_until, a.created_at`

func scanAccount(row pgx.CollectableRow) (Account, error) {
	var a Account
	err := row.Scan(&a.ID, &a.Username, &a.XUserID, &a.App, &a.TimeZone, &a.LimitsPreset,
		&a.TextLimit, &a.State, &a.Reason, &a.Until, &a.AppHold.State, &a.AppHold.Reason, &a.AppHold.Until, &a.CreatedAt)
	return a, err
}

// AccountGet returns the account of that username, in any case. [ErrNotFound] if there is none.
func AccountGet(ctx context.Context, db DBTX, username string) (Account, error) {
	const query = `-- name: AccountGet :one
SELECT ` + accountColumns + `
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE a.username = $1`
	rows, err := db.Query(ctx, query, username)
	if err != nil {
		return Account{}, fmt.Errorf("read account %q: %w", username, err)
	}
	account, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, fmt.Errorf("account %q: %w: add it with 'enqueue account add %s'", username, ErrNotFound, username)
	}
	if err != nil {
		return Account{}, fmt.Errorf("read account %q: %w", username, err)
	}
	return account, nil
}

// AccountList returns all accounts by username.
func AccountList(ctx context.Context, db DBTX) ([]Account, error) {
	const query = `-- name: AccountList :many
SELECT ` + accountColumns + `
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id
ORDER BY a.username`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, scanAccount)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return accounts, nil
}

// AccountHold puts an account in a state that holds its rows back, for wait from now or, if wait is
// 0, until a person says otherwise. A hold without an end is not replaced by one with an end. Either way
// the account is locked by then, so that the end of the hold waits for what rests on it; [ErrRowLocked]
// if somebody else has it locked. It returns whether that is news: a hold for the same cause, which is in the words of the
// reason, only goes on.
func AccountHold(ctx context.Context, db DBTX, id int64, state State, reason, cause string, wait time.Duration) (began bool, err error) {
	const query = `-- name: AccountHold :one
WITH locked AS MATERIALIZED (
    SELECT id, state, position($5 IN coalesce(state_reason, '')) = 0 AS other
    FROM tweetqueue.accounts WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED
), held AS (
    UPDATE tweetqueue.accounts
    SET state = $2, state_reason = $3,
        state_until = CASE WHEN $4 > interval '0' THEN tweetqueue.clock() + $4 END
    WHERE id = (SELECT id FROM locked)
        AND (state = 'active' OR state_until IS NOT NULL OR $4 = interval '0')
    RETURNING state
)
SELECT EXISTS (SELECT FROM locked), EXISTS (SELECT FROM held, locked WHERE held.state <> locked.state OR other)`
	return hold(db.QueryRow(ctx, query, id, state, validText(reason), wait, validText(cause)), "account", id)
}

// hold reads whether what is to be held could be locked.
func hold(row pgx.Row, what string, id int64) (began bool, err error) {
	var locked bool
	if err := row.Scan(&locked, &began); err != nil {
		return false, fmt.Errorf("hold %s %d: %w", what, id, err)
	}
	if !locked {
		return false, fmt.Errorf("hold %s %d: %w", what, id, ErrRowLocked)
	}
	return began, nil
}

// AccountRelease makes an account active again after a hold with an end, because a request of it has
// succeeded. Its rows that wait for it wake at once.
func AccountRelease(ctx context.Context, db DBTX, id int64) error {
	const query = `-- name: AccountRelease :exec
UPDATE tweetqueue.accounts SET state = 'active', state_reason = NULL, state_until = NULL
WHERE id = $1 AND state <> 'active' AND state_until IS NOT NULL`
	if _, err := db.Exec(ctx, query, id); err != nil {
		return fmt.Errorf("release account %d: %w", id, err)
	}
	return nil
}

// AccountProbe takes the one try that an account has when its hold has ended: it holds the account for
// rest longer, and returns true to one caller alone, who may send. The others wait until then; a
// success of the one wakes them ([AccountRelease]).
func AccountProbe(ctx context.Context, tx pgx.Tx, id int64, rest time.Duration) (bool, error) {
	const query = `-- name: AccountProbe :exec
UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock() + $2
WHERE id = (SELECT id FROM tweetqueue.accounts
    WHERE id = $1 AND state <> 'active' AND state_until <= tweetqueue.clock()
    FOR NO KEY UPDATE SKIP LOCKED)`
	tag, err := tx.Exec(ctx, query, id, rest)
	if err != nil {
		return false, fmt.Errorf("probe account %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// AppProbe is AccountProbe for an app.
func AppProbe(ctx context.Context, tx pgx.Tx, id int64, rest time.Duration) (bool, error) {
	const query = `-- name: AppProbe :exec
UPDATE tweetqueue.apps SET state_until = tweetqueue.clock() + $2
WHERE id = (SELECT id FROM tweetqueue.apps
    WHERE id = $1 AND state <> 'active' AND state_until <= tweetqueue.clock()
    FOR NO KEY UPDATE SKIP LOCKED)`
	tag, err := tx.Exec(ctx, query, id, rest)
	if err != nil {
		return false, fmt.Errorf("probe app %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// KeyCheck refuses a keyring that does not open what the database holds: [ErrSealed]. A worker with
// the wrong key could send nothing, and would stand in the way of those that can.
func KeyCheck(ctx context.Context, db DBTX, ring *Keyring) error {
	const query = `-- name: AppCredentials :many
SELECT name, credentials FROM tweetqueue.apps`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("read apps: %w", err)
	}
	var name string
	var credentials []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &credentials}, func() error {
		_, err := OpenApp(ring, name, credentials)
		return err
	})
	if err != nil {
		return fmt.Errorf("check TWEETQUEUE_KEY: %w", err)
	}
	return nil
}

// AppHold is AccountHold for an app, which pauses. After what was taken for an outage of X it begins anew.
func AppHold(ctx context.Context, db DBTX, id int64, reason, cause string, wait time.Duration) (began bool, err error) {
	const query = `-- name: AppHold :one
WITH locked AS MATERIALIZED (
    SELECT id, state = 'active' OR cardinality(doubted) >= $4 OR position($5 IN coalesce(state_reason, '')) = 0 AS begins
    FROM tweetqueue.apps WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED
), held AS (
    UPDATE tweetqueue.apps
    SET state = 'paused', state_reason = $2, doubted = '{}', -- X answered
        state_until = CASE WHEN $3 > interval '0' THEN tweetqueue.clock() + $3 END
    WHERE id = (SELECT id FROM locked)
        AND (state = 'active' OR state_until IS NOT NULL OR $3 = interval '0')
    RETURNING 1
)
SELECT EXISTS (SELECT FROM locked), EXISTS (SELECT FROM held, locked WHERE begins)`
	return hold(db.QueryRow(ctx, query, id, validText(reason), wait, outageDoubts, validText(cause)), "app", id)
}

// AppRelease is AccountRelease for an app.
func AppRelease(ctx context.Context, db DBTX, id int64) error {
	const query = `-- name: AppRelease :exec
UPDATE tweetqueue.apps SET state = 'active', state_reason = NULL, state_until = NULL, doubted = '{}'
WHERE id = $1 AND state <> 'active' AND state_until IS NOT NULL`
	if _, err := db.Exec(ctx, query, id); err != nil {
		return fmt.Errorf("release app %d: %w", id, err)
	}
	return nil
}

// outageDoubts is on how many accounts in a row an app's requests leave a doubt before it is taken for an
// outage of X.
const outageDoubts = 5

// AppDoubt notes that a request of an account left a doubt: X did not answer it. After doubts on five
// accounts, without an answer to any request of the app between them, the app pauses for wait; then
// one row at a time tries whether X answers ([AppProbe]), until one does ([AppAnswered]): an outage of X must not
// turn a whole queue into doubts. It returns whether this paused the app, which was active. A pause that is no
// outage's stays as it is. Where somebody else has the app locked it notes nothing, and returns [ErrRowLocked]:
// the doubt itself must be recorded at once. Then [AppDoubtLater] notes it.
func AppDoubt(ctx context.Context, db DBTX, appID, accountID int64, reason string, wait time.Duration) (paused bool, err error) {
	return appDoubt(ctx, db, " SKIP LOCKED", appID, accountID, reason, wait)
}

// AppDoubtLater is [AppDoubt] after the transaction that recorded the doubt: it waits for whoever has the app
// locked, such as the doubt of another account.
func AppDoubtLater(ctx context.Context, db DBTX, appID, accountID int64, reason string, wait time.Duration) (paused bool, err error) {
	return appDoubt(ctx, db, "", appID, accountID, reason, wait)
}

func appDoubt(ctx context.Context, db DBTX, skip string, appID, accountID int64, reason string, wait time.Duration) (paused bool, err error) {
	query := `-- name: AppDoubt :one
WITH locked AS MATERIALIZED (
    SELECT id, state, state = 'paused' AND state_until IS NOT NULL AND cardinality(doubted) >= $3 AS outage,
        CASE WHEN $2 = ANY (doubted) THEN doubted ELSE doubted || $2::bigint END AS doubted
    FROM tweetqueue.apps WHERE id = $1 FOR NO KEY UPDATE` + skip + `
), doubted AS (
    UPDATE tweetqueue.apps p SET doubted = l.doubted[1:$3],
        state = CASE WHEN cardinality(l.doubted) >= $3 THEN 'paused' ELSE p.state END,
        state_reason = CASE WHEN cardinality(l.doubted) >= $3 THEN $4 ELSE p.state_reason END,
        state_until = CASE WHEN cardinality(l.doubted) >= $3 THEN tweetqueue.clock() + $5 ELSE p.state_until END
    FROM locked l WHERE p.id = l.id AND (l.state = 'active' OR l.outage)
    RETURNING l.state = 'active' AND p.state = 'paused' AS paused
)
SELECT coalesce((SELECT paused FROM doubted), false), EXISTS (SELECT FROM locked)`
	var locked bool
	err = db.QueryRow(ctx, query, appID, accountID, outageDoubts, validText(reason), wait).Scan(&paused, &locked)
	if err == nil && !locked {
		err = ErrRowLocked
	}
	if err != nil {
		return false, fmt.Errorf("note a doubt of app %d: %w", appID, err)
	}
	return paused, nil
}

// AppAnswered notes that X answered a request of the app, so that it is in order: what AppDoubt noted is
// forgotten, and an app that it paused is active again.
func AppAnswered(ctx context.Context, db DBTX, appID int64) error {
	const query = `-- name: AppAnswered :exec
UPDATE tweetqueue.apps p SET doubted = '{}',
    state = CASE WHEN o.outage THEN 'active' ELSE p.state END,
    state_reason = CASE WHEN NOT o.outage THEN p.state_reason END,
    state_until = CASE WHEN NOT o.outage THEN p.state_until END
FROM (SELECT id, state = 'paused' AND state_until IS NOT NULL AND cardinality(doubted) >= $2 AS outage
    FROM tweetqueue.apps WHERE id = $1 AND doubted <> '{}' FOR NO KEY UPDATE) AS o
WHERE p.id = o.id`
	if _, err := db.Exec(ctx, query, appID, outageDoubts); err != nil {
		return fmt.Errorf("note an answer to app %d: %w", appID, err)
	}
	return nil
}

// ClaimX records, once, the X that the database's rows are meant for, and refuses another one while
// rows wait or another worker than this one lives: [ErrOtherX]. So a worker that was started against a
// sandbox never takes the rows meant for X, nor the other way round.
func ClaimX(ctx context.Context, tx pgx.Tx, workerID int64, baseURL string) error {
	query := `-- name: InstallationClaimX :one
UPDATE tweetqueue.installation SET x_base_url = $1
WHERE x_base_url IS NULL OR x_base_url = $1 OR NOT EXISTS (
` + everyKind(`SELECT FROM {table} WHERE status IN ('scheduled', 'sending', 'unconfirmed')`) + `
    UNION ALL
    SELECT FROM tweetqueue.workers
    WHERE id <> $2 AND tweetqueue.worker_alive(renewed_at, stopped_at))
RETURNING x_base_url`
	const known = `-- name: InstallationX :one
SELECT x_base_url FROM tweetqueue.installation`
	var recorded string
	err := tx.QueryRow(ctx, query, baseURL, workerID).Scan(&recorded)
	if errors.Is(err, pgx.ErrNoRows) {
		if err := tx.QueryRow(ctx, known).Scan(&recorded); err != nil {
			return fmt.Errorf("read the X of the database: %w", err)
		}
		return fmt.Errorf("%w: its rows are meant for %s, this worker is for %s: set X_API_BASE_URL to the former, or stop its workers and cancel what waits",
			ErrOtherX, recorded, baseURL)
	}
	if err != nil {
		return fmt.Errorf("record the X of the database: %w", err)
	}
	return nil
}

// HasCredentials reports whether the database holds anything encrypted, so that a new key could not
// be the right one.
func HasCredentials(ctx context.Context, db DBTX) (bool, error) {
	const query = `-- name: HasCredentials :one
SELECT EXISTS (SELECT FROM tweetqueue.apps) OR EXISTS (SELECT FROM tweetqueue.accounts)`
	var has bool
	if err := db.QueryRow(ctx, query).Scan(&has); err != nil {
		return false, fmt.Errorf("look for credentials: %w", err)
	}
	return has, nil
}
