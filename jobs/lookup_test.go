package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// lookingUp is a worker that looks doubts up within seconds.
func lookingUp() Config {
	return Config{
		LookUpAfter:     []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second},
		LongestCreation: 100 * time.Millisecond, ReadLag: 100 * time.Millisecond,
	}
}

// movedTime is River's clock where the database's is moved.
type movedTime time.Duration

func (m movedTime) Now() time.Time { return time.Now().Add(time.Duration(m)) }
func (m movedTime) NowOrNil() *time.Time {
	now := m.Now()
	return &now
}

// moveClock moves the database's clock, and returns the configuration of a worker that goes with it.
func (w *world) moveClock(config Config, offset time.Duration) Config {
	w.Helper()
	storetest.MoveClock(w, w.db, offset)
	config.Time = movedTime(offset)
	return config
}

// person waits until a row is left to a person, and returns why.
func (r *running) person(id int64) string {
	r.world.Helper()
	event := r.waitFor(func(e Event) bool {
		return e.Type == EventUnconfirmed && e.RowID == id && e.Until == nil && strings.Contains(e.Reason, "enqueue resolve")
	})
	entry := r.world.entry(id)
	require.Equal(r.world, store.Unconfirmed, entry.Status)
	require.Nil(r.world, entry.NextAttemptAt)
	require.Equal(r.world, event.Reason, *entry.Error)
	return event.Reason
}

// lookedUp waits until a row was looked up in vain for a reason.
func (r *running) lookedUp(id int64, reason string) Event {
	r.world.Helper()
	return r.waitFor(func(e Event) bool {
		return e.Type == EventUnconfirmed && e.RowID == id && strings.Contains(e.Reason, "; ") && strings.Contains(e.Reason, reason)
	})
}

// sent are the requests for a row that were no look-ups, and lookUps those that were.
func (w *world) sent(id int64) (sent, lookUps []store.SentRequest) {
	w.Helper()
	for _, request := range w.requests(id) {
		if request.Kind == "look_up" {
			lookUps = append(lookUps, request)
		} else {
			sent = append(sent, request)
		}
	}
	return sent, lookUps
}

// creates matches the requests that create tweets, reads those that look them up.
func creates() sandbox.Match { return sandbox.Match{Route: sandbox.RouteCreateTweet} }
func reads() sandbox.Match   { return sandbox.Match{Route: sandbox.RouteUserTweets} }

// requireOn requires that a row is posted as the only tweet that X has.
func (w *world) requireOn(id int64) {
	w.Helper()
	entry := w.entry(id)
	require.Equal(w, store.Posted, entry.Status)
	require.Nil(w, entry.Error)
	tweets := w.x.Tweets()
	require.Len(w, tweets, 1)
	require.Equal(w, tweets[0].ID, *entry.TweetID)
}

// X made the tweet and its answer was lost: it is found.
func TestLookUpFinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{
		sandbox.KindDropAfter, sandbox.KindDropFirstByte, sandbox.KindDropHeaders, sandbox.KindDropBody, sandbox.KindStatusAfter,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.fault(sandbox.Fault{Kind: kind, Times: 1})
			r := w.start(opts{config: lookingUp()})
			id := w.tweet("Is it there & whole? https://example.com/a?b=c")
			done := r.wait(EventDone, id)
			w.requireOn(id)
			require.Equal(t, w.x.Tweets()[0].ID, done.TweetID)
			require.WithinDuration(t, w.x.Tweets()[0].CreatedAt, *w.entry(id).DoneAt, 2*time.Second)
			require.Len(t, w.requests(id), 2)
		})
	}
}

// X never made it: it is sent again, and not before X has had its time.
func TestLookUpOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Where is it?")
	r.wait(EventDone, id)
	w.requireOn(id)
	sent, lookUps := w.sent(id)
	require.Len(t, sent, 2)
	require.NotEmpty(t, lookUps)
	require.GreaterOrEqual(t, sent[1].GrantedAt.Sub(sent[0].GrantedAt), sendWithin+200*time.Millisecond)
	for _, l := range lookUps {
		require.Equal(t, "done", *l.Outcome)
		require.Equal(t, 200, *l.StatusCode)
		require.Equal(t, "0", l.CostUSD.String(), "X returned nothing")
	}
}

