package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// lookUpTimes say when a doubt is looked up, and how long X may take.
type lookUpTimes struct {
	after   []time.Duration // after the request was granted, ascending
	longest time.Duration   // the longest from send_by until a tweet is created
	readLag time.Duration   // the longest from then until a read shows it
}

const (
	// giveUpReading is how long after the request a look-up is tried that X does not answer. Then a
	// person decides.
	giveUpReading = 24 * time.Hour
	// lookUpAgain is the shortest rest before a look-up that comes beside those of the configuration.
	lookUpAgain = 5 * time.Second
	lookUpEvery = 10 * time.Minute // the longest
	// notAuthorized is the type of X's problem with a tweet that the account may not see.
	notAuthorized = "not-authorized-for-resource"
)

// next is when the doubt is looked up next; it has passed if that was the last time.
func (t lookUpTimes) next(d *store.Doubt, now time.Time) time.Time {
	granted := d.Open[len(d.Open)-1].GrantedAt
	for _, after := range t.after {
		// One that was made a moment too early, with another row's, counts.
		if at := granted.Add(after); at.After(now.Add(after/10)) && at.Before(t.last(d)) {
			return at
		}
	}
	return t.last(d)
}

// last is the first instant at which a complete read that does not show the tweet says that it is not on X:
// the last look-up of the configuration, and not before X has had its time to create it and to show it.
func (t lookUpTimes) last(d *store.Doubt) time.Time {
	latest := d.Open[len(d.Open)-1]
	last := latest.SendBy.Add(t.longest + t.readLag)
	if at := latest.GrantedAt.Add(t.after[len(t.after)-1]); at.After(last) {
		return at
	}
	return last
}

// judge decides what a look-up means for each doubt. It reads nothing but what it holds.
type judge struct {
	times  lookUpTimes
	began  time.Time // the look-up, by the database's clock
	now    time.Time // by the same
	seen   sight
	userID string
	weighs map[int64]*evidence // by row
}

// evidence is which of the tweets that X shows may be a row's.
type evidence struct {
	sent     []*twitter.Sent
	unclear  string   // why no read can tell, in words; else empty
	same     []string // what was sent
	possible []string // cannot be told apart from it
	rivals   []int64  // other rows that a tweet in same is the same as
	rival    bool     // of which one is being sent, so that it will be known in a moment
}

// weigh compares each tweet that X shows with each request that may have made it. Tweets that stand on a
// row already, also in another version, are that row's.
func (j *judge) weigh(doubts []*store.Doubt, known []string) {
	j.weighs = map[int64]*evidence{}
	for _, d := range doubts {
		e := &evidence{}
		j.weighs[d.RowID] = e
		for _, request := range d.Open {
			sent, err := twitter.ParseSent(request.Body)
			switch {
			case err != nil:
				e.unclear = "what was sent cannot be read: " + err.Error()
			case sent.Hidden():
				e.unclear = "X shows tweets of its kind on no timeline"
			default:
				e.sent = append(e.sent, sent)
			}
		}
		for _, t := range j.seen.tweets {
			if !j.mayBeOf(d, t) || slices.ContainsFunc(versions([]twitter.Tweet{t}), func(id string) bool { return slices.Contains(known, id) }) {
				continue
			}
			match := e.match(t, j.seen.includes)
			if j.isEarlier(d, t) {
				match = min(match, twitter.Possible)
			}
			switch match {
			case twitter.Same:
				e.same = append(e.same, t.ID)
			case twitter.Possible:
				e.possible = append(e.possible, t.ID)
			case twitter.Different:
			}
		}
	}
	for _, d := range doubts {
		for _, other := range doubts {
			if other.RowID != d.RowID && slices.ContainsFunc(j.weighs[d.RowID].same, func(id string) bool { return slices.Contains(j.weighs[other.RowID].same, id) }) {
				j.weighs[d.RowID].rivals = append(j.weighs[d.RowID].rivals, other.RowID)
				j.weighs[d.RowID].rival = j.weighs[d.RowID].rival || other.Status == store.Sending
			}
		}
	}
}

