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
	// Extra is merged in at the top level: whatever else X takes. A name that a field above has
	// set is an error.
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
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		value := r.Extra[name]
		switch {
		case fields[name] != nil:
			errs = append(errs, fmt.Errorf("extra has %q, which is set already", name))
		case !utf8.ValidString(name) || !utf8.Valid(value) || !json.Valid(value):
			errs = append(errs, fmt.Errorf("extra %q is not valid JSON", name))
		default:
			set(name, value, true)
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("encode tweet: %w", errors.Join(errs...))
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		return nil, fmt.Errorf("encode tweet: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
