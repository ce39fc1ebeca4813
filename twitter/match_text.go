package twitter

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// piece is a part of a text that X shows: a link of its own, or what stands between two.
type piece struct {
	text string
	link *shownLink // nil if it is text
}

// maxAddedLinks is how many links X adds to a text at most: for media, a quoted tweet, and a direct message.
const maxAddedLinks = 3

// matchText compares the text that was sent with the one that X shows. Of a long one, X shows the
// beginning, and the whole as note_tweet, if that is told.
func (s *Sent) matchText(tweet Tweet) Evidence {
	text, urls, whole := tweet.Text, tweet.URLs, false
	if note := tweet.NoteTweet; note != nil && note.Text != "" {
		text, urls, whole = note.Text, slices.Concat(note.URLs, urls), true
	}
	shown := splitLinks(text, urls)
	best := s.compare(shown)
	for rest, n := shown, 0; n < maxAddedLinks && s.endsWithAdded(rest); n++ {
		rest = trim(rest[:len(rest)-1])
		best = max(best, s.compare(rest))
	}
	if best == Different && !whole && s.long {
		if beginning, ok := cutOff(shown, tweet.ID); ok && looselySame(s.text, beginning, true) {
			best = Possible
		}
	}
	if strings.TrimSpace(s.text) == "" && len(s.mediaIDs) == 0 && s.poll == nil {
		best = min(best, Possible) // two empty texts tell nothing
	}
	return best
}

// splitLinks cuts a text that X shows into its pieces, with the escapes for HTML undone.
func splitLinks(text string, urls []URLEntity) []piece {
	text = unixLines(html.UnescapeString(text))
	var pieces []piece
	from := 0
	for at := 0; at < len(text); {
		var link *shownLink
		if rest := text[at:]; strings.EqualFold(rest[:min(len(rest), len("http"))], "http") {
			link = linkAt(text[at:], urls)
		}
		if link == nil {
			at++
			continue
		}
		pieces = append(pieces, piece{text: text[from:at]}, piece{link: link})
		at += len(link.url)
		from = at
	}
	return trim(append(pieces, piece{text: text[from:]}))
}

// trim returns the pieces without white space around, and without empty ones.
func trim(pieces []piece) []piece {
	pieces = slices.Clone(pieces)
	for len(pieces) > 0 && pieces[0].link == nil {
		if pieces[0].text = strings.TrimLeftFunc(pieces[0].text, unicode.IsSpace); pieces[0].text != "" {
			break
		}
		pieces = pieces[1:]
	}
	for len(pieces) > 0 && pieces[len(pieces)-1].link == nil {
		last := &pieces[len(pieces)-1]
		if last.text = strings.TrimRightFunc(last.text, unicode.IsSpace); last.text != "" {
			break
		}
		pieces = pieces[:len(pieces)-1]
	}
	return slices.DeleteFunc(pieces, func(p piece) bool { return p.link == nil && p.text == "" })
}

// endsWithAdded reports whether the last piece is a link that X may have added.
func (s *Sent) endsWithAdded(shown []piece) bool {
	if len(shown) == 0 || shown[len(shown)-1].link == nil {
		return false
	}
	link := shown[len(shown)-1].link
	untold := len(link.leadsTo) == 0
	leads := func(is func(to string) bool) bool { return untold || slices.ContainsFunc(link.leadsTo, is) }
	return (len(s.mediaIDs) > 0 || s.previous != "") && (untold || link.media) ||
		s.quoted != "" && leads(func(to string) bool { return statusOf(to) == s.quoted }) ||
		s.deepLink != "" && leads(func(to string) bool { return sameLink(to, s.deepLink) })
}

// compare compares the text that was sent with pieces that X shows.
func (s *Sent) compare(shown []piece) Evidence {
	if exactlySame(s.text, shown) {
		return Same
	}
	if s.inReplyTo != "" || s.previous != "" {
		if evidence := s.compareReply(shown); evidence > Different {
			return evidence
		}
	}
	if looselySame(s.text, shown, false) {
		return Possible
	}
	return Different
}