// sees reports whether X shows any tweet that may be a row's.
func (j *judge) sees() bool {
	for _, e := range j.weighs {
		if len(e.same)+len(e.possible) > 0 {
			return true
		}
	}
	return false
}

// createdAt is when a tweet was created, by X's clock.
func createdAt(t twitter.Tweet) time.Time {
	if created, known := twitter.CreatedAt(t.ID); known {
		return created
	}
	return t.CreatedAt
}

// isEarlier reports whether a tweet was created before any of the row's requests, as far as clocks can
// tell: somebody else said the same.
func (j *judge) isEarlier(d *store.Doubt, t twitter.Tweet) bool {
	return createdAt(t).Before(d.Open[0].GrantedAt.Add(min(j.seen.ahead, 0) - j.seen.margin))
}

// mayBeOf reports whether a tweet was created while one of the row's requests may have created it, be X's
// clock right or the database's.
func (j *judge) mayBeOf(d *store.Doubt, t twitter.Tweet) bool {
	created := createdAt(t)
	if t.AuthorID != "" && t.AuthorID != j.userID {
		return false
	}
	return !created.Before(d.Open[0].GrantedAt.Add(min(j.seen.ahead, 0)-lookUpBefore)) &&
		!created.After(d.Open[len(d.Open)-1].SendBy.Add(max(j.seen.ahead, 0)+j.times.longest+j.seen.margin))
}

// match is the best that any of the row's requests has.
func (e *evidence) match(t twitter.Tweet, includes twitter.Includes) twitter.Evidence {
	best := twitter.Different
	if matchNothing {
		return best
	}
	for _, sent := range e.sent {
		if m := sent.Match(t, includes); m > best {
			best = m
		}
	}
	return best
}

// resolve decides on a doubt.
func (j *judge) resolve(d *store.Doubt) store.Resolution {
	switch d.Kind {
	case store.DeleteTweet:
		return j.deletion(d)
	case store.Retweet:
		return j.retweet(d)
	case store.PostTweet:
	}
	return j.tweet(d)
}

// tweet decides on a tweet in doubt.
func (j *judge) tweet(d *store.Doubt) store.Resolution {
	if err := j.seen.err; err != nil {
		return j.failed(d, err)
	}
	e := j.weighs[d.RowID]
	next := j.later(j.times.next(d, j.now))
	final := j.isLast(d)
	switch {
	case e.unclear != "":
		return person(d, e.unclear)
	case e.rival:
		return j.again(d, next, "another row with the same text is being sent")
	case len(e.rivals) > 0:
		return person(d, fmt.Sprintf("X shows a tweet (%s) that may be this row's or that of %s", strings.Join(e.same, ", "), rows(e.rivals)))
	case len(e.same) > 1:
		return person(d, fmt.Sprintf("X shows %d tweets that may be this row's: %s", len(e.same), strings.Join(e.same, ", ")))
	case len(e.same) == 1:
		at, _ := twitter.CreatedAt(e.same[0])
		return store.Resolution{Status: store.Posted, TweetID: e.same[0], DoneAt: j.doneAt(d, at)}
	case !final:
		return j.again(d, next, "X does not show it yet")
	case len(e.possible) > 0:
		return person(d, "X shows a tweet that may be this row's, or not: "+strings.Join(e.possible, ", "))
	}
	return j.absent(d)
}

// doneAt is an instant of X's clock, which is known to a second, by the database's: not before the row's first
// request, and not of the future.
func (j *judge) doneAt(d *store.Doubt, at time.Time) *time.Time {
	at = at.Add(-j.seen.ahead)
	if first := d.Open[0].GrantedAt; at.Before(first) {
		at = first
	}
	if at.After(j.now) {
		at = j.now
	}
	return &at
}

// isLast reports whether a tweet that this look-up does not show is not on X. It is so by two clocks, lest one that
// was set ahead makes it so: by the database's since the request, and by X's since the first look-up after it.
func (j *judge) isLast(d *store.Doubt) bool {
	if j.began.Before(j.times.last(d)) {
		return false
	}
	x := j.seen.answer.Date // to the second
	if x.IsZero() {
		return true
	}
	return d.SeenFrom != nil && x.Sub(*d.SeenFrom) >= j.times.longest+j.times.readLag-time.Second
}

