package twitter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Tweet is a tweet as X shows it, with what tells which of our requests made it. What X left out is
// zero.
type Tweet struct {
	ID       string
	AuthorID string
	// CreatedAt is exact to the millisecond, zero if X did not tell.
	CreatedAt time.Time
	// Text is what X stores: links are t.co links, media have one at the end, and & < > are escaped
	// as in HTML. A long text is cut off; NoteTweet has all of it.
	Text      string
	URLs      []URLEntity // of Text
	NoteTweet *NoteTweet  // nil if the text is not a long one

	MediaKeys []string // "3_1445880548472328192": a type and the media's id
	PollIDs   []string // see Includes.Polls
	PlaceID   string

	InReplyToUserID  string
	ReferencedTweets []ReferencedTweet
	// EditHistoryTweetIDs are the tweet's versions, the first one first. X has been seen to send a
	// list with one empty id; empty ids are left out.
	EditHistoryTweetIDs []string
	ReplySettings       string // everyone, mentionedUsers, following, subscribers or verified
}

// URLEntity is a link in a text.
type URLEntity struct {
	URL         string `json:"url"` // the t.co link
	ExpandedURL string `json:"expanded_url"`
	UnwoundURL  string `json:"unwound_url"` // where it leads; X does not always tell
	MediaKey    string `json:"media_key"`   // of the link that stands for a media
}

// NoteTweet is the text of a long tweet.
type NoteTweet struct {
	Text string
	URLs []URLEntity
}

// ReferencedTweet is a tweet that another refers to.
type ReferencedTweet struct {
	Type string `json:"type"` // replied_to, quoted or retweeted
	ID   string `json:"id"`
}

// Includes are the objects that the tweets of an answer refer to.
type Includes struct {
	Tweets []Tweet // those that X sends unasked
	Polls  []IncludedPoll
}

// IncludedPoll is a poll of a tweet.
type IncludedPoll struct {
	ID              string
	Options         []string // in order
	DurationMinutes int
}

// PartialError is one item of the error list that X sends beside data: something that was asked
// for and is not in it.
type PartialError struct {
	// ResourceID is the id of what is missing, Parameter that which asked for it, such as "ids".
	ResourceID string
	Parameter  string
	// Kind is KindNotFound if it does not exist, KindForbidden if this account may not see it, or
	// KindOther.
	Kind Kind
	// Type is the last segment of the problem type. Title and Detail are X's words, bounded.
	Type, Title, Detail string
}

// tweetFields asks for all that Tweet holds, in X's first vocabulary: in the newer one, "post.fields",
// author_id is missing.
func tweetFields() url.Values {
	return url.Values{
		"tweet.fields": {"attachments,author_id,created_at,edit_history_tweet_ids,entities,geo,in_reply_to_user_id,note_tweet,referenced_tweets,reply_settings"},
		"expansions":   {"attachments.poll_ids"},
		"poll.fields":  {"duration_minutes"},
	}
}

// tweetJSON is a tweet on the wire, in both vocabularies.
type tweetJSON struct {
	ID          string       `json:"id"`
	AuthorID    string       `json:"author_id"`
	CreatedAt   string       `json:"created_at"`
	Text        string       `json:"text"`
	Entities    entitiesJSON `json:"entities"`
	NoteTweet   *noteJSON    `json:"note_tweet"`
	NotePost    *noteJSON    `json:"note_post"`
	Attachments struct {
		MediaKeys []string `json:"media_keys"`
		PollIDs   []string `json:"poll_ids"`
	} `json:"attachments"`
	Geo struct {
		PlaceID string `json:"place_id"`
	} `json:"geo"`
	InReplyToUserID     string            `json:"in_reply_to_user_id"`
	ReferencedTweets    []ReferencedTweet `json:"referenced_tweets"`
	ReferencedPosts     []ReferencedTweet `json:"referenced_posts"`
	EditHistoryTweetIDs []string          `json:"edit_history_tweet_ids"`
	EditHistoryPostIDs  []string          `json:"edit_history_post_ids"`
	ReplySettings       string            `json:"reply_settings"`
}

type entitiesJSON struct {
	URLs []URLEntity `json:"urls"`
}

type noteJSON struct {
	Text     string       `json:"text"`
	Entities entitiesJSON `json:"entities"`
}

