package sandbox_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	got := b.post(b.acme, "Hello world!")
	require.Equal(t, http.StatusCreated, got.status)
	id, _ := got.data(t)["id"].(string)
	require.JSONEq(t, fmt.Sprintf(`{"data":{"id":%q,"text":"Hello world!","edit_history_tweet_ids":[%q]}}`, id, id), got.body)
	require.Equal(t, []sandbox.Tweet{{
		ID: id, AuthorID: b.acme.ID, Username: "acme", Text: "Hello world!", CreatedAt: clock.Now(), Request: 1,
	}}, b.server.Tweets())

	require.Equal(t, "application/json; charset=utf-8", got.header.Get("content-type"))
	require.Equal(t, "no-cache, no-store, max-age=0", got.header.Get("cache-control"))
	require.Equal(t, "read-write", got.header.Get("x-access-level"))
	require.Regexp(t, `^2\.[0-9]+$`, got.header.Get("api-version"))
	require.Regexp(t, `^[0-9a-f]{16}$`, got.header.Get("x-transaction-id"))
	require.Equal(t, "0", got.header.Get("x-response-time"))
	require.Equal(t, "Mon, 23 Nov 2026 12:00:00 GMT", got.header.Get("date"))
	require.Empty(t, got.header.Values("retry-after"))
}

// TestSnowflake: ids are those of X (its documents' sample is the constant), and rise within a
// millisecond and when the clock steps back.
func TestSnowflake(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	sampleTime := time.Date(2026, 7, 24, 21, 5, 48, 792e6, time.UTC)
	sample, err := b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "old", CreatedAt: sampleTime.Add(400 * time.Microsecond)})
	require.NoError(t, err)
	require.Equal(t, uint64(2080761390344937796)>>22, number(t, sample.ID)>>22)
	require.Equal(t, sampleTime, sample.CreatedAt)
	second, err := b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "old too", CreatedAt: sampleTime})
	require.NoError(t, err)
	require.Equal(t, number(t, sample.ID)+1, number(t, second.ID))

	var last uint64
	latest := clock.Now()
	for i, step := range []time.Duration{0, 0, time.Millisecond, time.Hour, -time.Minute, 0, time.Hour} {
		clock.Advance(step)
		id := number(t, b.mustPost(b.acme, "tweet "+strconv.Itoa(i)))
		require.Greater(t, id, last)
		if clock.Now().After(latest) {
			latest = clock.Now()
		}
		require.Equal(t, latest.UnixMilli(), int64(id>>22)+1288834974657)
		last = id
	}
	all := b.server.Tweets()
	require.Equal(t, "old", all[0].Text)
	require.Equal(t, "old too", all[1].Text)
	require.Equal(t, "tweet 6", all[8].Text)

	_, err = b.server.AddTweet(sandbox.Tweet{Username: "acme", CreatedAt: clock.Now().Add(time.Second)})
	require.ErrorContains(t, err, "in the future")
	_, err = b.server.AddTweet(sandbox.Tweet{Username: "nobody"})
	require.ErrorContains(t, err, `no user "nobody"`)
	_, err = b.server.AddTweet(sandbox.Tweet{Username: "acme", InReplyTo: "1"})
	require.ErrorContains(t, err, `no tweet "1"`)
}

func number(t *testing.T, id string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(id, 10, 64)
	require.NoError(t, err)
	return n
}

func TestEscaping(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	const text = `Tom & "Jerry" <3 > 2 &amp; ☃ 'x'`
	const escaped = `Tom &amp; "Jerry" &lt;3 &gt; 2 &amp;amp; ☃ 'x'`
	got := b.post(b.acme, text)
	require.Equal(t, escaped, got.data(t)["text"])
	require.Contains(t, got.body, `&amp;`, "not as \\u0026: X does not")
	id, _ := got.data(t)["id"].(string)
	require.Equal(t, escaped, b.do(b.acme, "GET", "/2/tweets/"+id, "").data(t)["text"])
	require.Equal(t, text, b.server.Tweets()[0].Text)
}

