package sandbox_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestSelfServe has the refusals as they were captured.
func TestSelfServe(t *testing.T) {
	t.Parallel()
	const newer = `{"detail":"You can only reply to or quote posts where you are mentioned or are the author.","status":403,` +
		`"title":"Authorization Error","type":"https://api.x.com/2/problems/not-authorized-for-resource"}`
	about := func(detail string) string {
		return `{"detail":"` + detail + `","type":"about:blank","title":"Forbidden","status":403}`
	}
	tags := about("Posts are limited to a maximum of one cashtag")
	for mode, want := range map[sandbox.SelfServe]struct{ reply, quote, tags string }{
		"":                     {newer, newer, tags},
		sandbox.SelfServeNewer: {newer, newer, tags},
		sandbox.SelfServeOlder: {
			about("Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to."),
			about("Quoting this post is not allowed because you have not been mentioned or are not part of the conversation thread of the post you are quoting."),
			tags,
		},
		sandbox.SelfServeOff: {},
	} {
		t.Run("Mode"+string(mode), func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{SelfServe: mode})
			other := b.user("other")
			mine := b.mustPost(b.acme, "mine")
			theirs := b.mustPost(other, "theirs, of @acmes")
			mention := b.mustPost(other, "hello @ACME!")
			quoting, err := b.server.AddTweet(sandbox.Tweet{Username: "other", Text: "look", Quoted: mine})
			require.NoError(t, err)
			replyTo := func(text, id string) reply {
				return b.do(b.acme, "POST", "/2/tweets", `{"text":"`+text+`","reply":{"in_reply_to_tweet_id":"`+id+`"}}`)
			}
			quote := func(text, id string) reply {
				return b.do(b.acme, "POST", "/2/tweets", `{"text":"`+text+`","quote_tweet_id":"`+id+`"}`)
			}
			check := func(got reply, refusal string) {
				t.Helper()
				if refusal == "" {
					require.Equal(t, http.StatusCreated, got.status, got.body)
					return
				}
				require.Equal(t, http.StatusForbidden, got.status)
				require.Equal(t, refusal, got.body)
			}
			check(replyTo("to mine", mine), "")
			check(replyTo("to a mention", mention), "")
			check(replyTo("to a quote", quoting.ID), "")
			check(replyTo("to theirs", theirs), want.reply)
			check(quote("of mine", mine), "")
			check(quote("of a mention", mention), "")
			check(quote("of a quote", quoting.ID), "")
			check(quote("of theirs", theirs), want.quote)
			check(b.post(b.acme, "buy $X"), "")
			check(b.post(b.acme, "buy $X or $Y"), want.tags)
			check(b.post(b.acme, "costs $5 or $6"), "")
			require.Contains(t, replyTo("to nothing", "1").body, "deleted or not visible", "is gone first of all")
			require.Equal(t, []string{"Your quote tweet ID is invalid."}, quote("of nothing", "1").messages(t))
		})
	}
}
