package chaos

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// A row and its tweets are told by a mark in the text, which only the harness reads: m17e stands in
// the text of one row, g17e in those of rows that say the same.
var mark = regexp.MustCompile(`\b[mg]\d+e\b`)

// load is what is enqueued: n tweets and a quarter as many deletions, for all accounts, due while there
// are faults.
type load struct {
	*world

	random *rand.Rand
	start  time.Time // by the database's clock
	last   time.Duration
	marks  int
}

// enqueue enqueues a load.
func (w *world) enqueue(random *rand.Rand, n int, last time.Duration) {
	w.Helper()
	start, err := store.Clock(w.Context(), w.db)
	require.NoError(w, err)
	l := &load{world: w, random: random, start: start, last: last}
	for made := 0; made < n; {
		made += l.some(w.accounts[random.IntN(len(w.accounts))].username)
	}
	for made := 0; made < n/4; {
		made += l.someDeletions(w.accounts[random.IntN(len(w.accounts))].username)
	}
}

// some enqueues one tweet, or the few that belong together, and returns how many.
func (l *load) some(username string) int {
	const usual = 20
	tweet := store.Tweet{Text: l.text("m")}
	switch l.random.IntN(usual) {
	case 0: // a thread
		first := l.insert(username, tweet)
		l.insert(username, store.Tweet{Text: l.text("m"), PreviousID: &first})
		return 2
	case 1: // the same twice
		same := store.Tweet{Text: l.text("g")}
		l.insert(username, same)
		l.insert(username, same)
		return 2
	case 2:
		minutes := 60
		tweet.PollOptions, tweet.PollDurationMinutes = []string{"Yes & no", "<neither>"}, &minutes
	case 3:
		own := l.old(username)
		tweet.InReplyToTweetID = &own
	case 4:
		tweet.IfUnconfirmed = "hold"
	case 5:
		lifetime := time.Duration(1+l.random.IntN(10)) * time.Second
		tweet.DeleteAfter = pgtype.Interval{Microseconds: lifetime.Microseconds(), Valid: true}
	case 6:
		deadline := l.start.Add(l.last + time.Duration(l.random.Int64N(int64(l.last))))
		tweet.PostBefore = &deadline
	}
	l.insert(username, tweet)
	return 1
}

// text is one that X changes on its way: links, what HTML escapes, what Unicode can write in two ways.
func (l *load) text(kind string) string {
	l.marks++
	forms := []string{
		"Doors open %s",
		"Doors open %s https://example.com/shop?a=1&b=2",
		"%s: 5 < 6 && 7 > 6, said \"nobody\"",
		"Caf\u00e9 or cafe\u0301 %s \U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA",
		"One\nline after %s, example.com/a and www.example.org",
		"  white space around %s ",
	}
	return fmt.Sprintf(forms[l.random.IntN(len(forms))], kind+strconv.Itoa(l.marks)+"e")
}

func (l *load) due() *time.Time {
	at := l.start.Add(time.Duration(l.random.Int64N(int64(l.last))))
	return &at
}

func (l *load) insert(username string, tweet store.Tweet) int64 {
	l.Helper()
	due := l.due()
	if tweet.PostBefore != nil && due.After(*tweet.PostBefore) {
		due = &l.start
	}
	id, _, err := store.TweetInsert(l.Context(), l.db, username, tweet, due, 1+l.random.IntN(4))
	require.NoError(l, err)
	return id
}

// old is a tweet that has been there for an hour.
func (l *load) old(username string) string {
	l.Helper()
	tweet, err := l.x.AddTweet(sandbox.Tweet{
		Username: username, Text: "Long ago", CreatedAt: l.start.Add(-2*time.Hour + time.Duration(l.random.Int64N(int64(time.Hour)))),
	})
	require.NoError(l, err)
	return tweet.ID
}

func (l *load) someDeletions(username string) int {
	const usual = 6
	switch l.random.IntN(usual) {
	case 0: // the second finds it gone
		id := l.old(username)
		l.delete(username, id)
		l.delete(username, id)
		return 2
	case 1: // it never was there
		l.delete(username, strconv.FormatInt(1445880548472328192+l.random.Int64N(1<<40), 10))
	default:
		l.delete(username, l.old(username))
	}
	return 1
}

func (l *load) delete(username, tweetID string) {
	l.Helper()
	_, _, err := store.DeletionInsert(l.Context(), l.db, username, tweetID, l.due(), 0)
	require.NoError(l, err)
}
