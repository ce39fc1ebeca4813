package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs (PostgreSQL's appendix A) that decide what a failed connection means.
const (
	codeNoSuchDatabase     = "3D000"
	codeTooManyConnections = "53300"
	codeCannotConnectNow   = "57P03"
)

const sqlDatabaseCreate = "-- name: DatabaseCreate :exec\nCREATE DATABASE "

// ensureDatabase connects once, which proves that the server works, and creates the database if
// it is not there. A server that is full, or that is just recovering from the crash of one
// session, is waited for.
func (in *instance) ensureDatabase(ctx context.Context, running *postmaster) error {
	var last error
	err := poll(ctx, in.progress(in.cfg.StartTimeout), func() (bool, error) {
		// A frozen server takes connections and never answers.
		attempt, cancel := context.WithTimeout(ctx, in.cfg.StartTimeout)
		defer cancel()
		last = in.createDatabase(attempt, running.socketDir)
		if last != nil && attempt.Err() == nil && passing(last) && !running.process.exited() {
			return false, nil
		}
		return last == nil, last
	})
	if errors.Is(err, errStalled) {
		err = fmt.Errorf("not in %s: %w", in.cfg.StartTimeout, last)
	}
	if err != nil {
		return fmt.Errorf("open database %s: %w", in.cfg.Database, err)
	}
	return nil
}

// passing reports whether a connection may succeed later, on a server that lives.
func passing(err error) bool {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code == codeTooManyConnections || pgErr.Code == codeCannotConnectNow
	}
	// A server that restarts its processes resets connections.
	return !errors.Is(err, fs.ErrPermission)
}

// createDatabase runs under the start lock: two at once would collide in the catalog.
func (in *instance) createDatabase(ctx context.Context, socketDir string) error {
	conn, err := connect(ctx, connString(socketDir, in.cfg.Database))
	if err == nil {
		return conn.Close(ctx)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != codeNoSuchDatabase {
		return err
	}
	conn, err = connect(ctx, connString(socketDir, "postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sqlDatabaseCreate+pgx.Identifier{in.cfg.Database}.Sanitize()).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

func connect(ctx context.Context, url string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, cfg)
}
