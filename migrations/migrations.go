// Package migrations owns the database's schema: numbered SQL files, embedded, which make
// everything of tweetqueue in the Postgres schema "tweetqueue", River's tables included.
//
// Each file begins with "-- River: N. Oldest worker: M.": the migration of River that it needs, and
// the newest of our migrations that a worker must know to work with the result. Both stand in
// tweetqueue.schema_versions too, which is what [Check] reads. A file is one transaction.
//
// The package knows no rows and no jobs. Long work is reported through [Config.Report], never logged.
package migrations

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed *.sql
var files embed.FS

const (
	// Schema is the Postgres schema that holds everything.
	Schema = "tweetqueue"

	// Latest is the newest migration that this program knows.
	Latest = 10

	// RiverVersion is the migration of River that ours need: the newest of the River in go.mod.
	RiverVersion = 8

	versionTable = Schema + ".goose_db_version"

	// lockKey is the advisory lock that one migrator of a database holds. Neither River's
	// migrator nor ours takes one that covers both.
	lockKey = 0x7477656574717565 // "tweetque"

	// undefinedTable is Postgres's SQLSTATE for a table that does not exist.
	undefinedTable = "42P01"
)

// ErrTooNew says that the database was migrated by a newer program, whose schema this one cannot
// work with.
var ErrTooNew = errors.New("the database is newer than this program")

// ErrTooOld says that the database lacks migrations that this program needs.
var ErrTooOld = errors.New("the database needs migration")

// ErrConnect says that the database could not be reached.
var ErrConnect = errors.New("cannot connect to the database")

// ErrRows says that going down would destroy rows.
var ErrRows = errors.New("the database holds rows")

// Config says where progress is told. The zero value tells nobody.
type Config struct {
	// Report is called with one line for people per migration that was run, and for each notice
	// of the server. It may be called from another goroutine of the database driver.
	Report func(line string)
}

// State is what a database says of its schema.
type State struct {
	Version      int `json:"version"`       // our newest migration; 0: none
	RiverVersion int `json:"river_version"` // River's newest migration; 0: none
	OldestWorker int `json:"oldest_worker"` // the newest migration that a worker must know
	Latest       int `json:"latest"`        // the newest migration that this program knows
}

// Files returns the migrations as they are embedded.
func Files() fs.FS { return files }

// Err tells whether this program can work with a database in that state: nil, [ErrTooOld] or
// [ErrTooNew].
func (s State) Err() error {
	switch {
	case s.OldestWorker > Latest:
		return fmt.Errorf("%w: it needs a program that knows migration %d, this one knows %d: upgrade it",
			ErrTooNew, s.OldestWorker, Latest)
	case s.Version < Latest || s.RiverVersion < RiverVersion:
		return fmt.Errorf("%w: it has migration %d (River %d), this program needs %d (River %d): run 'worker migrate up'",
			ErrTooOld, s.Version, s.RiverVersion, Latest, RiverVersion)
	}
	return nil
}

// Status reads the database's state. An empty database is version 0.
func Status(ctx context.Context, db DBTX) (State, error) {
	state := State{Latest: Latest}
	err := db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM tweetqueue.river_migration WHERE line = 'main'`).
		Scan(&state.RiverVersion)
	if err == nil {
		err = db.QueryRow(ctx, `SELECT coalesce(max(version), 0), coalesce(max(oldest_worker), 0) FROM tweetqueue.schema_versions`).
			Scan(&state.Version, &state.OldestWorker)
	}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Code == undefinedTable {
		return state, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read schema version: %w", err)
	}
	return state, nil
}

// Check refuses a database that this program cannot work with, as [State.Err] says.
func Check(ctx context.Context, db DBTX) error {
	state, err := Status(ctx, db)
	if err != nil {
		return err
	}
	return state.Err()
}

// DBTX is a pool, a connection or a transaction.
type DBTX interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Up brings the database to [Latest]: the schema, River's migrations, ours. Any number of
// processes may call it at once: one works, the others wait and find nothing to do. A database
// that is newer than this program is left alone; [ErrTooNew] if it is of no use to it.
func Up(ctx context.Context, cfg Config, url string) error {
	return cfg.locked(ctx, url, func(pool *pgxpool.Pool) error {
		state, err := Status(ctx, pool)
		if err != nil {
			return err
		}
		if err := state.Err(); !errors.Is(err, ErrTooOld) {
			return err
		}
		if err := checkEncoding(ctx, pool); err != nil {
			return err
		}
		if _, err := pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS tweetqueue`); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
		if err := cfg.river(ctx, pool, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: RiverVersion}); err != nil {
			return err
		}
		return cfg.ours(pool, func(provider *goose.Provider) ([]*goose.MigrationResult, error) {
			return provider.Up(ctx)
		})
	})
}

