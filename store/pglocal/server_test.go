package pglocal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("FromNothingToAQuery", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "parents", "that are + missing", "instance")
		server := startIn(t, dir)
		require.False(t, server.Adopted())
		require.Equal(t, dir, server.Dir())
		require.NoError(t, server.Err())
		require.Equal(t, "tweetqueue tweetqueue UTF8 C", query(t, server.URL(),
			`SELECT concat_ws(' ', current_user, current_database(), pg_encoding_to_char(encoding), datcollate)
			FROM pg_database WHERE datname = current_database()`))
		require.Equal(t, " 100 32MB off 0700 off", query(t, server.URL(), `SELECT concat_ws(' ',
			current_setting('listen_addresses'), current_setting('max_connections'), current_setting('shared_buffers'),
			current_setting('jit'), current_setting('unix_socket_permissions'), current_setting('fsync'))`))
		for _, private := range []string{"data", "sock"} {
			info, err := os.Stat(filepath.Join(dir, private))
			require.NoError(t, err)
			require.Equal(t, os.ModeDir|0o700, info.Mode())
		}
		require.NoError(t, server.Close())
		require.NoError(t, server.Close(), "a second time")
		require.NoError(t, server.Err())
		<-server.Done()
		requireNoServer(t, dir)
	})

	t.Run("KeepsTheDataBetweenRuns", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		first := startIn(t, dir)
		conn, err := pgx.Connect(t.Context(), first.URL())
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 'still here'::text AS word`)
		require.NoError(t, err)
		require.NoError(t, first.Close(), "with a connection open")
		require.Error(t, conn.Ping(t.Context()))
		second := startIn(t, dir)
		require.False(t, second.Adopted())
		require.Equal(t, "still here", query(t, second.URL(), `SELECT word FROM kept`))
	})

	t.Run("AdoptsInTheSameProcess", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		first, second := startIn(t, dir), startIn(t, dir)
		require.True(t, second.Adopted())
		require.Equal(t, first.URL(), second.URL())
		require.NoError(t, first.Close())
		require.Equal(t, "1", query(t, second.URL(), `SELECT '1'`))
		require.NoError(t, second.Close())
		require.NoError(t, second.Err())
		requireNoServer(t, dir)
	})

	t.Run("MakesTheDatabaseOfAnAdopter", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		startIn(t, dir)
		other, err := Start(t.Context(), Config{Dir: dir, Database: `Odd "name" / %`})
		require.NoError(t, err)
		defer other.Close()
		require.Equal(t, `Odd "name" / %`, query(t, other.URL(), `SELECT current_database()::text`))
	})

	t.Run("HandsNothingOfOursToTheServer", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		h := startHelperAs(t, func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "X_API_SECRET=hidden", "PGPORT=6000", "PGDATA=/nowhere", "PGHOST=/nowhere",
				"PGUSER=nobody", "PGDATABASE=nothing", "PGSSLMODE=require", "LC_ALL=nowhere")
		}, "start", dir)
		require.Contains(t, h.next(t).URL, "host="+dir)
		given := environment(t, serverPid(t, dir))
		require.Contains(t, given, "LC_ALL=C")
		require.NotContains(t, given, "hidden")
		require.NotContains(t, given, "PGHOST")
		h.leave(t)
	})

	t.Run("LeavesAnInterruptedStartBehind", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "instance")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "data.init-1", "base"), 0o755))
		startIn(t, dir)
		left, err := filepath.Glob(filepath.Join(dir, "data.init*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("TakesExtraSettings", func(t *testing.T) {
		t.Parallel()
		server, err := Start(t.Context(), Config{Dir: seededDir(t), Settings: map[string]string{
			"fsync": "off", "dynamic_shared_memory_type": "mmap", "work_mem": "7MB", "max_connections": "17", "application.name": "it's \"quoted\"",
		}})
		require.NoError(t, err)
		defer server.Close()
		require.Equal(t, `7MB 17 it's "quoted"`, query(t, server.URL(), `SELECT concat_ws(' ', current_setting('work_mem'),
			current_setting('max_connections'), current_setting('application.name'))`))
	})

	t.Run("KeepsRowsOutOfTheLog", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		conn, err := pgx.Connect(t.Context(), server.URL())
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		_, err = conn.Exec(t.Context(), `CREATE TEMP TABLE t (word text CONSTRAINT no_words CHECK (word = ''))`)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `INSERT INTO t VALUES ('unpublished')`)
		require.ErrorContains(t, err, "no_words")
		log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
		require.NoError(t, err)
		require.Contains(t, string(log), "no_words")
		require.NotContains(t, string(log), "unpublished")
	})
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()

	t.Run("AllThatIsWrongWithTheConfigAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := Start(t.Context(), Config{
			Dir: "relative", BinDir: "bin", StartTimeout: -1, Database: strings.Repeat("x", 64),
			Settings: map[string]string{"listen_addresses": "*", "unix_socket_directories": "/tmp", "a b": "c"},
		})
		for _, complaint := range []string{
			"Dir", "BinDir", "StartTimeout", "Database", "listen_addresses is fixed", "unix_socket_directories is fixed", `"a b"`,
		} {
			require.ErrorContains(t, err, complaint)
		}
		_, err = Start(t.Context(), Config{})
		require.ErrorContains(t, err, "Dir")
	})

	t.Run("ABadSettingWithTheServersWords", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		_, err := Start(t.Context(), Config{Dir: dir, Settings: map[string]string{"max_connections": "many"}})
		require.ErrorContains(t, err, `invalid value for parameter "max_connections"`)
		require.ErrorContains(t, err, "exited with status 1")
		requireNoServer(t, dir)
	})

	t.Run("AStartThatIsCalledOff", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		called := errors.New("called off")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(called)
		_, err := Start(ctx, Config{Dir: dir, Settings: fast()})
		require.ErrorIs(t, err, called)
		requireNoServer(t, dir)
	})

	t.Run("WhileTheLockIsHeld", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		in := testInstance(t, dir)
		lock, err := in.lockStart(t.Context(), time.Second)
		require.NoError(t, err)
		_, err = Start(t.Context(), Config{Dir: dir, StartTimeout: 50 * time.Millisecond})
		require.ErrorIs(t, err, ErrLocked)
		require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = Start(ctx, Config{Dir: dir})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		lock.release()
		startIn(t, dir)
	})

	t.Run("DataOfAVersionThatIsNotInstalled", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600))
		before, err := os.ReadDir(filepath.Join(dir, "data"))
		require.NoError(t, err)
		_, err = Start(t.Context(), Config{Dir: dir})
		require.ErrorIs(t, err, ErrVersionMismatch)
		require.ErrorContains(t, err, "from PostgreSQL 99, installed: ")
		require.ErrorContains(t, err, "pg_upgrade")
		after, err := os.ReadDir(filepath.Join(dir, "data"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(before), fmt.Sprint(after))
	})

	t.Run("ADirectoryThatIsNoData", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "instance")
		file := filepath.Join(dir, "data", "mine.txt")
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
		_, err := Start(t.Context(), Config{Dir: dir})
		require.ErrorContains(t, err, "no PostgreSQL data directory")
		require.FileExists(t, file)
	})

	t.Run("NoBinaries", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "instance")
		_, err := Start(t.Context(), Config{Dir: dir, BinDir: filepath.Dir(dir)})
		require.ErrorIs(t, err, ErrNoBinaries)
	})
}

func TestURL(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/a/b", "/with space/+plus/100%/ä?&#=:@", `/quote"'`} {
		cfg, err := pgx.ParseConfig(connString(dir, "the db"))
		require.NoError(t, err)
		require.Equal(t, []any{dir, uint16(5432), "the db", "tweetqueue"}, []any{cfg.Host, cfg.Port, cfg.Database, cfg.User})
		require.Nil(t, cfg.TLSConfig)
		// libpq decodes percent signs and nothing else.
		_, query, _ := strings.Cut(connString(dir, "db"), "host=")
		host, _, _ := strings.Cut(query, "&")
		decoded, err := url.PathUnescape(host)
		require.NoError(t, err)
		require.Equal(t, dir, decoded)
	}
}

