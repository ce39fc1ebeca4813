package pglocal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeBinaries makes a directory with programs that look like a server's.
func fakeBinaries(t *testing.T, dir, version string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	program(t, filepath.Join(dir, "postgres"), "echo '"+version+"'")
	program(t, filepath.Join(dir, "initdb"), "exit 1")
}

// program writes a script by way of another process: a file that this one writes could be open
// in a child that is just being started elsewhere, and then Linux refuses to run it.
func program(t *testing.T, path, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `cat >"$1" && chmod 755 "$1"`, "sh", path)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + script + "\n")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	// bundle is a machine with nothing installed.
	bundle := func(t *testing.T) (finder, string) {
		t.Helper()
		root := newDir(t)
		f := newFinder()
		f.globs = []string{filepath.Join(root, "lib", "*", "bin")}
		f.lookPath = func(name string) (string, error) {
			path := filepath.Join(root, "path", name)
			_, err := os.Stat(path)
			return path, err
		}
		return f, root
	}
	t.Run("TheNewestOrTheDatas", func(t *testing.T) {
		t.Parallel()
		f, root := bundle(t)
		for version, text := range map[string]string{
			"9.6": "postgres (PostgreSQL) 9.6.24",
			"15":  "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
			"18":  "postgres (PostgreSQL) 18beta1",
			"17":  "postgres (EnterpriseDB) 17.2.0",
			"odd": "something else",
		} {
			fakeBinaries(t, filepath.Join(root, "lib", version, "bin"), text)
		}
		require.NoError(t, os.MkdirAll(filepath.Join(root, "lib", "client", "bin"), 0o755))
		data := filepath.Join(root, "data")
		found, err := f.find(t.Context(), "", data)
		require.NoError(t, err)
		require.Equal(t, binaries{dir: filepath.Join(root, "lib", "18", "bin"), major: 18}, found)

		require.NoError(t, os.Mkdir(data, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600))
		found, err = f.find(t.Context(), "", data)
		require.NoError(t, err)
		require.Equal(t, 15, found.major)

		require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("16\n"), 0o600))
		_, err = f.find(t.Context(), "", data)
		require.ErrorIs(t, err, ErrVersionMismatch)
		require.ErrorContains(t, err, "from PostgreSQL 16, installed: 18, 17, 15, 9: install PostgreSQL 16")
		require.ErrorContains(t, err, filepath.Join(root, "lib", "18", "bin", "pg_upgrade")+" -U tweetqueue -b OLD_BIN_DIRECTORY")
		_, err = f.find(t.Context(), filepath.Join(root, "lib", "18", "bin"), data)
		require.ErrorContains(t, err, "installed: 18:")

		require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("?"), 0o600))
		_, err = f.find(t.Context(), "", data)
		require.ErrorContains(t, err, "PG_VERSION")
	})

	t.Run("ByPathOrPgConfig", func(t *testing.T) {
		t.Parallel()
		f, root := bundle(t)
		require.NoError(t, os.Mkdir(filepath.Join(root, "path"), 0o755))
		fakeBinaries(t, filepath.Join(root, "conf"), "postgres (PostgreSQL) 17.1")
		program(t, filepath.Join(root, "path", "pg_config"), "echo '"+filepath.Join(root, "conf")+"'")
		found, err := f.find(t.Context(), "", filepath.Join(root, "data"))
		require.NoError(t, err)
		require.Equal(t, filepath.Join(root, "conf"), found.dir)
		fakeBinaries(t, filepath.Join(root, "lib", "14", "bin"), "postgres (PostgreSQL) 14.1")
		found, err = f.find(t.Context(), "", filepath.Join(root, "data"))
		require.NoError(t, err)
		require.Equal(t, 17, found.major)

		fakeBinaries(t, filepath.Join(root, "opt"), "postgres (PostgreSQL) 16.1")
		require.NoError(t, os.Symlink(filepath.Join(root, "opt", "postgres"), filepath.Join(root, "path", "postgres")))
		found, err = f.find(t.Context(), "", filepath.Join(root, "data"))
		require.NoError(t, err)
		require.Equal(t, filepath.Join(root, "opt"), found.dir, "a link to one program leads to all of them")
	})

	t.Run("NoneOrTooOld", func(t *testing.T) {
		t.Parallel()
		f, root := bundle(t)
		data := filepath.Join(root, "data")
		_, err := f.find(t.Context(), "", data)
		require.ErrorIs(t, err, ErrNoBinaries)
		require.ErrorContains(t, err, "install PostgreSQL's server package; or set DATABASE_URL")
		require.ErrorContains(t, err, "docker compose up")
		require.NoError(t, os.Mkdir(filepath.Join(root, "path"), 0o755))
		for manager, command := range map[string]string{
			"apt-get": "install them: apt-get install -y postgresql (as root); or",
			"apk":     "install them: apk add postgresql (as root); or",
			"dnf":     "install them: dnf install -y postgresql-server (as root); or",
			"brew":    "install them: brew install postgresql@17; or",
		} {
			path := filepath.Join(root, "path", manager)
			program(t, path, "exit")
			_, err = f.find(t.Context(), "", data)
			require.ErrorContains(t, err, command)
			require.NoError(t, os.Remove(path))
		}
		fakeBinaries(t, filepath.Join(root, "lib", "14", "bin"), "postgres (PostgreSQL) 14.2")
		_, err = f.find(t.Context(), "", data)
		require.ErrorIs(t, err, ErrNoBinaries)
		require.ErrorContains(t, err, "version 15 or newer: "+filepath.Join(root, "lib", "14", "bin")+" has version 14")
	})

	t.Run("CalledOff", func(t *testing.T) {
		t.Parallel()
		f, root := bundle(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, bindir := range []string{"", root} {
			_, err := f.find(ctx, bindir, filepath.Join(root, "data"))
			require.ErrorIs(t, err, context.Canceled)
		}
	})

	t.Run("AsSetupDoes", func(t *testing.T) {
		t.Parallel()
		setup, err := os.ReadFile("../../script/setup")
		require.NoError(t, err)
		for _, glob := range packageGlobs() {
			_, err := filepath.Match(glob, "")
			require.NoError(t, err)
			require.Regexp(t, `(?m)^\t\t"\$root"`+regexp.QuoteMeta(glob)+`( \\|; do)$`, string(setup), "script/setup must look where this package looks")
		}
	})
}

