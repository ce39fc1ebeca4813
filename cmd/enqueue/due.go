package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// dueFlags are the flags of everything that is done at a time.
type dueFlags struct {
	Account  string  `required:"" placeholder:"USERNAME" help:"The account, as X spells it; case is ignored."`
	At       *string `placeholder:"TIME" help:"When: RFC 3339, or a local time such as \"2026-12-01 09:00\". Without it: now."`
	Zone     string  `placeholder:"ZONE" help:"The IANA time zone of local times, such as Europe/Vienna. Without it: the account's."`
	Priority int     `enum:"1,2,3,4" default:"2" help:"1 goes first, 4 last, among rows of the account that are due."`
	DryRun   bool    `help:"Add nothing: say when it would go, after what waits already."`
}

// check gathers what is wrong and needs no database to see.
func (f *dueFlags) check(env *setup.Env) {
	var err error
	if f.Account == "" {
		env.Errorf("--account is empty: give a username")
	} else if f.Account, err = parseUsername(f.Account); err != nil {
		env.Errorf("--account: %w", err)
	}
	// An empty time is most likely a variable that is not set, and must not mean now.
	if f.At != nil && strings.TrimSpace(*f.At) == "" {
		env.Errorf("--at is empty: give a time, or leave --at out for now")
	}
	if f.Zone != "" {
		if _, err := loadZone(f.Zone); err != nil {
			env.Errorf("--zone: %w", err)
		}
	}
}

// due is whose row it is and when it is due.
type due struct {
	account store.Account
	zone    *time.Location
	now     time.Time  // by the database's clock, which decides
	at      *time.Time // nil: now

	takenBack bool // it is to be deleted, or undone, by itself
}

// resolve reads the account and the time.
func (f *dueFlags) resolve(ctx context.Context, db store.DBTX) (due, error) {
	account, err := store.AccountGet(ctx, db, f.Account)
	if err != nil {
		return due{}, err
	}
	d := due{account: account}
	if f.Zone != "" {
		d.zone, err = loadZone(f.Zone)
	} else if d.zone, err = loadZone(account.TimeZone); err != nil {
		err = fmt.Errorf("account %s: %w; or give --zone", account.Username, err)
	}
	if err != nil {
		return due{}, err
	}
	if d.now, err = store.Clock(ctx, db); err != nil {
		return due{}, err
	}
	if f.At == nil {
		return d, nil
	}
	at, err := parseInstant(*f.At, d.zone)
	if err != nil {
		return due{}, fmt.Errorf("--at: %w", err)
	}
	if !at.After(d.now) {
		return due{}, setup.Usage("--at: %s is past (%s); it is %s now: give a later time, or leave --at out for now",
			formatInstant(at, d.zone), formatDistance(at, d.now), formatInstant(d.now, d.zone))
	}
	d.at = &at
	return d, nil
}

// enqueued is the JSON of a new row.
type enqueued struct {
	store.Entry
	DueLocal    string     `json:"due_local"`              // RFC 3339
	Zone        string     `json:"zone"`                   // of due_local
	PostBefore  *time.Time `json:"post_before,omitempty"`  // in UTC, as due_at
	DeleteAfter string     `json:"delete_after,omitempty"` // such as 1d12h, as show writes it
	UndoAfter   string     `json:"undo_after,omitempty"`   // likewise
	// FullLimit is a limit of its account, or of its app, that has no place when it is due; absent: each has one, or had, before what
	// waits already is counted.
	FullLimit    string     `json:"full_limit,omitempty"`
	LimitFreeAt  *time.Time `json:"limit_free_at,omitempty"` // when the limit has a place
	LackOfMoney  string     `json:"lack_of_money,omitempty"` // in words: a budget that has less left than it costs
	WorkersAlive int        `json:"workers_alive"`
}

// enqueue inserts a row and tells what was written, or, as a dry run, what would become of it. tweet is nil for other
// kinds.
func (f *dueFlags) enqueue(ctx context.Context, s *session, pool *pgxpool.Pool, kind store.Kind, d due, tweet *store.Tweet,
	insert func(db store.DBTX) (int64, error),
) error {
	if f.DryRun {
		return s.dryRun(ctx, pool, kind, d, insert)
	}
	before, err := standingRead(ctx, pool, d.account.Username)
	if err != nil {
		return err
	}
	id, err := insert(pool)
	if err != nil {
		return err
	}
	if err := s.printEnqueued(ctx, pool, id, d, tweet, &before); err != nil {
		return fmt.Errorf("%s %d is enqueued, but: %w", kindName(kind), id, err)
	}
	return nil
}

