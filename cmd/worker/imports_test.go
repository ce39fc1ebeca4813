package main_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the import path that all packages of the project begin with.
const module = "tweetqueue"

// listed is what `go list -json` tells of a package. Deps are those of the non-test files, direct or not.
type listed struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

// importRule is the direction of the project's imports: a tree of packages, and the trees that its
// non-test files may import besides itself. A tree that is missing here is refused, so that a new one is
// given its place deliberately.
func importRule() map[string][]string {
	return map[string][]string{
		"bench":           {"jobs", "migrations", "store", "store/pglocal", "twitter", "twitter/sandbox", "web"},
		"cmd":             {"jobs", "migrations", "store", "store/pglocal", "twitter", "twitter/sandbox", "web"},
		"jobs":            {"migrations", "store", "twitter"},
		"migrations":      {},
		"script":          {},
		"store":           {"migrations"},
		"store/pglocal":   {},
		"store/storetest": {"migrations", "store", "store/pglocal"},
		"twitter":         {},
		"twitter/sandbox": {},
		"web":             {"store", "twitter"},
	}
}

// testImportRule is what test files may import besides what their tree may. It keeps the two sides apart
// in tests too: a test that needs store and twitter belongs to jobs or cmd. The sandbox's tests see
// nothing else, so that client and stand-in cannot share a mistake.
func testImportRule() map[string][]string {
	storing := []string{"migrations", "store", "store/pglocal", "store/storetest"}
	return map[string][]string{
		"bench":           {"cmd", "store/storetest"},
		"cmd":             {"store/storetest"},
		"jobs":            append(storing, "twitter/sandbox"),
		"migrations":      storing,
		"script":          {},
		"store":           storing,
		"store/pglocal":   storing,
		"store/storetest": storing,
		"twitter":         {"twitter/sandbox"},
		"twitter/sandbox": {},
		"web":             append(storing, "jobs", "twitter/sandbox"),
	}
}

// treeOf finds the longest tree of the rule that holds a package of this module.
func treeOf(importPath string) (string, bool) {
	name := strings.TrimPrefix(importPath, module+"/")
	rule := importRule()
	for {
		if _, ok := rule[name]; ok {
			return name, true
		}
		end := strings.LastIndex(name, "/")
		if end < 0 {
			return "", false
		}
		name = name[:end]
	}
}

// isOurs reports whether a package is of this module.
func isOurs(importPath string) bool {
	return strings.HasPrefix(importPath, module+"/")
}

// isTestSupport reports whether a package is only for tests, of this module, of Go or of a library.
func isTestSupport(importPath string) bool {
	if isOurs(importPath) {
		return strings.HasSuffix(importPath, "test")
	}
	for _, prefix := range []string{
		"github.com/riverqueue/river/rivertest", "github.com/stretchr/testify", "go.uber.org/goleak",
		"net/http/httptest", "pgregory.net/rapid", "testing",
	} {
		if importPath == prefix || strings.HasPrefix(importPath, prefix+"/") {
			return true
		}
	}
	return false
}

// isLogger reports whether a package writes logs. log/slog is not among them: a credential needs its
// Value to redact itself, and the linters refuse its functions.
func isLogger(importPath string) bool {
	return importPath == "log" || strings.HasPrefix(importPath, "github.com/rs/zerolog")
}

// importFaults lists each import that breaks the rule.
func importFaults(packages []listed) []string {
	var faults []string
	for _, pkg := range packages {
		tree, ok := treeOf(pkg.ImportPath)
		if !ok {
			faults = append(faults, pkg.ImportPath+" has no place in the import rule: give it one in imports_test.go")
			continue
		}
		allowed := append([]string{tree}, importRule()[tree]...)
		faults = append(faults, strayImports(pkg.ImportPath, pkg.Imports, allowed)...)
		allowed = append(allowed, testImportRule()[tree]...)
		faults = append(faults, strayImports(pkg.ImportPath+" (tests)", slices.Concat(pkg.TestImports, pkg.XTestImports), allowed)...)

		if silent := strings.HasPrefix(tree, "store") || strings.HasPrefix(tree, "twitter") || tree == "migrations"; silent {
			for _, imported := range pkg.Imports {
				if isLogger(imported) {
					faults = append(faults, fmt.Sprintf("%s imports the logger %s: return what happened instead", pkg.ImportPath, imported))
				}
			}
		}
		if isTestSupport(pkg.ImportPath) {
			continue
		}
		for _, dependency := range pkg.Deps {
			if isTestSupport(dependency) {
				faults = append(faults, fmt.Sprintf("%s depends on %s, which is for tests", pkg.ImportPath, dependency))
			}
		}
	}
	return faults
}

// strayImports lists the imports that are of this module but of none of the allowed trees.
func strayImports(importer string, imports, allowed []string) []string {
	var faults []string
	for _, imported := range imports {
		if !isOurs(imported) {
			continue
		}
		if tree, ok := treeOf(imported); !ok || !slices.Contains(allowed, tree) {
			faults = append(faults, fmt.Sprintf("%s imports %s", importer, imported))
		}
	}
	return faults
}

// TestImports holds the whole module to the import rule.
func TestImports(t *testing.T) {
	t.Parallel()

	output, err := exec.CommandContext(t.Context(),
		"go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", module+"/...").Output()
	require.NoError(t, err)
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(output))); decoder.More(); {
		var pkg listed
		require.NoError(t, decoder.Decode(&pkg))
		packages = append(packages, pkg)
	}
	require.True(t, slices.ContainsFunc(packages, func(pkg listed) bool { return pkg.ImportPath == module+"/cmd/worker" }))
	require.Empty(t, importFaults(packages))
}

