package twitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// TweetRequest is the body of POST /2/tweets, under X's names. What is zero is left out. X checks
// what may go together; Encode checks only that the JSON says what the fields say.
// X documents it as posts/create-post.
type TweetRequest struct {
	Text            string // X wants it unless there are media
	Reply           *Reply
	QuoteTweetID    string
	Media           *Media
	Poll            *Poll
	Geo             *Geo
	ReplySettings   string // following, mentionedUsers, subscribers or verified; "" is everyone
	CommunityID     string
	MadeWithAI      bool
	PaidPartnership bool
	// Extra is whatever else X takes, under X's names. An object under the name of an object above,
	// such as "media": {"title": "..."}, adds its members to that one, unless the field would have
	// set them. Any other name that a field above has set is an error.
	Extra map[string]json.RawMessage
}

// Reply makes the tweet a reply.
type Reply struct {
	InReplyToTweetID    string   `json:"in_reply_to_tweet_id"`
	ExcludeReplyUserIDs []string `json:"exclude_reply_user_ids,omitempty"`
}

// Media attaches 1 to 4 uploads by their bare numeric ids, and tags up to 10 users in them.
type Media struct {
	MediaIDs      []string `json:"media_ids"`
	TaggedUserIDs []string `json:"tagged_user_ids,omitempty"`
}

// Poll is a poll of 2 to 4 options of 1 to 25 characters, open for 5 to 10080 minutes.
type Poll struct {
	Options         []string `json:"options"`
	DurationMinutes int      `json:"duration_minutes"`
}

// Geo attaches a place. X drops it without a word if the user's profile has geo switched off.
type Geo struct {
	PlaceID string `json:"place_id"`
}

// Encode returns the request as JSON: names in alphabetical order, no white space, and < > & as
// they are. Equal requests give equal bytes. It refuses text that is not UTF-8 instead of changing
// it, and a name in Extra that is set already.
func (r TweetRequest) Encode() ([]byte, error) {
	fields := map[string]any{}
	set := func(name string, value any, isSet bool) {
		if isSet {
			fields[name] = value
		}
	}
	set("text", r.Text, r.Text != "")
	set("reply", r.Reply, r.Reply != nil)
	set("quote_tweet_id", r.QuoteTweetID, r.QuoteTweetID != "")
	set("media", r.Media, r.Media != nil)
	set("poll", r.Poll, r.Poll != nil)
	set("geo", r.Geo, r.Geo != nil)
	set("reply_settings", r.ReplySettings, r.ReplySettings != "")
	set("community_id", r.CommunityID, r.CommunityID != "")
	set("made_with_ai", true, r.MadeWithAI)
	set("paid_partnership", true, r.PaidPartnership)

	var errs []error
	if !utf8.ValidString(r.Text) {
		errs = append(errs, errors.New("text is not valid UTF-8"))
	}
	if r.Poll != nil {
		for i, option := range r.Poll.Options {
			if !utf8.ValidString(option) {
				errs = append(errs, fmt.Errorf("poll option %d is not valid UTF-8", i+1))
			}
		}
	}
	errs = append(errs, merge(fields, r.Extra)...)
	if len(errs) > 0 {
		return nil, fmt.Errorf("encode tweet: %w", errors.Join(errs...))
	}
	encoded, err := encodeJSON(fields)
	if err != nil {
		return nil, fmt.Errorf("encode tweet: %w", err)
	}
	return encoded, nil
}

// merge adds extra to fields: new names as they are, and the members of an object to the object
// that stands under its name. It goes no deeper than that, which is as deep as X's request goes.
func merge(fields map[string]any, extra map[string]json.RawMessage) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		value := extra[name]
		switch {
		case !utf8.ValidString(name) || !utf8.Valid(value) || !json.Valid(value):
			errs = append(errs, fmt.Errorf("extra %q is not valid JSON", name))
		case fields[name] != nil:
			merged, err := mergeObject(name, fields[name], value)
			fields[name], errs = merged, append(errs, err...)
		default:
			fields[name] = value
		}
	}
	return errs
}

// mergeObject returns the object own, which a field has set under name, with the members of extra.
func mergeObject(name string, own any, extra json.RawMessage) (merged any, errs []error) {
	encoded, err := encodeJSON(own)
	if err != nil {
		return own, []error{err}
	}
	var members, more map[string]json.RawMessage
	if json.Unmarshal(encoded, &members) != nil || json.Unmarshal(extra, &more) != nil || more == nil {
		return own, []error{fmt.Errorf("extra has %q, which is set already", name)}
	}
	for _, member := range slices.Sorted(maps.Keys(more)) {
		if members[member] != nil {
			errs = append(errs, fmt.Errorf("extra has %q, which is set already", name+"."+member))
			continue
		}
		members[member] = more[member]
	}
	return members, errs
}

// encodeJSON is json.Marshal without the escaping of < > & that X has no need of.
func encodeJSON(value any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
