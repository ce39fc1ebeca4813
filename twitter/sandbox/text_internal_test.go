package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWeightedLength has lengths counted by hand by the rules of twitter-text v3.
func TestWeightedLength(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                                     0,
		"Hello":                                5,
		"café":                                 4,
		"cafe\u0301":                           4, // the same after normalisation
		"にほご":                                  6,
		"한글":                                   4,
		"\u1112\u1161\u11ab\u1100\u1173\u11af": 4, // the same, as six letters
		"Привет":                               6,
		"“quotes”":                             8,
		"…":                                    2,
		"a\u200db":                             3, // a joiner that joins no emoji
		"a\u200eb":                             4, // a mark of direction
		"\U00020000":                           2, // a rare ideograph
		"₿":                                    2,
		"\u2000":                               1,
		"\u202a":                               2,
		"e\u0301\u0301":                        2,
		"\ufeffa":                              3,
		"ﷺ":                                    2,
		"line\nbreak":                          10,

		"😀":                      2,
		"😀😀":                     4,
		"☺":                      2,
		"☺️":                     2, // with the style for emoji
		"☺︎":                     4, // with the style for text: no emoji
		"❤️":                     2,
		"❤️‍🔥":                   2,
		"👍🏽":                     2,
		"☝🏿":                     2,
		"🐱🏽":                     4, // takes no skin tone
		"🏽":                      2,
		"👨‍👩‍👧‍👦":                2,
		"👩🏾‍🚒":                   2,
		"🏳️‍🌈":                   2,
		"🏴󠁧󠁢󠁥󠁮󠁧󠁿":                2,
		"🏴\U000e0067\U000e0062x": 7, // tags that do not end
		"🇩🇪":                     2,
		"🇩🇪🇫🇷":                   4,
		"🇩":                      2,
		"🇩🇪🇫":                    4,
		"1️⃣":                    2,
		"1⃣":                     2,
		"#️⃣":                    2,
		"1":                      1,
		"1️":                     3, // a digit with a style is no key
		"a⃣":                     3,
		"©":                      1,
		"©️":                     2,
		"™":                      2,
		"‼️":                     2,
		"😀\u200d":                3, // joined to nothing
		"😀\u200da":               4,
		"\u200d😀":                3,
		"🫠":                      2,
		"🫪":                      2, // newer than the table of names
		"H🐱☺👨‍👩‍👧‍👦":             7,
		"👩‍❤️‍💋‍👨👩‍❤️‍💋‍👨": 4,
		"★\ufe0f":                  4,
		"https://example.com":      23,
		"http://a.co":              23,
		"HTTPS://EXAMPLE.COM/A":    23,
		"example.com":              23,
		"see example.com/a_(b).":   28,
		"a https://x.com/é/ü b":    27,
		"(https://example.com)":    25,
		"https://example.com, ok":  27,
		"にほhttps://example.comにほ":  31,
		"にほexample.comにほ":          31,
		"https://пример.рф/путь":   23,
		"http://たえ.みんな/x":          23,
		"https://localhost":        17,
		"https://10.0.0.1/a":       18,
		"https://example.invalid/": 24,
		"README.md":                23,
		"main.go":                  7,
		"me@example.com":           14,
		"@example.com":             12,
		"#example.com":             12,
		"$example.com":             12,
		"a.example.com@x":          15,
		"...example.com":           14,
		"xhttps://example.com":     20,
		"/example.com":             12,
		"e.g. this":                9,
		"1.5":                      3,
		"a..com":                   6,
		"-a.com":                   6,
		"foo_bar.com":              11,
		"http://foo_bar.com":       18,
		"http://foo_bar.x.com":     23,
	} {
		require.Equal(t, want, weightedLength(text), "%q", text)
	}
	for n := range 300 {
		require.Equal(t, n, weightedLength(strings.Repeat("a", n)))
		require.Equal(t, 2*n, weightedLength(strings.Repeat("👩‍👧", n)))
	}
}

