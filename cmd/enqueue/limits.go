package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// limitsCmd are the verbs of limits.
type limitsCmd struct {
	Show    limitsShowCmd    `cmd:"" default:"withargs" help:"Show what is used of the limits of accounts and apps, and when it frees (the default)."`
	Presets limitsPresetsCmd `cmd:"" help:"List the presets, and their windows."`
	Use     limitsUseCmd     `cmd:"" help:"Give accounts the limits of a preset."`
	Set     limitsSetCmd     `cmd:"" help:"Add a window to a preset, which is new with its first, or change one."`
	Remove  limitsRemoveCmd  `cmd:"" help:"Remove a window from a preset."`
}

// Help is shown by --help.
func (*limitsCmd) Help() string {
	return `Examples:

    enqueue limits
    enqueue limits acme                      # the same as 'enqueue limits show acme'
    enqueue limits presets
    enqueue limits use pay-per-use acme
    enqueue limits set careful posts --actions post --maximum 20 --period 1h`
}

type limitsShowCmd struct {
	Accounts []string `arg:"" optional:"" name:"account" help:"Only these accounts, and their apps. Without any: all."`
	App      string   `placeholder:"NAME" help:"Only this app, and its accounts."`
}

// Help is shown by --help.
func (*limitsShowCmd) Help() string {
	return `A limit is a window: so many requests of its actions on any interval of its length, per user or per app. USED is ours, and after a + what others have used, by X's headers. SAYS is who says how many it is: the preset, or X's headers, which outrank it. FREE is when a place is free, and ALL FREE when all that counts now counts no more; now, a time of today, or a day and a time.

With --json: a list of windows, with account (none: the app's), app, name, per (user or app), actions, used, others, maximum, maximum_by (preset or x), configured (absent: only X's headers have told of it), configured_maximum, x_maximum, period, next_at, empty_at (both not before now), blocked_until (X said 429).

Examples:

    enqueue limits show
    enqueue limits show acme
    enqueue limits show --app default --json`
}

// window is the JSON of a window.
type window struct {
	Account           string     `json:"account,omitempty"` // none: it is the app's
	App               string     `json:"app"`
	Name              string     `json:"name"`
	Per               string     `json:"per"` // whose requests count together: user or app
	Actions           []string   `json:"actions"`
	Used              int        `json:"used"`   // places that our requests take
	Others            int        `json:"others"` // places that others have taken, by X's headers
	Maximum           int        `json:"maximum"`
	MaximumBy         string     `json:"maximum_by"`                   // who says so: preset or x
	ConfiguredMaximum int        `json:"configured_maximum,omitempty"` // none: only X's headers have told of it
	XMaximum          int        `json:"x_maximum,omitempty"`          // by X's headers, which may outrank it
	Period            string     `json:"period"`                       // such as 15m
	NextAt            time.Time  `json:"next_at"`                      // when a place is free, not before now
	EmptyAt           time.Time  `json:"empty_at"`                     // when all that counts now counts no more
	BlockedUntil      *time.Time `json:"blocked_until,omitempty"`      // X said 429
}

// Run shows the windows.
func (c *limitsShowCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) { checkAccounts(env, c.Accounts) })
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		accounts, err := findAccounts(ctx, db.Pool, c.Accounts, c.App)
		if err != nil {
			return err
		}
		var apps []string
		if c.App != "" {
			apps = []string{c.App}
		}
		quotas, err := store.QuotasRead(ctx, db.Pool, c.Accounts, apps)
		if err != nil {
			return err
		}
		now, err := store.Clock(ctx, db.Pool)
		if err != nil {
			return err
		}
		windows := make([]window, len(quotas))
		for i := range quotas {
			windows[i] = newWindow(&quotas[i], now)
		}
		return s.print(windows, func(w io.Writer) { limitsTables(w, accounts, windows, now) })
	})
}

// checkAccounts checks usernames that are arguments, and takes the @ off.
func checkAccounts(env *setup.Env, usernames []string) {
	for i, username := range usernames {
		var err error
		if usernames[i], err = parseUsername(username); err != nil {
			env.Errorf("%w", err)
		}
	}
}