// compareReply is compare without the mentions at the beginning of a reply: X adds those of the
// conversation to the text, and hides some.
func (s *Sent) compareReply(shown []piece) Evidence {
	sentMentions, rest := cutMentions(strings.TrimSpace(s.text))
	var shownMentions []string
	if len(shown) > 0 && shown[0].link == nil {
		shown = slices.Clone(shown)
		shownMentions, shown[0].text = cutMentions(shown[0].text)
		shown = trim(shown)
	}
	switch {
	case exactlySame(rest, shown) && (rest != "" || len(sentMentions) == 0) && (within(sentMentions, shownMentions) || within(shownMentions, sentMentions)):
		return Same
	case looselySame(rest, shown, false):
		return Possible
	default:
		return Different
	}
}

var leadingMention = regexp.MustCompile(`^[@＠]([A-Za-z0-9_]{1,20})(?:\s+|$)`)

// cutMentions cuts the mentions off that a text begins with. They are in lower case.
func cutMentions(text string) (mentions []string, rest string) {
	for {
		found := leadingMention.FindStringSubmatch(text)
		if found == nil {
			return mentions, text
		}
		mentions = append(mentions, strings.ToLower(found[1]))
		text = text[len(found[0]):]
	}
}

// within reports whether all of some are of all.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(name string) bool { return !slices.Contains(all, name) })
}

// exactlySame reports whether the pieces are the text that was sent, but for X's changes. X composes
// a text before it looks for links in it; that this is so wherever it shows one is not documented.
func exactlySame(sent string, shown []piece) bool {
	asIs := func(text string) string { return text }
	return spells(sent, shown, norm.NFC.String) || spells(sent, shown, asIs)
}

// spells walks over a text as it was sent and the pieces that X shows of it, both in a form.
func spells(sent string, shown []piece, form func(string) string) bool {
	sent = form(strings.TrimSpace(unixLines(sent)))
	urls := findURLs(sent)
	at := 0
	for _, p := range shown {
		size := 0
		if p.link == nil {
			if text := form(p.text); strings.HasPrefix(sent[at:], text) {
				size = len(text)
			}
		} else {
			size = p.link.sizeIn(sent[at:], sizeOfURL(urls, at), form)
		}
		if size == 0 {
			return false
		}
		at += size
	}
	return at == len(sent)
}

// sizeOfURL is the size of the URL that begins at a place, 0 if none does.
func sizeOfURL(urls []TextRange, at int) int {
	i, found := slices.BinarySearchFunc(urls, at, func(url TextRange, at int) int { return url.Start - at })
	if !found {
		return 0
	}
	return urls[i].End - urls[i].Start
}

// cutOff returns the beginning of a long text that X cuts off: it ends with an ellipsis, or with a
// link to the tweet. False if there is neither.
func cutOff(shown []piece, id string) ([]piece, bool) {
	isCut := false
	for len(shown) > 0 && shown[len(shown)-1].link != nil {
		link := shown[len(shown)-1].link
		isCut = isCut || slices.ContainsFunc(link.leadsTo, func(to string) bool { return statusOf(to) == id })
		shown = trim(shown[:len(shown)-1])
	}
	if len(shown) > 0 {
		last := shown[len(shown)-1].text
		before, ok := strings.CutSuffix(last, "…")
		shown = append(slices.Clone(shown[:len(shown)-1]), piece{text: before})
		isCut = isCut || ok
	}
	return trim(shown), isCut
}

// canonical is a text in the form in which X keeps it.
func canonical(text string) string {
	return norm.NFC.String(strings.TrimSpace(unixLines(text)))
}

func canonicalHTML(text string) string { return canonical(html.UnescapeString(text)) }

func unixLines(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}
