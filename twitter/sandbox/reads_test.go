package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestGetTweets(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	one, two := b.mustPost(b.acme, "one"), b.mustPost(b.user("other"), "two & more")
	gone := b.mustPost(b.acme, "gone")
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+gone, "").status)
	missing := func(id string) string {
		return `{"detail":"Could not find tweet with ids: [` + id + `].","parameter":"ids","resource_id":"` + id + `","resource_type":"tweet",` +
			`"title":"Not Found Error","type":"https://api.twitter.com/2/problems/resource-not-found","value":"` + id + `"}`
	}
	tweet := func(id, text string) string {
		return `{"edit_history_tweet_ids":["` + id + `"],"id":"` + id + `","text":"` + text + `"}`
	}
	for ids, want := range map[string]string{
		two + "," + one:                    `{"data":[` + tweet(two, "two &amp; more") + `,` + tweet(one, "one") + `]}`,
		one:                                `{"data":[` + tweet(one, "one") + `]}`,
		one + "," + one:                    `{"data":[` + tweet(one, "one") + `]}`,
		one + "," + gone + ",1":            `{"data":[` + tweet(one, "one") + `],"errors":[` + missing(gone) + `,` + missing("1") + `]}`,
		"1":                                `{"errors":[` + missing("1") + `]}`,
		one + "&ids=" + two:                `{"data":[` + tweet(one, "one") + `,` + tweet(two, "two &amp; more") + `]}`,
		"0" + one[1:] + "&tweet.fields=id": `{"errors":[` + missing("0"+one[1:]) + `]}`,
	} {
		got := b.do(b.acme, "GET", "/2/tweets?ids="+ids, "")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, want, got.body, ids)
	}
}

func TestGetTweetsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for query, want := range map[string]string{
		"":           "The `ids` query parameter can not be empty",
		"?ids=x":     "The `ids` query parameter value [x] does not match ^[0-9]{1,19}$",
		"?ids=1,":    "The `ids` query parameter value [] does not match ^[0-9]{1,19}$",
		"?ids=1&a=b": "The query parameter [a] is not one of [expansions,ids,place.fields,poll.fields,post.fields,tweet.fields,user.fields]",
	} {
		require.Equal(t, []string{want}, b.do(b.acme, "GET", "/2/tweets"+query, "").messages(t), query)
	}
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = fmt.Sprint(i + 1)
	}
	got := b.do(b.acme, "GET", "/2/tweets?ids="+strings.Join(ids, ","), "")
	require.Equal(t, []string{"The number of values in the `ids` query parameter list [101] is not between 1 and 100"}, got.messages(t))
	require.Contains(t, got.body, `"parameters":{"ids":["1","2",`)
	require.Contains(t, got.body, `"100","101"]`, "all of them are echoed")
	got = b.do(b.acme, "GET", "/2/tweets?ids="+strings.Join(ids[:100], ","), "")
	require.Equal(t, http.StatusOK, got.status)
	require.Len(t, got.json(t)["errors"], 100)
}

func TestMissingTweet404(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{MissingTweet: sandbox.MissingTweet404})
	got := b.do(b.acme, "GET", "/2/tweets/1", "")
	require.Equal(t, http.StatusNotFound, got.status)
	entry := strings.TrimSuffix(strings.TrimPrefix(missingTweet("1"), `{"errors":[`), `]}`)
	require.JSONEq(t, `{"errors":[`+entry+`],"title":"Not Found Error","detail":"Could not find tweet with id: [1].",`+
		`"type":"https://api.twitter.com/2/problems/resource-not-found"}`, got.body)
	id := b.mustPost(b.acme, "x")
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/tweets/"+id, "").status)
}

