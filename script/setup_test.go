// Package script_test tests the shell scripts that prepare a machine and run its tests: on
// made-up machines, whose programs are a directory of links to real ones and of fakes that
// write down how they were called.
package script_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// machine is a directory that stands for /.
type machine struct {
	root string
}

// newMachine has a shell, a few tools, Go and a C compiler, and belongs to an ordinary user.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{root: t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(m.root, "path"), 0o755))
	for _, tool := range []string{
		"bash", "cat", "dirname", "env", "grep", "mkdir", "mktemp", "readlink", "rm", "sed", "sh", "tail", "tee",
	} {
		path, err := exec.LookPath(tool)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(m.root, "path", tool)))
	}
	m.fake(t, "go", `printf 'go1.26.1\ngcc\n'`)
	m.fake(t, "gcc", "cat >/dev/null")
	m.fake(t, "id", "echo 1000")
	return m
}

// fake makes a program that notes its call in the machine's log and then runs the script. It is
// written by another process: a file that this one writes could be open in a child that is
// just being started elsewhere, and then Linux refuses to run it.
func (m *machine) fake(t *testing.T, name, script string) {
	t.Helper()
	m.program(t, filepath.Join("path", name), `echo "`+name+` $*" >>"$LOG"; `+script)
}

func (m *machine) program(t *testing.T, path, script string) {
	t.Helper()
	file := filepath.Join(m.root, path)
	cmd := exec.Command("sh", "-c", `rm -f "$1" && mkdir -p "$(dirname "$1")" && cat >"$1" && chmod 755 "$1"`, "sh", file)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + script + "\n")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func (m *machine) remove(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(m.root, "path", name)))
}

// postgres installs a server of that version, or says in shell how.
func (m *machine) postgres(version string) string {
	dir := filepath.Join(m.root, "usr/lib/postgresql", version, "bin")
	return `mkdir -p ` + dir + `; for p in postgres initdb; do
		printf '#!/bin/sh\necho "postgres (PostgreSQL) ` + version + `.4 (Debian ` + version + `.4-1)"\n' >` + dir + `/$p
		/bin/chmod 755 ` + dir + `/$p; done`
}

func (m *machine) sh(t *testing.T, script string) {
	t.Helper()
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	require.NoError(t, err, string(out))
}

// run runs a script of the repository and returns what it said and how it ended.
func (m *machine) run(t *testing.T, dir, script string, args ...string) (string, int) {
	t.Helper()
	path, err := filepath.Abs(script)
	require.NoError(t, err)
	if dir != "" {
		path = filepath.Join(dir, filepath.Base(filepath.Dir(script)), filepath.Base(script))
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + filepath.Join(m.root, "path"), "SETUP_ROOT=" + m.root, "LOG=" + filepath.Join(m.root, "log"), "TMPDIR=" + m.root}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err = cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// calls are the fakes' calls, those of id and go left out.
func (m *machine) calls(t *testing.T) []string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(m.root, "log"))
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	var calls []string
	for line := range strings.Lines(string(log)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "id ") && !strings.HasPrefix(line, "go ") && !strings.HasPrefix(line, "gcc ") {
			calls = append(calls, line)
		}
	}
	return calls
}

const (
	aptPostgres = "apt-get -o Dpkg::Options::=--force-confold install -y --no-install-recommends postgresql"
	aptBoth     = aptPostgres + " gcc libc6-dev"
)

