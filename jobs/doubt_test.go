package jobs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// judged is a judge a while after a request of the doubt, with what X shows.
func judged(after time.Duration, tweets ...twitter.Tweet) (judge, *store.Doubt) {
	granted := time.Date(2026, time.November, 26, 10, 0, 0, 0, time.UTC)
	j := judge{
		times: lookUpTimes{
			after:   []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
			longest: 2 * time.Minute, readLag: 5 * time.Minute,
		},
		began: granted.Add(after), now: granted.Add(after + time.Second), userID: "42",
		seen: sight{tweets: tweets, margin: clockMargin},
	}
	return j, &store.Doubt{
		Kind: store.PostTweet, RowID: 7, RequestID: 70, Status: store.Unconfirmed, LookedUp: true, Error: "timed out", IfUnconfirmed: "resend",
		Open: []store.OpenRequest{{ID: 70, Body: []byte(`{"text":"Hi"}`), GrantedAt: granted, SendBy: granted.Add(sendWithin)}},
	}
}

// shown is a tweet as X shows it, created a while after the request.
func shown(text string, after time.Duration) twitter.Tweet {
	_, d := judged(0)
	created := d.Open[0].GrantedAt.Add(after)
	return twitter.Tweet{ID: twitter.IDAt(created.Add(time.Millisecond)), Text: text, AuthorID: "42"}
}

func (j *judge) decide(known []string, doubts ...*store.Doubt) store.Resolution {
	j.weigh(doubts, known)
	return j.tweet(doubts[0])
}

func TestLookUpTimes(t *testing.T) {
	t.Parallel()
	j, d := judged(0)
	granted := d.Open[0].GrantedAt
	for after, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, 5 * time.Second: 30 * time.Second, 31 * time.Second: 2 * time.Minute,
		2 * time.Minute: 10 * time.Minute, 11 * time.Minute: 10 * time.Minute,
	} {
		require.Equal(t, granted.Add(want), j.times.next(d, granted.Add(after)), "after %s", after)
	}
	require.Equal(t, granted.Add(10*time.Minute), j.times.last(d))

	// Not before X has had its time, whatever the configuration says.
	j.times.after = []time.Duration{time.Second, time.Minute}
	last := d.Open[0].SendBy.Add(7 * time.Minute)
	require.Equal(t, last, j.times.last(d))
	require.Equal(t, granted.Add(time.Minute), j.times.next(d, granted.Add(2*time.Second)))
	require.Equal(t, last, j.times.next(d, granted.Add(2*time.Minute)))
	// The latest request decides.
	d.Open = append(d.Open, store.OpenRequest{GrantedAt: granted.Add(time.Hour), SendBy: granted.Add(time.Hour + sendWithin)})
	require.Equal(t, last.Add(time.Hour), j.times.last(d))
}

// Beside the configured times look-ups become ever rarer.
func TestLookUpsBecomeRarer(t *testing.T) {
	t.Parallel()
	j, d := judged(0)
	last, before := j.times.last(d), time.Duration(0)
	j.now = last.Add(time.Second)
	for range 20 {
		at := j.later(j.times.next(d, j.now))
		rest := at.Sub(j.now)
		require.GreaterOrEqual(t, rest, max(before, lookUpAgain))
		require.LessOrEqual(t, rest, lookUpEvery)
		j.now, before = at, rest
	}
	require.Equal(t, lookUpEvery, before)
	require.Equal(t, j.now.Add(time.Minute), j.later(j.now.Add(time.Minute)), "what lies ahead stays")
}

