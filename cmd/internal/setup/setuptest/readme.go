// Package setuptest holds the tests that both commands share: what the README says of them.
package setuptest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
)

const header = `| setting | what it is | default | read by |
| --- | --- | --- | --- |`

// Row is how the README's table tells a setting.
func Row(s setup.Setting, readBy string) string {
	name := "`" + s.Name + "`"
	if s.Secret {
		name += " (secret)"
	}
	return "| " + strings.Join([]string{name, s.Help, s.Default, readBy}, " | ") + " |"
}

// RequireSettings fails unless the README's table has exactly these settings for the program.
func RequireSettings(t *testing.T, program string, settings []setup.Setting) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(content), "<!-- settings: begin -->\n")
	require.True(t, found, "README.md has no <!-- settings: begin -->")
	table, _, found := strings.Cut(rest, "\n<!-- settings: end -->")
	require.True(t, found, "README.md has no <!-- settings: end -->")
	rows, found := strings.CutPrefix(table, header+"\n")
	require.True(t, found, "the settings' table begins with:\n%s", header)

	var told, want []string
	for row := range strings.Lines(rows) {
		row = strings.TrimSuffix(row, "\n")
		cells := strings.Split(row, " | ")
		if strings.Contains(cells[len(cells)-1], program) {
			told = append(told, strings.Join(cells[:len(cells)-1], " | "))
		}
	}
	for _, s := range settings {
		want = append(want, strings.TrimSuffix(Row(s, ""), " |  |"))
	}
	require.ElementsMatch(t, want, told)
}
