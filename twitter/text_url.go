package twitter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

const (
	maxURL     = 4096 // characters, with a scheme, and with the host in Punycode (MAX_URL_LENGTH)
	maxTCoSlug = 40   // letters and digits of a t.co URL (MAX_TCO_SLUG_LENGTH)
	maxHost    = 253  // octets in Punycode, as maxLabel (RFC 1035)
	maxLabel   = 63
	// maxHostText is the size in bytes of what may be a host: a character is at least one octet.
	maxHostText = maxHost * utf8.UTFMax
	// maxTLD is more than the characters of any top-level domain that is not ASCII.
	maxTLD = 18
)

// findURLs finds what X makes links of: URLs of http and https, and without a scheme too every host
// with a top-level domain that exists. The rules are those of twitter-text 3 (Regex and Extractor,
// and extract.yml of its conformance tests). There is a dot in every URL, so it looks at the dots.
func findURLs(text string) []TextRange {
	var urls []TextRange
	for s := (urlScanner{text: text}); s.nextDot(); {
		if url, ok := s.match(); ok {
			urls = append(urls, url)
		}
	}
	return urls
}

// urlScanner walks over a text from dot to dot.
type urlScanner struct {
	text string
	at   int // all before it was looked at
	dot  int
	host int // behind the last "http://" or "https://" before the dot, 0 once it was looked at
	end  int // of the last URL, or of what looks like one and is none: no other begins before it
}

// nextDot moves to the next dot that a top-level domain may follow.
func (s *urlScanner) nextDot() bool {
	for {
		i := strings.IndexByte(s.text[s.at:], '.')
		if i < 0 {
			return false
		}
		s.dot = s.at + i
		if colon := strings.LastIndex(s.text[s.at:s.dot], "://"); colon >= 0 {
			s.host = s.at + colon + len("://")
		}
		s.at = s.dot + 1
		if s.at < len(s.text) && (isLetter(s.text[s.at]) || s.text[s.at] >= utf8.RuneSelf) {
			return true
		}
	}
}

// match reads the URL around the dot, if there is one, and moves behind it or behind the host.
func (s *urlScanner) match() (TextRange, bool) {
	start, host, domainEnd := s.findDomain()
	if domainEnd == 0 {
		for s.at < len(s.text) {
			c, size := utf8.DecodeRuneInString(s.text[s.at:])
			if !isInHost(c, isLatin) {
				break
			}
			s.at += size
		}
		return TextRange{}, false
	}
	portEnd := s.portEnd(domainEnd)
	end := s.queryEnd(s.pathEnd(portEnd))
	s.at, s.end = end, end
	if start < host && strings.EqualFold(s.text[host:portEnd], "t.co") && end > portEnd && s.text[portEnd] == '/' {
		slug := portEnd + 1
		slugEnd := slug
		for slugEnd < end && isLetterOrDigit(s.text[slugEnd]) {
			slugEnd++
		}
		if slugEnd-slug > maxTCoSlug {
			return TextRange{}, false
		}
		if slugEnd > slug { // what else follows t.co's letters and digits is text
			end = s.queryEnd(slugEnd)
		}
	}
	url := TextRange{Start: start, End: end}
	return url, s.isShortEnough(url, host, domainEnd)
}

// findDomain returns where the URL around the dot, the host in it and the host's end are. The end is
// 0 if there is no URL.
func (s *urlScanner) findDomain() (start, host, end int) {
	if host, s.host = s.host, 0; host > s.end {
		start = host - schemeSize(s.text[s.end:host])
		if start < host && s.mayFollow(start, "") {
			if end = s.domainEnd(host, isLatin); end == 0 {
				end = s.domainEnd(host, isAnyScript)
			}
			if end > 0 {
				return start, host, end
			}
		}
	}
	host = s.dot
	for host > max(s.end, s.dot-maxHostText) {
		c, size := utf8.DecodeLastRuneInString(s.text[:host])
		if !isInHost(c, isLatin) {
			break
		}
		host -= size
	}
	if !s.mayFollow(host, "/") {
		return 0, 0, 0
	}
	return host, host, s.domainEnd(host, isLatin)
}

