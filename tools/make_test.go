package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runMake runs make in the project's root and returns what it printed.
func runMake(t *testing.T, arguments ...string) string {
	t.Helper()

	command := exec.CommandContext(t.Context(), "make", arguments...)
	command.Dir = ".."
	// What a make that runs these tests tells its children would change the output.
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS=")
	})
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	return string(output)
}

func TestMakeHelp(t *testing.T) {
	t.Parallel()

	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	var targets []string
	for _, match := range regexp.MustCompile(`(?m)^\.PHONY: (\w+)\n(\w+):.* ## \S`).FindAllStringSubmatch(string(makefile), -1) {
		require.Equal(t, match[1], match[2])
		targets = append(targets, match[1])
	}
	require.Len(t, targets, strings.Count(string(makefile), "\n.PHONY:"), "each target has a line of help")
	for _, name := range []string{"help", "test", "lint", "check", "bench", "demo"} {
		require.Contains(t, targets, name)
	}

	var listed []string
	for line := range strings.Lines(runMake(t)) {
		require.Regexp(t, `^  make \w+ +\S`, line)
		listed = append(listed, strings.Fields(line)[1])
	}
	require.Equal(t, targets, listed, "`make` alone lists them")
}

// TestMakeBuildFlags keeps one set of compiled packages good for `make build` and for TestDockerfileBuild.
func TestMakeBuildFlags(t *testing.T) {
	t.Parallel()

	flags := func(content string) []string {
		_, line, found := strings.Cut(content, "CGO_ENABLED=0 go build")
		require.True(t, found)
		line, _, _ = strings.Cut(line, " -o ")
		return strings.Fields(strings.ReplaceAll(line, `"`, `'`))
	}
	content, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	require.Equal(t, flags(string(content)), flags(runMake(t, "--dry-run", "build")))
}

func TestMakeBench(t *testing.T) {
	t.Parallel()

	require.Contains(t, runMake(t, "--dry-run", "bench", "BENCH=Claim$"), `-run='^$' -bench='Claim`)
}

// TestCount compares the last lines of the report with streams of events as `go test -json` writes them.
func TestCount(t *testing.T) {
	t.Parallel()

	pass := `{"Time":"2026-11-24T02:00:00Z","Action":"pass","Package":"a","Test":"TestOne/Sub","Elapsed":0}`
	parent := `{"Time":"2026-11-24T02:00:00Z","Action":"pass","Package":"a","Test":"TestOne","Elapsed":0}`
	skip := `{"Time":"2026-11-24T02:00:00Z","Action":"skip","Package":"a","Test":"TestTwo","Elapsed":0}`
	fail := `{"Time":"2026-11-24T02:00:00Z","Action":"fail","Package":"b","Test":"TestThree","Elapsed":0}`
	failedPackage := `{"Time":"2026-11-24T02:00:00Z","Action":"fail","Package":"b","Elapsed":0}`
	failedBuild := `{"Time":"2026-11-24T02:00:00Z","Action":"fail","Package":"c","Elapsed":0,"FailedBuild":"c"}`
	noTests := `{"Time":"2026-11-24T02:00:00Z","Action":"skip","Package":"d","Elapsed":0}`
	output := `{"Time":"2026-11-24T02:00:00Z","Action":"output","Package":"a","Test":"TestOne","Output":"{\"Action\":\"fail\",\"Test\":\"no\"}\n"}`

	for name, test := range map[string]struct {
		events []string
		want   string
	}{
		"Nothing":       {nil, "skipped: 0\n0 passed, 0 failed, 0 skipped\n"},
		"Passed":        {[]string{output, pass, parent}, "skipped: 0\n2 passed, 0 failed, 0 skipped\n"},
		"Skipped":       {[]string{pass, skip, noTests}, "skipped: 1\n1 passed, 0 failed, 1 skipped\n"},
		"FailedTest":    {[]string{fail, pass, failedPackage}, "skipped: 0\n1 passed, 1 failed, 0 skipped\n"},
		"FailedPackage": {[]string{failedBuild, pass, failedPackage}, "skipped: 0\n1 passed, 2 failed, 0 skipped\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			file := filepath.Join(t.TempDir(), "tests.json")
			require.NoError(t, os.WriteFile(file, []byte(strings.Join(append(slices.Clip(test.events), ""), "\n")), 0o600))
			got, err := exec.CommandContext(t.Context(), "./test.sh", "count", file).CombinedOutput()
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}
