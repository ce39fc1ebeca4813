package sandbox

import (
	"strings"
	"unicode/utf8"
)

const (
	zeroWidthJoiner = "\u200d"
	textStyle       = '\ufe0e' // asks for the black and white form of the character before it
	emojiStyle      = '\ufe0f' // asks for the colourful one
	keycapMark      = "\u20e3"
	firstTag        = 0xe0020 // tag characters spell the region of a flag
	cancelTag       = 0xe007f
)

// emojiSequence is the size in bytes of the emoji that a text begins with, or 0 if it begins with
// none. By Unicode TR51 that is one element, or several joined by the zero-width joiner. X knows a
// list of sequences; here, any sequence of the form is one.
func emojiSequence(text string) int {
	size := emojiElement(text)
	if size == 0 {
		return 0
	}
	for strings.HasPrefix(text[size:], zeroWidthJoiner) {
		next := emojiElement(text[size+len(zeroWidthJoiner):])
		if next == 0 {
			break
		}
		size += len(zeroWidthJoiner) + next
	}
	return size
}

// emojiElement is the size in bytes of the flag, the keycap, or the emoji with its style, skin tone
// or tags that a text begins with, or 0.
func emojiElement(text string) int {
	r, size := utf8.DecodeRuneInString(text)
	next, nextSize := utf8.DecodeRuneInString(text[size:])
	switch {
	case isRegionLetter(r):
		if !isRegionLetter(next) {
			return 0
		}
		return size + nextSize
	case r < utf8.RuneSelf:
		return keycap(text)
	case next == textStyle || !inRanges(emoji, r):
		return 0
	case next == emojiStyle:
		return size + nextSize
	case r == '©' || r == '®':
		return 0 // plain text unless the style follows
	case isSkinTone(next) && inRanges(modifierBases, r):
		return size + nextSize
	case next >= firstTag && next < cancelTag:
		return size + tags(text[size:])
	}
	return size
}

// keycap is the size of a digit, # or * in a key, or 0.
func keycap(text string) int {
	if strings.IndexByte("0123456789#*", text[0]) < 0 {
		return 0
	}
	rest := strings.TrimPrefix(text[1:], string(emojiStyle))
	if !strings.HasPrefix(rest, keycapMark) {
		return 0
	}
	return len(text) - len(rest) + len(keycapMark)
}

// tags is the size of the tag characters that a text begins with, their end included, or 0 if they
// do not end.
func tags(text string) int {
	for i, r := range text {
		switch {
		case r == cancelTag:
			return i + utf8.RuneLen(r)
		case r < firstTag || r > cancelTag:
			return 0
		}
	}
	return 0
}

func isRegionLetter(r rune) bool { return 0x1f1e6 <= r && r <= 0x1f1ff }

func isSkinTone(r rune) bool { return 0x1f3fb <= r && r <= 0x1f3ff }

// inRanges tells whether r is in one of the ranges, each given by its first and its last.
func inRanges(ranges string, r rune) bool {
	if 0x3040 <= r && r < 0x3297 || 0x3300 <= r && r < 0x1f000 {
		return false // where the scripts of East Asia are, and no emoji
	}
	first := rune(-1)
	for _, bound := range ranges {
		switch {
		case first < 0:
			if bound > r {
				return false
			}
			first = bound
		case r <= bound:
			return true
		default:
			first = -1
		}
	}
	return false
}

