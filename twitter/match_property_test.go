package twitter

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestMatchNeverTakesAnother changes one thing in a tweet that is the one that was sent, as another
// tweet would differ. It must no longer be the same.
func TestMatchNeverTakesAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		request, tweet, includes := drawShown(t)
		body, err := request.Encode()
		require.NoError(t, err)
		sent, err := ParseSent(body)
		require.NoError(t, err)
		require.Equal(t, Same, sent.Match(tweet, includes), "%s shown as %+v", body, tweet)
		for name, change := range changes(request) {
			changed, others := tweet, Includes{Polls: slices.Clone(includes.Polls)}
			changed.ReferencedTweets, changed.MediaKeys = slices.Clone(tweet.ReferencedTweets), slices.Clone(tweet.MediaKeys)
			changed.URLs = slices.Clone(tweet.URLs)
			change(&changed, &others)
			require.NotEqual(t, Same, sent.Match(changed, others), "%s: %s shown as %+v", name, body, changed)
		}
	})
}

// changes are the ways in which another tweet may differ.
func changes(request TweetRequest) map[string]func(*Tweet, *Includes) {
	text := func(change func(string) string) func(*Tweet, *Includes) {
		return func(t *Tweet, _ *Includes) {
			t.Text = change(t.Text)
			if t.NoteTweet != nil {
				t.NoteTweet = &NoteTweet{Text: change(t.NoteTweet.Text), URLs: t.NoteTweet.URLs}
			}
		}
	}
	all := map[string]func(*Tweet, *Includes){
		"AnotherWord":     text(func(text string) string { return strings.Replace(text, "word", "sword", 1) }),
		"FewerWords":      text(func(text string) string { return strings.Replace(text, "word", "", 1) }),
		"MoreWords":       text(func(text string) string { return text + " more" }),
		"MoreWordsBefore": text(func(text string) string { return "more " + text }),
		"Retweet":         func(t *Tweet, _ *Includes) { *t = t.refersTo("retweeted", "5") },
	}
	if request.Reply == nil {
		all["Reply"] = func(t *Tweet, _ *Includes) { *t = t.refersTo("replied_to", "5") }
	} else {
		all["NoReply"] = func(t *Tweet, _ *Includes) { t.ReferencedTweets = nil }
		all["AnotherReply"] = func(t *Tweet, _ *Includes) { t.ReferencedTweets[0].ID = "999" }
	}
	if request.QuoteTweetID == "" {
		all["Quote"] = func(t *Tweet, _ *Includes) { *t = t.refersTo("quoted", "5") }
	} else {
		all["AnotherQuote"] = func(t *Tweet, _ *Includes) { t.ReferencedTweets[len(t.ReferencedTweets)-1].ID = "999" }
	}
	if request.Media == nil {
		all["Media"] = func(t *Tweet, _ *Includes) { *t = t.hasMedia("3_5") }
	} else {
		all["AnotherMedia"] = func(t *Tweet, _ *Includes) { t.MediaKeys[0] += "9" }
		all["FewerMedia"] = func(t *Tweet, _ *Includes) { t.MediaKeys = t.MediaKeys[1:] }
	}
	if request.Poll == nil {
		all["Poll"] = func(t *Tweet, _ *Includes) { t.PollIDs = []string{"9"} }
	} else {
		all["AnotherOption"] = func(_ *Tweet, i *Includes) {
			i.Polls[0].Options = append(slices.Clone(i.Polls[0].Options[1:]), "another")
		}
	}
	if strings.Contains(request.Text, "example") {
		all["AnotherLink"] = func(t *Tweet, _ *Includes) { t.URLs[0].ExpandedURL += "/else" }
	}
	return all
}

