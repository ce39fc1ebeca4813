package sandbox_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestAuthorizeWith(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	creds, err := b.server.AuthorizeWith(b.app.Key, "ACME", "token", "secret")
	require.NoError(t, err)
	require.Equal(t, sandbox.Credentials{
		APIKey: b.app.Key, APISecret: b.app.Secret, AccessToken: "token", AccessTokenSecret: "secret",
	}, creds)
	require.Equal(t, http.StatusOK, b.do(account{b.acme.User, creds}, "GET", "/2/users/me", "").status)
	creds.AccessTokenSecret = "another"
	require.Equal(t, http.StatusUnauthorized, b.do(account{b.acme.User, creds}, "GET", "/2/users/me", "").status)
	for want, given := range map[string][4]string{
		"no app has this key":                   {"?", "acme", "t", "s"},
		"no such user":                          {b.app.Key, "nobody", "t", "s"},
		"the access token exists already":       {b.app.Key, "acme", "token", "s"},
		"and its secret must not be empty":      {b.app.Key, "acme", "t", ""},
		`authorize "acme": the access token an`: {b.app.Key, "acme", "", "s"},
	} {
		_, err := b.server.AuthorizeWith(given[0], given[1], given[2], given[3])
		require.ErrorContains(t, err, want)
	}
}
