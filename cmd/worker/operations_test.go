package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	namedTests = regexp.MustCompile(`(?m)^Tests: ((?:.+\n)+)`)
	youSee     = regexp.MustCompile(`(?m)^- \*\*You see\*\* ((?:.+\n)(?:  .+\n)*)`)
)

// TestOperationsAreBacked: each section of the operator's page names tests, and they exist; and what it
// says that you see are the very words of the program.
func TestOperationsAreBacked(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	tests, words := sources(t)
	sections := strings.Split(string(page), "\n## ")[1:]
	require.Greater(t, len(sections), 10)
	var faults []string
	for _, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		named := namedTests.FindString(section)
		require.NotEmpty(t, named, "%q names no test", title)
		for _, span := range codeSpan.FindAllStringSubmatch(named, -1) {
			if !tests[span[1]] {
				faults = append(faults, title+": there is no test "+span[1])
			}
		}
		for _, seen := range youSee.FindAllString(section, -1) {
			for _, span := range codeSpan.FindAllStringSubmatch(seen, -1) {
				for part := range strings.SplitSeq(strings.TrimPrefix(span[1], "enqueue "), "…") {
					if !strings.Contains(words, strings.TrimSpace(part)) {
						faults = append(faults, title+": nobody says "+span[1])
					}
				}
			}
		}
	}
	require.Empty(t, faults)
}

// sources returns the names of all tests, and the text of all that is no test.
func sources(t *testing.T) (tests map[string]bool, words string) {
	t.Helper()
	tests = map[string]bool{}
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".sql" {
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					tests[f.Name.Name] = true
				}
			}
			return nil
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	}))
	return tests, all.String()
}