// printEnqueued tells what was written, always with the exact instant; tweet is nil for other kinds.
func (s *session) printEnqueued(ctx context.Context, db store.DBTX, id int64, d due, tweet *store.Tweet, before *standing) error {
	entry, err := store.EntryGet(ctx, db, id)
	if err != nil {
		return err
	}
	workers, err := s.warnIfHeld(ctx, db, d.account)
	if err != nil {
		return err
	}
	limit, free := before.fullLimit(entry, d.now)
	lack := before.lackOfMoney(entry, d.account.App)
	result := enqueued{Entry: entry, DueLocal: entry.DueAt.In(d.zone).Format(time.RFC3339Nano), Zone: d.zone.String(), WorkersAlive: workers}
	if tweet != nil && tweet.PostBefore != nil {
		result.PostBefore = new(tweet.PostBefore.UTC())
	}
	if tweet != nil && tweet.DeleteAfter.Valid {
		result.DeleteAfter = formatInterval(tweet.DeleteAfter)
	}
	if entry.UndoAfter.Valid {
		result.UndoAfter = formatInterval(entry.UndoAfter)
	}
	if limit != "" {
		result.FullLimit, result.LimitFreeAt = limit, new(free.UTC())
	}
	result.LackOfMoney = lack
	return s.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s %d for %s: due %s, %s\n",
			kindName(entry.Kind), id, entry.Account, formatInstant(entry.DueAt, d.zone), formatDistance(entry.DueAt, d.now))
		if limit != "" {
			fmt.Fprintf(w, "  the limit %q has no place before %s: 'enqueue forecast %s' says when the last of what waits goes\n",
				oneLine(limit, 60), formatInstant(free, d.zone), d.account.Username)
		}
		if lack != "" {
			fmt.Fprintln(w, "  "+lack)
		}
		if before := result.PostBefore; before != nil {
			fmt.Fprintf(w, "  never posted after %s, %s\n", formatInstant(*before, d.zone), formatDistance(*before, d.now))
		}
		if result.DeleteAfter != "" {
			fmt.Fprintf(w, "  deleted %s after it was posted\n", result.DeleteAfter)
		}
		if result.UndoAfter != "" {
			fmt.Fprintf(w, "  undone %s after it was made\n", result.UndoAfter)
		}
	})
}

// insertError adds to the error of an INSERT, if there is one, what to do next.
func insertError(err error, account string) error {
	if err == nil {
		return nil
	}
	refused := new(store.RefusedError)
	if !errors.As(err, &refused) {
		if answered := new(pgconn.PgError); errors.As(err, &answered) {
			return err
		}
		// The statement may have been committed and the answer lost.
		return fmt.Errorf("%w; see 'enqueue list --account %s' before you repeat it: it may be there", err, account)
	}
	if refused.Constraint == "tweets_text_length_check" {
		return tooLong(err, account)
	}
	return err
}

// tooLong adds to the refusal of a text what to do next.
func tooLong(err error, account string) error {
	return fmt.Errorf("%w: shorten it, or make a thread with --previous; X Premium allows more, say so with 'enqueue account add %s --text-limit 25000'", err, account)
}

// warnIfHeld warns of what keeps an account's rows from being sent.
func (s *session) warnIfHeld(ctx context.Context, db store.DBTX, account store.Account) (workers int, err error) {
	if account.State != store.Active {
		s.warnf("account %s is %s; its rows wait", account.Username, holdWords(account.Hold, account.TimeZone))
	}
	if account.AppHold.State != store.Active {
		s.warnf("app %q is %s; the rows of its accounts wait", account.App, holdWords(account.AppHold, account.TimeZone))
	}
	return s.warnIfIdle(ctx, db)
}

// warnIfIdle warns if nobody works what waits, and returns how many workers are alive.
func (s *session) warnIfIdle(ctx context.Context, db store.DBTX) (workers int, err error) {
	workers, err = store.WorkersAlive(ctx, db)
	if err == nil && workers == 0 {
		s.warnf("no worker is running on this database: start one with 'worker'")
	}
	return workers, err
}