// Down undoes our newest migration, or all of them and River's. It refuses a database that holds
// accounts, tweets, deletions or retweets, unless forced: [ErrRows]. The roles stay: they are the server's.
func Down(ctx context.Context, cfg Config, url string, all, force bool) error {
	return cfg.locked(ctx, url, func(pool *pgxpool.Pool) error {
		state, err := Status(ctx, pool)
		if err != nil {
			return err
		}
		if state.Version > Latest {
			return fmt.Errorf("%w: it has migration %d, this program knows %d and cannot undo it", ErrTooNew, state.Version, Latest)
		}
		if state.Version == 0 && state.RiverVersion == 0 {
			return nil
		}
		if err := refuseRows(ctx, pool, state); err != nil && !force {
			return err
		}
		err = cfg.ours(pool, func(provider *goose.Provider) ([]*goose.MigrationResult, error) {
			if all {
				return provider.DownTo(ctx, 0)
			}
			result, err := provider.Down(ctx)
			if errors.Is(err, goose.ErrNoNextVersion) {
				return nil, nil
			}
			return []*goose.MigrationResult{result}, err
		})
		if err != nil || !all || state.RiverVersion == 0 {
			return err
		}
		if err := cfg.river(ctx, pool, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1}); err != nil {
			return err
		}
		// Without CASCADE: what somebody else keeps in the schema is not ours to drop.
		_, err = pool.Exec(ctx, `DROP TABLE `+versionTable+`; DROP SCHEMA tweetqueue`)
		if err != nil {
			return fmt.Errorf("drop schema: %w", err)
		}
		return nil
	})
}

// refuseRows returns ErrRows if the database holds what people have put there.
func refuseRows(ctx context.Context, db DBTX, state State) error {
	query := `SELECT false`
	switch {
	case state.Version >= 7:
		query = `SELECT EXISTS (SELECT FROM tweetqueue.accounts) OR EXISTS (SELECT FROM tweetqueue.tweets)
    OR EXISTS (SELECT FROM tweetqueue.deletions) OR EXISTS (SELECT FROM tweetqueue.retweets)`
	case state.Version >= 2:
		query = `SELECT EXISTS (SELECT FROM tweetqueue.accounts) OR EXISTS (SELECT FROM tweetqueue.tweets)
    OR EXISTS (SELECT FROM tweetqueue.deletions)`
	case state.Version == 1:
		query = `SELECT EXISTS (SELECT FROM tweetqueue.accounts)`
	}
	var rows bool
	if err := db.QueryRow(ctx, query).Scan(&rows); err != nil {
		return fmt.Errorf("look for rows: %w", err)
	}
	if rows {
		return fmt.Errorf("%w of accounts, tweets, deletions or retweets, which going down destroys: back it up, then use --force", ErrRows)
	}
	return nil
}

// checkEncoding refuses a database that cannot hold every text.
func checkEncoding(ctx context.Context, db DBTX) error {
	var encoding string
	if err := db.QueryRow(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return fmt.Errorf("read the database's encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, and tweets need UTF8: use one made by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

// locked runs do on a small pool while a connection of its own holds the advisory lock.
func (cfg Config) locked(ctx context.Context, url string, do func(*pgxpool.Pool) error) error {
	poolConfig, err := pgxpool.ParseConfig(url)
	if err != nil {
		return errors.New("parse database url: it is no connection string") // pgx would quote it, with its password
	}
	poolConfig.MaxConns = 4
	poolConfig.ConnConfig.ConnectTimeout = cmp.Or(poolConfig.ConnConfig.ConnectTimeout, 10*time.Second)
	// A migration may take what it needs; a wait for it is bounded by the caller's context.
	poolConfig.ConnConfig.RuntimeParams["application_name"] = "tweetqueue migrate"
	poolConfig.ConnConfig.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.SeverityUnlocalized == "NOTICE" && notice.Code == "00000" {
			cfg.report(notice.Message)
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConnect, err)
	}
	defer pool.Close()

	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConnect, err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		return fmt.Errorf("lock the database's migrations: %w", err)
	}
	// The lock ends with the session at the latest.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(lockKey))
	}()
	return do(pool)
}

func (cfg Config) river(ctx context.Context, pool *pgxpool.Pool, direction rivermigrate.Direction, opts *rivermigrate.MigrateOpts) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: Schema})
	if err != nil {
		return fmt.Errorf("prepare River's migrations: %w", err)
	}
	result, err := migrator.Migrate(ctx, direction, opts)
	if err != nil {
		return fmt.Errorf("run River's migrations: %w", err)
	}
	for _, version := range result.Versions {
		cfg.report(fmt.Sprintf("%s River %d %s (%s)", direction, version.Version, version.Name, version.Duration.Round(time.Millisecond)))
	}
	return nil
}

func (cfg Config) ours(pool *pgxpool.Pool, do func(*goose.Provider) ([]*goose.MigrationResult, error)) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	results, err := do(provider)
	if err != nil {
		return fmt.Errorf("run migrations: %w", err)
	}
	for _, result := range results {
		if result != nil {
			cfg.report(fmt.Sprintf("%s %s (%s)", result.Direction, result.Source.Path, result.Duration.Round(time.Millisecond)))
		}
	}
	return nil
}

func (cfg Config) report(line string) {
	if cfg.Report != nil {
		cfg.Report(line)
	}
}
