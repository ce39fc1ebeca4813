package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// A connection to Postgres is a process, and a database a thousand files: both cost more than most tests do. So what a
// test leaves is made as it was, and the next one gets it, with its connections: its rows are deleted, what the
// migrations inserted and the sequences are put back, and each session is made new. What cannot be put back so
// is dropped: a database whose schema was changed, or that has grown.

// database is one that a test has, or the next one may have.
type database struct {
	server *server
	name   string
	url    string

	mu   sync.Mutex
	idle map[client][]*pgxpool.Pool // that no test has
}

// client is whose a pool is.
type client struct {
	app      string
	maxConns int32
}

var (
	databasesMu sync.Mutex
	inUse       = map[string]*database{} // by connection string
	free        []*database
)

// takeFree returns a database that is as the template, or nil.
func takeFree() *database {
	databasesMu.Lock()
	defer databasesMu.Unlock()
	if len(free) == 0 {
		return nil
	}
	d := free[len(free)-1]
	free = free[:len(free)-1]
	return d
}

// OpenAs returns a pool of a program's on a database, as [store.Connect] does, which is the test's own until it ends.
func OpenAs(t testing.TB, url, app string, maxConns int32) *pgxpool.Pool {
	t.Helper()
	databasesMu.Lock()
	d := inUse[url]
	databasesMu.Unlock()
	who := client{app: app, maxConns: maxConns}
	if d != nil {
		if pool := d.take(who); pool != nil {
			t.Cleanup(func() { d.put(t, who, pool) })
			return pool
		}
	}
	pool, err := store.Connect(t.Context(), store.Secret(url), app, maxConns)
	require.NoError(t, err)
	t.Cleanup(func() {
		if d == nil {
			pool.Close()
			return
		}
		d.put(t, who, pool)
	})
	return pool
}

func (d *database) take(who client) *pgxpool.Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	pools := d.idle[who]
	if len(pools) == 0 {
		return nil
	}
	d.idle[who] = pools[:len(pools)-1]
	return pools[len(pools)-1]
}

// put keeps a pool, unless somebody has one of its connections: then it closes it, which waits for them.
func (d *database) put(t testing.TB, who client, pool *pgxpool.Pool) {
	t.Helper()
	if stat := pool.Stat(); t.Failed() || stat.AcquiredConns() > 0 || stat.ConstructingConns() > 0 {
		pool.Close()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle[who] = append(d.idle[who], pool)
}

// close closes the pools.
func (d *database) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, pools := range d.idle {
		for _, pool := range pools {
			pool.Close()
		}
	}
	clear(d.idle)
}

// begin gives a database to a test.
func (d *database) begin(t testing.TB) {
	t.Helper()
	databasesMu.Lock()
	defer databasesMu.Unlock()
	inUse[d.url] = d
	t.Cleanup(func() { d.end(t) })
}

// end takes a database back from a test, to be used again if it can be.
func (d *database) end(t testing.TB) {
	t.Helper()
	databasesMu.Lock()
	delete(inUse, d.url)
	databasesMu.Unlock()
	if t.Failed() {
		d.drop(t)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.reset(ctx); err != nil {
		if !errors.Is(err, errChanged) {
			t.Logf("the database is not used again: %v", err)
		}
		d.drop(t)
		return
	}
	databasesMu.Lock()
	defer databasesMu.Unlock()
	free = append(free, d)
}

// drop drops a database, unless the test has failed.
func (d *database) drop(t testing.TB) {
	t.Helper()
	d.close()
	if t.Failed() {
		t.Logf("the database is kept: psql %q", d.url)
		return
	}
	if err := d.server.exec(`DROP DATABASE ` + d.name + ` WITH (FORCE)`); err != nil {
		t.Error(err)
	}
}

// errChanged says that more than rows was changed.
var errChanged = errors.New("more than its rows was changed")

// keepConns is how many connections of a pool are kept, at most.
const keepConns = 4

// reset makes the database as it was, and ends the sessions of others.
func (d *database) reset(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*pgxpool.Conn
	defer func() {
		for _, conn := range all {
			conn.Release()
		}
	}()
	for who, pools := range d.idle {
		d.idle[who] = slices.DeleteFunc(pools, func(pool *pgxpool.Pool) bool {
			conns := renewAll(ctx, pool)
			all = append(all, conns...)
			if len(conns) == 0 {
				pool.Close() // or a test has closed it
			}
			return len(conns) == 0
		})
	}
	if len(all) == 0 {
		return errors.New("no connection is left")
	}
	var ours []int32
	for _, conn := range all {
		ours = append(ours, int32(conn.Conn().PgConn().PID()))
	}
	contents, err := d.server.contents()
	if err != nil {
		return err
	}
	if err := endSessions(ctx, all[0], ours); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, all[0], func(tx pgx.Tx) error { return contents.restore(ctx, tx) })
}

