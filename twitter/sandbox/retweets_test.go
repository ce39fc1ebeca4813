package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func (b *testBundle) retweet(who account, id string) reply {
	b.t.Helper()
	return b.do(who, "POST", "/2/users/"+who.ID+"/retweets", `{"tweet_id":"`+id+`"}`)
}

func (b *testBundle) undoRetweet(who account, id string) reply {
	b.t.Helper()
	return b.do(who, "DELETE", "/2/users/"+who.ID+"/retweets/"+id, "")
}

func TestRetweet(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	other := b.user("other")
	source := b.mustPost(other, "Fish & chips: https://example.com/menu")
	clock.Advance(time.Minute)
	made := clock.Now()

	got := b.retweet(b.acme, source)
	require.Equal(t, http.StatusOK, got.status, got.body)
	rest, _ := got.data(t)["rest_id"].(string)
	require.Equal(t, `{"data":{"rest_id":"`+rest+`","retweeted":true}}`, got.body)
	require.NotEqual(t, source, rest)
	require.Equal(t, sandbox.OutcomeCreated, b.last().Outcome)
	require.Equal(t, rest, b.last().TweetID)
	want := sandbox.Retweet{ID: rest, UserID: b.acme.ID, Username: "acme", TweetID: source, CreatedAt: made, Request: 2}
	require.Equal(t, []sandbox.Retweet{want}, b.server.Retweets())
	require.Len(t, b.server.Tweets(), 1, "a retweet is no tweet that somebody posted")

	data := b.do(other, "GET", "/2/tweets/"+rest+"?tweet.fields=author_id,referenced_tweets", "").data(t)
	require.Regexp(t, `^RT @other: Fish &amp; chips: https://t\.co/\w{10}$`, data["text"])
	require.Equal(t, b.acme.ID, data["author_id"])
	require.Equal(t, []any{map[string]any{"type": "retweeted", "id": source}}, data["referenced_tweets"])
	metrics := b.do(other, "GET", "/2/tweets/"+source+"?tweet.fields=public_metrics", "").data(t)["public_metrics"]
	require.InDelta(t, 1, metrics.(map[string]any)["retweet_count"], 0)

	clock.Advance(time.Minute)
	require.Equal(t, []string{"You cannot retweet a Tweet that you have already retweeted."}, b.retweet(b.acme, source).messages(t))
	require.Len(t, b.server.Retweets(), 1)

	got = b.undoRetweet(b.acme, source)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, `{"data":{"retweeted":false}}`, got.body)
	require.Equal(t, sandbox.OutcomeDeleted, b.last().Outcome)
	want.UndoneAt = clock.Now()
	require.Equal(t, []sandbox.Retweet{want}, b.server.Retweets())
	require.Equal(t, missingTweet(rest), b.do(b.acme, "GET", "/2/tweets/"+rest, "").body)

	got = b.undoRetweet(b.acme, source)
	require.Equal(t, `{"data":{"retweeted":false}}`, got.body, "what is undone is undone")
	require.Equal(t, sandbox.OutcomeNothing, b.last().Outcome)
	require.Equal(t, http.StatusOK, b.retweet(b.acme, source).status, "again")
	require.Len(t, b.server.Retweets(), 2)
}

func TestRetweetOfOnesOwnAndOfARetweet(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	mine := b.mustPost(b.acme, strings.Repeat("の", 140))
	rest, _ := b.retweet(b.acme, mine).data(t)["rest_id"].(string)
	require.NotEmpty(t, rest)
	text, _ := b.do(b.acme, "GET", "/2/tweets/"+rest, "").data(t)["text"].(string)
	require.Equal(t, "RT @acme: "+strings.Repeat("の", 64)+"…", text, "cut to 140")

	other := b.user("other")
	require.Equal(t, http.StatusOK, b.retweet(other, rest).status)
	require.Equal(t, mine, b.server.Retweets()[1].TweetID)
	b.undoRetweet(other, rest)
	require.False(t, b.server.Retweets()[1].UndoneAt.IsZero())
	require.True(t, b.server.Retweets()[0].UndoneAt.IsZero())
}

func TestRetweetsGoWithTheTweet(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	mine := b.mustPost(b.acme, "x")
	rest, _ := b.retweet(b.acme, mine).data(t)["rest_id"].(string)
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+rest, "").status, "the retweet alone")
	require.False(t, b.server.Retweets()[0].UndoneAt.IsZero())
	require.Equal(t, http.StatusOK, b.retweet(b.acme, mine).status)
	require.Equal(t, http.StatusOK, b.retweet(b.user("other"), mine).status)
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+mine, "").status)
	for _, r := range b.server.Retweets() {
		require.False(t, r.UndoneAt.IsZero())
	}
	got := b.retweet(b.acme, mine)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, missingTweet(mine), got.body)
}

func TestRetweetRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	other := b.user("other")
	id := b.mustPost(b.acme, "x")
	path := "/2/users/" + b.acme.ID + "/retweets"
	same := "The `id` query parameter value [" + other.ID + "] must be the same as the authenticating user [" + b.acme.ID + "]"
	for body, want := range map[string]string{
		`{}`:                              "$.tweet_id: is missing but it is required",
		`{"tweet_id":1}`:                  "$.tweet_id: integer found, string expected",
		`{"tweet_id":"x"}`:                "$.tweet_id: does not match the regex pattern ^[0-9]{1,19}$",
		`{"tweet_id":"1","a":1}`:          "$.a: is not defined in the schema and the schema does not allow additional properties",
		`[]`:                              "Request body must be a JSON object.",
		`{`:                               "Request body is not valid JSON.",
		``:                                "Requests with bodies must have content-type of application/json.",
		`{"source_tweet_id":"` + id + `"`: "Request body is not valid JSON.",
	} {
		require.Equal(t, []string{want}, b.do(b.acme, "POST", path, body).messages(t), body)
	}
	require.Equal(t, []string{same}, b.do(b.acme, "POST", "/2/users/"+other.ID+"/retweets", `{"tweet_id":"`+id+`"}`).messages(t))
	require.Equal(t, []string{same}, b.do(b.acme, "DELETE", "/2/users/"+other.ID+"/retweets/"+id, "").messages(t))
	require.Equal(t, []string{"The `id` query parameter value [me] does not match ^[0-9]{1,19}$"},
		b.do(b.acme, "POST", "/2/users/me/retweets", `{"tweet_id":"`+id+`"}`).messages(t))
	require.Equal(t, []string{"The `source_tweet_id` query parameter value [x] does not match ^[0-9]{1,19}$"},
		b.do(b.acme, "DELETE", path+"/x", "").messages(t))
	require.Empty(t, b.server.Retweets())

	app, err := b.server.AddApp(sandbox.App{ReadOnly: true})
	require.NoError(t, err)
	reader := b.authorize(app, b.acme.User)
	for _, got := range []reply{b.retweet(reader, id), b.undoRetweet(reader, id)} {
		require.Equal(t, http.StatusForbidden, got.status)
		require.Contains(t, got.body, "oauth1-permissions")
	}
	b.fault(sandbox.Fault{Kind: sandbox.KindForbidden, Match: sandbox.Match{Route: sandbox.RouteRetweet}})
	require.Equal(t, http.StatusForbidden, b.retweet(b.acme, id).status)
}