// Reads lag: a later look-up finds it. Each costs what X returns.
func TestLookUpFindsUnderReadLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{ReadLag: sandbox.ReadLag{Min: time.Hour}})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Times: 1})
	config := lookingUp()
	config.ReadLag = time.Minute
	r := w.start(opts{config: config})
	id := w.tweet("Not yet")
	require.Contains(t, r.lookedUp(id, "X does not show it yet").Reason, "it may be on X: create tweet: maybe sent")
	require.NoError(t, w.x.SetReadLag(sandbox.ReadLag{}))
	r.wait(EventDone, id)
	w.requireOn(id)
	sent, lookUps := w.sent(id)
	require.Len(t, sent, 1)
	require.GreaterOrEqual(t, len(lookUps), 2)
	last := lookUps[len(lookUps)-1]
	require.Equal(t, "0", lookUps[0].CostUSD.String())
	require.Equal(t, "0.005", last.CostUSD.String())
	require.Contains(t, *last.Answer, w.x.Tweets()[0].ID)
	require.NotNil(t, last.XTransactionID)
}

// The clocks of X and of the database may be minutes off: what is there is found, and only what is not there
// is sent again.
func TestLookUpWithClocksThatAreOff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ x, database time.Duration }{
		"XAhead":         {x: 4 * time.Minute},
		"XBehind":        {x: -4 * time.Minute},
		"XFarAhead":      {x: 20 * time.Minute},
		"XFarBehind":     {x: -20 * time.Minute}, // the first read begins too late, and shows it
		"DatabaseAhead":  {database: 4 * time.Minute},
		"DatabaseBehind": {database: -4 * time.Minute},
		"Apart":          {x: -3 * time.Minute, database: 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{
				Now:           func() time.Time { return time.Now().Add(test.x) },
				TimestampSkew: -1,
			})
			config := w.moveClock(lookingUp(), test.database)
			w.account("other")
			w.fault(sandbox.Fault{Match: sandbox.Match{Username: "acme"}, Kind: sandbox.KindDropAfter, Times: 1})
			w.fault(sandbox.Fault{Match: sandbox.Match{Username: "other"}, Kind: sandbox.KindDropBefore, Times: 1})
			r := w.start(opts{config: config})
			there, absent := w.tweet("There"), w.enqueue("other", store.Tweet{Text: "Not there"}, 0)
			r.wait(EventDone, there, absent)
			require.ElementsMatch(t, []string{"There", "Not there"}, w.texts())
			sent, _ := w.sent(there)
			require.Len(t, sent, 1)
			sent, _ = w.sent(absent)
			require.Len(t, sent, 2)
			require.WithinDuration(t, sent[0].GrantedAt, *w.entry(there).DoneAt, soon, "by the database's clock")
		})
	}
}

// A row that says hold is not sent again: a person decides, with one command.
func TestLookUpHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.enqueue("acme", store.Tweet{Text: "Rather not twice", IfUnconfirmed: "hold"}, 0)
	reason := r.person(id)
	require.Contains(t, reason, "X does not show it, and the row says hold")
	require.Contains(t, reason, fmt.Sprintf("enqueue resolve %d --posted TWEET_ID", id))
	require.Contains(t, reason, fmt.Sprintf("enqueue resolve %d --not-posted", id))
	sent, _ := w.sent(id)
	require.Len(t, sent, 1)

	// The person says that it is not there.
	_, err := storetest.ResolveByHand(t, w.db, id, false, nil, nil)
	require.NoError(t, err)
	r.wait(EventDone, id)
	w.requireOn(id)
}

// What is absent when its deadline has passed is missed, never posted late.
func TestLookUpPastTheDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("In time or never")
	r.wait(EventUnconfirmed, id)
	w.exec(`BEGIN; SET LOCAL session_replication_role = replica;
UPDATE tweetqueue.tweets SET post_before = post_at + interval '1 microsecond'; COMMIT`)
	require.Contains(t, r.wait(EventMissed, id).Reason, "X does not show it, and its deadline has passed")
	require.Equal(t, "missed", w.status(id))
	require.Empty(t, w.x.Tweets())
	sent, _ := w.sent(id)
	require.Len(t, sent, 1)
}

// X calls it a duplicate after a doubt: most likely of itself.
func TestLookUpAfterADuplicate(t *testing.T) {
	t.Parallel()
	resend := func(t *testing.T, w *world, r *running, id int64) {
		t.Helper()
		r.lookedUp(id, "X does not show it yet")
		_, err := storetest.ResolveByHand(t, w.db, id, false, nil, nil)
		require.NoError(t, err)
		r.waitFor(func(e Event) bool {
			return e.Type == EventUnconfirmed && e.RowID == id && strings.Contains(e.Reason, "it may be on X: create tweet: duplicate (403)")
		})
	}
	t.Run("OfItself", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sandbox.Config{DuplicateWindow: time.Hour, ReadLag: sandbox.ReadLag{Min: time.Minute}})
		w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
		r := w.start(opts{config: lookingUp()})
		id := w.tweet("Once")
		resend(t, w, r, id)
		require.NoError(t, w.x.SetReadLag(sandbox.ReadLag{}))
		r.wait(EventDone, id)
		w.requireOn(id)
	})
	t.Run("OfAnOlderOne", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sandbox.Config{})
		_, err := w.x.Script(creates(), sandbox.Fault{Kind: sandbox.KindDropBefore}, sandbox.Fault{Kind: sandbox.KindDuplicate})
		require.NoError(t, err)
		r := w.start(opts{config: lookingUp()})
		id := w.tweet("Once")
		resend(t, w, r, id)
		reason := r.wait(EventFailed, id).Reason
		require.Contains(t, reason, "duplicate content")
		require.Contains(t, reason, "X shows no tweet of this row")
		require.Equal(t, "failed", w.status(id))
		sent, _ := w.sent(id)
		require.Len(t, sent, 2)
	})
}

