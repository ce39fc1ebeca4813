package twitter

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		request TweetRequest
		want    string
	}{
		"Nothing": {TweetRequest{}, `{}`},
		"Text":    {TweetRequest{Text: "a <b> & \"c\" \\ \n 💡"}, `{"text":"a <b> & \"c\" \\ \n 💡"}`},
		"Everything": {
			TweetRequest{
				Text: "Hi", Reply: &Reply{InReplyToTweetID: "1", ExcludeReplyUserIDs: []string{"2"}}, QuoteTweetID: "3",
				Media: &Media{MediaIDs: []string{"4"}, TaggedUserIDs: []string{"5"}}, Geo: &Geo{PlaceID: "df51dec6f4ee2b2c"},
				Poll: &Poll{Options: []string{"a", "<b>"}, DurationMinutes: 5}, ReplySettings: "following", CommunityID: "6",
				MadeWithAI: true, PaidPartnership: true,
				Extra: map[string]json.RawMessage{"nullcast": json.RawMessage("true"), "card_uri": json.RawMessage(` "card://<1>" `)},
			},
			`{"card_uri":"card://<1>","community_id":"6","geo":{"place_id":"df51dec6f4ee2b2c"},"made_with_ai":true,` +
				`"media":{"media_ids":["4"],"tagged_user_ids":["5"]},"nullcast":true,"paid_partnership":true,` +
				`"poll":{"options":["a","<b>"],"duration_minutes":5},"quote_tweet_id":"3",` +
				`"reply":{"in_reply_to_tweet_id":"1","exclude_reply_user_ids":["2"]},"reply_settings":"following","text":"Hi"}`,
		},
		"Bare": {
			TweetRequest{Reply: &Reply{InReplyToTweetID: "1"}, Media: &Media{MediaIDs: []string{"4"}}},
			`{"media":{"media_ids":["4"]},"reply":{"in_reply_to_tweet_id":"1"}}`,
		},
		"ExtraInObjects": {
			TweetRequest{
				Media: &Media{MediaIDs: []string{"4"}}, Reply: &Reply{InReplyToTweetID: "1"}, Poll: &Poll{Options: []string{"<a>", "b"}, DurationMinutes: 5},
				Extra: map[string]json.RawMessage{
					"media": json.RawMessage(`{"title":"<T>","embeddable":true,"call_to_actions":{"visit_site":{"url":"https://x.com/?a&b"}}}`),
					"reply": json.RawMessage(`{"auto_populate_reply_metadata":true,"exclude_reply_user_ids":["9"]}`),
					"poll":  json.RawMessage(`{"reply_settings":"following"}`), "edit_options": json.RawMessage(`{"previous_post_id":"3"}`),
				},
			},
			`{"edit_options":{"previous_post_id":"3"},` +
				`"media":{"call_to_actions":{"visit_site":{"url":"https://x.com/?a&b"}},"embeddable":true,"media_ids":["4"],"title":"<T>"},` +
				`"poll":{"duration_minutes":5,"options":["<a>","b"],"reply_settings":"following"},` +
				`"reply":{"auto_populate_reply_metadata":true,"exclude_reply_user_ids":["9"],"in_reply_to_tweet_id":"1"}}`,
		},
		"ExtraWithAnEmptyObject": {
			TweetRequest{Geo: &Geo{PlaceID: "1"}, Extra: map[string]json.RawMessage{"geo": json.RawMessage(`{}`)}},
			`{"geo":{"place_id":"1"}}`,
		},
		"ExtraUnderAFreeName": {
			TweetRequest{Text: "Hi", Extra: map[string]json.RawMessage{"reply": json.RawMessage(`{"x":1}`)}},
			`{"reply":{"x":1},"text":"Hi"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 10 {
				got, err := tc.request.Encode()
				require.NoError(t, err)
				require.Equal(t, tc.want, string(got))
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	_, err := TweetRequest{
		Text: "caf\xe9", Poll: &Poll{Options: []string{"a", "\xff"}},
		Extra: map[string]json.RawMessage{
			"text": json.RawMessage(`{"x":1}`), "poll": json.RawMessage(`{"options":["c","d"],"duration_minutes":1}`), "a": nil, "b": json.RawMessage(`{`), "c": json.RawMessage("\"\xff\""),
		},
	}.Encode()
	require.Equal(t, strings.Join([]string{
		"encode tweet: text is not valid UTF-8", "poll option 2 is not valid UTF-8", `extra "a" is not valid JSON`,
		`extra "b" is not valid JSON`, `extra "c" is not valid JSON`, `extra has "poll.duration_minutes", which is set already`,
		`extra has "poll.options", which is set already`,
		`extra has "text", which is set already`,
	}, "\n"), err.Error())

	for name, value := range map[string]string{"media": `null`, "reply": `["1"]`, "geo": `"x"`, "reply_settings": `{}`, "made_with_ai": `false`} {
		_, err := TweetRequest{
			Media: &Media{MediaIDs: []string{"4"}}, Reply: &Reply{InReplyToTweetID: "1"}, Geo: &Geo{PlaceID: "1"}, ReplySettings: "verified",
			MadeWithAI: true, Extra: map[string]json.RawMessage{name: json.RawMessage(value)},
		}.Encode()
		require.EqualError(t, err, `encode tweet: extra has "`+name+`", which is set already`)
	}
}
