package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tweetqueue/jobs"
	"tweetqueue/store"
)

// standing is what a new row finds. It is read before the row is written, which may go at once, and then takes a place and
// money itself. What waits already is not counted: a forecast counts it.
type standing struct {
	quotas  []store.QuotaRead
	budgets []store.BudgetLine
	prices  store.Prices
}

func standingRead(ctx context.Context, db store.DBTX, account string) (s standing, err error) {
	if s.quotas, err = store.QuotasRead(ctx, db, []string{account}, nil); err != nil {
		return s, err
	}
	if s.budgets, err = store.BudgetList(ctx, db); err != nil {
		return s, err
	}
	s.prices, err = store.PricesRead(ctx, db)
	return s, err
}

// fullLimit returns the limit that has no place for a row when it is due, and when it has one; of several the last. It is empty
// if there is none.
func (s *standing) fullLimit(e store.Entry, now time.Time) (name string, free time.Time) {
	free = now
	if e.DueAt.After(now) {
		free = e.DueAt
	}
	for i := range s.quotas {
		q := &s.quotas[i]
		if at := q.Next(now); slices.Contains(q.Actions, e.Action()) && at.After(free) {
			free, name = at, q.Name
		}
	}
	return name, free
}

// lackOfMoney says which budget has less left than a row costs, in the month that it is due in; empty: none, or that month is to come.
func (s *standing) lackOfMoney(e store.Entry, app string) string {
	price := s.prices.Of(e.Action(), e.Text != nil && jobs.HasURL(*e.Text))
	for _, l := range s.budgets {
		if l.App != app || l.Account != "" && l.Account != e.Account || l.BudgetUSD == nil {
			continue
		}
		of := fmt.Sprintf("account %q", l.Account)
		if l.Account == "" {
			of = fmt.Sprintf("app %q", l.App)
		}
		switch left := max(0, *l.BudgetUSD-l.SpentUSD); {
		case price > *l.BudgetUSD:
			return fmt.Sprintf("it costs $%s, and the whole budget of %s is $%s a month: 'enqueue budget set' raises it", price, of, *l.BudgetUSD)
		case price > left && e.DueAt.Before(l.MonthEnds):
			return fmt.Sprintf("it costs $%s, and the budget of %s has $%s left in this month: see 'enqueue budget'", price, of, left)
		}
	}
	return ""
}
