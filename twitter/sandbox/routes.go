package sandbox

import (
	"net/url"
	"strings"
)

// Route is an endpoint, as X's own tables write it.
type Route string

// The routes of the sandbox.
const (
	RouteCreateTweet Route = "POST /2/tweets"
	RouteDeleteTweet Route = "DELETE /2/tweets/:id"
	RouteGetTweet    Route = "GET /2/tweets/:id"
	RouteMe          Route = "GET /2/users/me"
	RouteRetweet     Route = "POST /2/users/:id/retweets"
	RouteUndoRetweet Route = "DELETE /2/users/:id/retweets/:source_tweet_id"
	RouteUserTweets  Route = "GET /2/users/:id/tweets"
	RouteGetTweets   Route = "GET /2/tweets"
	RouteUsage       Route = "GET /2/usage/tweets"

	RouteOAuth2Token  Route = "POST /2/oauth2/token" //nolint:gosec // An address, no credential.
	RouteOAuth2Revoke Route = "POST /2/oauth2/revoke"
)

// Routes are all routes of the sandbox.
func Routes() []Route {
	return []Route{
		RouteCreateTweet, RouteDeleteTweet, RouteGetTweet, RouteMe,
		RouteRetweet, RouteUndoRetweet, RouteUserTweets, RouteGetTweets,
		RouteUsage, RouteOAuth2Token, RouteOAuth2Revoke,
	}
}

// postReads are the routes that return tweets.
func postReads() []Route { return []Route{RouteGetTweet, RouteGetTweets, RouteUserTweets} }

// issuesTokens tells the routes that authenticate an app by its client id, not by a token. Their
// requests cost nothing and are not limited.
func (r Route) issuesTokens() bool {
	return r == RouteOAuth2Token || r == RouteOAuth2Revoke
}

// route is a Route with its code.
type route struct {
	name   Route
	writes bool      // refused to tokens that may only read
	takes  tokenKind // the kinds of tokens it takes

	// withoutCredits is served also to an app that has none, and that has reached its spend cap.
	withoutCredits bool

	// serve answers a request that got past the access stage.
	serve func(*exchange) answer
}

func (s *Server) routeTable() []route {
	return []route{
		{name: RouteCreateTweet, takes: tokensOfUsers, writes: true, serve: s.createTweet},
		{name: RouteDeleteTweet, takes: tokensOfUsers, writes: true, serve: s.deleteTweet},
		{name: RouteGetTweet, takes: tokensOfUsers | tokenApp, serve: s.getTweet},
		{name: RouteMe, takes: tokensOfUsers, withoutCredits: true, serve: s.me},
		{name: RouteRetweet, takes: tokensOfUsers, writes: true, serve: s.retweet},
		{name: RouteUndoRetweet, takes: tokensOfUsers, writes: true, serve: s.undoRetweet},
		{name: RouteUserTweets, takes: tokensOfUsers | tokenApp, serve: s.userTweets},
		{name: RouteGetTweets, takes: tokensOfUsers | tokenApp, serve: s.getTweets},
		{name: RouteUsage, takes: tokenApp, withoutCredits: true, serve: s.usageTweets},
		{name: RouteOAuth2Token, serve: s.oauth2Token},
		{name: RouteOAuth2Revoke, serve: s.oauth2Revoke},
	}
}

// match finds the route of a path without base path, and the ids in the path, in their order.
func (s *Server) match(method, path string) (found *route, id, id2 string) {
	for i := range s.routes {
		routeMethod, pattern, _ := strings.Cut(string(s.routes[i].name), " ")
		if method != routeMethod {
			continue
		}
		if ids, ok := matchPath(pattern, path); ok {
			return &s.routes[i], ids[0], ids[1]
		}
	}
	return nil, "", ""
}

// matchPath compares segment by segment. One that begins with a colon in the pattern stands for
// any that is not empty.
func matchPath(pattern, path string) (ids [2]string, ok bool) {
	found := 0
	for {
		want, wantRest, wantMore := strings.Cut(pattern, "/")
		got, gotRest, gotMore := strings.Cut(path, "/")
		switch {
		case wantMore != gotMore:
			return ids, false
		case !strings.HasPrefix(want, ":"):
			if got != want {
				return ids, false
			}
		case got == "":
			return ids, false
		default:
			if plain, err := url.PathUnescape(got); err == nil {
				got = plain
			}
			ids[found] = got
			found++
		}
		if !wantMore {
			return ids, true
		}
		pattern, path = wantRest, gotRest
	}
}
