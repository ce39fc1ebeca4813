package main

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// accountBundle is an X with the users acme and other, and a database without accounts whose
// environment holds the keys of the X's app.
type accountBundle struct {
	*testBundle
	x    *sandbox.Server
	ring *store.Keyring
}

func newAccountBundle(t *testing.T) *accountBundle {
	t.Helper()
	x, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	require.NoError(t, x.Start(""))
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	_, err = x.AddApp(sandbox.App{Key: "api-key", Secret: "api-secret"})
	require.NoError(t, err)
	for _, username := range []string{"Acme", "other"} {
		_, err = x.AddUser(sandbox.User{Username: username})
		require.NoError(t, err)
	}
	key, url := store.NewKey(), storetest.URL(t)
	ring, err := store.ParseKeyring(key)
	require.NoError(t, err)
	return &accountBundle{
		testBundle: &testBundle{db: storetest.Open(t, url), env: map[string]string{
			"DATABASE_URL": url, "TWEETQUEUE_KEY": string(key), "X_API_BASE_URL": x.URL(),
			"X_API_KEY": "api-key", "X_API_SECRET": "api-secret",
		}},
		x: x, ring: ring,
	}
}

// tokens makes tokens of a user, as two lines.
func (b *accountBundle) tokens(t *testing.T, appKey, username string) (credentials sandbox.Credentials, lines string) {
	t.Helper()
	credentials, err := b.x.Authorize(appKey, username)
	require.NoError(t, err)
	return credentials, credentials.AccessToken + "\n" + credentials.AccessTokenSecret + "\n"
}

// requireEmpty requires that nothing was saved.
func (b *accountBundle) requireEmpty(t *testing.T) {
	t.Helper()
	has, err := store.HasCredentials(t.Context(), b.db)
	require.NoError(t, err)
	require.False(t, has)
}

