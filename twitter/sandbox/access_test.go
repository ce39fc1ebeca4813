package sandbox_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestUserLocked: on every route, until it ends.
func TestUserLocked(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	_, token := b.oauth2(true)
	u := b.acme.User
	u.Locked = true
	require.NoError(t, b.server.SetUser(u))
	for _, got := range []reply{
		b.do(b.acme, "GET", "/2/users/me", ""), b.post(b.acme, "x"), b.bearer(token.AccessToken, "GET", "/2/tweets/1", ""),
	} {
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, `{"errors":[{"code":326,"message":"To protect our users from spam and other malicious activity, `+
			`this account is temporarily locked. Please log in to https://twitter.com to unlock your account."}]}`, got.body)
		require.Equal(t, "read-write", got.header.Get("x-access-level"))
	}
	require.Equal(t, http.StatusCreated, b.post(b.user("other"), "x").status)
	u.Locked = false
	require.NoError(t, b.server.SetUser(u))
	require.Equal(t, http.StatusCreated, b.post(b.acme, "x").status)
}

// TestNotEnrolled: all that the app's tokens do is refused, and nothing of another app's.
func TestNotEnrolled(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	own, err := b.server.AppToken(app.Key)
	require.NoError(t, err)
	signed := b.authorize(app, b.acme.User)
	app.NotEnrolled = true
	require.NoError(t, b.server.SetApp(app))
	for _, got := range []reply{
		b.bearer(token.AccessToken, "GET", "/2/users/me", ""), b.bearer(own, "GET", "/2/tweets/1", ""), b.post(signed, "x"),
	} {
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, "https://api.twitter.com/2/problems/client-forbidden", got.json(t)["type"])
		require.Equal(t, "client-not-enrolled", got.json(t)["reason"])
	}
	require.Equal(t, http.StatusCreated, b.post(b.acme, "x").status)
	app.NotEnrolled = false
	require.NoError(t, b.server.SetApp(app))
	require.Equal(t, http.StatusCreated, b.post(signed, "y").status)
}

// TestSetApp: secrets change at once, and the access of tokens that were given does not.
func TestSetApp(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	signed := b.authorize(app, b.acme.User)
	old := app
	app.Secret, app.ClientID, app.ClientSecret, app.ReadOnly = "new secret", "new id", "new client secret", true
	require.NoError(t, b.server.SetApp(app))
	require.Equal(t, http.StatusUnauthorized, b.post(signed, "x").status)
	require.Equal(t, "the signature does not match", b.last().Reason)
	signed.creds.APISecret = "new secret"
	require.Equal(t, http.StatusCreated, b.post(signed, "x").status)
	require.Equal(t, http.StatusForbidden, b.post(b.authorize(app, b.acme.User), "y").status, "a new token only reads")
	form := "grant_type=refresh_token&refresh_token=" + token.RefreshToken
	require.Equal(t, http.StatusUnauthorized, b.form("/2/oauth2/token", basic(old), form).status)
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/token", basic(app), form).status)

	for want, change := range map[string]func(*sandbox.App){
		"no app has this key":                          func(a *sandbox.App) { a.Key = "unknown" },
		"the client id is another app's":               func(a *sandbox.App) { a.ClientID = b.app.ClientID },
		"a confidential client has a client secret":    func(a *sandbox.App) { a.ClientSecret = "" },
		"only a confidential client has a client secr": func(a *sandbox.App) { a.Confidential = false },
		"an app has an id, a secret, a client id":      func(a *sandbox.App) { a.Secret = "" },
	} {
		bad := app
		change(&bad)
		require.ErrorContains(t, b.server.SetApp(bad), want)
	}
	_, err := b.server.AddApp(sandbox.App{ClientID: b.app.ClientID})
	require.ErrorContains(t, err, "the client id is another app's")
	_, err = b.server.AddApp(sandbox.App{ClientSecret: "x"})
	require.ErrorContains(t, err, "only a confidential client")
	_, err = b.server.AddApp(sandbox.App{ID: "x"})
	require.ErrorContains(t, err, `the id "x" does not match`)
}

// TestSeededCredentials: the same calls give the same credentials, and without a seed they never do.
func TestSeededCredentials(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	type all struct {
		app    sandbox.App
		signed sandbox.Credentials
		token  sandbox.OAuth2Token
		own    string
	}
	credentials := func(seed uint64) all {
		t.Helper()
		s, err := sandbox.New(sandbox.Config{Seed: seed, Now: clock.Now})
		require.NoError(t, err)
		var c all
		c.app, err = s.AddApp(sandbox.App{Confidential: true})
		require.NoError(t, err)
		_, err = s.AddUser(sandbox.User{Username: "acme"})
		require.NoError(t, err)
		c.signed, err = s.Authorize(c.app.Key, "acme")
		require.NoError(t, err)
		c.token, err = s.AuthorizeOAuth2(c.app.Key, "acme")
		require.NoError(t, err)
		c.own, err = s.AppToken(c.app.Key)
		require.NoError(t, err)
		return c
	}
	first, again, other := credentials(7), credentials(7), credentials(8)
	require.Equal(t, first, again)
	require.NotEqual(t, first.app, other.app)
	require.NotEqual(t, first.signed, other.signed)
	first, again = credentials(0), credentials(0)
	require.NotEqual(t, first.app, again.app)
	require.NotEqual(t, first.token.RefreshToken, again.token.RefreshToken)
	require.NotEqual(t, first.own, again.own)
}
