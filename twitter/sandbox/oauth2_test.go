package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

const invalidTokenBody = `{"error":"invalid_request","error_description":"Value passed for the token was invalid."}`

// bearer is a request with a token of OAuth 2.0.
func (b *testBundle) bearer(token, method, target, body string) reply {
	b.t.Helper()
	r, err := http.NewRequest(method, b.server.URL()+target, strings.NewReader(body))
	require.NoError(b.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	got, err := b.send(r)
	require.NoError(b.t, err)
	return got
}

// form posts a form to one of the token routes, with the header Basic if basic is "id:secret".
func (b *testBundle) form(target, basic, form string) reply {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.server.URL()+target, strings.NewReader(form))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic != "" {
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	got, err := b.send(r)
	require.NoError(b.t, err)
	return got
}

// refreshed is what the token endpoint gives.
type refreshed struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	AccessToken  string `json:"access_token"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token"`
}

func (r reply) refreshed(t *testing.T) refreshed {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	var v refreshed
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&v))
	return v
}

// oauth2 adds an app with OAuth 2.0 and a token of acme for it.
func (b *testBundle) oauth2(confidential bool, scopes ...string) (sandbox.App, sandbox.OAuth2Token) {
	b.t.Helper()
	app, err := b.server.AddApp(sandbox.App{Name: "client", Confidential: confidential})
	require.NoError(b.t, err)
	token, err := b.server.AuthorizeOAuth2(app.Key, "ACME", scopes...)
	require.NoError(b.t, err)
	return app, token
}

func basic(app sandbox.App) string { return app.ClientID + ":" + app.ClientSecret }

// TestOAuth2Tokens: their form, and what comes with them.
func TestOAuth2Tokens(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	app, token := b.oauth2(true)
	require.Equal(t, app.ClientID, token.ClientID)
	require.Equal(t, app.ClientSecret, token.ClientSecret)
	require.Equal(t, clock.Now().Add(2*time.Hour), token.ExpiresAt)
	require.Equal(t, []string{"tweet.read", "tweet.write", "users.read", "offline.access"}, token.Scopes)
	for text, kind := range map[string]string{token.AccessToken: "at", token.RefreshToken: "rt"} {
		plain, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		require.Regexp(t, `^[A-Za-z0-9_-]{45}:1795435200000:1:1:`+kind+`:1$`, string(plain))
	}
	public, token := b.oauth2(false)
	require.Empty(t, public.ClientSecret)
	require.NotEmpty(t, token.RefreshToken)
	_, token = b.oauth2(true, "tweet.read", "users.read")
	require.Empty(t, token.RefreshToken, "without offline.access")

	_, err := b.server.AuthorizeOAuth2(app.Key, "acme", "tweet.write", "tweets.write")
	require.ErrorContains(t, err, `X has no scope "tweets.write"`)
	_, err = b.server.AuthorizeOAuth2("unknown", "acme")
	require.ErrorContains(t, err, "no app has this key")
	_, err = b.server.AuthorizeOAuth2(app.Key, "unknown")
	require.ErrorContains(t, err, "no such user")
	_, err = b.server.AppToken("unknown")
	require.ErrorContains(t, err, "no app has this key")
	require.ErrorContains(t, b.server.RevokeApp("unknown", "acme"), "no app has this key")
}

// TestBearer: a user's token of OAuth 2.0 does on all routes what one of OAuth 1.0a does.
func TestBearer(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	_, token := b.oauth2(true)
	got := b.bearer(token.AccessToken, "POST", "/2/tweets", textBody("by bearer"))
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.Equal(t, "read-write", got.header.Get("x-access-level"))
	require.Equal(t, "199", got.header.Get("x-rate-limit-remaining"))
	id, _ := got.data(t)["id"].(string)
	require.Equal(t, "acme", b.last().Username)
	require.Equal(t, "client", b.last().App)

	got = b.bearer(token.AccessToken, "GET", "/2/users/me", "")
	require.Equal(t, "acme", got.data(t)["username"])
	require.Equal(t, "by bearer", b.bearer(token.AccessToken, "GET", "/2/tweets/"+id, "").data(t)["text"])
	require.Equal(t, true, b.bearer(token.AccessToken, "DELETE", "/2/tweets/"+id, "").data(t)["deleted"])

	got = b.post(b.acme, "by OAuth 1.0a")
	require.Equal(t, "198", got.header.Get("x-rate-limit-remaining"), "the user's limit is one")

	r, err := http.NewRequest(http.MethodGet, b.server.URL()+"/2/users/me", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "bearer  "+token.AccessToken)
	got, err = b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status, "the scheme's case does not matter")
}

