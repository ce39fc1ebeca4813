package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// clone is a copy of .ci/run, in a place where no other make test is.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".ci"), 0o755))
	out, err := exec.Command("cp", "../.ci/run", filepath.Join(dir, ".ci")).CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

func TestCI(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make string
		code int
		last string // of the output
	}{
		"Green":         {"echo 'ok  x 0.1s'; echo 'skipped: 0'; echo '7 passed, 0 failed, 0 skipped'", 0, "7 passed, 0 failed, 0 skipped\n"},
		"Red":           {"echo 'skipped: 0'; echo '6 passed, 1 failed, 0 skipped'; exit 2", 2, "6 passed, 1 failed, 0 skipped\n"},
		"RedAndSkipped": {"echo 'skipped: 1'; exit 1", 1, "skipped: 1\n"},
		"Skipped":       {"echo 'skipped: 2'; echo '5 passed, 0 failed, 2 skipped'", 1, ".ci/run: 2 tests were skipped\n5 passed, 0 failed, 2 skipped\n"},
		"Silent":        {"echo 'ok  x 0.1s'", 1, ".ci/run: make test did not say how many tests were skipped (skipped: N)\n"},
		"NotALine":      {"echo 'not skipped: 0'", 1, ".ci/run: make test did not say how many tests were skipped (skipped: N)\n"},
		"Environment":   {`[ "$CI" = true ] && ! read -r line && echo 'skipped: 0'`, 0, "skipped: 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.fake(t, "make", test.make)
			out, code := m.run(t, clone(t), "../.ci/run")
			require.Equal(t, test.code, code, out)
			require.Equal(t, test.last, out[max(0, len(out)-len(test.last)):])
			require.Equal(t, []string{"make test"}, m.calls(t))
			left, err := filepath.Glob(filepath.Join(m.root, "tmp*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestCIInstallsMake(t *testing.T) {
	t.Parallel()
	// make itself is made by the package manager.
	installs := func(m *machine) string {
		file := filepath.Join(m.root, "path", "make")
		return `printf '#!/bin/sh\necho "skipped: 0"\n' >` + file + `; /bin/chmod 755 ` + file
	}

	t.Run("AsRoot", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "id", "echo 0")
		m.fake(t, "apt-get", `if [ "$1" = update ]; then : >"$LOG.updated"; elif [ -e "$LOG.updated" ]; then `+installs(m)+`; else exit 100; fi`)
		out, code := m.run(t, clone(t), "../.ci/run")
		require.Zero(t, code, out)
		install := "apt-get install -y --no-install-recommends make"
		require.Equal(t, []string{install, "apt-get update", install}, m.calls(t))
	})

	t.Run("WithSudo", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "true", "")
		m.fake(t, "sudo", `shift; "$@"`)
		m.fake(t, "apk", installs(m))
		out, code := m.run(t, clone(t), "../.ci/run")
		require.Zero(t, code, out)
		require.Contains(t, m.calls(t), "apk add make")
	})

	t.Run("WithoutRights", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.fake(t, "dnf", installs(m))
		out, code := m.run(t, clone(t), "../.ci/run")
		require.Equal(t, 4, code)
		require.Equal(t, ".ci/run: make is missing: as root, run: dnf install -y make\n", out)
		require.Empty(t, m.calls(t))
	})

	t.Run("WithoutAPackageManager", func(t *testing.T) {
		t.Parallel()
		out, code := newMachine(t).run(t, clone(t), "../.ci/run")
		require.Equal(t, 4, code)
		require.Equal(t, ".ci/run: make is missing: install it\n", out)
	})
}