func TestJudgeTweet(t *testing.T) {
	t.Parallel()
	const early, final = 10 * time.Second, 11 * time.Minute
	hi := shown("Hi", time.Second)
	foreign := hi
	foreign.AuthorID = "43"
	edited := shown("Hi, all", time.Second)
	edited.EditHistoryTweetIDs = []string{hi.ID, edited.ID}
	for name, test := range map[string]struct {
		after  time.Duration
		tweets []twitter.Tweet
		known  []string
		change func(*judge, *store.Doubt)
		want   store.Status
		person bool
		words  string
	}{
		"Found":         {after: early, tweets: []twitter.Tweet{hi}, want: store.Posted},
		"FoundAtLast":   {after: final, tweets: []twitter.Tweet{hi}, want: store.Posted},
		"FoundLater":    {after: final, tweets: []twitter.Tweet{shown("Hi", 2*time.Minute+2*time.Second)}, want: store.Posted},
		"FoundTooLate":  {after: final, tweets: []twitter.Tweet{shown("Hi", 3*time.Minute)}, want: store.Scheduled},
		"Another":       {after: final, tweets: []twitter.Tweet{shown("Good morning", time.Second)}, want: store.Scheduled},
		"Foreign":       {after: final, tweets: []twitter.Tweet{foreign}, want: store.Scheduled},
		"AnotherRow's":  {after: final, tweets: []twitter.Tweet{hi}, known: []string{hi.ID}, want: store.Scheduled},
		"LongAgo":       {after: final, tweets: []twitter.Tweet{shown("Hi", -6*time.Minute)}, want: store.Scheduled},
		"NotYet":        {after: early, want: store.Unconfirmed, words: "X does not show it yet"},
		"Absent":        {after: final, want: store.Scheduled, words: "so it is sent again"},
		"Two":           {after: early, tweets: []twitter.Tweet{hi, shown("Hi", 2*time.Second)}, want: store.Unconfirmed, person: true, words: "2 tweets"},
		"BeforeAtFirst": {after: early, tweets: []twitter.Tweet{shown("Hi", -time.Minute)}, want: store.Unconfirmed, words: "not show it yet"},
		"Before":        {after: final, tweets: []twitter.Tweet{shown("Hi", -time.Minute)}, want: store.Unconfirmed, person: true, words: "or not"},
		"BeforeAndIt":   {after: early, tweets: []twitter.Tweet{hi, shown("Hi", -time.Minute)}, want: store.Posted},
		"BeforeByAClockThatIsBehind": {
			after: early, tweets: []twitter.Tweet{shown("Hi", -time.Minute)}, want: store.Posted,
			change: func(j *judge, _ *store.Doubt) { j.seen.ahead = -time.Minute },
		},
		"LateByAClockThatIsAhead": {
			after: early, tweets: []twitter.Tweet{shown("Hi", 10*time.Minute)}, want: store.Posted,
			change: func(j *judge, _ *store.Doubt) { j.seen.ahead = 10 * time.Minute },
		},
		"Alike": {after: final, tweets: []twitter.Tweet{shown("hi!", time.Second)}, want: store.Unconfirmed, person: true, words: "or not"},
		// Somebody has edited another row's tweet: that is on its row by its first id.
		"EditOfAnotherRow's": {after: final, tweets: []twitter.Tweet{edited}, known: []string{hi.ID}, want: store.Scheduled},
		"Edited":             {after: final, tweets: []twitter.Tweet{edited}, want: store.Unconfirmed, person: true, words: "or not"},
		"Hold": {
			after: final, want: store.Unconfirmed, person: true, words: "says hold",
			change: func(_ *judge, d *store.Doubt) { d.IfUnconfirmed = "hold" },
		},
		"Missed": {
			after: final, want: store.Missed,
			change: func(j *judge, d *store.Doubt) { d.PostBefore = new(j.now) },
		},
		"Duplicate": {
			after: final, want: store.Failed, words: "timed out; X shows no tweet of this row",
			change: func(_ *judge, d *store.Doubt) { d.Refused = true },
		},
		"Hidden": {
			after: early, want: store.Unconfirmed, person: true, words: "on no timeline",
			change: func(_ *judge, d *store.Doubt) { d.Open[0].Body = []byte(`{"text":"Hi","nullcast":true}`) },
		},
		"NoBody": {
			after: early, want: store.Unconfirmed, person: true, words: "cannot be read",
			change: func(_ *judge, d *store.Doubt) { d.Open[0].Body = nil },
		},
		"FoundBySecondRequest": {
			after: early, tweets: []twitter.Tweet{shown("Other words", time.Second)}, want: store.Posted,
			change: func(_ *judge, d *store.Doubt) {
				second := d.Open[0]
				second.Body = []byte(`{"text":"Other words"}`)
				d.Open = append(d.Open, second)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, d := judged(test.after, test.tweets...)
			if test.change != nil {
				test.change(&j, d)
			}
			got := j.decide(test.known, d)
			require.Equal(t, test.want, got.Status, got.Error)
			require.Contains(t, got.Error, test.words)
			require.Equal(t, test.person, strings.Contains(got.Error, "enqueue resolve 7 --posted"))
			if test.want == store.Unconfirmed {
				require.Equal(t, test.person, got.NextAt == nil)
			}
			if test.want == store.Posted {
				require.NotEmpty(t, got.TweetID)
				require.Empty(t, got.Error)
				require.False(t, got.DoneAt.After(j.now))
			}
		})
	}
}

