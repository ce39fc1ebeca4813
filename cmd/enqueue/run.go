package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/migrations"
)

// cli is the command line.
type cli struct {
	Tweet    tweetCmd    `cmd:"" help:"Schedule a tweet."`
	Delete   deleteCmd   `cmd:"" help:"Schedule the deletion of a tweet, or of a retweet."`
	Retweet  retweetCmd  `cmd:"" help:"Schedule a retweet."`
	List     listCmd     `cmd:"" help:"List what waits, or what has been done."`
	Show     showCmd     `cmd:"" help:"Show everything about a row: what was asked, sent and answered."`
	Cancel   cancelCmd   `cmd:"" help:"Cancel rows that were not sent yet."`
	Resolve  resolveCmd  `cmd:"" help:"Say what you saw on X of a row that is unconfirmed."`
	Account  accountCmd  `cmd:"" help:"Add, list and resume the accounts that tweets are posted for."`
	Forecast forecastCmd `cmd:"" help:"Say when the last of what waits will go, and what waits for which limit."`
	Limits   limitsCmd   `cmd:"" help:"Show what is used of X's limits and when it frees; choose and change presets."`
	Budget   budgetCmd   `cmd:"" help:"Show what was spent in this month, and say what may be."`

	JSON    bool             `name:"json" help:"Print JSON on standard output, and errors and warnings as JSON on standard error."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// accountCmd are the account's verbs. To add one is the only command that sees credentials.
type accountCmd struct {
	Add  accountAddCmd  `cmd:"" help:"Add an account, or renew its tokens."`
	List accountListCmd `cmd:"" help:"List the accounts."`

	Resume accountResumeCmd `cmd:"" help:"End the hold of an account, or of an app."`
}

const description = `Schedule tweets, retweets and deletions, and see what becomes of them. The worker sends them when their time comes.

Examples:

    export X_API_KEY=... X_API_SECRET=...       # of your X developer App
    enqueue account add acme --zone Europe/Vienna
    enqueue tweet --account acme --at "2026-12-01 09:00" "Doors open"
    enqueue delete --account acme --at "2026-12-24 18:00" 1445880548472328192
    enqueue retweet --account acme --undo-after 7d https://x.com/other/status/1445880548472328192
    enqueue list
    enqueue show 42
    enqueue cancel 42 43
    enqueue resolve 42 --posted https://x.com/acme/status/1445880548472328192
    enqueue account list
    enqueue limits acme
    enqueue forecast
    enqueue budget set acme --monthly 12.50

Times are RFC 3339 (2026-12-01T09:00:00+01:00), or local times (2026-12-01 09:00) of --zone or else of the account's zone.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule, 4 no database.
`

// settings lists what the environment sets.
func settings() []setup.Setting { return setup.Describe(setup.Settings{}, xSettings{}) }

// session is what a command works with.
type session struct {
	lookup setup.LookupEnv
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	json   bool
}

// run is the whole program but for the process around it. It tells an error on stderr and returns it
// for the exit code.
func run(ctx context.Context, args []string, lookup setup.LookupEnv, stdin io.Reader, stdout, stderr io.Writer) error {
	s := &session{lookup: lookup, stdin: stdin, stdout: stdout, stderr: stderr, json: slices.Contains(args, "--json")}
	err := s.run(ctx, args)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w", err)
	}
	if s.json {
		told := complaint{Error: err.Error(), ExitCode: setup.ExitCode(err)}
		if used := new(keyUsedError); errors.As(err, &used) {
			told.RowID = used.id
		}
		s.complain(told)
	} else {
		fmt.Fprintln(s.stderr, "enqueue: "+strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return err
}

func (s *session) run(ctx context.Context, args []string) error {
	exited := false
	parser, err := kong.New(&cli{},
		kong.Name("enqueue"), kong.Description(setup.Help(description, settings())), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(s.stdout, s.stderr), kong.Exit(func(int) { exited = true }), kong.Vars{"version": "enqueue " + setup.Version()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	command, err := parser.Parse(args)
	if exited { // --help or --version
		return nil
	}
	if err != nil {
		return parseError(err, args)
	}
	return command.Run()
}

// parseError says what is wrong with a command line, and where its help is. What may be a text, which
// is any argument with a space, is not told.
func parseError(err error, args []string) error {
	path := "enqueue"
	if parse := new(kong.ParseError); errors.As(err, &parse) && parse.Context.Selected() != nil {
		path = parse.Context.Selected().FullPath()
	}
	for i, arg := range args {
		if strings.ContainsFunc(arg, unicode.IsSpace) && strings.Contains(err.Error(), arg) {
			return setup.Usage("argument %d is out of place; if it is a text that begins with a dash, put -- before it: see '%s --help'", i+1, path)
		}
	}
	return setup.Usage("%w: see '%s --help'", err, path)
}

// withDatabase opens the database of the settings, tells which, and closes it after do.
func (s *session) withDatabase(ctx context.Context, settings setup.Settings, do func(db *setup.Database) error) error {
	db, err := setup.Open(ctx, s.lookup, settings, "tweetqueue enqueue")
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			s.warnf("close %s: %v", db.Name, err)
		}
	}()
	s.tellf("database: %s", db.Told())
	if err := migrations.Check(ctx, db.Pool); err != nil {
		return fmt.Errorf("%s: %w", db.Name, err)
	}
	return do(db)
}

// readDatabase is for commands that need no setting but which database.
func (s *session) readDatabase(check func(env *setup.Env)) (setup.Settings, error) {
	env := setup.NewEnv(s.lookup)
	settings := setup.ReadDatabase(env)
	if check != nil {
		check(env)
	}
	return settings, env.Err()
}

// print prints a result: value as JSON, or what people writes.
func (s *session) print(value any, people func(w io.Writer)) error {
	var b bytes.Buffer
	if s.json {
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	} else {
		people(&b)
	}
	if _, err := b.WriteTo(s.stdout); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// complaint is what programs get on standard error: one line for each.
type complaint struct {
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exit_code,omitempty"`
	RowID    int64  `json:"row_id,omitempty"` // of the tweet that has the idempotency key already
	Warning  string `json:"warning,omitempty"`
}

func (s *session) complain(c complaint) {
	if line, err := json.Marshal(c); err == nil { // it always is, for strings and a number
		fmt.Fprintf(s.stderr, "%s\n", line)
	}
}

// tellf tells people something beside the result.
func (s *session) tellf(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.stderr, format+"\n", args...)
	}
}

// warnf tells people and programs something that they may have to act on.
func (s *session) warnf(format string, args ...any) {
	if s.json {
		s.complain(complaint{Warning: fmt.Sprintf(format, args...)})
	} else {
		fmt.Fprintf(s.stderr, "warning: "+format+"\n", args...)
	}
}
