package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

type limitsPresetsCmd struct {
	Preset string `arg:"" optional:"" help:"Only this preset."`
}

// Help is shown by --help.
func (*limitsPresetsCmd) Help() string {
	return `guide is the default. The others are X's plans; add your own with 'enqueue limits set'.

Examples:

    enqueue limits presets
    enqueue limits presets guide`
}

// limit is the JSON of a window of a preset.
type limit struct {
	Preset  string   `json:"preset"`
	Name    string   `json:"name"`
	Per     string   `json:"per"` // whose requests count together: user or app
	Actions []string `json:"actions"`
	Maximum int      `json:"maximum"`
	Period  string   `json:"period"`           // such as 15m
	Family  string   `json:"family,omitempty"` // of X's headers that tell of it: endpoint, user_24hour, app_24hour
	Fixed   bool     `json:"fixed,omitempty"`  // X's headers may lower it, and not raise it
}

func newLimit(l store.Limit) limit {
	return limit{
		Preset: l.Preset, Name: l.Name, Per: l.Per, Actions: l.Actions, Maximum: l.Maximum,
		Period: formatPeriod(l.Period), Family: l.Family, Fixed: l.Fixed,
	}
}

// words says in a line what the window is.
func (l *limit) words() string {
	words := fmt.Sprintf("%d of %s in %s, per %s", l.Maximum, strings.Join(l.Actions, ", "), l.Period, l.Per)
	if l.Family != "" {
		words += ", told by X's headers of " + l.Family
	}
	if l.Fixed {
		words += ", which may only lower it"
	}
	return words
}

// Run lists the presets.
func (c *limitsPresetsCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(nil)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		all, err := store.LimitList(ctx, db.Pool)
		if err != nil {
			return err
		}
		limits := []limit{}
		for _, l := range all {
			if c.Preset == "" || l.Preset == c.Preset {
				limits = append(limits, newLimit(l))
			}
		}
		if len(limits) == 0 {
			return fmt.Errorf("preset %q: %w: see 'enqueue limits presets'", oneLine(c.Preset, 60), store.ErrNotFound)
		}
		return s.print(limits, func(w io.Writer) { presetsTable(w, limits) })
	})
}

func presetsTable(w io.Writer, limits []limit) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PRESET\tLIMIT\tOF\tMAX\tIN\tPER\tX'S HEADERS")
	for _, l := range limits {
		family := l.Family
		if l.Fixed {
			family = strings.TrimSpace(family + " (may only lower it)")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", oneLine(l.Preset, 20), oneLine(l.Name, 19), oneLine(strings.Join(l.Actions, ", "), 21), l.Maximum,
			l.Period, l.Per, family)
	}
	_ = table.Flush() // what is beneath is a buffer
}

type limitsUseCmd struct {
	Preset   string   `arg:"" help:"The preset, of 'enqueue limits presets'."`
	Accounts []string `arg:"" name:"account" help:"The accounts."`
}

// Help is shown by --help.
func (*limitsUseCmd) Help() string {
	return `A window that is new, or gets other actions or another period, counts all that was sent in its length, also more than its maximum.

Example:

    enqueue limits use pay-per-use acme`
}

// Run gives accounts a preset: all of them, or none.
func (c *limitsUseCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) { checkAccounts(env, c.Accounts) })
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		err := store.InTx(ctx, db.Pool, func(tx pgx.Tx) error { return store.AccountsLimits(ctx, tx, c.Accounts, c.Preset) })
		if err != nil {
			return err
		}
		accounts, err := findAccounts(ctx, db.Pool, c.Accounts, "")
		if err != nil {
			return err
		}
		apps, err := store.PresetApps(ctx, db.Pool, c.Preset)
		if err != nil {
			return err
		}
		limits, err := store.LimitList(ctx, db.Pool)
		if err != nil {
			return err
		}
		if free := unlimited(limits, c.Preset); len(free) > 0 {
			s.warnf("preset %s has no limit for %s: X's own holds, as far as its headers tell", c.Preset, strings.Join(free, ", "))
		}
		return s.print(accounts, func(w io.Writer) {
			for i := range accounts {
				fmt.Fprintf(w, "%s has the limits of preset %s\n", accounts[i].Username, accounts[i].LimitsPreset)
			}
			tellApps(w, apps)
		})
	})
}

// unlimited are the actions that people ask for and that no window of a preset counts.
func unlimited(limits []store.Limit, preset string) []string {
	return slices.DeleteFunc([]string{"post", "retweet", "delete"}, func(action string) bool {
		return slices.ContainsFunc(limits, func(l store.Limit) bool { return l.Preset == preset && slices.Contains(l.Actions, action) })
	})
}

type limitsSetCmd struct {
	Preset string `arg:"" help:"The preset: one of your own, or a new one."`
	Name   string `arg:"" help:"The window's name, unique in the preset."`

	Actions []string `required:"" placeholder:"ACTION" enum:"post,retweet,undo_retweet,delete,look_up,media" help:"What counts: post, retweet, undo_retweet, delete, look_up or media, or several with commas between, which count together."`
	Maximum int      `required:"" placeholder:"N" help:"So many requests."`
	Period  string   `required:"" placeholder:"DURATION" help:"On any interval of this length, from a minute to 366 days: 15m, 3h, 1d."`
	Per     string   `enum:"user,app" default:"user" help:"Whose requests count together: those of one user, or of all users of an app."`
	Family  string   `enum:"none,endpoint,user_24hour,app_24hour" default:"none" help:"The headers by which X tells of it: none, endpoint (x-rate-limit-...), user_24hour or app_24hour."`
	Fixed   bool     `help:"X's headers may lower it, and not raise it."`
}

