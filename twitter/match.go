package twitter

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Evidence says whether a tweet is the one that a request made. Evidences are ordered, so that what
// several things say together is the least of them.
type Evidence int

const (
	// Different means that the tweet is certainly another one.
	Different Evidence = iota - 1
	// Possible means that it could be the one, and that it cannot be told.
	Possible
	// Same means that it is what was sent.
	Same
)

// String returns the evidence's name in lower case.
func (e Evidence) String() string {
	switch e {
	case Different:
		return "different"
	case Possible:
		return "possible"
	case Same:
		return "same"
	default:
		return "unknown"
	}
}

// Sent is a request POST /2/tweets, reduced to what X shows of the tweet that it makes.
type Sent struct {
	text          string
	links         []string // of text, as they stand in it
	long          bool     // X cuts the text off where it does not show it as note_tweet
	mediaIDs      []string
	poll          *Poll
	inReplyTo     string
	quoted        string
	previous      string // the version of which this is an edit
	deepLink      string // direct_message_deep_link
	placeID       string
	replySettings string
	communityID   string
	offTimeline   bool
	// unclear is set if a member of a name that X knows is not of the form that X wants.
	unclear bool
}

// ParseSent reads the body of POST /2/tweets that was sent, whoever made it. Members that X does not
// show are ignored, and so are those that X does not know. One that is not of the form that X wants
// is no error, but then no tweet can be told to be the one that was sent, nor not to be. An error
// means that the body is not a JSON object.
func ParseSent(body []byte) (*Sent, error) {
	var fields object
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return nil, errors.New("parse sent tweet: the body is not a JSON object")
	}
	s := new(Sent)
	s.text = read[string](s, fields, "text")
	parsed := ParseTweet(s.text)
	for _, url := range parsed.URLs {
		s.links = append(s.links, parsed.Text[url.Start:url.End])
	}
	s.long = parsed.WeightedLength > TextLimit
	s.mediaIDs = read[[]string](s, read[object](s, fields, "media"), "media_ids")
	if poll := read[object](s, fields, "poll"); poll != nil {
		s.poll = &Poll{Options: read[[]string](s, poll, "options"), DurationMinutes: int(read[float64](s, poll, "duration_minutes"))}
	}
	s.inReplyTo = read[string](s, read[object](s, fields, "reply"), "in_reply_to_tweet_id")
	s.quoted = read[string](s, fields, "quote_tweet_id")
	edit := read[object](s, fields, "edit_options")
	s.previous = read[string](s, edit, "previous_post_id")
	if s.previous == "" {
		s.previous = read[string](s, edit, "previous_tweet_id")
	}
	s.deepLink = read[string](s, fields, "direct_message_deep_link")
	s.placeID = read[string](s, read[object](s, fields, "geo"), "place_id")
	s.replySettings = read[string](s, fields, "reply_settings")
	s.communityID = read[string](s, fields, "community_id")
	s.offTimeline = read[bool](s, fields, "nullcast") || read[bool](s, fields, "for_super_followers_only") ||
		s.communityID != "" && !read[bool](s, fields, "share_with_followers")
	return s, nil
}

// object is a JSON object. Names are compared exactly, as X does; encoding/json would ignore case.
type object map[string]json.RawMessage

// read returns a member, zero if it is missing, null, or of another form.
func read[T any](s *Sent, of object, name string) T {
	var value T
	if raw, ok := of[name]; ok && json.Unmarshal(raw, &value) != nil {
		s.unclear = true
		return *new(T)
	}
	return value
}

// Hidden reports whether X may leave the tweet off the author's timeline, so that it proves nothing
// when it is not there. A tweet with nullcast is for promotion only, and X documents that no public
// timeline shows it (posts/create-post). By the changelog of 2025-07-29 a community's tweet reaches
// the followers only with share_with_followers. Of for_super_followers_only X says nothing; it counts
// as hidden, for an absence would have to be certain.
func (s *Sent) Hidden() bool { return s.offTimeline }

// Match says whether a tweet of the account is the one that was sent, by what X's documents say of
// how tweets are shown (the data dictionary, posts/create-post and fundamentals/edit-posts). Includes
// are those of the answer that had the tweet.
//
// The text is the same if it is so after X's own changes: & < > escaped for HTML, links replaced by
// t.co (scheme, case of the host, a slash at the end and percent-encoding do not matter), a link at
// the end for media, a quoted tweet or a direct message, Unicode's form C, line breaks, and the white
// space around. Of a reply, the mentions at the beginning may be shown or hidden. Media, poll, the
// tweet replied to or quoted, the place and the reply settings must not contradict.
//
// What X did not tell makes a tweet Possible, and so does a text that differs in nothing but case,
// white space, punctuation, symbols and links. Of a tweet that somebody has edited since, text, media
// and quoted tweet say nothing against it: it is Possible, unless it is its first version and the same.
// Whether that first version belongs to another request is for the caller to know, and so is whose
// tweets these are.
func (s *Sent) Match(tweet Tweet, includes Includes) Evidence {
	if len(tweet.references("retweeted")) > 0 {
		return Different
	}
	if s.unclear {
		return Possible
	}
	content := min(s.matchText(tweet), s.matchMedia(tweet), s.matchQuote(tweet))
	if s.mayBeRewritten(tweet) {
		content = max(content, Possible)
	}
	return min(content, s.matchEdits(tweet), s.matchReply(tweet), s.matchPoll(tweet, includes), s.matchSettings(tweet))
}

// mayBeRewritten reports whether a later edit may have made the tweet's content what it is.
func (s *Sent) mayBeRewritten(tweet Tweet) bool {
	versions := tweet.EditHistoryTweetIDs
	if s.previous == "" {
		return len(versions) > 1
	}
	i := slices.Index(versions, s.previous)
	return i >= 0 && (i+1 == len(versions) || versions[i+1] != tweet.ID)
}

