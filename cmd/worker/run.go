package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/jobs"
	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// errServerGone says that the private database's server ended under the worker.
var errServerGone = errors.New("the private database is gone")

const description = `Post, retweet and delete tweets on X when their time comes.

Without a command it runs until it is told to stop, on the database of DATABASE_URL or, without
one, on a private Postgres that it starts itself. A first SIGINT or SIGTERM lets it finish what is
being sent; a second one kills it. SIGHUP, which a closing terminal sends, stops it as well.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule, 4 no database.
`

// cli is the command line.
type cli struct {
	Run     runCmd           `cmd:"" default:"withargs" help:"Work what is due until told to stop (the default)."`
	Demo    demoCmd          `cmd:"" help:"Show everything in ten seconds, on a database and an X of its own."`
	Migrate migrateCmd       `cmd:"" help:"Bring a database's schema up, down, or tell where it stands."`
	DSN     dsnCmd           `cmd:"" name:"dsn" help:"Print the connection string of the private database, for other applications."`
	Sandbox sandboxCmd       `cmd:"" help:"Serve a stand-in for X alone, for any client, until told to stop."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// environment is what a command works with.
type environment struct {
	lookup setup.LookupEnv
	stdout io.Writer
	stderr io.Writer
	toX    *http.Client // carries the requests to X; tests give one that reaches only this machine
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, lookup setup.LookupEnv, stdout, stderr io.Writer) error {
	env := &environment{lookup: lookup, stdout: stdout, stderr: stderr, toX: twitter.NewHTTPClient()}
	return env.run(ctx, args)
}

func (env *environment) run(ctx context.Context, args []string) error {
	exited := -1
	parser, err := kong.New(&cli{},
		kong.Name("worker"), kong.Description(setup.Help(description, setup.Describe(config{}))),
		kong.Writers(env.stdout, env.stderr), kong.Exit(func(code int) { exited = code }),
		kong.Vars{"version": "worker " + setup.Version()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(env))
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help or --version
		return nil
	}
	if err != nil {
		path := "worker"
		if parse := new(kong.ParseError); errors.As(err, &parse) && parse.Context.Selected() != nil {
			path = parse.Context.Selected().FullPath()
		}
		return setup.Usage("%w: see '%s --help'", err, path)
	}
	return command.Run()
}

type runCmd struct {
	Migrate   bool   `help:"Migrate the database of DATABASE_URL first. The private one always is."`
	LogFormat string `help:"console or json. Default: console on a terminal, json otherwise." enum:",console,json" default:""`
	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	setup.Creation

	LookUpAfter  []time.Duration `help:"When to look on X for a tweet that may be there: so long after its request, each longer than the one before. The last look decides, and never comes before --longest-creation and --read-lag are over." default:"5s,30s,2m,10m"`
	MaxLate      maxLate         `help:"How late a tweet without a post_before may go out, as after an outage: later it is missed. off: however late." default:"24h"`
	PollInterval time.Duration   `help:"How often to look for due rows, beside the instant the next one is known to be due." default:"500ms"`
	Workers      int             `help:"How many tweets are sent at once; a quarter as many deletions, and retweets." default:"40"`
	XAPIBaseURL  string          `name:"x-api-base-url" help:"Where X is, instead of X_API_BASE_URL."`
	XTimeout     time.Duration   `help:"How long X may take to answer. A tweet without an answer by then is unconfirmed." default:"30s"`
}

// Help is shown by --help.
func (*runCmd) Help() string {
	return `A tweet that may be on X, as its answer was lost, is unconfirmed. It is looked for on the account's timeline at each time of --look-up-after. It counts as absent, and is sent again unless the row says hold, only if a complete look does not show it that comes after the last of these times, and after its request could no longer begin plus --longest-creation plus --read-lag: whichever is later. So to shorten --look-up-after alone decides nothing sooner than by the other two. Longer times are safer and slower: what X creates or shows later than they say may go out twice.`
}

// maxLate is how late a tweet may go out; less than 0: however late.
type maxLate time.Duration

// UnmarshalText reads a time, or off.
func (m *maxLate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*m = -1
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no time such as 90m or 24h: off means however late", text)
	}
	*m = maxLate(d)
	return nil
}

// recoverTimeout bounds the recovery of a private database whose server died.
const recoverTimeout = time.Minute

// stopMargin is how much longer than a request a stopping worker waits: to settle it.
const stopMargin = 15 * time.Second

func (c *runCmd) validate(env *setup.Env) {
	if c.Workers < 1 || c.Workers > 1000 {
		env.Errorf("--workers is %d: use 1 to 1000", c.Workers)
	}
	for _, flag := range []struct {
		name              string
		is                time.Duration
		shortest, longest time.Duration
		use               string
	}{
		{"--poll-interval", c.PollInterval, 10 * time.Millisecond, time.Minute, "10ms to 1m"},
		{"--x-timeout", c.XTimeout, 100 * time.Millisecond, 2 * time.Minute, "100ms to 2m"},
	} {
		if flag.is < flag.shortest || flag.is > flag.longest {
			env.Errorf("%s is %s: use %s", flag.name, flag.is, flag.use)
		}
	}
	c.Check(env)
	if c.LongestCreation < c.XTimeout {
		env.Errorf("--longest-creation is %s, and --x-timeout is %s: use a longer --longest-creation, or a shorter --x-timeout: else what X still works on may count as absent", c.LongestCreation, c.XTimeout)
	}
	before := time.Duration(0)
	for _, after := range c.LookUpAfter {
		if after <= before || after > 12*time.Hour {
			env.Errorf("--look-up-after: %s after %s: use longer and longer times, of up to 12h", after, before)
			break
		}
		before = after
	}
	if n := len(c.LookUpAfter); n < 1 || n > 20 {
		env.Errorf("--look-up-after has %d times: use 1 to 20", n)
	}
	if late := time.Duration(c.MaxLate); late > 0 && late < time.Minute {
		env.Errorf("--max-late is %s: use 1m or more, or off", late)
	}
}

