package sandbox_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func missingTweet(id string) string {
	return `{"errors":[{"detail":"Could not find tweet with id: [` + id + `].","parameter":"id","resource_id":"` + id +
		`","resource_type":"tweet","title":"Not Found Error","type":"https://api.twitter.com/2/problems/resource-not-found","value":"` + id + `"}]}`
}

func TestDelete(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	id := b.mustPost(b.acme, "x")
	clock.Advance(time.Hour)
	got := b.do(b.acme, "DELETE", "/2/tweets/"+id, "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, `{"data":{"deleted":true}}`, got.body)
	require.Equal(t, clock.Now(), b.server.Tweets()[0].DeletedAt)
	require.Equal(t, sandbox.OutcomeDeleted, b.last().Outcome)
	require.Equal(t, id, b.last().TweetID)

	read := b.do(b.acme, "GET", "/2/tweets/"+id, "")
	require.Equal(t, http.StatusOK, read.status)
	require.Equal(t, missingTweet(id), read.body)
}

func TestDeleteMissing(t *testing.T) {
	t.Parallel()
	const foreign = `{"detail":"You are not authorized to delete this Tweet.","type":"about:blank","title":"Forbidden","status":403}`
	for _, tt := range []struct {
		mode                    sandbox.DeleteMissing
		missing, foreign        int
		missingBody, foreignBdy string
	}{
		{"", 404, 403, missingTweet("1"), foreign},
		{sandbox.DeleteMissing404, 404, 403, missingTweet("1"), foreign},
		{sandbox.DeleteMissingFalse, 200, 200, `{"data":{"deleted":false}}`, `{"data":{"deleted":false}}`},
		{sandbox.DeleteMissingTrue, 200, 403, `{"data":{"deleted":true}}`, foreign},
	} {
		t.Run("Mode"+string(tt.mode), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{DeleteMissing: tt.mode})
			got := b.do(b.acme, "DELETE", "/2/tweets/1", "")
			require.Equal(t, tt.missing, got.status)
			require.Equal(t, tt.missingBody, got.body)
			require.Empty(t, b.last().TweetID)
			require.NotEqual(t, sandbox.OutcomeDeleted, b.last().Outcome)

			theirs := b.mustPost(b.user("other"), "x")
			got = b.do(b.acme, "DELETE", "/2/tweets/"+theirs, "")
			require.Equal(t, tt.foreign, got.status)
			require.Equal(t, tt.foreignBdy, got.body)
			require.True(t, b.server.Tweets()[0].DeletedAt.IsZero())

			mine := b.mustPost(b.acme, "y")
			require.Equal(t, `{"data":{"deleted":true}}`, b.do(b.acme, "DELETE", "/2/tweets/"+mine, "").body)
			deleted := b.server.Tweets()[1].DeletedAt
			require.Equal(t, tt.missing, b.do(b.acme, "DELETE", "/2/tweets/"+mine, "").status, "again")
			require.Equal(t, deleted, b.server.Tweets()[1].DeletedAt)
		})
	}
}

func TestIDPattern(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, method := range []string{"DELETE", "GET"} {
		for escaped, id := range map[string]string{
			"abc": "abc", "1.2": "1.2", "-1": "-1", "12345678901234567890": "12345678901234567890", "1%202": "1 2", "%D9%A1": "١",
		} {
			got := b.do(b.acme, method, "/2/tweets/"+escaped, "")
			require.Equal(t, []string{fmt.Sprintf("The `id` query parameter value [%s] does not match ^[0-9]{1,19}$", id)}, got.messages(t))
			require.Contains(t, got.body, `"parameters":{"id":["`+id+`"]}`)
		}
	}
}

