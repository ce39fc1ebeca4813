package twitter

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// TextLimit is the weighted length that X accepts of any account.
	TextLimit = 280
	// PremiumTextLimit is the weighted length that X accepts of an account with X Premium (X's
	// changelog of 2024-08-20).
	PremiumTextLimit = 25_000
	// URLLength is what every URL counts, for X replaces it by one of t.co.
	URLLength = 23
)

// ParsedTweet is what [ParseTweet] found in a text.
type ParsedTweet struct {
	// Text is the text in Unicode's normalization form C, in which X counts and stores it.
	Text string
	// WeightedLength is the length in the unit of [TextLimit]: most letters count 1, ideographs,
	// kana, Hangul, symbols and each emoji 2, each URL [URLLength].
	WeightedLength int
	// URLs are the URLs that X would make links of, in their order.
	URLs []TextRange
	// Invalid is the first code point that X accepts in no tweet (U+FFFE, U+FEFF or U+FFFF),
	// [utf8.RuneError] where the text is not UTF-8, and 0 if there is neither.
	Invalid rune
}

// TextRange is a part of [ParsedTweet.Text], in bytes: Text[Start:End].
type TextRange struct {
	Start, End int
}

// TextProblem says why X would refuse a text.
type TextProblem string

// The problems of a text, and that there is none.
const (
	TextOK      TextProblem = ""
	TextEmpty   TextProblem = "empty" // nothing but white space, if at all
	TextInvalid TextProblem = "invalid character"
	TextTooLong TextProblem = "too long"
)

// Problem says whether X would accept the text of an account with this limit, and if not, why. Of
// several problems it tells the first in the order of the constants. A tweet with media may be empty
// all the same.
func (p ParsedTweet) Problem(limit int) TextProblem {
	switch {
	case strings.TrimSpace(p.Text) == "":
		return TextEmpty
	case p.Invalid != 0:
		return TextInvalid
	case p.WeightedLength > limit:
		return TextTooLong
	default:
		return TextOK
	}
}

// Valid reports whether the text has no [TextProblem].
func (p ParsedTweet) Valid(limit int) bool { return p.Problem(limit) == TextOK }

// Permillage returns how much of a limit, which is above 0, the text takes, in thousandths, rounded down.
func (p ParsedTweet) Permillage(limit int) int { return p.WeightedLength * 1000 / limit }

// String tells the findings without the text.
func (p ParsedTweet) String() string {
	return fmt.Sprintf("weighted length %d, %d URLs, problem %q", p.WeightedLength, len(p.URLs), string(p.Problem(TextLimit)))
}

// ParseTweet measures a text as X does, by the rules of twitter-text with its configuration v3
// (github.com/twitter/twitter-text, config/v3.json and its conformance tests).
//
// The text is normalized, URLs and emoji are found, and the rest counts by code point. Where
// twitter-text is dated, today's data decide: a top-level domain is one of the public suffix list,
// and an emoji is what Unicode makes one of, for X says that every emoji counts 2. X has the last
// word: over a new emoji or a new domain the two may differ.
//
// The time grows with the length of the text, whatever is in it. Without a URL, a text in form C
// costs no allocation.
func ParseTweet(text string) ParsedTweet {
	if isPlain(text) {
		return ParsedTweet{Text: text, WeightedLength: len(text)}
	}
	p := ParsedTweet{Text: text}
	if !isComposed(text) {
		p.Text = norm.NFC.String(text)
		// Where more than 30 marks follow each other the library, but not X, puts a joiner between
		// (UAX 15, stream-safe text).
		const joiner = "\u034f"
		p.WeightedLength = strings.Count(text, joiner) - strings.Count(p.Text, joiner)
	}
	p.URLs = findURLs(p.Text)
	at := 0
	for _, url := range p.URLs {
		length, invalid := weigh(p.Text[at:url.Start])
		p.WeightedLength += length + URLLength
		p.Invalid = cmp.Or(p.Invalid, invalid)
		at = url.End
	}
	length, invalid := weigh(p.Text[at:])
	p.WeightedLength += length
	p.Invalid = cmp.Or(p.Invalid, invalid)
	return p
}

// isPlain reports whether a text is ASCII and has no dot, without which there is no URL.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf || text[i] == '.' {
			return false
		}
	}
	return true
}

// isComposed reports whether a text is in form C for certain. Only what stands at U+0300, which is
// 0xCC 0x80, or after can be out of it.
func isComposed(text string) bool {
	for i := range len(text) {
		if text[i] >= 0xcc {
			return norm.NFC.QuickSpanString(text) == len(text)
		}
	}
	return true
}

// weigh returns the length of a text without URLs, and the first code point in it that X accepts in
// no tweet.
func weigh(text string) (length int, invalid rune) {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf && (i+1 == len(text) || text[i+1] < utf8.RuneSelf) {
			length++
			i++
			continue
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		if mayBeginEmoji(c) {
			if n := emojiSize(text[i:]); n > 0 {
				length += 2
				i += n
				continue
			}
		}
		if invalid == 0 && (isInvalid(c) || c == utf8.RuneError && size == 1) {
			invalid = c
		}
		length += weight(c)
		i += size
	}
	return length, invalid
}

// weight is what a code point counts by itself: 1 in the ranges of config/v3.json, else 2.
func weight(c rune) int {
	switch {
	case c <= 0x10ff, // Latin to Georgian
		0x2000 <= c && c <= 0x200d, // spaces and joiners
		0x2010 <= c && c <= 0x201f, // dashes and quotation marks
		0x2032 <= c && c <= 0x2037: // primes
		return 1
	default:
		return 2
	}
}

// isInvalid reports whether X accepts a code point in no tweet.
func isInvalid(c rune) bool { return c == 0xfffe || c == 0xfeff || c == 0xffff }
