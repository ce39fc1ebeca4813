package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// statement matches SQL text that is a statement of its own.
var statement = regexp.MustCompile(`^\s*(--.*\n\s*)*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|VALUES|CREATE|ALTER|DROP|TRUNCATE|LOCK|LISTEN|NOTIFY|SET|COPY|CALL|BEGIN|COMMIT|ROLLBACK)\s`)

// literals calls do with each string of a file, joined where it is a sum of literals and names, of
// which the latter are left out.
func literals(t *testing.T, path string, do func(text string, at token.Position)) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var flatten func(expr ast.Expr) (string, bool)
	flatten = func(expr ast.Expr) (string, bool) {
		switch e := expr.(type) {
		case *ast.BasicLit:
			text, err := strconv.Unquote(e.Value)
			return text, e.Kind == token.STRING && err == nil
		case *ast.BinaryExpr:
			x, okX := flatten(e.X)
			y, okY := flatten(e.Y)
			return x + y, okX || okY
		}
		return "", false
	}
	ast.Inspect(file, func(node ast.Node) bool {
		expr, ok := node.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := flatten(expr)
		if ok {
			do(text, files.Position(expr.Pos()))
		}
		return !ok
	})
}

// sources lists the Go files below a directory that are no tests, testdata or tools.
func sources(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "tools" || (strings.HasPrefix(entry.Name(), ".") && path != dir)):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			paths = append(paths, path)
		}
		return nil
	}))
	require.NotEmpty(t, paths)
	return paths
}

// Each statement of this package names itself, so that the server's views can say which one runs, and
// lists its columns.
func TestStatementsAreNamed(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^-- name: ([A-Z][A-Za-z]+) :(one|many|exec)\n`)
	names := map[string]string{}
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		literals(t, path, func(text string, at token.Position) {
			if matched := name.FindStringSubmatch(text); matched != nil {
				require.NotContains(t, names, matched[1], "%s has the name of %s", at, names[matched[1]])
				names[matched[1]] = at.String()
				text = text[len(matched[0]):]
				require.Regexp(t, statement, text, at)
			} else {
				require.NotContains(t, text, "-- name:", at)
				// The union over all kinds is a part of two statements.
				require.False(t, statement.MatchString(text) && !strings.HasPrefix(text, "SELECT '{kind}' AS kind"), "%s: %.60q has no name", at, text)
			}
			require.NotRegexp(t, `SELECT\s+([a-z]\.)?\*`+`\s+FROM\s+[a-z{]`, text, at)
			require.NotRegexp(t, `RETURNING\s+\*`, text, at)
		})
	}
	require.Greater(t, len(names), 30)
}

// SQL is nowhere else.
func TestNoStatementsElsewhere(t *testing.T) {
	t.Parallel()
	for _, path := range sources(t, "..") {
		inside, err := filepath.Rel("..", path)
		require.NoError(t, err)
		if top, _, _ := strings.Cut(filepath.ToSlash(inside), "/"); top == "store" || top == "migrations" {
			continue
		}
		literals(t, path, func(text string, at token.Position) {
			require.NotRegexp(t, statement, text, at)
			require.NotContains(t, text, "tweetqueue.river_", at)
		})
	}
}

// The database's clock decides: this package never asks the machine's.
func TestNoClockButTheDatabases(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "time" {
					require.NotContains(t, []string{"Now", "Since", "Until", "After", "Tick", "Sleep", "NewTimer", "NewTicker"},
						selector.Sel.Name, files.Position(node.Pos()))
				}
			}
			return true
		})
		literals(t, path, func(text string, at token.Position) {
			require.NotRegexp(t, `\b(now|clock_timestamp|statement_timestamp)\(\)|CURRENT_TIMESTAMP`, text, at)
		})
	}
}
