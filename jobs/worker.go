package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/sync/errgroup"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// Config is what a Worker needs. Fields without a default are required.
type Config struct {
	// App are the keys of the default app: kept in the database if it has none, else they must be those
	// that it has. Nil: those that it has.
	App *store.AppCredentials
	// Keyring opens the credentials in the database.
	Keyring *store.Keyring
	// Logger is River's. What the worker itself has to say goes to Observe.
	Logger *slog.Logger
	// LongestCreation is the longest that X may take to create a tweet after the last instant at which its
	// request may have started, and ReadLag the longest from then until a read shows it. A tweet that a
	// complete read does not show later than that is not on X. Default 2 and 5 minutes. LongestCreation is to be at
	// least X.Timeout, for which a request may be under way: else what X still works on may count as absent.
	LongestCreation, ReadLag time.Duration
	// LookUpAfter is when a tweet is looked for on X of which it is not known whether it was created: how
	// long after its request, ascending. The last of them decides. Default 5 s, 30 s, 2 min and 10 min.
	LookUpAfter []time.Duration
	// MaxLate is how late a tweet may go out that has no post_before of its own; past it, it is missed.
	// Default 24 h; less than 0: any time.
	MaxLate time.Duration
	// Name is the process's, for people, and unique: host and process id. At most 100 bytes.
	Name string
	// Observe is told what happens. It is called from many goroutines and must not block. Nil:
	// nobody is told.
	Observe func(Event)
	// Pool is the database, migrated, of at least [MinConns] connections. The lease keeps one, and River listens on one more.
	Pool *pgxpool.Pool
	// PollInterval is how often due jobs are looked for beside the instant the next one is known to
	// be due, and, but not more often than once a second, jobs of which River was not notified. Default 500 ms.
	PollInterval time.Duration
	// StopTimeout is how long a stopping worker waits for what is being sent. Default 45 s: longer
	// than a request may take.
	StopTimeout time.Duration
	// Time is River's clock in tests that move the database's; nil: the real one.
	Time rivertype.TimeGenerator
	// Workers is how many tweets are sent at once; of deletions, and of retweets, a quarter as many. Default 40.
	Workers int
	// X says where X is. Its HTTPClient is shared by all accounts.
	X twitter.Config
}

// MinConns is how many connections the pool of a worker has to have.
const MinConns = 4

func (c Config) validate() error {
	var errs []error
	if c.Keyring == nil {
		errs = append(errs, errors.New("Keyring is nil"))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("Logger is nil"))
	}
	if c.Name == "" || len(c.Name) > 100 {
		errs = append(errs, fmt.Errorf("Name is %q: use 1 to 100 bytes", c.Name))
	}
	if c.Pool == nil {
		errs = append(errs, errors.New("Pool is nil"))
	} else if n := c.Pool.Config().MaxConns; n < MinConns {
		errs = append(errs, fmt.Errorf("Pool may have %d connections, and a worker needs %d", n, MinConns))
	}
	for _, field := range []struct {
		name     string
		negative bool
	}{
		{"PollInterval", c.PollInterval < 0},
		{"StopTimeout", c.StopTimeout < 0},
		{"Workers", c.Workers < 0},
		{"LongestCreation", c.LongestCreation < 0},
		{"ReadLag", c.ReadLag < 0},
	} {
		if field.negative {
			errs = append(errs, fmt.Errorf("%s is negative", field.name))
		}
	}
	if !slices.IsSorted(c.LookUpAfter) || slices.ContainsFunc(c.LookUpAfter, func(d time.Duration) bool { return d <= 0 }) {
		errs = append(errs, fmt.Errorf("LookUpAfter is %v: use longer and longer times", c.LookUpAfter))
	}
	return errors.Join(errs...)
}

// Worker works the rows of a database until it is stopped. Any number of processes may run one each
// against the same database.
type Worker struct {
	pool        *pgxpool.Pool
	keyring     *store.Keyring
	x           twitter.Config
	lease       *lease
	working     working
	claiming    turnstile
	settling    sync.WaitGroup                 // settlements under way
	detached    chan struct{}                  // one for each settlement that goes on without its job
	ending      chan struct{}                  // closed when a stopping worker has waited for long enough
	wakes       chan struct{}                  // of capacity 1: see wake
	dues        chan struct{}                  // of capacity 1: see goOn
	waits       chan struct{}                  // the same: see holdBack
	releases    chan struct{}                  // the same: see letGoOn
	sweepFrom   map[store.Kind]store.SweepFrom // owned by the sweep's loop
	app         *store.AppCredentials
	lookUps     lookUpTimes
	maxLate     time.Duration
	xAhead      ahead
	river       *river.Client[pgx.Tx]
	observe     func(Event)
	poll        time.Duration
	stopTimeout time.Duration
}

