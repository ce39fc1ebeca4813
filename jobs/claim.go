package jobs

import (
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
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	leaseID := w.lease.current()
	if err := w.lease.check(leaseID); err != nil {
		return nil, nil, err
	}

	var p *plan
	err := store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		ids := make([]int64, len(jobs))
		for i, job := range jobs {
			ids[i] = job.rowID
		}
		rows, err := store.RowsLock(ctx, tx, kind, ids)
		if err != nil {
			return err
		}
		if err := rewakeLocked(ctx, tx, kind, ids, rows); err != nil {
			return err
		}
		quotas, err := store.QuotasLock(ctx, tx, accountsOf(rows), actionsOf(rows)...)
		if err != nil {
			return err
		}
		sendBy := time.Now().Add(sendWithin) // not later than by the database's clock, which is read next
		now, err := store.Clock(ctx, tx)     // after the last lock that is waited for
		if err != nil {
			return err
		}
		p = newPlan(kind, leaseID, sendBy, now, w.maxLate)
		for _, job := range jobs {
			i := slices.IndexFunc(rows, func(row *store.Row) bool { return row.ID == job.rowID })
			if i < 0 {
				continue
			}
			counting := quotas.Of(rows[i].AccountID, rows[i].Action())
			if err := p.probe(ctx, tx, rows[i], counting); err != nil {
				return err
			}
			p.add(rows[i], job.jobID, counting)
		}
		return p.write(ctx, tx, quotas)
	})
	if unknown := new(store.CommitError); errors.As(err, &unknown) {
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
	}
	if len(p.made) > 0 {
		w.wake() // what waited for them
	}
	return p.claims, p.doubts, nil
}

func accountsOf(rows []*store.Row) []int64 {
	accounts := make([]int64, 0, len(rows))
	for _, row := range rows {
		if !slices.Contains(accounts, row.AccountID) {
			accounts = append(accounts, row.AccountID)
		}
	}
	return accounts
}

func actionsOf(rows []*store.Row) []string {
	actions := make([]string, 0, len(rows))
	for _, row := range rows {
		if !slices.Contains(actions, row.Action()) {
			actions = append(actions, row.Action())
		}
	}
	return actions
}

// plan is what one claim is about to do with its rows.
type plan struct {
	kind    store.Kind
	leaseID int64
	sendBy  time.Time // by the monotonic clock, for a row without a deadline
	now     time.Time // the database's, after the locks
	maxLate time.Duration

	claims []claimed
	doubts []doubtful
	waits  []store.Wait
	// quotaWaits are the accounts of the rows among waits that wait for a limit.
	quotaWaits []store.QuotaWait
	closings   []store.Closing
	made       []int64 // X made their tweets already
	early      []int64 // scheduled, and not due yet
	events     []Event
}

func newPlan(kind store.Kind, leaseID int64, sendBy, now time.Time, maxLate time.Duration) *plan {
	return &plan{kind: kind, leaseID: leaseID, sendBy: sendBy, now: now, maxLate: maxLate}
}

// add decides on a row, and takes its places if it is to be sent.
func (p *plan) add(row *store.Row, jobID int64, quotas []*store.Quota) {
	d := decide(row, p.now, quotas, p.maxLate)
	event := Event{Kind: p.kind, RowID: row.ID, JobID: jobID, Account: row.Username, Reason: d.reason}
	switch {
	case d.send:
		latest := p.now.Add(sendWithin)
		request := &store.Request{
			RowID: row.ID, AccountID: row.AccountID, JobID: jobID, Action: row.Action(), Body: d.body,
			Retries: row.Retries, GrantedAt: p.now, SendBy: earlier(latest, row.Tweet.PostBefore),
		}
		for _, q := range quotas {
			q.Take(request.SendBy)
		}
		p.claims = append(p.claims, claimed{
			row: row, request: request, leaseID: p.leaseID, sendBy: p.sendBy.Add(request.SendBy.Sub(latest)),
		})
		event.Type, event.DueAt, event.Lateness = EventDue, row.WakeAt, p.now.Sub(later(row.WakeAt, row.LateFrom))
	case d.wait != "":
		p.waits = append(p.waits, store.Wait{RowID: row.ID, For: d.wait, Until: d.until, Reason: d.reason, Doubt: d.doubt})
		if d.wait == store.ForQuota {
			p.quotaWaits = append(p.quotaWaits, store.QuotaWait{AccountID: row.AccountID, Action: row.Action(), Until: d.until})
		}
		event.Type, event.WaitingFor, event.Until = EventWaiting, d.wait, d.ends
	case d.made:
		p.made = append(p.made, row.ID)
		return // told as what it becomes
	case d.close != "":
		p.closings = append(p.closings, store.Closing{RowID: row.ID, Status: d.close, Reason: d.reason})
		event.Type = EventFailed
		if d.close == store.Missed {
			event.Type = EventMissed
		}
	case row.LookedUp && !row.WakeAt.After(p.now):
		p.doubts = append(p.doubts, doubtful{row: row, jobID: jobID})
		return
	case row.Status == store.Scheduled:
		p.early = append(p.early, row.ID)
		return
	default:
		return // its job has nothing left to do
	}
	p.events = append(p.events, event)
}