// TestTweetFields: what a request asks for can be read, and nothing of it where it did not.
func TestTweetFields(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"x","community_id":"12","made_with_ai":true,"paid_partnership":true,`+
		`"reply_settings":"following","geo":{"place_id":"5a11"},"card_uri":"card://1"}`)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	id, _ := got.data(t)["id"].(string)
	const asked = "?tweet.fields=card_uri,community_id,made_with_ai,paid_partnership,reply_settings,geo,edit_controls,attachments,entities,display_text_range,source,withheld"
	got = b.do(b.acme, "GET", "/2/tweets/"+id+asked, "")
	require.JSONEq(t, `{"data":{"id":"`+id+`","text":"x","edit_history_tweet_ids":["`+id+`"],"card_uri":"card://1","community_id":"12",
		"made_with_ai":true,"paid_partnership":true,"reply_settings":"following","geo":{"place_id":"5a11"},"display_text_range":[0,1],
		"edit_controls":{"edits_remaining":5,"is_edit_eligible":false,"editable_until":"2026-11-23T13:00:00.000Z"}}}`, got.body)

	plain := b.mustPost(b.acme, "plain")
	got = b.do(b.acme, "GET", "/2/tweets/"+plain+"?tweet.fields=card_uri,community_id,made_with_ai,paid_partnership,reply_settings,geo", "")
	require.JSONEq(t, `{"data":{"id":"`+plain+`","text":"plain","edit_history_tweet_ids":["`+plain+`"],
		"made_with_ai":false,"paid_partnership":false,"reply_settings":"everyone"}}`, got.body)
}

// TestGeoDisabled: the place is not attached, and nothing says so but a read.
func TestGeoDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	user, err := b.server.AddUser(sandbox.User{Username: "shy", GeoDisabled: true})
	require.NoError(t, err)
	for who, attached := range map[account]bool{b.acme: true, b.authorize(b.app, user): false} {
		got := b.do(who, "POST", "/2/tweets", `{"text":"here","geo":{"place_id":"5a11"}}`)
		require.Equal(t, http.StatusCreated, got.status)
		id, _ := got.data(t)["id"].(string)
		read := b.do(who, "GET", "/2/tweets/"+id+"?tweet.fields=geo&expansions=geo.place_id", "").json(t)
		data, _ := read["data"].(map[string]any)
		if attached {
			require.Equal(t, map[string]any{"place_id": "5a11"}, data["geo"])
			require.Contains(t, read, "includes")
		} else {
			require.NotContains(t, data, "geo")
			require.NotContains(t, read, "includes")
		}
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"which?","poll":{"options":["tea","<coffee>"],"duration_minutes":90}}`)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	id, _ := got.data(t)["id"].(string)
	attachments, _ := b.do(b.acme, "GET", "/2/tweets/"+id+"?tweet.fields=attachments", "").data(t)["attachments"].(map[string]any)
	polls, _ := attachments["poll_ids"].([]any)
	require.Len(t, polls, 1)
	require.Regexp(t, `^[0-9]{1,19}$`, polls[0])
	require.NotEqual(t, id, polls[0])
	options := []any{map[string]any{"position": 1.0, "label": "tea", "votes": 0.0}, map[string]any{"position": 2.0, "label": "<coffee>", "votes": 0.0}}
	read := b.do(b.acme, "GET", "/2/tweets/"+id+"?expansions=attachments.poll_ids", "").json(t)
	require.Equal(t, map[string]any{"polls": []any{map[string]any{"id": polls[0], "options": options}}}, read["includes"])
	data, _ := read["data"].(map[string]any)
	require.Contains(t, data, "attachments", "the expansion names its field")
	want := map[string]any{
		"id": polls[0], "options": options, "duration_minutes": 90.0, "end_datetime": "2026-11-23T13:30:00.000Z", "voting_status": "open",
	}
	for _, status := range []string{"open", "closed"} {
		want["voting_status"] = status
		read = b.do(b.acme, "GET", "/2/tweets?ids="+id+"&expansions=attachments.poll_ids&poll.fields=duration_minutes,end_datetime,voting_status", "").json(t)
		require.Equal(t, map[string]any{"polls": []any{want}}, read["includes"])
		clock.Advance(90 * time.Minute)
	}
	require.NotContains(t, b.do(b.acme, "GET", "/2/tweets/"+id, "").body, "attachments")
}

