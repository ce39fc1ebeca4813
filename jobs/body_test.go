package jobs

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// The bytes are what the request records and what X gets: a change of them is a change of behaviour.
func TestPostBodyIsGolden(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tweet    store.Tweet
		previous string
		want     string
	}{
		"Text":        {tweet: store.Tweet{Text: "Hi"}, want: `{"text":"Hi"}`},
		"TextAsItIs":  {tweet: store.Tweet{Text: "<b> & \"q\" \n\u2028 の 👩‍👩‍👧"}, want: `{"text":"<b> & \"q\" \n\u2028 の 👩‍👩‍👧"}`},
		"SpaceIsKept": {tweet: store.Tweet{Text: "  Hi "}, want: `{"text":"  Hi "}`},
		"Reply":       {tweet: store.Tweet{Text: "Hi", InReplyToTweetID: new("12")}, want: `{"reply":{"in_reply_to_tweet_id":"12"},"text":"Hi"}`},
		"ReplyExcludes": {
			tweet: store.Tweet{Text: "Hi", InReplyToTweetID: new("12"), ExcludeReplyUserIDs: []string{"3", "4"}},
			want:  `{"reply":{"in_reply_to_tweet_id":"12","exclude_reply_user_ids":["3","4"]},"text":"Hi"}`,
		},
		"ThreadRepliesToThePreviousTweet": {
			tweet: store.Tweet{Text: "2/2", PreviousID: new(int64(6))}, previous: "1445880548472328192",
			want: `{"reply":{"in_reply_to_tweet_id":"1445880548472328192"},"text":"2/2"}`,
		},
		"ThreadExcludes": {
			tweet:    store.Tweet{Text: "2/2", PreviousID: new(int64(6)), ExcludeReplyUserIDs: []string{"3"}},
			previous: "12",
			want:     `{"reply":{"in_reply_to_tweet_id":"12","exclude_reply_user_ids":["3"]},"text":"2/2"}`,
		},
		"Quote": {tweet: store.Tweet{Text: "Hi", QuoteTweetID: new("12")}, want: `{"quote_tweet_id":"12","text":"Hi"}`},
		"MediaAlone": {
			tweet: store.Tweet{MediaIDs: []string{"1", "2"}},
			want:  `{"media":{"media_ids":["1","2"]}}`,
		},
		"MediaWithTags": {
			tweet: store.Tweet{Text: "Hi", MediaIDs: []string{"1"}, TaggedUserIDs: []string{"8", "9"}},
			want:  `{"media":{"media_ids":["1"],"tagged_user_ids":["8","9"]},"text":"Hi"}`,
		},
		"Poll": {
			tweet: store.Tweet{Text: "Hi", PollOptions: []string{"yes", "no"}, PollDurationMinutes: new(60)},
			want:  `{"poll":{"options":["yes","no"],"duration_minutes":60},"text":"Hi"}`,
		},
		"Place":           {tweet: store.Tweet{Text: "Hi", PlaceID: new("df51dec6f4ee2b2c")}, want: `{"geo":{"place_id":"df51dec6f4ee2b2c"},"text":"Hi"}`},
		"ReplySettings":   {tweet: store.Tweet{Text: "Hi", ReplySettings: new("following")}, want: `{"reply_settings":"following","text":"Hi"}`},
		"Community":       {tweet: store.Tweet{Text: "Hi", CommunityID: new("5")}, want: `{"community_id":"5","text":"Hi"}`},
		"MadeWithAI":      {tweet: store.Tweet{Text: "Hi", MadeWithAI: new(true)}, want: `{"made_with_ai":true,"text":"Hi"}`},
		"NotMadeWithAI":   {tweet: store.Tweet{Text: "Hi", MadeWithAI: new(false)}, want: `{"text":"Hi"}`},
		"PaidPartnership": {tweet: store.Tweet{Text: "Hi", PaidPartnership: new(true)}, want: `{"paid_partnership":true,"text":"Hi"}`},
		"ExtraAsItIs": {
			tweet: store.Tweet{Text: "Hi", Extra: json.RawMessage(`{"nullcast": true, "card_uri": "a<b", "zeta": {"n": 1.10}}`)},
			want:  `{"card_uri":"a<b","nullcast":true,"text":"Hi","zeta":{"n":1.10}}`,
		},
		"ExtraInReply": {
			tweet: store.Tweet{InReplyToTweetID: new("1"), Extra: json.RawMessage(`{"reply":{"auto_populate_reply_metadata":true}}`)},
			want:  `{"reply":{"auto_populate_reply_metadata":true,"in_reply_to_tweet_id":"1"}}`,
		},
		"ExtraAlone": {tweet: store.Tweet{Extra: json.RawMessage(`{"card_uri":"x"}`)}, want: `{"card_uri":"x"}`},
		"OursStaysHere": {
			tweet: store.Tweet{Text: "Hi", IfUnconfirmed: "hold", IdempotencyKey: new("k"), Metadata: json.RawMessage(`{"a":1}`)},
			want:  `{"text":"Hi"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row := &store.Row{Kind: store.PostTweet, Tweet: test.tweet}
			if test.previous != "" {
				row.PreviousTweetID = &test.previous
			}
			body, err := postBody(row)
			require.NoError(t, err)
			require.Equal(t, test.want, string(body))
			require.True(t, json.Valid(body))
		})
	}
}

func TestPostBodyRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tweet store.Tweet
		want  string
	}{
		"ExtraSetsText":   {store.Tweet{Text: "Hi", Extra: json.RawMessage(`{"text":"other"}`)}, `extra has "text"`},
		"ExtraSetsReply":  {store.Tweet{Text: "Hi", InReplyToTweetID: new("1"), Extra: json.RawMessage(`{"reply":{"in_reply_to_tweet_id":"2"}}`)}, `extra has "reply.in_reply_to_tweet_id"`},
		"ExtraIsAnArray":  {store.Tweet{Text: "Hi", Extra: json.RawMessage(`[1]`)}, "decode extra"},
		"TextIsNotUTF8":   {store.Tweet{Text: "\xff"}, "not valid UTF-8"},
		"OptionIsNotUTF8": {store.Tweet{Text: "Hi", PollOptions: []string{"a", "\xff"}, PollDurationMinutes: new(5)}, "poll option 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := postBody(&store.Row{Kind: store.PostTweet, Tweet: test.tweet})
			require.ErrorContains(t, err, test.want)
		})
	}
}
