package twitter

import (
	"html"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// shownLink is a link in a text that X shows.
type shownLink struct {
	url     string   // as it stands in the text
	leadsTo []string // all that X says of where; nothing if it says nothing
	media   bool     // it stands for media of the tweet
}

// linkAt returns the link of X's that text begins with, nil if there is none.
func linkAt(text string, urls []URLEntity) *shownLink {
	link := new(shownLink)
	for _, e := range urls {
		for _, u := range []string{e.URL, html.UnescapeString(e.URL)} {
			if len(u) > len(link.url) && strings.HasPrefix(text, u) {
				link.url = u
			}
		}
	}
	if link.url == "" {
		if link.url = shortLink(text); link.url == "" {
			return nil
		}
	}
	for _, e := range urls { // X lists a link to several media once for each
		if e.URL != link.url && html.UnescapeString(e.URL) != link.url {
			continue
		}
		for _, to := range []string{e.ExpandedURL, e.UnwoundURL} {
			if to != "" {
				link.leadsTo = append(link.leadsTo, to)
			}
		}
		link.media = link.media || e.MediaKey != "" || isMediaPage(e.ExpandedURL)
	}
	return link
}

// shortLink returns the t.co link that text begins with, or "".
func shortLink(text string) string {
	scheme, rest, _ := strings.Cut(text[:min(len(text), len("https://")+len("t.co/"))], "://")
	if !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") || !strings.HasPrefix(strings.ToLower(rest), "t.co/") {
		return ""
	}
	slug := len(scheme) + len("://t.co/")
	end := slug
	for end < len(text) && isLetterOrDigit(text[end]) {
		end++
	}
	if end == slug {
		return ""
	}
	return text[:end]
}

// sizeIn returns how many bytes of a text as it was sent the link stands for, at its beginning, where
// ParseTweet found a URL of so many bytes, or none. It is 0 if the link is not what stands there.
func (l *shownLink) sizeIn(text string, urlSize int, form func(string) string) int {
	for _, to := range slices.Concat(l.leadsTo, []string{l.url}) {
		if urlSize > 0 && sameLink(text[:urlSize], to) {
			return urlSize
		}
		// X may see its end, or a link at all, where ParseTweet does not.
		to = form(to)
		_, bare := cutScheme(to)
		for _, spelled := range []string{to, strings.TrimSuffix(to, "/"), bare, strings.TrimSuffix(bare, "/")} {
			if strings.HasPrefix(text, spelled) {
				return len(spelled)
			}
		}
	}
	return 0
}

// sameLink reports whether two links lead to the same place, as far as their spelling tells.
func sameLink(a, b string) bool { return linkKey(a) == linkKey(b) }

// linkKey is a link without what may differ between a link that was sent and the same that X tells:
// the scheme, the case and the script of the host, a port that is the scheme's own, a slash at the
// end, and percent-encoding.
func linkKey(link string) string {
	scheme, rest := cutScheme(link)
	u, err := url.Parse("http://" + rest)
	if err != nil {
		return norm.NFC.String(strings.TrimSuffix(rest, "/"))
	}
	host := strings.ToLower(u.Hostname())
	if len(host) <= maxHostText { // the conversion of a long one is slow
		if ascii, err := idna.Punycode.ToASCII(norm.NFC.String(host)); err == nil {
			host = ascii
		}
	}
	if port := u.Port(); port != "" && (port != "443" || scheme == "http") && (port != "80" || scheme == "https") {
		host += ":" + port
	}
	key := u.User.String() + "@" + host + strings.TrimSuffix(u.Path, "/")
	if u.RawQuery != "" {
		key += "?" + decoded(u.RawQuery)
	}
	if u.Fragment != "" {
		key += "#" + u.Fragment
	}
	return norm.NFC.String(key)
}

func decoded(query string) string {
	if plain, err := url.PathUnescape(query); err == nil {
		return plain
	}
	return query
}

// cutScheme cuts http:// and https:// off. The scheme is in lower case, and "" if there is none.
func cutScheme(link string) (scheme, rest string) {
	scheme, rest, _ = strings.Cut(link, "://")
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		return "", link
	}
	return scheme, rest
}

// isShort reports whether a link is a short one of X's own, which may lead to a tweet or its media.
func isShort(link string) bool {
	_, rest := cutScheme(link)
	host, _, _ := strings.Cut(strings.ToLower(rest), "/")
	return host == "t.co" || host == "pic.twitter.com" || host == "pic.x.com"
}

// statusOf returns the id of the tweet that a link leads to, "" if it leads to none.
func statusOf(link string) string {
	id, _ := cutStatus(link)
	return id
}

// isMediaPage reports whether a link leads to a tweet's photo or video, as that does which X adds to
// a text for its media.
func isMediaPage(link string) bool {
	id, rest := cutStatus(link)
	return id != "" && (strings.HasPrefix(rest, "photo/") || strings.HasPrefix(rest, "video/"))
}

// cutStatus cuts a link to a tweet, such as https://x.com/acme/status/20/photo/1, into the tweet's
// id and what follows, without the slash.
func cutStatus(link string) (id, rest string) {
	_, link = cutScheme(link)
	link, _, _ = strings.Cut(link, "?")
	host, path, _ := strings.Cut(link, "/")
	host = strings.ToLower(host)
	for _, prefix := range []string{"www.", "mobile.", "m."} {
		host = strings.TrimPrefix(host, prefix)
	}
	if host != "x.com" && host != "twitter.com" {
		return "", ""
	}
	for _, word := range []string{"/status/", "/statuses/"} {
		if _, after, ok := strings.Cut("/"+path, word); ok {
			id, rest, _ = strings.Cut(after, "/")
			if checkID(id) == nil {
				return id, rest
			}
		}
	}
	return "", ""
}
