package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

const (
	// settleFor is how long a stopping worker still tries to settle a row while the database cannot
	// be reached. It outlasts a restart or a failover; past it the row is found by whoever takes this
	// worker's rows over. A worker that goes on tries for ever: as long as its lease lives, nobody
	// would take the row over.
	settleFor = 5 * time.Minute
	// settleTimeout bounds one try.
	settleTimeout = 15 * time.Second
	// settleAgain is the pause before a second try; it doubles up to settleEvery.
	settleAgain = 10 * time.Millisecond
	settleEvery = 500 * time.Millisecond
	// finishWithin is how long a job waits for its settlement, which goes on without it.
	finishWithin = 2 * time.Second
	// maxDetached is how many settlements go on without their jobs. More would be a database that is
	// away, or an application that locks all there is: then it is better to stop sending.
	maxDetached = 200
)

// settle records an answer and brings its row to what follows. An answer of X that we hold must
// not be lost, so neither a shutdown nor a job's end stops it, and a database that is away is
// waited for.
func (w *Worker) settle(ctx context.Context, result answer) error {
	v := w.decide(result)
	settlement := store.Settlement{
		RequestID: result.request.ID, RowID: result.row.ID, AccountID: result.row.AccountID,
		SendBy: result.request.SendBy, Reports: reports(result.x, time.Now()),
		Action:  result.row.Action(),
		TweetID: result.tweetID, Doubt: result.row.Doubt, Error: v.Error, Warning: v.Warning, Outcome: string(v.Outcome),
		StatusCode: result.x.StatusCode, XTransactionID: result.x.RequestID, Answer: result.x.RawBody,
	}
	if result.x.StatusCode != 0 {
		settlement.Limits = result.x.Limits
	}
	switch v.Outcome {
	case OutcomeDone, OutcomeAlready:
		settlement.Status = result.row.Kind.Done()
	case OutcomeFail:
		settlement.Status, settlement.GiveBack = store.Failed, result.neverArrived()
	case OutcomeUnconfirmed:
		settlement.Status, settlement.LookUpAt = store.Unconfirmed, w.firstLookUp(result)
		settlement.Retries = result.retries()
		if result.row.UndoRetweet { // no look at the tweet tells
			settlement.LookUpAt, settlement.Error = time.Time{}, v.Error+": "+toResolveRow(result.row)
		}
	case OutcomeWait:
		settlement.Status, settlement.WaitFor, settlement.Wait = store.Scheduled, store.ForQuota, v.Wait
		settlement.Retries = result.row.Retries
		if v.Block {
			settlement.Block = v.Wait
		}
	case OutcomeRetry, OutcomeRefresh, OutcomeRepeat:
		settlement.Status, settlement.WaitFor, settlement.Wait = store.Scheduled, store.ForRetry, v.Wait
		settlement.Retries = result.retries() + 1
		settlement.GiveBack = v.Outcome != OutcomeRepeat && result.neverArrived()
	case OutcomePauseAccount, OutcomePauseApp:
		settlement.Status, settlement.WaitFor = store.Scheduled, store.ForAccount
		if v.Outcome == OutcomePauseApp {
			settlement.WaitFor = store.ForApp
		}
		settlement.Wait, settlement.GiveBack = v.Wait, result.neverArrived()
		if v.Wait == 0 {
			settlement.Wait = heldRecheck
		}
	}

	settled, err := w.write(ctx, result, v, settlement)
	if permanent(err) {
		// The database refuses this very settlement, and would again: keep what X said, and leave it to a
		// person. No look-up knows better than X's answer.
		v = Verdict{Outcome: OutcomeUnconfirmed}
		settlement.Status, settlement.TweetID, settlement.WaitFor = store.Unconfirmed, "", ""
		settlement.LookUpAt, settlement.Outcome = time.Time{}, string(OutcomeUnconfirmed)
		settlement.Error = fmt.Sprintf("the answer could not be recorded: %v (X's tweet id: %q): %s",
			err, result.tweetID, toResolveRow(result.row))
		settled, err = w.write(ctx, result, v, settlement)
	}
	if err != nil {
		return fmt.Errorf("settle %s %d: %w", result.row.Kind, result.row.ID, err)
	}
	w.tellSettled(result, v, settled)
	w.resume(ctx, result, v, settled)
	if settled.Wakes {
		w.wake()
	}
	if settled.Frees {
		w.letGoOn()
	}
	return nil
}

// firstLookUp is when a row that may be on X is looked up first. Whether a tweet is gone already can be seen
// at once.
func (w *Worker) firstLookUp(result answer) time.Time {
	if result.row.Kind == store.DeleteTweet {
		return result.request.GrantedAt
	}
	return result.request.GrantedAt.Add(w.lookUps.after[0])
}

