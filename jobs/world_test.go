package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// soon is how long a test waits for what must happen; it is never waited for in full unless the test fails.
const soon = 30 * time.Second

// world is all that a worker needs: a database with account acme, and an X.
type world struct {
	*testing.T
	url  string // of the database
	db   *pgxpool.Pool
	key  store.Secret
	ring *store.Keyring
	x    *sandbox.Server
	app  sandbox.App
}

// newWorld has an X without limits and without a rule against repetition, unless config says
// otherwise: what is tested is that the worker needs neither.
func newWorld(t *testing.T, config sandbox.Config) *world {
	t.Helper()
	w := newSilentWorld(t, config)
	require.NoError(t, w.x.Start(""))
	return w
}

// newSilentWorld is a newWorld whose X does not listen yet.
func newSilentWorld(t *testing.T, config sandbox.Config) *world {
	t.Helper()
	if config.Limits == nil {
		config.Limits = []sandbox.Limit{}
	}
	if config.DuplicateWindow == 0 {
		config.DuplicateWindow = -1
	}
	w := &world{T: t, url: storetest.URL(t), key: store.NewKey()}
	w.db = storetest.Open(t, w.url)
	var err error
	w.ring, err = store.ParseKeyring(w.key)
	require.NoError(t, err)
	w.x, err = sandbox.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.x.Close()) })
	w.app, err = w.x.AddApp(sandbox.App{Name: "tests"})
	require.NoError(t, err)
	w.account("acme")
	return w
}

// account adds a user to X and an account to the database, and returns the account's id.
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

// tweet enqueues a tweet of acme that is due now.
func (w *world) tweet(text string) int64 {
	w.Helper()
	return storetest.Tweet(w, w.db, text, 0)
}

// enqueue enqueues any tweet, due in the given time.
func (w *world) enqueue(account string, tweet store.Tweet, in time.Duration) int64 {
	w.Helper()
	now, err := store.Clock(w.Context(), w.db)
	require.NoError(w, err)
	at := now.Add(in)
	id, _, err := store.TweetInsert(w.Context(), w.db, account, tweet, &at, 0)
	require.NoError(w, err)
	return id
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	_, err := w.db.Exec(w.Context(), sql, args...)
	require.NoError(w, err)
}

// one reads one value from the database.
func one[T any](w *world, sql string, args ...any) T {
	w.Helper()
	var value T
	require.NoError(w, w.db.QueryRow(w.Context(), sql, args...).Scan(&value), sql)
	return value
}

func (w *world) entry(id int64) store.Entry {
	w.Helper()
	entry, err := store.EntryGet(w.Context(), w.db, id)
	require.NoError(w, err)
	return entry
}

// status is a row's status and what it waits for, as "status" or "status:waiting_for".
func (w *world) status(id int64) string {
	w.Helper()
	return storetest.Status(w, w.db, id)
}

func (w *world) requests(id int64) []store.SentRequest {
	w.Helper()
	list, err := store.RequestList(w.Context(), w.db, id)
	require.NoError(w, err)
	return list
}

// taken is how many places account acme has taken in one of its windows.
func (w *world) taken(window string) int {
	w.Helper()
	return one[int](w, `SELECT coalesce(sum(g), 0) FROM tweetqueue.quotas q JOIN tweetqueue.accounts a
ON a.id = q.account_id, unnest(q.grants) AS g WHERE a.username = 'acme' AND q.name = $1`, window)
}

// texts are the texts of the tweets on X, in the order in which they were made.
func (w *world) texts() []string {
	var all []string
	for _, tweet := range w.x.Tweets() {
		all = append(all, tweet.Text)
	}
	return all
}

// fault puts a fault in force until the test ends.
func (w *world) fault(f sandbox.Fault) *sandbox.ActiveFault {
	w.Helper()
	active, err := w.x.Fault(f)
	require.NoError(w, err)
	w.Cleanup(active.Lift)
	return active
}

// held waits until a fault has held n requests.
func (w *world) held(fault *sandbox.ActiveFault, n int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), soon)
	defer cancel()
	require.NoError(w, fault.WaitHeld(ctx, n))
}

// eventually waits for what only the database can tell.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	require.Eventually(w, holds, soon, 20*time.Millisecond, what)
}

// within waits for a signal.
func (w *world) within(signal <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-signal:
	case <-time.After(soon):
		require.FailNow(w, "did not happen: "+what)
	}
}