// mayFollow reports whether a URL may begin here, after what stands before. "@" and "#" begin
// something else, and no URL begins within a word.
func (s *urlScanner) mayFollow(start int, alsoNot string) bool {
	if start == 0 {
		return true
	}
	if start == s.end {
		return false
	}
	c, _ := utf8.DecodeLastRuneInString(s.text[:start])
	return !strings.ContainsRune("@＠$#＃"+alsoNot, c) && !isInvalid(c) && (c >= utf8.RuneSelf || !isLetterOrDigit(byte(c)))
}

// domainEnd returns the end of the longest host with a top-level domain that begins here, 0 if there
// is none. The labels begin and end with one of the characters; within, all may have "-", and all but
// the last two "_".
func (s *urlScanner) domainEnd(host int, in func(rune) bool) (end int) {
	label, last, underscore := host, '.', false
	for at := host; at < len(s.text) && at-host <= maxHostText; {
		c, size := utf8.DecodeRuneInString(s.text[at:])
		switch {
		case c == '.':
			if !in(last) {
				return end
			}
			if !underscore {
				if n := tldSize(s.text[at+1:]); n > 0 {
					end = at + 1 + n
				}
			}
			label, underscore = at+size, false
		case !isInHost(c, in), at == label && !in(c):
			return end
		case c == '_':
			underscore = true
		}
		last = c
		at += size
	}
	return end
}

// tldSize returns the size of the top-level domain that text begins with, 0 if there is none. A
// letter, a digit, "@", "+" or "-" must not follow it; a letter of another script may.
func tldSize(text string) int {
	n := 0
	for n < len(text) && isLetterOrDigit(text[n]) {
		n++
	}
	if n == len("xn") && strings.EqualFold(text[:n], "xn") && strings.HasPrefix(text[n:], "--") {
		for n < len(text) && (isLetterOrDigit(text[n]) || text[n] == '-') {
			n++
		}
		return n
	}
	if mayEndTLD(text[n:]) && isTLD(text[:n]) {
		return n
	}
	if n == len(text) || text[n] < utf8.RuneSelf {
		return 0
	}
	return anyScriptTLDSize(text)
}

// anyScriptTLDSize is tldSize for top-level domains that are not ASCII. There is nothing between such
// a domain and the text that follows, so the longest is taken.
func anyScriptTLDSize(text string) int {
	ends := make([]int, 0, maxTLD)
	for n := 0; n < len(text) && len(ends) < maxTLD; {
		c, size := utf8.DecodeRuneInString(text[n:])
		if !isAnyScript(c) {
			break
		}
		n += size
		ends = append(ends, n)
	}
	for i := len(ends) - 1; i > 0; i-- { // none has one character
		if n := ends[i]; mayEndTLD(text[n:]) {
			ascii, err := idna.Punycode.ToASCII(strings.ToLower(text[:n]))
			if err == nil && strings.HasPrefix(ascii, "xn--") && isTLD(ascii) {
				return n
			}
		}
	}
	return 0
}

func mayEndTLD(rest string) bool {
	return rest == "" || !isLetterOrDigit(rest[0]) && strings.IndexByte("@+-", rest[0]) < 0
}

// isTLD asks the public suffix list.
func isTLD(label string) bool {
	if len(label) < 2 || len(label) > maxLabel {
		return false
	}
	label = strings.ToLower(label)
	if _, icann := publicsuffix.PublicSuffix(label); icann {
		return true
	}
	// The list says "*.ck" where every second level is a suffix, and then nothing of "ck".
	_, icann := publicsuffix.PublicSuffix("a." + label)
	return icann
}

func (s *urlScanner) portEnd(at int) int {
	if at == len(s.text) || s.text[at] != ':' {
		return at
	}
	end := at + 1
	for end < len(s.text) && '0' <= s.text[end] && s.text[end] <= '9' {
		end++
	}
	if end == at+1 {
		return at
	}
	return end
}

// pathEnd returns the end of the path that begins here. Punctuation at its end is not part of it, but
// parentheses that are closed again are.
func (s *urlScanner) pathEnd(at int) int {
	if at == len(s.text) || s.text[at] != '/' {
		return at
	}
	at++
	end := at
	for at < len(s.text) {
		if n := parenthesesSize(s.text[at:]); n > 0 {
			at += n
			end = at
			continue
		}
		c, size := utf8.DecodeRuneInString(s.text[at:])
		if !isInPath(c) {
			break
		}
		at += size
		if isAtPathEnd(c) {
			end = at
		}
	}
	return end
}

