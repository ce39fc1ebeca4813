package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/jobs"
	"tweetqueue/store"
)

type forecastCmd struct {
	Accounts []string `arg:"" optional:"" name:"account" help:"Only these accounts. Without any: all."`
	App      string   `placeholder:"NAME" help:"Only accounts of this app."`
}

// Help is shown by --help.
func (*forecastCmd) Help() string {
	return `It is what will happen if nothing is added or changed, nobody else uses the limits, and X answers: computed on the rows that wait and on copies of the windows and the budgets, by the code that lets them go. The next tweet of a thread goes after the one before it. What a budget has too little for goes when the month ends (UTC). Rows that wait for a person, or for what has no known end, are counted apart. Where accounts share a limit of their app, which of them goes first is not certain; when the last goes is. How late a worker still posts (--max-late) is not known here: what a pause or an outage has made later than that is missed.

What X charges is by the prices in tweetqueue.prices, for the rows alone: not for deletions that follow from delete_after, or for look-ups.

With --json: at (now, by the database's clock), rows, first_at, last_at, missed (whose deadline passes first) and cost_usd in all, and accounts, each with account, app, the same five, limits (name, per, rows that go later than they could without it, last_at), budgets (per, budget_usd, rows that wait for a later month, last_at) and held (for, rows: not counted).

Examples:

    enqueue forecast
    enqueue forecast acme --json`
}

// Run makes a forecast.
func (c *forecastCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) { checkAccounts(env, c.Accounts) })
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		accounts, err := findAccounts(ctx, db.Pool, c.Accounts, c.App)
		if err != nil {
			return err
		}
		var forecast *jobs.Forecast
		err = store.InSnapshot(ctx, db.Pool, func(tx pgx.Tx) (err error) {
			forecast, err = jobs.ForecastRead(ctx, tx, accounts)
			return err
		})
		if err != nil {
			return err
		}
		if forecast.Rows > 0 {
			if _, err := s.warnIfIdle(ctx, db.Pool); err != nil {
				return err
			}
		}
		return s.print(forecast, func(w io.Writer) { writeForecast(w, forecast) })
	})
}

func writeForecast(w io.Writer, f *jobs.Forecast) {
	told := 0
	for i := range f.Accounts {
		account := &f.Accounts[i]
		if account.Rows == 0 && account.Missed == 0 && len(account.Held) == 0 {
			continue
		}
		told++
		zone := zoneOf(store.Entry{TimeZone: account.TimeZone})
		fmt.Fprintf(w, "%s: %s\n", account.Account, outlookWords(&account.Outlook, f.At, zone))
		writeWaits(w, account, zone)
	}
	switch {
	case told == 0:
		fmt.Fprintln(w, "nothing waits")
	case told > 1:
		fmt.Fprintf(w, "in all: %s\n", outlookWords(&f.Outlook, f.At, time.UTC))
	}
}

// writeWaits says what rows of an account wait for.
func writeWaits(w io.Writer, account *jobs.AccountForecast, zone *time.Location) {
	for _, limit := range account.Limits {
		fmt.Fprintf(w, "  %s for the limit %q%s, the last until %s\n", rowsWord(limit.Rows, "waits", "wait"), oneLine(limit.Name, 60),
			map[string]string{"app": " of its app"}[limit.Per], formatShort(limit.Last, zone))
	}
	for _, budget := range account.Budgets {
		fmt.Fprintf(w, "  %s for %s budget of $%s a month, the last until %s\n", rowsWord(budget.Rows, "waits", "wait"),
			map[string]string{"user": "its", "app": "its app's"}[budget.Per], budget.BudgetUSD, formatShort(budget.Last, zone))
	}
	for _, held := range account.Held {
		fmt.Fprintf(w, "  not counted: %s\n", heldWords(held))
	}
}

// outlookWords says when the last of rows goes, and how many never do.
func outlookWords(o *jobs.Outlook, now time.Time, zone *time.Location) string {
	words := "nothing goes by itself"
	if o.Last != nil {
		words = fmt.Sprintf("%s, the last %s, %s; X charges $%s", rowsWord(o.Rows, "goes", "go"), formatShort(*o.Last, zone), formatDistance(*o.Last, now), o.CostUSD)
	}
	if o.Missed > 0 {
		words += fmt.Sprintf("; %s missed: the deadline passes first", rowsWord(o.Missed, "will be", "will be"))
	}
	return words
}

func rowsWord(n int, one, many string) string {
	if n == 1 {
		return "1 row " + one
	}
	return fmt.Sprintf("%d rows %s", n, many)
}

// heldWords says what rows wait for that are not counted.
func heldWords(h jobs.HeldForecast) string {
	switch h.For {
	case string(store.Sending):
		return rowsWord(h.Rows, "is being sent", "are being sent")
	case string(store.Unconfirmed):
		return rowsWord(h.Rows, "is unconfirmed", "are unconfirmed") + ", and may be sent again"
	case string(store.ForAccount):
		return rowsWord(h.Rows, "waits", "wait") + " for the account: see 'enqueue account list'"
	case string(store.ForApp):
		return rowsWord(h.Rows, "waits", "wait") + " for the app: see 'enqueue account list'"
	case string(store.ForThread):
		return rowsWord(h.Rows, "waits", "wait") + " for a tweet before it in its thread, which is not going out"
	case string(store.ForBudget):
		return rowsWord(h.Rows, "costs", "cost") + " more than the budget of a whole month: see 'enqueue budget'"
	}
	return rowsWord(h.Rows, "waits", "wait") + " for " + h.For
}

// dryRun inserts rows of an account in a transaction, asks when they would go, and takes them back.
func (s *session) dryRun(ctx context.Context, pool *pgxpool.Pool, kind store.Kind, d due, insert func(db store.DBTX) (int64, error)) error {
	var forecast *jobs.Forecast
	err := store.TrySnapshot(ctx, pool, func(tx pgx.Tx) error {
		_, err := insert(tx)
		if err != nil {
			return err
		}
		forecast, err = jobs.ForecastRead(ctx, tx, []store.Account{d.account})
		return err
	})
	if err != nil {
		return err
	}
	if _, err := s.warnIfHeld(ctx, pool, d.account); err != nil {
		return err
	}
	return s.print(forecast, func(w io.Writer) {
		fmt.Fprintf(w, "nothing was added; this %s for %s %s\n", kindName(kind), d.account.Username, dryWords(forecast.Own, d))
		for i := range forecast.Accounts { // it is one
			if account := &forecast.Accounts[i]; len(account.Limits)+len(account.Budgets)+len(account.Held) > 0 {
				fmt.Fprintf(w, "with it, of %s:\n", account.Account)
				writeWaits(w, account, d.zone)
			}
		}
		if d.takenBack {
			fmt.Fprintln(w, "what takes it off X later costs more, and is not in this")
		}
	})
}

// dryWords says when what was tried would go.
func dryWords(own *jobs.Outlook, d due) string {
	switch {
	case own == nil:
		return "would wait, and nobody knows for how long"
	case own.Rows == 0:
		return "would be missed: its deadline passes before it can go"
	}
	when := strings.TrimSuffix(formatInstant(*own.Last, d.zone)+", "+formatDistance(*own.Last, d.now), ", now")
	return fmt.Sprintf("would go %s, and cost $%s", when, own.CostUSD)
}
