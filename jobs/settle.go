package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tweetqueue/store"
)

const (
	// settleFor is how long a settlement is tried while the database cannot be reached. It outlasts
	// a restart or a failover; past it the row is found by whoever takes this worker's rows over.
	settleFor = 5 * time.Minute
	// settleTimeout bounds one try.
	settleTimeout = 15 * time.Second
	// settleEvery is the pause between two tries.
	settleEvery = 200 * time.Millisecond
)

// settle records an answer and brings its row to what follows. An answer of X that we hold must
// not be lost, so neither a shutdown nor a job's end stops it, and a database that is away is
// waited for.
func (w *Worker) settle(ctx context.Context, result answer) error {
	v := w.decide(result)
	settlement := store.Settlement{
		RequestID: result.request.ID, RowID: result.row.ID, AccountID: result.row.AccountID,
		GrantedAt: result.request.GrantedAt,
		TweetID:   result.tweetID, Error: v.Error, Outcome: string(v.Outcome),
		StatusCode: result.x.StatusCode, XTransactionID: result.x.RequestID, Answer: result.x.RawBody,
	}
	if result.x.StatusCode != 0 {
		settlement.Limits = result.x.Limits
	}
	switch v.Outcome {
	case OutcomeDone:
		settlement.Status = result.row.Kind.Done()
	case OutcomeFail:
		settlement.Status = store.Failed
	case OutcomeUnconfirmed:
		settlement.Status = store.Unconfirmed
	case OutcomeWait:
		settlement.Status, settlement.WaitFor, settlement.Wait = store.Scheduled, store.ForQuota, v.Wait
		settlement.Retries = result.row.Retries
		if v.Block {
			settlement.Block = v.Wait
		}
	case OutcomeRetry:
		settlement.Status, settlement.WaitFor, settlement.Wait = store.Scheduled, store.ForRetry, v.Wait
		settlement.Retries = result.row.Retries + 1
		settlement.GiveBack = result.x.StatusCode == 0
	case OutcomePauseAccount, OutcomePauseApp:
		settlement.Status, settlement.WaitFor = store.Scheduled, store.ForAccount
		if v.Outcome == OutcomePauseApp {
			settlement.WaitFor = store.ForApp
		}
		settlement.Wait, settlement.GiveBack = v.Wait, result.x.StatusCode == 0
		if v.Wait == 0 {
			settlement.Wait = heldRecheck
		}
	}

	settled, err := w.write(ctx, result, v, settlement)
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		// The database refuses this very settlement, and would again: keep what X said, and let a
		// person see it.
		settlement.Status, settlement.TweetID, settlement.WaitFor = store.Unconfirmed, "", ""
		settlement.Error = fmt.Sprintf("the answer could not be recorded: %v (X's tweet id: %q)", err, result.tweetID)
		settled, err = w.write(ctx, result, Verdict{Outcome: OutcomeUnconfirmed}, settlement)
	}
	if err != nil {
		return fmt.Errorf("settle %s %d: %w", result.row.Kind, result.row.ID, err)
	}
	w.tellSettled(result, v, settled)
	return nil
}

// decide is the answer table, and beside it what never became a request of twitter.
func (w *Worker) decide(result answer) Verdict {
	if credentials := new(credentialsError); errors.As(result.err, &credentials) {
		return Verdict{Outcome: OutcomePauseAccount, State: store.NeedsLogin, Error: credentials.Error()}
	}
	return Decide(result.row.Kind, result.err, result.row.Retries, time.Now())
}

// write tries one settlement until the database has it, has refused it, or is away for too long.
func (w *Worker) write(ctx context.Context, result answer, v Verdict, settlement store.Settlement) (settled store.Settled, err error) {
	ctx = context.WithoutCancel(ctx)
	giveUp := time.Now().Add(settleFor)
	for try := 0; ; try++ {
		settled, err = w.tryWrite(ctx, result, v, settlement)
		if err == nil || permanent(err) || time.Now().After(giveUp) {
			return settled, err
		}
		if try == 0 {
			w.tell(Event{
				Type: EventError, Kind: result.row.Kind, RowID: result.row.ID, RequestID: result.request.ID,
				Account: result.row.Username, Err: fmt.Errorf("an answer waits to be recorded: %w", err),
			})
		}
		pause(ctx, settleEvery)
	}
}

func (w *Worker) tryWrite(ctx context.Context, result answer, v Verdict, settlement store.Settlement) (settled store.Settled, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err = store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		all, err := store.Settle(ctx, tx, result.row.Kind, []store.Settlement{settlement})
		if err != nil {
			return err
		}
		settled = all[0]
		return w.holdOrRelease(ctx, tx, result.row, v)
	})
	return settled, err
}

// holdOrRelease changes the state of the row's account and app, as the last locks of the transaction.
func (w *Worker) holdOrRelease(ctx context.Context, tx pgx.Tx, row *store.Row, v Verdict) error {
	switch v.Outcome {
	case OutcomePauseAccount:
		return store.AccountHold(ctx, tx, row.AccountID, v.State, v.Error, v.Wait)
	case OutcomePauseApp:
		return store.AppHold(ctx, tx, row.AppID, v.Error, v.Wait)
	case OutcomeDone:
		if row.Account.State != store.Active {
			if err := store.AccountRelease(ctx, tx, row.AccountID); err != nil {
				return err
			}
		}
		if row.App.State != store.Active {
			return store.AppRelease(ctx, tx, row.AppID)
		}
	case OutcomeWait, OutcomeRetry, OutcomeUnconfirmed, OutcomeFail:
	}
	return nil
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
	ctx = context.WithoutCancel(ctx)
	requests := make([]*store.Request, len(claims))
	for i, claim := range claims {
		requests[i] = claim.request
	}
	giveUp := time.Now().Add(settleFor)
	for {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, settleTimeout)
			defer cancel()
			return store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
				_, err := store.Release(ctx, tx, kind, requests, reason)
				return err
			})
		}()
		if err == nil || permanent(err) || time.Now().After(giveUp) {
			return err
		}
		pause(ctx, settleEvery)
	}
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
	// A settlement whose commit seemed to fail is written again, and then found written already.
	written := settled.Status == result.row.Kind.Done() && event.TweetID == result.tweetID
	if !settled.Applied && !written {
		return
	}
	switch settled.Status {
	case store.Posted, store.Deleted:
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
	w.tell(event)
	if v.Outcome == OutcomePauseAccount || v.Outcome == OutcomePauseApp {
		w.tell(Event{Type: EventHeld, Account: settled.Account, WaitingFor: event.WaitingFor, Reason: v.Error})
	}
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