// parenthesesSize returns the size of the parentheses and their content that text begins with, 0 if
// it does not, if they are empty, or if more than one other pair is inside.
func parenthesesSize(text string) int {
	depth, pairs, empty := 0, 0, true
	for at, c := range text {
		switch {
		case c == '(' && depth < 2 && pairs < 2:
			depth++
			pairs++
			empty = true
		case at == 0, !isInPath(c) && c != ')', c == ')' && empty:
			return 0
		case c == ')':
			if depth--; depth == 0 {
				return at + 1
			}
		default:
			empty = false
		}
	}
	return 0
}

// queryEnd returns the end of the query that begins here, less the punctuation at its end.
func (s *urlScanner) queryEnd(at int) int {
	end := at
	if at == len(s.text) || s.text[at] != '?' {
		return end
	}
	for at++; at < len(s.text) && (isLetterOrDigit(s.text[at]) || strings.IndexByte("!?*'();:&=+$/%#[]-_.,~|@", s.text[at]) >= 0); at++ {
		if isLetterOrDigit(s.text[at]) || strings.IndexByte("-_&=#/", s.text[at]) >= 0 {
			end = at + 1
		}
	}
	return end
}

// isShortEnough reports whether URL, host and labels are, with the host in Punycode.
func (s *urlScanner) isShortEnough(url TextRange, host, domainEnd int) bool {
	size := -len(".")
	for label := range strings.SplitSeq(s.text[host:domainEnd], ".") {
		n := punycodeSize(label)
		if n == 0 || n > maxLabel {
			return false
		}
		size += len(".") + n
	}
	if size > maxHost {
		return false
	}
	if url.Start == host {
		size += len("https://")
	}
	return size+utf8.RuneCountInString(s.text[url.Start:host])+utf8.RuneCountInString(s.text[domainEnd:url.End]) <= maxURL
}

// punycodeSize returns the size of a label in Punycode, 0 if it has none.
func punycodeSize(label string) int {
	if isPlain(label) {
		return len(label)
	}
	if len(label) > 4 && strings.EqualFold(label[:4], "xn--") {
		return 0 // what says that it is Punycode is ASCII
	}
	ascii, err := idna.Punycode.ToASCII(label)
	if err != nil {
		return 0
	}
	return len(ascii)
}

// schemeSize returns the size of the scheme that text ends with, 0 if there is none.
func schemeSize(text string) int {
	for _, scheme := range []string{"https://", "http://"} {
		if i := len(text) - len(scheme); i >= 0 && strings.EqualFold(text[i:], scheme) {
			return len(scheme)
		}
	}
	return 0
}

func isLetter(c byte) bool        { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isLetterOrDigit(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' }

// isInHost tells what stands in a host whose labels are of these characters.
func isInHost(c rune, in func(rune) bool) bool { return c == '.' || c == '-' || c == '_' || in(c) }

// isLatin tells the characters of a label where there is no scheme: a to z, digits, and the letters
// and marks of languages that are written in Latin letters.
func isLatin(c rune) bool {
	if c < utf8.RuneSelf {
		return isLetterOrDigit(byte(c))
	}
	return 0xc0 <= c && c <= 0x24f && c != '×' && c != '÷' || 0x1e00 <= c && c <= 0x1eff || 0x300 <= c && c <= 0x36f ||
		0x253 <= c && c <= 0x2bb && strings.ContainsRune("ɓɔɖɗəɛɣɨɯɲʉʋʻ", c)
}

// isAnyScript tells the characters of a label behind a scheme: all but punctuation, spaces and marks
// of direction.
func isAnyScript(c rune) bool {
	if c < utf8.RuneSelf {
		return isLetterOrDigit(byte(c))
	}
	return !unicode.In(c, unicode.Z) && (c < 0x2000 || c > 0x206f) && c != 0x85 && c != 0x61c && c != 0x180e && !isInvalid(c) && c != utf8.RuneError
}

// isInPath tells what stands in a path, besides parentheses.
func isInPath(c rune) bool {
	return isAtPathEnd(c) || c < utf8.RuneSelf && strings.IndexByte("!*';:,.$%[]~|&@", byte(c)) >= 0 || c == '–'
}

// isAtPathEnd tells what a path may end with: no other punctuation.
func isAtPathEnd(c rune) bool {
	return isLatin(c) || c < utf8.RuneSelf && strings.IndexByte("=_#/-+", byte(c)) >= 0 || 0x400 <= c && c <= 0x4ff
}
