package twitter

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wholePage is a page in X's first vocabulary with all that reconciliation looks at. Its forms are
// those of X's data dictionary.
const wholePage = `{
"data":[{
	"id":"2080761390344937796","author_id":"2244994945","created_at":"2026-07-24T21:05:48.792Z","text":"Long & <cut> https://t.co/abc https://t.co/pic",
	"entities":{"urls":[
		{"start":13,"end":33,"url":"https://t.co/abc","expanded_url":"https://example.com/a?b","unwound_url":"https://example.com/c","display_url":"example.com/a"},
		{"start":34,"end":54,"url":"https://t.co/pic","expanded_url":"https://x.com/acme/status/1/photo/1","media_key":"3_1445880548472328192"}]},
	"note_tweet":{"text":"Long and whole","entities":{"urls":[{"url":"https://t.co/note","expanded_url":"https://example.com/n"}]}},
	"attachments":{"media_keys":["3_1445880548472328192"],"poll_ids":["1199786642468413448"]},
	"geo":{"place_id":"df51dec6f4ee2b2c"},"in_reply_to_user_id":"783214","reply_settings":"mentionedUsers",
	"referenced_tweets":[{"type":"replied_to","id":"11"},{"type":"quoted","id":"12"}],
	"edit_history_tweet_ids":["10","2080761390344937796"]
},{"id":"7","text":"Hi","edit_history_tweet_ids":[""]}],
"includes":{
	"polls":[{"id":"1199786642468413448","duration_minutes":1440,"options":[{"position":1,"label":"Yes","votes":0},{"position":2,"label":"No & maybe","votes":0}]}],
	"tweets":[{"id":"12","text":"quoted"}]},
"errors":[{"value":"11","detail":"Could not find tweet with referenced_tweets.id: [11].","title":"Not Found Error","resource_type":"tweet","parameter":"referenced_tweets.id","resource_id":"11","type":"https://api.twitter.com/2/problems/resource-not-found"}],
"meta":{"newest_id":"2080761390344937796","oldest_id":"7","result_count":2,"next_token":"7140dibdnow9c7btw"}}`

// postPage says the same in X's newer vocabulary.
var postPage = strings.NewReplacer(
	"edit_history_tweet_ids", "edit_history_post_ids", `"referenced_tweets":`, `"referenced_posts":`, `"note_tweet"`, `"note_post"`,
	`"tweets"`, `"posts"`, "api.twitter.com", "api.x.com",
).Replace(wholePage)

// wholeTweets are the tweets of both pages.
func wholeTweets() []Tweet {
	return []Tweet{
		{
			ID: "2080761390344937796", AuthorID: "2244994945", CreatedAt: time.Date(2026, 7, 24, 21, 5, 48, 792e6, time.UTC),
			Text: "Long & <cut> https://t.co/abc https://t.co/pic",
			URLs: []URLEntity{
				{URL: "https://t.co/abc", ExpandedURL: "https://example.com/a?b", UnwoundURL: "https://example.com/c"},
				{URL: "https://t.co/pic", ExpandedURL: "https://x.com/acme/status/1/photo/1", MediaKey: "3_1445880548472328192"},
			},
			NoteTweet: &NoteTweet{Text: "Long and whole", URLs: []URLEntity{{URL: "https://t.co/note", ExpandedURL: "https://example.com/n"}}},
			MediaKeys: []string{"3_1445880548472328192"}, PollIDs: []string{"1199786642468413448"}, PlaceID: "df51dec6f4ee2b2c",
			InReplyToUserID: "783214", ReplySettings: "mentionedUsers", EditHistoryTweetIDs: []string{"10", "2080761390344937796"},
			ReferencedTweets: []ReferencedTweet{{Type: "replied_to", ID: "11"}, {Type: "quoted", ID: "12"}},
		},
		{ID: "7", Text: "Hi"},
	}
}