// drawShown makes a request, and the tweet that X would make of it by its documents.
func drawShown(t *rapid.T) (TweetRequest, Tweet, Includes) {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"word", "R&D", "<3", "👍", "&amp;", "の", "é", "\n", "1", "https://example.com/a?b=1&c=2", "example.org", "@bob", "archive.zip",
	}), 0, 12).Draw(t, "parts")
	parts = slices.Insert(parts, rapid.IntRange(0, len(parts)).Draw(t, "at"), "word")
	request := TweetRequest{Text: strings.Join(parts, " ")}
	tweet := shows("")
	for i, part := range parts {
		if strings.HasPrefix(part, "https://example") || part == "example.org" {
			slug := fmt.Sprintf("%d", i)
			tweet.URLs = append(tweet.URLs, leads(slug, "http://"+strings.TrimPrefix(part, "https://")))
			part = "https://t.co/" + slug
		}
		tweet.Text += " " + html.EscapeString(part)
	}
	if rapid.Bool().Draw(t, "reply") {
		request.Reply = &Reply{InReplyToTweetID: "50"}
		tweet = tweet.refersTo("replied_to", "50")
		if rapid.Bool().Draw(t, "mention") {
			tweet.Text = "@alice" + tweet.Text
		}
	}
	var includes Includes
	switch rapid.IntRange(0, 3).Draw(t, "attachment") {
	case 0:
		request.QuoteTweetID = "60"
		tweet = tweet.refersTo("quoted", "60")
		tweet.Text += " https://t.co/quoted"
		tweet.URLs = append(tweet.URLs, leads("quoted", "https://twitter.com/alice/status/60"))
	case 1:
		request.Media = &Media{MediaIDs: []string{"81", "82"}}
		tweet = tweet.hasMedia("3_82", "3_81")
		tweet.Text += " https://t.co/media"
		tweet.URLs = append(tweet.URLs, photo("media"), photo("media"))
	case 2:
		request.Poll = &Poll{Options: []string{"yes", "no"}, DurationMinutes: 60}
		tweet.PollIDs = []string{"9"}
		includes.Polls = []IncludedPoll{{ID: "9", Options: []string{"yes", "no"}, DurationMinutes: 60}}
	}
	if rapid.IntRange(0, 3).Draw(t, "note") == 0 {
		tweet.NoteTweet = &NoteTweet{Text: tweet.Text}
		tweet.Text = "…"
	}
	return request, tweet, includes
}

// FuzzMatch compares any request with any answer. A tweet that is the same is not when it goes on.
func FuzzMatch(f *testing.F) {
	for _, body := range []string{
		helloBody, `{}`, `{"text":""}`, `{"text":"Hello","reply":{"in_reply_to_tweet_id":"5"},"quote_tweet_id":"6"}`,
		`{"text":"R&D <b> https://example.com/a?b=1&c=2 é","media":{"media_ids":["5","6"]},"nullcast":true}`,
		`{"text":"Tea?","poll":{"options":["yes","no"],"duration_minutes":60}}`, `{"text":7,"edit_options":{"previous_post_id":"1"}}`,
		`{"text":"` + strings.Repeat("a.co/ ", 100) + `"}`,
	} {
		var sent struct {
			Text string `json:"text"`
		}
		_ = json.Unmarshal([]byte(body), &sent)
		answer, err := json.Marshal(map[string]any{"data": []any{map[string]any{
			"id": "70", "author_id": "1", "text": html.EscapeString(sent.Text), "edit_history_tweet_ids": []string{"70"},
		}}, "meta": map[string]any{"result_count": 1}})
		require.NoError(f, err)
		f.Add([]byte(body), answer)
		f.Add([]byte(body), []byte(wholePage))
		f.Add([]byte(body), []byte(postPage))
	}
	f.Fuzz(func(t *testing.T, body, answer []byte) {
		sent, err := ParseSent(body)
		if err != nil {
			return
		}
		_ = sent.Hidden()
		var page TweetPage
		_ = page.decode(call{op: "get tweets", method: http.MethodGet}, Answer{StatusCode: http.StatusOK, RawBody: answer})
		for _, tweet := range page.Tweets {
			evidence := sent.Match(tweet, page.Includes)
			require.Contains(t, []Evidence{Different, Possible, Same}, evidence)
			require.Equal(t, Different, sent.Match(tweet.refersTo("retweeted", "5"), page.Includes))
			if evidence != Same {
				continue
			}
			require.NotEmpty(t, tweet.AuthorID)
			tweet.Text += " zebra"
			if tweet.NoteTweet != nil {
				tweet.NoteTweet = &NoteTweet{Text: tweet.NoteTweet.Text + " zebra", URLs: tweet.NoteTweet.URLs}
			}
			require.NotEqual(t, Same, sent.Match(tweet, page.Includes))
		}
	})
}

// BenchmarkMatch compares a request with its own tweet, with another, and a long one with another.
func BenchmarkMatch(b *testing.B) {
	long := strings.Repeat("word example.com ", 800)
	for name, c := range map[string]struct{ sent, shown string }{
		"Same":      {"R&D at https://example.com/a on Monday", "R&amp;D at https://t.co/a on Monday"},
		"Different": {"R&D at https://example.com/a on Monday", "Some other text, of the same length"},
		"Long":      {long, strings.Repeat("word https://t.co/a ", 799) + "end"},
	} {
		b.Run(name, func(b *testing.B) {
			body, err := TweetRequest{Text: c.sent}.Encode()
			require.NoError(b, err)
			sent, err := ParseSent(body)
			require.NoError(b, err)
			tweet := shows(c.shown, leads("a", "https://example.com/a"))
			b.ReportAllocs()
			for b.Loop() {
				sent.Match(tweet, Includes{})
			}
		})
	}
}
