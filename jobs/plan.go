package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
)

// plan is what one claim is about to do with its rows.
type plan struct {
	kind    store.Kind
	leaseID int64
	sendBy  time.Time // by the monotonic clock, for a row without a deadline
	now     time.Time // the database's, after the locks
	maxLate time.Duration
	owners  store.Owners // of which all windows are locked
	quotas  store.Quotas
	lines   map[int64]store.Line
	decided map[int64]bool // rows

	claims []claimed
	doubts []doubtful
	waits  []store.Wait
	// quotaWaits are the accounts of the rows among waits that wait for a limit, and those whose place goes to another row.
	quotaWaits []store.QuotaWait
	budgets    spending
	closings   []store.Closing
	made       []int64 // X made their tweets already
	early      []int64 // scheduled, and not due yet, or left without a job
	swaps      []store.Swap
	parked     bool    // a job is to be promoted at an instant that the promoter may not know
	freed      []int64 // taken, while the job's own row is over, or waits
	events     []Event
}

func newPlan(kind store.Kind, leaseID int64, sendBy, now time.Time, maxLate time.Duration) *plan {
	return &plan{kind: kind, leaseID: leaseID, sendBy: sendBy, now: now, maxLate: maxLate, decided: map[int64]bool{}}
}

// run decides what a job does. A row of its account that is due and goes before its own is sent instead of it: that
// one's job comes to it. What waits for a limit and goes before it makes it wait, too.
func (p *plan) run(ctx context.Context, tx pgx.Tx, job wakeUp) error {
	line := p.lines[job.rowID]
	if len(p.quotas) == 0 { // nothing is limited, so claims are decided side by side
		line.Due, line.Waiting = nil, nil
	}
	var ownLocked, passed bool // passed: a row that the job may have been meant for
	for _, turn := range line.Next() {
		if turn.RowID == 0 {
			continue
		}
		own := turn.RowID == job.rowID
		meant := own == line.OwnDue // the job is for its own row if that is due, and for another's if not
		if p.decided[turn.RowID] {
			passed = passed || meant
			continue
		}
		row, err := p.lock(ctx, tx, turn.RowID)
		if err != nil {
			return err
		}
		if row == nil {
			ownLocked, passed = ownLocked || own, passed || meant
			continue
		}
		d, err := p.decide(ctx, tx, row, turn, line.Waiting)
		if err != nil {
			return err
		}
		if !own && line.OwnDue && d.usesJob() && !d.send {
			continue // its own waits for the same
		}
		p.add(row, job.jobID, d)
		switch {
		case d.nothing(): // since it was read, it has been held, or edited
			passed = passed || meant
		case d.wait != "": // and it takes its parked job along
			passed = passed || meant && !own
		}
		switch {
		case own || !d.usesJob():
		case line.OwnDue:
			if line.OwnOnly {
				p.early = append(p.early, job.rowID)
			}
			p.swaps = append(p.swaps, store.Swap{Taken: row.ID, Left: job.rowID})
		default:
			p.freed = append(p.freed, row.ID)
		}
		if d.usesJob() {
			return nil
		}
	}
	switch {
	case ownLocked && (line.OwnDue || line.LookUp):
		p.parked = true
		_, err := store.RowsRewake(ctx, tx, p.kind, []int64{job.rowID}, lockedDelay)
		return err
	case passed:
		// Another job may have taken this one's row, and left one to this that it has not seen: which, nobody knows.
		return store.JobAgain(ctx, tx, p.kind, job.rowID, lockedDelay)
	}
	return nil
}

// lock locks a row and the budgets that hold for it. It is nil if somebody has locked the row, such as an application
// that edits it, or has made it another account's, or another action, since it was read which windows to lock.
func (p *plan) lock(ctx context.Context, tx pgx.Tx, id int64) (*store.Row, error) {
	rows, err := store.RowsLock(ctx, tx, p.kind, []int64{id})
	if err != nil || len(rows) == 0 || !p.owners.Cover(rows[0]) {
		return nil, err
	}
	return rows[0], p.budgets.lock(ctx, tx, rows[0], p.now)
}