func TestLogIsRotatedAtAStart(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	log := filepath.Join(dir, "postgres.log")
	require.NoError(t, os.WriteFile(log, []byte("old\n"), 0o600))
	require.NoError(t, startIn(t, dir).Close())
	require.NoFileExists(t, log+".1")
	require.NoError(t, os.Truncate(log, 10<<20+1))
	require.NoError(t, startIn(t, dir).Close())
	old, err := os.Stat(log + ".1")
	require.NoError(t, err)
	require.Equal(t, int64(10<<20+1), old.Size())
	fresh, err := os.Stat(log)
	require.NoError(t, err)
	require.Less(t, fresh.Size(), int64(1<<20))
	require.Equal(t, os.FileMode(0o600), fresh.Mode())
}

func TestStopLadder(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	in := testInstance(t, dir)
	for i := range in.host.ladder[:len(in.host.ladder)-1] {
		in.host.ladder[i].wait = 100 * time.Millisecond
	}
	server, err := in.start(t.Context())
	require.NoError(t, err)
	pid := serverPid(t, dir)
	kill(t, pid, syscall.SIGSTOP)
	require.NoError(t, server.Close(), "a frozen server is killed")
	require.True(t, pidGone(pid))
	require.NoError(t, startIn(t, dir).Close(), "and recovers")
}