func TestCreateRefusesContentType(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, media := range []string{"", "text/plain", "application/problem+json", ";"} {
		r := b.request(b.acme, "POST", "/2/tweets", "{}")
		r.Header.Set("Content-Type", media)
		got, err := b.send(r)
		require.NoError(t, err)
		require.Equal(t, []string{"Requests with bodies must have content-type of application/json."}, got.messages(t), media)
		require.Contains(t, got.body, `"parameters":{}`)
	}
	r := b.request(b.acme, "POST", "/2/tweets", textBody("x"))
	r.Header.Set("Content-Type", "Application/JSON; charset=UTF-8")
	got, err := b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, got.status)
}

// TestCreateRefusesBody has the messages of X; the first of each kind was captured.
func TestCreateRefusesBody(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	quoted := b.mustPost(b.acme, "to be quoted")
	before := len(b.server.Tweets())
	const (
		notJSON   = "Request body is not valid JSON."
		exclusive = "You can only provide one of poll or quote_tweet_id or direct_message_deep_link or media or card_uri."
		media     = "Your media IDs are invalid."
		pattern   = ": does not match the regex pattern ^[0-9]{1,19}$"
	)
	poll := func(options, minutes string) string {
		return `{"text":"x","poll":{"options":` + options + `,"duration_minutes":` + minutes + `}}`
	}
	for _, tt := range []struct {
		body string
		want []string
	}{
		{``, []string{"Requests with bodies must have content-type of application/json."}}, // none is set
		{`{`, []string{notJSON}},
		{`{"text":"x"} {}`, []string{notJSON}},
		{`{"text":"x",}`, []string{notJSON}},
		{`[]`, []string{"Request body must be a JSON object."}},
		{`"x"`, []string{"Request body must be a JSON object."}},
		{`null`, []string{"Request body must be a JSON object."}},

		{`{}`, []string{"$.text: is missing but it is required"}},
		{`{"text":""}`, []string{"$.text: must be at least 1 characters long"}},
		{`{"text":" \n\t "}`, []string{"$.text: must be at least 1 characters long"}},
		{`{"poll":{"options":["a","b"],"duration_minutes":5}}`, []string{"$.text: is missing but it is required"}},
		{`{"text":5}`, []string{"$.text: integer found, string expected"}},
		{`{"text":null}`, []string{"$.text: null found, string expected"}},

		{`{"text":"x","foo":1}`, []string{"$.foo: is not defined in the schema and the schema does not allow additional properties"}},
		{`{"Text":"x"}`, []string{"$.Text: is not defined in the schema and the schema does not allow additional properties"}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":"1","foo":{}}}`, []string{"$.reply.foo: is not defined in the schema and the schema does not allow additional properties"}},
		{`{"text":"x","foo":1,"bar":2}`, []string{
			"$.bar: is not defined in the schema and the schema does not allow additional properties",
			"$.foo: is not defined in the schema and the schema does not allow additional properties",
		}},

		{`{"text":"x","reply":{}}`, []string{"$.reply.in_reply_to_tweet_id: is missing but it is required"}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":"abc"}}`, []string{"$.reply.in_reply_to_tweet_id" + pattern}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":""}}`, []string{"$.reply.in_reply_to_tweet_id" + pattern}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":"12345678901234567890"}}`, []string{"$.reply.in_reply_to_tweet_id" + pattern}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":12}}`, []string{"$.reply.in_reply_to_tweet_id: integer found, string expected"}},
		{`{"text":"x","reply":"12"}`, []string{"$.reply: string found, object expected"}},
		{`{"text":"x","reply":{"in_reply_to_tweet_id":"1","exclude_reply_user_ids":["a"]}}`, []string{"$.reply.exclude_reply_user_ids[0]" + pattern}},
		{`{"text":"x","quote_tweet_id":"-1"}`, []string{"$.quote_tweet_id" + pattern}},
		{`{"text":"x","quote_tweet_id":"1"}`, []string{"Your quote tweet ID is invalid."}},
		{`{"text":"x","community_id":"a"}`, []string{"$.community_id" + pattern}},
		{`{"text":"x","edit_options":{}}`, []string{"$.edit_options.previous_post_id: is missing but it is required"}},
		{`{"text":"x","geo":{}}`, []string{"$.geo.place_id: is missing but it is required"}},
		{`{"text":"x","reply_settings":"everyone"}`, []string{"$.reply_settings: does not have a value in the enumeration [following, mentionedUsers, subscribers, verified]"}},
		{`{"text":"x","nullcast":"true"}`, []string{"$.nullcast: string found, boolean expected"}},
		{`{"text":"x","made_with_ai":1}`, []string{"$.made_with_ai: integer found, boolean expected"}},

		{poll(`["a"]`, `5`), []string{"$.poll.options: there must be a minimum of 2 items in the array"}},
		{poll(`["a","b","c","d","e"]`, `5`), []string{"$.poll.options: there must be a maximum of 4 items in the array"}},
		{poll(`["a",""]`, `5`), []string{"$.poll.options[1]: must be at least 1 characters long"}},
		{poll(`["a","`+strings.Repeat("é", 26)+`"]`, `5`), []string{"$.poll.options[1]: may only be 25 characters long"}},
		{poll(`["a","b"]`, `4`), []string{"$.poll.duration_minutes: must have a minimum value of 5"}},
		{poll(`["a","b"]`, `-99999999999999999999`), []string{"$.poll.duration_minutes: must have a minimum value of 5"}},
		{poll(`["a","b"]`, `10081`), []string{"$.poll.duration_minutes: must have a maximum value of 10080"}},
		{poll(`["a","b"]`, `99999999999999999999`), []string{"$.poll.duration_minutes: must have a maximum value of 10080"}},
		{poll(`["a","b"]`, `5.5`), []string{"$.poll.duration_minutes: number found, integer expected"}},
		{poll(`["a","b"]`, `"5"`), []string{"$.poll.duration_minutes: string found, integer expected"}},
		{`{"text":"x","poll":{}}`, []string{"$.poll.options: is missing but it is required", "$.poll.duration_minutes: is missing but it is required"}},

		{`{"text":"x","media":{}}`, []string{"$.media.media_ids: is missing but it is required"}},
		{`{"text":"x","media":{"media_ids":[]}}`, []string{"$.media.media_ids: there must be a minimum of 1 item in the array"}},
		{`{"text":"x","media":{"media_ids":["1","2","3","4","5"]}}`, []string{"$.media.media_ids: there must be a maximum of 4 items in the array"}},
		{`{"text":"x","media":{"media_ids":["3_1"]}}`, []string{"$.media.media_ids[0]" + pattern}},
		{`{"media":{"media_ids":["1"]}}`, []string{media}},
		{`{"text":"x","media":{"media_ids":["1"],"tagged_user_ids":["1","2","3","4","5","6","7","8","9","10","11"]}}`, []string{"$.media.tagged_user_ids: there must be a maximum of 10 items in the array"}},
		{`{"text":"x","media":{"media_ids":["1"],"call_to_actions":{}}}`, []string{"$.media.call_to_actions: should be valid to one and only one of the schemas"}},
		{`{"text":"x","media":{"media_ids":["1"],"call_to_actions":{"watch_now":{"url":"u"}}}}`, []string{media}},

		{`{"text":"x","media":{"media_ids":["1"]},"quote_tweet_id":"` + quoted + `"}`, []string{exclusive}},
		{`{"text":"x","media":{"media_ids":["1"]},"poll":{"options":["a","b"],"duration_minutes":5}}`, []string{exclusive}},
		{`{"text":"x","quote_tweet_id":"` + quoted + `","poll":{"options":["a","b"],"duration_minutes":5}}`, []string{exclusive}},
		{`{"text":"x","card_uri":"c","direct_message_deep_link":"d"}`, []string{exclusive}},
		{`{"text":"x","card_uri":"c","quote_tweet_id":"` + quoted + `"}`, []string{exclusive}},
	} {
		require.Equal(t, tt.want, b.do(b.acme, "POST", "/2/tweets", tt.body).messages(t), tt.body)
	}
	require.Len(t, b.server.Tweets(), before, "nothing was created")
}

