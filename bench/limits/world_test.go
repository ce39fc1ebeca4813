package limits

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/jobs"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// soon is how long a test waits for what must happen, by the machine's clock; it is never waited for in full
// unless the test fails.
const soon = time.Minute

// poll is how often the workers look for due jobs: after each move of the clock they are to see at once what has fallen
// due.
const poll = 25 * time.Millisecond

// world is a database, an X, and workers, all by one clock that the test moves.
type world struct {
	testing.TB

	url     string
	db      *pgxpool.Pool
	ring    *store.Keyring
	x       *sandbox.Server
	app     sandbox.App
	clock   *clock
	poll    time.Duration // of its workers; 0: as by default
	start   time.Time
	slots   map[string]int // by River's queue: of all workers
	workers int
	jumps   int
	plan    []step

	mu     sync.Mutex
	events []jobs.Event
}

// step is what happens at an instant.
type step struct {
	at time.Time
	do func()
}

// newWorld has an X that refuses no repetition, and that has no limits unless config says otherwise.
func newWorld(t testing.TB, config sandbox.Config) *world {
	t.Helper()
	w := &world{TB: t, url: storetest.URL(t), clock: &clock{}, poll: poll, slots: map[string]int{}, ring: storetest.Keyring(t)}
	w.db = storetest.Open(t, w.url)
	w.start = w.clock.Now()
	if config.Limits == nil {
		config.Limits = []sandbox.Limit{}
	}
	config.DuplicateWindow, config.TimestampSkew = -1, -1
	config.Now, config.After = w.clock.Now, w.clock.After
	var err error
	w.x, err = sandbox.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.x.Close()) })
	w.app, err = w.x.AddApp(sandbox.App{Name: "tests"})
	require.NoError(t, err)
	require.NoError(t, w.x.Start(""))
	return w
}

// account adds a user to X and an account to the database, and returns its id.
func (w *world) account(username string) int64 {
	w.Helper()
	user, err := w.x.AddUser(sandbox.User{Username: username})
	require.NoError(w, err)
	tokens, err := w.x.Authorize(w.app.Key, username)
	require.NoError(w, err)
	return storetest.Account(w, w.db, storetest.AccountOpts{
		Username: username, XUserID: user.ID, APIKey: tokens.APIKey, APISecret: tokens.APISecret,
		Token: tokens.AccessToken, Secret: tokens.AccessTokenSecret, Ring: w.ring,
	})
}

// tweetOf is a tweet that a user has posted before, and nobody has counted.
func (w *world) tweetOf(username string) string {
	w.Helper()
	tweet, err := w.x.AddTweet(sandbox.Tweet{Username: username, Text: "seed"})
	require.NoError(w, err)
	return tweet.ID
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	_, err := w.db.Exec(w.Context(), sql, args...)
	require.NoError(w, err, sql)
}

// one reads one value from the database.
func one[T any](w *world, sql string, args ...any) T {
	w.Helper()
	var value T
	require.NoError(w, w.db.QueryRow(w.Context(), sql, args...).Scan(&value), sql)
	return value
}

// work starts a worker of so many slots, which runs until the test ends, or it is stopped.
func (w *world) work(slots int) (stop func()) {
	w.Helper()
	pool, err := store.Connect(w.Context(), store.Secret(w.url), "worker", int32(12+slots/2))
	require.NoError(w, err)
	return w.workOn(pool, slots)
}

// workOn starts a worker that uses the pool, and closes it in the end.
func (w *world) workOn(pool *pgxpool.Pool, slots int) (stop func()) {
	w.Helper()
	w.workers++
	name := fmt.Sprintf("worker %d", w.workers)
	client := twitter.NewHTTPClient()
	w.Cleanup(client.CloseIdleConnections)
	ready := make(chan struct{})
	worker, err := jobs.New(jobs.Config{
		Keyring: w.ring, Logger: slog.New(slog.DiscardHandler), Name: name, Pool: pool, PollInterval: w.poll,
		Time: riverTime{w.clock}, Workers: slots, X: twitter.Config{BaseURL: w.x.URL(), HTTPClient: client},
		Observe: func(e jobs.Event) {
			if e.Type == jobs.EventReady {
				close(ready)
			}
			w.observe(e)
		},
	})
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w, <-ended)
		pool.Close()
	})
	w.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(soon):
		require.FailNow(w, "the worker did not start")
	}
	w.slots[store.PostTweet.Queue()] += slots
	w.slots[store.DeleteTweet.Queue()] += max(1, slots/4)
	w.slots[store.Retweet.Queue()] += max(1, slots/4)
	return stop
}

func (w *world) observe(e jobs.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// problems are what the workers could not do, or did otherwise than planned.
func (w *world) problems() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, e := range w.events {
		switch e.Type {
		case jobs.EventError, jobs.EventFailed, jobs.EventMissed, jobs.EventUnconfirmed, jobs.EventHeld, jobs.EventPostedTwice:
			all = append(all, fmt.Sprintf("%s %s row %d: %s %v", e.Type, e.Kind, e.RowID, e.Reason, e.Err))
		case jobs.EventReady, jobs.EventDue, jobs.EventDone, jobs.EventWaiting, jobs.EventBudget:
		}
	}
	return all
}

// arrivals are the requests that X has counted of a user on one of the routes, in the order of arrival. An empty
// username stands for all users.
func (w *world) arrivals(username string, routes ...sandbox.Route) []sandbox.Request {
	var all []sandbox.Request
	for _, r := range w.x.Requests() {
		if !r.CountedAt.IsZero() && slices.Contains(routes, r.Route) && (username == "" || r.Username == username) {
			all = append(all, r)
		}
	}
	return all
}

// tooMany are the answers 429.
func (w *world) tooMany() []sandbox.Request {
	return slices.DeleteFunc(w.x.Requests(), func(r sandbox.Request) bool { return r.Status != 429 })
}

// rows are the rows, their jobs and the windows, as they stand, for a person.
func (w *world) rows() string {
	return one[string](w, `SELECT 'now: ' || tweetqueue.clock() || coalesce(string_agg(line, '' ORDER BY line), '') FROM (
SELECT format(E'\n%s %s of %s, %s until %s: %s', kind, id, account, concat_ws(':', status, waiting_for), next_attempt_at, error) AS line FROM tweetqueue.waiting
UNION ALL SELECT format(E'\njob %s of %s is %s, scheduled at %s, attempt %s at %s', id, args, state, scheduled_at, attempt, attempted_at)
FROM tweetqueue.river_job WHERE finalized_at IS NULL
UNION ALL SELECT format(E'\naccount %s %s waits until %s', account_id, action, until) FROM tweetqueue.quota_waits
UNION ALL SELECT format(E'\nwindow %s: %s of %s in %s, blocked until %s, others %s until %s', name, (SELECT sum(g) FROM unnest(grants) AS g),
    concat_ws('/', x_maximum, maximum), period, blocked_until, others, others_until) FROM tweetqueue.quotas LIMIT 100) AS lines`)
}