// TestFindLinks marks with brackets what is a link.
func TestFindLinks(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	for _, want := range []string{
		"no link", "", ".", "...", "a.b", "http://", "http://.com",
		"[https://example.com]", "[http://example.com/]", "[example.com]", "[www.example.com]", "[Example.COM]",
		"[https://example.com:8080/a]", "[https://example.com:8080]", "[https://example.com]:", "[https://example.com]:x",
		"[https://example.com/a/b.html?c=d&e=f#g]", "[https://example.com?q=1]", "[https://example.com]?", "[https://example.com/]?!",
		"[https://example.com/a].", "[https://example.com/a], and", "[https://example.com/a]!", "“[https://example.com/a]”",
		"[https://example.com/a_(b)]", "[https://example.com/a_(b(c)d)/e]", "[https://example.com/a_](b", "([https://example.com/a])",
		"[https://example.com/]()", "[https://example.com/@user/1]", "[https://example.com/a-]", "[https://example.com/a%20b]",
		"[https://example.com/a;https://example.org]", "[https://a.com] [b.org] [c.net/d]", "[https://example.com/a]…",
		"[https://example.com/ünï]", "[https://example.com/путь]", "[https://example.com/]にほ",
		"[https://t.co/abcDEF1234]", "[https://t.co/abcDEF1234]/more", "[https://t.co/abc?amp=1]", "[https://t.co]", "[https://t.co/]",
		"https://t.co/" + strings.Repeat("a", 41), "[https://t.co/" + strings.Repeat("a", 40) + "]",
		"[https://a.b.c.example.co.uk/x]", "[example.com].nosuch", "[https://example.com].", "[example.co.jp]", "[example.museum]",
		"http://-example.com", "http://example-.com", "http://exa [mple.com]", "[http://ex-ample.com]", "http://a_.example.com",
		"[https://" + label63 + ".com]", "https://" + label63 + "a.com",
		"[https://" + strings.Repeat(label63+".", 3) + strings.Repeat("a", 57) + ".com]",
		"https://" + strings.Repeat(label63+".", 3) + strings.Repeat("a", 58) + ".com",
		"a.com." + label63 + "a.com", strings.Repeat("com.", 100) + "com", strings.Repeat("[a.com]の", 100),
		"[https://example.com/" + strings.Repeat("a", 4076) + "]", "https://example.com/" + strings.Repeat("a", 4077),
		"[https://bücher.example.com]", "[bücher.de]", "にほ.[example.com]", "にほ[sub.example.com]",
		"ftp://example.com", "mailto:me@example.com", "a@b.example.com", "＠example.com", "＃example.com",
		"[https://xn--bcher-kva.de]", "[http://xn--p1ai.xn--p1ai]",
		"https://example.com+a", "https://example.com@a", "[https://example.com]_a", "example.com-a",
		"my_[sub.example.com]", "にほ_[example.com]",
		"\u202a[http://example.com]\u202c", "\ufeffhttp://example.com",
	} {
		text := strings.NewReplacer("[", "", "]", "").Replace(want)
		var got strings.Builder
		from := 0
		for _, l := range findLinks(text) {
			fmt.Fprintf(&got, "%s[%s]", text[from:l.start], text[l.start:l.end])
			from = l.end
		}
		got.WriteString(text[from:])
		require.Equal(t, want, got.String())
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"hello", 5, "hello"},
		{"hello", 4, "hell"},
		{"hello", 0, ""},
		{"にほ", 3, "に"},
		{"a👨‍👩‍👧‍👦b", 2, "a"},
		{"a👨‍👩‍👧‍👦b", 3, "a👨‍👩‍👧‍👦"},
		{"a https://example.com b", 24, "a "},
		{"a https://example.com b", 25, "a https://example.com"},
		{"a https://example.com b", 26, "a https://example.com "},
	} {
		require.Equal(t, tt.want, cut(tt.text, tt.limit), "%q to %d", tt.text, tt.limit)
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"@acme": true, "hi @Acme!": true, "(@acme)": true, "にほ@acme": true, "@bob @acme": true, "@@acme": false, "\n@acme": true,
		"": false, "acme": false, "@acmes": false, "@acme_": false, "me@acme": false, "#@acme": false, "@ acme": false, "@bob": false, "@": false,
		".@acme": true, "@acme's": true, "x@acme @acme": true,
	} {
		require.Equal(t, want, mentions(text, "acme"), "%q", text)
	}
}