// lockWaits waits until n sessions of a program wait for a lock.
func (w *world) lockWaits(app string, n int) {
	w.Helper()
	w.eventually(fmt.Sprintf("%d sessions of %s wait for a lock", n, app), func() bool {
		return one[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND application_name = $1 AND wait_event_type = 'Lock'`, app) >= n
	})
}

// workerApp is the application_name of the workers' sessions.
const workerApp = "worker under test"

// opts are how a worker of a test differs from the default one.
type opts struct {
	config   Config
	database string // through another way than the world's
	conns    int32
}

// newWorker makes a worker that is not started. Its pool and connections end with the test.
func (w *world) newWorker(o opts) *Worker {
	w.Helper()
	if o.database == "" {
		o.database = w.url
	}
	if o.conns == 0 {
		o.conns = 4 // each costs more than most tests do
	}
	config := o.config
	config.Keyring, config.Name = w.ring, "test"
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Pool = storetest.OpenAs(w, o.database, workerApp, o.conns)
	if config.X.BaseURL == "" {
		config.X.BaseURL = w.x.URL()
	}
	config.X.HTTPClient = twitter.NewHTTPClient()
	w.Cleanup(config.X.HTTPClient.CloseIdleConnections)
	worker, err := New(config)
	require.NoError(w, err)
	w.Cleanup(worker.lease.disconnect) // where the test started it without Run
	return worker
}

// running is a worker that runs until the test ends, or stop.
type running struct {
	*Worker
	world *world
	stop  func() // tells it to stop, and waits
	tell  func() // only tells it to
	ended chan struct{}
	err   error // of Run, once ended

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed at the next event
}

func (w *world) start(o opts) *running {
	w.Helper()
	r := &running{world: w, ended: make(chan struct{}), changed: make(chan struct{})}
	o.config.Observe = r.observe
	r.Worker = w.newWorker(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	go func() {
		defer close(r.ended)
		r.err = r.Run(ctx)
	}()
	r.tell = cancel
	r.stop = func() {
		cancel()
		<-r.ended
	}
	w.Cleanup(func() {
		r.stop()
		require.NoError(w, r.err)
	})
	return r
}

func (r *running) observe(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
	close(r.changed)
	r.changed = make(chan struct{})
}

// all returns the events of a type so far, of all rows if there are no ids.
func (r *running) all(kind EventType, rowIDs ...int64) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Event
	for _, e := range r.events {
		if e.Type == kind && (len(rowIDs) == 0 || slices.Contains(rowIDs, e.RowID)) {
			found = append(found, e)
		}
	}
	return found
}

// wait waits for an event of a type for each of the rows, also one that was before, and returns the
// last row's.
func (r *running) wait(kind EventType, rowIDs ...int64) Event {
	r.world.Helper()
	var last Event
	for _, id := range rowIDs {
		last = r.waitFor(func(e Event) bool { return e.Type == kind && e.RowID == id })
	}
	return last
}

// waitFor waits for an event, also one that was before.
func (r *running) waitFor(is func(Event) bool) Event {
	r.world.Helper()
	late := time.After(soon)
	for {
		r.mu.Lock()
		i, changed := slices.IndexFunc(r.events, is), r.changed
		var found Event
		if i >= 0 {
			found = r.events[i]
		}
		r.mu.Unlock()
		if i >= 0 {
			return found
		}
		select {
		case <-changed:
		case <-late:
			require.FailNow(r.world, "an event did not come", "%s%s", r.history(), r.world.rows())
		}
	}
}

// rows are the rows and their jobs, as they stand, for a person.
func (w *world) rows() string {
	w.Helper()
	return one[string](w, `SELECT 'now: ' || tweetqueue.clock() || coalesce(string_agg(line, '' ORDER BY line), '') FROM (
SELECT format(E'\n%s %s %s until %s: %s', kind, id, concat_ws(':', status, waiting_for), next_attempt_at, error) AS line FROM tweetqueue.waiting
UNION ALL SELECT format(E'\njob %s of %s is %s, scheduled at %s, attempt %s at %s', id, args, state, scheduled_at, attempt, attempted_at)
FROM tweetqueue.river_job WHERE finalized_at IS NULL) AS lines`)
}

func (r *running) history() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintf(&b, "%s %s %s row %d: %s %s %v\n", e.At.Format("05.000"), e.Type, e.Kind, e.RowID, e.WaitingFor, e.Reason, e.Err)
	}
	return b.String()
}
