package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
)

const (
	promoteBatch  = 1000
	waitsBatch    = 100
	holdBatch     = 100
	takeOverEvery = time.Second // dead after 12 s, taken over within 15
	prolongWithin = 2 * time.Second
	sweepEvery    = 10 * time.Second
	sweepBatch    = 5000
	measureEvery  = 20 * time.Second
	measureAhead  = time.Minute
	measureBatch  = 500
	wakeEvery     = time.Second
	wakeBatch     = 500
	loopBatch     = 500
)

// loop runs do at once and then every interval, until ctx ends. Its errors are told once until it
// succeeds again.
func (w *Worker) loop(ctx context.Context, every time.Duration, do func(context.Context) error) {
	failing := false
	for ctx.Err() == nil {
		err := do(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			w.tell(Event{Type: EventError, Err: err})
		}
		failing = err != nil
		pause(ctx, every)
	}
}

// promoteLoop promotes parked jobs when they are due, and releaseLoop lets rows go on that waited for a limit: at the
// instant that the last look has found, and at every poll, for what has changed since. Each has a loop of its own, for
// windows that somebody has locked are no matter of what waits for its time alone; and so has what holds rows back, for
// that looks at jobs by the thousand, and who falls due meanwhile would be late by as long.
func (w *Worker) promoteLoop(ctx context.Context) { w.untilDue(ctx, w.dues, w.promote) }

func (w *Worker) releaseLoop(ctx context.Context) { w.untilDue(ctx, w.releases, w.releaseQuotaWaits) }

func (w *Worker) holdLoop(ctx context.Context) { w.untilDue(ctx, w.waits, w.holdQuotaWaits) }

// untilDue runs do again and again: at once if it reports that there is more to do, else after the time that it returns
// (nil: it knows none), when woken, or at the next poll. Its errors are told once until it succeeds again.
func (w *Worker) untilDue(ctx context.Context, woken <-chan struct{}, do func(context.Context) (more bool, next *time.Duration, err error)) {
	failing := false
	for ctx.Err() == nil {
		more, next, err := do(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			w.tell(Event{Type: EventError, Err: err})
		}
		failing = err != nil
		if more && err == nil {
			continue
		}
		wait := w.poll
		if next != nil {
			wait = min(wait, *next)
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// holdBack makes the holdLoop look at once: an account has begun to wait for a limit, and its other rows are not to be
// fetched; or some have fallen due, and are to wait.
func (w *Worker) holdBack() { look(w.waits) }

// goOn makes the promoteLoop look at once: rows were let go on, or a job was parked that may be due.
func (w *Worker) goOn() { look(w.dues) }

// letGoOn makes the releaseLoop look at once: what waits for a limit may have a place.
func (w *Worker) letGoOn() { look(w.releases) }

// look wakes a loop.
func look(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default: // it is about to look
	}
}

// releaseQuotaWaits lets rows go on that waited for a limit, as many as there are places. It returns whether there may be more, and how
// long it is until there is.
func (w *Worker) releaseQuotaWaits(ctx context.Context) (more bool, next *time.Duration, err error) {
	due, next, err := store.QuotaWaitsDue(ctx, w.pool, waitsBatch)
	if err != nil {
		return false, nil, err
	}
	var failed []error         // of one account, which is no matter of the others
	locked := map[int64]bool{} // the apps of which somebody has locked windows: each account's try would wait for them
	for _, wait := range due {
		released, err := 0, store.ErrRowLocked
		if !locked[wait.AppID] {
			err = w.try(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
				released, err = store.QuotaWaitRelease(ctx, tx, wait)
				return err
			})
		}
		if errors.Is(err, store.ErrRowLocked) { // then it stands in nobody's way
			locked[wait.AppID] = true
			err = store.QuotaWaitPostpone(ctx, w.pool, wait)
		}
		if released > 0 {
			w.goOn()
			more = true // it may have places for more
		}
		failed = append(failed, err)
	}
	return more || len(due) == waitsBatch, next, errors.Join(failed...)
}

// promote promotes what is due, but for rows whose account waits for a limit, and puts last what an account has too much of. It
// returns whether there may be more of any, and how long it is until there is.
func (w *Worker) promote(ctx context.Context) (more bool, next *time.Duration, err error) {
	promotion, failed := store.Promote(ctx, w.pool, promoteBatch)
	if promotion.PutOff > 0 {
		w.holdBack() // a row that is not held is not let go on
	}
	last, err := store.JobsPutLast(ctx, w.pool) // also if that failed
	return promotion.More || last > 0, promotion.Next, errors.Join(failed, err)
}

// holdQuotaWaits makes rows wait that are due, and whose account waits for a limit. It returns whether there may be more.
func (w *Worker) holdQuotaWaits(ctx context.Context) (more bool, next *time.Duration, err error) {
	more, err = store.QuotaWaitsHold(ctx, w.pool, holdBatch)
	return more, nil, err
}

// takeOver takes over the rows of dead workers, those that this one has lost hold of, and what dead workers had
// only fetched.
func (w *Worker) takeOver(ctx context.Context) error {
	// What this worker works on is listed before the statement runs, which is told apart from what it
	// has claimed since by a minute's age: the statement may not come later than that, and try sees to it.
	own, working := w.lease.current(), w.working.list()
	var taken []store.TakenOver
	held := true
	err := w.try(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		taken, err = store.TakeOver(ctx, tx, loopBatch, own, working, w.lookUps.after[0])
		if err != nil || len(taken) == 0 {
			return err
		}
		// Rows that may be on X are not to wait for somebody who has locked the windows of one account.
		if err = store.PlacesProlong(ctx, tx, taken); errors.Is(err, store.ErrRowLocked) {
			held, err = false, nil
		}
		return err
	})
	if err != nil && !errors.As(err, new(*store.CommitError)) {
		return err
	}
	for _, t := range taken {
		event := Event{
			Type: EventUnconfirmed, Kind: t.Kind, RowID: t.RowID,
			Reason: fmt.Sprintf("the worker %s stopped while this was being sent", t.Worker),
		}
		if t.Status == store.Scheduled {
			event.Type, event.WaitingFor = EventWaiting, store.ForRetry
		}
		w.tell(event)
	}
	_, failed := store.TakeOverJobs(ctx, w.pool, loopBatch)
	if !held {
		failed = errors.Join(failed, w.prolong(ctx, taken))
	}
	return errors.Join(err, failed)
}