func TestCashtags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "$": 0, "$5": 0, "$X": 1, "$TWTR": 1, "$twtr": 1, "$TOOLONG": 0, "$BRK.A": 1, "$BRK_AB": 1, "$BRK.ABC": 1, "$TWTR.": 1,
		"$A $B": 2, "$A,$B": 1, "US$A": 0, "$A1": 0, "$A\n$B\t$C": 3, "($A)": 0, "$A $5 $b": 2, "$$A": 0,
	} {
		require.Equal(t, want, cashtags(text), "%q", text)
	}
}

func TestDisplayURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://example.com":                     "example.com",
		"https://www.example.com/":                "example.com",
		"http://example.com/a":                    "example.com/a",
		"https://example.com/123456789012345":     "example.com/12345678901234…",
		"https://example.com/12345678901234":      "example.com/12345678901234",
		"https://example.com?a=b":                 "example.com?a=b",
		"https://docs.x.com/en/docs/twitter-api/": "docs.x.com/en/docs/twitte…",
	} {
		require.Equal(t, want, displayURL(url), url)
	}
}

// TestPageTokens: a token names its page, and nothing else is one.
func TestPageTokens(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, 1, 1445880548472328192, 1<<64 - 1} {
		got, ok := pageOf(pageToken(n))
		require.True(t, ok)
		require.Equal(t, n, got)
		require.Regexp(t, `^[0-9a-v]{13}$`, pageToken(n))
	}
	for _, token := range []string{"", "x", "1", "00000000000000", "zzzzzzzzzzzzz", pageToken(5) + "0"} {
		_, ok := pageOf(token)
		require.False(t, ok, token)
	}
}

// TestLongTextsAreLinear: texts as long as a body, of what takes searching, are measured at once.
// That it ends is the test: what is quadratic takes minutes.
func TestLongTextsAreLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"com.", "a.com/(", "x.comの", "ü.", "ü", "http://", "http://ü.com", ".", "a.com?!", "🏴\U000e0067", "👩\u200d", "@a", "$A ", "a.com:1"} {
		text := strings.Repeat(part, maxBody/len(part))
		require.Positive(t, weightedLength(text), part)
		require.NotEmpty(t, cut(text, 280), part)
		_, _ = mentions(text, "acme"), cashtags(text)
	}
}

// FuzzText: whatever the text, it is measured and shown, and what is cut is within the limit.
func FuzzText(f *testing.F) {
	for _, text := range []string{"a", "https://example.com/(a(b)", "にほexample.com", "👨‍👩‍👧‍👦1️⃣🇩🇪", "\xff.com", "a.b.c.com:1/?#", "RT @a: $A @b"} {
		f.Add(text, 10)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		require.GreaterOrEqual(t, weightedLength(text), 0)
		at := 0
		for _, l := range findLinks(text) {
			require.LessOrEqual(t, at, l.start)
			require.Less(t, l.start, l.end)
			require.LessOrEqual(t, l.end, len(text))
			at = l.end
		}
		require.True(t, strings.HasPrefix(text, cut(text, limit)))
		s := show(text)
		runes := []rune(s.text)
		for _, u := range s.urls {
			require.Equal(t, u.URL, strings.NewReplacer("&amp;", "&").Replace(string(runes[u.Start:u.End])))
		}
		_ = mentions(text, "acme")
		_ = cashtags(text)
	})
}