// Help is shown by --help.
func (*limitsSetCmd) Help() string {
	return `guide and X's plans stay as they are: make a preset of your own, and give it to accounts.

Accounts that have the preset, and their apps, get the window at once. Give accounts the preset with 'enqueue limits use'.

Examples:

    enqueue limits set careful posts --actions post --maximum 20 --period 1h
    enqueue limits set careful "all writes" --actions post,retweet,delete --maximum 100 --period 1d --per app`
}

// Run writes a window of a preset.
func (c *limitsSetCmd) Run(ctx context.Context, s *session) error {
	var period time.Duration
	settings, err := s.readDatabase(func(env *setup.Env) { period = c.check(env) })
	if err != nil {
		return err
	}
	l := store.Limit{
		Preset: c.Preset, Name: c.Name, Per: c.Per, Actions: unique(c.Actions), Maximum: c.Maximum, Period: period,
		Family: strings.TrimPrefix(c.Family, "none"), Fixed: c.Fixed,
	}
	return s.changePreset(ctx, settings, c.Preset, func(tx pgx.Tx, changed *presetChanged) error {
		all, err := store.LimitList(ctx, tx)
		if err != nil {
			return err
		}
		changed.Limit = new(newLimit(l))
		if i := slices.IndexFunc(all, func(other store.Limit) bool { return other.Preset == l.Preset && other.Name == l.Name }); i >= 0 {
			changed.Was = new(newLimit(all[i]))
		}
		changed.Accounts, err = store.LimitPut(ctx, tx, l)
		return err
	})
}

func (c *limitsSetCmd) check(env *setup.Env) time.Duration {
	if len(c.Actions) == 0 || slices.Contains(c.Actions, "") {
		env.Errorf("--actions is empty: give post, retweet, undo_retweet, delete, look_up or media, or several with commas between")
	}
	for _, named := range []struct{ what, name string }{{"preset", c.Preset}, {"window", c.Name}} {
		if length := utf8.RuneCountInString(named.name); length < 1 || length > 60 || named.name != oneLine(named.name, 60) {
			env.Errorf("%q is no name for a %s: use 1 to 60 characters on one line", oneLine(named.name, 60), named.what)
		}
	}
	if c.Fixed && c.Family == "none" {
		env.Errorf("--fixed is about X's headers: say with --family which tell of it, or leave --fixed out")
	}
	if c.Maximum < 1 || c.Maximum > 1_000_000_000 {
		env.Errorf("--maximum is %d: use 1 to 1000000000", c.Maximum)
	}
	period, err := parseInterval(c.Period)
	if err != nil {
		env.Errorf("--period: %w", err)
	}
	length := time.Duration(period.Microseconds) * time.Microsecond
	switch {
	case err != nil:
	case length < time.Minute:
		env.Errorf("--period is %s: use 1m or more, for a request takes seconds to arrive", c.Period)
	case length > 366*24*time.Hour:
		env.Errorf("--period is %s: use 366d or less", c.Period)
	}
	return length
}

type limitsRemoveCmd struct {
	Preset string `arg:"" help:"The preset."`
	Name   string `arg:"" help:"The window's name."`
}

// Help is shown by --help.
func (*limitsRemoveCmd) Help() string {
	return `Accounts that have the preset, and their apps, lose the window at once. A preset without windows is gone; accounts must have another one by then.

Example:

    enqueue limits remove careful "all writes"`
}

// Run removes a window from a preset.
func (c *limitsRemoveCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(nil)
	if err != nil {
		return err
	}
	return s.changePreset(ctx, settings, c.Preset, func(tx pgx.Tx, changed *presetChanged) (err error) {
		changed.Accounts, changed.Gone, err = store.LimitRemove(ctx, tx, c.Preset, c.Name)
		return err
	})
}

// presetChanged is the JSON of a preset that was changed.
type presetChanged struct {
	Preset   string `json:"preset"`
	Accounts int    `json:"accounts"`        // so many have it
	Gone     bool   `json:"gone,omitempty"`  // its last window was removed
	Limit    *limit `json:"limit,omitempty"` // the window that was set,
	Was      *limit `json:"was,omitempty"`   // and what it was before; absent: it is new
	// Apps have its windows that are per app, for all of their accounts, whatever preset these have.
	Apps []store.PresetApp `json:"apps,omitempty"`
}

// tellApps says for whom the windows of a preset hold that are per app.
func tellApps(w io.Writer, apps []store.PresetApp) {
	for _, app := range apps {
		fmt.Fprintf(w, "its limits per app hold for all accounts of app %s together: %d\n", oneLine(app.App, 60), app.Accounts)
	}
}

// changePreset changes a preset, and the windows of the accounts that have it, and tells how many do.
func (s *session) changePreset(ctx context.Context, settings setup.Settings, preset string, change func(tx pgx.Tx, changed *presetChanged) error) error {
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		changed := presetChanged{Preset: preset}
		err := store.InTx(ctx, db.Pool, func(tx pgx.Tx) (err error) {
			if err := change(tx, &changed); err != nil {
				return err
			}
			changed.Apps, err = store.PresetApps(ctx, tx, preset)
			return err
		})
		if err != nil {
			return err
		}
		return s.print(changed, func(w io.Writer) {
			if changed.Gone {
				fmt.Fprintf(w, "preset %s is gone with its last window\n", oneLine(preset, 60))
				return
			}
			fmt.Fprintf(w, "preset %s is saved; accounts that have it: %d\n", oneLine(preset, 60), changed.Accounts)
			if l := changed.Limit; l != nil {
				fmt.Fprintf(w, "  %s: %s\n", oneLine(l.Name, 60), l.words())
				if changed.Was != nil {
					fmt.Fprintf(w, "  before: %s\n", changed.Was.words())
				}
			}
			tellApps(w, changed.Apps)
		})
	})
}
