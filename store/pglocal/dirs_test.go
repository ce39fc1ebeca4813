package pglocal

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefaultDir(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		uid  int
		want string
		err  string
	}{
		"Root":             {map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/tweetqueue/postgres", ""},
		"Home":             {map[string]string{"HOME": "/home/u"}, 1000, "/home/u/.local/state/tweetqueue/postgres", ""},
		"State":            {map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, 1000, "/s/tweetqueue/postgres", ""},
		"StateWithoutHome": {map[string]string{"XDG_STATE_HOME": "/s"}, 1000, "/s/tweetqueue/postgres", ""},
		"RelativeState":    {map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "s"}, 1000, "/home/u/.local/state/tweetqueue/postgres", ""},
		"Nothing":          {nil, 1000, "", "DATABASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := DefaultDir(func(key string) (string, bool) { value, ok := test.env[key]; return value, ok }, test.uid)
			require.Equal(t, test.want, dir)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestInstanceDirectory(t *testing.T) {
	t.Parallel()

	t.Run("OfAnotherUser", func(t *testing.T) {
		t.Parallel()
		_, err := Start(t.Context(), Config{Dir: foreignDir(t)})
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, "belongs to user")
	})

	t.Run("OpenToEverybody", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		require.NoError(t, os.Chmod(dir, 0o777))
		_, err := Start(t.Context(), Config{Dir: dir})
		require.ErrorContains(t, err, "chmod o-w "+dir)
	})

	t.Run("AFile", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(newDir(t), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := Start(t.Context(), Config{Dir: file})
		require.ErrorContains(t, err, "not a directory")
	})

	t.Run("UnderAStrictUmask", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "parents", "instance")
		h := startHelperAs(t, func(cmd *exec.Cmd) {
			cmd.Args = append([]string{"sh", "-c", `umask 077; exec "$0" "$@"`}, cmd.Args...)
			cmd.Path = "/bin/sh"
		}, "start", dir)
		require.Equal(t, "1", query(t, h.next(t).URL, `SELECT '1'`))
		h.leave(t)
	})

	t.Run("ParentsOfRootsArePassable", func(t *testing.T) {
		t.Parallel()
		for uid, want := range map[int]fs.FileMode{0: 0o755, 1000: 0o700} {
			top := newDir(t)
			require.NoError(t, (&host{uid: uid}).mkdirAll(filepath.Join(top, "a", "b")))
			for _, made := range []string{"a", "a/b"} {
				info, err := os.Stat(filepath.Join(top, made))
				require.NoError(t, err)
				require.Equal(t, want, info.Mode().Perm())
			}
		}
	})
}

func TestSocketDirectory(t *testing.T) {
	t.Parallel()

	// long is an instance whose socket does not fit into it.
	long := func(t *testing.T) *instance {
		t.Helper()
		dir := filepath.Join(filepath.Dir(seededDir(t)), strings.Repeat("long", 25))
		require.NoError(t, os.Rename(filepath.Join(filepath.Dir(dir), "instance"), dir))
		in := testInstance(t, dir)
		in.host.tempDir = filepath.Join(filepath.Dir(dir), "tmp")
		require.NoError(t, os.Mkdir(in.host.tempDir, 0o755))
		require.NoError(t, os.Chmod(in.host.tempDir, 0o777|fs.ModeSticky))
		return in
	}

	t.Run("InTheInstance", func(t *testing.T) {
		t.Parallel()
		in := &instance{dir: "/x", host: &host{tempDir: "/tmp"}}
		require.Equal(t, "/x/sock", in.socketPath())
		in.dir = "/" + strings.Repeat("x", longestSocket-len("//sock/"+socketName))
		require.Equal(t, in.dir+"/sock", in.socketPath())
		in.dir += "x"
		require.Equal(t, "/tmp", filepath.Dir(in.socketPath()))
		in.dir = "/a,b" // two hosts, to whoever reads a connection string
		require.Equal(t, "/tmp", filepath.Dir(in.socketPath()))
	})

	t.Run("TooLong", func(t *testing.T) {
		t.Parallel()
		in := long(t)
		server, err := in.start(t.Context())
		require.NoError(t, err)
		require.Contains(t, server.URL(), "host="+in.host.tempDir+"/tweetqueue-"+strconv.Itoa(os.Geteuid())+"-")
		require.Equal(t, "1", query(t, server.URL(), `SELECT '1'`))

		// An adopter whose TMPDIR is another finds it all the same.
		adopter := startIn(t, in.dir)
		require.True(t, adopter.Adopted())
		require.Equal(t, server.URL(), adopter.URL())
		found, ok, err := Find(t.Context(), in.dir)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, in.dir, found)
		require.NoError(t, server.Close())
		require.NoError(t, adopter.Close())
	})

	t.Run("TooLongAnywhere", func(t *testing.T) {
		t.Parallel()
		in := long(t)
		in.host.tempDir = in.dir
		_, err := in.start(t.Context())
		require.ErrorContains(t, err, "longer than 103 bytes: set TMPDIR")
	})

	t.Run("SomebodyWasThereFirst", func(t *testing.T) {
		t.Parallel()
		for name, squat := range map[string]func(dir string) error{
			"has mode 755":      func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
			"stands where":      func(dir string) error { return os.Symlink(filepath.Dir(dir), dir) },
			"belongs to user 1": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 1, 1)) },
		} {
			in := long(t)
			err := squat(in.socketPath())
			if os.Geteuid() != 0 && name == "belongs to user 1" {
				require.ErrorIs(t, err, fs.ErrPermission)
				uid := os.Geteuid() + 1
				require.ErrorContains(t, checkSocketDir(in.socketPath(), uid), "not to "+strconv.Itoa(uid))
				continue
			}
			require.NoError(t, err)
			_, err = in.start(t.Context())
			require.ErrorContains(t, err, name)
			requireNoServersUnder(t, in.dir)
		}
	})

	t.Run("OpenedUpLater", func(t *testing.T) {
		t.Parallel()
		dir := seededDir(t)
		startIn(t, dir)
		require.NoError(t, os.Chmod(filepath.Join(dir, "sock"), 0o777))
		_, err := Start(t.Context(), Config{Dir: dir})
		require.ErrorContains(t, err, "chmod 700")
	})
}

