package jobs

import (
	"context"
	"fmt"
	"time"

	"tweetqueue/store"
)

const (
	promoteBatch  = 1000
	takeOverEvery = time.Second // dead after 12 s, taken over within 15
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

// promoteLoop promotes parked jobs when they are due: at the instant that the last look has found,
// and at every poll, for what was parked since.
func (w *Worker) promoteLoop(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		promoted, next, err := store.Promote(ctx, w.pool, promoteBatch)
		if err != nil && !failing && ctx.Err() == nil {
			w.tell(Event{Type: EventError, Err: err})
		}
		failing = err != nil
		if promoted == promoteBatch {
			continue // there may be more
		}
		wait := w.poll
		if next != nil {
			wait = min(wait, *next)
		}
		pause(ctx, wait)
	}
}

// takeOver takes over the rows of dead workers, those that this one has lost hold of, and what dead workers had
// only fetched.
func (w *Worker) takeOver(ctx context.Context) error {
	// What this worker works on is listed before the statement runs, which is told apart from what it
	// has claimed since by a minute's age: the statement may not come later than that.
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	taken, err := store.TakeOver(ctx, w.pool, loopBatch, w.lease.current(), w.working.list(), w.lookUps.after[0])
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
	if err != nil {
		return err
	}
	_, err = store.TakeOverJobs(ctx, w.pool, loopBatch)
	return err
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
func (w *Worker) wake() {
	select {
	case w.wakes <- struct{}{}:
	default: // it is about to look
	}
}