func TestBearerRefused(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, AccessTokenLifetime: time.Minute})
	_, token := b.oauth2(true)
	refused := func(token, reason string) {
		t.Helper()
		got := b.bearer(token, "GET", "/2/users/me", "")
		require.Equal(t, http.StatusUnauthorized, got.status)
		require.Equal(t, unauthorizedBody, got.body)
		for h := range got.header {
			require.NotContains(t, strings.ToLower(h), "limit")
		}
		require.Empty(t, got.header.Values("x-access-level"))
		require.Equal(t, reason, b.last().Reason)
	}
	refused("unknown", "the token is unknown")
	refused(token.RefreshToken, "the token is unknown")
	refused(b.acme.creds.AccessToken, "the token is unknown")
	require.Empty(t, b.last().Username)

	clock.Advance(time.Minute - time.Nanosecond)
	require.Equal(t, http.StatusOK, b.bearer(token.AccessToken, "GET", "/2/users/me", "").status)
	clock.Advance(time.Nanosecond)
	refused(token.AccessToken, "the token expired at 2026-11-23T12:01:00.000Z")
	require.Equal(t, "acme", b.last().Username)

	signed := b.acme
	signed.creds.AccessToken = token.AccessToken
	require.Equal(t, http.StatusUnauthorized, b.post(signed, "x").status)
	require.Equal(t, "the token is unknown", b.last().Reason, "to OAuth 1.0a")
}

// TestExpiresWhileHeld: a token must be good when the request is worked, not when it arrives.
func TestExpiresWhileHeld(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	_, token := b.oauth2(true)
	f := b.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	r, err := http.NewRequest(http.MethodGet, b.server.URL()+"/2/users/me", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	c := b.async(r)
	require.NoError(t, f.WaitHeld(waitContext(t), 1))
	clock.Advance(2 * time.Hour)
	f.Lift()
	got := receive(t, c)
	require.NoError(t, got.err)
	require.Equal(t, http.StatusUnauthorized, got.status)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	id := b.mustPost(b.acme, "x")
	for name, tt := range map[string]struct {
		scopes      string
		read, write int
		level       string
		missing     string
	}{
		"All":         {"tweet.read tweet.write users.read", 200, 201, "read-write", ""},
		"More":        {"tweet.read tweet.write users.read media.write dm.read", 200, 201, "read-write", ""},
		"ReadOnly":    {"tweet.read users.read", 200, 403, "read", "the token lacks the scope tweet.write"},
		"NoUsersRead": {"tweet.read tweet.write", 403, 403, "read-write", "the token lacks the scope users.read"},
		"NoTweetRead": {"users.read tweet.write", 403, 403, "read-write", "the token lacks the scope tweet.read"},
		"OfflineOnly": {"offline.access", 403, 403, "read", "the token lacks the scope tweet.read and users.read and tweet.write"},
	} {
		_, token := b.oauth2(true, strings.Fields(tt.scopes)...)
		for _, target := range []string{"/2/users/me", "/2/tweets/" + id} {
			require.Equal(t, tt.read, b.bearer(token.AccessToken, "GET", target, "").status, name)
		}
		got := b.bearer(token.AccessToken, "POST", "/2/tweets", textBody(name))
		require.Equal(t, tt.write, got.status, name)
		require.Equal(t, tt.level, got.header.Get("x-access-level"), name)
		require.NotEmpty(t, got.header.Get("x-rate-limit-remaining"), name)
		if tt.write == 403 {
			require.Equal(t, `{"detail":"Forbidden","type":"about:blank","title":"Forbidden","status":403}`, got.body, name)
			require.Equal(t, tt.missing, b.last().Reason, name)
			require.Equal(t, http.StatusForbidden, b.bearer(token.AccessToken, "DELETE", "/2/tweets/1", "").status, name)
		}
	}
}

// TestReadOnlyAppOAuth2: what an app may do by OAuth 1.0a is no matter of OAuth 2.0.
func TestReadOnlyAppOAuth2(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, err := b.server.AddApp(sandbox.App{ReadOnly: true})
	require.NoError(t, err)
	token, err := b.server.AuthorizeOAuth2(app.Key, "acme")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, b.bearer(token.AccessToken, "POST", "/2/tweets", textBody("x")).status)
}

