package twitter

import (
	"html"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// looseRune is a character that counts in a loose comparison, with what stands before it.
type looseRune struct {
	char rune
	// space says that white space stands between it and the one before; dot, that a dot does.
	space, dot bool
}

// loosePiece is what counts of a text, or a link if it is nil.
type loosePiece []looseRune

// looselySame reports whether the pieces that X shows could be the text that was sent, or its
// beginning: whether the letters and digits are the same, whatever the links are. If no letter or
// digit is shown, all that is visible must be the same.
//
// The links are left out in two ways: a link of X's stands for any word with a dot in it, whatever
// ParseTweet makes of that, or all links are as if they were not there.
func looselySame(sent string, shown []piece, beginning bool) bool {
	sent = unescape(sent)
	unlinked := withoutURLs(sent)
	for _, all := range []bool{false, true} {
		var pieces []loosePiece
		var words, unlinkedWords []looseRune
		for _, p := range shown {
			if p.link != nil {
				pieces = append(pieces, nil)
				continue
			}
			text := unescape(p.text)
			pieces = append(pieces, append(loosePiece{}, loosen(text, all)...))
			words = append(words, loosen(text, all)...)
			unlinkedWords = append(unlinkedWords, loosen(withoutURLs(text), all)...)
		}
		if len(words) == 0 && !all {
			continue
		}
		return fits(loosen(sent, all), pieces, beginning) ||
			fits(loosen(unlinked, all), []loosePiece{append(loosePiece{}, unlinkedWords...)}, beginning)
	}
	return false
}

// unescape undoes escapes for HTML, also where they were escaped again.
func unescape(text string) string {
	for range 3 {
		text = html.UnescapeString(text)
	}
	return text
}

// withoutURLs returns a text without what ParseTweet makes links of.
func withoutURLs(text string) string {
	parsed := ParseTweet(text)
	var rest strings.Builder
	at := 0
	for _, url := range parsed.URLs {
		rest.WriteString(parsed.Text[at:url.Start])
		rest.WriteByte(' ')
		at = url.End
	}
	rest.WriteString(parsed.Text[at:])
	return rest.String()
}

// loosen returns the letters and digits of a text, or all that is visible of it, without regard to
// case and to compatible forms such as half-width letters.
func loosen(text string, all bool) []looseRune {
	var loose []looseRune
	space, dot := false, false
	for _, r := range strings.ToLower(norm.NFKC.String(text)) {
		if unicode.IsSpace(r) {
			space = true
			continue
		}
		if !isInvisible(r) && (all || unicode.In(r, unicode.L, unicode.N, unicode.M)) {
			loose = append(loose, looseRune{char: r, space: space, dot: dot})
			space, dot = false, false
		}
		dot = dot || r == '.'
	}
	return loose
}

// isInvisible tells joiners, marks of direction, selectors of a variant, and the box of a keycap,
// which may come and go.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Cc, unicode.Variation_Selector) || r == '\u034f' || r == '\u20e3'
}

// looseForm is a short text in the loosest form that leaves something of it.
func looseForm(text string) string {
	for _, all := range []bool{false, true} {
		if loose := loosen(unescape(text), all); len(loose) > 0 {
			var form strings.Builder
			for _, r := range loose {
				form.WriteRune(r.char)
			}
			return form.String()
		}
	}
	return ""
}

// fits reports whether the pieces, one after the other, are the text, or its beginning. A link is
// nothing, or what may be one: characters without white space and with a dot between them.
func fits(sent []looseRune, pieces []loosePiece, beginning bool) bool {
	ends := make([]bool, len(sent)+1) // where in sent the pieces before may end
	ends[0] = true
	for _, p := range pieces {
		if !slices.Contains(ends, true) {
			return false
		}
		if p == nil {
			ends = afterLink(sent, ends)
		} else {
			ends = afterWords(sent, ends, p)
		}
	}
	return ends[len(sent)] || beginning && slices.Contains(ends, true)
}

func afterWords(sent []looseRune, ends []bool, words loosePiece) []bool {
	after := make([]bool, len(ends))
	for at, is := range ends {
		if is && len(sent)-at >= len(words) && slices.EqualFunc(sent[at:at+len(words)], words, sameChar) {
			after[at+len(words)] = true
		}
	}
	return after
}

func sameChar(a, b looseRune) bool { return a.char == b.char }

func afterLink(sent []looseRune, ends []bool) []bool {
	after := slices.Clone(ends)
	inWord, dotted := false, false // since the first end in this word, and a dot after it
	for at, r := range sent {
		if r.space {
			inWord, dotted = false, false
		}
		dotted = inWord && (dotted || r.dot)
		inWord = inWord || ends[at]
		after[at+1] = after[at+1] || dotted
	}
	return after
}