// Of two rows that may have made a tweet neither gets it; what is being sent is waited for.
func TestJudgeRivals(t *testing.T) {
	t.Parallel()
	rival := func(status store.Status, lookedUp bool) *store.Doubt {
		_, d := judged(0)
		d.RowID, d.RequestID, d.Status, d.LookedUp = 8, 80, status, lookedUp
		return d
	}
	for name, test := range map[string]struct {
		rival  *store.Doubt
		person bool
	}{
		"LookedUp": {rival(store.Unconfirmed, true), true},
		"Left":     {rival(store.Unconfirmed, false), true},
		"Sending":  {rival(store.Sending, false), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, after := range []time.Duration{10 * time.Second, 11 * time.Minute} {
				j, d := judged(after, shown("Hi", time.Second))
				got := j.decide(nil, d, test.rival)
				require.Equal(t, store.Unconfirmed, got.Status)
				require.Equal(t, test.person, got.NextAt == nil, got.Error)
			}
			// One that says something else is none.
			test.rival.Open[0].Body = []byte(`{"text":"Good morning"}`)
			j, d := judged(10*time.Second, shown("Hi", time.Second))
			require.Equal(t, store.Posted, j.decide(nil, d, test.rival).Status)
		})
	}
}

// A read that failed says nothing of the tweet, ever.
func TestJudgeAFailedLookUp(t *testing.T) {
	t.Parallel()
	for _, kind := range twitter.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for _, after := range []time.Duration{10 * time.Second, 11 * time.Minute, 25 * time.Hour} {
				j, d := judged(after, shown("Hi", time.Second)) // of a page before
				j.seen.err = fmt.Errorf("read: %w", failureOf(kind))
				for _, row := range store.Kinds() {
					d.Kind = row
					got := j.resolve(d)
					require.Equal(t, store.Unconfirmed, got.Status)
					waits := kind == twitter.KindRateLimited || verdictOf(Attempt{Kind: row}, failureOf(kind), j.now).Outcome == OutcomePauseApp
					person := mayNotRead(kind) && after > 10*time.Minute || after > giveUpReading && !waits
					require.Equal(t, person, got.NextAt == nil, "after %s: %s", after, got.Error)
					if !person {
						require.True(t, got.NextAt.After(j.now))
					}
				}
			}
		})
	}
	j, d := judged(time.Minute)
	j.seen.err = errTimelineCut
	require.Nil(t, j.tweet(d).NextAt, "no later look shows more")
	j.seen.err = errors.New("the credentials do not decrypt")
	require.NotNil(t, j.tweet(d).NextAt, "a person may mend them")
}

func TestJudgeDeletion(t *testing.T) {
	t.Parallel()
	old := twitter.Tweet{ID: "1445880548472328192", AuthorID: "42"}
	another := old
	another.AuthorID = "43"
	for name, test := range map[string]struct {
		after   time.Duration
		tweetID string
		sight   sight
		retries int
		want    store.Status
		again   time.Duration // from the request on; 0: not by a look-up
	}{
		"Gone":       {sight: sight{gone: true}, want: store.Deleted},
		"GoneYoung":  {sight: sight{gone: true}, tweetID: shown("", -time.Minute).ID, want: store.Unconfirmed, again: 4 * time.Minute},
		"GoneOlder":  {sight: sight{gone: true}, tweetID: shown("", -6*time.Minute).ID, want: store.Deleted},
		"GoneAhead":  {sight: sight{gone: true, ahead: 10 * time.Minute}, tweetID: shown("", 9*time.Minute).ID, want: store.Unconfirmed, again: 4 * time.Minute},
		"GoneBehind": {sight: sight{gone: true, ahead: -10 * time.Minute}, tweetID: shown("", -11*time.Minute).ID, want: store.Unconfirmed, again: 4 * time.Minute},
		"GoneFuture": {sight: sight{gone: true}, tweetID: "9223372036854775807", want: store.Deleted},
		"GoneCount":  {sight: sight{gone: true}, tweetID: "20", want: store.Deleted},
		"Foreign":    {sight: sight{tweets: []twitter.Tweet{another}}, want: store.Failed},
		"Ours":       {sight: sight{tweets: []twitter.Tweet{old}}, want: store.Scheduled},
		"OursOften":  {sight: sight{tweets: []twitter.Tweet{old}}, retries: patience, after: 8 * time.Minute, want: store.Failed},
		// Reads lag: it may have been gone since the last request.
		"OursOftenAtOnce": {sight: sight{tweets: []twitter.Tweet{old}}, retries: patience, after: time.Minute, want: store.Unconfirmed, again: 7*time.Minute + sendWithin},
		"OursForLong":     {sight: sight{tweets: []twitter.Tweet{old}}, retries: patience - 1, after: time.Hour, want: store.Scheduled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, d := judged(test.after)
			test.sight.margin = clockMargin
			j.seen, d.Kind, d.TweetID, d.Retries = test.sight, store.DeleteTweet, old.ID, test.retries
			if test.tweetID != "" {
				d.TweetID = test.tweetID
			}
			got := j.deletion(d)
			require.Equal(t, test.want, got.Status, got.Error)
			switch {
			case test.again != 0:
				require.WithinDuration(t, d.Open[0].GrantedAt.Add(test.again), *got.NextAt, 2*clockMargin)
			case test.want == store.Scheduled:
				require.Equal(t, test.retries+1, got.Retries)
				require.InDelta(t, backoff(test.retries), got.NextAt.Sub(j.now), 0.4*float64(5*time.Minute))
			}
		})
	}
}