// TestRefresh: each refresh gives a new pair, and uses up the refresh token.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for name, confidential := range map[string]bool{"Confidential": true, "Public": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			b := setup(t, sandbox.Config{Now: clock.Now, AccessTokenLifetime: 90 * time.Minute})
			app, token := b.oauth2(confidential, "tweet.read", "users.read", "offline.access")
			refresh := func(token string) reply {
				t.Helper()
				form := "grant_type=refresh_token&refresh_token=" + token
				if !confidential {
					return b.form("/2/oauth2/token", "", form+"&client_id="+app.ClientID)
				}
				return b.form("/2/oauth2/token", basic(app), form)
			}
			clock.Advance(time.Hour)
			got := refresh(token.RefreshToken)
			first := got.refreshed(t)
			require.Equal(t, "application/json; charset=utf-8", got.header.Get("content-type"))
			require.Contains(t, got.header.Get("cache-control"), "no-store")
			requireNoFamily(t, got, "x-rate-limit")
			require.Empty(t, got.header.Values("x-access-level"))
			require.Equal(t, "bearer", first.TokenType)
			require.Equal(t, 5400, first.ExpiresIn)
			require.Equal(t, "tweet.read users.read offline.access", first.Scope)
			require.NotEqual(t, token.AccessToken, first.AccessToken)
			require.NotEqual(t, token.RefreshToken, first.RefreshToken)
			require.Equal(t, sandbox.OutcomeRefreshed, b.last().Outcome)
			require.Equal(t, sandbox.RouteOAuth2Token, b.last().Route)
			require.Equal(t, "acme", b.last().Username)
			require.Equal(t, "client", b.last().App)

			got = refresh(token.RefreshToken)
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Equal(t, invalidTokenBody, got.body)
			require.Equal(t, "the refresh token was used before", b.last().Reason)
			require.Equal(t, "acme", b.last().Username)
			require.Equal(t, sandbox.OutcomeRefused, b.last().Outcome)

			require.Equal(t, http.StatusOK, b.bearer(first.AccessToken, "GET", "/2/users/me", "").status)
			require.Equal(t, http.StatusOK, b.bearer(token.AccessToken, "GET", "/2/users/me", "").status, "until it ends")
			require.Equal(t, http.StatusForbidden, b.bearer(first.AccessToken, "POST", "/2/tweets", textBody("x")).status, "no scope was added")
			clock.Advance(30 * time.Minute)
			require.Equal(t, http.StatusUnauthorized, b.bearer(token.AccessToken, "GET", "/2/users/me", "").status)
			require.Equal(t, http.StatusOK, b.bearer(first.AccessToken, "GET", "/2/users/me", "").status)

			clock.Advance(1000 * time.Hour)
			require.Equal(t, http.StatusUnauthorized, b.bearer(first.AccessToken, "GET", "/2/users/me", "").status)
			second := refresh(first.RefreshToken).refreshed(t)
			require.Equal(t, http.StatusOK, b.bearer(second.AccessToken, "GET", "/2/users/me", "").status)
		})
	}
}

