package sandbox

import (
	cryptorand "crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenKind is a set of kinds of access tokens. A token has exactly one.
type tokenKind uint8

const (
	tokenOAuth1 tokenKind = 1 << iota // a user's, by OAuth 1.0a
	tokenOAuth2                       // a user's, by OAuth 2.0
	tokenApp                          // an app's own

	tokenNone     tokenKind = 0
	tokensOfUsers           = tokenOAuth1 | tokenOAuth2
)

// words are X's for one kind.
func (k tokenKind) words() string {
	switch k {
	case tokenOAuth1:
		return "OAuth 1.0a User Context"
	case tokenOAuth2:
		return "OAuth 2.0 User Context"
	case tokenApp:
		return "OAuth 2.0 Application-Only"
	case tokenNone, tokensOfUsers:
	}
	return "Unknown"
}

// token is what an access token stands for.
type token struct {
	kind    tokenKind
	appKey  string
	userID  string // empty for an app's own
	revoked bool

	// Of OAuth 1.0a. It keeps the access that the app had when the user authorized it: at X too, a
	// later change of the app does not reach old tokens.
	secret   string
	readOnly bool

	// Of a user by OAuth 2.0.
	scopes  []string
	expires time.Time
}

// grant is what a user has allowed an app by OAuth 2.0. Its refresh token changes with each use.
type grant struct {
	appKey  string
	userID  string
	scopes  []string
	refresh string   // the one that is good; empty once the grant is revoked
	access  []string // all access tokens that came of it
}

// randomness is the source of credentials: the system's, or a sequence that the seed determines.
func randomness(seed uint64) io.Reader {
	if seed == 0 {
		return cryptorand.Reader
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// bytes are n random ones. Neither source ever fails.
func (a *accounts) bytes(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(a.random, b); err != nil {
		panic("sandbox: random bytes: " + err.Error())
	}
	return b
}

// text is 26 random capital letters and digits.
func (a *accounts) text() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(a.bytes(16))
}

// oauth2Text is a token as X makes them: base64url of 45 characters, the time in Unix
// milliseconds, and the kind, which is at (access) or rt (refresh).
func (a *accounts) oauth2Text(now time.Time, kind string) string {
	random := base64.RawURLEncoding.EncodeToString(a.bytes(34))[:45]
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s:%d:1:1:%s:1", random, now.UnixMilli(), kind))
}

// Authorize gives the app an OAuth 1.0a token of the user, as when the user presses "Authorize
// app" at X. Each call gives another token; all stay valid until RevokeApp.
func (s *Server) Authorize(appKey, username string) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, user, err := s.accounts.parties(appKey, username)
	if err != nil {
		return Credentials{}, fmt.Errorf("authorize %q: %w", username, err)
	}
	return s.accounts.authorize(app, user, user.ID+"-"+s.accounts.text(), s.accounts.text()+s.accounts.text()), nil
}

// AuthorizeWith is Authorize with an access token and a secret that the caller chooses.
func (s *Server) AuthorizeWith(appKey, username, accessToken, accessTokenSecret string) (Credentials, error) {
	if accessToken == "" || accessTokenSecret == "" {
		return Credentials{}, fmt.Errorf("authorize %q: the access token and its secret must not be empty", username)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, user, err := s.accounts.parties(appKey, username)
	if err != nil {
		return Credentials{}, fmt.Errorf("authorize %q: %w", username, err)
	}
	if _, taken := s.accounts.tokens[accessToken]; taken {
		return Credentials{}, fmt.Errorf("authorize %q: the access token exists already", username)
	}
	return s.accounts.authorize(app, user, accessToken, accessTokenSecret), nil
}

func (a *accounts) authorize(app App, user *User, accessToken, secret string) Credentials {
	a.tokens[accessToken] = token{
		kind: tokenOAuth1, appKey: app.Key, userID: user.ID, secret: secret, readOnly: app.ReadOnly,
	}
	return Credentials{APIKey: app.Key, APISecret: app.Secret, AccessToken: accessToken, AccessTokenSecret: secret}
}

// OAuth2Token is what a client works with for one user of one app by OAuth 2.0.
type OAuth2Token struct {
	ClientID     string    `json:"client_id"`
	ClientSecret string    `json:"client_secret,omitempty"` // of a confidential client
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"` // only with the scope offline.access
	ExpiresAt    time.Time `json:"expires_at"`              // when the access token ends
	Scopes       []string  `json:"scopes"`
}

// AuthorizeOAuth2 gives the app an OAuth 2.0 token of the user, as at the end of X's sign-in
// pages. No scopes are those that a service needs which posts: tweet.read, tweet.write, users.read
// and offline.access. Each call is a grant of its own.
func (s *Server) AuthorizeOAuth2(appKey, username string, scopes ...string) (OAuth2Token, error) {
	if len(scopes) == 0 {
		scopes = []string{"tweet.read", "tweet.write", "users.read", "offline.access"}
	}
	for _, scope := range scopes {
		if !slices.Contains(allScopes(), scope) {
			return OAuth2Token{}, fmt.Errorf("authorize %q: X has no scope %q, but %s", username, scope, strings.Join(allScopes(), " "))
		}
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	app, user, err := s.accounts.parties(appKey, username)
	if err != nil {
		return OAuth2Token{}, fmt.Errorf("authorize %q: %w", username, err)
	}
	g := &grant{appKey: app.Key, userID: user.ID, scopes: slices.Clone(scopes)}
	access := s.accounts.issue(g, now, s.cfg.AccessTokenLifetime)
	return OAuth2Token{
		ClientID: app.ClientID, ClientSecret: app.ClientSecret,
		AccessToken: access, RefreshToken: g.refresh,
		ExpiresAt: now.Add(s.cfg.AccessTokenLifetime), Scopes: slices.Clone(scopes),
	}, nil
}

// allScopes are those of X's OAuth 2.0.
func allScopes() []string {
	return []string{
		"tweet.read", "tweet.write", "tweet.moderate.write", "users.email", "users.read",
		"follows.read", "follows.write", "offline.access", "space.read", "mute.read", "mute.write",
		"like.read", "like.write", "list.read", "list.write", "block.read", "block.write",
		"bookmark.read", "bookmark.write", "dm.read", "dm.write", "media.write",
	}
}

// issue gives the grant a new access token and, if it may have one, a new refresh token, with
// which the old one is used up.
func (a *accounts) issue(g *grant, now time.Time, lifetime time.Duration) string {
	access := a.oauth2Text(now, "at")
	a.tokens[access] = token{
		kind: tokenOAuth2, appKey: g.appKey, userID: g.userID, scopes: g.scopes, expires: now.Add(lifetime),
	}
	g.access = append(g.access, access)
	if slices.Contains(g.scopes, "offline.access") {
		g.refresh = a.oauth2Text(now, "rt")
		a.grants[g.refresh] = g
	}
	return access
}

// AppToken gives the app a token of its own, which X's console calls the bearer token. It stands
// for no user: it reads, and does not write. Each call gives another; all stay valid.
func (s *Server) AppToken(appKey string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.accounts.apps[appKey]
	if !ok {
		return "", errors.New("app token: no app has this key")
	}
	text := "AAAAAAAAAAAAAAAAAAAAA" + s.accounts.text() + s.accounts.text()
	s.accounts.tokens[text] = token{kind: tokenApp, appKey: app.Key}
	return text, nil
}

// RevokeApp ends all that the user has allowed the app, of both kinds of OAuth, as when the user
// removes the app in X's settings.
func (s *Server) RevokeApp(appKey, username string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, user, err := s.accounts.parties(appKey, username)
	if err != nil {
		return fmt.Errorf("revoke the app of %q: %w", username, err)
	}
	for text, t := range s.accounts.tokens {
		if t.appKey == app.Key && t.userID == user.ID {
			s.accounts.revoke(text)
		}
	}
	for _, g := range s.accounts.grants {
		if g.appKey == app.Key && g.userID == user.ID {
			g.refresh = ""
		}
	}
	return nil
}

// revoke ends an access token.
func (a *accounts) revoke(text string) {
	t := a.tokens[text]
	t.revoked = true
	a.tokens[text] = t
}

// parties are an app and a user that are to be connected.
func (a *accounts) parties(appKey, username string) (App, *User, error) {
	app, ok := a.apps[appKey]
	if !ok {
		return App{}, nil, errors.New("no app has this key")
	}
	user := a.usernames[strings.ToLower(username)]
	if user == nil {
		return App{}, nil, errors.New("no such user")
	}
	return app, user, nil
}

// bearerToken is that of an Authorization header `Bearer token`, or "".
func bearerToken(h http.Header) string {
	headers := h.Values("Authorization")
	if len(headers) != 1 {
		return ""
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}

// presented is what the token that a request presents stands for, whether or not it is good. A
// token presented by the wrong kind of OAuth is an unknown one.
func (a *accounts) presented(x *exchange) token {
	text, kinds := x.bearer, tokenOAuth2|tokenApp
	if text == "" {
		text, kinds = x.signed.oauth["oauth_token"], tokenOAuth1
	}
	if t := a.tokens[text]; t.kind&kinds != 0 {
		return t
	}
	return token{}
}

// checkToken reports why the token is not good now. It may have ended since the request arrived.
func (a *accounts) checkToken(x *exchange, now time.Time) error {
	t := a.presented(x)
	switch {
	case t.kind == tokenNone:
		return errors.New("the token is unknown")
	case t.revoked:
		return errors.New("the token was revoked")
	case t.kind == tokenOAuth2 && !now.Before(t.expires):
		return errors.New("the token expired at " + formatTime(t.expires))
	}
	return nil
}

// lifetimeSeconds is a duration as expires_in writes it.
func lifetimeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10)
}