// absent decides on a tweet that is not on X.
func (j *judge) absent(d *store.Doubt) store.Resolution {
	switch {
	case d.PostBefore != nil && !j.now.Before(*d.PostBefore):
		return store.Resolution{Status: store.Missed, Error: "X does not show it, and its deadline has passed"}
	case d.Refused && d.IfUnconfirmed == "hold":
		return person(d, "X says that it has this text, and does not show it")
	case d.Refused:
		// Sent once more it would be refused once more.
		return store.Resolution{Status: store.Failed, Error: d.Error + "; X shows no tweet of this row, so it is like an older one"}
	case d.IfUnconfirmed == "hold":
		return person(d, "X does not show it, and the row says hold")
	}
	return store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry, NextAt: &j.now, Error: "X does not show it, so it is sent again"}
}

// retweet decides on a tweet of which it is not known whether it is retweeted. Which request has done it, or
// whether somebody else has, makes no difference: X lets an account retweet a tweet once.
func (j *judge) retweet(d *store.Doubt) store.Resolution {
	if err := j.seen.err; err != nil {
		return j.failed(d, err)
	}
	for _, t := range j.seen.tweets {
		if t.Retweets(d.TweetID) {
			return store.Resolution{Status: store.Retweeted, DoneAt: j.doneAt(d, createdAt(t))}
		}
	}
	switch {
	case !j.isLast(d):
		return j.again(d, j.later(j.times.next(d, j.now)), "X does not show the retweet yet")
	case d.Refused, d.Retries >= patience:
		return store.Resolution{Status: store.Failed, Error: d.Error + "; X shows no retweet of it by this account"}
	}
	return store.Resolution{Status: store.Scheduled, WaitFor: store.ForRetry, NextAt: &j.now, Error: "X does not show the retweet, so it is made again"}
}

// deletion decides on a tweet of which it is not known whether it is gone.
func (j *judge) deletion(d *store.Doubt) store.Resolution {
	switch {
	case j.seen.err != nil:
		return j.failed(d, j.seen.err)
	case j.seen.gone:
		// What was created a moment ago may not be shown yet. What is of the future is no tweet.
		created, known := twitter.CreatedAt(d.TweetID)
		created = created.Add(-j.seen.ahead)
		if shown := created.Add(j.times.readLag + j.seen.margin); known && shown.After(j.now) && created.Before(j.now.Add(j.seen.margin)) {
			return j.again(d, shown, "X does not show it, or not yet")
		}
		return store.Resolution{Status: store.Deleted, Warning: "X did not have the tweet any more, if it ever had"}
	case j.seen.tweets[0].AuthorID != "" && j.seen.tweets[0].AuthorID != j.userID:
		return store.Resolution{Status: store.Failed, Error: "the tweet is another user's: only its author can delete it"}
	case d.Retries >= patience:
		if certain := d.Open[len(d.Open)-1].SendBy.Add(j.times.longest + j.times.readLag); j.began.Before(certain) {
			return j.again(d, certain, "X still shows the tweet, or does not show yet that it is gone")
		}
		return store.Resolution{Status: store.Failed, Error: "X still shows the tweet, and answered to its deletion: " + d.Error}
	}
	at := j.now.Add(backoff(d.Retries))
	return store.Resolution{
		Status: store.Scheduled, WaitFor: store.ForRetry, NextAt: &at, Retries: d.Retries + 1,
		Error: "X still shows the tweet, so it is deleted again",
	}
}

