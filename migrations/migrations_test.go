package migrations_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tweetqueue/migrations"
	"tweetqueue/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// report collects what a migration tells.
type report struct {
	mu    sync.Mutex
	lines []string
}

func (r *report) config() migrations.Config {
	return migrations.Config{Report: func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, line)
	}}
}

// count tells how many lines say that something was done, in a direction.
func (r *report) count(direction string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, line := range r.lines {
		if strings.HasPrefix(line, direction+" ") {
			n++
		}
	}
	return n
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// objects describes all that is in the schema, a line each.
func objects(t *testing.T, db migrations.DBTX) string {
	t.Helper()
	const query = `WITH s AS (SELECT oid AS n, nspacl FROM pg_namespace WHERE nspname = 'tweetqueue')
SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM (
	SELECT format('relation %s %s %s', c.relkind, c.relname, c.relacl) FROM s JOIN pg_class c ON relnamespace = n
	UNION ALL SELECT format('column %s.%s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
		attnotnull, attcollation::regcollation, pg_get_expr(adbin, adrelid), attacl)
		FROM s JOIN pg_class c ON relnamespace = n JOIN pg_attribute ON attrelid = c.oid AND NOT attisdropped
		LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0
	UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM s JOIN pg_constraint ON connamespace = n
	UNION ALL SELECT pg_get_indexdef(c.oid) FROM s JOIN pg_class c ON relnamespace = n WHERE relkind = 'i'
	UNION ALL SELECT pg_get_viewdef(c.oid) FROM s JOIN pg_class c ON relnamespace = n WHERE relkind = 'v'
	UNION ALL SELECT pg_get_triggerdef(t.oid) FROM s JOIN pg_class c ON relnamespace = n JOIN pg_trigger t ON tgrelid = c.oid WHERE NOT tgisinternal
	UNION ALL SELECT format('%s %s', pg_get_functiondef(oid), proacl) FROM s JOIN pg_proc ON pronamespace = n
	UNION ALL SELECT format('type %s', typname) FROM s JOIN pg_type ON typnamespace = n
	UNION ALL SELECT format('collation %s', collname) FROM s JOIN pg_collation ON collnamespace = n
	UNION ALL SELECT format('schema %s', nspacl) FROM s
) AS a (line)`
	var lines string
	require.NoError(t, db.QueryRow(t.Context(), query).Scan(&lines))
	return lines
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	db := open(t, url)
	first, second := &report{}, &report{}
	require.ErrorIs(t, migrations.Check(t.Context(), db), migrations.ErrTooOld)
	require.NoError(t, migrations.Up(t.Context(), first.config(), url))
	require.Equal(t, migrations.RiverVersion+migrations.Latest, first.count("up"))
	require.NoError(t, migrations.Check(t.Context(), db))
	state, err := migrations.Status(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, migrations.Latest, state.Version)
	require.Equal(t, migrations.RiverVersion, state.RiverVersion)
	up := objects(t, db)
	require.Contains(t, up, "park")

	require.NoError(t, migrations.Up(t.Context(), second.config(), url)) // nothing left to do
	require.Empty(t, second.lines)
	require.Equal(t, up, objects(t, db))

	require.NoError(t, migrations.Down(t.Context(), second.config(), url, true, false))
	require.Equal(t, migrations.RiverVersion+migrations.Latest, second.count("down"))
	require.Empty(t, objects(t, db))
	state, err = migrations.Status(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, migrations.State{Latest: migrations.Latest}, state)
	require.NoError(t, migrations.Down(t.Context(), second.config(), url, true, false)) // nothing left either
	require.NoError(t, migrations.Down(t.Context(), second.config(), url, false, false))

	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	require.Equal(t, up, objects(t, db))
}

// Each migration undoes exactly what it did.
func TestDownOneByOne(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	db := open(t, url)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	states := map[int]string{migrations.Latest: objects(t, db)}
	for version := migrations.Latest - 1; version >= 0; version-- {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, false))
		state, err := migrations.Status(t.Context(), db)
		require.NoError(t, err)
		require.Equal(t, version, state.Version)
		require.Equal(t, migrations.RiverVersion, state.RiverVersion)
		require.ErrorIs(t, migrations.Check(t.Context(), db), migrations.ErrTooOld)
		states[version] = objects(t, db)
	}
	var left []string // but River's, and the table of versions
	require.NoError(t, db.QueryRow(t.Context(), `SELECT coalesce(array_agg(name), '{}') FROM (
		SELECT relname FROM pg_class WHERE relnamespace = 'tweetqueue'::regnamespace
		UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'tweetqueue'::regnamespace
		UNION ALL SELECT collname FROM pg_collation WHERE collnamespace = 'tweetqueue'::regnamespace) AS a (name)
		WHERE name !~ '^(river|goose)_'`).Scan(&left))
	require.Empty(t, left)
	require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, false))

	// From here up and back it is the same again.
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	require.Equal(t, states[migrations.Latest], objects(t, db))
	for version := migrations.Latest - 1; version >= 0; version-- {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, false))
		require.Equal(t, states[version], objects(t, db))
	}
	require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, true, false))
	require.Empty(t, objects(t, db))
}

func TestUpTenAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group errgroup.Group
	var all report
	for range 10 {
		group.Go(func() error { return migrations.Up(ctx, all.config(), url) })
	}
	require.NoError(t, group.Wait())
	require.Equal(t, migrations.RiverVersion+migrations.Latest, all.count("up"))
	require.NoError(t, migrations.Check(ctx, open(t, url)))
}

func TestDownRefusesRows(t *testing.T) {
	t.Parallel()
	for name, insert := range map[string]func(db *pgxpool.Pool){
		"Account":  func(*pgxpool.Pool) {},
		"Tweet":    func(db *pgxpool.Pool) { storetest.Tweet(t, db, "a", time.Hour) },
		"Deletion": func(db *pgxpool.Pool) { storetest.Deletion(t, db, "77", 0) },
		"Retweet":  func(db *pgxpool.Pool) { storetest.Retweet(t, db, "77", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.URL(t)
			db := storetest.Open(t, url)
			storetest.Account(t, db, storetest.AccountOpts{})
			insert(db)
			before := objects(t, db)
			for _, all := range []bool{false, true} {
				err := migrations.Down(t.Context(), migrations.Config{}, url, all, false)
				require.ErrorIs(t, err, migrations.ErrRows)
				require.ErrorContains(t, err, "--force")
				require.Equal(t, before, objects(t, db))
			}
			for range migrations.Latest { // down to the accounts, and past them
				require.ErrorIs(t, migrations.Down(t.Context(), migrations.Config{}, url, false, false), migrations.ErrRows)
				require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, true))
			}
			require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, true, false))
			require.Empty(t, objects(t, db))
		})
	}
}

// A preset of one's own may be called as one of X's plans is by now, and may have a window that nobody can make by now.
func TestUpKeepsPresets(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	storetest.Account(t, db, storetest.AccountOpts{})
	for range migrations.Latest - 7 {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, true))
	}
	own := func() (windows, preset string) {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', name, maximum, period), ',' ORDER BY name),
			(SELECT limits_preset FROM tweetqueue.accounts) FROM tweetqueue.limits WHERE preset = 'basic'`).Scan(&windows, &preset))
		return windows, preset
	}
	_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.limits (preset, name, actions, maximum, period) VALUES
		('basic', 'posts', '{post}', 7, '24 hours'), ('basic', 'short', '{post}', 1, '3 seconds')`)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET limits_preset = 'basic'`)
	require.NoError(t, err)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	for range 2 {
		windows, preset := own()
		require.Equal(t, "posts 7 24:00:00,short 1 00:00:03", windows)
		require.Equal(t, "basic", preset)
		for range migrations.Latest - 7 {
			require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, true))
		}
	}
}

// An account of which the preset is no more has the guide's on the way down.
func TestDownGivesTheGuide(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	storetest.Account(t, db, storetest.AccountOpts{})
	storetest.Account(t, db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	for _, change := range []string{
		`INSERT INTO tweetqueue.limits (preset, name, actions, maximum, period, per) VALUES ('mine', 'of the app', '{post}', 7, '1 hour', 'app')`,
		`UPDATE tweetqueue.accounts SET limits_preset = CASE username WHEN 'acme' THEN 'mine' ELSE 'pro' END`,
	} {
		_, err := db.Exec(t.Context(), change)
		require.NoError(t, err)
	}
	for range migrations.Latest - 7 {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, true))
	}
	var windows string
	require.NoError(t, db.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', a.username, a.limits_preset, q.name), ',' ORDER BY a.username, q.name)
		FROM tweetqueue.accounts a JOIN tweetqueue.quotas q ON q.account_id = a.id`).Scan(&windows))
	require.Equal(t, "acme guide deletions,acme guide posts,acme guide writes,other guide deletions,other guide posts,other guide writes", windows)
}

