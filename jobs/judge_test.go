package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// A duplicate was refused after a doubt, X shows nothing in time, and the row says hold.
func TestJudgeOfADuplicateToHold(t *testing.T) {
	t.Parallel()
	j, d := judged(11 * time.Minute)
	d.Refused, d.IfUnconfirmed = true, "hold"
	resolution := j.decide(nil, d)
	require.Equal(t, store.Unconfirmed, resolution.Status)
	require.Contains(t, resolution.Error, "enqueue resolve")
}

// The newest deletion may have worked: reads may lag behind it.
func TestJudgeOfADeletionWithinTheReadLag(t *testing.T) {
	t.Parallel()
	j, d := judged(10*time.Second, shown("Hi", -time.Hour))
	d.TweetID, d.Retries = j.seen.tweets[0].ID, patience
	oldest := d.Open[0]
	oldest.GrantedAt, oldest.SendBy = oldest.GrantedAt.Add(-10*time.Minute), oldest.SendBy.Add(-10*time.Minute)
	d.Open = []store.OpenRequest{oldest, d.Open[0]}
	resolution := j.deletion(d)
	require.Equal(t, store.Unconfirmed, resolution.Status)
	j.began, j.now = *resolution.NextAt, *resolution.NextAt
	require.Equal(t, store.Failed, j.deletion(d).Status)
}

// The database's clock says that X has had its time; by X's own clock it has not.
func TestJudgeByTwoClocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seenFrom *time.Duration // before this look-up
		want     store.Status
	}{
		"FirstLookUp": {want: store.Unconfirmed},
		"TooSoon":     {seenFrom: new(6 * time.Minute), want: store.Unconfirmed},
		"Both":        {seenFrom: new(7 * time.Minute), want: store.Scheduled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, d := judged(11 * time.Minute)
			j.seen.answer.Date = j.began
			if test.seenFrom != nil {
				d.SeenFrom = new(j.began.Add(-*test.seenFrom))
			}
			resolution := j.decide(nil, d)
			require.Equal(t, test.want, resolution.Status)
			if test.want == store.Unconfirmed {
				require.True(t, resolution.NextAt.After(j.now))
			}
		})
	}
}

// The database's clock steps ahead while a tweet is in doubt that X does not show yet: its time is not up.
func TestClockStepsAheadDuringADoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{ReadLag: sandbox.ReadLag{Min: 8 * time.Second}})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Match: creates(), Times: 1})
	r := w.start(opts{config: Config{Time: movedTime(time.Hour)}}) // all at its defaults: 10 minutes
	id := w.tweet("once")
	r.wait(EventUnconfirmed, id)
	storetest.MoveClock(t, w.db, 15*time.Minute)
	r.waitFor(func(e Event) bool {
		return e.Type == EventUnconfirmed && strings.Contains(e.Reason, "X does not show it yet")
	})
	require.Equal(t, "unconfirmed", w.status(id))
	require.Equal(t, 1, w.count(creates()))
}

// A row that is looked up although each of its requests has an answer is a person's matter: a look-up would
// tell nothing, for ever.
func TestLookUpOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	id := w.tweet("x")
	r.wait(EventUnconfirmed, id)
	w.exec(`UPDATE tweetqueue.requests SET outcome = 'fail'`)
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock()`)
	require.Contains(t, r.person(id), "none of its requests is in doubt")
	require.Zero(t, one[int](w, `SELECT count(*) FROM tweetqueue.requests WHERE kind = 'look_up'`))
}

// A proxy on the way refuses with a page of its own: that is no word of X's, and no duplicate.
func TestRefusedByAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindStatusBefore, Status: 403, Body: sandbox.BodyHTML, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("past the proxy")
	r.wait(EventUnconfirmed, id)
	r.wait(EventDone, id)
	require.Len(t, w.x.Tweets(), 1)
}