// TestTokenRefused: every way in which a request for tokens can be wrong.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	public, publicToken := b.oauth2(false)
	const refresh = "grant_type=refresh_token&refresh_token="
	const noHeader = `{"error":"unauthorized_client","error_description":"Missing valid authorization header"}`
	missing := func(name string) string {
		return `{"error":"invalid_request","error_description":"Missing required parameter [` + name + `]."}`
	}
	for name, tt := range map[string]struct {
		basic, form string
		status      int
		body        string
	}{
		"NobodysClient":      {"", refresh + token.RefreshToken, 401, noHeader},
		"ConfidentialInForm": {"", refresh + token.RefreshToken + "&client_id=" + app.ClientID + "&client_secret=" + app.ClientSecret, 401, noHeader},
		"WrongSecret":        {app.ClientID + ":x", refresh + token.RefreshToken, 401, noHeader},
		"NoSecret":           {app.ClientID + ":", refresh + token.RefreshToken, 401, noHeader},
		"UnknownClient":      {"x:y", refresh + token.RefreshToken, 401, `{"error":"invalid_client","error_description":"Value passed for the client_id was invalid."}`},
		"UnknownPublic":      {"", refresh + token.RefreshToken + "&client_id=x", 401, `{"error":"invalid_client","error_description":"Value passed for the client_id was invalid."}`},
		"PublicByBasic":      {public.ClientID + ":", refresh + publicToken.RefreshToken, 400, missing("client_id")},
		"NoGrantType":        {basic(app), "refresh_token=" + token.RefreshToken, 400, missing("grant_type")},
		"AuthorizationCode":  {basic(app), "grant_type=authorization_code&code=x", 400, `{"error":"unsupported_grant_type","error_description":"The grant_type is not supported."}`},
		"NoRefreshToken":     {basic(app), "grant_type=refresh_token", 400, missing("refresh_token")},
		"UnknownToken":       {basic(app), refresh + "x", 400, invalidTokenBody},
		"AccessToken":        {basic(app), refresh + token.AccessToken, 400, invalidTokenBody},
		"AnotherClients":     {basic(app), refresh + publicToken.RefreshToken, 400, invalidTokenBody},
		"Twice":              {basic(app), refresh + token.RefreshToken + "&grant_type=refresh_token", 400, `{"error":"invalid_request","error_description":"A parameter is repeated."}`},
		"NotAForm":           {basic(app), "%zz", 400, missing("grant_type")},
	} {
		got := b.form("/2/oauth2/token", tt.basic, tt.form)
		require.Equal(t, tt.status, got.status, name)
		require.Equal(t, tt.body, got.body, name)
		requireNoFamily(t, got, "x-rate-limit")
		require.Equal(t, sandbox.OutcomeRefused, b.last().Outcome, name)
	}
	r, err := http.NewRequest(http.MethodPost, b.server.URL()+"/2/oauth2/token",
		strings.NewReader(`{"grant_type":"refresh_token","refresh_token":"`+token.RefreshToken+`"}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(app.ClientID, app.ClientSecret)
	got, err := b.send(r)
	require.NoError(t, err)
	require.Equal(t, missing("grant_type"), got.body, "only forms are read")

	// None of this has used a refresh token up.
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/token", basic(app), refresh+token.RefreshToken).status)
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/token", "", refresh+publicToken.RefreshToken+"&client_id="+public.ClientID).status)
}

// TestBasicIsFormEncoded: RFC 6749 wants id and secret encoded before they go into the header.
func TestBasicIsFormEncoded(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, err := b.server.AddApp(sandbox.App{Confidential: true, ClientID: "a b:c", ClientSecret: "p%/+ü"})
	require.NoError(t, err)
	token, err := b.server.AuthorizeOAuth2(app.Key, "acme")
	require.NoError(t, err)
	got := b.form("/2/oauth2/token", url.QueryEscape(app.ClientID)+":"+url.QueryEscape(app.ClientSecret),
		"grant_type=refresh_token&refresh_token="+token.RefreshToken)
	require.Equal(t, http.StatusOK, got.status, got.body)
}

// TestLostRefresh: the answer to a refresh is lost, and with it the grant.
func TestLostRefresh(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	b.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1, Match: sandbox.Match{Route: sandbox.RouteOAuth2Token, Username: "acme"}})
	r, err := http.NewRequest(http.MethodPost, b.server.URL()+"/2/oauth2/token",
		strings.NewReader("grant_type=refresh_token&refresh_token="+token.RefreshToken))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(app.ClientID, app.ClientSecret)
	_, err = b.send(r)
	require.ErrorIs(t, err, io.EOF)
	got := b.form("/2/oauth2/token", basic(app), "grant_type=refresh_token&refresh_token="+token.RefreshToken)
	require.Equal(t, invalidTokenBody, got.body)
	require.Equal(t, http.StatusOK, b.bearer(token.AccessToken, "GET", "/2/users/me", "").status)
}

// TestUnauthorizedForEverybody: an incident of X in which logins failed too, and no token was bad.
func TestUnauthorizedForEverybody(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	f := b.fault(sandbox.Fault{Kind: sandbox.KindUnauthorized})
	form := "grant_type=refresh_token&refresh_token=" + token.RefreshToken
	got := b.form("/2/oauth2/token", basic(app), form)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, unauthorizedBody, got.body)
	require.Equal(t, unauthorizedBody, b.bearer(token.AccessToken, "GET", "/2/users/me", "").body)
	f.Lift()
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/token", basic(app), form).status)
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	me := func(token string) int { return b.bearer(token, "GET", "/2/users/me", "").status }
	refresh := func(token string) reply {
		return b.form("/2/oauth2/token", basic(app), "grant_type=refresh_token&refresh_token="+token)
	}
	revoke := func(token string, want sandbox.Outcome) {
		t.Helper()
		got := b.form("/2/oauth2/revoke", basic(app), "token="+token)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, `{"revoked":true}`, got.body)
		require.Equal(t, want, b.last().Outcome)
	}
	revoke("unknown", sandbox.OutcomeNothing)
	revoke(token.AccessToken, sandbox.OutcomeRevoked)
	require.Equal(t, "acme", b.last().Username)
	revoke(token.AccessToken, sandbox.OutcomeNothing)
	require.Equal(t, http.StatusUnauthorized, me(token.AccessToken))
	require.Equal(t, "the token was revoked", b.last().Reason)
	first := refresh(token.RefreshToken).refreshed(t)
	second := refresh(first.RefreshToken).refreshed(t)
	revoke(first.RefreshToken, sandbox.OutcomeNothing) // used up, so it ends nothing
	require.Equal(t, http.StatusOK, me(first.AccessToken))
	revoke(second.RefreshToken, sandbox.OutcomeRevoked)
	require.Equal(t, http.StatusUnauthorized, me(first.AccessToken), "all of the grant's")
	require.Equal(t, http.StatusUnauthorized, me(second.AccessToken))
	require.Equal(t, invalidTokenBody, refresh(second.RefreshToken).body)
	require.Equal(t, "the refresh token was revoked", b.last().Reason)

	public, others := b.oauth2(false)
	revoke(others.AccessToken, sandbox.OutcomeNothing) // another client's
	revoke(others.RefreshToken, sandbox.OutcomeNothing)
	require.Equal(t, http.StatusOK, me(others.AccessToken))
	require.Equal(t, http.StatusUnauthorized, b.form("/2/oauth2/revoke", "", "token="+others.AccessToken).status)
	require.Equal(t, http.StatusBadRequest, b.form("/2/oauth2/revoke", "", "client_id="+public.ClientID).status)
	require.Equal(t, http.StatusOK, me(others.AccessToken))
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/revoke", "", "client_id="+public.ClientID+"&token="+others.AccessToken).status)
	require.Equal(t, http.StatusUnauthorized, me(others.AccessToken))
}

// TestRevokeApp: the user removes the app in X's settings.
func TestRevokeApp(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, token := b.oauth2(true)
	signed := b.authorize(app, b.acme.User)
	other, otherToken := b.oauth2(true)
	require.NoError(t, b.server.RevokeApp(app.Key, "acme"))
	require.Equal(t, http.StatusUnauthorized, b.bearer(token.AccessToken, "GET", "/2/users/me", "").status)
	require.Equal(t, http.StatusUnauthorized, b.do(signed, "GET", "/2/users/me", "").status)
	require.Equal(t, "the token was revoked", b.last().Reason)
	require.Equal(t, invalidTokenBody, b.form("/2/oauth2/token", basic(app), "grant_type=refresh_token&refresh_token="+token.RefreshToken).body)

	require.Equal(t, http.StatusOK, b.bearer(otherToken.AccessToken, "GET", "/2/users/me", "").status, "another app's")
	require.Equal(t, http.StatusOK, b.form("/2/oauth2/token", basic(other), "grant_type=refresh_token&refresh_token="+otherToken.RefreshToken).status)
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status)
	require.Equal(t, http.StatusOK, b.do(b.authorize(app, b.acme.User), "GET", "/2/users/me", "").status, "authorized again")
}

// TestAppToken: an app's own token reads, and does nothing else.
func TestAppToken(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	id := b.mustPost(b.acme, "x")
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	got := b.bearer(app, "GET", "/2/tweets/"+id, "")
	require.Equal(t, "x", got.data(t)["text"])
	require.Equal(t, "read", got.header.Get("x-access-level"))
	require.Equal(t, "450", got.header.Get("x-rate-limit-limit"))
	require.Equal(t, "tests", b.last().App)
	require.Empty(t, b.last().UserID)
	const forbidden = `{"title":"Unsupported Authentication","detail":"Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.` +
		`  Supported authentication types are [OAuth 1.0a User Context, OAuth 2.0 User Context].",` +
		`"type":"https://api.twitter.com/2/problems/unsupported-authentication","status":403}`
	for _, call := range []string{
		"POST /2/tweets", "DELETE /2/tweets/" + id, "GET /2/users/me",
		"POST /2/users/" + b.acme.ID + "/retweets", "DELETE /2/users/" + b.acme.ID + "/retweets/" + id,
	} {
		method, target, _ := strings.Cut(call, " ")
		got := b.bearer(app, method, target, "")
		require.Equal(t, http.StatusForbidden, got.status, call)
		require.Equal(t, forbidden, got.body, call)
		requireNoFamily(t, got, "x-rate-limit")
	}
	require.Len(t, b.server.Tweets(), 1)
}