// Somebody says the same: nobody but a person can tell which is the row's.
func TestLookUpFindsTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHangAfter})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Good morning")
	w.held(fault, 1)
	other, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "Good morning"})
	require.NoError(t, err)
	fault.Lift()
	reason := r.person(id)
	require.Contains(t, reason, "X shows 2 tweets that may be this row's")
	require.Contains(t, reason, other.ID)
	require.Contains(t, reason, w.x.Tweets()[0].ID)
	_, err = storetest.ResolveByHand(t, w.db, id, true, &w.x.Tweets()[0].ID, nil)
	require.NoError(t, err)
	require.Len(t, w.x.Requests(), 2)
}

// What was said before the row was sent is not the row's.
func TestLookUpTakesNoEarlierTweet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	_, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "Good morning", CreatedAt: time.Now().Add(-time.Minute)})
	require.NoError(t, err)
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropBefore, Times: 1})
	r := w.start(opts{config: lookingUp()})
	require.Contains(t, r.person(w.tweet("Good morning")), "X shows a tweet that may be this row's, or not")
	require.Len(t, w.x.Tweets(), 1)
}

// Two rows with the same text, both in doubt.
func TestLookUpOfTwoRowsThatSayTheSame(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]sandbox.Kind{"OneTweet": sandbox.KindHangBefore, "TwoTweets": sandbox.KindHangAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			one := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHangAfter, Times: 1})
			two := w.fault(sandbox.Fault{Match: creates(), Kind: second, Times: 1})
			ids := []int64{w.tweet("The same"), w.tweet("The same")}
			r := w.start(opts{config: lookingUp()})
			w.held(one, 1)
			w.held(two, 1)
			one.Lift()
			two.Lift()
			for i, id := range ids {
				require.Contains(t, r.person(id), fmt.Sprintf("row %d", ids[1-i]))
			}
		})
	}
}

// Two rows with the same text: what is being sent will be known in a moment, and is not taken away from it.
func TestLookUpWhileTheSameIsBeingSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	one := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHangAfter, Times: 1})
	two := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldAfter, Times: 1})
	ids := []int64{w.tweet("The same"), w.tweet("The same")}
	r := w.start(opts{config: lookingUp()})
	w.held(one, 1)
	w.held(two, 1)
	one.Lift()
	r.waitFor(func(e Event) bool { return strings.Contains(e.Reason, "another row with the same text is being sent") })
	two.Lift()
	r.wait(EventDone, ids...)
	require.Len(t, w.x.Tweets(), 2)
	require.ElementsMatch(t, []string{w.x.Tweets()[0].ID, w.x.Tweets()[1].ID}, []string{*w.entry(ids[0]).TweetID, *w.entry(ids[1]).TweetID})
	require.Equal(t, 2, w.count(creates()))
}

// count counts the requests of a sort that have come to X.
func (w *world) count(match sandbox.Match) int {
	n := 0
	for _, request := range w.x.Requests() {
		if request.Route == match.Route {
			n++
		}
	}
	return n
}

// Two rows with the same text, one after the other, give two tweets or one clear 403, whatever happens to
// the second.
func TestTwoRowsThatSayTheSame(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		window time.Duration
		kind   sandbox.Kind
		skip   int
		want   string
	}{
		"FirstLost":            {window: -1, kind: sandbox.KindDropAfter, want: "posted"},
		"FirstLostWithTheRule": {window: time.Hour, kind: sandbox.KindDropAfter, want: "failed"},
		"SecondLost":           {window: -1, kind: sandbox.KindDropAfter, skip: 1, want: "posted"},
		"SecondNeverMade":      {window: -1, kind: sandbox.KindDropBefore, skip: 1, want: "posted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{DuplicateWindow: test.window})
			w.fault(sandbox.Fault{Match: creates(), Kind: test.kind, Skip: test.skip, Times: 1})
			r := w.start(opts{config: lookingUp()})
			first := w.tweet("The same")
			r.wait(EventDone, first)
			second := w.tweet("The same")
			r.waitFor(func(e Event) bool { return e.RowID == second && (e.Type == EventDone || e.Type == EventFailed) })
			require.Equal(t, test.want, w.status(second))
			require.Equal(t, w.x.Tweets()[0].ID, *w.entry(first).TweetID)
			if test.want == "failed" {
				require.Len(t, w.x.Tweets(), 1)
				require.Contains(t, *w.entry(second).Error, "duplicate content")
				return
			}
			require.Len(t, w.x.Tweets(), 2)
			require.Equal(t, w.x.Tweets()[1].ID, *w.entry(second).TweetID)
		})
	}
}

