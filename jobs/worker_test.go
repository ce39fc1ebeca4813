package jobs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestPostsADueTweetOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.tweet("Doors open at nine")
	r := w.start(opts{})
	done := r.wait(EventDone, id)
	require.Equal(t, "posted", w.status(id))
	tweets := w.x.Tweets()
	require.Len(t, tweets, 1)
	require.Equal(t, "Doors open at nine", tweets[0].Text)
	require.Equal(t, tweets[0].ID, done.TweetID)
}
