package pglocal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// These tests are about several processes: the helpers are real ones, this test binary again.

func TestConcurrentColdStartsMakeOneServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDir(t), "instance")
	var helpers []*helper
	for range 6 {
		helpers = append(helpers, startHelper(t, "start", dir))
	}
	adopted := 0
	for _, h := range helpers {
		r := h.next(t)
		if r.Adopted {
			adopted++
		}
		require.Equal(t, "1", query(t, r.URL, `SELECT '1'`))
	}
	require.Equal(t, 5, adopted)
	require.Equal(t, 1, logged(t, dir, "creating subdirectories"), "initdb runs")
	require.Equal(t, 1, logged(t, dir, "ready to accept connections"))
	for _, h := range helpers {
		h.leave(t)
	}
	requireNoServer(t, dir)
}

func TestManyComeAndGo(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	var wait sync.WaitGroup
	failed := make(chan error, 100)
	for range 10 {
		wait.Go(func() {
			for range 4 {
				out, err := exec.Command(os.Args[0], helperArg, "start", dir).CombinedOutput()
				if err != nil || !strings.Contains(string(out), `"Closed":true`) {
					failed <- fmt.Errorf("%w: %s", err, out)
				}
			}
		})
	}
	wait.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	requireNoServer(t, dir)
	starts := logged(t, dir, "starting PostgreSQL")
	require.Equal(t, starts, logged(t, dir, "database system is shut down"))
	require.Equal(t, starts, logged(t, dir, "ready to accept connections"), "none in vain")
}

func TestLastUserStopsIt(t *testing.T) {
	t.Parallel()

	t.Run("AdopterLeavesFirst", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		starter := startHelper(t, "start", dir)
		require.False(t, starter.next(t).Adopted)
		adopter := startHelper(t, "start", dir)
		url := adopter.next(t).URL
		adopter.leave(t)
		require.Equal(t, "1", query(t, url, `SELECT '1'`))
		starter.leave(t)
		requireNoServer(t, dir)
	})

	t.Run("StarterLeavesFirst", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		starter := startHelper(t, "start", dir)
		require.False(t, starter.next(t).Adopted)
		adopter := startHelper(t, "start", dir)
		require.True(t, adopter.next(t).Adopted)
		starter.leave(t)
		server := startIn(t, dir)
		require.True(t, server.Adopted())
		adopter.leave(t)
		require.Equal(t, "1", query(t, server.URL(), `SELECT '1'`))
		require.NoError(t, server.Close())
		requireNoServer(t, dir)
	})

	t.Run("TheOnlyUserIsKilled", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		h := startHelper(t, "start", dir)
		h.next(t)
		pid := serverPid(t, dir)
		h.kill()
		server := startIn(t, dir)
		require.True(t, server.Adopted())
		require.Equal(t, pid, serverPid(t, dir))
		require.NoError(t, server.Close())
		requireNoServer(t, dir)
	})

	t.Run("KilledUsersDoNotCount", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		h := startHelper(t, "start", dir)
		h.next(t)
		h.kill()
		require.NoError(t, server.Close())
		requireNoServer(t, dir)
	})
}

func TestInterruptOfTheGroupSparesTheServer(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	h := startHelperAs(t, func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }, "start", dir)
	url := h.next(t).URL
	kill(t, -h.cmd.Process.Pid, syscall.SIGINT) // what Ctrl-C does
	h.kill()
	require.Equal(t, "1", query(t, url, `SELECT '1'`))
	require.NoError(t, startIn(t, dir).Close())
}