func (s *Sent) matchEdits(tweet Tweet) Evidence {
	versions := tweet.EditHistoryTweetIDs
	switch {
	case s.previous == "" && len(versions) > 1 && versions[0] != tweet.ID:
		return Possible
	case s.previous == "":
		return Same
	case s.previous == tweet.ID:
		return Different
	case slices.Contains(versions, s.previous):
		return Same
	case slices.Contains(versions, tweet.ID):
		return Different
	default:
		return Possible
	}
}

func (s *Sent) matchReply(tweet Tweet) Evidence {
	shown := tweet.references("replied_to")
	switch {
	case s.inReplyTo == "" && (len(shown) == 0 || s.previous != ""): // an edited reply stays one
		return Same
	case s.inReplyTo == "":
		return Different
	default:
		return told(shown, s.inReplyTo)
	}
}

func (s *Sent) matchQuote(tweet Tweet) Evidence {
	shown := tweet.references("quoted")
	switch {
	case s.quoted == "" && (len(shown) == 0 || s.previous != "" || s.linksToTweet()):
		return Same // a link to a tweet quotes it, and it is compared with the text
	case s.quoted == "":
		return Different
	case s.linksToTweet():
		return max(told(shown, s.quoted), Possible)
	default:
		return told(shown, s.quoted)
	}
}

// told compares what X shows, if it shows any, with what was sent.
func told(shown []string, sent string) Evidence {
	switch {
	case slices.Contains(shown, sent):
		return Same
	case len(shown) == 0, slices.Contains(shown, ""):
		return Possible
	default:
		return Different
	}
}

// Retweets reports whether the tweet is a retweet of the one of that id.
func (t Tweet) Retweets(tweetID string) bool {
	return slices.Contains(t.references("retweeted"), tweetID)
}

// references are the ids of the tweets to which this one refers in a certain way.
func (t Tweet) references(kind string) []string {
	var ids []string
	for _, reference := range t.ReferencedTweets {
		if reference.Type == kind {
			ids = append(ids, reference.ID)
		}
	}
	return ids
}

// linksToTweet reports whether a link in the text leads to a tweet, or may: what is behind a short
// link that was sent is not known.
func (s *Sent) linksToTweet() bool {
	return slices.ContainsFunc(s.links, func(link string) bool { return statusOf(link) != "" || isShort(link) })
}

// matchMedia compares the media's ids. One in common is no chance, for X gives an id to each upload.
func (s *Sent) matchMedia(tweet Tweet) Evidence {
	sent, shown := slices.Clone(s.mediaIDs), make([]string, len(tweet.MediaKeys))
	for i, key := range tweet.MediaKeys { // "3_1445880548472328192"
		shown[i] = key[strings.LastIndexByte(key, '_')+1:]
	}
	slices.Sort(sent)
	slices.Sort(shown)
	sent, shown = slices.Compact(sent), slices.Compact(shown)
	switch {
	case slices.Equal(sent, shown):
		return Same
	case len(sent) == 0 && (s.previous != "" || s.linksToTweet()):
		return Same // an edit may keep the media, and a link to a tweet's photo shows that photo
	case len(shown) == 0, slices.ContainsFunc(sent, func(id string) bool { return slices.Contains(shown, id) }):
		return Possible
	default:
		return Different
	}
}

func (s *Sent) matchPoll(tweet Tweet, includes Includes) Evidence {
	if s.poll == nil {
		if len(tweet.PollIDs) > 0 {
			return Different
		}
		return Same
	}
	best := Possible
	for i, id := range tweet.PollIDs {
		found := slices.IndexFunc(includes.Polls, func(poll IncludedPoll) bool { return poll.ID == id })
		evidence := Possible
		if found >= 0 {
			evidence = matchOptions(*s.poll, includes.Polls[found])
		}
		if i == 0 || evidence > best {
			best = evidence
		}
	}
	return best
}

// matchOptions compares two polls. Options that are only in another order, or not quite the same,
// and another duration leave it open: that X keeps them as they were sent is nowhere said.
func matchOptions(sent Poll, shown IncludedPoll) Evidence {
	alike := func(of []string, form func(string) string) []string {
		all := make([]string, len(of))
		for i, option := range of {
			all[i] = form(option)
		}
		return all
	}
	same := slices.Equal(alike(sent.Options, canonical), alike(shown.Options, canonical)) ||
		slices.Equal(alike(sent.Options, canonical), alike(shown.Options, canonicalHTML))
	sentLoose, shownLoose := alike(sent.Options, looseForm), alike(shown.Options, looseForm)
	slices.Sort(sentLoose)
	slices.Sort(shownLoose)
	switch {
	case same && sent.DurationMinutes == shown.DurationMinutes:
		return Same
	case same, len(shown.Options) == 0, slices.Equal(sentLoose, shownLoose):
		return Possible
	default:
		return Different
	}
}

// matchSettings compares what need not be as it was sent: X drops a place without a word, the author
// may change later who may reply, and a community has rules of its own. Whose tweet it is the caller
// compares, but it must be told.
func (s *Sent) matchSettings(tweet Tweet) Evidence {
	sent := s.replySettings
	if sent == "" {
		sent = "everyone"
	}
	switch {
	case tweet.AuthorID == "",
		tweet.PlaceID != "" && tweet.PlaceID != s.placeID,
		tweet.ReplySettings != "" && !strings.EqualFold(tweet.ReplySettings, sent) && s.communityID == "":
		return Possible
	default:
		return Same
	}
}
