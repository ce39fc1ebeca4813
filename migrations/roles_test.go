package migrations_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store/pglocal"
	"tweetqueue/store/storetest"
)

// execAs runs a statement in a session of its own.
func execAs(t *testing.T, url string, statements ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// A user who may create no roles migrates all the same, and is told what an administrator can run. On a
// server of its own, because on the shared one the roles exist.
func TestUpWithoutTheRightToCreateRoles(t *testing.T) {
	t.Parallel()
	server, err := pglocal.StartTemporary(t.Context(), pglocal.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	admin := server.URL()
	var database string
	conn, err := pgx.Connect(t.Context(), admin)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_database()`).Scan(&database))
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, execAs(t, admin, `CREATE ROLE plain LOGIN`, `GRANT CREATE ON DATABASE `+database+` TO plain`))

	_, rest, found := strings.Cut(admin, "@")
	require.True(t, found)
	url := "postgres://plain@" + rest
	var told report
	require.NoError(t, migrations.Up(t.Context(), told.config(), url))
	require.Equal(t, migrations.Latest+migrations.RiverVersion, told.count("up"))
	db := open(t, url)
	require.NoError(t, migrations.Check(t.Context(), db))
	storetest.Account(t, db, storetest.AccountOpts{})
	storetest.Tweet(t, db, "the owner works without roles", time.Hour)

	const hint = "an administrator can run, in this database: "
	var sql string
	for _, line := range told.lines {
		if strings.Contains(line, "CREATE ROLE") {
			_, sql, found = strings.Cut(line, hint)
			require.True(t, found, line)
		}
	}
	require.NotEmpty(t, sql)
	require.Error(t, execAs(t, url, `SET ROLE tweetqueue_writer`))
	require.NoError(t, execAs(t, admin, sql, `GRANT tweetqueue_writer TO plain`))
	require.NoError(t, execAs(t, url, `SET ROLE tweetqueue_writer`, `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'a')`))
	err = execAs(t, url, `SET ROLE tweetqueue_writer`, `SELECT credentials FROM tweetqueue.accounts`)
	pgErr := new(pgconn.PgError)
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "42501", pgErr.Code)

	// With roles or without, and whoever made them, it goes down and up again.
	require.NoError(t, migrations.Down(t.Context(), told.config(), url, true, true))
	told.lines = nil
	require.NoError(t, migrations.Up(t.Context(), told.config(), url))
	require.Equal(t, migrations.Latest+migrations.RiverVersion, told.count("up"))
	require.Len(t, told.lines, migrations.Latest+migrations.RiverVersion) // the roles exist now
	require.NoError(t, execAs(t, url, `SET ROLE tweetqueue_writer`, `SELECT id FROM tweetqueue.tweets`))
	require.NoError(t, migrations.Down(t.Context(), told.config(), url, true, false))
	require.Error(t, execAs(t, url, `SET ROLE tweetqueue_writer`, `SELECT id FROM tweetqueue.tweets`))
}

// Roles are the server's: many databases of it are migrated at once, and one that goes down takes
// nothing from the others.
func TestRolesAreShared(t *testing.T) {
	t.Parallel()
	first, second := storetest.EmptyURL(t), storetest.EmptyURL(t)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, first))
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, second))
	require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, first, true, false))
	require.NoError(t, execAs(t, second, `SET ROLE tweetqueue_reader`, `SELECT id FROM tweetqueue.tweets`))
}

func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	url := storetest.EmptyURL(t)
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	var name string
	require.NoError(t, conn.QueryRow(ctx, `SELECT current_database()`).Scan(&name))
	_, err = conn.Exec(ctx, `CREATE DATABASE `+name+`_latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(ctx, `DROP DATABASE `+name+`_latin WITH (FORCE)`)
		require.NoError(t, err)
		require.NoError(t, conn.Close(ctx))
	})
	latin := strings.Replace(url, "/"+name+"?", "/"+name+"_latin?", 1)
	require.ErrorContains(t, migrations.Up(ctx, migrations.Config{}, latin), "the database's encoding is LATIN1, and tweets need UTF8")
	require.Empty(t, objects(t, open(t, latin)))
}

// An administrator who makes the roles later runs it once more.
func TestGrantRolesAgain(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	require.NoError(t, execAs(t, url, `SET ROLE tweetqueue_reader`, `SELECT id, next_attempt_at FROM tweetqueue.waiting`))
	require.NoError(t, execAs(t, url, `SELECT tweetqueue.grant_roles()`))
	require.NoError(t, execAs(t, url, `INSERT INTO tweetqueue.apps (name, credentials) VALUES ('default', 'x')`,
		`INSERT INTO tweetqueue.accounts (username, x_user_id, app_id, credentials) SELECT 'acme', '1', id, 'x' FROM tweetqueue.apps`,
		`INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'a')`))
	for _, role := range []string{"reader", "writer", "worker"} {
		require.NoError(t, execAs(t, url, `SET ROLE tweetqueue_`+role, `SELECT id, next_attempt_at FROM tweetqueue.waiting`), role)
	}
}
