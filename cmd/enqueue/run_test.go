package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/cmd/internal/setup/setuptest"
	"tweetqueue/store/storetest"
)

func TestHelp(t *testing.T) {
	t.Parallel()

	t.Run("Commands", func(t *testing.T) {
		t.Parallel()
		for _, command := range []string{"tweet", "delete", "list", "show", "cancel", "account add", "account list", "account resume", "resolve", "budget", "budget show", "budget set", "forecast", "limits", "limits show", "limits presets", "limits use", "limits set", "limits remove"} {
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
		require.Equal(t, "enqueue "+setup.Version()+"\n", r.stdout)
	})
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"NoAccount":      {[]string{"tweet", "a"}, "missing flags: --account=USERNAME: see 'enqueue tweet --help'"},
		"EmptyTime":      {[]string{"tweet", "--account", "acme", "--at", "", "Doors open"}, "--at is empty"},
		"EmptyAccount":   {[]string{"delete", "--account", "", "1"}, "--account is empty"},
		"NoCommand":      {nil, `expected one of "tweet", "delete", "retweet"`},
		"NoVerb":         {[]string{"account"}, "see 'enqueue account --help'"},
		"TextAlone":      {[]string{"Doors open"}, "argument 1 is out of place"},
		"TextTooMany":    {[]string{"delete", "--account", "acme", "1", "Doors open"}, "argument 5 is out of place"},
		"TokenAsFlag":    {[]string{"account", "add", "acme", "--access-token", "t"}, "unknown flag --access-token"},
		"UnknownCommand": {[]string{"twet"}, `did you mean "tweet"?: see 'enqueue --help'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runWith(t, nil, "", test.args...)
			r.refused(t, setup.ExitUsage, test.want)
			require.True(t, strings.HasPrefix(r.stderr, "enqueue: "))
			require.NotContains(t, r.stderr, "Doors")
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
		{"tweet", "--account", "acme", "a"},
		{"delete", "--account", "acme", "1"},
		{"list"},
		{"show", "1"},
		{"cancel", "1"},
		{"resolve", "1", "--not-posted"},
		{"account", "list"},
	} {
		require.Equal(t, map[string]bool{"DATABASE_URL": true, "TWEETQUEUE_STATE_DIR": true}, asked(args...))
	}
}

// TestAsWriter: all but adding accounts works for who may only write rows.
func TestAsWriter(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for role, group := range map[string]string{"enqueue_reads": "tweetqueue_reader", "enqueue_writes": "tweetqueue_writer"} {
		_, err := b.db.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE `+role+` LOGIN IN ROLE `+group+`;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
		require.NoError(t, err)
	}
	owner := b.env["DATABASE_URL"]
	as := func(role string) {
		b.env["DATABASE_URL"] = strings.Replace(owner, "://tweetqueue@", "://"+role+"@", 1)
		require.NotEqual(t, owner, b.env["DATABASE_URL"])
	}
	row := storetest.Tweet(t, b.db, "a", 0)

	as("enqueue_writes")
	for _, args := range [][]string{
		{"tweet", "--account", "acme", "a"}, {"delete", "--account", "acme", "1"}, {"list"}, {"show", id(row)}, {"cancel", id(row)}, {"account", "list"},
	} {
		require.NoError(t, b.run(t, "", args...).err)
	}
	as("enqueue_reads")
	for _, args := range [][]string{{"list"}, {"show", id(row)}, {"account", "list"}} {
		require.NoError(t, b.run(t, "", args...).err)
	}
	r := b.run(t, "", "tweet", "--account", "acme", "a")
	r.refused(t, setup.ExitFailed, "permission denied")
	require.NotContains(t, r.stderr, "may be there") // it certainly is not
}

// brokenWriter is a standard output that is closed.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestEnqueuedAndNotTold: an error after the row was written says so, for a repetition would be a
// second tweet.
func TestEnqueuedAndNotTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	lookup := func(name string) (string, bool) { return b.env[name], b.env[name] != "" }
	var stderr strings.Builder
	err := run(t.Context(), []string{"tweet", "--account", "acme", "a"}, lookup, strings.NewReader(""), brokenWriter{}, &stderr)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	row := b.entries(t, "list")[0].ID
	require.Contains(t, stderr.String(), "enqueue: tweet "+id(row)+" is enqueued, but: print the result: ")
}

// TestInsertError: when the database's answer is lost, the row may be there, and a repetition would
// be a second tweet.
func TestInsertError(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, insertError(io.ErrUnexpectedEOF, "acme"), "see 'enqueue list --account acme' before you repeat it: it may be there")
}

func TestReadmeTellsTheSettings(t *testing.T) {
	t.Parallel()
	setuptest.RequireSettings(t, "enqueue", settings())
}