func TestDone(t *testing.T) {
	t.Parallel()

	t.Run("TellsEverybodyThatTheServerWasKilled", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		starter, inProcess, adopter := startIn(t, dir), startIn(t, dir), startHelper(t, "start", dir)
		adopter.next(t)
		kill(t, serverPid(t, dir), syscall.SIGKILL)
		for _, server := range []*Server{starter, inProcess} {
			waitDone(t, server)
			require.ErrorIs(t, server.Err(), ErrServerGone)
			require.ErrorContains(t, server.Err(), dir)
		}
		require.Contains(t, starter.Err().Error()+inProcess.Err().Error(), "signal killed", "one of them is told by the kernel how")
		require.Contains(t, adopter.next(t).Gone, "is gone")

		// The next start recovers the data, while those who were there before still are.
		next := startIn(t, dir)
		require.False(t, next.Adopted())
		require.NoError(t, starter.Close())
		require.ErrorIs(t, starter.Err(), ErrServerGone, "also after Close")
		require.NoError(t, inProcess.Close())
		adopter.leave(t)
		require.Equal(t, "1", query(t, next.URL(), `SELECT '1'`))
		require.NoError(t, next.Err())
		require.NoError(t, next.Close())
		requireNoServer(t, dir)
	})

	t.Run("TellsThatSomebodyStoppedTheServer", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		kill(t, serverPid(t, dir), syscall.SIGINT)
		waitDone(t, server)
		require.ErrorIs(t, server.Err(), ErrServerGone)
		require.ErrorContains(t, server.Err(), "exited with status 0")
		require.ErrorContains(t, server.Err(), "database system is shut down")
		require.NoError(t, server.Close())
	})

	t.Run("IsPatientWithTheCrashOfOneSession", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		pid := serverPid(t, dir)
		// Not the session that asks: its client would be told before the server knows.
		child, err := strconv.Atoi(query(t, server.URL(), `SELECT pid::text FROM pg_stat_activity WHERE backend_type = 'checkpointer'`))
		require.NoError(t, err)
		kill(t, child, syscall.SIGKILL)
		require.NoError(t, startIn(t, dir).Close(), "an adopter waits for the recovery")
		require.Eventually(t, func() bool { return logged(t, dir, "all server processes terminated; reinitializing") == 1 },
			patience, time.Millisecond)
		require.NoError(t, startIn(t, dir).Close())
		require.NoError(t, server.Err())
		require.Equal(t, pid, serverPid(t, dir))
		require.Equal(t, "1", query(t, server.URL(), `SELECT '1'`))
	})

	t.Run("WithoutAPidfd", func(t *testing.T) {
		t.Parallel()
		for _, adopt := range []bool{false, true} {
			dir := seededDir(t)
			in := testInstance(t, dir)
			server, err := in.start(t.Context())
			require.NoError(t, err)
			if adopt { // then another process is left to hold it
				h := startHelper(t, "start", dir)
				h.next(t)
				require.NoError(t, server.Close())
				defer h.kill()
			}
			p, err := openProcess(serverPid(t, dir))
			require.NoError(t, err)
			if p.pidfd != nil {
				require.NoError(t, p.pidfd.Close())
				p.pidfd = nil
			}
			ended := make(chan error, 1)
			go func() { ended <- p.wait(t.Context()) }()
			kill(t, p.pid, syscall.SIGKILL)
			require.NoError(t, <-ended)
			p.release()
			startIn(t, dir) // clears the killed server's memory up
			require.NoError(t, server.Close())
		}
	})
}

