package sandbox

import (
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// shown is a text as X's answers have it: its links replaced by t.co, and escaped for HTML.
type shown struct {
	text string
	urls []urlEntity
}

// urlEntity is one of entities.urls. Start and End count the code points of the text that it comes
// with, as it stands there.
type urlEntity struct {
	Start       int    `json:"start"`
	End         int    `json:"end"`
	URL         string `json:"url"`
	ExpandedURL string `json:"expanded_url"`
	DisplayURL  string `json:"display_url"`
}

const (
	// shortTextLimit is the longest text that answers show whole.
	shortTextLimit = 280
	// retweetTextLimit is the longest text of a retweet.
	retweetTextLimit = 140
	ellipsis         = "…"
)

// shown is the tweet's text. A long one is cut, and ends with a link to the tweet; the whole of it
// is in note.
func (t *storedTweet) shown() shown {
	if t.retweeted != nil {
		return show(t.retweetText())
	}
	if !t.long() {
		return show(t.Text)
	}
	const end = linkLength + len(" ") + 2 // the ellipsis counts 2
	s := show(cut(t.Text, shortTextLimit-end))
	s.text += ellipsis + " "
	s.link("https://x.com/i/web/status/" + t.ID)
	return s
}

// note is the whole of a long text.
func (t *storedTweet) note() shown { return show(t.Text) }

func (t *storedTweet) long() bool {
	// No byte counts more than one, so that most texts need no weighing.
	return len(t.Text) > shortTextLimit && weightedLength(t.Text) > shortTextLimit
}

// retweetText is "RT @user: " and the beginning of the text.
func (t *storedTweet) retweetText() string {
	whole := "RT @" + t.retweeted.Username + ": " + t.retweeted.Text
	some := cut(whole, retweetTextLimit)
	if len(some) < len(whole) {
		return cut(whole, retweetTextLimit-2) + ellipsis
	}
	return whole
}

func show(text string) shown {
	var s shown
	from := 0
	for _, l := range findLinks(text) {
		s.text += escapeHTML(text[from:l.start])
		s.link(text[l.start:l.end])
		from = l.end
	}
	s.text += escapeHTML(text[from:])
	return s
}

// link appends a URL. One of t.co stays as it is.
func (s *shown) link(url string) {
	expanded := url
	if !hasScheme(url) {
		expanded = "http://" + url
	}
	short := expanded
	if _, rest, _ := strings.Cut(expanded, "://"); !strings.HasPrefix(strings.ToLower(rest), "t.co/") {
		short = shortURL(expanded)
	}
	start := utf8.RuneCountInString(s.text)
	s.text += escapeHTML(short)
	s.urls = append(s.urls, urlEntity{
		Start: start, End: utf8.RuneCountInString(s.text),
		URL: short, ExpandedURL: expanded, DisplayURL: displayURL(expanded),
	})
}

func hasScheme(url string) bool {
	scheme, _, ok := strings.Cut(url, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// shortURL is the t.co link of a URL: the same whenever it is asked for.
func shortURL(url string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	h := fnv.New64a()
	_, _ = h.Write([]byte(url)) // a hash never fails
	n := h.Sum64()
	var tag [10]byte
	for i := range tag {
		tag[i] = digits[n%uint64(len(digits))]
		n /= uint64(len(digits))
	}
	return "https://t.co/" + string(tag[:])
}

// displayURL is a URL for people: without scheme and www., and with 15 characters of its path.
func displayURL(url string) string {
	const most = 15
	_, rest, _ := strings.Cut(url, "://")
	rest = strings.TrimPrefix(rest, "www.")
	host := strings.IndexAny(rest, "/?")
	if host < 0 {
		return rest
	}
	path := []rune(rest[host:])
	if string(path) == "/" {
		return rest[:host]
	}
	if len(path) <= most {
		return rest
	}
	return rest[:host] + string(path[:most]) + ellipsis
}

func escapeHTML(text string) string {
	if !strings.ContainsAny(text, "&<>") {
		return text
	}
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
