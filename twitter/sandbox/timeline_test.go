package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// timeline reads a page of a user's tweets and returns their ids and the next token.
func (b *testBundle) timeline(who account, query string) ([]string, string) {
	b.t.Helper()
	got := b.do(b.acme, "GET", "/2/users/"+who.ID+"/tweets"+query, "")
	require.Equal(b.t, http.StatusOK, got.status, got.body)
	page := got.json(b.t)
	data, _ := page["data"].([]any)
	var ids []string
	for _, d := range data {
		ids = append(ids, d.(map[string]any)["id"].(string))
	}
	meta, _ := page["meta"].(map[string]any)
	require.InDelta(b.t, len(ids), meta["result_count"], 0)
	if len(ids) == 0 {
		require.Equal(b.t, map[string]any{"meta": map[string]any{"result_count": 0.0}}, page, "data is absent, and so are the ids")
		return nil, ""
	}
	require.Equal(b.t, ids[0], meta["newest_id"])
	require.Equal(b.t, ids[len(ids)-1], meta["oldest_id"])
	next, _ := meta["next_token"].(string)
	return ids, next
}

// addTweets adds n tweets of the user, a second apart and the last one now, and returns their ids,
// the newest first.
func (b *testBundle) addTweets(name string, n int) []string {
	b.t.Helper()
	ids := make([]string, n)
	for i := range n {
		at := b.now().Add(-time.Duration(i) * time.Second)
		tweet, err := b.server.AddTweet(sandbox.Tweet{Username: name, Text: fmt.Sprint("tweet ", i), CreatedAt: at})
		require.NoError(b.t, err)
		ids[i] = tweet.ID
	}
	return ids
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	other := b.user("other")
	ids, _ := b.timeline(b.acme, "")
	require.Empty(t, ids)
	first := b.mustPost(b.acme, "first")
	b.mustPost(other, "another's")
	second := b.mustPost(b.acme, "second")
	ids, next := b.timeline(b.acme, "")
	require.Equal(t, []string{second, first}, ids, "the newest first, and nobody else's")
	require.Empty(t, next)
	require.Equal(t, sandbox.OutcomeRead, b.last().Outcome)
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+second, "").status)
	ids, _ = b.timeline(b.acme, "")
	require.Equal(t, []string{first}, ids)

	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"promoted","nullcast":true}`)
	hidden, _ := got.data(t)["id"].(string)
	ids, _ = b.timeline(b.acme, "")
	require.Equal(t, []string{first}, ids, "nullcast is on no timeline")
	require.Equal(t, "promoted", b.do(b.acme, "GET", "/2/tweets/"+hidden, "").data(t)["text"])
}

func TestTimelinePages(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	all := b.addTweets("acme", 25)
	ids, next := b.timeline(b.acme, "")
	require.Equal(t, all[:10], ids, "10 unless asked")
	require.NotEmpty(t, next)

	var paged []string
	query := "?max_results=5"
	for page := range 5 {
		ids, next = b.timeline(b.acme, query)
		paged = append(paged, ids...)
		require.Equal(t, page < 4, next != "", "the last page has no next one")
		if page == 1 {
			b.mustPost(b.acme, "between two pages") // shifts nothing
		}
		query = "?max_results=5&pagination_token=" + next
	}
	require.Equal(t, all, paged)
	ids, next = b.timeline(b.acme, "?max_results=100")
	require.Len(t, ids, 26)
	require.Empty(t, next)
}

func TestTimelineBounds(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	all := b.addTweets("acme", 10) // all[i] is i seconds old
	at := func(i int) string {
		return url.QueryEscape(clock.Now().Add(-time.Duration(i) * time.Second).Format(time.RFC3339))
	}
	for query, want := range map[string][]string{
		"?since_id=" + all[4]:                               all[:4],
		"?until_id=" + all[4]:                               all[5:],
		"?since_id=" + all[6] + "&until_id=" + all[2]:       all[3:6],
		"?start_time=" + at(4):                              all[:5],
		"?end_time=" + at(4):                                all[5:],
		"?start_time=" + at(6) + "&end_time=" + at(2):       all[3:7],
		"?since_id=" + all[6] + "&end_time=" + at(2):        all[3:6],
		"?since_id=" + all[0]:                               nil,
		"?until_id=" + all[9]:                               nil,
		"?start_time=2026-11-23T13%3A00%3A00%2B01%3A00":     all[:1],
		"?since_id=1&max_results=100":                       all,
		"?start_time=2010-01-01T00:00:00Z":                  all,
		"?end_time=2010-01-01T00:00:00Z":                    nil,
		"?until_id=9999999999999999999&max_results=5":       all[:5],
		"?since_id=" + all[9] + "&exclude=replies,retweets": all[:9],
	} {
		ids, _ := b.timeline(b.acme, query)
		require.Equal(t, want, ids, query)
	}
}

func TestTimelineExclude(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	tweet := b.mustPost(b.acme, "tweet")
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"reply","reply":{"in_reply_to_tweet_id":"`+tweet+`"}}`)
	reply, _ := got.data(t)["id"].(string)
	source := b.mustPost(b.user("other"), "theirs")
	retweet, _ := b.retweet(b.acme, source).data(t)["rest_id"].(string)
	for query, want := range map[string][]string{
		"":                            {retweet, reply, tweet},
		"?exclude=replies":            {retweet, tweet},
		"?exclude=retweets":           {reply, tweet},
		"?exclude=replies,retweets":   {tweet},
		"?exclude=retweets%2Creplies": {tweet},
	} {
		ids, _ := b.timeline(b.acme, query)
		require.Equal(t, want, ids, query)
	}
	page := b.do(b.acme, "GET", "/2/users/"+b.acme.ID+"/tweets?tweet.fields=referenced_tweets&exclude=replies", "").json(t)
	first, _ := page["data"].([]any)[0].(map[string]any)
	require.Equal(t, "RT @other: theirs", first["text"])
	require.Equal(t, []any{map[string]any{"type": "retweeted", "id": source}}, first["referenced_tweets"])
}

