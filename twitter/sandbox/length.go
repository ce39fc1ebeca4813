package sandbox

import (
	"strings"
	"unicode"
)

// urlLength is what any link counts, since X replaces it by one of its own.
const urlLength = 23

// weightedLength is the length of a text in the unit of User.TextLimit, by the simple rule of the
// package comment: 23 for a word that begins with http:// or https://, 1 for a code point of the
// light ranges, 2 for any other.
func weightedLength(text string) int {
	n := 0
	for _, r := range text {
		if unicode.IsSpace(r) {
			n += weight(r)
		}
	}
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://") {
			n += urlLength
			continue
		}
		for _, r := range word {
			n += weight(r)
		}
	}
	return n
}

// weight is twitter-text's configuration v3: 1 for the code points of its light ranges, else 2.
func weight(r rune) int {
	switch {
	case r <= 4351, 8192 <= r && r <= 8205, 8208 <= r && r <= 8223, 8242 <= r && r <= 8247:
		return 1
	}
	return 2
}
