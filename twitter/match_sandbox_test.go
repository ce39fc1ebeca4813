package twitter_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// sentTweet is a request that X took, and the tweet's id.
type sentTweet struct {
	request twitter.TweetRequest
	sent    *twitter.Sent
	id      string
}

// TestMatchAtTheSandbox posts tweets that differ little or much, and reads them back in both ways. Each
// request must know its own tweet, and no other that differs in what X shows.
func TestMatchAtTheSandbox(t *testing.T) {
	t.Parallel()
	s := newX(t, sandbox.Config{DuplicateWindow: -1, Limits: []sandbox.Limit{}})
	client := s.client(t, s.oauth1(t))
	first := post(t, client, twitter.TweetRequest{Text: "The first"}).ID
	rapid.Check(t, func(rt *rapid.T) {
		var all []sentTweet
		others := []string{first}
		for range rapid.IntRange(1, 5).Draw(rt, "tweets") {
			request := drawRequest(rt, others)
			body, err := request.Encode()
			require.NoError(rt, err)
			created, err := client.CreateTweet(t.Context(), body)
			if err != nil { // such as an empty text
				rt.Logf("refused: %v", err)
				continue
			}
			sent, err := twitter.ParseSent(body)
			require.NoError(rt, err)
			all = append(all, sentTweet{request, sent, created.ID})
			others = append(others, created.ID)
		}
		if len(all) == 0 {
			return
		}
		before, ok := twitter.CreatedAt(all[0].id)
		require.True(rt, ok)
		page, err := client.UserTweets(t.Context(), s.user.ID, twitter.UserTweetsQuery{SinceID: twitter.IDAt(before), MaxResults: 100})
		require.NoError(rt, err)
		found, err := client.Tweets(t.Context(), others)
		require.NoError(rt, err)
		require.Len(rt, found.Tweets, len(others))
		requireOwn(rt, all, page.Tweets, page.Includes)
		requireOwn(rt, all, found.Tweets, found.Includes)
	})
}

// requireOwn compares each request with each tweet.
func requireOwn(t *rapid.T, all []sentTweet, tweets []twitter.Tweet, includes twitter.Includes) {
	t.Helper()
	byID := map[string]twitter.Tweet{}
	for _, tweet := range tweets {
		byID[tweet.ID] = tweet
	}
	for _, one := range all {
		require.Contains(t, slices.Collect(maps.Keys(byID)), one.id)
		for _, other := range all {
			evidence := one.sent.Match(byID[other.id], includes)
			if one.id == other.id {
				require.Equal(t, twitter.Same, evidence, "%+v shown as %+v", one.request, byID[one.id])
			} else if evidence == twitter.Same {
				require.Equal(t, visible(one.request), visible(other.request), "%q is not %q", one.request.Text, other.request.Text)
			}
		}
	}
}

var (
	mentionsFirst = regexp.MustCompile(`^(@\w+\s+)+`)
	schemes       = regexp.MustCompile(`(?i)https?://`)
)

// visible is what is compared of a request, by rules coarser than those of the client.
func visible(request twitter.TweetRequest) twitter.TweetRequest {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(request.Text)
	text = strings.TrimSpace(norm.NFC.String(text))
	if request.Reply != nil {
		text = mentionsFirst.ReplaceAllString(text, "")
	}
	text = schemes.ReplaceAllString(text, "")
	for _, slashed := range []string{"example.com/", "example.com:443", "example.com:80"} {
		text = strings.ReplaceAll(text, slashed, "example.com")
	}
	return twitter.TweetRequest{
		Text: text, Reply: request.Reply, QuoteTweetID: request.QuoteTweetID, Poll: request.Poll, ReplySettings: request.ReplySettings,
	}
}

// drawRequest makes a request that may refer to one of the other tweets.
func drawRequest(t *rapid.T, others []string) twitter.TweetRequest {
	request := twitter.TweetRequest{Text: drawText(t)}
	if rapid.IntRange(0, 3).Draw(t, "reply") == 0 {
		request.Reply = &twitter.Reply{InReplyToTweetID: rapid.SampledFrom(others).Draw(t, "parent")}
	}
	switch rapid.IntRange(0, 5).Draw(t, "attachment") {
	case 0:
		request.QuoteTweetID = rapid.SampledFrom(others).Draw(t, "quoted")
	case 1:
		request.Poll = &twitter.Poll{
			Options:         rapid.SliceOfN(rapid.SampledFrom([]string{"yes", "no", "R&D <3", "👍", "cafe\u0301", " maybe"}), 2, 4).Draw(t, "options"),
			DurationMinutes: rapid.IntRange(5, 7).Draw(t, "minutes"),
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "settings") == 0 {
		request.ReplySettings = "following"
	}
	if rapid.IntRange(0, 5).Draw(t, "geo") == 0 {
		request.Geo = &twitter.Geo{PlaceID: "df51dec6f4ee2b2c"}
	}
	return request
}

// drawText makes a text of few different parts, so that others are like it, or any text at all.
func drawText(t *rapid.T) string {
	if rapid.IntRange(0, 4).Draw(t, "any") == 0 {
		return rapid.String().Draw(t, "text")
	}
	text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(textParts()), 1, 12).Draw(t, "parts"), "")
	if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
		text += strings.Repeat(rapid.SampledFrom([]string{" word", "の", " example.com", "👍", "x", "&"}).Draw(t, "more"), 300)
	}
	return text
}

func textParts() []string {
	return []string{
		"word", "Word", "9", " ", " ", " ", "  ", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufe0f",
		"&", "<", ">", "&amp;", "&lt", `"`, ".", ",", "!", "(", ")", "-", "_", "/", "…", "@acme", "@acme ", "＠acme ", "#tag",
		"👍", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "é", "e\u0301", "\u0301", "の", "ü", "ß", "İ", "ﬁ", "①",
		"example.com", "https://example.com", "http://example.com/", "HTTPS://Example.com/a", "https://example.com:443/a", "example.com/a(b)",
		"https://example.com/%C3%A9?q=a&b=%26#c", "https://example.com/é", "https://example.com/a\u0301", "https://www.bücher.de/ü", "https://みんな.jp/",
		"archive.zip", "main.go", "v1.2", "example.nosuchtld", "a.b.example.co.uk", "https://example.com/" + strings.Repeat("a", 60),
		"https://t.co/abcDEF1234", "https://t.co/abc?a=1&b=2", "https://x.com/acme/status/20", "https://x.com/acme/status/20/photo/1",
	}
}
