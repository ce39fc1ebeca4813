package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
)

func TestHelp(t *testing.T) {
	t.Parallel()

	t.Run("Commands", func(t *testing.T) {
		t.Parallel()
		for _, command := range []string{"tweet", "delete", "list", "show", "cancel", "account add", "account list"} {
			r := runWith(t, nil, "", append(strings.Fields(command), "--help")...)
			require.NoError(t, r.err)
			require.Empty(t, r.stderr)
			_, example, ok := strings.Cut(r.stdout, "Example")
			require.True(t, ok, "%s has no example", command)
			require.Contains(t, example, "    enqueue "+command)
		}
	})

	t.Run("Everything", func(t *testing.T) {
		t.Parallel()
		r := runWith(t, nil, "", "--help")
		require.NoError(t, r.err)
		for _, word := range []string{
			"enqueue tweet --account", "enqueue delete --account", "enqueue list", "enqueue show", "enqueue cancel", "enqueue account add",
			"enqueue account list", "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule, 4 no database.", "X_ACCESS_TOKEN_SECRET:",
		} {
			require.Contains(t, r.stdout, word)
		}
	})

	t.Run("Version", func(t *testing.T) {
		t.Parallel()
		r := runWith(t, nil, "", "--version")
		require.NoError(t, r.err)
		require.Equal(t, "enqueue "+version()+"\n", r.stdout)
	})
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"NoAccount":      {[]string{"tweet", "a"}, "missing flags: --account=USERNAME: see 'enqueue tweet --help'"},
		"NoCommand":      {nil, `expected one of "tweet", "delete", "list"`},
		"NoVerb":         {[]string{"account"}, "see 'enqueue account --help'"},
		"TokenAsFlag":    {[]string{"account", "add", "acme", "--access-token", "t"}, "unknown flag --access-token"},
		"UnknownCommand": {[]string{"twet"}, `did you mean "tweet"?: see 'enqueue --help'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runWith(t, nil, "", test.args...)
			r.refused(t, setup.ExitUsage, test.want)
			require.True(t, strings.HasPrefix(r.stderr, "enqueue: "))
		})
	}
}

// TestSettings: what the environment is asked for is what the settings tell, and tokens and keys are
// read by the account verbs alone.
func TestSettings(t *testing.T) {
	t.Parallel()

	asked := func(args ...string) map[string]bool {
		names := map[string]bool{}
		lookup := func(name string) (string, bool) {
			names[strings.TrimSuffix(name, "_FILE")] = true
			if name == "DATABASE_URL" {
				return "postgres://127.0.0.1:1/none", true
			}
			return "", false
		}
		var out bytes.Buffer
		require.Error(t, run(t.Context(), args, lookup, strings.NewReader("a\nb\n"), &out, &out))
		return names
	}
	told := map[string]bool{}
	for _, s := range settings() {
		require.NotEmpty(t, s.Help, s.Name)
		told[s.Name] = true
	}
	require.Equal(t, told, asked("account", "add", "acme"))
	for _, args := range [][]string{
		{"tweet", "--account", "acme", "a"}, {"delete", "--account", "acme", "1"}, {"list"}, {"show", "1"}, {"cancel", "1"}, {"account", "list"},
	} {
		require.Equal(t, map[string]bool{"DATABASE_URL": true, "TWEETQUEUE_STATE_DIR": true}, asked(args...))
	}
}
