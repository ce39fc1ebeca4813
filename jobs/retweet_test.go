package jobs

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// retweets matches the requests that retweet, undoes those that take that back.
func retweets() sandbox.Match { return sandbox.Match{Route: sandbox.RouteRetweet} }
func undoes() sandbox.Match   { return sandbox.Match{Route: sandbox.RouteUndoRetweet} }

// another is a world with a tweet of another user in it, and returns the tweet's id.
func another(t *testing.T, config sandbox.Config) (*world, string) {
	t.Helper()
	w := newWorld(t, config)
	w.account("other")
	return w, w.old("other")
}

// standing are the retweets that X has and that were not undone.
func (w *world) standing() (standing []sandbox.Retweet) {
	for _, r := range w.x.Retweets() {
		if r.UndoneAt.IsZero() {
			standing = append(standing, r)
		}
	}
	return standing
}

// requireRetweeted requires that a row is done, with these warnings, and the tweet retweeted by acme once.
func (w *world) requireRetweeted(id int64, tweetID string, warnings ...string) {
	w.Helper()
	entry := w.entry(id)
	require.Equal(w, store.Retweeted, entry.Status)
	require.Nil(w, entry.Error)
	require.Equal(w, tweetID, *entry.TweetID)
	require.Equal(w, append([]string{}, warnings...), entry.Warnings)
	require.Len(w, w.x.Retweets(), 1)
	require.Equal(w, "acme", w.standing()[0].Username)
	require.Equal(w, tweetID, w.standing()[0].TweetID)
}

func TestRetweets(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	id := storetest.Retweet(t, w.db, tweetID, 0)
	r := w.start(opts{})
	event := r.wait(EventDone, id)
	require.Equal(t, store.Retweet, event.Kind)
	require.Equal(t, tweetID, event.TweetID)
	w.requireRetweeted(id, tweetID)
	requests := w.requests(id)
	require.Len(t, requests, 1)
	require.Equal(t, "retweet", requests[0].Kind)
	require.JSONEq(t, `{"tweet_id":"`+tweetID+`"}`, *requests[0].Body)
	require.Contains(t, *requests[0].Answer, w.x.Retweets()[0].ID)
	require.Equal(t, 1, w.taken("writes"), "it shares the tweets' limit of 3 hours")
	require.Zero(t, w.taken("posts"))
}

// A retweet whose answer was lost is made again, whether or not X has made it: it has it once.
func TestRetweetIsRepeated(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]sandbox.Kind{
		"DropBefore": sandbox.KindDropBefore, "DropAfter": sandbox.KindDropAfter, "DropBody": sandbox.KindDropBody,
		"Status503": sandbox.KindStatusBefore, "Status503Yet": sandbox.KindStatusAfter,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, tweetID := another(t, sandbox.Config{})
			w.fault(sandbox.Fault{Match: retweets(), Kind: kind, Times: 1})
			id := storetest.Retweet(t, w.db, tweetID, 0)
			r := w.start(opts{config: lookingUp()})
			require.Equal(t, store.ForRetry, r.wait(EventWaiting, id).WaitingFor)
			r.wait(EventDone, id)
			w.requireRetweeted(id, tweetID)
			sent, lookUps := w.sent(id)
			require.Len(t, sent, 2)
			require.Equal(t, []string{"repeat", "done"}, []string{*sent[0].Outcome, *sent[1].Outcome})
			require.Empty(t, lookUps)
		})
	}
}

// It may stand on X already: by another hand, which is said, or by a request that nobody knew the end of.
func TestRetweetThatStands(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	r := w.start(opts{})
	first, second := storetest.Retweet(t, w.db, tweetID, 0), storetest.Retweet(t, w.db, tweetID, time.Hour)
	r.wait(EventDone, first)
	w.exec(`UPDATE tweetqueue.retweets SET retweet_at = tweetqueue.clock() WHERE id = $1`, second)
	r.wait(EventDone, second)
	w.requireRetweeted(second, tweetID, "the account had retweeted it already, so this row does not undo it")
	require.Equal(t, "already", *w.requests(second)[0].Outcome)
	require.Equal(t, 400, *w.requests(second)[0].StatusCode)

	// A worker died in mid-send.
	w, tweetID = another(t, sandbox.Config{})
	hold := w.fault(sandbox.Fault{Match: retweets(), Kind: sandbox.KindHoldAfter, Times: 1})
	id := storetest.Retweet(t, w.db, tweetID, 0)
	doomed := w.spawn(w.x.URL())
	w.held(hold, 1)
	doomed.kill()
	w.declareDead()
	r = w.start(opts{config: lookingUp()})
	r.wait(EventDone, id)
	w.requireRetweeted(id, tweetID)
}