// findAccounts returns the accounts of these usernames, or all if there are none; of those, the ones of that app if it
// is not empty. [store.ErrNotFound] if there is no such account.
func findAccounts(ctx context.Context, db store.DBTX, usernames []string, app string) ([]store.Account, error) {
	for _, username := range usernames {
		if _, err := store.AccountGet(ctx, db, username); err != nil {
			return nil, err
		}
	}
	accounts, err := store.AccountList(ctx, db)
	if err != nil {
		return nil, err
	}
	accounts = slices.DeleteFunc(accounts, func(a store.Account) bool {
		named := func(username string) bool { return strings.EqualFold(username, a.Username) }
		return len(usernames) > 0 && !slices.ContainsFunc(usernames, named) || app != "" && a.App != app
	})
	if app != "" && len(accounts) == 0 {
		return nil, fmt.Errorf("no such account of app %q: %w: see 'enqueue account list'", oneLine(app, 60), store.ErrNotFound)
	}
	return accounts, nil
}

func newWindow(q *store.QuotaRead, now time.Time) window {
	w := window{
		Account: q.Account, App: q.App, Name: q.Name, Per: "user", Actions: q.Actions, Maximum: q.Max(), MaximumBy: "preset",
		XMaximum: q.XMaximum, Period: formatPeriod(q.Period), NextAt: q.Next(now), EmptyAt: q.Emptied(now),
	}
	if q.AppID != 0 {
		w.Per = "app"
	}
	if q.Configured {
		w.ConfiguredMaximum = q.Maximum
	}
	if !q.Configured || q.XMaximum == q.Max() {
		w.MaximumBy = "x"
	}
	if q.BlockedUntil != nil && q.BlockedUntil.After(now) {
		w.BlockedUntil = q.BlockedUntil
	}
	w.Used, w.Others = q.Used(now)
	return w
}

func formatPeriod(d time.Duration) string {
	return formatInterval(pgtype.Interval{Microseconds: d.Microseconds(), Valid: true})
}

// limitsTables writes a table for each account, then one for each app.
func limitsTables(w io.Writer, accounts []store.Account, windows []window, now time.Time) {
	if len(windows) == 0 {
		fmt.Fprintln(w, "there are no limits: add an account with 'enqueue account add'")
		return
	}
	separator := ""
	for len(windows) > 0 {
		first, n := windows[0], 1
		for n < len(windows) && windows[n].Account == first.Account && windows[n].App == first.App {
			n++
		}
		zone, heading := time.UTC, fmt.Sprintf("app %q", first.App)
		for i := range accounts {
			if accounts[i].Username == first.Account {
				zone = zoneOf(store.Entry{TimeZone: accounts[i].TimeZone})
				heading = fmt.Sprintf("%s, preset %s", first.Account, accounts[i].LimitsPreset)
			}
		}
		fmt.Fprintf(w, "%s%s; it is %s (%s)\n", separator, heading, formatShort(now, zone), zone)
		limitsTable(w, windows[:n], now, zone)
		windows, separator = windows[n:], "\n"
	}
}

func limitsTable(w io.Writer, windows []window, now time.Time, zone *time.Location) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LIMIT\tOF\tUSED\tMAX\tIN\tSAYS\tFREE\tALL FREE")
	var notes []string
	for i := range windows {
		win := &windows[i]
		used, says := fmt.Sprint(win.Used), "preset"
		if win.Others > 0 {
			used += fmt.Sprintf("+%d", win.Others)
			notes = append(notes, fmt.Sprintf("%s: by X's headers %d are not of this queue", oneLine(win.Name, 40), win.Others))
		}
		if win.MaximumBy == "x" {
			says = "X"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", oneLine(win.Name, 19), oneLine(strings.Join(win.Actions, ", "), 21), used, win.Maximum,
			win.Period, says, formatNear(win.NextAt, now, zone), formatNear(win.EmptyAt, now, zone))
		if win.BlockedUntil != nil {
			notes = append(notes, fmt.Sprintf("%s: X said 429, so nothing goes until %s", oneLine(win.Name, 40), formatShort(*win.BlockedUntil, zone)))
		}
		if win.XMaximum != 0 && win.ConfiguredMaximum != 0 && win.XMaximum != win.ConfiguredMaximum {
			notes = append(notes, fmt.Sprintf("%s: the preset says %d, X's headers say %d", oneLine(win.Name, 40), win.ConfiguredMaximum, win.XMaximum))
		}
	}
	_ = table.Flush() // what is beneath is a buffer
	for _, note := range notes {
		fmt.Fprintln(w, "  "+note)
	}
}

// formatNear writes an instant that is not past: as short as it can be told apart.
func formatNear(t, now time.Time, zone *time.Location) string {
	t, now = t.In(zone), now.In(zone)
	switch {
	case !t.After(now):
		return "now"
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format(time.TimeOnly)
	case t.Year() == now.Year():
		return t.Format("Jan 02 15:04")
	}
	return t.Format(time.DateOnly)
}