// TestCreateEchoes: the values at fault, as X echoes them.
func TestCreateEchoes(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for body, want := range map[string]string{
		`{"text":"x","reply":{}}`:                               `{"$.reply":["{}"]}`,
		`{"text":"x","reply":{"in_reply_to_tweet_id":"a & b"}}`: `{"$.reply.in_reply_to_tweet_id":["\"a & b\""]}`,
		`{"text":"x","media":{"media_ids":["12","3"]}}`:         `{"media.media_ids":["12","3"]}`,
	} {
		require.Contains(t, b.do(b.acme, "POST", "/2/tweets", body).body, `"parameters":`+want, body)
	}
}

func TestCreateAccepts(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}, SelfServe: sandbox.SelfServeOff})
	other := b.mustPost(b.user("other"), "another's")
	for i, more := range []string{
		``,
		`,"reply":{"in_reply_to_tweet_id":"` + other + `","exclude_reply_user_ids":["1"],"auto_populate_reply_metadata":true}`,
		`,"quote_tweet_id":"` + other + `"`,
		`,"quote_tweet_id":"` + other + `","reply":{"in_reply_to_tweet_id":"` + other + `"}`,
		`,"poll":{"options":["a","` + strings.Repeat("é", 25) + `"],"duration_minutes":10080,"reply_settings":"following"}`,
		`,"poll":{"options":["a","b","c","d"],"duration_minutes":5}`,
		`,"reply_settings":"mentionedUsers","for_super_followers_only":true,"nullcast":false`,
		`,"made_with_ai":true,"paid_partnership":false,"share_with_followers":true,"community_id":"1"`,
		`,"geo":{"place_id":"5a110d312052166f"}`,
		`,"card_uri":"card://1"`,
		`,"direct_message_deep_link":"https://x.com/messages/compose?recipient_id=1"`,
	} {
		got := b.do(b.acme, "POST", "/2/tweets", fmt.Sprintf(`{"text":"tweet %d"%s}`, i, more))
		require.Equal(t, http.StatusCreated, got.status, got.body)
	}
}

func TestBodyTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	got := b.post(b.acme, strings.Repeat("x", 1<<20))
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
	require.Empty(t, b.server.Tweets())
}

func TestTextLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{DuplicateWindow: -1})
	premiumUser, err := b.server.AddUser(sandbox.User{Username: "premium", TextLimit: sandbox.PremiumTextLimit})
	require.NoError(t, err)
	premium := b.authorize(b.app, premiumUser)
	link := "https://example.com/" + strings.Repeat("a", 100)
	for name, tt := range map[string]struct {
		who  account
		text string
		fits bool
	}{
		"280":            {b.acme, strings.Repeat("a", 280), true},
		"281":            {b.acme, strings.Repeat("a", 281), false},
		"280Accented":    {b.acme, strings.Repeat("é", 280), true},
		"140Kana":        {b.acme, strings.Repeat("の", 140), true},
		"141Kana":        {b.acme, strings.Repeat("の", 141), false},
		"LightEdge":      {b.acme, strings.Repeat("\u10ff", 280), true},
		"HeavyEdge":      {b.acme, strings.Repeat("\u1100", 141), false},
		"Quotes":         {b.acme, strings.Repeat("\u201c", 280), true},
		"Ellipsis":       {b.acme, strings.Repeat("\u2026", 141), false},
		"Primes":         {b.acme, strings.Repeat("\u2033", 280), true},
		"LinkIs23":       {b.acme, strings.Repeat("a", 256) + " " + link, true},
		"LinkIs23Over":   {b.acme, strings.Repeat("a", 257) + " " + link, false},
		"250AndLink":     {b.acme, strings.Repeat("a", 250) + " https://example.com/" + strings.Repeat("a", 100), true},
		"ShortLinkIs23":  {b.acme, strings.Repeat("a", 257) + "\nhttp://a.co", false},
		"LinkInWord":     {b.acme, strings.Repeat("a", 240) + link, false},
		"280Lines":       {b.acme, strings.Repeat("a\n", 139) + "aa", true},
		"281Lines":       {b.acme, strings.Repeat("a\n", 140) + "a", false},
		"Premium281":     {premium, strings.Repeat("a", 281), true},
		"Premium25000":   {premium, strings.Repeat("b", 25000), true},
		"Premium25001":   {premium, strings.Repeat("c", 25001), false},
		"PremiumHeavy":   {premium, strings.Repeat("の", 12501), false},
		"PremiumHeavyOK": {premium, strings.Repeat("の", 12500), true},
	} {
		got := b.post(tt.who, tt.text)
		if tt.fits {
			require.Equal(t, http.StatusCreated, got.status, name)
			continue
		}
		require.Equal(t, http.StatusForbidden, got.status, name)
		require.Equal(t, `{"detail":"You are not permitted to perform this action.","type":"about:blank","title":"Forbidden","status":403}`, got.body, name)
	}
}