// neverArrived reports whether the request certainly did not reach X, which then did not count it.
func (a answer) neverArrived() bool {
	failure := new(twitter.Error)
	maybe := errors.As(a.err, &failure) && failure.Kind == twitter.KindMaybeSent
	return a.x.StatusCode == 0 && !maybe
}

// decide is the answer table, and beside it what never became a request of twitter.
func (w *Worker) decide(result answer) Verdict {
	if credentials := new(credentialsError); errors.As(result.err, &credentials) {
		if credentials.ofApp {
			return Verdict{Outcome: OutcomePauseApp, Wait: probeConfigured, Error: credentials.Error(), Cause: credentials.Error()}
		}
		return Verdict{Outcome: OutcomePauseAccount, State: store.Paused, Wait: probeConfigured, Error: credentials.Error(), Cause: credentials.Error()}
	}
	return Decide(Attempt{Kind: result.row.Kind, UndoRetweet: result.row.UndoRetweet, Retries: result.retries(), Doubt: result.row.Doubt}, result.err, time.Now())
}

// retries is how many retries in a row came before the request. What never reached X, or found it out of order, says
// nothing of what X will answer, so its first answer begins a new count.
func (a answer) retries() int {
	if a.x.StatusCode != 0 && !saysNothing(a.err) && !a.row.Answered {
		return 0
	}
	return a.row.Retries
}

// write tries one settlement until the database has it, or has refused it.
func (w *Worker) write(ctx context.Context, result answer, v Verdict, settlement store.Settlement) (settled store.Settled, err error) {
	var begun, later bool
	answered := time.Now()
	again, err := w.insist(ctx, Event{
		Kind: result.row.Kind, RowID: result.row.ID, RequestID: result.request.ID, Account: result.row.Username,
		Reason: "an answer waits to be recorded",
	}, func(ctx context.Context, tx pgx.Tx) error {
		settlement.Age = time.Since(answered)
		all, err := store.Settle(ctx, tx, result.row.Kind, []store.Settlement{settlement})
		if err != nil {
			return err
		}
		settled = all[0]
		began, err := w.hold(ctx, tx, result.row, v)
		begun = begun || began // also if only its commit seemed to fail
		if later = v.NoAnswer && errors.Is(err, store.ErrRowLocked); later {
			return nil // the doubt must not wait for it
		}
		return err
	})
	if err == nil && later {
		begun = w.doubtLater(ctx, result.row)
	}
	if err == nil && begun {
		w.tell(heldEvent(result.row, v))
	}
	if again && settled.Status == settlement.Status &&
		(settlement.TweetID == "" || value(settled.TweetID) == settlement.TweetID) {
		settled.Applied = true // by the try whose commit seemed to fail
	}
	return settled, err
}

// doubtLater notes a doubt on its app while somebody has that locked: mostly another doubt, for an instant. If it
// fails, the next doubt is noted.
func (w *Worker) doubtLater(ctx context.Context, row *store.Row) (paused bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	paused, err := store.AppDoubtLater(ctx, w.pool, row.AppID, row.AccountID, outageReason, probeOutage)
	if err != nil {
		w.tell(Event{Type: EventError, Account: row.Username, Err: err})
	}
	return paused
}

// insist tries a transaction that follows a claim until it is committed, or the database refuses it
// for what it says. Neither a shutdown nor a job's end stops it; only a worker that is made to end
// does not try for ever. The first failure is told, with what then waits; that somebody has locked the
// row, once a job would not wait any longer. It returns whether a try before the last may have been
// committed, too.
func (w *Worker) insist(ctx context.Context, waits Event, do func(context.Context, pgx.Tx) error) (again bool, err error) {
	ctx = context.WithoutCancel(ctx)
	began, rest, told := time.Now(), settleAgain, false
	var giveUp time.Time // set once the worker is made to end
	for {
		err := w.try(ctx, do)
		if giveUp.IsZero() && w.isEnding() {
			giveUp = time.Now().Add(settleFor)
		}
		if err == nil || permanent(err) || (!giveUp.IsZero() && time.Now().After(giveUp)) {
			return again, err
		}
		if !told && (!errors.Is(err, store.ErrRowLocked) || time.Since(began) > finishWithin) {
			waits.Type, waits.Err = EventError, err
			w.tell(waits)
			told = true
		}
		again = again || errors.As(err, new(*store.CommitError))
		pause(ctx, rest)
		rest = min(2*rest, settleEvery)
	}
}

func (w *Worker) try(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return store.InTx(ctx, w.pool, func(tx pgx.Tx) error { return do(ctx, tx) })
}

// isEnding reports whether the worker has been told to stop, and has waited for as long as it may.
func (w *Worker) isEnding() bool {
	select {
	case <-w.ending:
		return true
	default:
		return false
	}
}

