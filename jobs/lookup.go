package jobs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

const (
	// lookUpMargin is how much longer than one request takes a look-up is waited for: then it is made again,
	// for its worker died. One of many pages is made twice, which does no harm.
	lookUpMargin = 15 * time.Second
	// lookUpBefore is how long before its first request a timeline is read from. X's clock is known to a second,
	// so it covers what nobody has thought of.
	lookUpBefore = 5 * time.Minute
	// clockMargin is how far off X's clock may be estimated beside what its Date can tell.
	clockMargin = 5 * time.Second
	// maxPages bounds one look-up, in pages of 100. X shows no more of a timeline than 3200 tweets, and does not
	// say that there were more: so what would fill them all is no whole timeline.
	maxPages = 31
	// maxLookUpAnswer bounds what is kept of X's raw answers to one look-up, in bytes.
	maxLookUpAnswer = 64 << 10
)

// errTimelineCut says that X shows no more of a timeline than it did, so that nothing is certain of the rest.
var errTimelineCut = errors.New("the account has made more tweets since than X shows")

// lookUp settles the doubts of a row's account: in one transaction it writes that it looks them up, it
// reads, and in another it writes what that means. Nothing is lost if it is cut off anywhere: it only reads,
// and the next look-up is due a little later.
func (w *Worker) lookUp(ctx context.Context, row *store.Row, jobID int64) error {
	l, err := w.claimLookUp(ctx, row, jobID)
	if err != nil || l == nil {
		return err
	}
	seen := w.look(ctx, l)
	return w.finish(Event{Kind: row.Kind, RowID: row.ID, RequestID: l.requestID}, nil,
		func() error { return w.settleLookUp(ctx, l, seen) })
}

// only is the row that a look-up is for, 0 if it is for all of its account.
func only(row *store.Row) int64 {
	if row.Kind == store.DeleteTweet {
		return row.ID
	}
	return 0
}

// lookUpRest is after how long a look-up is made again that was never settled.
func (w *Worker) lookUpRest() time.Duration {
	return cmp.Or(w.x.Timeout, twitter.DefaultTimeout) + lookUpMargin
}

// looking is a look-up under way.
type looking struct {
	row       *store.Row // whose job it is
	requestID int64
	sendBy    time.Time
	doubts    []*store.Doubt  // what is looked for, as it was when it began
	began     time.Time       // by the database's clock
	clock     time.Duration   // how far that is ahead of this machine's
	resolved  []store.Settled // without a look
}

func (l *looking) rowIDs() []int64 {
	ids := make([]int64, len(l.doubts))
	for i, d := range l.doubts {
		ids[i] = d.RowID
	}
	return ids
}

// first is when the first request was granted that is looked for.
func (l *looking) first() time.Time {
	first := l.began
	for _, d := range l.doubts {
		if at := d.Open[0].GrantedAt; at.Before(first) {
			first = at
		}
	}
	return first
}

