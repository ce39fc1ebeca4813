// Package storetest gives tests real databases and the rows they start from.
//
// All test processes of a user share one private Postgres, in memory where there is room, which the
// last of them stops. A database is a clone of a template that was migrated once per state of the
// migrations, or one that another test has left, emptied. A database of a failed test is kept for a day, and its
// connection string is logged. Without Postgres tests fail; they are not skipped.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/pglocal"
)

// server is the process's hold on the shared Postgres.
type server struct {
	admin    string                    // connection string of the database "postgres"
	template string                    // the migrated template's name
	contents func() (*contents, error) // of a clone of it
}

// One server per test process, as its tests are one process.
var (
	start   = sync.OnceValues(startServer)
	counter atomic.Int64
	// started tells this process's databases from those that an earlier one of the same id has kept.
	started = time.Now().UnixNano()
)

// Main runs a package's tests and lets go of the shared Postgres after them: call it from TestMain,
// in every package that uses DB. A hold that is not let go ends with the process too, but then the
// server outlives the last one.
func Main(m *testing.M) int {
	defer func() {
		dropFree()
		for len(admins) > 0 {
			_ = (<-admins).Close(context.Background())
		}
		if hold != nil {
			_ = hold.Close()
		}
	}()
	return m.Run()
}

// admins are idle connections that make and drop databases: a new one for each would take as long as that.
var admins = make(chan *pgx.Conn, 4)

// hold is set once, by start.
var hold *pglocal.Server

// Dir is where the shared Postgres lives.
func Dir() string {
	parent := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	return filepath.Join(parent, fmt.Sprintf("tweetqueue-test-%d", os.Getuid()))
}

func startServer() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	dir := Dir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	instance, err := pglocal.Start(ctx, pglocal.Config{
		Dir: filepath.Join(dir, "postgres"), Database: "postgres",
		Settings: map[string]string{
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
			"max_connections": "500", "autovacuum": "off",
		},
	})
	if err != nil {
		return nil, err
	}
	hold = instance
	s := &server{admin: instance.URL()}
	s.contents = sync.OnceValues(s.readContents)
	if s.template, err = s.makeTemplate(ctx); err != nil {
		return nil, err
	}
	if err := s.dropKept(ctx, time.Now().Add(-keep)); err != nil {
		return nil, err
	}
	return s, nil
}

// keep is how long a database of a failed test is kept. No test process runs as long.
const keep = 24 * time.Hour

// dropKept drops the databases of test processes that started before an instant, unless somebody is
// looking at one. Of several processes at once, one does it, and the others find nothing left.
func (s *server) dropKept(ctx context.Context, before time.Time) error {
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, lockKept); err != nil {
		return fmt.Errorf("lock the kept databases: %w", err)
	}
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database d WHERE datname ~ '^test_[0-9]+_[0-9a-z]+_'
AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)`)
	if err != nil {
		return fmt.Errorf("list the kept databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the kept databases: %w", err)
	}
	for _, name := range names {
		started, err := strconv.ParseInt(strings.Split(name, "_")[2], 36, 64) // as databaseName has written it
		if err != nil || !time.Unix(0, started).Before(before) {
			continue
		}
		_, err = conn.Exec(ctx, `DROP DATABASE `+name)
		if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Code == objectInUse {
			continue
		}
		if err != nil {
			return fmt.Errorf("drop the kept database %s: %w", name, err)
		}
	}
	return nil
}

// lockKept is held, until the session ends, by who drops kept databases.
const lockKept = `SELECT pg_advisory_lock(7275)`

// objectInUse is the SQLSTATE of dropping a database that somebody is connected to.
const objectInUse = "55006"

// databaseName names a test's database, by its process, when that started, in nanoseconds, and a number.
func databaseName(pid int, started, number int64) string {
	return fmt.Sprintf("test_%d_%s_%d", pid, strconv.FormatInt(started, 36), number)
}

// makeTemplate makes, once for all processes, the template of this state of the migrations.
func (s *server) makeTemplate(ctx context.Context) (string, error) {
	name, err := templateName()
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return "", fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(7274)`); err != nil {
		return "", fmt.Errorf("lock the template: %w", err)
	}
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists {
		return name, err
	}
	making := name + "_making"
	for _, sql := range []string{`DROP DATABASE IF EXISTS ` + making, `CREATE DATABASE ` + making} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("make the template: %w", err)
		}
	}
	if err := migrations.Up(ctx, migrations.Config{}, withDatabase(s.admin, making)); err != nil {
		return "", fmt.Errorf("migrate the template: %w", err)
	}
	if _, err := conn.Exec(ctx, `ALTER DATABASE `+making+` RENAME TO `+name); err != nil {
		return "", fmt.Errorf("make the template: %w", err)
	}
	return name, nil
}