// outageReason is why an app pauses whose requests X does not answer, for a person.
const outageReason = "X has not answered the latest requests of several accounts; one is tried at a time until it does"

// hold puts the row's account or app on hold if the verdict says so, as the last lock of the transaction.
// It returns whether that is news.
func (w *Worker) hold(ctx context.Context, tx pgx.Tx, row *store.Row, v Verdict) (began bool, err error) {
	switch {
	case v.Outcome == OutcomePauseAccount:
		return store.AccountHold(ctx, tx, row.AccountID, v.State, v.Error, v.Cause, v.Wait)
	case v.Outcome == OutcomePauseApp:
		return store.AppHold(ctx, tx, row.AppID, v.Error, v.Cause, v.Wait)
	case v.NoAnswer && v.Outcome == OutcomeUnconfirmed:
		return store.AppDoubt(ctx, tx, row.AppID, row.AccountID, outageReason, probeOutage)
	}
	return false, nil
}

// heldEvent tells of a hold that began.
func heldEvent(row *store.Row, v Verdict) Event {
	event := Event{Type: EventHeld, Account: row.Username, WaitingFor: store.ForApp, Reason: v.Error}
	switch v.Outcome { //nolint:exhaustive // Any other is an outage.
	case OutcomePauseAccount:
		event.WaitingFor = store.ForAccount
	case OutcomePauseApp:
	default:
		event.Reason = outageReason
	}
	return event
}

// resume ends the hold of a row's account and app after a success, and what was taken for an outage after
// any answer. It is no part of the settlement, which must not wait for it. If it fails, the next success
// does it.
func (w *Worker) resume(ctx context.Context, result answer, v Verdict, settled store.Settled) {
	row := result.row
	releases := (v.Outcome == OutcomeDone || v.Outcome == OutcomeAlready) && (row.Account.State != store.Active || row.App.State != store.Active)
	answered := settled.AppDoubted && result.x.StatusCode != 0 && !v.NoAnswer
	if !releases && !answered {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	var err error
	if releases && row.Account.State != store.Active {
		err = store.AccountRelease(ctx, w.pool, row.AccountID)
	}
	if releases && row.App.State != store.Active {
		err = errors.Join(err, store.AppRelease(ctx, w.pool, row.AppID))
	}
	if answered {
		err = errors.Join(err, store.AppAnswered(ctx, w.pool, settled.AppID))
	}
	if err != nil {
		w.tell(Event{Type: EventError, Account: row.Username, Err: err})
	}
	w.wake()
}

// permanent reports whether the database refused a statement for what it says: a constraint or a
// rule (class 23), data (22), or its own text (42). Anything else may pass.
func permanent(err error) bool {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) || len(pgErr.Code) < 2 {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "42":
		return true
	}
	return false
}

// release gives back rows whose claim may or may not have been committed: none of them was sent.
func (w *Worker) release(ctx context.Context, kind store.Kind, claims []claimed, reason string) error {
	requests := make([]*store.Request, len(claims))
	for i, claim := range claims {
		requests[i] = claim.request
	}
	_, err := w.insist(ctx, Event{
		Kind: kind, RowID: claims[0].row.ID, RequestID: claims[0].request.ID, Account: claims[0].row.Username,
		Reason: "a claim waits to be undone",
	}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := store.Release(ctx, tx, kind, requests, reason)
		return err
	})
	return err
}

// tellSettled tells the observer what a row has become.
func (w *Worker) tellSettled(result answer, v Verdict, settled store.Settled) {
	event := Event{
		Kind: result.row.Kind, RowID: settled.RowID, RequestID: settled.RequestID, JobID: result.request.JobID,
		Account: settled.Account, DueAt: settled.DueAt, Reason: value(settled.Error), Until: settled.NextAt,
		WaitingFor: value(settled.WaitingFor), TweetID: value(settled.TweetID),
	}
	if settled.PostedTwice {
		twice := event
		twice.Type, twice.TweetID = EventPostedTwice, result.tweetID
		w.tell(twice)
	}
	if !settled.Applied {
		return
	}
	switch settled.Status {
	case store.Posted, store.Deleted, store.Retweeted:
		event.Type, event.Lateness = EventDone, settled.DoneAt.Sub(settled.DueAt)
	case store.Failed:
		event.Type = EventFailed
	case store.Unconfirmed:
		event.Type = EventUnconfirmed
	case store.Scheduled:
		event.Type = EventWaiting
	case store.Sending, store.Missed, store.Cancelled:
		return
	}
	if waits := event.WaitingFor; v.Wait == 0 && (waits == store.ForAccount || waits == store.ForApp) {
		event.Until = nil // until a person ends the hold
	}
	w.tell(event)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