func (t tweetJSON) tweet() Tweet {
	tweet := Tweet{
		ID: t.ID, AuthorID: t.AuthorID, Text: t.Text, URLs: t.Entities.URLs,
		MediaKeys: t.Attachments.MediaKeys, PollIDs: t.Attachments.PollIDs, PlaceID: t.Geo.PlaceID,
		InReplyToUserID: t.InReplyToUserID, ReferencedTweets: append(t.ReferencedTweets, t.ReferencedPosts...),
		ReplySettings: t.ReplySettings,
	}
	if at, err := time.Parse(time.RFC3339, t.CreatedAt); err == nil {
		tweet.CreatedAt = at.UTC()
	}
	for _, id := range append(t.EditHistoryTweetIDs, t.EditHistoryPostIDs...) {
		if id != "" {
			tweet.EditHistoryTweetIDs = append(tweet.EditHistoryTweetIDs, id)
		}
	}
	note := t.NoteTweet
	if note == nil {
		note = t.NotePost
	}
	if note != nil {
		tweet.NoteTweet = &NoteTweet{Text: note.Text, URLs: note.Entities.URLs}
	}
	return tweet
}

// tweetsJSON is an answer that holds a tweet or a list of tweets on the wire.
type tweetsJSON[T tweetJSON | []tweetJSON] struct {
	Data     *T           `json:"data"` // nil if it is missing
	Includes includesJSON `json:"includes"`
	// Errors is decoded apart: an error list of another form takes nothing from data.
	Errors json.RawMessage `json:"errors"`
	Meta   *metaJSON       `json:"meta"`
}

type includesJSON struct {
	Tweets []tweetJSON `json:"tweets"`
	Posts  []tweetJSON `json:"posts"`
	Polls  []pollJSON  `json:"polls"`
}

type pollJSON struct {
	ID      string `json:"id"`
	Options []struct {
		Label string `json:"label"`
	} `json:"options"`
	DurationMinutes int `json:"duration_minutes"`
}

type metaJSON struct {
	ResultCount *int   `json:"result_count"`
	NewestID    string `json:"newest_id"`
	OldestID    string `json:"oldest_id"`
	NextToken   string `json:"next_token"`
}

// parseTweets reads an answer. A member of another form than X's makes it an unreadable one: what
// could not be read might have been the evidence that was looked for.
func parseTweets[T tweetJSON | []tweetJSON](a Answer, into *tweetsJSON[T]) error {
	if err := json.Unmarshal(a.RawBody, into); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
			return fmt.Errorf("the answer's %s is not of the form of X's", clean(wrong.Field, maxWord))
		}
		return errNotObject
	}
	return nil
}

func (j includesJSON) includes() Includes {
	var includes Includes
	for _, t := range append(j.Tweets, j.Posts...) {
		includes.Tweets = append(includes.Tweets, t.tweet())
	}
	for _, p := range j.Polls {
		poll := IncludedPoll{ID: p.ID, DurationMinutes: p.DurationMinutes}
		for _, option := range p.Options {
			poll.Options = append(poll.Options, option.Label)
		}
		includes.Polls = append(includes.Polls, poll)
	}
	return includes
}

// tweetsOf turns a list, if there is one, into tweets. One without an id makes the whole list
// unusable: half a list proves nothing.
func tweetsOf(list *[]tweetJSON) ([]Tweet, error) {
	if list == nil {
		return nil, nil
	}
	var tweets []Tweet
	for i, t := range *list {
		if err := checkID(t.ID); err != nil {
			return nil, fmt.Errorf("id of tweet %d of the answer: %w", i+1, err)
		}
		tweets = append(tweets, t.tweet())
	}
	return tweets, nil
}

// partialErrors reads the error list of a 2xx. Items that are not objects are left out.
func (r call) partialErrors(list json.RawMessage) []PartialError {
	var items []json.RawMessage
	if json.Unmarshal(list, &items) != nil {
		return nil
	}
	var partial []PartialError
	for _, item := range items {
		var members map[string]json.RawMessage
		if json.Unmarshal(item, &members) == nil && members != nil {
			partial = append(partial, r.partialError(members))
		}
	}
	return partial
}

func (r call) partialError(members map[string]json.RawMessage) PartialError {
	var p problem
	p.take(members)
	e := PartialError{Kind: r.kindOfType(p), Type: clean(p.slug(), maxWord), Title: clean(p.title, maxText), Detail: clean(p.detail, maxText)}
	if e.Kind != KindNotFound && e.Kind != KindForbidden {
		e.Kind = KindOther
	}
	for name, field := range map[string]*string{"resource_id": &e.ResourceID, "parameter": &e.Parameter} {
		_ = json.Unmarshal(members[name], field)
	}
	if e.ResourceID == "" {
		_ = json.Unmarshal(members["value"], &e.ResourceID)
	}
	e.ResourceID, e.Parameter = clean(e.ResourceID, maxWord), clean(e.Parameter, maxWord)
	return e
}
