package twitter

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// pair is a request, a tweet, and what the one is to the other.
type pair struct {
	sent     string // the body
	tweet    Tweet
	includes Includes
	want     Evidence
}

// shows is a tweet of text alone, as X's answers have it.
func shows(text string, urls ...URLEntity) Tweet {
	return Tweet{ID: "70", AuthorID: "1", Text: text, URLs: urls, EditHistoryTweetIDs: []string{"70"}, ReplySettings: "everyone"}
}

func (t Tweet) with(change func(*Tweet)) Tweet {
	change(&t)
	return t
}

func (t Tweet) refersTo(kind, id string) Tweet {
	t.ReferencedTweets = append(slices.Clip(t.ReferencedTweets), ReferencedTweet{Type: kind, ID: id})
	return t
}

func (t Tweet) hasMedia(keys ...string) Tweet {
	t.MediaKeys = keys
	return t
}

func (t Tweet) versions(ids ...string) Tweet {
	t.EditHistoryTweetIDs = ids
	return t
}

func TestRetweetsOfATweet(t *testing.T) {
	t.Parallel()
	tweet := shows("RT @acme: Doors open").refersTo("retweeted", "5").refersTo("quoted", "6")
	require.True(t, tweet.Retweets("5"))
	require.False(t, tweet.Retweets("6"), "it quotes that")
	require.False(t, tweet.Retweets("70"), "itself")
	require.False(t, shows("Doors open").Retweets(""))
}

// leads is a t.co link and where it leads.
func leads(slug, to string) URLEntity {
	return URLEntity{URL: "https://t.co/" + slug, ExpandedURL: to}
}

// photo is the link that X adds for media.
func photo(slug string) URLEntity {
	return URLEntity{URL: "https://t.co/" + slug, ExpandedURL: "https://x.com/acme/status/70/photo/1", MediaKey: "3_5"}
}

func requirePairs(t *testing.T, pairs map[string]pair) {
	t.Helper()
	for name, p := range pairs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, err := ParseSent([]byte(p.sent))
			require.NoError(t, err)
			require.Equal(t, p.want.String(), sent.Match(p.tweet, p.includes).String())
		})
	}
}