// decide decides on a row, after it has taken the one try of a hold that has ended, if the row would be
// the one. A row that was not let go on waits for its turn behind the first that waits for a limit.
func (p *plan) decide(ctx context.Context, tx pgx.Tx, row *store.Row, turn store.Turn, waiting *store.Turn) (decision, error) {
	if err := p.probe(ctx, tx, row); err != nil {
		return decision{}, err
	}
	d := decide(row, p.now, p.counting(row), p.maxLate)
	if d.send && !row.Released && waiting != nil && waiting.Before(turn) {
		return decision{wait: store.ForQuota, until: p.now, reason: "others of its account go first"}, nil
	}
	return d, nil
}

// counting are the windows that count a row's request.
func (p *plan) counting(row *store.Row) []*store.Quota {
	return p.quotas.Of(row.AccountID, row.Action())
}

// add adds what is to become of a row, and takes its places if it is to be sent.
func (p *plan) add(row *store.Row, jobID int64, d decision) {
	p.decided[row.ID] = true
	event := Event{Kind: p.kind, RowID: row.ID, JobID: jobID, Account: row.Username, Reason: d.reason}
	if row.Released && !d.send && d.wait != store.ForQuota { // the place that it was let go on for is another's
		p.quotaWaits = append(p.quotaWaits, store.QuotaWait{AccountID: row.AccountID, Action: row.Action(), Until: p.now})
	}
	switch {
	case d.send:
		latest := p.now.Add(sendWithin)
		request := &store.Request{
			RowID: row.ID, AccountID: row.AccountID, JobID: jobID, Action: row.Action(), HasURL: hasURL(row), Body: d.body,
			Retries: row.Retries, GrantedAt: p.now, SendBy: earlier(latest, row.Tweet.PostBefore),
		}
		for _, q := range p.counting(row) {
			q.Take(request.SendBy)
		}
		p.spend(row, event)
		p.claims = append(p.claims, claimed{
			row: row, request: request, leaseID: p.leaseID, sendBy: p.sendBy.Add(request.SendBy.Sub(latest)),
		})
		event.Type, event.DueAt, event.Lateness = EventDue, row.WakeAt, p.now.Sub(later(row.WakeAt, row.LateFrom))
	case d.wait != "":
		p.waits = append(p.waits, store.Wait{RowID: row.ID, For: d.wait, Until: d.until, Reason: d.reason, Doubt: d.doubt})
		if d.wait == store.ForQuota {
			p.quotaWaits = append(p.quotaWaits, store.QuotaWait{AccountID: row.AccountID, Action: row.Action(), Until: d.until})
		}
		if d.wait == store.ForBudget {
			p.waitForBudget(row, event)
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
func (p *plan) write(ctx context.Context, tx pgx.Tx) error {
	if err := store.QuotaWaitsBegin(ctx, tx, p.quotaWaits); err != nil {
		return err
	}
	if len(p.claims) > 0 {
		if err := store.QuotasSave(ctx, tx, p.quotas); err != nil {
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
	if err := store.FreeJobs(ctx, tx, p.freed); err != nil {
		return err
	}
	if len(p.waits) > 0 {
		if err := store.WaitRows(ctx, tx, p.kind, p.waits); err != nil {
			return err
		}
	}
	if err := p.budgets.write(ctx, tx, p.kind, p.now); err != nil {
		return err
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
		if err := store.RowsPark(ctx, tx, p.kind, p.early); err != nil {
			return err
		}
	}
	parked, err := store.SwapJobs(ctx, tx, p.swaps)
	p.parked = p.parked || parked > 0 || len(p.early) > 0
	return err
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

// probe takes the one try that a row's app and account have when their hold has ended, if the row would
// be sent now: one that waits for something else must not use it up. A row that does not get it
// finds the hold extended.
func (p *plan) probe(ctx context.Context, tx pgx.Tx, row *store.Row) error {
	held := row.App.State != store.Active || row.Account.State != store.Active
	if !held || !decide(row, p.now, p.counting(row), p.maxLate).send {
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