func wholeIncludes() Includes {
	return Includes{
		Tweets: []Tweet{{ID: "12", Text: "quoted"}},
		Polls:  []IncludedPoll{{ID: "1199786642468413448", Options: []string{"Yes", "No & maybe"}, DurationMinutes: 1440}},
	}
}

func wholeErrors() []PartialError {
	return []PartialError{{
		ResourceID: "11", Parameter: "referenced_tweets.id", Kind: KindNotFound, Type: "resource-not-found", Title: "Not Found Error",
		Detail: "Could not find tweet with referenced_tweets.id: [11].",
	}}
}

// reading returns a client of an X that answers so, and where its last request went.
func reading(t *testing.T, body string) (*Client, *url.URL) {
	t.Helper()
	asked := new(url.URL)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		*asked = *r.URL
		_, _ = io.WriteString(w, body)
	}), asked
}

func TestUserTweets(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"TweetVocabulary": wholePage, "PostVocabulary": postPage} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, asked := reading(t, body)
			page, err := client.UserTweets(t.Context(), "2244994945", UserTweetsQuery{})
			require.NoError(t, err)
			require.Equal(t, TweetPage{
				Tweets: wholeTweets(), Includes: wholeIncludes(), Errors: wholeErrors(), NextToken: "7140dibdnow9c7btw",
				NewestID: "2080761390344937796", OldestID: "7", Answer: page.Answer,
			}, *page)
			require.Equal(t, body, string(page.Answer.RawBody))
			require.Equal(t, "/2/users/2244994945/tweets", asked.Path)
			require.Equal(t, url.Values{
				"tweet.fields": {"attachments,author_id,created_at,edit_history_tweet_ids,entities,geo,in_reply_to_user_id,note_tweet,referenced_tweets,reply_settings"},
				"expansions":   {"attachments.poll_ids"}, "poll.fields": {"duration_minutes"},
			}, asked.Query())
		})
	}

	t.Run("Query", func(t *testing.T) {
		t.Parallel()
		client, asked := reading(t, `{"meta":{"result_count":0}}`)
		berlin := time.FixedZone("CET", 3600)
		_, err := client.UserTweets(t.Context(), "1", UserTweetsQuery{
			SinceID: "5", UntilID: "9", MaxResults: 100, PaginationToken: "7140dibdnow9c7btw",
			StartTime: time.Date(2026, 11, 24, 11, 0, 0, 999e6, berlin), EndTime: time.Date(2026, 11, 24, 12, 0, 0, 1, berlin),
		})
		require.NoError(t, err)
		query := asked.Query()
		for name := range tweetFields() {
			query.Del(name)
		}
		require.Equal(t, url.Values{
			"since_id": {"5"}, "until_id": {"9"}, "max_results": {"100"}, "pagination_token": {"7140dibdnow9c7btw"},
			"start_time": {"2026-11-24T10:00:00Z"}, "end_time": {"2026-11-24T11:00:01Z"},
		}, query)
	})

	t.Run("WholeSecondsStay", func(t *testing.T) {
		t.Parallel()
		at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		values, err := UserTweetsQuery{StartTime: at, EndTime: at}.values()
		require.NoError(t, err)
		require.Equal(t, "2026-11-24T10:00:00Z", values.Get("start_time"))
		require.Equal(t, "2026-11-24T10:00:00Z", values.Get("end_time"))
	})

	t.Run("Empty", func(t *testing.T) {
		t.Parallel()
		client, _ := reading(t, `{"meta":{"result_count":0,"next_token":"more"}}`)
		page, err := client.UserTweets(t.Context(), "1", UserTweetsQuery{})
		require.NoError(t, err)
		require.Equal(t, TweetPage{NextToken: "more", Answer: page.Answer}, *page)
	})

	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			page := map[string]string{
				"":  `{"data":[{"id":"3","text":"c"}],"meta":{"result_count":1,"next_token":"b"}}`,
				"b": `{"data":[{"id":"2","text":"b"}],"meta":{"result_count":1,"next_token":"c"}}`,
				"c": `{"meta":{"result_count":0}}`,
			}[r.URL.Query().Get("pagination_token")]
			_, _ = io.WriteString(w, page)
		})
		var ids []string
		var query UserTweetsQuery
		for pages := 1; ; pages++ {
			page, err := client.UserTweets(t.Context(), "1", query)
			require.NoError(t, err)
			for _, tweet := range page.Tweets {
				ids = append(ids, tweet.ID)
			}
			if query.PaginationToken = page.NextToken; query.PaginationToken == "" {
				require.Equal(t, 3, pages)
				break
			}
		}
		require.Equal(t, []string{"3", "2"}, ids)
	})

	t.Run("LongerThanOtherAnswers", func(t *testing.T) {
		t.Parallel()
		// A hundred long tweets in a script of three bytes a character.
		long := strings.Repeat("ह", 25000)
		body, err := json.Marshal(map[string]any{
			"data": slicesRepeat(100, func(i int) any {
				return map[string]any{"id": fmt.Sprint(i), "note_tweet": map[string]any{"text": long}}
			}),
			"meta": map[string]any{"result_count": 100},
		})
		require.NoError(t, err)
		require.Greater(t, len(body), 7*MaxBody)
		client, _ := reading(t, string(body))
		page, err := client.UserTweets(t.Context(), "1", UserTweetsQuery{MaxResults: 100})
		require.NoError(t, err)
		require.Len(t, page.Tweets, 100)
		require.Equal(t, long, page.Tweets[99].NoteTweet.Text)

		client, _ = reading(t, strings.Repeat(" ", MaxListBody)+wholePage)
		_, err = client.UserTweets(t.Context(), "1", UserTweetsQuery{})
		e := requireError(t, err, KindUnreadable)
		require.True(t, e.Answer.Truncated)
		require.Len(t, e.Answer.RawBody, MaxListBody)
	})

	t.Run("OddErrorsTakeNothing", func(t *testing.T) {
		t.Parallel()
		client, _ := reading(t, `{"data":[{"id":"7"}],"errors":["x",null,{"type":"https://api.x.com/2/problems/new","resource_id":7,"value":"8"}],"meta":{"result_count":1}}`)
		page, err := client.UserTweets(t.Context(), "1", UserTweetsQuery{})
		require.NoError(t, err)
		require.Len(t, page.Tweets, 1)
		require.Equal(t, []PartialError{{ResourceID: "8", Kind: KindOther, Type: "new"}}, page.Errors)
		client, _ = reading(t, `{"data":[{"id":"7"}],"errors":"x","meta":{"result_count":1}}`)
		page, err = client.UserTweets(t.Context(), "1", UserTweetsQuery{})
		require.NoError(t, err)
		require.Empty(t, page.Errors)
	})
}