func TestExpansions(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{SelfServe: sandbox.SelfServeOff})
	other := b.user("other")
	theirs := b.mustPost(other, "theirs")
	gone := b.mustPost(other, "gone")
	make2 := func(text, to, of string) string {
		got := b.do(b.acme, "POST", "/2/tweets", `{"text":"`+text+`","reply":{"in_reply_to_tweet_id":"`+to+`"},"quote_tweet_id":"`+of+`"}`)
		require.Equal(t, http.StatusCreated, got.status, got.body)
		id, _ := got.data(t)["id"].(string)
		return id
	}
	one, two := make2("one", theirs, gone), make2("two", theirs, theirs)
	require.Equal(t, http.StatusOK, b.do(other, "DELETE", "/2/tweets/"+gone, "").status)
	user := func(a account) map[string]any {
		return map[string]any{"id": a.ID, "name": a.Name, "username": a.Username}
	}
	read := func(query string) map[string]any {
		return b.do(b.acme, "GET", "/2/tweets?ids="+one+","+two+query, "").json(t)
	}
	for expansion, want := range map[string]map[string]any{
		"author_id":                         {"users": []any{user(b.acme)}},
		"in_reply_to_user_id":               {"users": []any{user(other)}},
		"author_id,in_reply_to_user_id":     {"users": []any{user(b.acme), user(other)}},
		"referenced_tweets.id":              {"tweets": []any{map[string]any{"id": theirs, "text": "theirs", "edit_history_tweet_ids": []any{theirs}}}},
		"attachments.media_keys":            nil,
		"attachments.poll_ids,geo.place_id": nil,
	} {
		got := read("&expansions=" + expansion)["includes"]
		if want == nil {
			require.Nil(t, got)
			continue
		}
		require.Equal(t, want, got, expansion)
	}
	got := read("&expansions=referenced_tweets.id.author_id&user.fields=protected")
	includes, _ := got["includes"].(map[string]any)
	require.Len(t, includes["tweets"], 1)
	withField := user(other)
	withField["protected"] = false
	require.Equal(t, []any{withField}, includes["users"])
	errs, _ := got["errors"].([]any)
	require.Len(t, errs, 1, "the quoted tweet is gone")
	missing, _ := errs[0].(map[string]any)
	require.Equal(t, gone, missing["resource_id"])
	require.Equal(t, "referenced_tweets.id", missing["parameter"])
}

// TestVocabulary: post.fields makes X speak of posts, everywhere but where it names tweets itself.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	first := b.mustPost(b.acme, "first")
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"second","reply":{"in_reply_to_tweet_id":"`+first+`"}}`)
	require.Contains(t, got.body, `"edit_history_tweet_ids"`)
	second, _ := got.data(t)["id"].(string)

	got = b.do(b.acme, "GET", "/2/tweets/"+second+"?post.fields=referenced_posts&expansions=referenced_posts.id", "")
	require.JSONEq(t, `{"data":{"id":"`+second+`","text":"second","edit_history_post_ids":["`+second+`"],
		"referenced_posts":[{"type":"replied_to","id":"`+first+`"}]},
		"includes":{"posts":[{"id":"`+first+`","text":"first","edit_history_post_ids":["`+first+`"]}]}}`, got.body)
	for _, target := range []string{"/2/tweets?ids=" + second + "&", "/2/users/" + b.acme.ID + "/tweets?"} {
		got = b.do(b.acme, "GET", target+"post.fields=id", "")
		require.Contains(t, got.body, "edit_history_post_ids")
		require.NotContains(t, got.body, "tweet")
		require.Contains(t, b.do(b.acme, "GET", target+"tweet.fields=id", "").body, "edit_history_tweet_ids")
	}
	got = b.do(b.acme, "GET", "/2/tweets/"+second+"?post.fields=id&tweet.fields=author_id,referenced_tweets", "")
	require.Equal(t, b.acme.ID, got.data(t)["author_id"])
	require.Contains(t, got.data(t), "referenced_posts")
	for query, name := range map[string]string{"post.fields=author_id": "author_id", "post.fields=referenced_tweets": "referenced_tweets", "tweet.fields=note_post": "note_post"} {
		require.Contains(t, b.do(b.acme, "GET", "/2/tweets/"+second+"?"+query, "").messages(t)[0], "value ["+name+"] is not one of [")
	}
}

func TestEmptyEditHistory(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{EmptyEditHistory: true})
	got := b.post(b.acme, "x")
	id, _ := got.data(t)["id"].(string)
	require.Equal(t, `{"data":{"id":"`+id+`","text":"x","edit_history_tweet_ids":[""]}}`, got.body)
	require.Equal(t, []any{id}, b.do(b.acme, "GET", "/2/tweets/"+id, "").data(t)["edit_history_tweet_ids"])
}

func TestProblemHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"api.twitter.com", "api.x.com"} {
		t.Run("Host"+host, func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{ProblemHost: host})
			theirs := b.mustPost(b.user("other"), `no reply "type":"https://api.x.com/2/problems/x"`)
			for _, got := range []reply{
				b.do(b.acme, "GET", "/2/tweets/1", ""),
				b.do(b.acme, "GET", "/2/tweets/x", ""),
				b.do(b.acme, "GET", "/2/tweets?ids=1", ""),
				b.do(b.acme, "DELETE", "/2/tweets/1", ""),
				b.do(b.acme, "POST", "/2/tweets", `{"text":"x","reply":{"in_reply_to_tweet_id":"`+theirs+`"}}`),
			} {
				require.Contains(t, got.body, `"type":"https://`+host+`/2/problems/`)
			}
			require.Contains(t, b.post(b.acme, "x").body, `"id"`)
			require.Contains(t, b.post(b.acme, "x").body, `"about:blank"`)
		})
	}
}