// claimLookUp writes the look-up's request. It returns nil if another worker has been faster.
func (w *Worker) claimLookUp(ctx context.Context, row *store.Row, jobID int64) (*looking, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	l := &looking{row: row}
	err := store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		quotas, err := store.QuotasLock(ctx, tx, []int64{row.AccountID}, store.LookUpAction)
		if err != nil {
			return err
		}
		rows, err := store.RowsLock(ctx, tx, row.Kind, []int64{row.ID})
		if err != nil {
			return err
		}
		if len(rows) == 0 { // somebody has locked it since it was claimed
			_, err := store.RowsRewake(ctx, tx, row.Kind, []int64{row.ID}, lockedDelay)
			return err
		}
		now, err := store.Clock(ctx, tx)
		if err != nil {
			return err
		}
		if !rows[0].LookedUp || rows[0].WakeAt.After(now) {
			return nil
		}
		l.row, l.began, l.clock = rows[0], now, time.Until(now)
		ids := []int64{row.ID}
		if only(row) == 0 { // one look serves all
			if ids, err = store.DoubtsLock(ctx, tx, row.Kind, rows[0].AccountID); err != nil {
				return err
			}
		}
		doubts, err := store.Doubts(ctx, tx, row.Kind, rows[0].AccountID, only(row))
		if err != nil {
			return err
		}
		for _, d := range doubts {
			if slices.Contains(ids, d.RowID) {
				l.doubts = append(l.doubts, d)
			}
		}
		if !slices.ContainsFunc(l.doubts, func(d *store.Doubt) bool { return d.RowID == row.ID }) {
			l.resolved, err = store.Resolve(ctx, tx, row.Kind, []store.Resolution{nothingOpen(rows[0])})
			return err
		}
		windows := quotas.Of(rows[0].AccountID, store.LookUpAction)
		if until, _ := placeAt(windows, now); until.After(now) {
			return store.LookUpsPostpone(ctx, tx, row.Kind, l.rowIDs(), until.Sub(now))
		}
		l.sendBy = now.Add(w.lookUpRest())
		for _, q := range windows {
			q.Take(l.sendBy)
		}
		if err := store.QuotasSave(ctx, tx, quotas); err != nil {
			return err
		}
		l.requestID, err = store.LookUpStart(ctx, tx, row.Kind, store.LookUp{
			AccountID: rows[0].AccountID, WorkerID: w.lease.current(), JobID: jobID, RowIDs: l.rowIDs(), SendBy: l.sendBy,
		}, w.lookUpRest())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s %d: %w", row.Kind, row.ID, err)
	}
	for _, r := range l.resolved {
		w.tellResolved(l, r)
	}
	if l.requestID == 0 {
		return nil, nil //nolint:nilnil // There is nothing to look up.
	}
	return l, nil
}

// sight is what X showed.
type sight struct {
	tweets   []twitter.Tweet
	includes twitter.Includes
	from     time.Time     // of X's clock: what is older was not asked for
	ahead    time.Duration // how far X's clock is ahead of the database's
	margin   time.Duration // how far off that may be
	gone     bool          // the tweet to delete is
	answer   twitter.Answer
	requests int // of which X answered, or may have
	raw      []byte
	err      error
}

// look reads what X shows of the doubts. No transaction is open.
func (w *Worker) look(ctx context.Context, l *looking) sight {
	client, err := w.client(l.row)
	if err != nil {
		return sight{err: err}
	}
	if l.row.Kind == store.DeleteTweet {
		return l.readTweet(ctx, client)
	}
	s := w.readTimeline(ctx, client, l, w.xAhead.get())
	if s.err == nil && s.from.After(l.from(s.ahead)) {
		// X's clock is further behind than was known, so that the beginning is missing.
		s = w.readTimeline(ctx, client, l, s.ahead)
	}
	return s
}

// from is the instant of X's clock from which on the timeline is looked at. A clock that is ahead does not
// make it later: what X's Date says of its clock may itself be wrong, and too much is only read.
func (l *looking) from(ahead time.Duration) time.Time {
	return l.first().Add(min(ahead, 0) - lookUpBefore)
}

// readTimeline reads all that the account has tweeted since a little before the first request. Replies and
// retweets are among it: what is left out proves nothing.
func (w *Worker) readTimeline(ctx context.Context, client *twitter.Client, l *looking, ahead time.Duration) sight {
	s := sight{from: l.from(min(ahead, 0) - clockMargin), ahead: ahead, margin: clockMargin}
	query := twitter.UserTweetsQuery{SinceID: twitter.IDAt(s.from), MaxResults: 100}
	for range maxPages {
		page, err := client.UserTweets(ctx, l.row.XUserID, query)
		if err != nil {
			s.take(err)
			return s
		}
		s.tweets = append(s.tweets, page.Tweets...)
		s.includes.Tweets = append(s.includes.Tweets, page.Includes.Tweets...)
		s.includes.Polls = append(s.includes.Polls, page.Includes.Polls...)
		s.record(page.Answer)
		if s.date(page.Answer, l.clock) {
			w.xAhead.set(s.ahead)
		}
		if page.NextToken == "" {
			return s
		}
		query.PaginationToken = page.NextToken
	}
	s.err = errTimelineCut
	return s
}