func slicesRepeat(n int, item func(int) any) []any {
	items := make([]any, n)
	for i := range items {
		items[i] = item(i)
	}
	return items
}

func TestTweets(t *testing.T) {
	t.Parallel()

	t.Run("Some", func(t *testing.T) {
		t.Parallel()
		client, asked := reading(t, postPage)
		found, err := client.Tweets(t.Context(), []string{"2080761390344937796", "7", "11"})
		require.NoError(t, err)
		require.Equal(t, FoundTweets{Tweets: wholeTweets(), Includes: wholeIncludes(), Errors: wholeErrors(), Answer: found.Answer}, *found)
		require.Equal(t, "/2/tweets", asked.Path)
		require.Equal(t, "2080761390344937796,7,11", asked.Query().Get("ids"))
		require.Equal(t, tweetFields().Get("tweet.fields"), asked.Query().Get("tweet.fields"))
	})

	t.Run("None", func(t *testing.T) {
		t.Parallel()
		// The batch form as measured (usadamasa/twigpui, 2026-08-23), and a protected one.
		client, _ := reading(t, `{"errors":[
			{"value":"7","detail":"Could not find tweet with ids: [7].","title":"Not Found Error","resource_type":"tweet","parameter":"ids","resource_id":"7","type":"https://api.x.com/2/problems/resource-not-found"},
			{"value":"8","detail":"Sorry, you are not authorized to see the Tweet with ids: [8].","title":"Authorization Error","parameter":"ids","resource_id":"8","type":"https://api.twitter.com/2/problems/not-authorized-for-resource"}]}`)
		found, err := client.Tweets(t.Context(), []string{"7", "8"})
		require.NoError(t, err)
		require.Empty(t, found.Tweets)
		require.Equal(t, []PartialError{
			{ResourceID: "7", Parameter: "ids", Kind: KindNotFound, Type: "resource-not-found", Title: "Not Found Error", Detail: "Could not find tweet with ids: [7]."},
			{
				ResourceID: "8", Parameter: "ids", Kind: KindForbidden, Type: "not-authorized-for-resource", Title: "Authorization Error",
				Detail: "Sorry, you are not authorized to see the Tweet with ids: [8].",
			},
		}, found.Errors)
	})

	t.Run("ErrorsOfOthers", func(t *testing.T) {
		t.Parallel()
		client, _ := reading(t, `{"errors":[{"resource_id":"9","title":"Not Found Error","type":"https://api.x.com/2/problems/resource-not-found"}]}`)
		_, err := client.Tweets(t.Context(), []string{"7"})
		requireError(t, err, KindNotFound)
	})
}