// What undoes a retweet is no deletion of a tweet, and does not become one on the way down.
func TestDownForgetsWhatUndoesRetweets(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	storetest.Account(t, db, storetest.AccountOpts{})
	storetest.Deletion(t, db, "77", time.Hour)
	storetest.Retweet(t, db, "78", time.Hour)
	_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.deletions (account, tweet_id, retweet) VALUES ('acme', '78', true)`)
	require.NoError(t, err)
	for range migrations.Latest - 6 {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, true))
	}
	var left string
	require.NoError(t, db.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', kind, tweet_id), ',') FROM tweetqueue.river_job
		LEFT JOIN tweetqueue.deletions d ON d.id = (args ->> 'row_id')::bigint`).Scan(&left))
	require.Equal(t, "delete_tweet 77", left)
}

// What somebody else keeps in the schema is not dropped.
func TestDownKeepsForeignTables(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	db := open(t, url)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	_, err := db.Exec(t.Context(), `CREATE TABLE tweetqueue.mine (id int); INSERT INTO tweetqueue.mine VALUES (7)`)
	require.NoError(t, err)
	require.ErrorContains(t, migrations.Down(t.Context(), migrations.Config{}, url, true, false), "drop schema")
	var id int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT id FROM tweetqueue.mine`).Scan(&id))
	require.Equal(t, 7, id)
	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	require.NoError(t, migrations.Check(t.Context(), db))
}

func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		oldest int
		check  error
	}{
		"StillOfUse": {migrations.Latest, nil},
		"OfNoUse":    {migrations.Latest + 1, migrations.ErrTooNew},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.URL(t)
			db := open(t, url)
			_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES ($1, $2, $3)`,
				migrations.Latest+1, migrations.RiverVersion, c.oldest)
			require.NoError(t, err)
			before := objects(t, db)
			for _, err := range []error{
				migrations.Check(t.Context(), db), migrations.Up(t.Context(), migrations.Config{}, url),
			} {
				if c.check == nil {
					require.NoError(t, err)
					continue
				}
				require.ErrorIs(t, err, c.check)
				require.ErrorContains(t, err, fmt.Sprintf("it needs a program that knows migration %d, this one knows %d", c.oldest, migrations.Latest))
			}
			for _, all := range []bool{false, true} { // what it does not know it cannot undo
				require.ErrorIs(t, migrations.Down(t.Context(), migrations.Config{}, url, all, true), migrations.ErrTooNew)
			}
			require.Equal(t, before, objects(t, db))
		})
	}
}

func TestOlderRiver(t *testing.T) {
	t.Parallel()
	db := open(t, storetest.URL(t))
	_, err := db.Exec(t.Context(), `DELETE FROM tweetqueue.river_migration WHERE version = $1`, migrations.RiverVersion)
	require.NoError(t, err)
	require.ErrorIs(t, migrations.Check(t.Context(), db), migrations.ErrTooOld)
}

func TestUpErrors(t *testing.T) {
	t.Parallel()
	err := migrations.Up(t.Context(), migrations.Config{}, "postgres://u:hunter2@127.0.0.1:port/db")
	require.ErrorContains(t, err, "parse database url")
	require.NotContains(t, err.Error(), "hunter2")
	err = migrations.Up(t.Context(), migrations.Config{}, "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable")
	require.ErrorIs(t, err, migrations.ErrConnect)
	require.NotContains(t, err.Error(), "hunter2")

	// Another migrator holds the lock: who waits for it can give up.
	url := storetest.EmptyURL(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `SELECT pg_advisory_lock(x'7477656574717565'::bigint)`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, migrations.Up(ctx, migrations.Config{}, url), context.DeadlineExceeded)
	require.Empty(t, objects(t, conn))
}