// New returns a worker. It opens nothing; everything that is wrong with config is reported at once.
func New(config Config) (*Worker, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	w := &Worker{
		pool: config.Pool, keyring: config.Keyring, app: config.App, x: config.X, observe: config.Observe,
		poll: config.PollInterval, stopTimeout: config.StopTimeout,
		lease: &lease{pool: config.Pool, name: config.Name}, ending: make(chan struct{}), detached: make(chan struct{}, maxDetached),
		wakes: make(chan struct{}, 1), dues: make(chan struct{}, 1), waits: make(chan struct{}, 1), releases: make(chan struct{}, 1),
		sweepFrom: map[store.Kind]store.SweepFrom{}, maxLate: cmp.Or(config.MaxLate, 24*time.Hour),
		lookUps: lookUpTimes{
			after: config.LookUpAfter, longest: cmp.Or(config.LongestCreation, 2*time.Minute), readLag: cmp.Or(config.ReadLag, 5*time.Minute),
		},
	}
	if len(w.lookUps.after) == 0 {
		w.lookUps.after = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
	}
	if w.x.BaseURL == "" {
		w.x.BaseURL = twitter.DefaultBaseURL
	}
	if w.x.HTTPClient == nil {
		w.x.HTTPClient = twitter.NewHTTPClient()
	}
	if w.poll == 0 {
		w.poll = 500 * time.Millisecond
	}
	if w.stopTimeout == 0 {
		w.stopTimeout = 45 * time.Second
	}
	workers := config.Workers
	if workers == 0 {
		workers = 40
	}
	var err error
	w.river, err = newRiver(config, workers, w.stopTimeout, w)
	if err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	return w, nil
}

func newRiver(config Config, workers int, stopTimeout time.Duration, w *Worker) (*river.Client[pgx.Tx], error) {
	riverWorkers := river.NewWorkers()
	river.AddWorker(riverWorkers, &postTweetWorker{worker: w})
	river.AddWorker(riverWorkers, &deleteTweetWorker{worker: w})
	river.AddWorker(riverWorkers, &retweetWorker{worker: w})
	return river.NewClient(riverpgxv5.New(config.Pool), &river.Config{
		DiscardedJobRetentionPeriod: 24 * time.Hour, // as the other states': rows and requests are the archive
		FetchCooldown:               20 * time.Millisecond,
		FetchOnlyKnownKinds:         true,
		FetchPollInterval:           max(river.FetchPollIntervalDefault, config.PollInterval),
		ID:                          config.Name, // so that a job tells whose it is
		Logger:                      config.Logger,
		Queues: map[string]river.QueueConfig{
			store.PostTweet.Queue():   {MaxWorkers: workers},
			store.DeleteTweet.Queue(): {MaxWorkers: max(1, workers/4)},
			store.Retweet.Queue():     {MaxWorkers: max(1, workers/4)},
		},
		ErrorHandler:    &errorHandler{worker: w},
		Schema:          migrations.Schema,
		SoftStopTimeout: stopTimeout,
		Test:            river.TestConfig{Time: config.Time},
		Workers:         riverWorkers,
	})
}

// insertOpts are the options of a job that the database's trigger writes, for a row of the default
// priority.
func insertOpts(kind store.Kind) river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 32767, Priority: 2, Queue: kind.Queue()}
}

// Run works until ctx ends, then finishes what is being sent and returns nil. It can be called once. It returns an error if
// it could not start: [migrations.ErrTooOld], [migrations.ErrTooNew], [store.ErrOtherX],
// [store.ErrSealed], [store.ErrOtherKeys], or one of the database.
func (w *Worker) Run(ctx context.Context) error {
	err := w.begin(ctx)
	if err == nil {
		err = w.run(ctx)
	}
	w.end(ctx)
	if ctx.Err() == nil {
		return err
	}
	return nil // it was told to stop, if only while it was starting
}

// begin writes the worker's lease, and makes sure that it may work this database: its schema, the X
// that its rows are meant for, its key, and the app's keys, which it writes if the database has none.
func (w *Worker) begin(ctx context.Context) error {
	if err := migrations.Check(ctx, w.pool); err != nil {
		return err
	}
	if err := w.lease.start(ctx); err != nil {
		return err
	}
	return store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		if err := store.ClaimX(ctx, tx, w.lease.current(), w.x.BaseURL); err != nil {
			return err
		}
		if err := store.KeyCheck(ctx, tx, w.keyring); err != nil {
			return err
		}
		if w.app == nil {
			return nil
		}
		return store.AppFill(ctx, tx, w.keyring, store.DefaultApp, *w.app)
	})
}