// After a doubt X may refuse in words that nobody knows. Then its timeline tells.
func TestRetweetRefusedAfterADoubt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lost sandbox.Kind
		want store.Status
	}{"Made": {sandbox.KindDropAfter, store.Retweeted}, "NotMade": {sandbox.KindDropBefore, store.Failed}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, tweetID := another(t, sandbox.Config{})
			_, err := w.x.Script(retweets(), sandbox.Fault{Kind: test.lost}, sandbox.Fault{Kind: sandbox.KindForbidden})
			require.NoError(t, err)
			r := w.start(opts{config: lookingUp()})
			// The look-up is one for the account's retweets, beside that of its tweets.
			w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
			tweet, id := w.tweet("Also in doubt"), storetest.Retweet(t, w.db, tweetID, 0)
			require.Contains(t, r.wait(EventUnconfirmed, id).Reason, "it is not known whether the tweet is retweeted: ")
			r.wait(EventDone, tweet)
			if test.want == store.Retweeted {
				r.wait(EventDone, id)
				w.requireRetweeted(id, tweetID)
				require.WithinDuration(t, w.x.Retweets()[0].CreatedAt, *w.entry(id).DoneAt, 2*time.Second)
			} else {
				require.Contains(t, r.wait(EventFailed, id).Reason, "X shows no retweet of it by this account")
				require.Empty(t, w.x.Retweets())
			}
			require.Equal(t, string(test.want), w.status(id))
			sent, lookUps := w.sent(id)
			require.Len(t, sent, 2)
			require.NotEmpty(t, lookUps)
			for _, l := range lookUps {
				require.Equal(t, "done", *l.Outcome)
			}
		})
	}
}

// Without a doubt a refusal is final, and one of a tweet that X does not have is so after a while.
func TestRetweetThatFails(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: retweets(), Kind: sandbox.KindForbidden, Times: 1})
	r := w.start(opts{})
	r.wait(EventFailed, storetest.Retweet(t, w.db, tweetID, 0))
	missing := storetest.Retweet(t, w.db, "1445880548472328192", 0)
	require.Equal(t, store.ForRetry, r.wait(EventWaiting, missing).WaitingFor)
	w.exec(`UPDATE tweetqueue.retweets SET retries = $2, next_attempt_at = NULL WHERE id = $1`, missing, patience)
	require.Contains(t, r.wait(EventFailed, missing).Reason, "not found")
	require.Empty(t, w.x.Retweets())
}

// A tweet in doubt holds up the account's next tweet, not its retweets.
func TestRetweetBesideADoubt(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	tweet := w.tweet("In doubt")
	r.wait(EventUnconfirmed, tweet)
	r.wait(EventDone, storetest.Retweet(t, w.db, tweetID, 0))
	require.Equal(t, "unconfirmed", w.status(tweet))
}

