package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

const (
	// claimTimeout bounds a claim's transaction.
	claimTimeout = 15 * time.Second
	// sendWithin is how long after its claim a request may start. It takes its places in the quotas for
	// that instant, so the longer it is, the longer they are held. It is far below the lease's 12 s, so
	// that a claim that was overtaken by a freeze is given back, not sent.
	sendWithin = 3 * time.Second
	// lockedDelay is how soon a row is looked at again that someone else has locked.
	lockedDelay = 250 * time.Millisecond
	// probeRest is how long a hold whose end has come is extended while one row tries whether it is
	// over: longer than a request and its settlement take.
	probeRest = time.Minute
	// heldRecheck is when a row is looked at again that waits for an account, an app or a thread. What ends
	// the wait wakes it, and the end of a hold wakes one row that tries; this is the net below.
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

// doubtful is a row whose look-up is due.
type doubtful struct {
	row   *store.Row
	jobID int64
}

// claim decides on the rows of the jobs, in one transaction, and returns those that are to be sent
// now, and those that are to be looked up. Every other row is as it was, or waits, or is over. If the commit's outcome is not known, the
// error is a store.CommitError beside the rows: they are not to be sent, but released.
func (w *Worker) claim(ctx context.Context, kind store.Kind, jobs []wakeUp) ([]claimed, []doubtful, error) {
	leaseID := w.lease.current()
	if err := w.lease.check(leaseID); err != nil {
		return nil, nil, err
	}
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.rowID
	}
	reading, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	owners, err := store.RowsOwners(reading, w.pool, kind, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("claim %s: %w", kind, err)
	}
	leave, err := w.claiming.enter(ctx, owners.AccountIDs)
	if err != nil {
		return nil, nil, fmt.Errorf("claim %s: %w", kind, err)
	}
	defer leave()
	ctx, cancel = context.WithTimeout(ctx, claimTimeout)
	defer cancel()

	var p *plan
	err = store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		quotas, err := store.QuotasLock(ctx, tx, owners.AccountIDs, owners.Actions...)
		if err != nil {
			return err
		}
		sendBy := time.Now().Add(sendWithin)               // not later than by the database's clock, which is read next
		now, lines, err := store.Lines(ctx, tx, kind, ids) // after the last lock that is waited for
		if err != nil {
			return err
		}
		p = newPlan(kind, leaseID, sendBy, now, w.maxLate)
		p.owners, p.quotas, p.lines = owners, quotas, lines
		for _, job := range jobs {
			if err := p.run(ctx, tx, job); err != nil {
				return err
			}
		}
		return p.write(ctx, tx)
	})
	if unknown := new(store.CommitError); errors.As(err, &unknown) {
		p.tellWarnings(w) // if it is noted that they were told, nobody tells them again
		return p.claims, nil, fmt.Errorf("claim %s: %w", kind, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("claim %s: %w", kind, err)
	}
	for i := range p.events {
		w.tell(p.events[i])
	}
	if len(p.quotaWaits) > 0 {
		w.holdBack()
		w.letGoOn()
	}
	if p.parked {
		w.goOn()
	}
	if len(p.made) > 0 {
		w.wake() // what waited for them
	}
	return p.claims, p.doubts, nil
}

// decision is what a claim does with a row: send it, make it wait, close it, take it for posted, or, if it is
// zero, nothing.
type decision struct {
	send   bool
	made   bool // X made its tweet already
	body   []byte
	wait   store.WaitingFor
	until  time.Time  // when the row is looked at again
	ends   *time.Time // when the wait ends, as far as that is known
	doubt  int64      // the tweet that it waits for to be looked up
	close  store.Status
	reason string
}

// usesJob reports whether its job has nothing else to decide: the row is sent, or waits for what the others of its account wait
// for, too.
func (d decision) usesJob() bool {
	return d.send || d.wait != "" && d.wait != store.ForThread && d.wait != store.ForBudget
}

// nothing reports whether the row is not due, or over.
func (d decision) nothing() bool { return !d.send && !d.made && d.wait == "" && d.close == "" }