// TestMatchText compares texts without links.
func TestMatchText(t *testing.T) {
	t.Parallel()
	requirePairs(t, map[string]pair{
		"Equal":             {sent: `{"text":"Doors open at 9"}`, tweet: shows("Doors open at 9"), want: Same},
		"AnotherWord":       {sent: `{"text":"Doors open at 9"}`, tweet: shows("Doors close at 9"), want: Different},
		"AnotherDigit":      {sent: `{"text":"Doors open at 9"}`, tweet: shows("Doors open at 8"), want: Different},
		"More":              {sent: `{"text":"Doors open"}`, tweet: shows("Doors open at 9"), want: Different},
		"Less":              {sent: `{"text":"Doors open at 9"}`, tweet: shows("Doors open"), want: Different},
		"Case":              {sent: `{"text":"Doors open at 9"}`, tweet: shows("doors OPEN at 9"), want: Possible},
		"Punctuation":       {sent: `{"text":"Doors open at 9!"}`, tweet: shows("Doors open at 9."), want: Possible},
		"TwoSpaces":         {sent: `{"text":"Doors  open"}`, tweet: shows("Doors open"), want: Possible},
		"Untrimmed":         {sent: `{"text":"\n Doors open\u3000\n"}`, tweet: shows("Doors open"), want: Same},
		"UntrimmedHere":     {sent: `{"text":"Doors open"}`, tweet: shows(" Doors open\n"), want: Same},
		"CRLF":              {sent: `{"text":"Doors\r\nopen\rnow"}`, tweet: shows("Doors\nopen\nnow"), want: Same},
		"LineForSpace":      {sent: `{"text":"Doors open"}`, tweet: shows("Doors\nopen"), want: Possible},
		"NFDSent":           {sent: `{"text":"cafe\u0301"}`, tweet: shows("caf\u00e9"), want: Same},
		"NFDShown":          {sent: `{"text":"caf\u00e9"}`, tweet: shows("cafe\u0301"), want: Same},
		"NFDBoth":           {sent: `{"text":"cafe\u0301"}`, tweet: shows("cafe\u0301"), want: Same},
		"NoAccent":          {sent: `{"text":"caf\u00e9"}`, tweet: shows("cafe"), want: Different},
		"ZeroWidth":         {sent: `{"text":"Doors\u200b open\u2060"}`, tweet: shows("Doors open"), want: Possible},
		"ZeroWidthKept":     {sent: `{"text":"Doors\u200b open\u2060"}`, tweet: shows("Doors\u200b open\u2060"), want: Same},
		"FullWidth":         {sent: `{"text":"ＡＢＣ１"}`, tweet: shows("ABC1"), want: Possible},
		"HTML":              {sent: `{"text":"R&D <b> x>1 & \"y\""}`, tweet: shows(`R&amp;D &lt;b&gt; x&gt;1 &amp; "y"`), want: Same},
		"HTMLUnescaped":     {sent: `{"text":"R&D <b>"}`, tweet: shows("R&D <b>"), want: Same},
		"HTMLInText":        {sent: `{"text":"write &amp; for &"}`, tweet: shows("write &amp;amp; for &amp;"), want: Same},
		"HTMLInTextNot":     {sent: `{"text":"Tom &amp; Jerry"}`, tweet: shows("Tom &amp; Jerry"), want: Possible},
		"HTMLInTextNotTwo":  {sent: `{"text":"Tom &amp;amp; Jerry"}`, tweet: shows("Tom &amp;amp; Jerry"), want: Possible},
		"HTMLOther":         {sent: `{"text":"Tom & Jerry"}`, tweet: shows("Tom &amp; Harry"), want: Different},
		"Emoji":             {sent: `{"text":"👍"}`, tweet: shows("👍"), want: Same},
		"AnotherEmoji":      {sent: `{"text":"👍"}`, tweet: shows("👎"), want: Different},
		"EmojiVariant":      {sent: `{"text":"❤\ufe0f"}`, tweet: shows("❤"), want: Possible},
		"EmojiAndSpace":     {sent: `{"text":"👍 👍"}`, tweet: shows("👍👍"), want: Possible},
		"EmojiForWord":      {sent: `{"text":"yes"}`, tweet: shows("👍"), want: Different},
		"WordForEmoji":      {sent: `{"text":"👍"}`, tweet: shows("yes"), want: Different},
		"WordAndEmoji":      {sent: `{"text":"Launch 🚀"}`, tweet: shows("Launch 🎉"), want: Possible},
		"Punctuated":        {sent: `{"text":"..."}`, tweet: shows("???"), want: Different},
		"Nothing":           {sent: `{}`, tweet: shows(""), want: Possible},
		"NothingSent":       {sent: `{"text":" "}`, tweet: shows("Doors open"), want: Different},
		"NothingShown":      {sent: `{"text":"Doors open"}`, tweet: shows(""), want: Different},
		"NameIsExact":       {sent: `{"text":"Doors open","TEXT":"Hello"}`, tweet: shows("Doors open"), want: Same},
		"NotOfX":            {sent: `{"text":"Doors open","lang":7}`, tweet: shows("Doors open"), want: Same},
		"Null":              {sent: `{"text":"Doors open","poll":null,"reply":null}`, tweet: shows("Doors open"), want: Same},
		"WrongForm":         {sent: `{"text":"Doors open","reply":"70"}`, tweet: shows("Doors open"), want: Possible},
		"WrongText":         {sent: `{"text":7}`, tweet: shows("Doors open"), want: Possible},
		"WrongFormRetweet":  {sent: `{"text":7}`, tweet: shows("Doors open").refersTo("retweeted", "5"), want: Different},
		"Retweet":           {sent: `{"text":"RT @acme: Doors open"}`, tweet: shows("RT @acme: Doors open").refersTo("retweeted", "5"), want: Different},
		"AuthorUntold":      {sent: `{"text":"Doors open"}`, tweet: Tweet{ID: "70", Text: "Doors open"}, want: Possible},
		"AuthorUntoldOther": {sent: `{"text":"Doors open"}`, tweet: Tweet{ID: "70", Text: "Doors close"}, want: Different},
	})
}

