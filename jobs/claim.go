package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
)

const (
	// claimTimeout bounds a claim's transaction.
	claimTimeout = 15 * time.Second
	// sendWithin is how long after its claim a request may start. It is far below the lease's 12 s,
	// so that a claim that was overtaken by a freeze is given back, not sent.
	sendWithin = 8 * time.Second
	// lockedDelay is how soon a row is looked at again that someone else has locked.
	lockedDelay = 250 * time.Millisecond
	// heldRecheck is when a row is looked at again whose wait has no known end. What ends the wait
	// wakes it; this is the net below.
	heldRecheck = 24 * time.Hour
)

// wakeUp is a River job for a row.
type wakeUp struct{ jobID, rowID int64 }

// claimed is a row that is to be sent, with its request.
type claimed struct {
	row     *store.Row
	request *store.Request
	leaseID int64
	sendBy  time.Time // by this machine's monotonic clock
}

// claim decides on the rows of the jobs, in one transaction, and returns those that are to be sent
// now. Every other row is as it was, or waits, or is over. If the commit's outcome is not known, the
// error is a store.CommitError beside the rows: they are not to be sent, but released.
func (w *Worker) claim(ctx context.Context, kind store.Kind, jobs []wakeUp) ([]claimed, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	leaseID := w.lease.current()
	if err := w.lease.check(leaseID); err != nil {
		return nil, err
	}
	sendBy := time.Now().Add(sendWithin)

	var claims []claimed
	var events []Event
	err := store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		claims, events = nil, nil
		ids := make([]int64, len(jobs))
		jobOf := make(map[int64]int64, len(jobs))
		for i, job := range jobs {
			ids[i] = job.rowID
			jobOf[job.rowID] = job.jobID
		}
		rows, err := store.RowsLock(ctx, tx, kind, ids)
		if err != nil {
			return err
		}
		if err := rewakeLocked(ctx, tx, kind, ids, rows); err != nil {
			return err
		}
		accounts := make([]int64, 0, len(rows))
		for _, row := range rows {
			if !slices.Contains(accounts, row.AccountID) {
				accounts = append(accounts, row.AccountID)
			}
		}
		quotas, err := store.QuotasLock(ctx, tx, kind, accounts)
		if err != nil {
			return err
		}
		now, err := store.Clock(ctx, tx) // after the last lock
		if err != nil {
			return err
		}

		var waits []store.Wait
		var closings []store.Closing
		var requests []*store.Request
		for _, row := range rows {
			d := decide(row, now, quotas[row.AccountID])
			event := Event{Kind: kind, RowID: row.ID, JobID: jobOf[row.ID], Account: row.Username, Reason: d.reason}
			switch {
			case d.send:
				for _, q := range quotas[row.AccountID] {
					q.Take(now)
				}
				request := &store.Request{
					RowID: row.ID, AccountID: row.AccountID, JobID: jobOf[row.ID], Body: d.body,
					GrantedAt: now, SendBy: earlier(now.Add(sendWithin), row.Tweet.PostBefore),
				}
				requests = append(requests, request)
				claims = append(claims, claimed{
					row: row, request: request, leaseID: leaseID,
					sendBy: sendBy.Add(request.SendBy.Sub(now.Add(sendWithin))),
				})
				event.Type, event.DueAt, event.Lateness = EventDue, row.WakeAt, now.Sub(row.WakeAt)
			case d.wait != "":
				waits = append(waits, store.Wait{RowID: row.ID, For: d.wait, Until: d.until, Reason: d.reason})
				event.Type, event.WaitingFor, event.Until = EventWaiting, d.wait, &d.until
			case d.close != "":
				closings = append(closings, store.Closing{RowID: row.ID, Status: d.close, Reason: d.reason})
				event.Type = EventFailed
				if d.close == store.Missed {
					event.Type = EventMissed
				}
			default:
				continue // it is not due, or not scheduled: its job has done its work
			}
			events = append(events, event)
		}
		if len(requests) > 0 {
			if err := store.QuotasSave(ctx, tx, quotas); err != nil {
				return err
			}
			if err := store.StartRequests(ctx, tx, kind, leaseID, requests); err != nil {
				return err
			}
		}
		if len(waits) > 0 {
			if err := store.WaitRows(ctx, tx, kind, waits); err != nil {
				return err
			}
		}
		if len(closings) > 0 {
			return store.CloseRows(ctx, tx, kind, closings)
		}
		return nil
	})
	if unknown := new(store.CommitError); errors.As(err, &unknown) {
		return claims, fmt.Errorf("claim %s: %w", kind, err)
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", kind, err)
	}
	for _, claim := range claims {
		i := slices.IndexFunc(events, func(e Event) bool { return e.RowID == claim.row.ID })
		events[i].RequestID = claim.request.ID
	}
	for _, event := range events {
		w.tell(event)
	}
	return claims, nil
}