func TestTweet(t *testing.T) {
	t.Parallel()

	t.Run("Whole", func(t *testing.T) {
		t.Parallel()
		for _, page := range []string{wholePage, postPage} {
			var list struct {
				Data             []json.RawMessage
				Includes, Errors json.RawMessage
			}
			require.NoError(t, json.Unmarshal([]byte(page), &list))
			client, asked := reading(t, fmt.Sprintf(`{"data":%s,"includes":%s,"errors":%s}`, list.Data[0], list.Includes, list.Errors))
			found, err := client.Tweet(t.Context(), "2080761390344937796")
			require.NoError(t, err)
			require.Equal(t, FoundTweet{Tweet: wholeTweets()[0], Includes: wholeIncludes(), Errors: wholeErrors(), Answer: found.Answer}, *found)
			require.Equal(t, "/2/tweets/2080761390344937796", asked.Path)
			require.Equal(t, tweetFields(), asked.Query())
		}
	})

	t.Run("WithoutTime", func(t *testing.T) {
		t.Parallel()
		client, _ := reading(t, `{"data":{"id":"7","text":"Hi","created_at":"lately"}}`)
		tweet, err := client.Tweet(t.Context(), "7")
		require.NoError(t, err)
		require.True(t, tweet.CreatedAt.IsZero())
	})
}

// TestReadsRefusedHere checks what never gets as far as a connection.
func TestReadsRefusedHere(t *testing.T) {
	t.Parallel()
	client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: roundTripper(
		func(*http.Request) (*http.Response, error) { panic("sent") })}})
	for _, ids := range [][]string{nil, make([]string, 101), {"7", "7,8"}, {""}} {
		_, err := client.Tweets(t.Context(), ids)
		requireError(t, err, KindInvalidRequest)
	}
	for _, query := range []UserTweetsQuery{{MaxResults: 4}, {MaxResults: 101}, {MaxResults: -1}, {SinceID: "x"}, {UntilID: "1&2"}} {
		_, err := client.UserTweets(t.Context(), "1", query)
		requireError(t, err, KindInvalidRequest)
	}
	_, err := client.UserTweets(t.Context(), "acme\n", UserTweetsQuery{})
	require.EqualError(t, err, `get tweets of user "acme ": invalid request: want an id of 1 to 19 digits`)
	for _, ids := range [][2]string{{"", "1"}, {"me", "1"}, {"1", ""}, {"1", `1"}`}, {"1", "1/2"}} {
		_, err := client.Retweet(t.Context(), ids[0], ids[1])
		requireError(t, err, KindInvalidRequest)
		_, err = client.UndoRetweet(t.Context(), ids[0], ids[1])
		requireError(t, err, KindInvalidRequest)
	}
	_, err = client.Retweet(t.Context(), "me", "1")
	require.EqualError(t, err, `retweet: invalid request: user id "me": want an id of 1 to 19 digits`)
	_, err = client.UndoRetweet(t.Context(), "1", "x")
	require.EqualError(t, err, `undo retweet "x": invalid request: want an id of 1 to 19 digits`)
}

