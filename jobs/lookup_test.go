package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// lookingUp is a worker that looks doubts up within seconds.
func lookingUp() Config {
	return Config{
		LookUpAfter:     []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second},
		LongestCreation: 100 * time.Millisecond, ReadLag: 100 * time.Millisecond,
	}
}

// X made the tweet and its answer was lost: it is found.
func TestLookUpFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Is it there & whole? https://example.com/a?b=c")
	done := r.wait(EventDone, id)
	entry := w.entry(id)
	require.Equal(t, store.Posted, entry.Status)
	tweets := w.x.Tweets()
	require.Len(t, tweets, 1)
	require.Equal(t, tweets[0].ID, *entry.TweetID)
	require.Equal(t, tweets[0].ID, done.TweetID)
	require.WithinDuration(t, tweets[0].CreatedAt, *entry.DoneAt, 2*time.Second)
}

// X never made it: it is sent again, and not before X has had its time.
func TestLookUpOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Where is it?")
	r.wait(EventDone, id)
	require.Len(t, w.x.Tweets(), 1)
	require.Equal(t, w.x.Tweets()[0].ID, *w.entry(id).TweetID)
	var granted []time.Time
	for _, request := range w.requests(id) {
		granted = append(granted, request.GrantedAt)
	}
	require.GreaterOrEqual(t, granted[len(granted)-1].Sub(granted[0]), sendWithin+200*time.Millisecond)
}
