package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// hunter2 is the password of every wrong setting here.
const hunter2 = "hunter2"

// TestWrongSettings: each is told, all at once, and no secret with them.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	key := string(store.NewKey())
	for name, test := range map[string]struct {
		settings settings
		args     []string
		want     []string // of the lines, in order
	}{
		"Three": {
			settings{"DATABASE_URL": "postgres://u:hunter2@host:port/db", "TWEETQUEUE_KEY": hunter2, "X_API_KEY": hunter2},
			nil,
			[]string{"DATABASE_URL: it is no connection string", "TWEETQUEUE_KEY: key 1 is not 32 bytes", "X_API_KEY and X_API_SECRET belong together"},
		},
		"Flags": {
			settings{"TWEETQUEUE_STATE_DIR": "here"},
			[]string{"--workers=0", "--poll-interval=1ms", "--x-timeout=1h", "--x-api-base-url=x.com"},
			[]string{
				`TWEETQUEUE_STATE_DIR is "here": use an absolute path`, "--x-api-base-url: new X client: ", "--workers is 0: use 1 to 1000",
				"--poll-interval is 1ms: use 10ms to 1m", "--x-timeout is 1h0m0s: use 100ms to 2m",
				"--longest-creation is 2m0s, and --x-timeout is 1h0m0s: use a longer --longest-creation, or a shorter --x-timeout: else what X still works on may count as absent",
			},
		},
		"LookUps": {
			settings{},
			[]string{"--look-up-after=5s,5s", "--longest-creation=20s", "--read-lag=2h", "--max-late=10s"},
			[]string{
				"--read-lag is 2h0m0s: use 100ms to 1h", "--longest-creation is 20s, and --x-timeout is 30s: use a longer --longest-creation, ",
				"--look-up-after: 5s after 5s: use longer and longer times, of up to 12h", "--max-late is 10s: use 1m or more, or off",
			},
		},
		"NoLookUps": {settings{}, []string{"--look-up-after="}, []string{"--look-up-after has 0 times: use 1 to 20"}},
		"NeverLate": {settings{}, []string{"--max-late=0"}, []string{`--max-late: "0" is no time such as 90m or 24h: off means however late: see 'worker --help'`}},
		"BothWays": {
			settings{
				"DATABASE_URL": "postgres://u:hunter2@host/db", "DATABASE_URL_FILE": "/secret",
				"TWEETQUEUE_KEY": key, "TWEETQUEUE_KEY_FILE": "/secret",
				"X_API_KEY": hunter2, "X_API_KEY_FILE": "/secret", "X_API_SECRET": hunter2, "X_API_SECRET_FILE": "/secret",
			},
			nil,
			[]string{
				"DATABASE_URL and DATABASE_URL_FILE are both set: unset one", "TWEETQUEUE_KEY and TWEETQUEUE_KEY_FILE are both set",
				"X_API_KEY and X_API_KEY_FILE are both set", "X_API_SECRET and X_API_SECRET_FILE are both set",
			},
		},
		"FileMissing": {
			settings{"DATABASE_URL_FILE": "/does/not/exist"},
			nil,
			[]string{"DATABASE_URL_FILE: open /does/not/exist: no such file or directory"},
		},
		"FileEmpty": {
			settings{"X_API_KEY_FILE": secretFile(t, "")}, nil, []string{"X_API_KEY_FILE: "},
		},
		"HalfOfAPairMissing": {
			settings{"X_API_KEY": hunter2, "X_API_SECRET_FILE": "/does/not/exist"}, nil, []string{"X_API_SECRET_FILE: open /does/not/exist"},
		},
		"HalfOfAPairTwice": {
			settings{"X_API_KEY": hunter2, "X_API_KEY_FILE": "/secret", "X_API_SECRET": hunter2},
			nil,
			[]string{"X_API_KEY and X_API_KEY_FILE are both set: unset one of them"},
		},
		"InClear": {
			settings{"X_API_BASE_URL": "http://api.x.com/a"},
			nil,
			[]string{`X_API_BASE_URL: "http://api.x.com/a" would send the credentials to api.x.com in clear: use https`},
		},
		"InClearByFlag": {
			settings{"X_API_BASE_URL": "https://api.x.com"},
			[]string{"--x-api-base-url=http://localhost.x.com:80"},
			[]string{`--x-api-base-url: "http://localhost.x.com:80" would send the credentials to localhost.x.com in clear: use https`},
		},
		"InClearOnTheNetwork": {
			settings{"X_API_BASE_URL": "http://[::ffff:10.0.0.1]:8083"}, nil, []string{"X_API_BASE_URL: "},
		},
		"KeyMissing": {
			settings{"DATABASE_URL": "postgres://u:hunter2@host/db"}, nil, []string{"TWEETQUEUE_KEY is not set, nor TWEETQUEUE_KEY_FILE"},
		},
		"KeyFileMissing": {
			settings{"DATABASE_URL": "postgres://u:hunter2@host/db", "TWEETQUEUE_KEY_FILE": "/does/not/exist"},
			nil,
			[]string{"TWEETQUEUE_KEY_FILE: /does/not/exist does not exist: restore it, or, if nothing was encrypted yet, make it with 'worker migrate up --create-key'"},
		},
		"SpacedPassword": {
			settings{"DATABASE_URL": "host=x password = hunter2 port=y", "TWEETQUEUE_KEY": key}, nil, []string{"DATABASE_URL: it is no connection string"},
		},
		"FewConnections": {
			settings{"DATABASE_URL": "postgres://u:hunter2@host/db?pool_max_conns=3", "TWEETQUEUE_KEY": key},
			nil,
			[]string{"DATABASE_URL: its pool_max_conns is 3: a worker needs 4"},
		},
		"PasswordForX": {
			settings{"X_API_BASE_URL": "https://u:hunter2@api.x.com"}, nil, []string{"X_API_BASE_URL: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output := &record{}
			err := inProcess(t.Context(), test.settings, output, output, test.args...)
			require.ErrorIs(t, err, setup.ErrUsage)
			require.Equal(t, setup.ExitUsage, setup.ExitCode(err))
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(test.want), "%s", err)
			for i, want := range test.want {
				require.True(t, strings.HasPrefix(lines[i], want), "%q does not begin with %q", lines[i], want)
			}
			require.Empty(t, output.String())
			requireNone(t, err.Error(), hunter2, key)
		})
	}
}