// decide reads the row, its windows and its budget, all locked, and the clock after the windows' locks, and nothing else.
func decide(row *store.Row, now time.Time, quotas []*store.Quota, maxLate time.Duration) decision {
	if row.Status != store.Scheduled && !store.ClaimAnyStatus || row.WakeAt.After(now) {
		return decision{}
	}
	if isMade(row) {
		return decision{made: true}
	}
	if before := row.Tweet.PostBefore; before != nil && !now.Before(*before) {
		return decision{close: store.Missed, reason: "its deadline passed before it could be posted" + waitedFor(row)}
	}
	if late := lateness(row, now); maxLate > 0 && late > maxLate {
		return decision{close: store.Missed, reason: fmt.Sprintf("it is %s late, and nothing is posted that is more than %s late%s: schedule it again if it is still to go out",
			late.Round(time.Second), maxLate, waitedFor(row))}
	}
	if row.App.Holds(now) {
		return held(store.ForApp, fmt.Sprintf("app %q is %s", row.AppName, row.App.State), row.App, now)
	}
	if row.Account.Holds(now) {
		return held(store.ForAccount, fmt.Sprintf("account %q is %s", row.Username, row.Account.State), row.Account, now)
	}
	if row.AccountDoubt != nil && row.Kind == store.PostTweet {
		return decision{
			wait: store.ForAccount, until: now.Add(heldRecheck), doubt: *row.AccountDoubt,
			reason: fmt.Sprintf("tweet %d of its account may be on X, and is being looked up", *row.AccountDoubt),
		}
	}
	if previous := row.PreviousStatus; previous != nil && *previous != store.Posted {
		return decision{
			wait: store.ForThread, until: now.Add(heldRecheck),
			reason: fmt.Sprintf("the tweet before it (%d) is %s", *row.Tweet.PreviousID, *previous),
		}
	}
	if d := lackOfMoney(row, now); d.wait != "" {
		return d
	}
	until, binding := placeAt(quotas, now)
	if binding != nil {
		reason := "no place was left in the limit " + binding.Name
		if binding.IsShared(now) {
			reason = "one request at a time goes while others use the limit " + binding.Name
		}
		if binding.AppID != 0 {
			reason += " of its app"
		}
		if binding.BlockedUntil != nil && binding.BlockedUntil.Equal(until) {
			reason += ": X said 429"
		}
		return decision{wait: store.ForQuota, until: until, ends: &until, reason: reason}
	}
	switch row.Kind {
	case store.DeleteTweet:
		return decision{send: true}
	case store.Retweet:
		return decision{send: true, body: twitter.RetweetBody(row.TweetID)}
	case store.PostTweet:
	}
	if reason := textProblem(row.Tweet.Text, row.TextLimit); reason != "" {
		return decision{close: store.Failed, reason: reason}
	}
	body, err := postBody(row)
	if err != nil {
		return decision{close: store.Failed, reason: err.Error()}
	}
	return decision{send: true, body: body}
}

// placeAt is when all of the windows have a place, and the one that decides, the last of them; none does if they have
// one now.
func placeAt(windows []*store.Quota, now time.Time) (until time.Time, binding *store.Quota) {
	until = now
	for _, q := range windows {
		if next := q.Next(now); next.After(until) {
			until, binding = next, q
		}
	}
	return until, binding
}

// isMade reports whether X made the row's tweet already, with the words that the row has now.
func isMade(row *store.Row) bool {
	if row.Made == nil || row.Status != store.Scheduled {
		return false
	}
	body, err := postBody(row)
	return err == nil && string(body) == row.Made[1]
}

func held(what store.WaitingFor, reason string, hold store.Hold, now time.Time) decision {
	if hold.Reason != nil {
		reason += ": " + *hold.Reason
	}
	return decision{wait: what, until: now.Add(heldRecheck), ends: hold.Until, reason: reason}
}

// lateness is how late a tweet or a retweet is that has no deadline of its own. To wait for a limit, or for a person
// who schedules it again, is no lateness, and a thread that has begun is brought to its end. A deletion is
// never too late, nor is a retweet that may stand already: it is made sure of.
func lateness(row *store.Row, now time.Time) time.Duration {
	if row.Kind == store.DeleteTweet || (row.Kind == store.Retweet && row.Doubt) || row.Tweet.PostBefore != nil || row.PreviousTweetID != nil {
		return 0
	}
	return now.Sub(row.LateFrom)
}

// waitedFor says what a missed row was last waiting for.
func waitedFor(row *store.Row) string {
	if row.WaitingFor == nil || *row.WaitingFor == store.ForTime {
		return ""
	}
	return fmt.Sprintf(" (it waited for %s)", *row.WaitingFor)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earlier returns the earlier of an instant and a deadline that may be nil.
func earlier(at time.Time, deadline *time.Time) time.Time {
	if deadline != nil && deadline.Before(at) {
		return *deadline
	}
	return at
}