// write writes the plan, in the order of store's locks.
func (p *plan) write(ctx context.Context, tx pgx.Tx, quotas store.Quotas) error {
	if len(p.claims) > 0 {
		if err := store.QuotasSave(ctx, tx, quotas); err != nil {
			return err
		}
		requests := make([]*store.Request, len(p.claims))
		for i, claim := range p.claims {
			requests[i] = claim.request
		}
		if err := store.StartRequests(ctx, tx, p.kind, p.leaseID, requests); err != nil {
			return err
		}
		for i := range p.events {
			for _, r := range requests {
				if p.events[i].RowID == r.RowID {
					p.events[i].RequestID = r.ID
				}
			}
		}
	}
	if len(p.waits) > 0 {
		if err := store.WaitRows(ctx, tx, p.kind, p.waits); err != nil {
			return err
		}
		if err := store.QuotaWaitsBegin(ctx, tx, p.quotaWaits); err != nil {
			return err
		}
	}
	if len(p.closings) > 0 {
		if err := store.CloseRows(ctx, tx, p.kind, p.closings); err != nil {
			return err
		}
	}
	if len(p.made) > 0 {
		if err := p.postMade(ctx, tx); err != nil {
			return err
		}
	}
	if len(p.early) > 0 {
		return store.RowsPark(ctx, tx, p.kind, p.early)
	}
	return nil
}

// postMade brings rows whose tweets X made already to their end.
func (p *plan) postMade(ctx context.Context, tx pgx.Tx) error {
	posted, err := store.PostMade(ctx, tx, p.made)
	for _, row := range posted {
		event := Event{
			Type: EventFailed, Kind: p.kind, RowID: row.RowID, RequestID: row.RequestID, Account: row.Account,
			DueAt: row.DueAt, TweetID: value(row.TweetID), Reason: value(row.Error),
		}
		if row.Status == store.Posted {
			event.Type, event.Lateness = EventDone, row.DoneAt.Sub(row.DueAt)
		}
		p.events = append(p.events, event)
	}
	return err
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

// probe takes the one try that a row's app and account have when their hold has ended, if the row would
// be sent now: one that waits for something else must not use it up. A row that does not get it
// finds the hold extended.
func (p *plan) probe(ctx context.Context, tx pgx.Tx, row *store.Row, quotas []*store.Quota) error {
	held := row.App.State != store.Active || row.Account.State != store.Active
	if !held || !decide(row, p.now, quotas, p.maxLate).send {
		return nil
	}
	until := p.now.Add(probeRest)
	if row.App.State != store.Active {
		won, err := store.AppProbe(ctx, tx, row.AppID, probeRest)
		if err != nil {
			return err
		}
		if !won {
			row.App.Until = &until
			return nil
		}
	}
	if row.Account.State != store.Active {
		won, err := store.AccountProbe(ctx, tx, row.AccountID, probeRest)
		if err != nil {
			return err
		}
		if !won {
			row.Account.Until = &until
		}
	}
	return nil
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

// decide reads the row and its windows, all locked, and the clock after the locks, and nothing else.
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
	// The window that frees last decides: before that, at least one has no place.
	until, binding := now, (*store.Quota)(nil)
	for _, q := range quotas {
		if next := q.Next(now); next.After(until) {
			until, binding = next, q
		}
	}
	if binding != nil {
		reason := "no place is left in the limit " + binding.Name
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
