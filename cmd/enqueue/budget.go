package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// budgetCmd are the budget's verbs.
type budgetCmd struct {
	Show budgetShowCmd `cmd:"" aliases:"list" default:"withargs" help:"Show what accounts and apps have spent in this month, and may spend (the default)."`
	Set  budgetSetCmd  `cmd:"" help:"Say what an account, or an app, may spend in a month."`
}

// Help is shown by --help.
func (*budgetCmd) Help() string {
	return `Examples:

    enqueue budget
    enqueue budget acme                      # the same as 'enqueue budget show acme'
    enqueue budget set acme --monthly 12.50`
}

type budgetShowCmd struct {
	Accounts []string `arg:"" optional:"" name:"account" help:"Only these accounts, and their apps. Without any: all."`
}

// Help is shown by --help.
func (*budgetShowCmd) Help() string {
	return `A month is one of the calendar, in UTC. What is under way counts as spent; X has the last word in its developer console.

With --json: a list of apps and accounts, with app, account (absent: the app's line, with all of its accounts), month, spent_usd, budget_usd (null: none), state, and of the rows that wait for a budget: waiting (all), too_dear (those that cost more than a whole budget), soon (those that a worker looks at again within seconds); month_ends, when the others may go on. Amounts are strings, in dollars.

Examples:

    enqueue budget show
    enqueue budget show acme`
}

// Run shows the budgets.
func (c *budgetShowCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) { checkAccounts(env, c.Accounts) })
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		accounts, err := findAccounts(ctx, db.Pool, c.Accounts, "")
		if err != nil {
			return err
		}
		list, err := store.BudgetList(ctx, db.Pool)
		if err != nil {
			return err
		}
		if len(c.Accounts) > 0 {
			list = slices.DeleteFunc(list, func(l store.BudgetLine) bool {
				return !slices.ContainsFunc(accounts, func(a store.Account) bool {
					return l.Account == a.Username || l.Account == "" && l.App == a.App
				})
			})
		}
		return s.print(append([]store.BudgetLine{}, list...), func(w io.Writer) { budgetTable(w, list) })
	})
}

func budgetTable(w io.Writer, list []store.BudgetLine) {
	if len(list) == 0 {
		fmt.Fprintln(w, "there are no accounts: add one with 'enqueue account add'")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "APP\tACCOUNT\tMONTH\tSPENT\tBUDGET\tLEFT\tSTATE")
	for _, l := range list {
		account, budget, left, state := l.Account, "none", "", string(l.State)
		if account == "" {
			account = "all of them"
		}
		if l.BudgetUSD != nil {
			budget, left = "$"+l.BudgetUSD.String(), "$"+max(0, *l.BudgetUSD-l.SpentUSD).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t$%s\t%s\t%s\t%s\n", l.App, account, l.Month, l.SpentUSD, budget, left, state+budgetWaits(l))
	}
	_ = table.Flush() // what is beneath is a buffer
}

// budgetWaits says what the rows that wait for a budget wait for: each is told of once in a line.
func budgetWaits(l store.BudgetLine) string {
	words := ""
	if l.Soon > 0 {
		words += fmt.Sprintf("; rows that a worker looks at again within seconds: %d", l.Soon)
	}
	if l.Account == "" && l.BudgetUSD == nil { // the others wait for their accounts' budgets, and are told of there
		return words
	}
	if later := l.Waiting - l.Soon - l.TooDear; later > 0 {
		words += fmt.Sprintf("; rows that wait for new money on %s: %d", l.MonthEnds.UTC().Format("2006-01-02 15:04 UTC"), later)
	}
	if l.TooDear > 0 {
		words += fmt.Sprintf("; rows that cost more than a whole budget, and wait until it is raised: %d", l.TooDear)
	}
	return words
}

type budgetSetCmd struct {
	Account string `arg:"" optional:"" name:"username" help:"The account."`
	App     string `placeholder:"NAME" help:"The app, with all of its accounts, instead of an account."`
	Monthly string `placeholder:"USD" xor:"amount" required:"" help:"The most that may be spent in a month, in dollars, such as 12.50."`
	None    bool   `xor:"amount" required:"" help:"Any amount may be spent."`

	amount *store.USD
}

// Help is shown by --help.
func (*budgetSetCmd) Help() string {
	return `A tweet that costs more than is left of a budget waits for the next month, or, if it costs more than the whole budget, until that is raised; a cheaper one goes. A warning comes at 80%. With --monthly 0 nothing goes that costs anything. A budget that is raised or removed lets what waits go on at once. Look-ups of what is in doubt are not held back, and count.

Examples:

    enqueue budget set acme --monthly 12.50
    enqueue budget set --app default --monthly 100
    enqueue budget set acme --none`
}

// Run sets a budget.
func (c *budgetSetCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(c.check)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		if c.App != "" {
			err = store.AppBudgetSet(ctx, db.Pool, c.App, c.amount)
		} else {
			err = store.AccountBudgetSet(ctx, db.Pool, c.Account, c.amount)
		}
		if err != nil {
			return err
		}
		list, err := store.BudgetList(ctx, db.Pool)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(l store.BudgetLine) bool {
			if c.App != "" {
				return l.App != c.App || l.Account != ""
			}
			return !strings.EqualFold(l.Account, c.Account)
		})
		return s.print(append([]store.BudgetLine{}, list...), func(w io.Writer) { budgetTable(w, list) })
	})
}

func (c *budgetSetCmd) check(env *setup.Env) {
	accountOrApp(env, &c.Account, c.App)
	if c.None {
		return
	}
	amount, err := store.ParseUSD(c.Monthly)
	if err != nil {
		env.Errorf("--monthly: %w", err)
	}
	c.amount = &amount
}

// accountOrApp checks that a command was given an account, or with --app an app, and not both. It takes the @ off an account.
func accountOrApp(env *setup.Env, account *string, app string) {
	switch {
	case *account != "" && app != "":
		env.Errorf("give the username of an account, or --app with the name of an app, not both")
	case *account == "" && app == "":
		env.Errorf("give the username of an account, or --app with the name of an app, which is %q unless you have named it", store.DefaultApp)
	case *account != "":
		var err error
		if *account, err = parseUsername(*account); err != nil {
			env.Errorf("%w", err)
		}
	}
}