func TestServerAccount(t *testing.T) {
	t.Parallel()
	known := func(names ...string) func(string) (*user.User, error) {
		return func(name string) (*user.User, error) {
			for i, one := range names {
				if one == name {
					return &user.User{Uid: strconv.Itoa(100 + i), Gid: "200", Username: name}, nil
				}
			}
			return noUser(name)
		}
	}
	for name, test := range map[string]struct {
		uid    int
		lookup func(string) (*user.User, error)
		want   string
		err    string
	}{
		"Ordinary": {uid: 1000, lookup: known("postgres"), want: ""},
		"Postgres": {lookup: known("nobody", "postgres"), want: "postgres"},
		"Nobody":   {lookup: known("nobody"), want: "nobody"},
		"Neither":  {lookup: noUser, err: "useradd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &instance{dir: newDir(t), host: &host{uid: test.uid, lookupUser: test.lookup}}
			as, err := in.serverAccount()
			switch {
			case test.err != "":
				require.ErrorContains(t, err, test.err)
			case test.want == "":
				require.NoError(t, err)
				require.Nil(t, as.credential)
			default:
				require.NoError(t, err)
				require.Equal(t, test.want, as.name)
				require.Equal(t, &syscall.Credential{Uid: uint32(as.uid), Gid: 200}, as.credential)
			}
		})
	}

	t.Run("OwnerOfTheData", func(t *testing.T) {
		t.Parallel()
		in := &instance{dir: newDir(t), host: &host{uid: 0, lookupUser: known("postgres")}}
		require.NoError(t, os.Mkdir(in.path("data"), 0o700))
		as, err := in.serverAccount()
		if os.Geteuid() == 0 {
			require.ErrorContains(t, err, "belongs to root")
			require.NoError(t, os.Chown(in.path("data"), 65534, 65534))
			as, err = in.serverAccount()
			require.Equal(t, 65534, as.uid)
		}
		require.NoError(t, err)
		require.NotEqual(t, "postgres", as.name)
		require.NotZero(t, as.uid)
	})

	t.Run("ClosedParentIsNamed", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(newDir(t), "closed")
		dir := filepath.Join(closed, "inner", "instance")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.Chmod(closed, 0o700))
		stranger := unprivileged(os.Geteuid()+4711, 4711, "stranger")
		require.ErrorContains(t, stranger.explainDenied(fs.ErrPermission, dir), "user stranger, as whom PostgreSQL runs, cannot enter "+closed+":")
		require.Equal(t, fs.ErrExist, stranger.explainDenied(fs.ErrExist, dir))
		require.NoError(t, os.Chmod(closed, 0o711))
		require.Equal(t, fs.ErrPermission, stranger.explainDenied(fs.ErrPermission, dir))
	})
}

// TestRunsUnprivileged starts real servers in whatever role the test runs.
func TestRunsUnprivileged(t *testing.T) {
	t.Parallel()
	runsAs := func(t *testing.T, dir string) string {
		t.Helper()
		uid, _, err := owner(filepath.Join(dir, "data", "postmaster.pid"))
		require.NoError(t, err)
		return strconv.Itoa(uid)
	}
	if os.Geteuid() != 0 {
		server := startIn(t, seededDir(t))
		require.Equal(t, strconv.Itoa(os.Geteuid()), runsAs(t, server.Dir()))
		return
	}
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	in := testInstance(t, filepath.Join(newDir(t), "instance"))
	in.host.lookupUser = func(name string) (*user.User, error) {
		if name == "nobody" {
			return nobody, nil
		}
		return noUser(name)
	}
	server, err := in.start(t.Context())
	require.NoError(t, err)
	require.Equal(t, nobody.Uid, runsAs(t, in.dir))
	require.Equal(t, "1", query(t, server.URL(), `SELECT '1'`))
	require.NoError(t, server.Close())

	// A postgres user that appears later does not take the data over.
	again := startIn(t, in.dir)
	require.Equal(t, nobody.Uid, runsAs(t, in.dir))
	require.NoError(t, again.Close())

	closed := newDir(t)
	require.NoError(t, os.Chmod(closed, 0o700))
	_, err = Start(t.Context(), Config{Dir: filepath.Join(closed, "state")})
	require.ErrorContains(t, err, "cannot enter "+closed)
	require.ErrorContains(t, err, SystemDir)
}

// foreignDir is an existing directory that belongs to another user.
func foreignDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "/usr"
	}
	dir := newDir(t)
	require.NoError(t, os.Chown(dir, 65534, 65534))
	return dir
}