// TestMatchReferences compares what a tweet replies to and quotes.
func TestMatchReferences(t *testing.T) {
	t.Parallel()
	const reply, quote = `{"text":"Thanks","reply":{"in_reply_to_tweet_id":"5"}}`, `{"text":"Look","quote_tweet_id":"5"}`
	const mention = `{"text":"@alice @Bob Thanks","reply":{"in_reply_to_tweet_id":"5"}}`
	status := func(id string) URLEntity { return leads("q", "https://twitter.com/bob/status/"+id+"?s=20") }
	requirePairs(t, map[string]pair{
		"Reply":              {sent: reply, tweet: shows("Thanks").refersTo("replied_to", "5"), want: Same},
		"ReplyToAnother":     {sent: reply, tweet: shows("Thanks").refersTo("replied_to", "6"), want: Different},
		"ReplyUntold":        {sent: reply, tweet: shows("Thanks"), want: Possible},
		"ReplyUntoldOther":   {sent: reply, tweet: shows("Welcome"), want: Different},
		"ReplyWithoutID":     {sent: reply, tweet: shows("Thanks").refersTo("replied_to", ""), want: Possible},
		"NoReply":            {sent: `{"text":"Thanks"}`, tweet: shows("Thanks").refersTo("replied_to", "5"), want: Different},
		"MentionsShown":      {sent: reply, tweet: shows("@alice @bob Thanks").refersTo("replied_to", "5"), want: Same},
		"MentionsHidden":     {sent: mention, tweet: shows("Thanks").refersTo("replied_to", "5"), want: Same},
		"MentionsBoth":       {sent: mention, tweet: shows("@alice @Bob Thanks").refersTo("replied_to", "5"), want: Same},
		"MentionsMore":       {sent: mention, tweet: shows("@carol @bob @alice Thanks").refersTo("replied_to", "5"), want: Same},
		"MentionsOther":      {sent: mention, tweet: shows("@carol Thanks").refersTo("replied_to", "5"), want: Possible},
		"MentionsOtherText":  {sent: mention, tweet: shows("@alice @Bob Welcome").refersTo("replied_to", "5"), want: Different},
		"MentionsOnly":       {sent: `{"text":"@alice","reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("@alice").refersTo("replied_to", "5"), want: Same},
		"MentionsOnlyOther":  {sent: `{"text":"@alice","reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("@bob").refersTo("replied_to", "5"), want: Possible},
		"MentionsOnlyMore":   {sent: `{"text":"@alice","reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("@alice @bob").refersTo("replied_to", "5"), want: Possible},
		"MentionsOnlyHidden": {sent: `{"text":"@alice","reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("").refersTo("replied_to", "5"), want: Possible},
		"MentionsOfNoReply":  {sent: `{"text":"@alice Thanks"}`, tweet: shows("Thanks"), want: Different},
		"MentionAndLink":     {sent: `{"text":"https://example.com","reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("@alice https://t.co/a", leads("a", "https://example.com")).refersTo("replied_to", "5"), want: Same},
		"NoMention":          {sent: reply, tweet: shows("@alice: Thanks").refersTo("replied_to", "5"), want: Different},
		"Quote":              {sent: quote, tweet: shows("Look").refersTo("quoted", "5"), want: Same},
		"QuoteLink":          {sent: quote, tweet: shows("Look https://t.co/q", status("5")).refersTo("quoted", "5"), want: Same},
		"QuoteLinkSent":      {sent: `{"text":"Look https://x.com/bob/status/5","quote_tweet_id":"5"}`, tweet: shows("Look https://t.co/q", leads("q", "https://x.com/bob/status/5")).refersTo("quoted", "5"), want: Same},
		"QuoteLinkUntold":    {sent: quote, tweet: shows("Look https://t.co/q").refersTo("quoted", "5"), want: Same},
		"QuoteOfAnother":     {sent: quote, tweet: shows("Look https://t.co/q", status("6")).refersTo("quoted", "6"), want: Different},
		"QuoteUntold":        {sent: quote, tweet: shows("Look"), want: Possible},
		"NoQuote":            {sent: `{"text":"Look"}`, tweet: shows("Look https://t.co/q", status("5")).refersTo("quoted", "5"), want: Different},
		"QuoteByLink":        {sent: `{"text":"Look https://x.com/bob/status/5"}`, tweet: shows("Look https://t.co/q", leads("q", "https://x.com/bob/status/5")).refersTo("quoted", "5"), want: Same},
		"QuoteByShortLink":   {sent: `{"text":"Look https://t.co/q"}`, tweet: shows("Look https://t.co/q", status("5")).refersTo("quoted", "5"), want: Same},
		"QuoteByOtherLink":   {sent: `{"text":"Look https://x.com/bob/status/5","quote_tweet_id":"8"}`, tweet: shows("Look https://t.co/q", leads("q", "https://x.com/bob/status/5")).refersTo("quoted", "5"), want: Possible},
		"DirectMessage":      {sent: `{"text":"Ask us","direct_message_deep_link":"https://x.com/messages/compose?recipient_id=1"}`, tweet: shows("Ask us https://t.co/d", leads("d", "https://x.com/messages/compose?recipient_id=1")), want: Same},
		"DirectMessageOther": {sent: `{"text":"Ask us","direct_message_deep_link":"https://x.com/messages/compose?recipient_id=1"}`, tweet: shows("Ask us https://t.co/d", leads("d", "https://x.com/messages/compose?recipient_id=2")), want: Possible},
		"Card":               {sent: `{"text":"Ask us","card_uri":"card://5"}`, tweet: shows("Ask us https://t.co/c", leads("c", "https://cards.twitter.com/cards/5")), want: Possible},
	})
}

// TestMatchAttachments compares media, polls and settings.
func TestMatchAttachments(t *testing.T) {
	t.Parallel()
	const media, text = `{"text":"Look","media":{"media_ids":["5","6"]}}`, "Look https://t.co/p"
	const poll = `{"text":"Tea?","poll":{"options":["yes & no","no"],"duration_minutes":60}}`
	asks := func(minutes int, options ...string) Includes {
		return Includes{Polls: []IncludedPoll{{ID: "4", Options: []string{"never", "mine"}}, {ID: "9", Options: options, DurationMinutes: minutes}}}
	}
	asked := shows("Tea?").with(func(t *Tweet) { t.PollIDs = []string{"9"} })
	requirePairs(t, map[string]pair{
		"Media":             {sent: media, tweet: shows(text, photo("p")).hasMedia("3_5", "3_6"), want: Same},
		"MediaOrder":        {sent: media, tweet: shows(text, photo("p"), photo("p")).hasMedia("3_6", "3_5"), want: Same},
		"MediaLinkUntold":   {sent: media, tweet: shows(text).hasMedia("3_5", "3_6"), want: Same},
		"MediaNoLink":       {sent: media, tweet: shows("Look").hasMedia("3_5", "3_6"), want: Same},
		"MediaOther":        {sent: media, tweet: shows(text, photo("p")).hasMedia("3_7", "3_8"), want: Different},
		"MediaSome":         {sent: media, tweet: shows(text, photo("p")).hasMedia("3_5"), want: Possible},
		"MediaUntold":       {sent: media, tweet: shows(text, photo("p")), want: Possible},
		"MediaOtherText":    {sent: media, tweet: shows("Listen https://t.co/p", photo("p")).hasMedia("3_5", "3_6"), want: Different},
		"MediaNearText":     {sent: media, tweet: shows("look! https://t.co/p", photo("p")).hasMedia("3_5", "3_6"), want: Possible},
		"MediaAlone":        {sent: `{"media":{"media_ids":["5"]}}`, tweet: shows("https://t.co/p", photo("p")).hasMedia("7_5"), want: Same},
		"MediaAloneOther":   {sent: `{"media":{"media_ids":["5"]}}`, tweet: shows("https://t.co/p", photo("p")).hasMedia("7_6"), want: Different},
		"MediaAloneReply":   {sent: `{"media":{"media_ids":["5"]},"reply":{"in_reply_to_tweet_id":"5"}}`, tweet: shows("@bob https://t.co/p", photo("p")).hasMedia("7_5").refersTo("replied_to", "5"), want: Same},
		"MediaAfterLink":    {sent: `{"text":"Look https://example.com/","media":{"media_ids":["5"]}}`, tweet: shows("Look https://t.co/a https://t.co/p", leads("a", "https://example.com/"), photo("p")).hasMedia("3_5"), want: Same},
		"MediaLinkNotAdded": {sent: `{"text":"Look"}`, tweet: shows(text, photo("p")), want: Possible},
		"NoMedia":           {sent: `{"text":"Look"}`, tweet: shows(text, photo("p")).hasMedia("3_5"), want: Different},
		"MediaByShortLink":  {sent: `{"text":"Look pic.twitter.com/abc"}`, tweet: shows("Look https://t.co/v", leads("v", "http://pic.twitter.com/abc")).hasMedia("3_9"), want: Same},
		"MediaByLink":       {sent: `{"text":"https://x.com/bob/status/5/video/1"}`, tweet: shows("https://t.co/v", leads("v", "https://x.com/bob/status/5/video/1")).hasMedia("13_9"), want: Same},

		"Poll":           {sent: poll, tweet: asked, includes: asks(60, "yes & no", "no"), want: Same},
		"PollEscaped":    {sent: poll, tweet: asked, includes: asks(60, "yes &amp; no", "no"), want: Same},
		"PollOption":     {sent: poll, tweet: asked, includes: asks(60, "yes & no", "never"), want: Different},
		"PollNear":       {sent: poll, tweet: asked, includes: asks(60, "Yes & no", "no "), want: Possible},
		"PollOrder":      {sent: poll, tweet: asked, includes: asks(60, "no", "yes & no"), want: Possible},
		"PollMore":       {sent: poll, tweet: asked, includes: asks(60, "yes & no", "no", "never"), want: Different},
		"PollEmoji":      {sent: `{"text":"Tea?","poll":{"options":["👍","👎"],"duration_minutes":60}}`, tweet: asked, includes: asks(60, "🍵", "👎"), want: Different},
		"PollDuration":   {sent: poll, tweet: asked, includes: asks(61, "yes & no", "no"), want: Possible},
		"PollText":       {sent: poll, tweet: asked.with(func(t *Tweet) { t.Text = "Coffee?" }), includes: asks(60, "yes & no", "no"), want: Different},
		"PollUntold":     {sent: poll, tweet: shows("Tea?"), want: Possible},
		"PollWithout":    {sent: poll, tweet: asked, want: Possible},
		"PollOfNothing":  {sent: poll, tweet: asked, includes: asks(60), want: Possible},
		"PollUntoldText": {sent: poll, tweet: shows("Coffee?"), want: Different},
		"NoPoll":         {sent: `{"text":"Tea?"}`, tweet: asked, includes: asks(60, "yes", "no"), want: Different},

		"Place":           {sent: `{"text":"Hi","geo":{"place_id":"a"}}`, tweet: shows("Hi").with(func(t *Tweet) { t.PlaceID = "a" }), want: Same},
		"PlaceDropped":    {sent: `{"text":"Hi","geo":{"place_id":"a"}}`, tweet: shows("Hi"), want: Same},
		"PlaceOther":      {sent: `{"text":"Hi","geo":{"place_id":"a"}}`, tweet: shows("Hi").with(func(t *Tweet) { t.PlaceID = "b" }), want: Possible},
		"PlaceNone":       {sent: `{"text":"Hi"}`, tweet: shows("Hi").with(func(t *Tweet) { t.PlaceID = "b" }), want: Possible},
		"Settings":        {sent: `{"text":"Hi","reply_settings":"following"}`, tweet: shows("Hi").with(func(t *Tweet) { t.ReplySettings = "following" }), want: Same},
		"SettingsChanged": {sent: `{"text":"Hi","reply_settings":"following"}`, tweet: shows("Hi"), want: Possible},
		"SettingsNone":    {sent: `{"text":"Hi"}`, tweet: shows("Hi").with(func(t *Tweet) { t.ReplySettings = "following" }), want: Possible},
		"SettingsUntold":  {sent: `{"text":"Hi","reply_settings":"following"}`, tweet: shows("Hi").with(func(t *Tweet) { t.ReplySettings = "" }), want: Same},
		"Community":       {sent: `{"text":"Hi","community_id":"5"}`, tweet: shows("Hi").with(func(t *Tweet) { t.ReplySettings = "subscribers" }), want: Same},
	})
}

// TestMatchEdits compares tweets of more than one version.
func TestMatchEdits(t *testing.T) {
	t.Parallel()
	const edit = `{"text":"Doors open at 9","edit_options":{"previous_post_id":"60"}}`
	requirePairs(t, map[string]pair{
		"Edit":            {sent: edit, tweet: shows("Doors open at 9").versions("60", "70"), want: Same},
		"EditOldName":     {sent: `{"text":"Hi","edit_options":{"previous_tweet_id":"60"}}`, tweet: shows("Hi").versions("60", "70"), want: Same},
		"EditOfReply":     {sent: edit, tweet: shows("@bob Doors open at 9").versions("60", "70").refersTo("replied_to", "5"), want: Same},
		"EditOfQuote":     {sent: edit, tweet: shows("Doors open at 9").versions("60", "70").refersTo("quoted", "5"), want: Same},
		"EditWithMedia":   {sent: edit, tweet: shows("Doors open at 9 https://t.co/p", photo("p")).versions("60", "70").hasMedia("3_5"), want: Same},
		"EditOther":       {sent: edit, tweet: shows("Doors open at 8").versions("60", "70"), want: Different},
		"EditOfAnother":   {sent: edit, tweet: shows("Doors open at 9").versions("61", "70"), want: Different},
		"EditUntold":      {sent: edit, tweet: shows("Doors open at 9").versions(), want: Possible},
		"EditStrange":     {sent: edit, tweet: shows("Doors open at 9").versions("65"), want: Possible},
		"EditedVersion":   {sent: edit, tweet: shows("Doors open at 9").versions("60", "70").with(func(t *Tweet) { t.ID = "60" }), want: Different},
		"EditedFirst":     {sent: edit, tweet: shows("Doors open at 9").with(func(t *Tweet) { t.ID = "60" }), want: Different},
		"EditedSince":     {sent: edit, tweet: shows("Doors open at 8").versions("60", "65", "70"), want: Possible},
		"EditNotFirst":    {sent: edit, tweet: shows("Doors open at 9").versions("60", "65", "70"), want: Same},
		"NoEdit":          {sent: `{"text":"Hi"}`, tweet: shows("Hi").versions("60", "70"), want: Possible},
		"NoEditOther":     {sent: `{"text":"Hi"}`, tweet: shows("Hello https://t.co/p", photo("p")).versions("60", "70").hasMedia("3_5"), want: Possible},
		"NoEditFirst":     {sent: `{"text":"Hi"}`, tweet: shows("Hi").versions("70", "75"), want: Same},
		"NoEditFirstText": {sent: `{"text":"Hi"}`, tweet: shows("Hello").versions("70", "75"), want: Possible},
		"NoEditReply":     {sent: `{"text":"Hi"}`, tweet: shows("Hi").versions("60", "70").refersTo("replied_to", "5"), want: Different},
		"NoEditPoll":      {sent: `{"text":"Hi"}`, tweet: shows("Hi").versions("60", "70").with(func(t *Tweet) { t.PollIDs = []string{"9"} }), want: Different},
		"HistoryUntold":   {sent: `{"text":"Hi"}`, tweet: shows("Hi").versions(), want: Same},
	})
}

func TestParseSentRefusesNoObject(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `"Doors open"`, "7", `{"text":"Doors open"`, `{"text":"Doors open"}{}`} {
		sent, err := ParseSent([]byte(body))
		require.Nil(t, sent)
		require.EqualError(t, err, "parse sent tweet: the body is not a JSON object")
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"text":"Hi"}`:                                                                true,
		`{"text":"Hi","nullcast":false}`:                                               true,
		`{"text":"Hi","share_with_followers":true}`:                                    true,
		`{"text":"Hi","nullcast":true}`:                                                false,
		`{"text":"Hi","for_super_followers_only":true}`:                                false,
		`{"text":"Hi","community_id":"5"}`:                                             false,
		`{"text":"Hi","community_id":"5","share_with_followers":true}`:                 true,
		`{"text":"Hi","community_id":"5","share_with_followers":true,"nullcast":true}`: false,
	} {
		sent, err := ParseSent([]byte(body))
		require.NoError(t, err)
		require.Equal(t, !want, sent.Hidden(), body)
	}
}