// readTweet reads the tweet to delete.
func (l *looking) readTweet(ctx context.Context, client *twitter.Client) sight {
	s := sight{margin: clockMargin}
	found, err := client.Tweet(ctx, l.row.TweetID)
	if err == nil {
		s.tweets = []twitter.Tweet{found.Tweet}
		s.record(found.Answer)
	} else {
		s.take(err)
	}
	s.date(s.answer, l.clock)
	if failure := new(twitter.Error); errors.As(err, &failure) && saysGone(failure) {
		s.gone, s.err = true, nil
	}
	return s
}

// saysGone reports whether X says of this tweet that it does not exist. A 404 without a word on the tweet
// does not: X has answered so for hours to everybody.
func saysGone(failure *twitter.Error) bool {
	return failure.Kind == twitter.KindNotFound && (failure.Type != "" || failure.Code != 0)
}

// date estimates X's clock by an answer, if X dated it; clock is how far the database's is ahead of this
// machine's.
func (s *sight) date(answer twitter.Answer, clock time.Duration) bool {
	offset, margin, known := answer.ClockOffset()
	if known {
		s.ahead, s.margin = offset-clock, clockMargin+margin
	}
	return known
}

// read returns the tweets that X returned; nil if it is not known which, because it did not answer.
func (s *sight) read() []string {
	if s.answer.StatusCode == 0 && len(s.tweets) == 0 {
		return nil
	}
	ids := make([]string, len(s.tweets))
	for i, t := range s.tweets {
		ids[i] = t.ID
	}
	return ids
}

// take keeps the error of a read and its answer.
func (s *sight) take(err error) {
	s.err = err
	if failure := new(twitter.Error); errors.As(err, &failure) {
		s.record(failure.Answer)
		if failure.Kind == twitter.KindNeverSent {
			s.requests--
		}
	}
}

func (s *sight) record(answer twitter.Answer) {
	s.requests++
	s.answer = answer
	raw := answer.RawBody
	if len(s.raw) > 0 {
		raw = slices.Concat(s.raw, []byte("\n"), raw)
	}
	s.raw = bytes.Clone(raw[:min(len(raw), maxLookUpAnswer)])
}

// settleLookUp writes what was seen, and what that means for each row that was looked for.
func (w *Worker) settleLookUp(ctx context.Context, l *looking, seen sight) error {
	answered := time.Now()
	outcome, words, block := OutcomeDone, "", time.Duration(0)
	var v Verdict
	if seen.err != nil {
		outcome, words = lookUpOutcome(seen.err), seen.err.Error()
		v = Decide(Attempt{Kind: l.row.Kind}, seen.err, answered)
	}
	if v.Outcome == OutcomePauseApp {
		outcome = v.Outcome
	}
	if outcome == OutcomeWait {
		block = seen.answer.RetryAfter(answered)
	}
	var resolved []store.Settled
	var begun bool
	_, err := w.insist(ctx, Event{
		Kind: l.row.Kind, RowID: l.row.ID, RequestID: l.requestID, Account: l.row.Username, Reason: "a look-up waits to be recorded",
	}, func(ctx context.Context, tx pgx.Tx) error {
		err := store.LookUpSettle(ctx, tx, l.row.Kind, store.LookUpAnswer{
			RequestID: l.requestID, AccountID: l.row.AccountID, RowIDs: l.rowIDs(), SendBy: l.sendBy,
			Requests: seen.requests, Block: block, Reports: reports(seen.answer, answered), Age: time.Since(answered), Outcome: string(outcome), Error: words,
			StatusCode: seen.answer.StatusCode, XTransactionID: seen.answer.RequestID, Answer: seen.raw,
			Limits: limitsOf(seen.answer), TweetIDs: seen.read(),
			XAt: seen.answer.Date,
		})
		if err != nil {
			return err
		}
		resolutions, err := w.resolutions(ctx, tx, l, seen)
		if err != nil {
			return err
		}
		if resolved, err = store.Resolve(ctx, tx, l.row.Kind, resolutions); err != nil {
			return err
		}
		// A hold that goes on is for a request that tries whether it is over; look-ups would put that off.
		if v.Outcome == OutcomePauseApp && l.row.App.State == store.Active {
			began, err := w.hold(ctx, tx, l.row, v)
			begun = begun || began // also if only its commit seemed to fail
			return err
		}
		return nil
	})
	if err == nil && begun {
		w.tell(heldEvent(l.row, v))
	}
	if err != nil {
		return fmt.Errorf("settle the look-up of %s %d: %w", l.row.Kind, l.row.ID, err)
	}
	for _, r := range resolved {
		w.tellResolved(l, r)
	}
	return nil
}

