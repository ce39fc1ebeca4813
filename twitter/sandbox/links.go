package sandbox

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// link is a URL in a text, in bytes: from start up to end.
type link struct{ start, end int }

const (
	maxLink     = 4096 // characters
	maxHost     = 253  // bytes, in the ASCII form
	maxLabel    = 63   // bytes, in the ASCII form
	maxShortTag = 40   // characters after https://t.co/
)

// findLinks finds what X makes a link of, by the rules of twitter-text: a host whose last label is
// a top-level domain that exists, with http://, https:// or nothing before it, and the port, path
// and query that follow. Without a scheme, a host is ASCII and stands apart from what is before it.
func findLinks(text string) []link {
	var found []link
	end := 0 // of the run of host characters that at is in
	for at := 0; ; {
		dot := strings.IndexByte(text[at:], '.')
		if dot < 0 {
			return found
		}
		dot += at
		start := hostStart(text, at, dot)
		if dot >= end {
			end = hostEnd(text, dot)
		}
		l, ok := schemeLink(text, start, end)
		if !ok {
			l, ok = bareLink(text, start, end)
		}
		at = end
		if ok {
			at = l.end
		}
		if ok && !tooLong(text[l.start:l.end]) {
			found = append(found, l)
		}
	}
}

// tooLong counts a scheme also where there is none.
func tooLong(url string) bool {
	n := utf8.RuneCountInString(url)
	if !hasScheme(url) {
		n += len("https://")
	}
	return n > maxLink
}

// hostStart and hostEnd are where the run of host characters around the byte at dot begins, but
// not before least, and ends.
func hostStart(text string, least, dot int) int {
	start := dot
	for start > least {
		r, size := utf8.DecodeLastRuneInString(text[least:start])
		if !isHostRune(r) {
			break
		}
		start -= size
	}
	return start
}

func hostEnd(text string, dot int) int {
	end := dot + 1
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !isHostRune(r) {
			break
		}
		end += size
	}
	return end
}

// schemeLink is the link whose host is at the beginning of text[start:end], after a scheme.
func schemeLink(text string, start, end int) (link, bool) {
	before := text[:start]
	scheme := start
	for _, s := range []string{"https://", "http://"} {
		if from := len(before) - len(s); from >= 0 && strings.EqualFold(before[from:], s) {
			scheme = from
			break
		}
	}
	if scheme == start || !mayPrecede(lastRune(text[:scheme])) {
		return link{}, false
	}
	size := hostLength(text[start:end], text[end:])
	if size == 0 {
		return link{}, false
	}
	host := start + size
	l := link{scheme, linkEnd(text, host)}
	if strings.EqualFold(text[start:host], "t.co") && host < len(text) && text[host] == '/' {
		tag := host + 1
		for tag < len(text) && isASCIIAlphanumeric(text[tag]) {
			tag++
		}
		if tag-host-1 > maxShortTag {
			return link{}, false
		}
		if tag > host+1 {
			l.end = queryEnd(text, tag)
		}
	}
	return l, true
}

// bareLink is the first link without a scheme in text[start:end]. Other letters than those of ASCII
// and Latin end a host or begin one, so that a host is found within Japanese.
func bareLink(text string, start, end int) (link, bool) {
	for from := start; from < end; {
		to := from
		for to < end {
			r, size := utf8.DecodeRuneInString(text[to:end])
			if !isPlainHostRune(r) {
				break
			}
			to += size
		}
		if l, ok := plainLink(text, start, from, to); ok {
			return l, true
		}
		_, size := utf8.DecodeRuneInString(text[to:])
		from = to + size
	}
	return link{}, false
}

// plainLink is the link at the beginning of text[from:to], which lies in a run of host characters
// that begins at start.
func plainLink(text string, start, from, to int) (link, bool) {
	before := lastRune(text[:from])
	if from == start && (!mayPrecede(before) || strings.ContainsRune("-_./", before) && from > 0) {
		return link{}, false
	}
	if from == start && from < to && (text[from] == '.' || text[from] == '-' || text[from] == '_') {
		return link{}, false // what follows would stand right after it
	}
	if from > start {
		from += len(text[from:to]) - len(strings.TrimLeft(text[from:to], "-_."))
	}
	if from >= to {
		return link{}, false
	}
	size := hostLength(text[from:to], text[to:])
	if size == 0 {
		return link{}, false
	}
	host := from + size
	from += 1 + strings.LastIndexByte(text[from:host], '_') // an underscore is of no bare host
	return link{from, linkEnd(text, host)}, true
}

// mayPrecede tells whether a link may begin after r, which is utf8.RuneError at the beginning of a
// text: not within a word, an address, a mention, a hashtag or a cashtag.
func mayPrecede(r rune) bool {
	if r < utf8.RuneSelf && isASCIIAlphanumeric(byte(r)) {
		return false
	}
	return !strings.ContainsRune("@＠$#＃"+invalidCodePoints, r)
}