// inDoubt brings tweets of acme into doubt that X has made, and makes their look-ups due now. It returns a
// worker that has begun no loop.
func (w *world) inDoubt(texts ...string) (*Worker, []int64) {
	w.Helper()
	worker := w.newWorker(opts{config: lookingUp()})
	require.NoError(w, worker.lease.start(w.Context()))
	fault := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter})
	var ids []int64
	var jobs []wakeUp
	for i, text := range texts {
		ids = append(ids, w.tweet(text))
		jobs = append(jobs, wakeUp{jobID: int64(i + 1), rowID: ids[i]})
	}
	require.NoError(w, worker.work(w.Context(), store.PostTweet, jobs))
	worker.settling.Wait() // also what goes on without its job
	fault.Lift()
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock()`)
	return worker, ids
}

// due claims a row whose look-up is due.
func (w *Worker) due(t *testing.T, id int64) *store.Row {
	t.Helper()
	_, doubts, err := w.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
	require.NoError(t, err)
	require.Len(t, doubts, 1)
	return doubts[0].row
}

// One look-up serves all doubts of an account, and of two workers one makes it.
func TestOneLookUpServesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker, ids := w.inDoubt("one", "two", "three", "four", "five")
	other := w.newWorker(opts{config: lookingUp()})
	require.NoError(t, other.lease.start(t.Context()))
	mine, theirs := worker.due(t, ids[0]), other.due(t, ids[4])
	l, err := worker.claimLookUp(t.Context(), mine, 1)
	require.NoError(t, err)
	require.Equal(t, ids, l.rowIDs())
	second, err := other.claimLookUp(t.Context(), theirs, 2)
	require.NoError(t, err)
	require.Nil(t, second, "it is being looked up")
	require.NoError(t, worker.settleLookUp(t.Context(), l, worker.look(t.Context(), l)))
	for i, id := range ids {
		require.Equal(t, "posted", w.status(id))
		require.Equal(t, w.x.Tweets()[i].ID, *w.entry(id).TweetID)
		_, lookUps := w.sent(id)
		require.Len(t, lookUps, 1)
		require.Equal(t, "0.025", lookUps[0].CostUSD.String())
	}
	require.Equal(t, 1, w.count(reads()))
}

// A worker that dies in a look-up has lost nothing: it is made again.
func TestDeathDuringALookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker, ids := w.inDoubt("Only once")
	l, err := worker.claimLookUp(t.Context(), worker.due(t, ids[0]), 1)
	require.NoError(t, err)
	seen := worker.look(t.Context(), l) // and then it dies
	require.Len(t, seen.tweets, 1)
	require.WithinDuration(t, time.Now().Add(worker.lookUpRest()), *w.entry(ids[0]).NextAttemptAt, 10*time.Second)
	w.declareDead()
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = next_attempt_at - $1::interval`, worker.lookUpRest())
	heir := w.start(opts{config: lookingUp()})
	heir.wait(EventDone, ids[0])
	w.requireOn(ids[0])
	_, lookUps := w.sent(ids[0])
	require.Len(t, lookUps, 2)
	require.Nil(t, lookUps[0].Outcome)

	// It thaws: what it saw changes nothing any more.
	require.NoError(t, worker.settleLookUp(t.Context(), l, sight{ahead: seen.ahead}))
	w.requireOn(ids[0])
}

// A look-up whose row is locked comes again as soon as the lock is gone.
func TestLookUpOfALockedRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker, ids := w.inDoubt("Only once")
	row := worker.due(t, ids[0])
	w.exec(`DELETE FROM tweetqueue.river_job`)
	app := w.application()
	_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets FOR UPDATE`)
	require.NoError(t, err)
	l, err := worker.claimLookUp(t.Context(), row, 1)
	require.NoError(t, err)
	require.Nil(t, l)
	require.NoError(t, app.Rollback(t.Context()))
	w.start(opts{config: lookingUp()}).wait(EventDone, ids[0])
	w.requireOn(ids[0])
}