// TestTimelineDepth: the last 3,200 tweets are within reach, 800 without replies.
func TestTimelineDepth(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	all := b.addTweets("acme", 3210)
	for query, depth := range map[string]int{"": 3200, "&exclude=replies": 800, "&exclude=retweets": 3200} {
		var seen []string
		for token := ""; ; {
			ids, next := b.timeline(b.acme, "?max_results=100"+query+token)
			seen = append(seen, ids...)
			if next == "" {
				break
			}
			token = "&pagination_token=" + next
		}
		require.Equal(t, all[:depth], seen, query)
	}
	ids, _ := b.timeline(b.acme, "?until_id="+all[3199])
	require.Empty(t, ids)
}

func TestTimelineRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	path := "/2/users/" + b.acme.ID + "/tweets"
	for query, want := range map[string]string{
		"?max_results=4":                   "The `max_results` query parameter value [4] is not between 5 and 100",
		"?max_results=101":                 "The `max_results` query parameter value [101] is not between 5 and 100",
		"?max_results=x":                   "The `max_results` query parameter value [x] is not between 5 and 100",
		"?since_id=x":                      "The `since_id` query parameter value [x] does not match ^[0-9]{1,19}$",
		"?until_id=-1":                     "The `until_id` query parameter value [-1] does not match ^[0-9]{1,19}$",
		"?start_time=yesterday":            "The `start_time` query parameter value [yesterday] is not a valid RFC3339 date",
		"?end_time=2026-11-23":             "The `end_time` query parameter value [2026-11-23] is not a valid RFC3339 date",
		"?exclude=quotes":                  "The `exclude` query parameter value [quotes] is not one of [replies,retweets]",
		"?pagination_token=abc":            "The `pagination_token` query parameter value [abc] is not valid",
		"?expansions=bogus":                "The `expansions` query parameter value [bogus] is not one of [attachments.media_keys,attachments.poll_ids,author_id,geo.place_id,in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id]",
		"?expansions=bogus&post.fields=id": "The `expansions` query parameter value [bogus] is not one of [attachments.media_keys,attachments.poll_ids,author_id,geo.place_id,in_reply_to_user_id,referenced_posts.id,referenced_posts.id.author_id]",
		"?poll.fields=x":                   "The `poll.fields` query parameter value [x] is not one of [duration_minutes,end_datetime,id,options,voting_status]",
	} {
		require.Equal(t, []string{want}, b.do(b.acme, "GET", path+query, "").messages(t))
	}
	got := b.do(b.acme, "GET", path+"?max_results=4&since_id=x", "").messages(t)
	require.Len(t, got, 2)
	require.True(t, slices.IsSorted(got))
	require.Equal(t, []string{"The `id` query parameter value [me] does not match ^[0-9]{1,19}$"}, b.do(b.acme, "GET", "/2/users/me/tweets", "").messages(t))

	missing := b.do(b.acme, "GET", "/2/users/1/tweets", "")
	require.Equal(t, http.StatusOK, missing.status)
	require.Equal(t, `{"errors":[{"detail":"Could not find user with id: [1].","parameter":"id","resource_id":"1","resource_type":"user",`+
		`"title":"Not Found Error","type":"https://api.twitter.com/2/problems/resource-not-found","value":"1"}]}`, missing.body)
}
