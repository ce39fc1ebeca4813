//nolint:gosmopolitan // Texts of many scripts are what is measured.
package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// icuDB returns a migrated database whose default collation is ICU's: there, punctuation and
// symbols do not stand where their code points are.
func icuDB(t *testing.T) store.DBTX {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	empty := storetest.EmptyURL(t)
	conn, err := pgx.Connect(ctx, empty)
	require.NoError(t, err)
	var name string
	require.NoError(t, conn.QueryRow(ctx, `SELECT current_database()`).Scan(&name))
	_, err = conn.Exec(ctx, `CREATE DATABASE `+name+`_icu TEMPLATE template0 ENCODING 'UTF8'
		LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(ctx, `DROP DATABASE `+name+`_icu WITH (FORCE)`)
		require.NoError(t, err)
		require.NoError(t, conn.Close(ctx))
	})
	url := strings.Replace(empty, "/"+name+"?", "/"+name+"_icu?", 1)
	require.NoError(t, migrations.Up(ctx, migrations.Config{}, url))
	return storetest.Open(t, url)
}

// lengthDBs returns databases of the two kinds of collation.
func lengthDBs(t *testing.T) map[string]store.DBTX {
	t.Helper()
	return map[string]store.DBTX{"C": storetest.DB(t), "ICU": icuDB(t)}
}

func TestTextLengthAtLeast(t *testing.T) {
	t.Parallel()
	for collation, db := range lengthDBs(t) {
		for _, c := range []struct {
			text string
			want int
		}{
			{"", 0},
			{"a", 1},
			{strings.Repeat("a", 281), 281},
			{strings.Repeat("の", 141), 282},
			{strings.Repeat("漢", 141), 282},
			{strings.Repeat("한", 141), 282},
			{strings.Repeat("한", 141), 282}, // the same in jamo
			{strings.Repeat("が", 141), 282}, // with a combining mark
			{strings.Repeat("é", 281), 281},
			{strings.Repeat("e\u0301", 281), 281},
			{strings.Repeat("Ж", 281), 281},
			{strings.Repeat("Ａ", 141), 282},
			{"の" + strings.Repeat("1", 279), 281},
			{strings.Repeat("𠮷", 141), 282},
			{"https://example.com/" + strings.Repeat("a", 1000), 23},
			{strings.Repeat("a", 250) + " https://example.com/" + strings.Repeat("a", 100), 274},
			{"See http://t.co/a", 3 + 1 + 13}, // X counts 23: a short URL is beyond a bound
			{"日本 https://example.jp/" + strings.Repeat("a", 100), 4 + 1 + 23},
			{"two\nlines", 9},
			{"a  b", 4},
			{" ", 1},
		} {
			require.Equal(t, c.want, query[int](t, db, `SELECT tweetqueue.text_length_at_least($1)`, c.text), "%s: %.40q", collation, c.text)
		}
		require.Nil(t, query[*int](t, db, `SELECT tweetqueue.text_length_at_least(NULL)`))
	}
}

// atom is a piece of text whose weighted length is beyond doubt.
type atom struct {
	text   string
	weight int
	// word atoms must stand between spaces, or at an end.
	word bool
}

func atoms() *rapid.Generator[atom] {
	from := func(chars string, weight int) *rapid.Generator[atom] {
		return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]rune(chars)), 1, 30), func(runes []rune) atom {
			return atom{text: string(runes), weight: weight * len(runes)}
		})
	}
	sampled := func(weight int, texts ...string) *rapid.Generator[atom] {
		return rapid.Map(rapid.SampledFrom(texts), func(text string) atom { return atom{text: text, weight: weight} })
	}
	return rapid.OneOf(
		from("abcxyzABCXYZ0123456789!?,;:#*@$%&()-_=+'\"/", 1),
		from("あいうえおかきくけこアイウエオカキクケコ漢字東京大阪", 2),
		from("ÀÈÌÒÙàèìòùñçßøåæðþŁőčžабвгдΑΒΓאבגابت", 1),
		sampled(1, "©", "®", "0", "9"),
		// General punctuation that counts 1: U+2010 to U+201F, U+2032 to U+2037.
		from("‐‑‒–—―‖‗‘’‚‛“”„‟′″‴‵‶‷", 1),
		// Symbols that count 2 and are no emoji.
		from("€₹→⇒∀∑≤■◆※①Ⅳ、。「」〜・＂＃", 2),
		// Emoji sequences, each of which counts 2, however many code points it has.
		sampled(2, "😀", "👍", "❤️", "👍🏽", "👩‍👩‍👧‍👦", "🏃🏻‍♀️‍➡️", "🏳️‍🌈", "🏴‍☠️", "👁️‍🗨️", "1️⃣", "#️⃣", "*️⃣", "©️", "®️", "🇦🇹", "🇯🇵",
			"🏴󠁧󠁢󠁥󠁮󠁧󠁿", "⌚", "☀️", "✈️", "⚕️", "♻️", "🧑‍⚕️", "🤷🏿‍♂️", "㊗️", "㊙️", "〰️", "🈚", "🀄"),
		// Decomposed forms, which X composes before it counts.
		sampled(1, "e\u0301", "a\u0308", "n\u0303", "u\u0308", "c\u0327", "A\u030a", "и\u0306"),
		sampled(2, "か\u3099", "は\u309a", "ハ\u3099", "\u1112\u1161\u11ab", "\u1100\u1161", "\u1100\u1161\u11a8"),
		// Composed, these lie past U+10FF, where a letter counts 2; the mark that is left counts 1.
		sampled(3, "e\u0301\u0323"),
		// A URL counts 23, however long or short it is.
		rapid.Map(rapid.StringMatching(`https?://(example|test-1)\.(com|org|co\.uk)(/[a-z0-9/_-]{0,120}[a-z0-9/])?(\?[a-z]=[0-9]{1,30})?`), func(url string) atom {
			return atom{text: url, weight: 23, word: true}
		}),
		rapid.Map(rapid.SampledFrom([]string{"wait...", "3.14", "no.", "...", "1.000.000"}), func(text string) atom {
			return atom{text: text, weight: len(text), word: true}
		}),
	)
}

