package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// admit checks what the app, the token and the user may do at all.
func (s *Server) admit(x *exchange) (answer, bool) {
	if a, refused := s.forced(x, stageAccess); refused {
		return a, true
	}
	switch {
	case x.app.NotEnrolled:
		return s.refusal(KindNotEnrolled, x), true
	case x.route.takes&x.token.kind == 0:
		return unsupportedAuthentication(x), true
	case x.user.Suspended:
		return s.refusal(KindUserSuspended, x), true
	case x.user.Locked:
		return userLocked(), true
	case x.route.writes && x.token.readOnly:
		return s.refusal(KindReadOnlyApp, x), true
	}
	if missing := x.missingScopes(); len(missing) > 0 {
		a := s.refusal(KindForbidden, x)
		a.reason = "the token lacks the scope " + strings.Join(missing, " and ")
		return a, true
	}
	return answer{}, false
}

// missingScopes are those that the route needs and an OAuth 2.0 user token lacks. Other tokens
// have none, and need none.
func (x *exchange) missingScopes() []string {
	if x.token.kind != tokenOAuth2 {
		return nil
	}
	needed := []string{"tweet.read", "users.read"}
	if x.route.writes {
		needed = append(needed, "tweet.write")
	}
	return slices.DeleteFunc(needed, func(scope string) bool { return slices.Contains(x.token.scopes, scope) })
}

// accessLevel is what x-access-level tells of the token; empty if there is none. For tokens of
// OAuth 2.0 it is a guess that it follows the scopes.
func (x *exchange) accessLevel() string {
	switch x.token.kind {
	case tokenNone:
		return ""
	case tokenOAuth1:
		if !x.token.readOnly {
			return "read-write"
		}
	case tokenOAuth2:
		if slices.Contains(x.token.scopes, "tweet.write") {
			return "read-write"
		}
	case tokenApp, tokensOfUsers:
	}
	return "read"
}

// unsupportedAuthentication is the 403 for a token of a kind that the route does not take. X
// writes two spaces between its sentences.
func unsupportedAuthentication(x *exchange) answer {
	var supported []string
	for _, kind := range []tokenKind{tokenApp, tokenOAuth1, tokenOAuth2} {
		if x.route.takes&kind != 0 {
			supported = append(supported, kind.words())
		}
	}
	detail := fmt.Sprintf("Authenticating with %s is forbidden for this endpoint.  Supported authentication types are [%s].",
		x.token.kind.words(), strings.Join(supported, ", "))
	return refuse(http.StatusForbidden, detail, fmt.Sprintf(`{"title":"Unsupported Authentication","detail":%q,`+
		`"type":"https://api.twitter.com/2/problems/unsupported-authentication","status":403}`, detail))
}

// userLocked is what the v1.1 API says; no capture of v2's own answer exists.
func userLocked() answer {
	return refuse(http.StatusForbidden, "the user is locked", `{"errors":[{"code":326,"message":"To protect our users from spam `+
		`and other malicious activity, this account is temporarily locked. Please log in to https://twitter.com to unlock your account."}]}`)
}