// TestWeights has both sides of each edge of the light ranges: 141 light ones fit.
func TestWeights(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	for r, light := range map[rune]bool{
		1: true, 4351: true, 4352: false, 8191: false, 8193: true, 8205: true, 8206: false, 8207: false,
		8208: true, 8223: true, 8224: false, 8241: false, 8242: true, 8247: true, 8248: false, 0x1F600: false,
	} {
		want := http.StatusForbidden
		if light {
			want = http.StatusCreated
		}
		require.Equal(t, want, b.post(b.acme, "x"+strings.Repeat(string(r), 141)).status, "%d", r)
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	const refusal = `{"detail":"You are not allowed to create a Tweet with duplicate content.","type":"about:blank","title":"Forbidden","status":403}`
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	id := b.mustPost(b.acme, "once")
	for _, text := range []string{"once", "  once\n"} {
		got := b.post(b.acme, text)
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, refusal, got.body)
	}
	for _, text := range []string{"Once", "once.", "on ce"} {
		b.mustPost(b.acme, text)
	}
	b.mustPost(b.user("other"), "once")
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"once","reply":{"in_reply_to_tweet_id":"`+id+`"}}`)
	require.Equal(t, http.StatusForbidden, got.status, "as a reply, too")

	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+id, "").status)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "once").status, "also when it was deleted")
	clock.Advance(24*time.Hour - time.Millisecond)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "once").status, "until 24 hours have passed; refusals do not lengthen it")
	clock.Advance(time.Millisecond)
	b.mustPost(b.acme, "once")
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "once").status)

	b.mustPost(b.acme, "older still")
	_, err := b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "older still", CreatedAt: clock.Now().Add(-48 * time.Hour)})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "older still").status, "the latest counts")
	_, err = b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "older", CreatedAt: clock.Now().Add(-25 * time.Hour)})
	require.NoError(t, err)
	b.mustPost(b.acme, "older")
	_, err = b.server.AddTweet(sandbox.Tweet{Username: "acme", Text: "old", CreatedAt: clock.Now().Add(-23 * time.Hour)})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "old").status, "tweets that were added count")
}

func TestDuplicateWindow(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, DuplicateWindow: time.Minute})
	b.mustPost(b.acme, "x")
	require.Equal(t, http.StatusForbidden, b.post(b.acme, "x").status)
	clock.Advance(time.Minute)
	b.mustPost(b.acme, "x")

	off := setup(t, sandbox.Config{DuplicateWindow: -1})
	first := off.mustPost(off.acme, "x")
	require.NotEqual(t, first, off.mustPost(off.acme, "x"))
}

func TestReply(t *testing.T) {
	t.Parallel()
	const gone = `{"detail":"You attempted to reply to a Tweet that is deleted or not visible to you.","type":"about:blank","title":"Forbidden","status":403}`
	b := setup(t, sandbox.Config{})
	reply := func(to, text string) reply {
		return b.do(b.acme, "POST", "/2/tweets", `{"text":"`+text+`","reply":{"in_reply_to_tweet_id":"`+to+`"}}`)
	}
	first := b.mustPost(b.acme, "1/3")
	second, _ := reply(first, "2/3").data(t)["id"].(string)
	third, _ := reply(second, "3/3").data(t)["id"].(string)
	all := b.server.Tweets()
	require.Equal(t, []string{"", first, second}, []string{all[0].InReplyTo, all[1].InReplyTo, all[2].InReplyTo})
	data := b.do(b.acme, "GET", "/2/tweets/"+third+"?tweet.fields=conversation_id,referenced_tweets,in_reply_to_user_id", "").data(t)
	require.Equal(t, first, data["conversation_id"])
	require.Equal(t, b.acme.ID, data["in_reply_to_user_id"])
	require.Equal(t, []any{map[string]any{"type": "replied_to", "id": second}}, data["referenced_tweets"])

	for _, missing := range []string{"1", "9999999999999999999"} {
		got := reply(missing, "to nothing")
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, gone, got.body)
	}
	require.Equal(t, http.StatusOK, b.do(b.acme, "DELETE", "/2/tweets/"+third, "").status)
	require.Equal(t, gone, reply(third, "to a deleted one").body)
	require.Len(t, b.server.Tweets(), 3)
}

func TestEditIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	id := b.mustPost(b.acme, "x")
	got := b.do(b.acme, "POST", "/2/tweets", `{"text":"y","edit_options":{"previous_post_id":"`+id+`"}}`)
	require.Equal(t, http.StatusForbidden, got.status)
	require.Len(t, b.server.Tweets(), 1)
}