// Tweets and retweets share the limit of 3 hours: whichever comes next waits, and neither a deletion nor an undoing does.
func TestRetweetsShareALimit(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.quotas SET maximum = 2 WHERE name = 'writes'`)
	r := w.start(opts{})
	r.wait(EventDone, w.tweet("one"), storetest.Retweet(t, w.db, tweetID, 0))
	for _, kind := range []store.Kind{store.PostTweet, store.Retweet} {
		event := r.wait(EventWaiting, storetest.Row(t, w.db, kind, "next", 0))
		require.Equal(t, store.ForQuota, event.WaitingFor)
		require.Equal(t, "no place was left in the limit writes", event.Reason)
	}
	undo, _, err := store.UndoInsert(t.Context(), w.db, "acme", tweetID, nil, 0)
	require.NoError(t, err)
	r.wait(EventDone, undo, storetest.Deletion(t, w.db, w.old("acme"), 0))
	require.Equal(t, 2, w.taken("writes"))
	require.Equal(t, 1, w.taken("deletions"))
	w.requireNoAttempts()
}

// A deletion and an undoing that are claimed together each take a place in the windows of their own.
func TestUndoAndDeletionInOneClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.exec(`INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period)
		SELECT account_id, 'undone', '{undo_retweet}', 1, '15 minutes' FROM tweetqueue.quotas WHERE name = 'deletions'`)
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	var all []wakeUp
	for range 2 {
		undo, _, err := store.UndoInsert(t.Context(), w.db, "acme", "77", nil, 0)
		require.NoError(t, err)
		all = append(all, wakeUp{jobID: 1, rowID: undo}, wakeUp{jobID: 2, rowID: storetest.Deletion(t, w.db, "77", 0)})
	}
	claims, _, err := worker.claim(t.Context(), store.DeleteTweet, all)
	require.NoError(t, err)
	require.Len(t, claims, 3, "there is one place for an undoing")
	require.Equal(t, "scheduled:quota", w.status(all[2].rowID))
	require.Equal(t, 2, w.taken("deletions"))
	require.Equal(t, 1, w.taken("undone"))
}

// A retweet that is to stay for a while is undone after it, without a place among the deletions.
func TestRetweetIsUndone(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	r := w.start(opts{})
	id, _, err := store.RetweetInsert(t.Context(), w.db, "acme", tweetID, pgtype.Interval{Days: 1, Valid: true}, nil, 0)
	require.NoError(t, err)
	r.wait(EventDone, id)
	undo := one[int64](w, `SELECT id FROM tweetqueue.deletions WHERE retweet AND delete_at > tweetqueue.clock() + interval '23 hours'`)
	require.Len(t, w.standing(), 1)
	w.exec(`UPDATE tweetqueue.deletions SET delete_at = tweetqueue.clock()`)
	r.wait(EventDone, undo)
	require.Equal(t, "deleted", w.status(undo))
	require.Empty(t, w.standing())
	require.True(t, w.x.Tweets()[0].DeletedAt.IsZero(), "the tweet itself stays")
	require.Zero(t, w.taken("deletions"))

	// What is not retweeted needs no undoing.
	again, _, err := store.UndoInsert(t.Context(), w.db, "acme", tweetID, nil, 0)
	require.NoError(t, err)
	r.wait(EventDone, again)
	require.Empty(t, w.entry(again).Warnings)
}

// To undo twice does no harm: what got no answer is done again, and nothing is looked up.
func TestUndoIsRepeated(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"DropBefore":   {Kind: sandbox.KindDropBefore, Times: 2}, // Go's transport repeats it once by itself
		"DropAfter":    {Kind: sandbox.KindDropBody, Times: 1},
		"Status503":    {Kind: sandbox.KindStatusBefore, Times: 1},
		"Status503Yet": {Kind: sandbox.KindStatusAfter, Times: 1},
		"Status404":    {Kind: sandbox.KindStatusBefore, Status: 404, Times: 1}, // of nothing in particular
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, tweetID := another(t, sandbox.Config{})
			r := w.start(opts{config: lookingUp()})
			r.wait(EventDone, storetest.Retweet(t, w.db, tweetID, 0))
			fault.Match = undoes()
			w.fault(fault)
			id, _, err := store.UndoInsert(t.Context(), w.db, "acme", tweetID, nil, 0)
			require.NoError(t, err)
			require.Equal(t, store.ForRetry, r.wait(EventWaiting, id).WaitingFor)
			r.wait(EventDone, id)
			require.Empty(t, w.standing())
			_, lookUps := w.sent(id)
			require.Empty(t, lookUps)
		})
	}
}

// What undoes a retweet is in no doubt that a look at a tweet could settle: only a refusal after a doubt is one,
// and is left to a person.
func TestDecideOnAnUndoing(t *testing.T) {
	t.Parallel()
	undo := Attempt{Kind: store.DeleteTweet, UndoRetweet: true}
	for _, kind := range twitter.Kinds() {
		require.NotEqual(t, OutcomeUnconfirmed, Decide(undo, failureOf(kind), answered()).Outcome, kind)
	}
	v := Decide(undo, errors.New("boom"), answered())
	require.Equal(t, OutcomeRepeat, v.Outcome)
	require.Equal(t, "boom", v.Error)

	gone := failureOf(twitter.KindNotFound)
	require.Equal(t, OutcomeRetry, Decide(undo, gone, answered()).Outcome, "a 404 that names no tweet")
	undo.Doubt, undo.Retries = true, patience
	v = Decide(undo, gone, answered())
	require.Equal(t, OutcomeUnconfirmed, v.Outcome)
	require.Equal(t, "it is not known whether the retweet is undone: "+gone.Error(), v.Error)
	require.Equal(t, OutcomeUnconfirmed, Decide(undo, failureOf(twitter.KindForbidden), answered()).Outcome)
	gone.Type = "resource-not-found"
	require.Equal(t, Verdict{Outcome: OutcomeDone, Warning: "X did not have the tweet any more, if it ever had"}, Decide(undo, gone, answered()))
}

// X accepts what it was asked for and says that it is not so: that is tried again, and not for ever.
func TestDecideOnTheOppositeAnswer(t *testing.T) {
	t.Parallel()
	for _, attempt := range []Attempt{{Kind: store.Retweet}, {Kind: store.DeleteTweet, UndoRetweet: true}} {
		v := Decide(attempt, errOpposite, answered())
		require.Equal(t, OutcomeRetry, v.Outcome)
		require.Equal(t, errOpposite.Error(), v.Error)
		attempt.Retries = patience
		require.Equal(t, OutcomeFail, Decide(attempt, errOpposite, answered()).Outcome)
		attempt.Doubt = true
		require.Equal(t, OutcomeUnconfirmed, Decide(attempt, errOpposite, answered()).Outcome)
	}
}

// After a doubt every refusal of a retweet may be X's word that it stands; "already" is that word.
func TestDecideOnARetweetAfterADoubt(t *testing.T) {
	t.Parallel()
	doubted := Attempt{Kind: store.Retweet, Doubt: true}
	for _, kind := range twitter.Kinds() {
		if kind == twitter.KindAlreadyRetweeted {
			continue
		}
		v := Decide(doubted, failureOf(kind), answered())
		without := Decide(Attempt{Kind: store.Retweet}, failureOf(kind), answered())
		if without.Outcome == OutcomeFail {
			require.Equal(t, OutcomeUnconfirmed, v.Outcome, kind)
			require.Contains(t, v.Error, "it is not known whether the tweet is retweeted: ")
			continue
		}
		require.Equal(t, without.Outcome, v.Outcome, kind)
	}
	require.Equal(t, Verdict{Outcome: OutcomeDone}, Decide(doubted, failureOf(twitter.KindAlreadyRetweeted), answered()))
	doubted.Retries = patience
	for _, kind := range []twitter.Kind{twitter.KindNotFound, twitter.KindEndpointNotFound, twitter.KindAuthenticationUnknown} {
		require.Equal(t, OutcomeUnconfirmed, Decide(doubted, failureOf(kind), answered()).Outcome, kind)
	}
}

func TestJudgeRetweet(t *testing.T) {
	t.Parallel()
	const tweetID = "1445880548472328192"
	retweetOf := func(id string) twitter.Tweet {
		tweet := shown("RT @other: Hi", time.Second)
		tweet.ReferencedTweets = []twitter.ReferencedTweet{{Type: "retweeted", ID: id}}
		return tweet
	}
	quote := shown("Hi", time.Second)
	quote.ReferencedTweets = []twitter.ReferencedTweet{{Type: "quoted", ID: tweetID}}
	const early, final = 10 * time.Second, 11 * time.Minute
	for name, test := range map[string]struct {
		after   time.Duration
		retries int
		tweets  []twitter.Tweet
		refused bool
		err     error
		want    store.Status
		words   string
	}{
		"Found":          {after: early, tweets: []twitter.Tweet{quote, retweetOf(tweetID)}, refused: true, want: store.Retweeted},
		"FoundAtTheLast": {after: final, tweets: []twitter.Tweet{retweetOf(tweetID)}, want: store.Retweeted},
		"NotYet":         {after: early, tweets: []twitter.Tweet{quote, retweetOf("7")}, refused: true, want: store.Unconfirmed, words: "X does not show the retweet yet"},
		"Refused":        {after: final, tweets: []twitter.Tweet{quote, retweetOf("7")}, refused: true, want: store.Failed, words: "timed out; X shows no retweet of it"},
		"RefusedForLong": {after: final, retries: patience, want: store.Failed, words: "timed out; X shows no retweet of it"}, // in no words of X
		"Absent":         {after: final, want: store.Scheduled, words: "so it is made again"},
		"Unread":         {after: early, err: failureOf(twitter.KindServerError), want: store.Unconfirmed, words: "the look-up failed"},
		"Cut":            {after: final, err: errTimelineCut, want: store.Unconfirmed, words: "enqueue resolve 7 --retweeted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, d := judged(test.after, test.tweets...)
			j.seen.err = test.err
			d.Kind, d.TweetID, d.Refused, d.Retries = store.Retweet, tweetID, test.refused, test.retries
			got := j.resolve(d)
			require.Equal(t, test.want, got.Status)
			require.Contains(t, got.Error, test.words)
			require.Empty(t, got.TweetID, "that of the row is another's tweet")
			switch test.want { //nolint:exhaustive // the others have no instant
			case store.Retweeted:
				require.WithinDuration(t, d.Open[0].GrantedAt.Add(time.Second), *got.DoneAt, time.Second)
			case store.Scheduled:
				require.Equal(t, j.now, *got.NextAt)
			}
		})
	}
}