// text joins atoms, and says how long the whole is for X.
func text() *rapid.Generator[atom] {
	return rapid.Custom(func(t *rapid.T) atom {
		var b strings.Builder
		weight, last := 0, atom{}
		for i, a := range rapid.SliceOfN(atoms(), 1, 12).Draw(t, "atoms") {
			separator := rapid.SampledFrom([]string{"", " ", "\n", "  "}).Draw(t, "separator")
			if a.word || last.word {
				separator = " "
			}
			if i > 0 {
				b.WriteString(separator)
				weight += len(separator)
			}
			b.WriteString(a.text)
			weight += a.weight
			last = a
		}
		return atom{text: b.String(), weight: weight}
	})
}

// What the bound refuses must be too long for X: it is never above the true length, in whatever
// the texts are made of and the database sorts by.
func TestTextLengthIsNeverTooMuch(t *testing.T) {
	t.Parallel()
	for collation, db := range lengthDBs(t) {
		bounded := 0 // texts for which the bound is worth something
		rapid.Check(t, func(r *rapid.T) {
			drawn := rapid.SliceOfN(text(), 20, 40).Draw(r, "texts")
			texts := make([]string, len(drawn))
			for i, a := range drawn {
				texts[i] = a.text
			}
			bounds := queryAll[int](t, db, `SELECT tweetqueue.text_length_at_least(text)
				FROM unnest($1::text[]) WITH ORDINALITY AS u (text, i) ORDER BY i`, texts)
			for i, a := range drawn {
				if bounds[i] > a.weight {
					r.Fatalf("%s: the bound of %q is %d, its length %d", collation, a.text, bounds[i], a.weight)
				}
				if bounds[i] > a.weight/2 {
					bounded++
				}
			}
		})
		require.Positive(t, bounded)
	}
}

// The trigger looks at no text of up to 280 bytes, so the bound must not exceed the bytes.
func TestTextLengthIsAtMostItsBytes(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	rapid.Check(t, func(r *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringOf(rapid.Rune().Filter(func(c rune) bool { return c != 0 })), 50, 50).Draw(r, "texts")
		wrong := queryAll[string](t, db, `SELECT text FROM unnest($1::text[]) AS text
			WHERE tweetqueue.text_length_at_least(text) > octet_length(text)`, texts)
		if len(wrong) > 0 {
			r.Fatalf("%q", wrong)
		}
	})
}

func BenchmarkTextLengthAtLeast(b *testing.B) {
	db := storetest.DB(b)
	for name, text := range map[string]string{
		"ASCII":    strings.Repeat("hello world ", 25),
		"URL":      strings.Repeat("hello world ", 25) + "https://example.com/",
		"Japanese": strings.Repeat("日本語", 50),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				exec(b, db, `SELECT count(tweetqueue.text_length_at_least($1 || i)) FROM generate_series(1, 100) AS i`, text)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*100), "µs/text")
		})
	}
}
