package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

type listCmd struct {
	Account string   `placeholder:"USERNAME" help:"Only rows of this account."`
	Status  []string `placeholder:"STATUS" enum:"scheduled,sending,unconfirmed,posted,deleted,retweeted,failed,missed,cancelled,all" help:"Only rows with this status, or several with commas between, or all. Without it: what waits, which is scheduled, sending and unconfirmed."`
	Limit   int      `default:"100" help:"Show at most so many rows, those that are due first."`
}

// Help is shown by --help.
func (*listCmd) Help() string {
	return `Examples:

    enqueue list
    enqueue list --account acme --status failed,missed,unconfirmed
    enqueue list --status missed`
}

// Run lists rows.
func (c *listCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) {
		if c.Limit < 1 || c.Limit > 100_000 {
			env.Errorf("--limit is %d: use 1 to 100000", c.Limit)
		}
		if c.Account == "" {
			return
		}
		var err error
		if c.Account, err = parseUsername(c.Account); err != nil {
			env.Errorf("--account: %w", err)
		}
	})
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		filter := store.EntryFilter{Account: c.Account, Statuses: c.statuses(), Limit: c.Limit + 1}
		if filter.Account != "" { // an account that does not exist has no rows; better to say so
			if _, err := store.AccountGet(ctx, db.Pool, filter.Account); err != nil {
				return err
			}
		}
		list, err := store.EntryList(ctx, db.Pool, filter)
		if err != nil {
			return err
		}
		if len(list) > c.Limit {
			list = list[:c.Limit]
			which := "are due first"
			if filter.LatestFirst() {
				which = "were due last"
			}
			s.warnf("there are more: these are the %d that %s, --limit shows more", c.Limit, which)
		}
		if err := store.DeletionsRead(ctx, db.Pool, list); err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(e store.Entry) bool { return !e.Status.Final() }) {
			if _, err := s.warnIfIdle(ctx, db.Pool); err != nil {
				return err
			}
		}
		now, err := store.Clock(ctx, db.Pool)
		if err != nil {
			return err
		}
		return s.print(append([]store.Entry{}, list...), func(w io.Writer) { c.table(w, list, now) })
	})
}

func (c *listCmd) statuses() []store.Status {
	if slices.Contains(c.Status, "all") {
		return []store.Status{
			store.Scheduled, store.Sending, store.Unconfirmed, store.Posted, store.Deleted, store.Retweeted,
			store.Failed, store.Missed, store.Cancelled,
		}
	}
	var statuses []store.Status // empty: what waits
	for _, status := range c.Status {
		statuses = append(statuses, store.Status(status))
	}
	return statuses
}