// requireSaved requires that what the database holds, opened, is what was given.
func (b *accountBundle) requireSaved(t *testing.T, username string, want sandbox.Credentials) store.Account {
	t.Helper()
	account, err := store.AccountGet(t.Context(), b.db, username)
	require.NoError(t, err)
	var sealedKeys, sealedTokens []byte
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT p.credentials, a.credentials
FROM tweetqueue.accounts a JOIN tweetqueue.apps p ON p.id = a.app_id WHERE a.id = $1`, account.ID).Scan(&sealedKeys, &sealedTokens))
	keys, err := store.OpenApp(b.ring, store.DefaultApp, sealedKeys)
	require.NoError(t, err)
	tokens, err := store.OpenAccount(b.ring, account.XUserID, sealedTokens)
	require.NoError(t, err)
	require.Equal(t, want, sandbox.Credentials{
		APIKey: string(keys.APIKey), APISecret: string(keys.APISecret),
		AccessToken: string(tokens.AccessToken), AccessTokenSecret: string(tokens.AccessTokenSecret),
	})
	return account
}

// requireNoSecret requires that none of the secrets was told.
func (r result) requireNoSecret(t *testing.T, c sandbox.Credentials) {
	t.Helper()
	for _, secret := range []string{c.APIKey, c.APISecret, c.AccessToken, c.AccessTokenSecret} {
		require.NotContains(t, r.stdout+r.stderr, secret)
		if r.err != nil {
			require.NotContains(t, r.err.Error(), secret)
		}
	}
}

func TestAccountAdd(t *testing.T) {
	t.Parallel()

	t.Run("FromEnvironment", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		credentials, _ := b.tokens(t, "api-key", "acme")
		b.env["X_ACCESS_TOKEN"], b.env["X_ACCESS_TOKEN_SECRET"] = credentials.AccessToken, credentials.AccessTokenSecret
		r := b.run(t, "not read", "account", "add", "@acme", "--zone", "Europe/Vienna", "--text-limit", "25000")
		require.NoError(t, r.err, r.stderr)
		r.requireNoSecret(t, credentials)

		account := b.requireSaved(t, "acme", credentials)
		require.Equal(t, "Acme", account.Username) // as X spells it
		require.Equal(t, b.x.Requests()[0].Username, account.Username)
		require.Equal(t, "Europe/Vienna", account.TimeZone)
		require.Equal(t, 25000, account.TextLimit)
		require.Equal(t, "account Acme saved: X user "+account.XUserID+", time zone Europe/Vienna, texts up to 25000\n", r.stdout)
		require.Len(t, b.x.Requests(), 1)
		require.Equal(t, sandbox.RouteMe, b.x.Requests()[0].Route)
	})

	t.Run("FromFiles", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		credentials, _ := b.tokens(t, "api-key", "acme")
		for name, secret := range map[string]string{
			"X_API_KEY": "api-key", "X_API_SECRET": "api-secret", "TWEETQUEUE_KEY": b.env["TWEETQUEUE_KEY"],
			"X_ACCESS_TOKEN": credentials.AccessToken, "X_ACCESS_TOKEN_SECRET": credentials.AccessTokenSecret,
		} {
			path := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
			delete(b.env, name)
			b.env[name+"_FILE"] = path
		}
		b.ok(t, "account", "add", "acme")
		b.requireSaved(t, "acme", credentials)
	})

	t.Run("FromStandardInput", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		credentials, lines := b.tokens(t, "api-key", "acme")
		b.env["X_API_BASE_URL"] = "http://127.0.0.1:1" // the flag overrides it
		r := b.run(t, lines, "account", "add", "ACME", "--x-api-base-url", b.x.URL(), "--json")
		require.NoError(t, r.err, r.stderr)
		require.Empty(t, r.stderr)
		var told store.Account
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &told))
		require.Equal(t, b.requireSaved(t, "acme", credentials), told)
		require.Equal(t, "UTC", told.TimeZone)
		require.Equal(t, 280, told.TextLimit)
	})

	// New tokens, a new name and an end of what held it; the rest stays as it was.
	t.Run("Renew", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		_, lines := b.tokens(t, "api-key", "acme")
		require.NoError(t, b.run(t, lines, "account", "add", "acme", "--zone", "Asia/Tokyo", "--text-limit", "500").err)
		_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET state = 'needs_login', state_reason = 'X said no'`)
		require.NoError(t, err)
		require.Contains(t, b.ok(t, "account", "list"), "needs login: X said no\n")

		var xUserID string
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT x_user_id FROM tweetqueue.accounts`).Scan(&xUserID))
		require.NoError(t, b.x.SetUser(sandbox.User{ID: xUserID, Username: "renamed"}))

		// The App's keys are in the database.
		delete(b.env, "X_API_KEY")
		delete(b.env, "X_API_SECRET")
		credentials, lines := b.tokens(t, "api-key", "renamed")
		r := b.run(t, lines, "account", "add", "renamed")
		require.NoError(t, r.err, r.stderr)
		account := b.requireSaved(t, "renamed", credentials)
		require.Equal(t, "Asia/Tokyo", account.TimeZone)
		require.Equal(t, 500, account.TextLimit)
		require.Equal(t, store.Active, account.State)
		require.NotContains(t, r.stderr, "warning")
		list, err := store.AccountList(t.Context(), b.db)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})

	t.Run("WarnsOfOtherApp", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		_, lines := b.tokens(t, "api-key", "acme")
		require.NoError(t, b.run(t, lines, "account", "add", "acme").err)
		_, err := b.x.AddApp(sandbox.App{Key: "api-key-2", Secret: "api-secret-2"})
		require.NoError(t, err)
		b.env["X_API_KEY"], b.env["X_API_SECRET"] = "api-key-2", "api-secret-2"
		credentials, lines := b.tokens(t, "api-key-2", "other")
		r := b.run(t, lines, "account", "add", "other")
		require.NoError(t, r.err)
		b.requireSaved(t, "other", credentials)
		require.Contains(t, r.stderr, "warning: X_API_KEY replaced another App's keys")
		r.requireNoSecret(t, credentials)
	})

	t.Run("WarnsOfReadOnly", func(t *testing.T) {
		t.Parallel()
		b := newAccountBundle(t)
		_, err := b.x.AddApp(sandbox.App{Key: "read-key", Secret: "read-secret", ReadOnly: true})
		require.NoError(t, err)
		b.env["X_API_KEY"], b.env["X_API_SECRET"] = "read-key", "read-secret"
		_, lines := b.tokens(t, "read-key", "acme")
		r := b.run(t, lines, "account", "add", "acme")
		require.NoError(t, r.err)
		require.Contains(t, r.stderr, "warning: these tokens may only read")
	})
}

// TestAccountAddRefused: nothing is saved, no secret is told, and X is not asked without need.
func TestAccountAddRefused(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		change   func(env map[string]string) // with an empty value: not set
		stdin    func(credentials sandbox.Credentials) string
		username string // empty: acme, whose tokens are given
		args     []string
		code     int
		words    []string
		requests int
	}{
		"AllSettingsAtOnce": {
			change: func(env map[string]string) {
				env["DATABASE_URL"], env["TWEETQUEUE_KEY"], env["X_API_BASE_URL"] = "postgres://%%", "short", "ftp://x"
				env["X_API_SECRET"], env["X_ACCESS_TOKEN"] = "", "lonely-token"
			},
			args: []string{"--zone", "Vienna", "--text-limit", "100"}, code: setup.ExitUsage,
			words: []string{
				"\n  TWEETQUEUE_KEY: ", "\n  X_API_BASE_URL: ", "\n  X_API_KEY and X_API_SECRET belong together", "\n  X_ACCESS_TOKEN and X_ACCESS_TOKEN_SECRET",
				"DATABASE_URL: ", "\n  --zone: ", "\n  --text-limit is 100: use 280 to 25000",
			},
		},
		"NoKeys": {
			change: func(env map[string]string) { env["X_API_KEY"], env["X_API_SECRET"] = "", "" }, code: setup.ExitUsage,
			words: []string{"X_API_KEY and X_API_SECRET are not set, and the database holds no keys yet"},
		},
		"NoEncryptionKey": {
			change: func(env map[string]string) { env["TWEETQUEUE_KEY"] = "" }, code: setup.ExitUsage,
			words: []string{"TWEETQUEUE_KEY is not set", "Set TWEETQUEUE_KEY_FILE to where it is to be kept, and make it, once, with 'worker migrate up --create-key'"},
		},
		"NoTokens": {
			stdin: func(sandbox.Credentials) string { return "\n\n" }, code: setup.ExitUsage,
			words: []string{"no tokens: set X_ACCESS_TOKEN and X_ACCESS_TOKEN_SECRET, or give both on standard input"},
		},
		"InClear": {
			change: func(env map[string]string) { env["X_API_BASE_URL"] = "http://192.0.2.1" },
			code:   setup.ExitUsage, words: []string{`X_API_BASE_URL: "http://192.0.2.1" would send the credentials to 192.0.2.1 in clear`},
		},
		"InClearByFlag": {
			args: []string{"--x-api-base-url", "http://x.com"},
			code: setup.ExitUsage, words: []string{`enqueue: --x-api-base-url: "http://x.com" would send the credentials to x.com in clear`},
		},
		"NotAUsername": {username: "acme!", code: setup.ExitUsage, words: []string{`"acme!" is not a username of X`}},
		"OtherUsername": {
			username: "other", code: setup.ExitRefused, requests: 1,
			words: []string{"X says that these tokens are those of Acme, not of other; nothing was saved: give the tokens of other, or add Acme"},
		},
		"ThreeLines": {
			stdin: func(c sandbox.Credentials) string { return c.AccessToken + "\n" + c.AccessTokenSecret + "\nthird\n" },
			code:  setup.ExitUsage, words: []string{"no tokens"},
		},
		"TokenWithSpace": {
			stdin: func(c sandbox.Credentials) string { return c.AccessToken + "\nto ken\n" },
			code:  setup.ExitUsage, words: []string{"OAuth1.AccessTokenSecret holds a space"},
		},
		"WrongToken": {
			stdin: func(c sandbox.Credentials) string { return c.AccessToken + "\nwrong\n" },
			code:  setup.ExitFailed, words: []string{"ask X whose tokens these are: ", "unauthorized (401)"}, requests: 1,
		},
		"XAway": {
			change: func(env map[string]string) { env["X_API_BASE_URL"] = "http://127.0.0.1:1" },
			code:   setup.ExitFailed, words: []string{"ask X whose tokens these are: ", "never sent"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newAccountBundle(t)
			credentials, stdin := b.tokens(t, "api-key", "acme")
			if test.stdin != nil {
				stdin = test.stdin(credentials)
			}
			if test.change != nil {
				test.change(b.env)
			}
			r := b.run(t, stdin, append([]string{"account", "add", cmp.Or(test.username, "acme")}, test.args...)...)
			r.refused(t, test.code, test.words...)
			r.requireNoSecret(t, credentials)
			require.NotContains(t, r.stderr, "lonely-token")
			require.Len(t, b.x.Requests(), test.requests)
			b.requireEmpty(t)
		})
	}
}

// TestAccountAddNameTaken: a name that X gave to another user meanwhile.
func TestAccountAddNameTaken(t *testing.T) {
	t.Parallel()
	b := newAccountBundle(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Ring: b.ring, APIKey: "api-key", APISecret: "api-secret"})
	_, lines := b.tokens(t, "api-key", "acme")
	b.run(t, lines, "account", "add", "acme").refused(t, setup.ExitRefused, "refused: another X user had the name Acme when it was added: add that account again first")
	account, err := store.AccountGet(t.Context(), b.db, "acme")
	require.NoError(t, err)
	require.Equal(t, "42", account.XUserID)
}

func TestAccountList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	out := strings.Split(b.ok(t, "account", "list"), "\n")
	require.Equal(t, []string{"ACCOUNT", "X", "USER", "APP", "TIME", "ZONE", "LIMITS", "TEXT", "STATE"}, strings.Fields(out[0]))
	require.Equal(t, []string{"acme", "42", "default", "Europe/Vienna", "guide", "280", "active"}, strings.Fields(out[1]))
	var list []store.Account
	require.NoError(t, json.Unmarshal([]byte(b.ok(t, "account", "list", "--json")), &list))
	require.Len(t, list, 1)
	require.Equal(t, "42", list[0].XUserID)
	require.NotContains(t, b.ok(t, "account", "list", "--json"), "credentials")

	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts
SET state = 'paused', state_reason = 'too many' || E'\n' || repeat('x', 300) || ' doubts', state_until = '2099-01-01T09:00:00Z'`)
	require.NoError(t, err)
	require.Contains(t, b.ok(t, "account", "list"), "paused until 2099-01-01 10:00:00 +01:00: too many "+strings.Repeat("x", 300)+" doubts\n")
	_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET state = 'active';
UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'no credits'`)
	require.NoError(t, err)
	require.Contains(t, b.ok(t, "account", "list"), `  active; its app "default" is paused: no credits`+"\n")

	none := &testBundle{env: map[string]string{"DATABASE_URL": storetest.URL(t)}}
	require.Equal(t, "there are no accounts: add one with 'enqueue account add'\n", none.ok(t, "account", "list"))
	require.Equal(t, "[]\n", none.ok(t, "account", "list", "--json"))
}

// TestDefaultBaseURL: the help tells the client's own default.
func TestDefaultBaseURL(t *testing.T) {
	t.Parallel()
	for _, s := range settings() {
		if s.Name == "X_API_BASE_URL" {
			require.Equal(t, twitter.DefaultBaseURL, s.Default)
		}
	}
}