// TestDemoIsReadByAStranger: what checks the demo's output, and all that its test links, is of this
// module nothing but itself.
func TestDemoIsReadByAStranger(t *testing.T) {
	t.Parallel()

	const reader = module + "/cmd/internal/demotest"
	output, err := exec.CommandContext(t.Context(), "go", "list", "-test", "-deps", "-f={{.ImportPath}}", reader).Output()
	require.NoError(t, err)
	dependencies := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.Contains(t, dependencies, reader+".test")
	for _, dependency := range dependencies {
		require.True(t, !isOurs(dependency) || strings.HasPrefix(dependency, reader), "the demo's test depends on %s", dependency)
	}
}

// TestImportFaults proves, on packages that do not exist, that each part of the rule can be broken.
func TestImportFaults(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		pkg  listed
		want string
	}{
		"CommandImportsAll": {listed{ImportPath: "tweetqueue/cmd/worker", Imports: []string{
			"github.com/rs/zerolog", "tweetqueue/jobs", "tweetqueue/store/pglocal", "tweetqueue/twitter/sandbox", "tweetqueue/web",
		}}, ""},
		"JobsImportBoth": {listed{ImportPath: "tweetqueue/jobs", Imports: []string{"tweetqueue/store", "tweetqueue/twitter"}}, ""},
		"JobsImportSandbox": {
			listed{ImportPath: "tweetqueue/jobs", Imports: []string{"tweetqueue/twitter/sandbox"}},
			"tweetqueue/jobs imports tweetqueue/twitter/sandbox",
		},
		"JobsImportWeb": {
			listed{ImportPath: "tweetqueue/jobs", Imports: []string{"tweetqueue/web"}},
			"tweetqueue/jobs imports tweetqueue/web",
		},
		"NewTree": {
			listed{ImportPath: "tweetqueue/util"},
			"tweetqueue/util has no place in the import rule: give it one in imports_test.go",
		},
		"NewTreeImported": {
			listed{ImportPath: "tweetqueue/store", Imports: []string{"tweetqueue/util"}},
			"tweetqueue/store imports tweetqueue/util",
		},
		"SandboxImportsClient": {
			listed{ImportPath: "tweetqueue/twitter/sandbox", Imports: []string{"tweetqueue/twitter"}},
			"tweetqueue/twitter/sandbox imports tweetqueue/twitter",
		},
		"SandboxTestImportsClient": {
			listed{ImportPath: "tweetqueue/twitter/sandbox", XTestImports: []string{"tweetqueue/twitter", "tweetqueue/twitter/sandbox"}},
			"tweetqueue/twitter/sandbox (tests) imports tweetqueue/twitter",
		},
		"StoreImportsItself": {listed{ImportPath: "tweetqueue/store/internal/rows", Imports: []string{"tweetqueue/store"}}, ""},
		"StoreImportsTwitter": {
			listed{ImportPath: "tweetqueue/store", Imports: []string{"tweetqueue/twitter"}},
			"tweetqueue/store imports tweetqueue/twitter",
		},
		"StoreImportsJobs": {
			listed{ImportPath: "tweetqueue/store/pglocal", Imports: []string{"tweetqueue/jobs"}},
			"tweetqueue/store/pglocal imports tweetqueue/jobs",
		},
		"StoreLogs": {
			listed{ImportPath: "tweetqueue/store", Imports: []string{"github.com/rs/zerolog"}},
			"tweetqueue/store imports the logger github.com/rs/zerolog: return what happened instead",
		},
		"StoreTestImportsFixtures": {listed{ImportPath: "tweetqueue/store", XTestImports: []string{"tweetqueue/store/storetest"}}, ""},
		"StoreTestImportsTwitter": {
			listed{ImportPath: "tweetqueue/store", TestImports: []string{"tweetqueue/twitter"}},
			"tweetqueue/store (tests) imports tweetqueue/twitter",
		},
		"TestSupportUsesTestify": {listed{ImportPath: "tweetqueue/store/storetest", Deps: []string{"github.com/stretchr/testify/require"}}, ""},
		"TestSupportInBinary": {
			listed{ImportPath: "tweetqueue/cmd/worker", Deps: []string{"tweetqueue/store/storetest"}},
			"tweetqueue/cmd/worker depends on tweetqueue/store/storetest, which is for tests",
		},
		"TestingInBinary": {
			listed{ImportPath: "tweetqueue/cmd/enqueue", Deps: []string{"testing"}},
			"tweetqueue/cmd/enqueue depends on testing, which is for tests",
		},
		"TwitterImportsStore": {
			listed{ImportPath: "tweetqueue/twitter", Imports: []string{"tweetqueue/store"}},
			"tweetqueue/twitter imports tweetqueue/store",
		},
		"TwitterLogs": {
			listed{ImportPath: "tweetqueue/twitter/sandbox", Imports: []string{"log"}},
			"tweetqueue/twitter/sandbox imports the logger log: return what happened instead",
		},
		"TwitterTestImportsSandbox": {listed{ImportPath: "tweetqueue/twitter", XTestImports: []string{"tweetqueue/twitter/sandbox"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if faults := importFaults([]listed{test.pkg}); test.want == "" {
				require.Empty(t, faults)
			} else {
				require.Equal(t, []string{test.want}, faults)
			}
		})
	}
}
