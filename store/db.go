package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DBTX is what a query runs on: a pool, a connection or a transaction.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// replanned plans every statement when it runs, not once for a connection: for what meets tables that have grown a
// thousandfold since. A plan that was made for an empty table reads all of it, until that is analyzed.
type replanned struct{ db DBTX }

// unprepared puts before the arguments, numbers and times, that the statement is not kept prepared.
func unprepared(args []any) []any { return append([]any{pgx.QueryExecModeExec}, args...) }

func (r replanned) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return r.db.Exec(ctx, sql, unprepared(args)...)
}

func (r replanned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return r.db.Query(ctx, sql, unprepared(args)...)
}

func (r replanned) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return r.db.QueryRow(ctx, sql, unprepared(args)...)
}

// Errors that callers tell apart, with errors.Is.
var (
	// ErrLostRace says that a row was not in the state that a transition starts from, because
	// someone else was faster. Nothing was changed; the transaction should be rolled back.
	ErrLostRace = errors.New("the row is no longer in the expected state")
	// ErrRowLocked says that another transaction has locked a row, such as an application's that
	// stays open. Nothing was changed.
	ErrRowLocked = errors.New("another transaction has locked the row")
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrRefused says that a rule of the database refused a row. Its text says which and why.
	ErrRefused = errors.New("refused")
	// ErrOtherKeys says that the database's app has other keys than those given.
	ErrOtherKeys = errors.New("the database's app has other keys")
	// ErrOtherX says that the database's rows are meant for another X than the worker's.
	ErrOtherX = errors.New("the database belongs to another X")
)

// connectTimeout bounds one try to connect, unless the URL says otherwise (connect_timeout).
const connectTimeout = 10 * time.Second

// rollbackTimeout bounds the rollback of a transaction whose context has ended.
const rollbackTimeout = 5 * time.Second

// ErrURL says that a connection string cannot be read. It does not say where: what is wrong with one is
// often a character of the password, and pgx then quotes a part of it.
var ErrURL = errors.New("it is no connection string such as postgres://user:password@host:5432/name, " +
	"in which @ : / ? # and % of a password are written %40 %3A %2F %3F %23 and %25")

// ParseURL reads a connection string, as a URL or as keywords and values; [ErrURL] if it is none, an
// *fs.PathError if it names a file, such as a certificate's, that cannot be read.
func ParseURL(url Secret) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(string(url))
	if missing := new(fs.PathError); errors.As(err, &missing) {
		return nil, missing
	}
	if err == nil {
		return config, nil
	}
	if plain, err := pgx.ParseConfig(string(url)); err == nil { // but for what is pgxpool's
		return nil, fmt.Errorf("its pool_max_conns is %q: use a number from 1; or another of its pool_ settings cannot be read: see pgxpool.ParseConfig",
			plain.RuntimeParams["pool_max_conns"])
	}
	return nil, ErrURL
}

// MaxConns is how many connections a pool may have, as a connection string says (pool_max_conns); 0: it does not say, or cannot be read.
func MaxConns(url Secret) int32 {
	plain, err := pgx.ParseConfig(string(url))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(plain.RuntimeParams["pool_max_conns"], 10, 32) // pgxpool's, of which pgx knows nothing
	if err != nil {
		return 0
	}
	return int32(n)
}

// Connect opens a pool of up to maxConns connections, unless the URL says how many (pool_max_conns, as pgxpool documents it), for a
// worker or a command named app. A connection that vanishes with a lock, or waits for one, does not stop the others for long.
func Connect(ctx context.Context, url Secret, app string, maxConns int32) (*pgxpool.Pool, error) {
	config, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = cmp.Or(MaxConns(url), maxConns)
	config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, connectTimeout)
	maps.Copy(config.ConnConfig.RuntimeParams, map[string]string{
		"application_name":                    app,
		"idle_in_transaction_session_timeout": "30s",
		"jit":                                 "off",
		"lock_timeout":                        "5s",
		"tcp_keepalives_count":                "3",
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_user_timeout":                    "15s",
		"timezone":                            "UTC",
	})
	// Times come back in UTC, not in the zone of whichever machine reads them.
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	return pool, nil
}

// InTx runs do in a transaction, which it commits if do returns nil and rolls back otherwise, even
// when ctx has ended by then. An error of the commit itself means that its outcome is not known.
func InTx(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // nothing to do after a commit; a dead connection rolls back by itself
	}()
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return &CommitError{Err: err}
	}
	return nil
}

// CommitError says that a transaction's COMMIT was sent and its outcome is not known.
type CommitError struct{ Err error }

func (e *CommitError) Error() string { return fmt.Sprintf("commit transaction: %v", e.Err) }

// Unwrap returns the driver's error.
func (e *CommitError) Unwrap() error { return e.Err }

// Clock reads the database's time, after every lock that the transaction has waited for.
func Clock(ctx context.Context, db DBTX) (time.Time, error) {
	const query = `-- name: Clock :one
SELECT tweetqueue.clock()`
	var now time.Time
	if err := db.QueryRow(ctx, query).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read the database's clock: %w", err)
	}
	return now, nil
}

// RefusedError is an [ErrRefused] of the database: which rule, and its words. A text is in neither.
type RefusedError struct {
	// Constraint is the rule's name, such as tweets_previous_id_fkey; empty for a value that is not
	// of its column's type.
	Constraint string
	words      string
}

func (e *RefusedError) Error() string { return ErrRefused.Error() + ": " + e.words }

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// refusal turns what the database says of a bad row into a [RefusedError] that a person can act on,
// and leaves every other error as it is.
func refusal(err error) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return err
	}
	refused := &RefusedError{Constraint: pgErr.ConstraintName}
	switch pgErr.Code {
	case "23503": // foreign_key_violation; a trigger's has no detail
		refused.words = cmp.Or(pgErr.Detail, pgErr.Message)
	case "23505": // unique_violation
		refused.words = pgErr.ConstraintName + ": " + pgErr.Detail
	case "23514": // check_violation; its detail holds the whole row, the text included
		refused.words = pgErr.Message
		if !strings.Contains(refused.words, pgErr.ConstraintName) {
			refused.words += " (" + pgErr.ConstraintName + ")"
		}
	case "22001", "22007", "22008", "22021", "22P02", "22P05": // a value that is not of the column's type
		refused.words = pgErr.Message
	default:
		return err
	}
	return refused
}

// validText makes what X said storable as text: Postgres refuses NUL and invalid UTF-8, and a
// settlement must not be refused.
func validText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
