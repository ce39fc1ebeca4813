package sandbox

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMatch: which requests are which routes, and the ids in their paths.
func TestRouter(t *testing.T) {
	t.Parallel()
	s, err := New(Config{})
	require.NoError(t, err)
	for request, want := range map[string]struct {
		route   Route
		id, id2 string
	}{
		"POST /2/tweets":                  {RouteCreateTweet, "", ""},
		"GET /2/tweets":                   {RouteGetTweets, "", ""},
		"GET /2/tweets/12":                {RouteGetTweet, "12", ""},
		"GET /2/tweets/a%2Fb":             {RouteGetTweet, "a/b", ""},
		"GET /2/tweets/%zz":               {RouteGetTweet, "%zz", ""},
		"DELETE /2/tweets/12":             {RouteDeleteTweet, "12", ""},
		"GET /2/users/me":                 {RouteMe, "", ""},
		"GET /2/users/34/tweets":          {RouteUserTweets, "34", ""},
		"GET /2/users/me/tweets":          {RouteUserTweets, "me", ""},
		"POST /2/users/34/retweets":       {RouteRetweet, "34", ""},
		"DELETE /2/users/34/retweets/12":  {RouteUndoRetweet, "34", "12"},
		"DELETE /2/users/34/retweets":     {},
		"DELETE /2/users/34/retweets/":    {},
		"DELETE /2/users//retweets/12":    {},
		"DELETE /2/users/34/retweets/12/": {},
		"POST /2/users/34/retweets/12":    {},
		"GET /2/users/34":                 {},
		"GET /2/users/34/":                {},
		"GET /2/users/me/":                {},
		"GET /2/users//tweets":            {},
		"GET /2/tweets/":                  {},
		"GET /2/tweets/1/2":               {},
		"GET 2/tweets/1":                  {},
		"GET ":                            {},
		"GET /":                           {},
		"get /2/users/me":                 {},
		"GET /3/users/me":                 {},
		"GET //2/users/me":                {},
		"GET /2/users/%6De/tweets":        {RouteUserTweets, "me", ""},
		"GET /2/users/:id/tweets":         {RouteUserTweets, ":id", ""},
		"PUT /2/tweets":                   {},
		"POST /2/users/34/tweets":         {},
	} {
		method, path, _ := strings.Cut(request, " ")
		found, id, id2 := s.match(method, path)
		if want.route == "" {
			require.Nil(t, found, request)
			continue
		}
		require.NotNil(t, found, request)
		require.Equal(t, want.route, found.name, request)
		require.Equal(t, want.id, id, request)
		require.Equal(t, want.id2, id2, request)
	}
}

// TestRouteTable: each route that is named has code, and none has code twice.
func TestRouteTable(t *testing.T) {
	t.Parallel()
	s, err := New(Config{})
	require.NoError(t, err)
	names := make([]Route, 0, len(s.routes))
	for _, r := range s.routes {
		require.NotNil(t, r.serve, r.name)
		names = append(names, r.name)
	}
	require.ElementsMatch(t, Routes(), names)
}