// Kinds of tweets that X shows on no timeline are a person's matter at once.
func TestLookUpOfAHiddenTweet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.enqueue("acme", store.Tweet{Text: "For promotion only", Extra: []byte(`{"nullcast":true}`)}, 0)
	require.Contains(t, r.person(id), "X shows tweets of its kind on no timeline")
	r.wait(EventDone, w.tweet("The next one does not wait"))
}

// An account that may not read has its last look-up, too, and then a person decides.
func TestLookUpThatIsForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
	w.fault(sandbox.Fault{Match: reads(), Kind: sandbox.KindForbidden})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Behind a curtain")
	require.NotNil(t, r.lookedUp(id, "the look-up failed").Until)
	require.Contains(t, r.person(id), "the account may not read its own tweets")
	sent, lookUps := w.sent(id)
	require.Len(t, sent, 1)
	last := lookUps[len(lookUps)-1]
	require.Equal(t, "fail", *last.Outcome)
	require.Equal(t, 403, *last.StatusCode)
	require.GreaterOrEqual(t, last.GrantedAt.Sub(sent[0].GrantedAt), sendWithin+200*time.Millisecond)
}

// A limit of reads is waited for until X's reset.
func TestLookUpThatIsLimited(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	w := newWorld(t, sandbox.Config{Limits: sandbox.DefaultLimits()})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
	w.fault(sandbox.Fault{Match: reads(), Kind: sandbox.KindRateLimited, Times: 1, Wait: wait})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Slowly")
	event := r.lookedUp(id, "rate limited (429)")
	require.WithinDuration(t, time.Now().Add(wait), *event.Until, 1500*time.Millisecond)
	r.wait(EventDone, id)
	w.requireOn(id)
	_, lookUps := w.sent(id)
	require.Len(t, lookUps, 2)
	require.Equal(t, "wait", *lookUps[0].Outcome)
	require.GreaterOrEqual(t, lookUps[1].GrantedAt.Sub(*lookUps[0].AnsweredAt), wait/2)
}

