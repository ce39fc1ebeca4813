package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestLinksAreShortened: links come back as t.co, the same each time, and the entities say what
// they were.
func TestLinksAreShortened(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	const text = "Fish & chips: https://www.example.com/menu/2026/november?a=1&b=2 or example.org."
	got := b.post(b.acme, text)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	shown, _ := got.data(t)["text"].(string)
	require.Regexp(t, `^Fish &amp; chips: https://t\.co/[0-9A-Za-z]{10} or https://t\.co/[0-9A-Za-z]{10}\.$`, shown)
	require.Equal(t, text, b.server.Tweets()[0].Text, "the record has what was sent")
	id, _ := got.data(t)["id"].(string)

	data := b.do(b.acme, "GET", "/2/tweets/"+id+"?tweet.fields=entities", "").data(t)
	require.Equal(t, shown, data["text"])
	entities, _ := data["entities"].(map[string]any)
	urls, _ := entities["urls"].([]any)
	require.Len(t, urls, 2)
	for i, want := range []map[string]any{
		{"expanded_url": "https://www.example.com/menu/2026/november?a=1&b=2", "display_url": "example.com/menu/2026/nove…"},
		{"expanded_url": "http://example.org", "display_url": "example.org"},
	} {
		u, _ := urls[i].(map[string]any)
		start, _ := u["start"].(float64)
		end, _ := u["end"].(float64)
		require.Equal(t, u["url"], string([]rune(shown)[int(start):int(end)]))
		require.Equal(t, want["expanded_url"], u["expanded_url"])
		require.Equal(t, want["display_url"], u["display_url"])
	}

	again := b.post(b.acme, "Once more: https://www.example.com/menu/2026/november?a=1&b=2")
	first, _ := urls[0].(map[string]any)
	require.Equal(t, "Once more: "+first["url"].(string), again.data(t)["text"])
	require.NotEqual(t, first["url"], urls[1].(map[string]any)["url"])

	plain := b.mustPost(b.acme, "no link here: main.go")
	data = b.do(b.acme, "GET", "/2/tweets/"+plain+"?tweet.fields=entities", "").data(t)
	require.Equal(t, "no link here: main.go", data["text"])
	require.NotContains(t, data, "entities")

	short := b.post(b.acme, "kept: https://t.co/abcDEF1234")
	require.Equal(t, "kept: https://t.co/abcDEF1234", short.data(t)["text"])
}

// TestLongPost: a text over 280 reads back cut, and whole in note_tweet.
func TestLongPost(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	user, err := b.server.AddUser(sandbox.User{Username: "premium", TextLimit: sandbox.PremiumTextLimit})
	require.NoError(t, err)
	premium := b.authorize(b.app, user)
	long := "Tom & Jerry " + strings.Repeat("x", 240) + " https://example.com/ " + strings.Repeat("é", 100)
	got := b.post(premium, long)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	id, _ := got.data(t)["id"].(string)
	read := b.do(b.acme, "GET", "/2/tweets/"+id+"?tweet.fields=note_tweet,entities", "").data(t)
	shown, _ := read["text"].(string)
	require.Equal(t, shown, got.data(t)["text"])
	require.Regexp(t, `^Tom &amp; Jerry x{240} … https://t\.co/[0-9A-Za-z]{10}$`, shown)
	require.NotContains(t, got.body, "note_tweet")
	note, _ := read["note_tweet"].(map[string]any)
	whole, _ := note["text"].(string)
	require.Regexp(t, `^Tom &amp; Jerry x{240} https://t\.co/[0-9A-Za-z]{10} é{100}$`, whole)
	require.Contains(t, b.do(b.acme, "GET", "/2/tweets/"+id+"?tweet.fields=note_tweet", "").body, `"expanded_url":"https://example.com/"`)
	entities, _ := read["entities"].(map[string]any)
	require.Len(t, entities["urls"], 1, "the link in the cut text is the one to the tweet")
	link, _ := entities["urls"].([]any)[0].(map[string]any)
	require.Equal(t, "https://x.com/i/web/status/"+id, link["expanded_url"])

	post := b.do(b.acme, "GET", "/2/tweets/"+id+"?post.fields=note_post", "").data(t)
	require.Equal(t, note["text"], post["note_post"].(map[string]any)["text"])

	fits := b.mustPost(premium, strings.Repeat("y", 280))
	read = b.do(b.acme, "GET", "/2/tweets/"+fits+"?tweet.fields=note_tweet", "").data(t)
	require.NotContains(t, read, "note_tweet")
	require.Equal(t, strings.Repeat("y", 280), read["text"])
	over := b.mustPost(premium, strings.Repeat("z", 281))
	read = b.do(b.acme, "GET", "/2/tweets/"+over+"?tweet.fields=note_tweet", "").data(t)
	shown, _ = read["text"].(string)
	require.Equal(t, 254+len("… ")-2+len("https://t.co/")+10, utf8.RuneCountInString(shown))
	kana := b.mustPost(premium, strings.Repeat("の", 140))
	require.Equal(t, strings.Repeat("の", 140), b.do(b.acme, "GET", "/2/tweets/"+kana, "").data(t)["text"])
}

// TestInvalidCodePoints: twitter-text accepts three in no tweet.
func TestInvalidCodePoints(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for _, r := range []rune{0xfffe, 0xfeff, 0xffff} {
		got := b.post(b.acme, "x"+string(r))
		require.Equal(t, http.StatusForbidden, got.status)
		require.Contains(t, got.body, "You are not permitted to perform this action.")
	}
	b.mustPost(b.acme, "x\ufffd")
}

// TestTextLimitCountsAsX: sequences and links without a scheme count as X counts them.
func TestTextLimitCountsAsX(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	for text, fits := range map[string]bool{
		strings.Repeat("👨‍👩‍👧‍👦", 140):                          true,
		strings.Repeat("👨‍👩‍👧‍👦", 141):                          false,
		strings.Repeat("🇩🇪", 140):                               true,
		strings.Repeat("e\u0301", 280):                          true,
		strings.Repeat("e\u0301", 281):                          false,
		strings.Repeat("a", 256) + " a.co":                      true,
		strings.Repeat("a", 257) + " a.co":                      false,
		strings.Repeat("a", 257) + " a.invalid":                 true,
		strings.Repeat("https://example.com/ ", 11) + "aaaaaaa": true,
		strings.Repeat("https://example.org/ ", 12):             false,
	} {
		want := http.StatusForbidden
		if fits {
			want = http.StatusCreated
		}
		require.Equal(t, want, b.post(b.acme, text).status, text)
	}
}

// TestDuplicateAfterNormalisation: texts that are equal in normal form C are duplicates.
func TestDuplicateAfterNormalisation(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.mustPost(b.acme, "caf\u00e9")
	got := b.post(b.acme, " cafe\u0301\n")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "duplicate content")
	b.mustPost(b.acme, "cafe")
}
