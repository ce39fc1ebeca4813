package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/cmd/internal/setup/setuptest"
)

func TestReadmeTellsTheSettings(t *testing.T) {
	t.Parallel()
	setuptest.RequireSettings(t, "worker", setup.Describe(config{}))
}

// TestReadmeTellsTheFlags: the README's table of flags has those of the worker, in their order.
func TestReadmeTellsTheFlags(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, table, found := strings.Cut(string(readme), "<!-- flags: begin -->\n| flag of `worker` | what it is | default |\n| --- | --- | --- |\n")
	require.True(t, found)
	table, _, found = strings.Cut(table, "<!-- flags: end -->")
	require.True(t, found)

	parser, err := kong.New(&runCmd{}, kong.NoDefaultHelp())
	require.NoError(t, err)
	var rows strings.Builder
	for _, flag := range parser.Model.Flags {
		rows.WriteString("| `--" + flag.Name + "` | " + flag.Help + " | " + flag.Default + " |\n")
	}
	require.Equal(t, rows.String(), table)
}
