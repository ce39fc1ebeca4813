package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoBinaries says that no PostgreSQL server of a usable version is installed. The message
// of the error that wraps it names the command that installs one here.
var ErrNoBinaries = errors.New("no PostgreSQL server binaries")

// ErrVersionMismatch says that the data was made by a major version that is not installed.
// The data is left as it is; the message says what to do.
var ErrVersionMismatch = errors.New("the data is from another PostgreSQL version")

// minMajor is the oldest PostgreSQL that the project supports.
const minMajor = 15

// binaries is a directory with postgres and initdb.
type binaries struct {
	dir   string
	major int
}

// finder looks for server binaries. Its fields are what tests replace.
type finder struct {
	globs    []string                          // where packages put them
	lookPath func(name string) (string, error) // PATH
}

// packageGlobs are the places where packages put the server's binaries, most of them outside
// PATH. script/setup looks in the same ones, which a test compares.
func packageGlobs() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // PostgreSQL's own RPMs
		"/usr/lib/postgresql[0-9]*/bin",                      // openSUSE
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/local/pgsql/bin",                               // built from source
		"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",                     // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
		"/opt/local/lib/postgresql*/bin",                     // MacPorts
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	}
}

func newFinder() finder {
	return finder{globs: packageGlobs(), lookPath: exec.LookPath}
}

// ask runs a program for the one line that it prints.
func ask(ctx context.Context, program, option string) (string, error) {
	cmd := exec.CommandContext(ctx, program, option)
	cmd.Env = serverEnv()
	cmd.SysProcAttr = programAttr(account{})
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// find returns the binaries to use: those of bindir if it is not empty, else the newest. Where
// there is data already, its major version is the only one that fits.
func (f finder) find(ctx context.Context, bindir, data string) (binaries, error) {
	wanted, err := dataVersion(data)
	if err != nil {
		return binaries{}, err
	}
	var all []binaries
	if bindir != "" {
		found, err := inspect(ctx, bindir)
		if err != nil && ctx.Err() == nil {
			return binaries{}, fmt.Errorf("%w in %s: %w", ErrNoBinaries, bindir, err)
		}
		all = append(all, found)
	} else {
		all = f.installed(ctx, wanted)
	}
	if ctx.Err() != nil {
		return binaries{}, context.Cause(ctx) // the programs were not let finish
	}
	switch chosen, ok := choose(all, wanted); {
	case ok:
		return chosen, nil
	case len(all) == 0:
		return binaries{}, fmt.Errorf("%w (version %d or newer): %s", ErrNoBinaries, minMajor, f.advice())
	case wanted != 0:
		return binaries{}, mismatch(data, wanted, all)
	default:
		return binaries{}, fmt.Errorf("%w of version %d or newer: %s has version %d: %s",
			ErrNoBinaries, minMajor, all[0].dir, all[0].major, f.advice())
	}
}

// choose returns the wanted version, or, if any will do (0), the newest that is new enough. It
// sorts by version, the newest first.
func choose(all []binaries, wanted int) (binaries, bool) {
	slices.SortStableFunc(all, func(a, b binaries) int { return b.major - a.major })
	i := slices.IndexFunc(all, func(one binaries) bool {
		return one.major == wanted || wanted == 0 && one.major >= minMajor
	})
	if i < 0 {
		return binaries{}, false
	}
	return all[i], true
}

// mismatch is the refusal to touch data of a version that is not installed.
func mismatch(data string, wanted int, all []binaries) error {
	var majors []string
	for _, one := range all {
		majors = append(majors, strconv.Itoa(one.major))
	}
	return fmt.Errorf("%w: %s is from PostgreSQL %d, installed: %s: install PostgreSQL %[3]d beside it to go on as before; "+
		"to upgrade the data as well, stop all that uses it, and with both versions installed run, as the data's owner: "+
		"%s/initdb -U %s --auth-local=trust --auth-host=reject -E UTF8 --no-locale -D %[2]s.new && "+
		"%[5]s/pg_upgrade -U %[6]s -b OLD_BIN_DIRECTORY -B %[5]s -d %[2]s -D %[2]s.new, then put %[2]s.new in the place of %[2]s",
		ErrVersionMismatch, data, wanted, strings.Join(majors, ", "), all[0].dir, superuser)
}

// dataVersion reads the major version of an existing data directory; 0 means there is none.
func dataVersion(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(data); errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		return 0, fmt.Errorf("%s is no PostgreSQL data directory (it has no PG_VERSION): move it away to start anew", data)
	}
	if err != nil {
		return 0, fmt.Errorf("read the data's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the data's version: %s/PG_VERSION: %w", data, err)
	}
	return major, nil
}