// hostLength is the size in bytes of the host that run begins with, up to its last top-level domain,
// or 0. What follows run in the text is rest.
func hostLength(run, rest string) int {
	best := 0
	for at := 0; at < len(run); {
		label, _, dotted := strings.Cut(run[at:], ".")
		if at > 0 {
			if size := topLevel(label, run[at:], rest); size > 0 && !strings.Contains(registered(run[:at-1]), "_") {
				best = at + size
			}
		}
		if !dotted || !isLabel(label) {
			break
		}
		at += len(label) + 1
	}
	if best > 0 && !fits(run[:best]) {
		return 0
	}
	return best
}

// registered is the last label.
func registered(host string) string { return host[strings.LastIndexByte(host, '.')+1:] }

// topLevel is the size of the top-level domain that a label begins with, or 0. It must end there:
// not go on as a word, an address or a name with a hyphen.
func topLevel(label, run, rest string) int {
	size := 0
	for size < len(label) && (isASCIIAlphanumeric(label[size]) || label[size] == '-') {
		size++
	}
	if size == 0 {
		if size = strings.IndexByte(label, '_'); size < 0 {
			size = len(label)
		}
	}
	if following := run[size:] + rest; following != "" && size > 0 {
		if c := following[0]; isASCIIAlphanumeric(c) || strings.IndexByte("@+-", c) >= 0 {
			return 0
		}
	}
	if size == 0 || !isTopLevel(label[:size]) {
		return 0
	}
	return size
}

// isTopLevel asks the public suffix list, in the name of some host under the domain: it has rules
// for all top-level domains, of which some are for the names under them alone.
func isTopLevel(domain string) bool {
	ascii, ok := asciiHost(strings.ToLower(domain))
	if !ok || len(ascii) > maxLabel {
		return false
	}
	_, icann := publicsuffix.PublicSuffix("a.a." + ascii)
	return icann
}

// fits checks the length of a host and of its labels.
func fits(host string) bool {
	ascii, ok := asciiHost(host)
	if !ok || len(ascii) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if len(label) > maxLabel {
			return false
		}
	}
	return true
}

// asciiHost is the ASCII form of a host, if it has one.
func asciiHost(host string) (string, bool) {
	if isASCII(host) {
		return host, true
	}
	if len(host) > utf8.UTFMax*maxHost {
		return "", false // too long in any form, and the conversion is slow
	}
	ascii, err := idna.ToASCII(host)
	return ascii, err == nil
}

// isLabel checks the ends of a label.
func isLabel(label string) bool {
	return label != "" && strings.IndexByte("-_", label[0]) < 0 && strings.IndexByte("-_", label[len(label)-1]) < 0
}

// linkEnd is where the link ends whose host ends at host.
func linkEnd(text string, host int) int {
	at := host
	if at < len(text) && text[at] == ':' {
		digits := at + 1
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		if digits > at+1 {
			at = digits
		}
	}
	return queryEnd(text, pathEnd(text, at))
}

// pathEnd is where the path ends that begins at at, or at if none does. Punctuation at its end is
// the sentence's, except a parenthesis that the path itself has opened.
func pathEnd(text string, at int) int {
	if at >= len(text) || text[at] != '/' {
		return at
	}
	end := at + 1
	for i := end; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '(':
			size = parenthesis(text[i:], 1)
			if size == 0 {
				return end
			}
			end = i + size
		case isPathRune(r):
			if isASCII(string(r)) && strings.ContainsRune("!*';:,.$%[]~@|&", r) || r == '\u2013' {
				break
			}
			end = i + size
		default:
			return end
		}
		i += size
	}
	return end
}

// parenthesis is the size of the parenthesis that a text begins with, which may hold others nested
// deep levels, or 0 if it does not close.
func parenthesis(text string, deep int) int {
	for i := 1; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == ')':
			if i == 1 {
				return 0
			}
			return i + 1
		case r == '(' && deep > 0:
			if size = parenthesis(text[i:], deep-1); size == 0 {
				return 0
			}
		case !isPathRune(r):
			return 0
		}
		i += size
	}
	return 0
}

// queryEnd is where the query ends that begins at at, or at if none does.
func queryEnd(text string, at int) int {
	if at >= len(text) || text[at] != '?' {
		return at
	}
	end := at
	for i := at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case isASCIIAlphanumeric(c), strings.IndexByte("-_&=#/", c) >= 0:
			end = i + 1
		case strings.IndexByte("!?*'@();:+$%[].,~|", c) < 0:
			return end
		}
	}
	return end
}

func isHostRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isASCIIAlphanumeric(byte(r)) || r == '.' || r == '-' || r == '_'
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)
}

func isPlainHostRune(r rune) bool {
	return r < utf8.RuneSelf || isAccentedLatin(r)
}

func isPathRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isASCIIAlphanumeric(byte(r)) || strings.ContainsRune("!*';:=+,.$/%#[]-_~@|&", r)
	}
	return r == '\u2013' || isAccentedLatin(r) || unicode.Is(unicode.Cyrillic, r)
}

func isAccentedLatin(r rune) bool {
	return 0xc0 <= r && r <= 0x24f && r != '×' && r != '÷' || 0x1e00 <= r && r <= 0x1eff
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