// What is no answer is tried again, and never taken for the absence of the tweet.
func TestLookUpThatFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"Dropped":   {Kind: sandbox.KindDropAfter},
		"CutOff":    {Kind: sandbox.KindDropBody},
		"Status503": {Kind: sandbox.KindStatusBefore},
		"Status404": {Kind: sandbox.KindStatusBefore, Status: 404},
		"HTML":      {Kind: sandbox.KindAnswer, Body: sandbox.BodyHTML},
		"Empty":     {Kind: sandbox.KindAnswer, Body: sandbox.BodyEmpty},
		"Truncated": {Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
			fault.Match = reads()
			active := w.fault(fault)
			r := w.start(opts{config: lookingUp()})
			id := w.tweet("Still there")
			event := r.waitFor(func(e Event) bool { // after the time at which it would be absent
				return e.RowID == id && e.Type == EventUnconfirmed && e.Until != nil && strings.Contains(e.Reason, "the look-up failed") &&
					e.Until.After(w.requests(id)[0].GrantedAt.Add(sendWithin+lookUpAgain))
			})
			active.Lift()
			sent, lookUps := w.sent(id)
			require.Len(t, sent, 1)
			require.NotEmpty(t, lookUps)
			for _, l := range lookUps {
				require.Equal(t, "retry", *l.Outcome)
			}
			require.GreaterOrEqual(t, event.Until.Sub(*lookUps[len(lookUps)-1].AnsweredAt), lookUpAgain-time.Second)
			w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock()`)
			r.wait(EventDone, id)
			w.requireOn(id)
		})
	}
}

// A timeline of which only a part came is no timeline.
func TestLookUpThatIsCut(t *testing.T) {
	t.Parallel()
	// A GET whose connection is cut before an answer is repeated by Go's transport, and so no fault here.
	for name, second := range map[string]sandbox.Kind{"CutOff": sandbox.KindDropBody, "Status503": sandbox.KindStatusBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			create := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHangAfter, Times: 1})
			w.fault(sandbox.Fault{Match: reads(), Kind: second, Skip: 1, Times: 1})
			r := w.start(opts{config: lookingUp()})
			id := w.tweet("On the second page")
			w.held(create, 1)
			w.chatter(150)
			create.Lift()
			r.lookedUp(id, "the look-up failed")
			r.wait(EventDone, id)
			require.Equal(t, w.x.Tweets()[0].ID, *w.entry(id).TweetID)
			sent, lookUps := w.sent(id)
			require.Len(t, sent, 1)
			require.Equal(t, "0.5", lookUps[0].CostUSD.String(), "what came is paid for")
			require.Equal(t, "0.255", lookUps[len(lookUps)-1].CostUSD.String())
		})
	}
}

// chatter has acme tweet n times by another program.
func (w *world) chatter(n int) {
	w.Helper()
	for i := range n {
		_, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: fmt.Sprintf("chatter %d", i)})
		require.NoError(w, err)
	}
}

// X shows the last 3200 tweets and does not say that there were more: then nothing is known of the rest.
func TestLookUpOfALongTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	create := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHangAfter, Times: 1})
	r := w.start(opts{config: lookingUp()})
	id := w.tweet("Long ago")
	w.held(create, 1)
	w.chatter(3300)
	create.Lift()
	require.Contains(t, r.person(id), "more tweets since than X shows")
	sent, _ := w.sent(id)
	require.Len(t, sent, 1)
}

// While a tweet is looked up its account's next one waits, and nothing else does; it goes when the doubt is
// over, whatever became of it.
func TestNextTweetWaitsForADoubt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind  sandbox.Kind
		tweet store.Tweet
		want  string
	}{
		"Found":         {sandbox.KindDropAfter, store.Tweet{Text: "first"}, "posted"},
		"SentAgain":     {sandbox.KindDropBefore, store.Tweet{Text: "first"}, "posted"},
		"LeftToAPerson": {sandbox.KindDropBefore, store.Tweet{Text: "first", IfUnconfirmed: "hold"}, "unconfirmed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.account("other")
			old, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "an old one", CreatedAt: time.Now().Add(-time.Hour)})
			require.NoError(t, err)
			w.fault(sandbox.Fault{Match: creates(), Kind: test.kind, Times: 1})
			looking := w.fault(sandbox.Fault{Match: reads(), Kind: sandbox.KindHoldBefore})
			r := w.start(opts{config: lookingUp()})
			first := w.enqueue("acme", test.tweet, 0)
			r.wait(EventUnconfirmed, first)
			second := w.tweet("second")
			waits := r.wait(EventWaiting, second)
			require.Equal(t, store.ForAccount, waits.WaitingFor)
			require.Equal(t, fmt.Sprintf("tweet %d of its account may be on X, and is being looked up", first), waits.Reason)
			require.Nil(t, waits.Until, "its end wakes it")
			require.Equal(t, "scheduled:account", w.status(second))
			r.wait(EventDone, storetest.Deletion(t, w.db, old.ID, 0), w.enqueue("other", store.Tweet{Text: "a bystander"}, 0))
			require.Equal(t, "scheduled:account", w.status(second))
			require.Equal(t, "unconfirmed", w.status(first))

			looking.Lift()
			r.wait(EventDone, second)
			require.Eventually(t, func() bool { return w.status(first) == test.want }, soon, 20*time.Millisecond)
			require.Len(t, w.requests(second), 1)
		})
	}
}

// A worker that does not know yet how far X's clock is behind learns it from the first read, which began too
// late, and reads again.
func TestLookUpLearnsXsClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{Now: func() time.Time { return time.Now().Add(-20 * time.Minute) }, TimestampSkew: -1})
	worker, ids := w.inDoubt("Long ago")
	l, err := worker.claimLookUp(t.Context(), worker.due(t, ids[0]), 1)
	require.NoError(t, err)
	seen := worker.look(t.Context(), l)
	require.NoError(t, seen.err)
	require.Len(t, seen.tweets, 1)
	require.Equal(t, 2, w.count(reads()))
	require.InDelta(t, -20*time.Minute, worker.xAhead.get(), float64(clockMargin))
	worker.look(t.Context(), l)
	require.Equal(t, 3, w.count(reads()), "now it knows")
}