// renewAll takes those connections of a pool that are kept, each a new session.
func renewAll(ctx context.Context, pool *pgxpool.Pool) []*pgxpool.Conn {
	kept := 0
	return slices.DeleteFunc(pool.AcquireAllIdle(ctx), func(conn *pgxpool.Conn) bool {
		if kept++; kept > keepConns || renew(ctx, conn.Conn()) != nil { // the latter: a test has broken it
			_ = conn.Conn().Close(ctx)
			conn.Release()
			return true
		}
		return false
	})
}

// renew makes a session a new one.
func renew(ctx context.Context, conn *pgx.Conn) error {
	if err := conn.DeallocateAll(ctx); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `DISCARD ALL`); err != nil {
		return err
	}
	// What was notified and not waited for.
	over, cancel := context.WithCancel(ctx)
	cancel()
	for {
		if _, err := conn.WaitForNotification(over); err != nil {
			return nil //nolint:nilerr // nothing is left
		}
	}
}

// endSessions ends the sessions of others, and waits until they have: one may be about to commit.
func endSessions(ctx context.Context, conn *pgxpool.Conn, ours []int32) error {
	const others = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> ALL($1)`
	for {
		var left int
		if err := conn.QueryRow(ctx, others, ours).Scan(&left); err != nil {
			return fmt.Errorf("end the sessions of others: %w", err)
		}
		if left == 0 {
			return nil
		}
		if _, err := conn.Exec(ctx, `SELECT pg_sleep(0.001)`); err != nil {
			return fmt.Errorf("wait for the end of others' sessions: %w", err)
		}
	}
}

// dropFree drops the databases that no test has. What cannot be dropped goes as those of failed tests do.
func dropFree() {
	for d := takeFree(); d != nil; d = takeFree() {
		d.close()
		_ = d.server.exec(`DROP DATABASE ` + d.name + ` WITH (FORCE)`)
	}
}

// contents are what a database holds that nobody has used.
type contents struct {
	fingerprint string
	size        int64 // in bytes
	tables      []table
	sequences   string // the statement that sets them
}

// table is one with its rows, in the binary format of COPY.
type table struct {
	name string
	rows []byte
}

// grown is by how many bytes a database may have grown that is used again: rows that are gone, and for which there is no
// autovacuum, make the planner think of a large table.
const grown = 1 << 20

const sizes = `SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ` + schemas

// schemas are those that are not Postgres's own.
const schemas = `nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname !~ '^pg_(toast_)?temp_'`

// fingerprint changes with the schema, with what was said of its tables, and with the planner's statistics. No row of
// these catalogs changes without a new xmin, and the count tells of those that went.
var fingerprint = func() string {
	var parts []string
	for catalog, ofSchema := range map[string]string{
		"pg_attrdef": "", "pg_attribute": "attrelid >= 16384", "pg_class": "oid >= 16384", "pg_constraint": "", "pg_default_acl": "", "pg_description": "",
		"pg_enum": "", "pg_event_trigger": "", "pg_extension": "", "pg_index": "", "pg_largeobject_metadata": "", "pg_namespace": "nspname !~ '^pg_(toast_)?temp_'", "pg_policy": "",
		"pg_proc": "oid >= 16384", "pg_rewrite": "", "pg_sequence": "", "pg_statistic": "starelid >= 16384", "pg_statistic_ext": "", "pg_trigger": "", "pg_type": "oid >= 16384",
		"pg_db_role_setting": "setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
	} {
		parts = append(parts, fmt.Sprintf(`SELECT %s AS catalog, count(*), max(xmin::text::bigint) FROM %s WHERE %s`,
			"'"+catalog+"'", catalog, cmp.Or(ofSchema, "true")))
	}
	parts = append(parts, `SELECT 'tuples', count(*), sum(reltuples)::bigint FROM pg_class WHERE oid >= 16384`)
	return `SELECT string_agg(c::text, ' ' ORDER BY catalog) FROM (` + strings.Join(parts, " UNION ALL ") + `) AS c`
}()

// readContents reads a clone of the template, at which nobody may look that others clone.
func (s *server) readContents() (*contents, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := databaseName(os.Getpid(), started, counter.Add(1))
	if err := s.exec(`CREATE DATABASE ` + name + ` TEMPLATE ` + s.template + ` STRATEGY file_copy`); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, withDatabase(s.admin, name))
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	c, err := readContents(ctx, conn)
	_ = conn.Close(ctx)
	return c, errors.Join(err, s.exec(`DROP DATABASE `+name+` WITH (FORCE)`))
}

func readContents(ctx context.Context, conn *pgx.Conn) (*contents, error) {
	c := &contents{}
	if err := conn.QueryRow(ctx, fingerprint).Scan(&c.fingerprint); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if err := conn.QueryRow(ctx, sizes).Scan(&c.size); err != nil {
		return nil, fmt.Errorf("read the template's size: %w", err)
	}
	names, err := queryStrings(ctx, conn, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND `+schemas+` ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var rows bytes.Buffer
		tag, err := conn.PgConn().CopyTo(ctx, &rows, `COPY `+name+` TO STDOUT (FORMAT binary)`)
		if err != nil {
			return nil, fmt.Errorf("read the template's %s: %w", name, err)
		}
		if tag.RowsAffected() == 0 {
			rows.Reset()
		}
		c.tables = append(c.tables, table{name: name, rows: rows.Bytes()})
	}
	sets, err := queryStrings(ctx, conn, `SELECT format('SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename),
    coalesce(last_value, start_value), last_value IS NOT NULL) FROM pg_sequences ORDER BY 1`)
	c.sequences = strings.Join(sets, "; ")
	return c, err
}

func queryStrings(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return all, nil
}

// restore puts back the rows of all tables.
func (c *contents) restore(ctx context.Context, tx pgx.Tx) error {
	var now string
	var size int64
	if err := tx.QueryRow(ctx, fingerprint).Scan(&now); err != nil {
		return fmt.Errorf("look at the schema: %w", err)
	}
	if err := tx.QueryRow(ctx, sizes).Scan(&size); err != nil {
		return fmt.Errorf("look at the tables' sizes: %w", err)
	}
	if now != c.fingerprint || size > c.size+grown {
		return errChanged
	}
	var sql strings.Builder
	sql.WriteString(`SET LOCAL session_replication_role = replica; `) // no trigger, and no foreign key
	for _, table := range c.tables {
		sql.WriteString(`DELETE FROM ` + table.name + `; `)
	}
	sql.WriteString(c.sequences)
	if _, err := tx.Exec(ctx, sql.String()); err != nil {
		return fmt.Errorf("delete the rows: %w", err)
	}
	for _, table := range c.tables {
		if len(table.rows) == 0 {
			continue
		}
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(table.rows), `COPY `+table.name+` FROM STDIN (FORMAT binary)`); err != nil {
			return fmt.Errorf("put back %s: %w", table.name, err)
		}
	}
	return nil
}