func TestInitdb(t *testing.T) {
	t.Parallel()
	// bundle is an instance whose initdb is a script.
	bundle := func(t *testing.T, script string) *instance {
		t.Helper()
		bin := filepath.Join(newDir(t), "bin")
		fakeBinaries(t, bin, "postgres (PostgreSQL) 15.1")
		program(t, filepath.Join(bin, "initdb"), script)
		in := testInstance(t, filepath.Join(filepath.Dir(bin), "instance"))
		in.cfg.BinDir = bin
		return in
	}

	t.Run("ThatFailsIsQuoted", func(t *testing.T) {
		t.Parallel()
		in := bundle(t, `touch "$2/half"; echo "initdb: error: no space left"; exit 7`)
		_, err := in.start(t.Context())
		require.ErrorContains(t, err, "exited with status 7; its last words:\ninitdb: error: no space left")
		requireNoData(t, in)
	})

	t.Run("ThatStallsEndsWithItsChildren", func(t *testing.T) {
		t.Parallel()
		mark := fmt.Sprintf("86%07d", os.Getpid())
		in := bundle(t, "echo begun; sleep "+mark+"; echo never")
		in.cfg.StartTimeout = 200 * time.Millisecond
		_, err := in.start(t.Context())
		require.ErrorIs(t, err, errStalled)
		requireNoData(t, in)
		require.NotContains(t, commands(t), "sleep "+mark)
	})

	// Its data are good, and the next start goes on from there.
	t.Run("ThatIsCalledOffIsLetFinish", func(t *testing.T) {
		t.Parallel()
		in := bundle(t, `echo begun; read -r _ <"$2/../../bell"; touch "$2/finished"`)
		path := filepath.Join(filepath.Dir(in.dir), "bell")
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		require.NoError(t, os.Chmod(path, 0o644))
		bell, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer bell.Close()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := in.start(ctx)
			failed <- err
		}()
		require.Eventually(t, func() bool {
			log, err := os.ReadFile(in.path("postgres.log"))
			return err == nil && len(log) > 0
		}, patience, time.Millisecond)
		cancel()
		_, err = bell.WriteString("\n")
		require.NoError(t, err)
		require.ErrorIs(t, <-failed, context.Canceled)
		require.FileExists(t, in.path("data/finished"))
	})
}

func TestServerThatDoesNotComeUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limit time.Duration
		err   string
	}{
		"CalledOff": {patience, "context canceled"},
		"Stalled":   {200 * time.Millisecond, "has shown no progress for 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := seededDir(t)
			version, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
			require.NoError(t, err)
			bin := filepath.Join(filepath.Dir(dir), "bin")
			text := "postgres (PostgreSQL) " + strings.TrimSpace(string(version)) + ".0"
			fakeBinaries(t, bin, text)
			mark := fmt.Sprintf("87%07d%d", os.Getpid(), len(name))
			program(t, filepath.Join(bin, "postgres"), `case $1 in -D) echo up; exec sleep `+mark+`;; *) echo "`+text+`";; esac`)
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := Start(ctx, Config{Dir: dir, BinDir: bin, StartTimeout: test.limit})
				failed <- err
			}()
			require.Eventually(t, func() bool {
				log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
				return err == nil && len(log) > 0
			}, patience, time.Millisecond)
			if test.limit == patience {
				cancel()
			}
			require.ErrorContains(t, <-failed, test.err)
			cancel()
			require.NotContains(t, commands(t), "sleep "+mark, "what was started is ended")
			startIn(t, dir)
		})
	}
}

func requireNoData(t *testing.T, in *instance) {
	t.Helper()
	left, err := filepath.Glob(in.path("data*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
