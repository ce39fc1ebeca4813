package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func keyring(t *testing.T, keys ...store.Secret) *store.Keyring {
	t.Helper()
	fields := make([]string, len(keys))
	for i, key := range keys {
		fields[i] = string(key)
	}
	ring, err := store.ParseKeyring(store.Secret(strings.Join(fields, ", ")))
	require.NoError(t, err)
	return ring
}

func TestSealRoundTrip(t *testing.T) {
	t.Parallel()
	ring := storetest.Keyring(t)
	app := store.AppCredentials{APIKey: "key", APISecret: "öäü\x00"}
	sealed, err := app.Seal(ring, "default")
	require.NoError(t, err)
	opened, err := store.OpenApp(ring, "default", sealed)
	require.NoError(t, err)
	require.Equal(t, app, opened)

	account := store.AccountCredentials{AccessToken: "42-token"}
	sealed, err = account.Seal(ring, "42")
	require.NoError(t, err)
	openedAccount, err := store.OpenAccount(ring, "42", sealed)
	require.NoError(t, err)
	require.Equal(t, account, openedAccount)

	// The same twice is not the same to who reads the database.
	again, err := account.Seal(ring, "42")
	require.NoError(t, err)
	require.NotEqual(t, sealed, again)
	require.NotContains(t, string(sealed), "token")
}

func TestSealIsBound(t *testing.T) {
	t.Parallel()
	ring := storetest.Keyring(t)
	sealed, err := store.AccountCredentials{AccessToken: "a", AccessTokenSecret: "b"}.Seal(ring, "42")
	require.NoError(t, err)
	_, err = store.OpenAccount(ring, "43", sealed)
	require.ErrorIs(t, err, store.ErrSealed)
	require.ErrorContains(t, err, "tokens of X user 43")
	require.ErrorContains(t, err, "belong to another row")
	_, err = store.OpenApp(ring, "42", sealed) // neither to another table
	require.ErrorIs(t, err, store.ErrSealed)
}

func TestSealIsAuthenticated(t *testing.T) {
	t.Parallel()
	ring := storetest.Keyring(t)
	sealed, err := store.AppCredentials{APIKey: "a", APISecret: "b"}.Seal(ring, "default")
	require.NoError(t, err)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		_, err := store.OpenApp(ring, "default", changed)
		require.ErrorIs(t, err, store.ErrSealed, "byte %d", i)
		_, err = store.OpenApp(ring, "default", sealed[:i])
		require.ErrorIs(t, err, store.ErrSealed, "%d bytes", i)
	}
	_, err = store.OpenApp(ring, "default", append(bytes.Clone(sealed), 0))
	require.ErrorIs(t, err, store.ErrSealed)
}

func TestSealKeyRotation(t *testing.T) {
	t.Parallel()
	first, second := store.NewKey(), store.NewKey()
	require.NotEqual(t, string(first), string(second))
	credentials := store.AppCredentials{APIKey: "a", APISecret: "b"}
	old, err := credentials.Seal(keyring(t, first), "default")
	require.NoError(t, err)

	both := keyring(t, second, first)
	opened, err := store.OpenApp(both, "default", old)
	require.NoError(t, err)
	require.Equal(t, credentials, opened)
	renewed, err := credentials.Seal(both, "default") // the first seals
	require.NoError(t, err)
	_, err = store.OpenApp(keyring(t, second), "default", renewed)
	require.NoError(t, err)

	_, err = store.OpenApp(keyring(t, second), "default", old)
	require.ErrorIs(t, err, store.ErrSealed)
	require.ErrorContains(t, err, fmt.Sprintf("sealed with key %x, which is not among TWEETQUEUE_KEY's", old[:4]))
}

func TestParseKeyringRefuses(t *testing.T) {
	t.Parallel()
	good := string(store.NewKey())
	for name, setting := range map[string]string{
		"Empty":     "",
		"Short":     "c2hvcnQ=",
		"NotBase64": "not base64 at all!",
		"Trailing":  good + ",",
		"Second":    good + "," + good[1:],
	} {
		_, err := store.ParseKeyring(store.Secret(setting))
		require.Error(t, err, name)
		require.ErrorContains(t, err, "openssl rand -base64 32")
		if setting != "" {
			require.NotContains(t, err.Error(), strings.TrimSuffix(setting, ","))
			require.NotContains(t, err.Error(), good)
		}
	}
	_, err := store.ParseKeyring(store.Secret(good + "," + good[1:]))
	require.ErrorContains(t, err, "key 2")
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const value = "hunter2"
	secret := store.Secret(value)
	credentials := struct {
		Name   string
		Secret store.Secret
		Keys   store.AppCredentials
		Many   []store.Secret
		Map    map[string]store.Secret
		Ptr    *store.Secret
	}{"name", secret, store.AppCredentials{APIKey: secret, APISecret: secret}, []store.Secret{secret}, map[string]store.Secret{"a": secret}, &secret}

	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10s", "%-20v", "%.3s", "%.3x", "%c", "%U", "%e", "%t", "%b", "%o", "%z"} {
		printed = append(printed, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, credentials), fmt.Sprintf(verb, credentials.Keys), fmt.Sprintf(verb, []store.Secret{secret}))
	}
	printed = append(printed, fmt.Sprint(secret), fmt.Sprintln(credentials), fmt.Errorf("wrapped: %v", secret).Error())
	encoded, err := json.Marshal(credentials)
	require.NoError(t, err)
	printed = append(printed, string(encoded))

	var log bytes.Buffer
	for _, handler := range []slog.Handler{
		slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil), zerolog.NewSlogHandler(zerolog.New(&log)),
	} {
		slog.New(handler).With("with", secret).Info("message", "secret", secret, "credentials", credentials, "keys", credentials.Keys)
	}
	logger := zerolog.New(&log)
	logger.Info().Interface("i", credentials).Any("a", secret).Stringer("s", secret).Str("f", fmt.Sprint(secret)).
		Interface("keys", credentials.Keys).Send()
	printed = append(printed, log.String())

	for _, text := range printed {
		lower := strings.ToLower(text)
		require.NotContains(t, lower, value)
		require.NotContains(t, lower, value[:3])
		require.NotContains(t, lower, fmt.Sprintf("%x", value)[:6])
		require.NotContains(t, lower, "104 117", "as bytes")
	}
	require.Equal(t, "[redacted]", fmt.Sprint(secret))
	require.Equal(t, "[redacted]", fmt.Sprintf("%#v", secret))
	require.JSONEq(t, `"[redacted]"`, string(must(json.Marshal(secret))))
	require.Empty(t, store.Secret("").String())
	require.Equal(t, value, string(secret))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