func (c *listCmd) table(w io.Writer, list []store.Entry, now time.Time) {
	if len(list) == 0 {
		what, whose := "nothing waits", ""
		if len(c.Status) > 0 {
			what = "no row is " + strings.Join(c.Status, " or ")
		}
		if slices.Contains(c.Status, "all") {
			what = "there are no rows"
		}
		if c.Account != "" {
			whose = " of " + c.Account
		}
		fmt.Fprintln(w, what+whose)
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tACCOUNT\tDUE\tSTATUS\tWHY\tWHAT")
	for _, e := range list {
		what := "tweet " + value(e.TweetID)
		switch {
		case e.Text != nil:
			what = oneLine(*e.Text, 40)
		case e.Retweet:
			what = "retweet of " + what
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, kindName(e.Kind), e.Account,
			formatShort(e.DueAt, zoneOf(e)), e.Status, why(e, now), what)
	}
	_ = table.Flush() // what is beneath is a buffer
}

// why says what a row waits for and until when, or what became of it.
func why(e store.Entry, now time.Time) string {
	var parts []string
	if e.WaitingFor != nil {
		part := "waits for " + string(*e.WaitingFor)
		if *e.WaitingFor == store.ForTime {
			part = "waits for its time"
			if !e.DueAt.After(now) {
				part = "due, waits for a worker"
			}
		}
		if e.NextAttemptAt != nil {
			part += " until " + formatShort(*e.NextAttemptAt, zoneOf(e))
		}
		parts = append(parts, part)
	}
	if e.Status == store.Unconfirmed {
		part := fmt.Sprintf("you decide, see 'enqueue show %d'", e.ID)
		if e.NextAttemptAt != nil {
			part = "next look-up on X at " + formatShort(*e.NextAttemptAt, zoneOf(e))
		}
		parts = append(parts, part)
	}
	if e.DoneAt != nil {
		parts = append(parts, formatShort(*e.DoneAt, zoneOf(e)))
	}
	if e.Deletion != nil {
		parts = append(parts, goneSince(e))
	}
	if e.Error != nil {
		parts = append(parts, oneLine(*e.Error, 120))
	}
	if len(e.Warnings) > 0 {
		parts = append(parts, oneLine(e.Warnings[0], 60))
	}
	return strings.Join(parts, ": ")
}

// goneSince says since when a tweet is deleted, or a retweet undone, and by which row.
func goneSince(e store.Entry) string {
	gone := "deleted"
	if e.Kind == store.Retweet {
		gone = "undone"
	}
	return fmt.Sprintf("%s since %s (deletion %d)", gone, formatShort(e.Deletion.DeletedAt, zoneOf(e)), e.Deletion.ID)
}

// zoneOf returns the zone of a row's account. One that only the database knows is shown as UTC.
func zoneOf(e store.Entry) *time.Location {
	zone, err := loadZone(e.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type cancelCmd struct {
	IDs []rowID `arg:"" name:"id" help:"Ids of rows, as 'enqueue list' shows them."`
}

// Help is shown by --help.
func (*cancelCmd) Help() string {
	return `Only a scheduled row can be cancelled. Of several rows, those that can be are. What continues the thread of a cancelled tweet waits until that is posted after all.

Example:

    enqueue cancel 42 43`
}

// Run cancels rows.
func (c *cancelCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(nil)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		cancelled := []store.Entry{}
		var errs []error
		for _, id := range unique(c.IDs) {
			entry, err := store.Cancel(ctx, db.Pool, int64(id))
			if err != nil {
				errs = append(errs, notCancelled(err, entry))
				continue
			}
			cancelled = append(cancelled, entry)
		}
		errs = append(errs, s.print(cancelled, func(w io.Writer) {
			for _, e := range cancelled {
				fmt.Fprintf(w, "cancelled %s %d for %s, which was due %s\n", kindName(e.Kind), e.ID, e.Account, formatInstant(e.DueAt, zoneOf(e)))
			}
		}))
		for _, e := range cancelled {
			errs = append(errs, s.warnOfNext(ctx, db.Pool, e))
		}
		return errors.Join(errs...)
	})
}

// unique returns the values in their order, each once.
func unique[T comparable](values []T) []T {
	var once []T
	for _, value := range values {
		if !slices.Contains(once, value) {
			once = append(once, value)
		}
	}
	return once
}

// notCancelled says in plain words that a row is past being cancelled.
func notCancelled(err error, entry store.Entry) error {
	if !errors.Is(err, store.ErrLostRace) {
		return err
	}
	next := ""
	if entry.Status == store.Unconfirmed {
		next = fmt.Sprintf("; it may be on X: look there, and say what you see with 'enqueue resolve %d'", entry.ID)
	}
	if entry.Status == store.Posted {
		next = fmt.Sprintf("; 'enqueue delete --account %s %s' takes it off X", entry.Account, value(entry.TweetID))
	}
	if entry.Status == store.Retweeted {
		next = fmt.Sprintf("; 'enqueue delete --account %s --retweet %s' undoes it", entry.Account, value(entry.TweetID))
	}
	return fmt.Errorf("%w: %s %d is %s, and only a scheduled one can be cancelled%s", store.ErrRefused, kindName(entry.Kind), entry.ID, entry.Status, next)
}

// warnOfNext warns of the tweets that wait for a cancelled one.
func (s *session) warnOfNext(ctx context.Context, db store.DBTX, cancelled store.Entry) error {
	if cancelled.Kind != store.PostTweet {
		return nil
	}
	next, err := store.TweetNext(ctx, db, cancelled.ID)
	if err != nil || len(next) == 0 {
		return err
	}
	ids := strings.Trim(fmt.Sprint(next), "[]")
	s.warnf("what continues tweet %d waits until that is posted after all: tweet %s; 'enqueue cancel %s' cancels that, too",
		cancelled.ID, strings.ReplaceAll(ids, " ", ", tweet "), ids)
	return nil
}