// emoji are the characters with Unicode's property Emoji beyond ASCII, except the letters of flags.
// The last block is whole, since each year's new ones come from it.
const emoji = "" +
	"\u00a9\u00a9\u00ae\u00ae\u203c\u203c\u2049\u2049\u2122\u2122\u2139\u2139\u2194\u2199\u21a9\u21aa\u231a\u231b" +
	"\u2328\u2328\u23cf\u23cf\u23e9\u23f3\u23f8\u23fa\u24c2\u24c2\u25aa\u25ab\u25b6\u25b6\u25c0\u25c0\u25fb\u25fe" +
	"\u2600\u2604\u260e\u260e\u2611\u2611\u2614\u2615\u2618\u2618\u261d\u261d\u2620\u2620\u2622\u2623\u2626\u2626" +
	"\u262a\u262a\u262e\u262f\u2638\u263a\u2640\u2640\u2642\u2642\u2648\u2653\u265f\u2660\u2663\u2663\u2665\u2666" +
	"\u2668\u2668\u267b\u267b\u267e\u267f\u2692\u2697\u2699\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26a7\u26aa\u26ab" +
	"\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26c8\u26ce\u26cf\u26d1\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0\u26f5" +
	"\u26f7\u26fa\u26fd\u26fd\u2702\u2702\u2705\u2705\u2708\u270d\u270f\u270f\u2712\u2712\u2714\u2714\u2716\u2716" +
	"\u271d\u271d\u2721\u2721\u2728\u2728\u2733\u2734\u2744\u2744\u2747\u2747\u274c\u274c\u274e\u274e\u2753\u2755" +
	"\u2757\u2757\u2763\u2764\u2795\u2797\u27a1\u27a1\u27b0\u27b0\u27bf\u27bf\u2934\u2935\u2b05\u2b07\u2b1b\u2b1c" +
	"\u2b50\u2b50\u2b55\u2b55\u3030\u3030\u303d\u303d\u3297\u3297\u3299\u3299\U0001f004\U0001f004" +
	"\U0001f0cf\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f18e\U0001f191\U0001f19a" +
	"\U0001f201\U0001f202\U0001f21a\U0001f21a\U0001f22f\U0001f22f\U0001f232\U0001f23a\U0001f250\U0001f251" +
	"\U0001f300\U0001f321\U0001f324\U0001f393\U0001f396\U0001f397\U0001f399\U0001f39b\U0001f39e\U0001f3f0" +
	"\U0001f3f3\U0001f3f5\U0001f3f7\U0001f4fd\U0001f4ff\U0001f53d\U0001f549\U0001f54e\U0001f550\U0001f567" +
	"\U0001f56f\U0001f570\U0001f573\U0001f57a\U0001f587\U0001f587\U0001f58a\U0001f58d\U0001f590\U0001f590" +
	"\U0001f595\U0001f596\U0001f5a4\U0001f5a5\U0001f5a8\U0001f5a8\U0001f5b1\U0001f5b2\U0001f5bc\U0001f5bc" +
	"\U0001f5c2\U0001f5c4\U0001f5d1\U0001f5d3\U0001f5dc\U0001f5de\U0001f5e1\U0001f5e1\U0001f5e3\U0001f5e3" +
	"\U0001f5e8\U0001f5e8\U0001f5ef\U0001f5ef\U0001f5f3\U0001f5f3\U0001f5fa\U0001f64f\U0001f680\U0001f6c5" +
	"\U0001f6cb\U0001f6d2\U0001f6d5\U0001f6d7\U0001f6dc\U0001f6e5\U0001f6e9\U0001f6e9\U0001f6eb\U0001f6ec" +
	"\U0001f6f0\U0001f6f0\U0001f6f3\U0001f6fc\U0001f7e0\U0001f7eb\U0001f7f0\U0001f7f0\U0001f90c\U0001f93a" +
	"\U0001f93c\U0001f945\U0001f947\U0001f9ff\U0001fa70\U0001faff"

// modifierBases are those with Emoji_Modifier_Base, which take a skin tone.
const modifierBases = "" +
	"\u261d\u261d\u26f9\u26f9\u270a\u270d\U0001f385\U0001f385\U0001f3c2\U0001f3c4\U0001f3c7\U0001f3c7" +
	"\U0001f3ca\U0001f3cc\U0001f442\U0001f443\U0001f446\U0001f450\U0001f466\U0001f478\U0001f47c\U0001f47c" +
	"\U0001f481\U0001f483\U0001f485\U0001f487\U0001f48f\U0001f48f\U0001f491\U0001f491\U0001f4aa\U0001f4aa" +
	"\U0001f574\U0001f575\U0001f57a\U0001f57a\U0001f590\U0001f590\U0001f595\U0001f596\U0001f645\U0001f647" +
	"\U0001f64b\U0001f64f\U0001f6a3\U0001f6a3\U0001f6b4\U0001f6b6\U0001f6c0\U0001f6c0\U0001f6cc\U0001f6cc" +
	"\U0001f90c\U0001f90c\U0001f90f\U0001f90f\U0001f918\U0001f91f\U0001f926\U0001f926\U0001f930\U0001f939" +
	"\U0001f93c\U0001f93e\U0001f977\U0001f977\U0001f9b5\U0001f9b6\U0001f9b8\U0001f9b9\U0001f9bb\U0001f9bb" +
	"\U0001f9cd\U0001f9cf\U0001f9d1\U0001f9dd\U0001fac3\U0001fac5\U0001faf0\U0001faf8"
