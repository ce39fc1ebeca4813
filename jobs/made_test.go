package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// X's answer comes when its row is over without a tweet. The row says that the tweet is there, and whoever schedules it
// again does not post it twice; nor is its tweet taken for that of a row in doubt that says the same.
func TestAnswerToARowThatIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Twice is once too many")
	w.held(fault, 1)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'failed', error = 'it was not there' WHERE id = $1`, id)
	fault.Lift()
	twice := r.wait(EventPostedTwice, id)
	made := w.x.Tweets()[0].ID
	require.Equal(t, made, twice.TweetID)
	require.Equal(t, "X made https://x.com/i/web/status/"+made+" of this row after all", twice.Reason)
	entry := w.entry(id)
	require.Equal(t, store.Failed, entry.Status)
	require.Equal(t, twice.Reason, *entry.Error)
	require.Len(t, entry.Warnings, 1)
	require.Contains(t, entry.Warnings[0], "'enqueue delete --account acme "+made+"' deletes it")

	// X never made this one: what it shows is the other row's.
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropBefore, Times: 1})
	other := w.tweet("Twice is once too many")
	require.NotEqual(t, made, r.wait(EventDone, other).TweetID)
	require.Len(t, w.x.Tweets(), 2)

	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
	require.Equal(t, made, r.wait(EventDone, id).TweetID)
	require.Equal(t, store.Posted, w.entry(id).Status)
	sent, _ := w.sent(id)
	require.Len(t, sent, 1)
	require.Len(t, w.x.Tweets(), 2)
}

// X makes it when the client has long gone.
func TestLookUpFindsWhatIsMadeLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldBefore, Times: 1})
	config := lookingUp()
	config.LongestCreation, config.X.Timeout = time.Minute, 2*time.Second
	for after := time.Second; after < 30*time.Second; after += 2 * time.Second {
		config.LookUpAfter = append(config.LookUpAfter, 2*time.Second+after)
	}
	r := w.start(opts{config: config})
	id := w.tweet("Better late")
	r.lookedUp(id, "X does not show it yet")
	require.Empty(t, w.x.Tweets())
	fault.Lift()
	r.wait(EventDone, id)
	w.requireOn(id)
}

// Other words are sent: what X made has the old ones.
func TestMadeOfOtherWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Doors open at 8")
	w.held(fault, 1)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'failed', error = 'it was not there' WHERE id = $1`, id)
	fault.Lift()
	r.wait(EventPostedTwice, id)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled', text = 'Doors open at 9' WHERE id = $1`, id)
	done := r.wait(EventDone, id)
	require.Equal(t, store.Posted, w.entry(id).Status)
	for _, tweet := range w.x.Tweets() {
		if tweet.ID == done.TweetID {
			require.Equal(t, "Doors open at 9", tweet.Text)
		}
	}
}