// failed decides on a doubt whose look-up failed.
func (j *judge) failed(d *store.Doubt, err error) store.Resolution {
	words := "the look-up failed: " + err.Error()
	failure := new(twitter.Error)
	switch {
	case errors.Is(err, errTimelineCut):
		return person(d, err.Error())
	case !errors.As(err, &failure): // of the account's credentials
	case failure.Type == notAuthorized && d.Kind == store.DeleteTweet:
		return store.Resolution{Status: store.Failed, Error: "the tweet is not this account's: X does not even show it to it"}
	case mayNotRead(failure.Kind) && !j.began.Before(j.times.last(d)):
		return person(d, "the account may not read its own tweets: "+err.Error())
	case failure.Kind == twitter.KindRateLimited:
		return j.again(d, j.now.Add(failure.Answer.RetryAfter(j.now)), words)
	case verdictOf(Attempt{Kind: d.Kind}, failure, j.now).Outcome == OutcomePauseApp: // such as for want of money; its end tells
		return j.again(d, j.now.Add(probeConfigured), words)
	}
	if j.now.Sub(d.Open[len(d.Open)-1].GrantedAt) > giveUpReading {
		return person(d, words)
	}
	return j.again(d, j.later(j.times.next(d, j.now)), words)
}

// later returns next, or, if that has passed, an instant that is the further away the longer the doubt lasts.
func (j *judge) later(next time.Time) time.Time {
	if next.After(j.now) {
		return next
	}
	return j.now.Add(min(max(j.now.Sub(next)/2, lookUpAgain), lookUpEvery))
}

// again looks a doubt up another time.
func (j *judge) again(d *store.Doubt, at time.Time, why string) store.Resolution {
	return store.Resolution{
		Status: store.Unconfirmed, NextAt: &at, Retries: d.Retries, Error: d.Error + "; " + why,
	}
}

// person leaves a doubt to a person.
func person(d *store.Doubt, why string) store.Resolution {
	return store.Resolution{
		Status: store.Unconfirmed, Retries: d.Retries, Error: d.Error + "; " + why + ": " + toResolve(d.Kind, d.RowID),
	}
}

// nothingOpen leaves a row to a person that is to be looked up although each of its requests has an answer:
// somebody has changed it by hand.
func nothingOpen(row *store.Row) store.Resolution {
	return store.Resolution{
		RowID: row.ID, RequestID: row.RequestID, Status: store.Unconfirmed, Retries: row.Retries,
		Error: "none of its requests is in doubt, so there is nothing to look up: " + toResolveRow(row),
	}
}

// toResolveRow says what a person has to do with a row in doubt.
func toResolveRow(row *store.Row) string {
	if row.UndoRetweet {
		return fmt.Sprintf("look at the account on X, then run 'enqueue resolve %d --deleted' if the retweet is gone, or 'enqueue resolve %[1]d --not-deleted'", row.ID)
	}
	return toResolve(row.Kind, row.ID)
}

// toResolve says what a person has to do with a doubt that was looked up.
func toResolve(kind store.Kind, rowID int64) string {
	switch kind {
	case store.DeleteTweet:
		return fmt.Sprintf("look at the tweet on X, then run 'enqueue resolve %d --deleted' or 'enqueue resolve %[1]d --not-deleted'", rowID)
	case store.Retweet:
		return fmt.Sprintf("look at the account on X, then run 'enqueue resolve %d --retweeted' or 'enqueue resolve %[1]d --not-retweeted'", rowID)
	case store.PostTweet:
	}
	return fmt.Sprintf("look at the account on X, then run 'enqueue resolve %d --posted TWEET_ID' or 'enqueue resolve %[1]d --not-posted'", rowID)
}

func rows(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprintf("row %d", id)
	}
	return strings.Join(words, ", ")
}

// mayNotRead reports whether X refused a read for what the account or its app is.
func mayNotRead(kind twitter.Kind) bool {
	switch kind { //nolint:exhaustive // All others pass, or say nothing of reading.
	case twitter.KindForbidden, twitter.KindAppPermissions, twitter.KindNotEnrolled, twitter.KindFeatureNotPermitted,
		twitter.KindNotPermitted, twitter.KindUnsupportedAuthentication, twitter.KindSuspended, twitter.KindLocked,
		twitter.KindAppSuspended, twitter.KindInvalidRequest, twitter.KindOther:
		return true
	}
	return false
}

// ahead is how far X's clock is ahead of the database's, as the last answer told.
type ahead struct{ by atomic.Int64 }

func (a *ahead) get() time.Duration  { return time.Duration(a.by.Load()) }
func (a *ahead) set(d time.Duration) { a.by.Store(int64(d)) }