// prolong holds the places of what was taken over account by account, for somebody has locked the windows of one. What it does not
// come to within prolongWithin is held no longer than it was: for seconds too short, if its request was under way for as long.
func (w *Worker) prolong(ctx context.Context, taken []store.TakenOver) error {
	ctx, cancel := context.WithTimeout(ctx, prolongWithin)
	defer cancel()
	byAccount := map[int64][]store.TakenOver{}
	for _, t := range taken {
		byAccount[t.AccountID] = append(byAccount[t.AccountID], t)
	}
	var failed []error
	for id, ofOne := range byAccount {
		err := w.try(ctx, func(ctx context.Context, tx pgx.Tx) error { return store.PlacesProlong(ctx, tx, ofOne) })
		if err != nil {
			failed = append(failed, fmt.Errorf("hold the places of what a stopped worker was sending for account %d: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// sweep gives jobs to due rows that lost theirs, and ends jobs that have nothing left to do. Where many
// rows are due it looks at a batch of them, and goes on from there the next time.
func (w *Worker) sweep(ctx context.Context) error {
	swept := 0
	for _, kind := range store.Kinds() {
		n, next, err := store.Sweep(ctx, w.pool, kind, w.sweepFrom[kind], sweepBatch)
		if err != nil {
			return err
		}
		swept += n
		w.sweepFrom[kind] = next
	}
	if swept > 0 {
		w.tell(Event{Type: EventError, Err: fmt.Errorf("%d due rows had lost their jobs and have new ones", swept)})
	}
	if _, err := store.QuotaWaitsSweep(ctx, w.pool); err != nil {
		return err
	}
	if err := store.BudgetWaitsSweep(ctx, w.pool); err != nil {
		return err
	}
	if err := store.ReadsForget(ctx, w.pool, sweepBatch); err != nil {
		return err
	}
	_, err := store.CancelDeadJobs(ctx, w.pool, loopBatch)
	return err
}

// wakeLoop wakes what waited for something that is over: at once when this worker has ended a wait, and
// every wakeEvery what others have ended, and what was locked.
func (w *Worker) wakeLoop(ctx context.Context) {
	failing, after := false, int64(0)
	for ctx.Err() == nil {
		woken, err := store.Wake(ctx, w.pool, after, wakeBatch)
		after = woken.After
		if err != nil && !failing && ctx.Err() == nil {
			w.tell(Event{Type: EventError, Err: err})
		}
		failing = err != nil
		if woken.More && err == nil {
			continue
		}
		timer := time.NewTimer(wakeEvery)
		select {
		case <-w.wakes:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// wake makes the wakeLoop look at once.
func (w *Worker) wake() { look(w.wakes) }
