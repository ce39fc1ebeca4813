package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// HasURL reports whether X makes a link of something in a text, also of a bare host such as example.ai, and so charges
// more for the tweet (X's documents: pricing): see [store.Prices.Of].
func HasURL(text string) bool { return len(twitter.ParseTweet(text).URLs) > 0 }

// hasURL is HasURL of a row of any kind.
func hasURL(row *store.Row) bool { return row.Kind == store.PostTweet && HasURL(row.Tweet.Text) }

// waitLong is how far away the instant is at which a row that waits for a budget would wake by itself.
const waitLong = 100 * 365 * 24 * time.Hour

// lackOfMoney is the decision on a row that costs more than is left of a budget; zero if none is short.
func lackOfMoney(row *store.Row, now time.Time) decision {
	if len(row.Budgets.Of) == 0 {
		return decision{}
	}
	price := row.Budgets.Prices.Of(row.Action(), hasURL(row))
	short := row.Budgets.Lacking(price)
	if short == nil {
		return decision{}
	}
	for _, b := range row.Budgets.Of {
		if b.Limit < price {
			return decision{
				wait: store.ForBudget, until: now.Add(waitLong),
				reason: fmt.Sprintf("it costs $%s, and the whole budget of %s is $%s a month: 'enqueue budget set' raises it", price, ofWhom(b), b.Limit),
			}
		}
	}
	ends := short.Month.AddDate(0, 1, 0)
	return decision{
		wait: store.ForBudget, until: now.Add(waitLong), ends: &ends,
		reason: fmt.Sprintf("it costs $%s, and the budget of %s has $%s left of $%s for %s: 'enqueue budget set' raises it",
			price, ofWhom(short), short.Left(), short.Limit, short.Month.Format("January 2006")),
	}
}

func ofWhom(b *store.Budget) string {
	if b.AppID != 0 {
		return fmt.Sprintf("app %q", b.Name)
	}
	return fmt.Sprintf("account %q", b.Name)
}

// spending is what a claim does with budgets, beside what [store.StartRequests] writes.
type spending struct {
	budgets map[int64]store.Budgets // locked, by account
	told    []*store.Budget
	waits   []store.BudgetWait
}

// lock locks the budgets that hold for a row, and sets them. Mostly there are none: then it does nothing. A claim is of one
// account, so that they are locked in the order of store's locks.
func (s *spending) lock(ctx context.Context, tx pgx.Tx, row *store.Row, now time.Time) error {
	if !row.Budgeted {
		return nil
	}
	if _, locked := s.budgets[row.AccountID]; !locked {
		budgets, err := store.BudgetsLock(ctx, tx, []int64{row.AccountID}, now)
		if err != nil {
			return err
		}
		if s.budgets == nil {
			s.budgets = map[int64]store.Budgets{}
		}
		maps.Copy(s.budgets, budgets)
	}
	row.Budgets = s.budgets[row.AccountID]
	return nil
}

// spend takes what a row's request costs from its budgets, and warns of those of which most is spent.
func (p *plan) spend(row *store.Row, about Event) {
	for _, b := range row.Budgets.Of {
		b.Take(row.Budgets.Prices.Of(row.Action(), hasURL(row)))
		p.warn(b, false, about)
	}
}

// waitForBudget notes that a row waits for a budget, and tells it of the first.
func (p *plan) waitForBudget(row *store.Row, about Event) {
	p.budgets.waits = append(p.budgets.waits, store.BudgetWait{RowID: row.ID, AccountID: row.AccountID, HasURL: hasURL(row)})
	price := row.Budgets.Prices.Of(row.Action(), hasURL(row))
	if b := row.Budgets.Lacking(price); b != nil && price <= b.Limit { // what is too dear for all of it says nothing of the rest
		p.warn(b, true, about)
	}
}

// warn tells a person once a month.
func (p *plan) warn(b *store.Budget, waits bool, about Event) {
	if !b.Warns(waits) {
		return
	}
	ends := b.Month.AddDate(0, 1, 0)
	warning := Event{Type: EventBudget, Account: about.Account}
	warning.Reason = fmt.Sprintf("%s has spent $%s of its budget of $%s for %s", ofWhom(b), b.Spent, b.Limit, b.Month.Format("January 2006"))
	if waits {
		warning.WaitingFor, warning.Until = store.ForBudget, &ends
		warning.Reason += ": what costs more than is left waits until the month ends, or 'enqueue budget set' raises it"
	}
	p.budgets.told = append(p.budgets.told, b)
	p.events = append(p.events, warning)
}

// tellWarnings tells of budgets, and of nothing else.
func (p *plan) tellWarnings(w *Worker) {
	for i := range p.events {
		if p.events[i].Type == EventBudget {
			w.tell(p.events[i])
		}
	}
}

// write writes it, after the rows' waits.
func (s *spending) write(ctx context.Context, tx pgx.Tx, kind store.Kind, now time.Time) error {
	if err := store.BudgetsTold(ctx, tx, s.told); err != nil {
		return err
	}
	return store.BudgetWaitsBegin(ctx, tx, kind, now, s.waits)
}

// releaseBudgets lets rows go on that waited for a budget that has money again, until there is none. An account for which that
// fails holds up no other.
func (w *Worker) releaseBudgets(ctx context.Context) error {
	for {
		due, err := store.BudgetWaitsDue(ctx, w.pool, waitsBatch)
		failures, released := []error{err}, 0
		for _, account := range due {
			failures = append(failures, w.try(ctx, func(ctx context.Context, tx pgx.Tx) error {
				n, err := store.BudgetWaitRelease(ctx, tx, account, waitsBatch)
				released += n
				return err
			}))
		}
		if err := errors.Join(failures...); err != nil || released == 0 {
			return err
		}
	}
}
