package twitter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKindsIsComplete compares Kinds with the constants in the source.
func TestKindsIsComplete(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	require.NoError(t, err)
	var declared []Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		typ, ok := spec.Type.(*ast.Ident)
		require.True(t, ok && typ.Name == "Kind", "%s has no type Kind", spec.Names[0])
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, value)
		declared = append(declared, Kind(value))
		return true
	})
	require.ElementsMatch(t, declared, Kinds())
}

// TestWordsAlone has X say its sentences under about:blank, without the type that they had when
// they were captured, and without any words but a status.
func TestWordsAlone(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]Kind{
		"Your enrolled account [1] has reached its billing cycle spend cap.":                               KindSpendCapReached,
		"Your enrolled account [1] does not have any credits to fulfill this request.":                     KindCreditsDepleted,
		"Usage cap exceeded: Monthly product cap":                                                          KindUsageCapExceeded,
		"The user used for authentication is suspended":                                                    KindSuspended,
		"To protect our users, this account is temporarily locked.":                                        KindLocked,
		"Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.": KindAppPermissions,
		"You must use keys and tokens from a Twitter developer App that is attached to a Project.":         KindNotEnrolled,
		"Authenticating with Unknown is forbidden for this endpoint.":                                      KindAuthenticationUnknown,
		"Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.":                   KindUnsupportedAuthentication,
		"You can only reply to or quote posts where you are mentioned or are the author.":                  KindReplyNotAllowed,
		"Something that X has not said before.":                                                            KindForbidden,
	} {
		p := problem{detail: words, words: strings.ToLower(words)}
		require.Equal(t, want, call{}.kindOf(http.StatusForbidden, p), words)
	}
	// What a retweet is told by words that are X's for nothing else.
	for words, want := range map[string]Kind{
		"You have already retweeted this Tweet.": KindAlreadyRetweeted, "You have already reposted this Post.": KindAlreadyRetweeted,
		"You cannot retweet this Tweet.": KindForbidden,
	} {
		retweet, create := call{method: http.MethodPost, path: []string{"2", "users", "1", "retweets"}}, call{method: http.MethodPost, path: []string{"2", "tweets"}}
		p := problem{detail: words, words: strings.ToLower(words)}
		require.Equal(t, want, retweet.kindOf(http.StatusForbidden, p), words)
		require.Equal(t, KindForbidden, create.kindOf(http.StatusForbidden, p), words)
	}
	quote := call{body: []byte(`{"quote_tweet_id":"1"}`)}
	require.Equal(t, KindQuoteNotAllowed, quote.kindOf(http.StatusForbidden, problem{words: "you can only reply to or quote posts"}))
}