// resolutions decides on the rows that were looked for, as they are now, under their locks.
func (w *Worker) resolutions(ctx context.Context, tx pgx.Tx, l *looking, seen sight) ([]store.Resolution, error) {
	doubts, err := store.Doubts(ctx, tx, l.row.Kind, l.row.AccountID, only(l.row))
	if err != nil {
		return nil, err
	}
	now, err := store.Clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	known, err := store.TweetIDsKnown(ctx, tx, l.row.AccountID, versions(seen.tweets))
	if err != nil {
		return nil, err
	}
	j := judge{times: w.lookUps, began: l.began, now: now, seen: seen, userID: l.row.XUserID}
	if l.row.Kind == store.PostTweet {
		j.weigh(doubts, known)
	}
	if j.sees() { // seldom, and what follows need not be quick
		made, err := store.TweetIDsMade(ctx, tx, l.row.AccountID)
		if err != nil {
			return nil, err
		}
		j.weigh(doubts, append(known, made...))
	}
	var all []store.Resolution
	for _, d := range doubts {
		if !slices.Contains(l.rowIDs(), d.RowID) || d.Status != store.Unconfirmed || !d.LookedUp {
			continue
		}
		resolution := j.resolve(d)
		resolution.RowID, resolution.RequestID = d.RowID, d.RequestID
		all = append(all, resolution)
	}
	return all, nil
}

// versions returns the ids of tweets and of their earlier versions.
func versions(tweets []twitter.Tweet) []string {
	var ids []string
	for _, t := range tweets {
		ids = append(append(ids, t.ID), t.EditHistoryTweetIDs...)
	}
	return ids
}

// lookUpOutcome is what a failed look-up is recorded with.
func lookUpOutcome(err error) Outcome {
	failure := new(twitter.Error)
	switch {
	case !errors.As(err, &failure):
		return OutcomeFail
	case failure.Kind == twitter.KindRateLimited:
		return OutcomeWait
	case mayNotRead(failure.Kind):
		return OutcomeFail
	}
	return OutcomeRetry
}

func limitsOf(answer twitter.Answer) any {
	if answer.StatusCode == 0 {
		return nil
	}
	return answer.Limits
}

// tellResolved tells the observer what became of a doubt.
func (w *Worker) tellResolved(l *looking, r store.Settled) {
	event := Event{
		Type: EventUnconfirmed, Kind: l.row.Kind, RowID: r.RowID, RequestID: l.requestID, Account: r.Account, DueAt: r.DueAt,
		Reason: value(r.Error), Until: r.NextAt, WaitingFor: value(r.WaitingFor), TweetID: value(r.TweetID),
	}
	switch r.Status {
	case store.Posted, store.Deleted, store.Retweeted:
		event.Type, event.Lateness = EventDone, r.DoneAt.Sub(r.DueAt)
	case store.Failed:
		event.Type = EventFailed
	case store.Missed:
		event.Type = EventMissed
	case store.Scheduled:
		event.Type = EventWaiting
	case store.Unconfirmed:
		event.LookedUp = true
	case store.Sending, store.Cancelled:
	}
	w.tell(event)
	if r.Wakes {
		w.wake()
	}
}