// Run works until ctx ends or the private database dies.
func (c *runCmd) Run(ctx context.Context, env *environment) error {
	settings := setup.NewEnv(env.lookup)
	config := readConfig(settings, c.XAPIBaseURL)
	c.validate(settings)
	if n := store.MaxConns(config.DatabaseURL); n > 0 && n < jobs.MinConns {
		settings.Errorf("DATABASE_URL: its pool_max_conns is %d: a worker needs %d", n, jobs.MinConns)
	}
	if err := settings.Err(); err != nil {
		return err
	}
	log := newLogger(env.stderr, c.LogFormat, c.LogLevel)

	db, err := setup.Locate(ctx, env.lookup, config.Settings)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer closeDatabase(log, db)
	defer env.toX.CloseIdleConnections()
	if c.Migrate {
		report := func(line string) { log.Info().Str("migration", line).Msg("migrated") }
		if err := migrations.Up(ctx, migrations.Config{Report: report}, string(db.URL)); err != nil {
			return unlessStopped(ctx, err)
		}
	}
	if err := db.Connect(ctx, "tweetqueue worker"); err != nil {
		return unlessStopped(ctx, err)
	}
	return work(ctx, db, config, log, jobs.Config{
		LongestCreation: c.LongestCreation, LookUpAfter: c.LookUpAfter, MaxLate: time.Duration(c.MaxLate), Observe: logEvents(log),
		PollInterval: c.PollInterval, ReadLag: c.ReadLag, StopTimeout: c.XTimeout + stopMargin, Workers: c.Workers, X: twitter.Config{HTTPClient: env.toX, Timeout: c.XTimeout},
	})
}

// unlessStopped returns the error of a step of the start; nil if the worker was told to stop meanwhile,
// as [jobs.Worker.Run] does.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// work runs a worker on an open database until ctx ends or the database's private server dies.
func work(ctx context.Context, db *setup.Database, config config, log zerolog.Logger, jobsConfig jobs.Config) error {
	if err := migrations.Check(ctx, db.Pool); err != nil {
		return unlessStopped(ctx, err)
	}
	ring, err := db.Keyring()
	if err != nil {
		return err
	}
	if config.APIKey != "" {
		jobsConfig.App = &store.AppCredentials{APIKey: config.APIKey, APISecret: config.APISecret}
	}
	jobsConfig.Keyring, jobsConfig.Pool, jobsConfig.Name = ring, db.Pool, processName()
	outage := newOutage(log, db.Pool.Ping)
	jobsConfig.Logger, jobsConfig.Observe = riverLogger(log, outage), outage.observer(jobsConfig.Observe)
	jobsConfig.X.BaseURL = config.XAPIBaseURL
	worker, err := jobs.New(jobsConfig)
	if err != nil {
		return err
	}

	log.Info().Str("database", db.Name).Str("x", config.XAPIBaseURL).Str("version", setup.Version()).Msg("starting")
	defer context.AfterFunc(ctx, func() {
		log.Info().Msg("stopping: what is being sent is finished; a second signal kills")
	})()
	running, stop := context.WithCancelCause(ctx)
	looking, cease := context.WithCancel(context.WithoutCancel(ctx)) // also while what is being sent is settled
	var watching sync.WaitGroup
	watching.Go(func() { outage.watch(looking) })
	if db.Private != nil {
		watching.Go(func() { watch(running, stop, db, log) })
	}
	err = worker.Run(running)
	stop(nil)
	cease()
	watching.Wait()
	if cause := context.Cause(running); err == nil && errors.Is(cause, errServerGone) {
		return cause
	}
	if err == nil {
		log.Info().Msg("stopped")
	}
	return err
}

// watch stops the worker when the private database's server dies. It starts the server once more,
// so that the answers to what is being sent are recorded before the worker ends.
func watch(running context.Context, stop context.CancelCauseFunc, db *setup.Database, log zerolog.Logger) {
	select {
	case <-running.Done():
		return
	case <-db.Private.Done():
	}
	stop(fmt.Errorf("%w: %w", errServerGone, db.Private.Err()))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(running), recoverTimeout)
	defer cancel()
	if err := db.Recover(ctx); err != nil {
		log.Error().Err(err).Msg("recover database")
	}
}

// processName names this process for people: host and process id.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return host + "/" + strconv.Itoa(os.Getpid())
}

func closeDatabase(log zerolog.Logger, db *setup.Database) {
	if err := db.Close(); err != nil {
		log.Error().Err(err).Msg("close database")
	}
}
