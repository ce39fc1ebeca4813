//nolint:gosmopolitan // Texts of many scripts are what is measured.
package jobs

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
)

// The bound by which the database refuses a text is never above what X counts: no INSERT is refused
// that X would post. A text of one alphabet, of several, and of anything at all.
func TestTextLengthBound(t *testing.T) {
	t.Parallel()
	const count = 3000
	random := rand.New(rand.NewPCG(3, 280))
	texts := make([]string, count)
	for i := range texts {
		texts[i] = randomText(random)
	}

	rows, err := storetest.DB(t).Query(t.Context(), `SELECT tweetqueue.text_length_at_least(text)
FROM unnest($1::text[]) WITH ORDINALITY AS u (text, i) ORDER BY i`, texts)
	require.NoError(t, err)
	bounds, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	require.Len(t, bounds, count)

	near, long, linked := 0, 0, 0 // so that the texts are worth something
	for i, text := range texts {
		p := twitter.ParseTweet(text)
		require.LessOrEqual(t, bounds[i], p.WeightedLength, "%q: %s", text, p)
		if bounds[i] > p.WeightedLength*3/4 {
			near++
		}
		if !p.Valid(twitter.TextLimit) {
			long++
		}
		if len(p.URLs) > 0 {
			linked++
		}
	}
	t.Logf("of %d texts the bound of %d is near, %d are refused, %d have URLs", count, near, long, linked)
	require.Greater(t, near, count/4)
	require.Greater(t, long, count/10)
	require.Greater(t, linked, count/10)
}

// randomText joins pieces of one to four alphabets, up to some 400 characters.
func randomText(random *rand.Rand) string {
	alphabets := make([]func() string, 1+random.IntN(4))
	for i := range alphabets {
		alphabets[i] = alphabet(random)
	}
	separators := []string{"", "", "", "", " ", " ", " ", " ", " ", "\n", ". ", ".", ", ", "/", "\u3000", "\u200d", "\ufe0f"}
	var text strings.Builder
	for length := random.IntN(400); utf8.RuneCountInString(text.String()) < length; {
		text.WriteString(alphabets[random.IntN(len(alphabets))]())
		text.WriteString(separators[random.IntN(len(separators))])
	}
	return text.String()
}

// alphabet returns a source of pieces of text.
func alphabet(random *rand.Rand) func() string {
	between := func(first, last rune) func() string {
		return func() string {
			var run strings.Builder
			for range 1 + random.IntN(12) {
				run.WriteRune(first + random.Int32N(last-first+1))
			}
			return run.String()
		}
	}
	pieces := func(of ...string) func() string {
		return func() string { return of[random.IntN(len(of))] }
	}
	links := pieces("https://", "http://", "example.com", "example.jp", "www.", ".com", ".みんな", "/path", "/a(b)", "?q=", "#", "@", "t.co/abc", "例え.みんな", "xn--", ":80",
		"https://example.com/a", " http://日本語.jp/", " example.org ")
	emoji := pieces("😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "☺", "1️⃣", "#⃣", "🇦🇹", "©", "®️", "™", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "7", "*")
	alphabets := []func() string{
		between('a', 'z'), between(0xa0, 0x24f), between(0x370, 0x10ff), between(0x3041, 0x30ff), between(0x4e00, 0x9fff), between(0xac00, 0xd7a3), links, emoji,
	}
	if random.IntN(3) == 0 { // what is seldom written
		alphabets = []func() string{
			between(1, '~'),
			between(0x300, 0x36f),   // marks
			between(0x1100, 0x11ff), // jamo
			between(0x1200, 0x1fff),
			between(0x2000, 0x206f),
			between(0x2070, 0x2bff), // symbols
			between(0x3000, 0x33ff),
			between(0xf900, 0xfaff), // ideographs that form C replaces
			between(0xfb00, 0xffff),
			between(0x1f000, 0x1faff), // emoji and their like
			between(0x1f1e6, 0x1f1ff),
			between(0x1f3fb, 0x1f3ff),
			between(0x20000, 0x2ffff),
			between(0xe0000, 0xe01ef), // tags and selectors
			between(1, 0xd7ff),
			between(0x10000, 0x10ffff),
			pieces("e\u0301", "か\u3099", "\u1112\u1161\u11ab", "o\u0302\u0323", "\u0344", "\u0958", "\u2126", "\ufb2a", "\ufeff", "\U0001d15e", "\U000110ab"),
		}
	}
	return alphabets[random.IntN(len(alphabets))]
}