func TestSetupWithNothingMissing(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, m *machine){
		"Packaged": func(t *testing.T, m *machine) { t.Helper(); m.sh(t, m.postgres("15")) },
		"NewerBesideOlder": func(t *testing.T, m *machine) {
			t.Helper()
			m.sh(t, m.postgres("9"))
			m.sh(t, m.postgres("18"))
		},
		"LinkInPath": func(t *testing.T, m *machine) {
			t.Helper()
			m.program(t, "opt/pg/postgres", `echo "postgres (PostgreSQL) 16beta1"`)
			m.program(t, "opt/pg/initdb", "exit")
			require.NoError(t, os.Symlink(filepath.Join(m.root, "opt/pg/postgres"), filepath.Join(m.root, "path/postgres")))
		},
		"PgConfig": func(t *testing.T, m *machine) {
			t.Helper()
			m.program(t, "opt/pg/postgres", `echo "postgres (PostgreSQL) 16.1"`)
			m.program(t, "opt/pg/initdb", "exit")
			m.fake(t, "pg_config", "echo "+m.root+"/opt/pg")
		},
		"NewerGo": func(t *testing.T, m *machine) {
			t.Helper()
			m.sh(t, m.postgres("15"))
			m.fake(t, "go", `printf 'devel go1.27-a1b2c3\ngcc\n'`)
		},
		"OtherCompiler": func(t *testing.T, m *machine) {
			t.Helper()
			m.sh(t, m.postgres("15"))
			m.remove(t, "gcc")
			m.fake(t, "clang", "cat >/dev/null")
			m.fake(t, "go", `printf 'go1.26.1\nclang -m64\n'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.fake(t, "apt-get", "exit 1")
			prepare(t, m)
			for _, verb := range []string{"demo", "test"} {
				out, code := m.run(t, "", "setup", verb)
				require.Empty(t, out)
				require.Zero(t, code)
			}
			require.NotContains(t, strings.Join(m.calls(t), "\n"), "apt-get")
		})
	}
}

func TestSetupUsage(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, args := range [][]string{{}, {"run"}, {"demo", "test"}} {
		out, code := m.run(t, "", "setup", args...)
		require.Equal(t, 2, code)
		require.Equal(t, "usage: script/setup demo|test\n", out)
	}
}

func TestSetupWithoutRights(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, m *machine)
		verb    string
		missing string
		command string
	}{
		"Debian": {
			func(t *testing.T, m *machine) { t.Helper(); m.fake(t, "apt-get", ""); m.fake(t, "su", "") },
			"demo", "PostgreSQL 15 or newer (server)",
			"su -c 'mkdir -p ROOT/etc/postgresql-common/createcluster.d && " +
				"echo create_main_cluster = false > ROOT/etc/postgresql-common/createcluster.d/tweetqueue.conf && " +
				"apt-get update && DEBIAN_FRONTEND=noninteractive " + aptPostgres + "'",
		},
		"SudoThatAsks": {
			func(t *testing.T, m *machine) {
				t.Helper()
				m.fake(t, "dnf", "")
				m.fake(t, "su", "")
				m.fake(t, "sudo", "exit 1")
				m.remove(t, "gcc")
			},
			"test", "PostgreSQL 15 or newer (server), a C compiler (for go test -race)",
			"sudo sh -c 'dnf install -y postgresql-server gcc glibc-devel'",
		},
		"CompilerWithoutHeaders": {
			func(t *testing.T, m *machine) {
				t.Helper()
				m.sh(t, m.postgres("17"))
				m.fake(t, "gcc", "exit 1")
				m.fake(t, "apk", "")
			},
			"test", "a C compiler (for go test -race)",
			"sudo sh -c 'apk add gcc musl-dev'",
		},
		"Pacman": {
			func(t *testing.T, m *machine) { t.Helper(); m.fake(t, "pacman", "") },
			"demo", "PostgreSQL 15 or newer (server)",
			"sudo sh -c 'pacman -S --needed --noconfirm postgresql'",
		},
		"Zypper": {
			func(t *testing.T, m *machine) { t.Helper(); m.fake(t, "zypper", "") },
			"demo", "PostgreSQL 15 or newer (server)",
			"sudo sh -c 'zypper --non-interactive install postgresql-server'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			test.prepare(t, m)
			out, code := m.run(t, "", "setup", test.verb)
			require.Equal(t, 4, code)
			require.Equal(t, "setup: missing: "+test.missing+"\n"+
				"setup: run this, and try again:  "+strings.ReplaceAll(test.command, "ROOT", m.root)+"\n", out)
			require.NotContains(t, strings.Join(m.calls(t), "\n"), "install")
		})
	}

	t.Run("NoPackageManager", func(t *testing.T) {
		t.Parallel()
		out, code := newMachine(t).run(t, "", "setup", "demo")
		require.Equal(t, 4, code)
		require.Contains(t, out, "no package manager found")
	})
}

func TestSetupInstalls(t *testing.T) {
	t.Parallel()
	conf := "etc/postgresql-common/createcluster.d/tweetqueue.conf"
	// noMainCluster is what must stand in the configuration when the package is installed.
	noMainCluster := func(m *machine) string {
		return "grep -qx 'create_main_cluster = false' " + filepath.Join(m.root, conf) + " || exit 1; "
	}

	t.Run("AsRootOnDebian", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.remove(t, "gcc")
		m.fake(t, "apt-get", `[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 0; `+noMainCluster(m)+m.postgres("15"))
		out, code := m.run(t, "", "setup", "test")
		require.Zero(t, code, out)
		require.Equal(t, []string{"apt-get update", aptBoth}, m.calls(t))
	})

	t.Run("WithSudo", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "sudo", `[ "$1" = -n ] && shift; "$@"`)
		m.fake(t, "true", "exit 0")
		m.fake(t, "apt-get", noMainCluster(m)+m.postgres("15"))
		m.sh(t, "mkdir -p "+m.root+"/var/lib/apt/lists; touch "+m.root+"/var/lib/apt/lists/deb_Packages.lz4")
		out, code := m.run(t, "", "setup", "demo")
		require.Zero(t, code, out)
		calls := m.calls(t)
		require.Equal(t, aptPostgres, calls[len(calls)-1], "there are lists, so they are not fetched")
		require.NotContains(t, calls, "apt-get update")
		require.Contains(t, strings.Join(calls, "\n"), "sudo -n sh -c mkdir -p "+m.root)
	})

	t.Run("WithListsThatAreTooOld", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.sh(t, "mkdir -p "+m.root+"/var/lib/apt/lists; touch "+m.root+"/var/lib/apt/lists/deb_Packages")
		m.fake(t, "apt-get", `if [ "$1" = update ]; then : >"$LOG.updated"; elif [ -e "$LOG.updated" ]; then `+m.postgres("15")+`; else exit 100; fi`)
		out, code := m.run(t, "", "setup", "demo")
		require.Zero(t, code, out)
		require.Equal(t, []string{aptPostgres, "apt-get update", aptPostgres}, m.calls(t))
	})

	t.Run("WithAnOldConfigurationThatReadsNoOther", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		old := filepath.Join(m.root, "etc/postgresql-common/createcluster.conf")
		m.sh(t, "mkdir -p "+filepath.Dir(old)+"; echo ssl = on >"+old)
		m.fake(t, "apt-get", m.postgres("15"))
		_, code := m.run(t, "", "setup", "demo")
		require.Zero(t, code)
		text, err := os.ReadFile(old)
		require.NoError(t, err)
		require.Equal(t, "ssl = on\ncreate_main_cluster = false\n", string(text))
	})

	t.Run("OnlyACompiler", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.sh(t, m.postgres("15"))
		m.remove(t, "gcc")
		m.fake(t, "apt-get", "")
		_, code := m.run(t, "", "setup", "test")
		require.Zero(t, code)
		require.Equal(t, "apt-get -o Dpkg::Options::=--force-confold install -y --no-install-recommends gcc libc6-dev", m.calls(t)[1])
		require.NoFileExists(t, filepath.Join(m.root, conf), "no server is installed, so nothing is said about one")
	})

	t.Run("ByBrewAsAUser", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "brew", m.postgres("17"))
		_, code := m.run(t, "", "setup", "demo")
		require.Zero(t, code)
		require.Equal(t, []string{"brew install postgresql@17"}, m.calls(t))
	})

	t.Run("AndFails", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.fake(t, "dnf", "exit 1")
		out, code := m.run(t, "", "setup", "demo")
		require.Equal(t, 4, code)
		require.Contains(t, out, "run this, and try again:  dnf install -y postgresql-server\n")
	})

	t.Run("AndGetsAnOldOne", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.fake(t, "dnf", m.postgres("13"))
		out, code := m.run(t, "", "setup", "demo")
		require.Equal(t, 4, code)
		require.Contains(t, out, "still missing (found 13 in "+m.root+"/usr/lib/postgresql/13/bin)")
	})
}

func TestSetupNamesGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script  string
		missing string
	}{
		"Absent":     {"", "Go 1.26 or newer"},
		"Old":        {`printf 'go1.25.9\ngcc\n'`, "Go 1.26 or newer (found go1.25.9)"},
		"CannotHelp": {"echo 'go: cannot download toolchain' >&2; exit 1", "Go 1.26 or newer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.sh(t, m.postgres("15"))
			m.fake(t, "apt-get", "")
			if test.script == "" {
				m.remove(t, "go")
			} else {
				m.fake(t, "go", test.script)
			}
			out, code := m.run(t, "", "setup", "demo")
			require.Equal(t, 4, code)
			require.Equal(t, "setup: missing: "+test.missing+"\n"+
				"setup: install "+test.missing+" from https://go.dev/dl/, put it on PATH, and try again\n", out)
			require.Empty(t, m.calls(t))
		})
	}
}