// templateName is keyed by all that a migrated database depends on.
func templateName() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, migrations.RiverVersion, runtime.Version())
	err := fs.WalkDir(migrations.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Files(), path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	return "template_" + hex.EncodeToString(sum.Sum(nil))[:16], err
}

// DB returns a pool on a migrated database of the test's own.
func DB(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Open(t, URL(t))
}

// Open returns a pool on a database, which is the test's until it ends.
func Open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	return OpenAs(t, url, "test", 30)
}

// URL returns the connection string of a migrated database of the test's own.
func URL(t testing.TB) string {
	t.Helper()
	s, err := start()
	require.NoError(t, err)
	_, err = s.contents()
	require.NoError(t, err)
	d := takeFree()
	if d == nil {
		d = s.create(t, "TEMPLATE "+s.template)
	}
	d.begin(t)
	return d.url
}

// EmptyURL returns the connection string of an empty database of the test's own.
func EmptyURL(t testing.TB) string {
	t.Helper()
	s, err := start()
	require.NoError(t, err)
	d := s.create(t, "TEMPLATE template0")
	t.Cleanup(func() { d.drop(t) })
	return d.url
}

func (s *server) create(t testing.TB, from string) *database {
	t.Helper()
	d := &database{server: s, name: databaseName(os.Getpid(), started, counter.Add(1)), idle: map[client][]*pgxpool.Pool{}}
	d.url = withDatabase(s.admin, d.name)
	require.NoError(t, s.exec(`CREATE DATABASE `+d.name+` `+from+` STRATEGY file_copy`))
	return d
}

// exec executes a statement as the server's admin.
func (s *server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var conn *pgx.Conn
	select {
	case conn = <-admins:
	default:
		var err error
		if conn, err = pgx.Connect(ctx, s.admin); err != nil {
			return fmt.Errorf("connect to the test server: %w", err)
		}
	}
	if _, err := conn.Exec(ctx, sql); err != nil { // it may be closed
		_ = conn.Close(ctx)
		return fmt.Errorf("%s: %w", sql, err)
	}
	select {
	case admins <- conn:
	default:
		_ = conn.Close(ctx)
	}
	return nil
}

// Tx returns a transaction that is rolled back when the test ends.
func Tx(t testing.TB, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	})
	return tx
}

// MoveClock makes the database's clock differ from the machine's by offset. Nothing but a test can:
// it replaces tweetqueue.clock(), which only the owner may.
func MoveClock(t testing.TB, db store.DBTX, offset time.Duration) {
	t.Helper()
	_, err := db.Exec(t.Context(), fmt.Sprintf(`CREATE OR REPLACE FUNCTION tweetqueue.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT clock_timestamp() + interval '%d microseconds' $$`, offset.Microseconds()))
	require.NoError(t, err)
}

// withDatabase replaces the database in a connection string of pglocal's.
func withDatabase(url, name string) string {
	before, query, _ := strings.Cut(url, "?")
	return before[:strings.LastIndex(before, "/")+1] + name + "?" + query
}
