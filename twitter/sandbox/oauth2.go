package sandbox

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// authenticateClient is the auth stage of requests for tokens: a confidential client proves itself
// by the header Basic, a public one only names itself.
func (s *Server) authenticateClient(x *exchange) (answer, bool) {
	if a, refused := s.forced(x, stageAuth); refused {
		return a, true
	}
	if x.repeatsParameter() {
		return oauth2Problem(http.StatusBadRequest, "invalid_request", "A parameter is repeated.", "a parameter is there twice"), true
	}
	const noHeader = "Missing valid authorization header"
	basicID, secret, basic := basicAuth(x.header)
	id := basicID
	if !basic {
		id = x.form.Get("client_id")
	}
	if id == "" {
		return oauth2Problem(http.StatusUnauthorized, "unauthorized_client", noHeader, "no client names itself"), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, known := s.accounts.apps[s.accounts.clients[id]]
	switch {
	case !known:
		return oauth2Problem(http.StatusUnauthorized, "invalid_client", "Value passed for the client_id was invalid.", "the client id is unknown"), true
	case app.Confidential && !basic:
		return oauth2Problem(http.StatusUnauthorized, "unauthorized_client", noHeader, "a confidential client without Basic"), true
	case app.Confidential && secret != app.ClientSecret:
		return oauth2Problem(http.StatusUnauthorized, "unauthorized_client", noHeader, "the client secret is wrong"), true
	case !app.Confidential && x.form.Get("client_id") != app.ClientID:
		return missingParameter("client_id"), true
	}
	x.app = app
	x.record.App = app.Name
	return answer{}, false
}

// basicAuth is the client id and secret of the header Basic. In it they are form-encoded
// (RFC 6749, 2.3.1).
func basicAuth(h http.Header) (id, secret string, ok bool) {
	id, secret, ok = (&http.Request{Header: h}).BasicAuth()
	if plain, err := url.QueryUnescape(id); err == nil {
		id = plain
	}
	if plain, err := url.QueryUnescape(secret); err == nil {
		secret = plain
	}
	return id, secret, ok
}

// oauth2Token is POST /2/oauth2/token. The old refresh token is used up at once, whether or not
// the answer arrives; the old access token stays good until it ends.
func (s *Server) oauth2Token(x *exchange) answer {
	switch x.form.Get("grant_type") {
	case "":
		return missingParameter("grant_type")
	case "refresh_token":
	default:
		return oauth2Problem(http.StatusBadRequest, "unsupported_grant_type", "The grant_type is not supported.",
			"the sandbox knows the grant type refresh_token only")
	}
	presented := x.form.Get("refresh_token")
	if presented == "" {
		return missingParameter("refresh_token")
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.accounts.grants[presented]
	switch {
	case g == nil:
		return invalidToken("the refresh token is unknown")
	case g.appKey != x.app.Key:
		return invalidToken("the refresh token is another app's")
	case g.refresh == "":
		return invalidToken("the refresh token was revoked")
	case g.refresh != presented:
		return invalidToken("the refresh token was used before")
	}
	access := s.accounts.issue(g, now, s.cfg.AccessTokenLifetime)
	return answer{
		status: http.StatusOK, outcome: OutcomeRefreshed,
		body: fmt.Appendf(nil, `{"token_type":"bearer","expires_in":%s,"access_token":%q,"scope":%q,"refresh_token":%q}`,
			lifetimeSeconds(s.cfg.AccessTokenLifetime), access, strings.Join(g.scopes, " "), g.refresh),
	}
}

// oauth2Revoke is POST /2/oauth2/revoke. A refresh token ends its grant, with all access tokens of
// it; an access token ends alone. What is unknown or over already is no error (RFC 7009, 2.2).
func (s *Server) oauth2Revoke(x *exchange) answer {
	presented := x.form.Get("token")
	if presented == "" {
		return missingParameter("token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := answer{status: http.StatusOK, body: []byte(`{"revoked":true}`), outcome: OutcomeNothing, reason: "no such token of this app"}
	if g := s.accounts.grants[presented]; g != nil && g.appKey == x.app.Key && g.refresh == presented {
		g.refresh = ""
		for _, access := range g.access {
			s.accounts.revoke(access)
		}
		a.outcome, a.reason = OutcomeRevoked, ""
	}
	if t := s.accounts.tokens[presented]; t.kind == tokenOAuth2 && t.appKey == x.app.Key && !t.revoked {
		s.accounts.revoke(presented)
		a.outcome, a.reason = OutcomeRevoked, ""
	}
	return a
}

// formOf is the body of a request for tokens. One of another content type has no parameters.
func formOf(h http.Header, body []byte) url.Values {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || t != "application/x-www-form-urlencoded" {
		return nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return form
}

// repeatsParameter tells of a form what RFC 6749, 3.2 forbids.
func (x *exchange) repeatsParameter() bool {
	for _, values := range x.form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// nameGrant notes whose token a request for tokens is about. Callers hold s.mu.
func (s *Server) nameGrant(x *exchange) {
	for _, text := range []string{x.form.Get("refresh_token"), x.form.Get("token")} {
		userID, appKey := s.accounts.tokens[text].userID, s.accounts.tokens[text].appKey
		if g := s.accounts.grants[text]; g != nil {
			userID, appKey = g.userID, g.appKey
		}
		if user := s.accounts.users[userID]; user != nil {
			x.record.App, x.record.UserID, x.record.Username = s.accounts.apps[appKey].Name, user.ID, user.Username
			return
		}
	}
}

// oauth2Problem is an error of the token endpoint, in a shape of its own.
func oauth2Problem(status int, code, description, reason string) answer {
	return refuse(status, reason, fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, description))
}

// invalidToken is X's answer to a refresh token that is unknown, used or revoked.
func invalidToken(reason string) answer {
	return oauth2Problem(http.StatusBadRequest, "invalid_request", "Value passed for the token was invalid.", reason)
}

func missingParameter(name string) answer {
	return oauth2Problem(http.StatusBadRequest, "invalid_request", "Missing required parameter ["+name+"].",
		name+" is missing from the form")
}
