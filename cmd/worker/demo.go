package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/jobs"
	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

const (
	demoAccount = "demo"
	// demoLimit is how long --exit waits for everything to be over: what is in doubt takes a
	// request's whole time-out to become so.
	demoLimit = 90 * time.Second
)

type demoCmd struct {
	Exit  bool   `help:"End when everything is over, as when the output is no terminal. Exit code 1 if something was not done."`
	Fault string `help:"Make the sandbox answer the second tweet with this fault, such as duplicate, rate_limited or drop_after."`
	JSON  bool   `help:"Print, at the end, the rows and the sandbox's own record as JSON."`
}

// demoReport is what --json prints.
type demoReport struct {
	Rows    []store.Entry `json:"rows"`
	Sandbox demoSandbox   `json:"sandbox"`
}

type demoSandbox struct {
	Requests []sandbox.Request `json:"requests"`
	Tweets   []sandbox.Tweet   `json:"tweets"`
}

// demo is a demonstration under way.
type demo struct {
	db     *setup.Database
	x      *sandbox.Server
	tokens sandbox.Credentials
	user   sandbox.User
	out    *printer
	rows   []int64
	over   chan int64 // rows that are over, in any order
}

// Run shows everything once, in about ten seconds.
func (c *demoCmd) Run(ctx context.Context, env *environment) error {
	lines := env.stdout
	if c.JSON {
		lines = io.Discard
	}
	d := &demo{out: newPrinter(lines), over: make(chan int64, 100)}
	if err := d.startX(c.Fault); err != nil {
		return err
	}
	defer d.x.Close()

	var err error
	if d.db, err = setup.OpenTemporary(ctx, "tweetqueue demo"); err != nil {
		return unlessStopped(ctx, err)
	}
	log := newLogger(env.stderr, "", "error")
	defer closeDatabase(log, d.db)
	d.out.printf("A private Postgres and a sandbox X (%s) are up. Nothing leaves this machine.\n\n", d.x.URL())

	if err := d.enqueue(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan error, 1)
	go func() { ended <- d.work(working, log, stop) }()

	endsItself := c.Exit || !isTerminal(env.stdout)
	entries, err := d.wait(working, demoLimit)
	if err == nil {
		d.out.summary(entries)
		if !endsItself {
			d.out.printf("\nIt runs on. Insert a row of your own, or end it with Ctrl-C:\n"+
				"  psql '%s' -c \"INSERT INTO tweetqueue.tweets (account, text) VALUES ('%s', 'Hello from SQL')\"\n",
				string(d.db.URL), demoAccount)
			<-working.Done()
		}
	}
	stop(nil)
	if workErr := <-ended; workErr != nil {
		return workErr
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	if c.JSON {
		if err := d.printJSON(context.WithoutCancel(ctx), env.stdout); err != nil {
			return err
		}
	}
	if ctx.Err() != nil && len(entries) == 0 {
		return nil // interrupted by hand
	}
	return undone(entries)
}

// startX starts the sandbox with one account, which has one old tweet.
func (d *demo) startX(fault string) error {
	var err error
	if d.x, err = sandbox.New(sandbox.Config{}); err != nil {
		return err
	}
	app, err := d.x.AddApp(sandbox.App{Name: "tweetqueue demo"})
	if err != nil {
		return err
	}
	if d.user, err = d.x.AddUser(sandbox.User{Username: demoAccount}); err != nil {
		return err
	}
	if d.tokens, err = d.x.Authorize(app.Key, demoAccount); err != nil {
		return err
	}
	if fault != "" {
		_, err := d.x.Fault(sandbox.Fault{Kind: sandbox.Kind(fault), Match: sandbox.Match{Text: demoTexts()[1]}, Times: 1})
		if err != nil {
			return setup.Usage("--fault: %w", err)
		}
	}
	return d.x.Start("127.0.0.1:0")
}

func demoTexts() []string {
	return []string{
		"Doors open at nine.",
		"The first hundred guests get a poster.",
		"Tonight's set list is a secret until it is not.",
		"A thread: how this evening came about. 1/2",
		"It began with one row in Postgres. 2/2",
	}
}

// enqueue writes the account, five tweets and a deletion, as any application could.
func (d *demo) enqueue(ctx context.Context) error {
	old, err := d.x.AddTweet(sandbox.Tweet{
		Username: demoAccount, Text: "An old tweet that nobody needs any more.", CreatedAt: time.Now().AddDate(-3, 0, 0),
	})
	if err != nil {
		return err
	}
	ring, err := d.db.Keyring()
	if err != nil {
		return err
	}
	return store.InTx(ctx, d.db.Pool, func(tx pgx.Tx) error {
		if err := d.addAccount(ctx, tx, ring); err != nil {
			return err
		}
		start, err := store.Clock(ctx, tx)
		if err != nil {
			return err
		}
		for i, seconds := range []int{1, 3, 5, 6, 7} {
			tweet := store.Tweet{Text: demoTexts()[i]}
			if i == 4 {
				tweet.PreviousID = &d.rows[3]
			}
			at := start.Add(time.Duration(seconds) * time.Second)
			id, due, err := store.TweetInsert(ctx, tx, demoAccount, tweet, &at, 0)
			if err != nil {
				return err
			}
			d.rows = append(d.rows, id)
			d.out.enqueued(store.PostTweet, id, due, tweet.Text)
		}
		at := start.Add(9 * time.Second)
		id, due, err := store.DeletionInsert(ctx, tx, demoAccount, old.ID, &at, 0)
		if err != nil {
			return err
		}
		d.rows = append(d.rows, id)
		d.out.enqueued(store.DeleteTweet, id, due, "tweet "+old.ID+", of three years ago")
		d.out.printf("\n")
		return nil
	})
}

func (d *demo) addAccount(ctx context.Context, tx pgx.Tx, ring *store.Keyring) error {
	keys := store.AppCredentials{APIKey: store.Secret(d.tokens.APIKey), APISecret: store.Secret(d.tokens.APISecret)}
	sealedKeys, err := keys.Seal(ring, store.DefaultApp)
	if err != nil {
		return err
	}
	appID, err := store.AppPut(ctx, tx, store.DefaultApp, sealedKeys)
	if err != nil {
		return err
	}
	tokens := store.AccountCredentials{
		AccessToken: store.Secret(d.tokens.AccessToken), AccessTokenSecret: store.Secret(d.tokens.AccessTokenSecret),
	}
	sealedTokens, err := tokens.Seal(ring, d.user.ID)
	if err != nil {
		return err
	}
	_, err = store.AccountPut(ctx, tx, store.AccountPutParams{
		Username: d.user.Username, XUserID: d.user.ID, AppID: appID, Credentials: sealedTokens,
	})
	return err
}

// work runs a worker until ctx ends, and stops the demo with its error if it ends before.
func (d *demo) work(ctx context.Context, log zerolog.Logger, stop context.CancelCauseFunc) error {
	logged := logEvents(log)
	err := work(ctx, d.db, config{XAPIBaseURL: d.x.URL()}, log, jobs.Config{Observe: func(e jobs.Event) {
		logged(e)
		d.out.event(e)
		switch e.Type {
		case jobs.EventDone, jobs.EventFailed, jobs.EventMissed, jobs.EventUnconfirmed:
			d.over <- e.RowID
		case jobs.EventReady, jobs.EventDue, jobs.EventWaiting, jobs.EventHeld, jobs.EventBudget, jobs.EventPostedTwice, jobs.EventError:
		}
	}})
	stop(err)
	return err
}

// wait waits until every row of the demo is over, as far as this worker goes, or for limit. It
// returns the rows as they are then.
func (d *demo) wait(ctx context.Context, limit time.Duration) ([]store.Entry, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for waiting := slices.Clone(d.rows); len(waiting) > 0; {
		select {
		case id := <-d.over:
			waiting = slices.DeleteFunc(waiting, func(row int64) bool { return row == id })
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
			return d.entries(ctx)
		}
	}
	return d.entries(ctx)
}

func (d *demo) entries(ctx context.Context) ([]store.Entry, error) {
	entries := make([]store.Entry, len(d.rows))
	for i, id := range d.rows {
		var err error
		if entries[i], err = store.EntryGet(ctx, d.db.Pool, id); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (d *demo) printJSON(ctx context.Context, w io.Writer) error {
	entries, err := d.entries(ctx)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	report := demoReport{Rows: entries, Sandbox: demoSandbox{Requests: d.x.Requests(), Tweets: d.x.Tweets()}}
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// errUndone says that a row of the demo was not done.
var errUndone = errors.New("not everything was done")

func undone(entries []store.Entry) error {
	var all []string
	for _, e := range entries {
		if e.Status == e.Kind.Done() {
			continue
		}
		what := fmt.Sprintf("%s %d is %s", noun(e.Kind), e.ID, e.Status)
		if e.WaitingFor != nil {
			what += ", waiting for " + string(*e.WaitingFor)
		}
		if e.Error != nil {
			what += ": " + *e.Error
		}
		all = append(all, what)
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errUndone, strings.Join(all, "; "))
}