// TestSecretsInFiles: a worker runs with every secret in a file, and none in its environment.
func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w := start(t, settings{
		"DATABASE_URL_FILE":   secretFile(t, b.settings["DATABASE_URL"]),
		"TWEETQUEUE_KEY_FILE": secretFile(t, b.settings["TWEETQUEUE_KEY"]),
		"X_API_BASE_URL":      b.x.URL(),
		"X_API_KEY_FILE":      secretFile(t, b.tokens.APIKey),
		"X_API_SECRET_FILE":   secretFile(t, b.tokens.APISecret),
	})
	w.awaitEvent(t, storetest.Tweet(t, b.db, "by files", 0), "done")
}

// TestKeysOfTheApp: the keys in the environment are those that the database has, or the worker does not
// start: it cannot know which are right, and the wrong ones would hold every account.
func TestKeysOfTheApp(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w := start(t, b.settings.with("X_API_KEY", "hunter2-key", "X_API_SECRET", "hunter2-secret"))
	err := w.wait(t)
	require.ErrorIs(t, err, store.ErrOtherKeys)
	require.ErrorContains(t, err, "enqueue account add")
	require.Equal(t, setup.ExitRefused, setup.ExitCode(err))
	requireNone(t, w.String()+err.Error(), hunter2)

	w = start(t, b.settings.with("X_API_KEY", b.tokens.APIKey, "X_API_SECRET", b.tokens.APISecret))
	w.awaitEvent(t, storetest.Tweet(t, b.db, "with keys", 0), "done")
}

// TestSecretsNeverPrint formats the configuration in every way there is.
func TestSecretsNeverPrint(t *testing.T) {
	t.Parallel()
	key := string(store.NewKey())
	env := setup.NewEnv(settings{
		"DATABASE_URL": "postgres://u:hunter2@host/db", "TWEETQUEUE_KEY": key, "X_API_KEY": "hunter2-key", "X_API_SECRET": "hunter2-secret",
	}.lookup)
	c := readConfig(env, "")
	require.NoError(t, env.Err())
	require.Contains(t, string(c.DatabaseURL), hunter2)

	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e"} {
		for _, value := range []any{c, &c, []any{c}, c.Settings, c.DatabaseURL, &c.Key, c.APIKey, []store.Secret{c.APISecret}} {
			fmt.Fprintf(&printed, verb+"\n", value)
		}
	}
	fmt.Fprintln(&printed, c, c.DatabaseURL, fmt.Errorf("it is %v: %w", c, fmt.Errorf("%s", c.Key)))
	require.NoError(t, json.NewEncoder(&printed).Encode(map[string]any{"config": c, "key": &c.Key}))
	log := zerolog.New(&printed)
	log.Info().Interface("config", c).Stringer("url", c.DatabaseURL).Any("key", c.Key).Msg("")
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&printed, nil), slog.NewTextHandler(&printed, nil), zerolog.NewSlogHandler(log)} {
		slog.New(handler).Info("", "config", c, "url", c.DatabaseURL, "group", slog.GroupValue(slog.Any("key", c.Key)))
	}
	// %x of the value would print it in hexadecimal digits.
	requireNone(t, printed.String(), hunter2, key, fmt.Sprintf("%x", hunter2), fmt.Sprintf("%X", hunter2))
	require.Contains(t, printed.String(), "[redacted]")
}
