package twitter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// What joins code points to one emoji (Unicode Technical Standard 51, section 1.4).
const (
	zeroWidthJoiner = "\u200d"
	selectEmoji     = "\ufe0f" // variation selector 16
	keycap          = "\u20e3"
	englandFlag     = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
	scotlandFlag    = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
	walesFlag       = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
)

// mayBeginEmoji reports whether emojiSize may find something where this code point stands.
func mayBeginEmoji(c rune) bool {
	return c >= 0x1f000 || c >= 0x203c && c <= 0x3299 || c == '©' || c == '®' || isKeycapBase(c)
}

// emojiSize returns the size in bytes of the emoji that text begins with, if it is a sequence of
// several code points, and else 0: an emoji of one code point counts what any symbol does.
//
// The sequences are those of UTS 51: flags, keycaps, an emoji with the selector of its look or a
// skin tone, and such emoji with joiners between them. What twitter-text counts apart counts apart
// here: a skin tone after what has none, the selector of the text's look, a mark on top, a flag that
// no region has. "©" and "1" by themselves are text. Joined emoji need not be on Unicode's list of
// recommended ones: twitter-text's own list ends in 2019, and X says that every emoji counts 2.
func emojiSize(text string) int {
	first, size := utf8.DecodeRuneInString(text)
	second, _ := utf8.DecodeRuneInString(text[size:])
	switch {
	case isKeycapBase(first):
		return keycapSize(text)
	case isRegionalIndicator(first):
		return flagSize(first, second)
	case isTag(second):
		return tagFlagSize(text)
	case strings.HasPrefix(text[size:], zeroWidthJoiner), strings.HasPrefix(text[size:], selectEmoji), isSkinTone(second):
		// Which code points a joiner joins is the library's to know, and changes every year.
		clusters := graphemes.FromString(text)
		clusters.Next()
		if n := joinedSize(clusters.Value()); n > size {
			return n
		}
	}
	return 0
}

func keycapSize(text string) int {
	for _, sequence := range []string{selectEmoji + keycap, keycap} {
		if strings.HasPrefix(text[1:], sequence) {
			return 1 + len(sequence)
		}
	}
	return 0
}

func flagSize(first, second rune) int {
	if !isRegionalIndicator(second) {
		return 0
	}
	region := string([]byte{byte('A' + first - 0x1f1e6), byte('A' + second - 0x1f1e6)})
	if !strings.Contains(flagRegions, region) {
		return 0
	}
	return utf8.RuneLen(first) + utf8.RuneLen(second)
}

func tagFlagSize(text string) int {
	for _, flag := range []string{englandFlag, scotlandFlag, walesFlag} {
		if strings.HasPrefix(text, flag) {
			return len(flag)
		}
	}
	return 0
}

// joinedSize returns the size of the emoji, with joiners between them, that a grapheme cluster begins
// with, 0 if there is none.
func joinedSize(cluster string) int {
	end := 0
	for at := 0; ; at = end + len(zeroWidthJoiner) {
		c, size := utf8.DecodeRuneInString(cluster[at:])
		if !isEmoji(c) {
			return end
		}
		end = at + size
		if strings.HasPrefix(cluster[end:], selectEmoji) {
			end += len(selectEmoji)
		} else if c == '©' || c == '®' {
			return at
		}
		if tone, size := utf8.DecodeRuneInString(cluster[end:]); isSkinTone(tone) && unicode.Is(emojiModifierBase, c) {
			end += size
		}
		if !strings.HasPrefix(cluster[end:], zeroWidthJoiner) {
			return end
		}
	}
}

// isEmoji reports whether a code point can be an emoji. Past the Basic Multilingual Plane it takes
// the whole planes of pictures, where emoji are still added.
func isEmoji(c rune) bool {
	if c > 0xffff {
		return 0x1f000 <= c && c <= 0x1fffd && !isRegionalIndicator(c) && !isSkinTone(c)
	}
	return unicode.Is(bmpEmoji, c)
}

func isKeycapBase(c rune) bool        { return c == '#' || c == '*' || '0' <= c && c <= '9' }
func isRegionalIndicator(c rune) bool { return 0x1f1e6 <= c && c <= 0x1f1ff }
func isSkinTone(c rune) bool          { return 0x1f3fb <= c && c <= 0x1f3ff }
func isTag(c rune) bool               { return 0xe0020 <= c && c <= 0xe007f }

// flagRegions are the regions that have a flag: emoji-sequences.txt of Unicode 17.0. The spaces keep
// a pair of letters from being found across two regions.
const flagRegions = "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO " +
	"BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CP CQ CR CU CV CW CX CY CZ DE " +
	"DG DJ DK DM DO DZ EA EC EE EG EH ER ES ET EU FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL " +
	"GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU IC ID IE IL IM IN IO IQ IR IS IT JE JM JO " +
	"JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH " +
	"MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA " +
	"PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL " +
	"SM SN SO SR SS ST SV SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM " +
	"UN US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW "

// bmpEmoji are the code points of the Basic Multilingual Plane with the property Emoji, less ASCII:
// emoji-data.txt of Unicode 17.0.
//
//nolint:gochecknoglobals // A table, never written.
var bmpEmoji = &unicode.RangeTable{
	LatinOffset: 2,
	R16: []unicode.Range16{
		{0xa9, 0xa9, 1},
		{0xae, 0xae, 1},
		{0x203c, 0x203c, 1},
		{0x2049, 0x2049, 1},
		{0x2122, 0x2122, 1},
		{0x2139, 0x2139, 1},
		{0x2194, 0x2199, 1},
		{0x21a9, 0x21aa, 1},
		{0x231a, 0x231b, 1},
		{0x2328, 0x2328, 1},
		{0x23cf, 0x23cf, 1},
		{0x23e9, 0x23f3, 1},
		{0x23f8, 0x23fa, 1},
		{0x24c2, 0x24c2, 1},
		{0x25aa, 0x25ab, 1},
		{0x25b6, 0x25b6, 1},
		{0x25c0, 0x25c0, 1},
		{0x25fb, 0x25fe, 1},
		{0x2600, 0x2604, 1},
		{0x260e, 0x260e, 1},
		{0x2611, 0x2611, 1},
		{0x2614, 0x2615, 1},
		{0x2618, 0x2618, 1},
		{0x261d, 0x261d, 1},
		{0x2620, 0x2620, 1},
		{0x2622, 0x2623, 1},
		{0x2626, 0x2626, 1},
		{0x262a, 0x262a, 1},
		{0x262e, 0x262f, 1},
		{0x2638, 0x263a, 1},
		{0x2640, 0x2640, 1},
		{0x2642, 0x2642, 1},
		{0x2648, 0x2653, 1},
		{0x265f, 0x2660, 1},
		{0x2663, 0x2663, 1},
		{0x2665, 0x2666, 1},
		{0x2668, 0x2668, 1},
		{0x267b, 0x267b, 1},
		{0x267e, 0x267f, 1},
		{0x2692, 0x2697, 1},
		{0x2699, 0x2699, 1},
		{0x269b, 0x269c, 1},
		{0x26a0, 0x26a1, 1},
		{0x26a7, 0x26a7, 1},
		{0x26aa, 0x26ab, 1},
		{0x26b0, 0x26b1, 1},
		{0x26bd, 0x26be, 1},
		{0x26c4, 0x26c5, 1},
		{0x26c8, 0x26c8, 1},
		{0x26ce, 0x26cf, 1},
		{0x26d1, 0x26d1, 1},
		{0x26d3, 0x26d4, 1},
		{0x26e9, 0x26ea, 1},
		{0x26f0, 0x26f5, 1},
		{0x26f7, 0x26fa, 1},
		{0x26fd, 0x26fd, 1},
		{0x2702, 0x2702, 1},
		{0x2705, 0x2705, 1},
		{0x2708, 0x270d, 1},
		{0x270f, 0x270f, 1},
		{0x2712, 0x2712, 1},
		{0x2714, 0x2714, 1},
		{0x2716, 0x2716, 1},
		{0x271d, 0x271d, 1},
		{0x2721, 0x2721, 1},
		{0x2728, 0x2728, 1},
		{0x2733, 0x2734, 1},
		{0x2744, 0x2744, 1},
		{0x2747, 0x2747, 1},
		{0x274c, 0x274c, 1},
		{0x274e, 0x274e, 1},
		{0x2753, 0x2755, 1},
		{0x2757, 0x2757, 1},
		{0x2763, 0x2764, 1},
		{0x2795, 0x2797, 1},
		{0x27a1, 0x27a1, 1},
		{0x27b0, 0x27b0, 1},
		{0x27bf, 0x27bf, 1},
		{0x2934, 0x2935, 1},
		{0x2b05, 0x2b07, 1},
		{0x2b1b, 0x2b1c, 1},
		{0x2b50, 0x2b50, 1},
		{0x2b55, 0x2b55, 1},
		{0x3030, 0x3030, 1},
		{0x303d, 0x303d, 1},
		{0x3297, 0x3297, 1},
		{0x3299, 0x3299, 1},
	},
}

// emojiModifierBase are the code points that a skin tone can follow: emoji-data.txt of Unicode 17.0.
//
//nolint:gochecknoglobals // A table, never written.
var emojiModifierBase = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x261d, 0x261d, 1}, {0x26f9, 0x26f9, 1}, {0x270a, 0x270d, 1},
	},
	R32: []unicode.Range32{
		{0x1f385, 0x1f385, 1},
		{0x1f3c2, 0x1f3c4, 1},
		{0x1f3c7, 0x1f3c7, 1},
		{0x1f3ca, 0x1f3cc, 1},
		{0x1f442, 0x1f443, 1},
		{0x1f446, 0x1f450, 1},
		{0x1f466, 0x1f478, 1},
		{0x1f47c, 0x1f47c, 1},
		{0x1f481, 0x1f483, 1},
		{0x1f485, 0x1f487, 1},
		{0x1f48f, 0x1f48f, 1},
		{0x1f491, 0x1f491, 1},
		{0x1f4aa, 0x1f4aa, 1},
		{0x1f574, 0x1f575, 1},
		{0x1f57a, 0x1f57a, 1},
		{0x1f590, 0x1f590, 1},
		{0x1f595, 0x1f596, 1},
		{0x1f645, 0x1f647, 1},
		{0x1f64b, 0x1f64f, 1},
		{0x1f6a3, 0x1f6a3, 1},
		{0x1f6b4, 0x1f6b6, 1},
		{0x1f6c0, 0x1f6c0, 1},
		{0x1f6cc, 0x1f6cc, 1},
		{0x1f90c, 0x1f90c, 1},
		{0x1f90f, 0x1f90f, 1},
		{0x1f918, 0x1f91f, 1},
		{0x1f926, 0x1f926, 1},
		{0x1f930, 0x1f939, 1},
		{0x1f93c, 0x1f93e, 1},
		{0x1f977, 0x1f977, 1},
		{0x1f9b5, 0x1f9b6, 1},
		{0x1f9b8, 0x1f9b9, 1},
		{0x1f9bb, 0x1f9bb, 1},
		{0x1f9cd, 0x1f9cf, 1},
		{0x1f9d1, 0x1f9dd, 1},
		{0x1fac3, 0x1fac5, 1},
		{0x1faf0, 0x1faf8, 1},
	},
}