func TestRetweet(t *testing.T) {
	t.Parallel()
	// answer returns a client of an X that answers so, and what it was sent.
	answer := func(t *testing.T, status int, body string) (*Client, *string) {
		t.Helper()
		sent := new(string)
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			got, _ := io.ReadAll(r.Body)
			*sent = r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(got)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}), sent
	}
	for name, tc := range map[string]struct {
		body string
		want Retweeted
	}{
		"RestID":      {`{"data":{"rest_id":"2055","retweeted":true}}`, Retweeted{Retweeted: true, ID: "2055"}},
		"ID":          {`{"data":{"id":"2055","retweeted":true}}`, Retweeted{Retweeted: true, ID: "2055"}},
		"RestIDFirst": {`{"data":{"id":"9","rest_id":"2055","retweeted":true}}`, Retweeted{Retweeted: true, ID: "2055"}},
		"EmptyRestID": {`{"data":{"id":"9","rest_id":"","retweeted":true}}`, Retweeted{Retweeted: true, ID: "9"}},
		"OddID":       {`{"data":{"rest_id":7,"retweeted":true}}`, Retweeted{Retweeted: true}},
		"NoID":        {`{"data":{"retweeted":true}}`, Retweeted{Retweeted: true}},
		"Not":         {`{"data":{"retweeted":false}}`, Retweeted{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, sent := answer(t, 200, tc.body)
			got, err := client.Retweet(t.Context(), "2244994945", "1445880548472328192")
			require.NoError(t, err)
			tc.want.Answer = got.Answer
			require.Equal(t, tc.want, *got)
			require.Equal(t, tc.body, string(got.Answer.RawBody))
			require.Equal(t, `POST /2/users/2244994945/retweets application/json {"tweet_id":"1445880548472328192"}`, *sent)
		})
	}
	for name, tc := range map[string]struct {
		status int
		body   string
	}{"Undo": {200, `{"data":{"retweeted":false}}`}, "UndoWith204": {204, ``}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, sent := answer(t, tc.status, tc.body)
			got, err := client.UndoRetweet(t.Context(), "2244994945", "1445880548472328192")
			require.NoError(t, err)
			require.False(t, got.Retweeted)
			require.Equal(t, tc.status, got.Answer.StatusCode)
			require.Equal(t, "DELETE /2/users/2244994945/retweets/1445880548472328192  ", *sent)
		})
	}
}

func TestMeWithFields(t *testing.T) {
	t.Parallel()
	client, asked := reading(t, `{"data":{"id":"1","username":"acme","name":"Acme","subscription_type":"PremiumPlus","verified_type":"blue"}}`)
	user, err := client.Me(t.Context(), "subscription_type", "verified_type")
	require.NoError(t, err)
	require.Equal(t, User{ID: "1", Username: "acme", Name: "Acme", SubscriptionType: "PremiumPlus", VerifiedType: "blue", Answer: user.Answer}, *user)
	require.Equal(t, url.Values{"user.fields": {"subscription_type,verified_type"}}, asked.Query())
}