// installed lists the directories with server binaries, each once. What only pg_config knows is
// a build of somebody's own, and counts where no other will do: asking costs 10 ms.
func (f finder) installed(ctx context.Context, wanted int) []binaries {
	var dirs []string
	for _, glob := range f.globs {
		found, _ := filepath.Glob(glob) // the patterns are literals, checked by a test
		dirs = append(dirs, found...)
	}
	if path, err := f.lookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	all := inspectAll(ctx, dirs)
	if _, ok := choose(all, wanted); ok {
		return all
	}
	if path, err := f.lookPath("pg_config"); err == nil {
		if dir, err := ask(ctx, path, "--bindir"); err == nil {
			all = inspectAll(ctx, append(dirs, dir))
		}
	}
	return all
}

func inspectAll(ctx context.Context, dirs []string) []binaries {
	var all []binaries
	seen := map[string]bool{}
	for _, dir := range dirs {
		// Many put links into PATH, to single programs, and the same directory under two names.
		resolved, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[resolved] {
			continue
		}
		seen[resolved] = true
		if found, err := inspect(ctx, filepath.Dir(resolved)); err == nil {
			all = append(all, found)
		}
	}
	return all
}

var versionPattern = regexp.MustCompile(`^postgres \([^)]*\) (\d+)`)

// inspect checks that dir has both programs (client packages have neither) and asks the version.
func inspect(ctx context.Context, dir string) (binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, err
	}
	text, err := ask(ctx, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return binaries{}, fmt.Errorf("ask %s/postgres for its version: %w", dir, err)
	}
	match := versionPattern.FindStringSubmatch(text)
	if match == nil {
		return binaries{}, fmt.Errorf("%s/postgres names no version: %q", dir, text)
	}
	major, err := strconv.Atoi(match[1])
	return binaries{dir: dir, major: major}, err
}

// advice names the one command that installs a server with the package manager found, and the
// two ways around it.
func (f finder) advice() string {
	const around = "set DATABASE_URL to a database of yours, or use docker compose up"
	for _, one := range []struct{ manager, command string }{
		{"apt-get", "apt-get install -y postgresql"},
		{"dnf", "dnf install -y postgresql-server"},
		{"yum", "yum install -y postgresql-server"},
		{"apk", "apk add postgresql"},
		{"zypper", "zypper --non-interactive install postgresql-server"},
		{"pacman", "pacman -S --noconfirm postgresql"},
		{"brew", "brew install postgresql@17"},
	} {
		if _, err := f.lookPath(one.manager); err != nil {
			continue
		}
		if one.manager != "brew" {
			one.command += " (as root)"
		}
		return "install them: " + one.command + "; or " + around
	}
	return "install PostgreSQL's server package; or " + around
}

// serverEnv is the whole environment of the server's programs. Nothing of ours is passed on:
// PGPORT and its like would change what they do, and the worker's secrets have no business in
// the database, which must not hold the key of the credentials in it. LC_ALL makes messages
// English, and keeps macOS from starting threads in the server.
func serverEnv() []string {
	return []string{"LC_ALL=C", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
}

// programAttr keeps a Ctrl-C in the terminal from reaching the program, which has to outlive
// this process's own orderly end, and drops root's rights.
func programAttr(as account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: as.credential}
}