// rewakeLocked parks another job for each row that could not be locked because another
// transaction, such as an application's edit, holds it.
func rewakeLocked(ctx context.Context, tx pgx.Tx, kind store.Kind, ids []int64, rows []*store.Row) error {
	var locked []int64
	for _, id := range ids {
		if !slices.ContainsFunc(rows, func(row *store.Row) bool { return row.ID == id }) {
			locked = append(locked, id)
		}
	}
	if len(locked) == 0 {
		return nil
	}
	_, err := store.RowsRewake(ctx, tx, kind, locked, lockedDelay)
	return err
}

// decision is what a claim does with a row: send it, make it wait, close it, or, if it is zero,
// nothing.
type decision struct {
	send   bool
	body   []byte
	wait   store.WaitingFor
	until  time.Time
	close  store.Status
	reason string
}

// decide reads the row and its windows, all locked, and the clock after the locks, and nothing else.
func decide(row *store.Row, now time.Time, quotas []*store.Quota) decision {
	if row.Status != store.Scheduled || row.WakeAt.After(now) {
		return decision{}
	}
	if before := row.Tweet.PostBefore; before != nil && !now.Before(*before) {
		return decision{close: store.Missed, reason: "its deadline passed before it could be posted" + waitedFor(row)}
	}
	if row.App.Holds(now) {
		return held(store.ForApp, fmt.Sprintf("app %q is %s", row.AppName, row.App.State), row.App, now)
	}
	if row.Account.Holds(now) {
		return held(store.ForAccount, fmt.Sprintf("account %q is %s", row.Username, row.Account.State), row.Account, now)
	}
	if previous := row.PreviousStatus; previous != nil && *previous != store.Posted {
		return decision{
			wait: store.ForThread, until: now.Add(heldRecheck),
			reason: fmt.Sprintf("the tweet before it (%d) is %s", *row.Tweet.PreviousID, *previous),
		}
	}
	// The window that frees last decides: before that, at least one has no place.
	until, binding := now, (*store.Quota)(nil)
	for _, q := range quotas {
		if next := q.Next(now); next.After(until) {
			until, binding = next, q
		}
	}
	if binding != nil {
		return decision{wait: store.ForQuota, until: until, reason: "no place is left in the limit " + binding.Name}
	}
	if row.Kind == store.DeleteTweet {
		return decision{send: true}
	}
	body, err := postBody(row)
	if err != nil {
		return decision{close: store.Failed, reason: err.Error()}
	}
	return decision{send: true, body: body}
}

func held(what store.WaitingFor, reason string, hold store.Hold, now time.Time) decision {
	if hold.Reason != nil {
		reason += ": " + *hold.Reason
	}
	until := now.Add(heldRecheck)
	if hold.Until != nil {
		until = *hold.Until
	}
	return decision{wait: what, until: until, reason: reason}
}

// waitedFor says what a missed row was last waiting for.
func waitedFor(row *store.Row) string {
	if row.WaitingFor == nil || *row.WaitingFor == store.ForTime {
		return ""
	}
	return fmt.Sprintf(" (it waited for %s)", *row.WaitingFor)
}

// earlier returns the earlier of an instant and a deadline that may be nil.
func earlier(at time.Time, deadline *time.Time) time.Time {
	if deadline != nil && deadline.Before(at) {
		return *deadline
	}
	return at
}
