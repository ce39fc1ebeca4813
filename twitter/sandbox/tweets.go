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
	replySetting string
}

func (t *storedTweet) deleted() bool { return !t.DeletedAt.IsZero() }

// tweets is all that was ever posted. Guarded by Server.mu.
type tweets struct {
	byID   map[uint64]*storedTweet
	lastID uint64
	posted map[saying]time.Time // when last, for the duplicate rule
	window time.Duration        // of the duplicate rule; negative is none
}

// saying is one user's text without the white space around it.
type saying struct{ userID, text string }

func newTweets(window time.Duration) tweets {
	return tweets{byID: map[uint64]*storedTweet{}, posted: map[saying]time.Time{}, window: window}
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

// find returns a tweet that stands.
func (w *tweets) find(id string) *storedTweet {
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil
	}
	if t := w.byID[number]; t != nil && !t.deleted() {
		return t
	}
	return nil
}

// add stores a tweet under the id, and gives it the id's time.
func (w *tweets) add(id uint64, t *storedTweet) {
	t.number = id
	t.ID = strconv.FormatUint(id, 10)
	t.CreatedAt = snowflakeTime(id)
	t.conversation = t.ID
	if parent := w.find(t.InReplyTo); parent != nil {
		t.conversation = parent.conversation
	}
	w.byID[id] = t
	w.lastID = max(w.lastID, id)
	key := saying{t.AuthorID, strings.TrimSpace(t.Text)}
	if w.window > 0 && t.CreatedAt.After(w.posted[key]) {
		w.posted[key] = t.CreatedAt
	}
}

// nextID is an id for a tweet of now, above all that were given before.
func (w *tweets) nextID(now time.Time) uint64 {
	return max(snowflake(now), w.lastID+1)
}

// duplicate tells whether the user posted the text within the window.
func (w *tweets) duplicate(userID, text string, now time.Time) bool {
	at, ok := w.posted[saying{userID, strings.TrimSpace(text)}]
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
	s.tweets.add(id, stored)
	return stored.Tweet, nil
}

// Tweets are copies of all tweets, deleted ones too, in the order of their ids, which is that of
// their times.
func (s *Server) Tweets() []Tweet {
	s.mu.Lock()
	stored := make([]storedTweet, 0, len(s.tweets.byID))
	for _, t := range s.tweets.byID {
		stored = append(stored, *t)
	}
	s.mu.Unlock()
	slices.SortFunc(stored, func(a, b storedTweet) int { return cmp.Compare(a.number, b.number) })
	all := make([]Tweet, len(stored))
	for i := range stored {
		all[i] = stored[i].Tweet
	}
	return all
}