// end ends the lease, if there is one.
func (w *Worker) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	if err := w.lease.stop(ctx); err != nil {
		w.tell(Event{Type: EventError, Err: err}) // it dies by itself
	}
}

// run runs River and the loops until ctx ends and all that was being sent is settled.
func (w *Worker) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { time.AfterFunc(w.stopTimeout, func() { close(w.ending) }) })()
	// The lease outlives the signal to stop: requests are still being sent.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops errgroup.Group
	loops.Go(func() error { w.loop(running, leaseRenewal, w.lease.renew); return nil })

	if err := w.river.Start(ctx); err != nil {
		stop()
		_ = loops.Wait()
		return fmt.Errorf("start River: %w", err)
	}
	w.tell(Event{Type: EventReady})
	loops.Go(func() error { w.promoteLoop(ctx); return nil })
	loops.Go(func() error { w.releaseLoop(ctx); return nil })
	loops.Go(func() error { w.holdLoop(ctx); return nil })
	loops.Go(func() error { w.loop(ctx, takeOverEvery, w.takeOver); return nil })
	loops.Go(func() error { w.loop(ctx, sweepEvery, w.sweep); return nil })
	loops.Go(func() error { w.loop(ctx, measureEvery, w.measure); return nil })
	loops.Go(func() error { w.wakeLoop(ctx); return nil })
	loops.Go(func() error { w.loop(ctx, wakeEvery, w.releaseBudgets); return nil })

	<-w.river.Stopped() // after ctx ended, and River's own stop
	w.settling.Wait()
	stop()
	_ = loops.Wait()
	return nil
}

// work claims, sends and settles the rows of jobs.
func (w *Worker) work(ctx context.Context, kind store.Kind, jobs []wakeUp) error {
	claims, doubts, err := w.claim(ctx, kind, jobs)
	w.working.add(claims)
	if err != nil {
		if len(claims) == 0 {
			return err
		}
		// Committed or not, none of them was sent.
		about := Event{Kind: kind, RowID: claims[0].row.ID}
		return errors.Join(err, w.finish(about, claims, func() error { return w.release(ctx, kind, claims, err.Error()) }))
	}
	var errs []error
	for _, claim := range claims {
		result := w.send(ctx, claim)
		about := Event{Kind: kind, RowID: claim.row.ID, RequestID: claim.request.ID}
		errs = append(errs, w.finish(about, []claimed{claim}, func() error { return w.settle(ctx, result) }))
	}
	for _, doubt := range doubts {
		errs = append(errs, w.lookUp(ctx, doubt.row, doubt.jobID))
	}
	return errors.Join(errs...)
}

// finish ends what was begun, of the claims or of a look-up, and waits for it, but not for longer than it
// takes to see that something is in the way, such as an application's lock on the row: what then goes on
// takes no place that other rows need, and [Worker.Run] still waits for it. About is for its error.
func (w *Worker) finish(about Event, claims []claimed, do func() error) error {
	done := make(chan error, 1)
	w.settling.Go(func() {
		defer w.working.remove(claims)
		defer func() {
			if cause := recover(); cause != nil { // which may hold anything, so it is not told
				done <- fmt.Errorf("panic in a settlement: %s", debug.Stack())
			}
		}()
		done <- do()
	})
	timer := time.NewTimer(finishWithin)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	select {
	case w.detached <- struct{}{}:
	default: // enough of them go on by themselves
		return <-done
	}
	w.settling.Go(func() {
		defer func() { <-w.detached }()
		if err := <-done; err != nil {
			about.Type, about.Err = EventError, err
			w.tell(about)
		}
	})
	return nil
}

// errorHandler tells what River itself would only log as information: a job that could not claim or
// settle. It runs again.
type errorHandler struct{ worker *Worker }

// HandleError tells the error.
func (h *errorHandler) HandleError(_ context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	h.worker.tell(Event{Type: EventError, JobID: job.ID, Err: err})
	return nil
}

// HandlePanic tells the panic. What it holds is not told: it could be anything.
func (h *errorHandler) HandlePanic(_ context.Context, job *rivertype.JobRow, _ any, trace string) *river.ErrorHandlerResult {
	h.worker.tell(Event{Type: EventError, JobID: job.ID, Err: fmt.Errorf("panic in a job: %s", trace)})
	return nil
}

func (w *Worker) tell(event Event) {
	if w.observe == nil {
		return
	}
	event.At = time.Now()
	w.observe(event)
}