func TestGetTweet(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, SelfServe: sandbox.SelfServeOff})
	other := b.user("other")
	quoted := b.mustPost(other, "theirs")
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"mine","quote_tweet_id":"`+quoted+`","reply_settings":"verified"}`)
	id, _ := got.data(t)["id"].(string)

	got = b.do(other, "GET", "/2/tweets/"+id, "")
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"data":{"id":"`+id+`","text":"mine","edit_history_tweet_ids":["`+id+`"]}}`, got.body)
	require.Equal(t, sandbox.OutcomeRead, b.last().Outcome)

	got = b.do(b.acme, "GET", "/2/tweets/"+id+"?tweet.fields=author_id,conversation_id,created_at,in_reply_to_user_id,referenced_tweets,reply_settings", "")
	require.JSONEq(t, `{"data":{"id":"`+id+`","text":"mine","edit_history_tweet_ids":["`+id+`"],
		"author_id":"`+b.acme.ID+`","conversation_id":"`+id+`","created_at":"2026-11-23T12:00:00.000Z",
		"referenced_tweets":[{"type":"quoted","id":"`+quoted+`"}],"reply_settings":"verified"}}`, got.body)

	got = b.do(b.acme, "GET", "/2/tweets/1", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, missingTweet("1"), got.body)
}

func TestQueryRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	id := b.mustPost(b.acme, "x")
	tweetFields := "attachments,author_id,card_uri,community_id,conversation_id,created_at,display_text_range,edit_controls," +
		"edit_history_tweet_ids,entities,geo,id,in_reply_to_user_id,lang,made_with_ai,note_tweet,paid_partnership," +
		"possibly_sensitive,public_metrics,referenced_tweets,reply_settings,source,text,withheld"
	viewing := "expansions,place.fields,poll.fields,post.fields,tweet.fields,user.fields"
	for target, want := range map[string]string{
		"/2/tweets/" + id + "?dummy=value":        "The query parameter [dummy] is not one of [" + viewing + "]",
		"/2/tweets/" + id + "?tweet.fields=bogus": "The `tweet.fields` query parameter value [bogus] is not one of [" + tweetFields + "]",
		"/2/tweets/" + id + "?tweet.fields=id,":   "The `tweet.fields` query parameter value [] is not one of [" + tweetFields + "]",
		"/2/users/me?tweet.fields=id":             "The query parameter [tweet.fields] is not one of [user.fields]",
		"/2/users/me?user.fields=location":        "The `user.fields` query parameter value [location] is not one of [created_at,id,name,protected,subscription_type,username,verified,verified_type]",
	} {
		require.Equal(t, []string{want}, b.do(b.acme, "GET", target, "").messages(t))
	}
	require.Equal(t, []string{"The query parameter [force] is not one of []"}, b.do(b.acme, "DELETE", "/2/tweets/"+id+"?force=1", "").messages(t))
	require.True(t, b.server.Tweets()[0].DeletedAt.IsZero())
}

func TestMe(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	u, err := b.server.AddUser(sandbox.User{ID: "12", Username: "Jack", Name: "jack ☃", TextLimit: sandbox.PremiumTextLimit})
	require.NoError(t, err)
	jack := b.authorize(b.app, u)
	got := b.do(jack, "GET", "/2/users/me", "")
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"data":{"id":"12","name":"jack ☃","username":"Jack"}}`, got.body)
	got = b.do(jack, "GET", "/2/users/me?user.fields=subscription_type,verified_type,created_at", "")
	require.JSONEq(t, `{"data":{"id":"12","name":"jack ☃","username":"Jack","subscription_type":"Premium",
		"verified_type":"blue","created_at":"2026-11-23T12:00:00.000Z"}}`, got.body)
	got = b.do(b.acme, "GET", "/2/users/me?user.fields=subscription_type", "")
	require.Equal(t, "None", got.data(t)["subscription_type"])
	require.Equal(t, b.acme.ID, got.data(t)["id"])
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, call := range []string{
		"GET /", "PUT /2/tweets", "POST /2/tweets/", "POST /2/tweets/1", "DELETE /2/tweets/",
		"DELETE /2/tweets/1/likes", "GET /2/users/me/", "POST /2/users/me", "POST /1.1/statuses/update.json", "GET /2/users/me2",
	} {
		var method, path string
		_, err := fmt.Sscan(call, &method, &path)
		require.NoError(t, err)
		got := b.do(b.acme, method, path, "")
		require.Equal(t, http.StatusNotFound, got.status, call)
		require.Equal(t, `{"title":"Not Found","detail":"Not Found","type":"about:blank","status":404}`, got.body)
		require.Empty(t, b.last().Route)
	}
}
