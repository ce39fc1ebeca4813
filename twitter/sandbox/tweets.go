package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tweet is the record of one tweet.
type Tweet struct {
	ID        string    `json:"id"`
	AuthorID  string    `json:"author_id"`
	Username  string    `json:"username"`                       // of the author, when it was posted
	Text      string    `json:"text"`                           // as it was sent, not escaped
	CreatedAt time.Time `json:"created_at"`                     // that of the id, to the millisecond
	InReplyTo string    `json:"in_reply_to_tweet_id,omitempty"` // the tweet it answers
	Quoted    string    `json:"quote_tweet_id,omitempty"`       // the tweet it quotes
	DeletedAt time.Time `json:"deleted_at,omitzero"`            // zero while it stands
	Request   int       `json:"request,omitzero"`               // Request.N that created it; 0 for AddTweet
}

// storedTweet is a Tweet and what only answers need.
type storedTweet struct {
	Tweet

	number       uint64 // the id
	conversation string // the id of the tweet that the thread began with

	// Of the request.
	cardURI         string
	communityID     string
	placeID         string // empty also if X dropped it
	replySetting    string
	madeWithAI      bool
	nullcast        bool // on no timeline
	paidPartnership bool
	poll            *poll
	item            Item // what X bills its creation as

	retweeted *storedTweet            // what this tweet retweets, or nil
	retweets  map[string]*storedTweet // of this tweet, those that stand, by the user's id
}

type poll struct {
	id       string
	options  []string
	duration time.Duration
}

func (t *storedTweet) deleted() bool { return !t.DeletedAt.IsZero() }

// remove deletes the tweet, and its retweets with it.
func (t *storedTweet) remove(now time.Time) {
	t.DeletedAt = now
	if t.retweeted != nil {
		delete(t.retweeted.retweets, t.AuthorID)
	}
	for _, r := range t.retweets {
		r.DeletedAt = now
	}
	t.retweets = nil
}

// tweets is all that was ever posted. Guarded by Server.mu.
type tweets struct {
	byID     map[uint64]*storedTweet
	byAuthor map[string][]*storedTweet // by user id, in the order of the tweets' ids
	lastID   uint64
	posted   map[saying]time.Time // when last, for the duplicate rule
	window   time.Duration        // of the duplicate rule; negative is none
}

// saying is one user's text in the form of sameText.
type saying struct{ userID, text string }

func newTweets(window time.Duration) tweets {
	return tweets{
		byID: map[uint64]*storedTweet{}, byAuthor: map[string][]*storedTweet{},
		posted: map[saying]time.Time{}, window: window,
	}
}

// snowflakeEpoch is the zero of tweet ids, in Unix milliseconds: an id is the milliseconds since,
// and 22 bits to tell apart the tweets of one millisecond.
const snowflakeEpoch = 1288834974657

// snowflake is the smallest id of a time; 1 for a time before the epoch.
func snowflake(t time.Time) uint64 {
	ms := t.UnixMilli() - snowflakeEpoch
	if ms <= 0 {
		return 1
	}
	return uint64(ms) << 22
}

// snowflakeTime is the millisecond in which an id was given.
func snowflakeTime(id uint64) time.Time {
	return time.UnixMilli(int64(id>>22) + snowflakeEpoch).UTC()
}

// lookUp returns a tweet, also one that was deleted.
func (w *tweets) lookUp(id string) *storedTweet {
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil
	}
	return w.byID[number]
}

// find returns a tweet that stands.
func (w *tweets) find(id string) *storedTweet {
	if t := w.lookUp(id); t != nil && !t.deleted() {
		return t
	}
	return nil
}

// source returns a tweet that stands, or, if that is a retweet, the one that it retweets.
func (w *tweets) source(id string) *storedTweet {
	t := w.find(id)
	if t != nil && t.retweeted != nil {
		return t.retweeted
	}
	return t
}

// add stores a tweet under the id, and gives it the id's time. A text, if there is one, may not be
// posted again; it is in the form of sameText.
func (w *tweets) add(id uint64, t *storedTweet, same string) {
	t.number = id
	t.ID = strconv.FormatUint(id, 10)
	t.CreatedAt = snowflakeTime(id)
	t.conversation = t.ID
	if parent := w.find(t.InReplyTo); parent != nil {
		t.conversation = parent.conversation
	}
	w.byID[id] = t
	w.lastID = max(w.lastID, id)
	of := w.byAuthor[t.AuthorID]
	place := len(of)
	for place > 0 && of[place-1].number > id {
		place--
	}
	w.byAuthor[t.AuthorID] = slices.Insert(of, place, t)
	key := saying{t.AuthorID, same}
	if w.window > 0 && same != "" && t.CreatedAt.After(w.posted[key]) {
		w.posted[key] = t.CreatedAt
	}
}

// nextID is an id for a tweet of now, above all that were given before.
func (w *tweets) nextID(now time.Time) uint64 {
	return max(snowflake(now), w.lastID+1)
}

// duplicate tells whether the user posted the text, in the form of sameText, within the window.
func (w *tweets) duplicate(userID, same string, now time.Time) bool {
	at, ok := w.posted[saying{userID, same}]
	return ok && now.Sub(at) < w.window
}

// AddTweet adds a tweet as if it had been posted at t.CreatedAt (zero is now), past any rule. A time
// in the future is refused, since the ids after it would run ahead. Only
// Username, Text, CreatedAt, InReplyTo and Quoted are read. It returns the record with its id.
func (s *Server) AddTweet(t Tweet) (Tweet, error) {
	now := s.now()
	if t.CreatedAt.After(now) {
		return Tweet{}, fmt.Errorf("add tweet of %q: %s is in the future", t.Username, formatTime(t.CreatedAt))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.accounts.usernames[strings.ToLower(t.Username)]
	if user == nil {
		return Tweet{}, fmt.Errorf("add tweet: no user %q", t.Username)
	}
	for _, id := range []string{t.InReplyTo, t.Quoted} {
		if id != "" && s.tweets.find(id) == nil {
			return Tweet{}, fmt.Errorf("add tweet of %q: no tweet %q", t.Username, id)
		}
	}
	id := s.tweets.nextID(now)
	if !t.CreatedAt.IsZero() {
		id = snowflake(t.CreatedAt)
		for s.tweets.byID[id] != nil {
			id++
		}
	}
	stored := &storedTweet{Tweet: Tweet{
		AuthorID: user.ID, Username: user.Username, Text: t.Text, InReplyTo: t.InReplyTo, Quoted: t.Quoted,
	}}
	s.tweets.add(id, stored, sameText(t.Text))
	return stored.Tweet, nil
}

// Tweets are copies of all tweets but retweets, deleted ones too, in the order of their ids, which is that of
// their times.
func (s *Server) Tweets() []Tweet {
	s.mu.Lock()
	stored := make([]storedTweet, 0, len(s.tweets.byID))
	for _, t := range s.tweets.byID {
		if t.retweeted == nil {
			stored = append(stored, *t)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(stored, func(a, b storedTweet) int { return cmp.Compare(a.number, b.number) })
	all := make([]Tweet, len(stored))
	for i := range stored {
		all[i] = stored[i].Tweet
	}
	return all
}