func TestCrashLeftovers(t *testing.T) {
	t.Parallel()

	// stale leaves an instance whose server was killed, and rewrites the pid it left behind.
	stale := func(t *testing.T, rewrite func(pidfile string) string) string {
		t.Helper()
		dir := seededDir(t)
		h := startHelper(t, "start", dir)
		h.next(t)
		pid := serverPid(t, dir)
		h.kill()
		kill(t, pid, syscall.SIGKILL)
		require.Eventually(t, func() bool { return pidGone(pid) }, patience, time.Millisecond)
		file := filepath.Join(dir, "data", "postmaster.pid")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte(rewrite(string(text))), 0o600))
		return dir
	}
	withPid := func(pid int) func(string) string {
		return func(text string) string {
			_, rest, _ := strings.Cut(text, "\n")
			return fmt.Sprintf("%d\n%s", pid, rest)
		}
	}

	t.Run("AsTheyAre", func(t *testing.T) {
		t.Parallel()
		dir := stale(t, func(text string) string { return text })
		server := startIn(t, dir)
		require.False(t, server.Adopted())
	})

	t.Run("PidOfAnotherProgram", func(t *testing.T) {
		t.Parallel()
		dir := stale(t, func(text string) string { return text })
		sleeper := exec.Command("sleep", "600")
		sleeper.Dir = filepath.Join(dir, "data") // as a shell that looks around there
		require.NoError(t, sleeper.Start())
		t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
		file := filepath.Join(dir, "data", "postmaster.pid")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte(withPid(sleeper.Process.Pid)(string(text))), 0o600))
		began := time.Now()
		server := startIn(t, dir)
		require.False(t, server.Adopted())
		require.Less(t, time.Since(began), 10*time.Second, "nobody waits for a stranger")
		require.NoError(t, server.Close())
		require.NoError(t, syscall.Kill(sleeper.Process.Pid, 0), "and nobody ends it")
	})

	t.Run("PidOfAnotherDirectorysServer", func(t *testing.T) {
		t.Parallel()
		elsewhere := startIn(t, seededDir(t))
		dir := stale(t, withPid(serverPid(t, elsewhere.Dir())))
		server := startIn(t, dir)
		require.False(t, server.Adopted())
		require.NoError(t, server.Close())
		require.Equal(t, "1", query(t, elsewhere.URL(), `SELECT '1'`))
	})

	t.Run("PidOfAnUnreapedChild", func(t *testing.T) {
		t.Parallel()
		dead := exec.Command("true")
		require.NoError(t, dead.Start())
		t.Cleanup(func() { _ = dead.Wait() })
		require.Eventually(t, func() bool { return pidGone(dead.Process.Pid) }, patience, time.Millisecond)
		server := startIn(t, stale(t, withPid(dead.Process.Pid)))
		require.False(t, server.Adopted())
	})

	t.Run("EmptyFile", func(t *testing.T) {
		t.Parallel()
		server := startIn(t, stale(t, func(string) string { return "" }))
		require.False(t, server.Adopted())
	})

	t.Run("UnreadableFile", func(t *testing.T) {
		t.Parallel()
		dir := stale(t, func(string) string { return "what\n" })
		_, err := Start(t.Context(), Config{Dir: dir})
		require.ErrorContains(t, err, `does not begin with a process id: "what"`)
		require.NoError(t, os.Remove(filepath.Join(dir, "data", "postmaster.pid")))
		startIn(t, dir) // clears the killed server's memory up
	})

	t.Run("ServerInAnotherContainer", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		sleeper := exec.Command("sleep", "600")
		require.NoError(t, sleeper.Start())
		t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
		file := filepath.Join(dir, "data", "postmaster.pid")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		foreign := withPid(sleeper.Process.Pid)(string(text))
		require.NoError(t, os.WriteFile(file, []byte(foreign), 0o600))
		_, err = Start(t.Context(), Config{Dir: dir})
		require.ErrorContains(t, err, "another container")
		after, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, foreign, string(after), "left alone")
		_, found, err := Find(t.Context(), dir)
		require.NoError(t, err)
		require.False(t, found)
		require.NoError(t, testInstance(t, dir).stop())
		require.NoError(t, syscall.Kill(sleeper.Process.Pid, 0), "a stranger is not ended")
		require.NoError(t, os.WriteFile(file, text, 0o600))
		require.NoError(t, server.Close())
	})

	t.Run("SessionThatOutlivesTheServer", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		server := startIn(t, dir)
		busy := connectPg(t, server.URL())
		// A session that computes notices the death of its server only at the end.
		busy.send(t, `SELECT count(*) FROM generate_series(1, 3000000)`)
		require.Eventually(t, func() bool {
			return query(t, server.URL(), `SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%3000000%' AND pid <> pg_backend_pid()`) == "1"
		}, patience, time.Millisecond)
		kill(t, serverPid(t, dir), syscall.SIGKILL)
		waitDone(t, server)
		require.False(t, startIn(t, dir).Adopted())
	})
}

func TestFrozenServerIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	startIn(t, dir)
	pid := serverPid(t, dir)
	kill(t, pid, syscall.SIGSTOP)
	began := time.Now()
	_, err := Start(t.Context(), Config{Dir: dir, StartTimeout: 200 * time.Millisecond})
	require.ErrorContains(t, err, "open database tweetqueue")
	require.Less(t, time.Since(began), 10*time.Second)
	require.Equal(t, pid, serverPid(t, dir))
	require.Equal(t, 1, servers(t, dir))
	kill(t, pid, syscall.SIGCONT)
	require.True(t, startIn(t, dir).Adopted())
}

func TestFullServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := seededDir(t)
	settings := fast()
	settings["max_connections"] = "5"
	server, err := Start(t.Context(), Config{Dir: dir, Settings: settings})
	require.NoError(t, err)
	defer server.Close()
	var last *pgconn.PgConn
	for opened := 0; opened < 5; { // the start's own connection may take a place for a moment
		conn, err := pgconn.Connect(t.Context(), server.URL())
		if err == nil {
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
			last = conn
			opened++
		}
	}
	before := logged(t, dir, "too many clients")
	adopted := make(chan error, 1)
	go func() {
		adopter, err := Start(t.Context(), Config{Dir: dir})
		if err == nil {
			err = adopter.Close()
		}
		adopted <- err
	}()
	require.Eventually(t, func() bool { return logged(t, dir, "too many clients") > before }, patience, time.Millisecond)
	require.NoError(t, last.Close(t.Context()))
	require.NoError(t, <-adopted)
}

// logged counts the lines of the server's log that contain the words.
func logged(t *testing.T, dir, words string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	require.NoError(t, err)
	return strings.Count(string(log), words)
}
