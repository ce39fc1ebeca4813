package sandbox

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// linkLength is what any link counts, since X replaces it by one of its own.
	linkLength = 23
	// emojiLength is what any emoji counts, of however many code points.
	emojiLength = 2
)

// weightedLength is the length of a text in the unit of User.TextLimit, by twitter-text's
// configuration v3 and in Unicode's normal form C: 23 for a link, 2 for an emoji sequence, 1 for a
// code point of the light ranges, 2 for any other.
func weightedLength(text string) int {
	text = norm.NFC.String(text)
	n, from := 0, 0
	for _, l := range findLinks(text) {
		n += weigh(text[from:l.start]) + linkLength
		from = l.end
	}
	return n + weigh(text[from:])
}

// weigh is the length of a text without links.
func weigh(text string) int {
	n := 0
	for text != "" {
		size, weight := firstCharacter(text)
		n += weight
		text = text[size:]
	}
	return n
}

// firstCharacter is the size in bytes, and the weight, of the emoji sequence or the code point that
// a text begins with.
func firstCharacter(text string) (int, int) {
	if text[0] < utf8.RuneSelf && (len(text) == 1 || text[1] < utf8.RuneSelf) {
		return 1, 1 // an ASCII character that no emoji begins with
	}
	if size := emojiSequence(text); size > 0 {
		return size, emojiLength
	}
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r <= 4351, 8192 <= r && r <= 8205, 8208 <= r && r <= 8223, 8242 <= r && r <= 8247:
		return size, 1
	}
	return size, 2
}

// invalidCodePoints are those that twitter-text accepts in no tweet.
const invalidCodePoints = "\ufffe\ufeff\uffff"

// sameText is the form in which two texts of a user are duplicates: normal form C, without the
// white space around.
func sameText(text string) string {
	return strings.TrimSpace(norm.NFC.String(text))
}

// cut is the longest beginning of a text that is not longer than limit and that ends within no
// link and no emoji.
func cut(text string, limit int) string {
	links := findLinks(text)
	n, at := 0, 0
	for at < len(text) {
		var size, weight int
		if len(links) > 0 && links[0].start == at {
			size, weight = links[0].end-at, linkLength
			links = links[1:]
		} else {
			size, weight = firstCharacter(text[at:])
		}
		if n+weight > limit {
			break
		}
		n += weight
		at += size
	}
	return text[:at]
}

// mentions tells whether a text names the user, as @ and the username, case ignored.
func mentions(text, username string) bool {
	for i := strings.IndexByte(text, '@'); i >= 0; {
		name := text[i+1:]
		name = name[:asciiWord(name)]
		if strings.EqualFold(name, username) && (i == 0 || !blocksMention(text[i-1])) {
			return true
		}
		next := strings.IndexByte(text[i+1:], '@')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return false
}

func blocksMention(before byte) bool {
	return asciiWord(string(before)) == 1 || strings.IndexByte("!#$%&*@", before) >= 0
}

// cashtags counts the cashtags in a text: a dollar sign at the beginning of a word, up to six
// letters, and up to two more after a dot or an underscore.
func cashtags(text string) int {
	n := 0
	for i := range len(text) {
		if text[i] != '$' || i > 0 && !strings.ContainsRune(" \t\r\n\v\f\u00a0\u3000", lastRune(text[:i])) {
			continue
		}
		tag := text[i+1:]
		size := asciiLetters(tag)
		if size < 1 || size > 6 {
			continue
		}
		if rest := tag[size:]; rest != "" && (rest[0] == '.' || rest[0] == '_') {
			if more := asciiLetters(rest[1:]); more == 1 || more == 2 {
				size += 1 + more
			}
		}
		if asciiWord(tag[size:]) == 0 {
			n++
		}
	}
	return n
}

// asciiWord is how many bytes of [A-Za-z0-9_] a text begins with.
func asciiWord(text string) int {
	i := 0
	for i < len(text) && (isASCIIAlphanumeric(text[i]) || text[i] == '_') {
		i++
	}
	return i
}

func asciiLetters(text string) int {
	i := 0
	for i < len(text) && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z') {
		i++
	}
	return i
}

func isASCIIAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func lastRune(text string) rune {
	r, _ := utf8.DecodeLastRuneInString(text)
	return r
}
