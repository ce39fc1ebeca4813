package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// soon is how long a test waits for what must happen; it is never waited for in full unless the test
// fails.
const soon = time.Minute

// world is a database, an X, and the accounts that are in both.
type world struct {
	*testing.T

	db   *pgxpool.Pool // straight to the database, past every fault
	url  string        // of the same
	x    *sandbox.Server
	key  store.Secret
	apps []sandbox.App
	dir  string // logs and journals of the processes; kept if the test fails

	accounts []account
}

type account struct {
	id       int64
	username string
}

// newWorld fills a database and an X with accounts of as many apps.
func newWorld(t *testing.T, url string, config sandbox.Config, apps, accounts int) *world {
	t.Helper()
	w := &world{T: t, url: url, key: store.NewKey()}
	var err error
	w.db, err = store.Connect(t.Context(), store.Secret(url), "chaos", 10)
	require.NoError(t, err)
	t.Cleanup(w.db.Close)
	w.x, err = sandbox.New(config)
	require.NoError(t, err)
	require.NoError(t, w.x.Start(""))
	t.Cleanup(func() { require.NoError(t, w.x.Close()) })
	w.dir, err = os.MkdirTemp("", "tweetqueue-chaos-") //nolint:usetesting // it outlives a test that fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the processes said is in %s", w.dir)
			return
		}
		_ = os.RemoveAll(w.dir)
	})
	// A deletion that is repeated counts each time, and the guide's 50 would make a run wait for their window.
	w.exec(`UPDATE tweetqueue.limits SET maximum = 100000`)
	ring, err := store.ParseKeyring(w.key)
	require.NoError(t, err)
	for i := range apps {
		app, err := w.x.AddApp(sandbox.App{Name: fmt.Sprintf("app%d", i)})
		require.NoError(t, err)
		w.apps = append(w.apps, app)
	}
	for i := range accounts {
		w.addAccount(ring, w.apps[i%apps], fmt.Sprintf("user%d", i))
	}
	return w
}

// addAccount adds a user to X and an account to the database.
func (w *world) addAccount(ring *store.Keyring, app sandbox.App, username string) {
	w.Helper()
	user, err := w.x.AddUser(sandbox.User{Username: username})
	require.NoError(w, err)
	tokens, err := w.x.Authorize(app.Key, username)
	require.NoError(w, err)
	sealed, err := store.AppCredentials{APIKey: store.Secret(tokens.APIKey), APISecret: store.Secret(tokens.APISecret)}.Seal(ring, app.Name)
	require.NoError(w, err)
	appID, err := store.AppPut(w.Context(), w.db, app.Name, sealed)
	require.NoError(w, err)
	sealed, err = store.AccountCredentials{
		AccessToken: store.Secret(tokens.AccessToken), AccessTokenSecret: store.Secret(tokens.AccessTokenSecret),
	}.Seal(ring, user.ID)
	require.NoError(w, err)
	id, err := store.AccountPut(w.Context(), w.db, store.AccountPutParams{
		Username: username, XUserID: user.ID, AppID: appID, Credentials: sealed,
	})
	require.NoError(w, err)
	w.accounts = append(w.accounts, account{id: id, username: username})
}

// child is what every worker process of this world is told.
func (w *world) child(name string, p pace) child {
	return child{Name: name, Database: w.url, Key: string(w.key), X: w.x.URL(), Workers: 4, Pace: p}
}

// log opens the file that a process writes to.
func (w *world) log(name string) *os.File {
	w.Helper()
	file, err := os.OpenFile(filepath.Join(w.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(w, err)
	w.Cleanup(func() { _ = file.Close() })
	return file
}

func (w *world) spawn(c child) *process {
	w.Helper()
	return spawn(w, c, w.log(c.Name))
}

// tweet enqueues a tweet that is due now.
func (w *world) tweet(username, text, ifUnconfirmed string) int64 {
	w.Helper()
	id, _, err := store.TweetInsert(w.Context(), w.db, username, store.Tweet{Text: text, IfUnconfirmed: ifUnconfirmed}, nil, 0)
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

// eventually waits for what only the database can tell.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	require.Eventually(w, holds, soon, 50*time.Millisecond, what)
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

// hasten makes the leases of dead workers, the jobs that they were at, and their look-ups as old as they will be
// by themselves in a minute.
func (w *world) hasten(dead string) {
	w.Helper()
	w.exec(`UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '12 seconds' WHERE name = $1`, dead)
	w.exec(`UPDATE tweetqueue.river_job SET attempted_at = attempted_at - interval '1 minute' WHERE state = 'running'`)
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock() - interval '30 seconds' WHERE status = 'unconfirmed'
AND next_attempt_at > tweetqueue.clock() - interval '20 seconds'`)
}

// on are the tweets on X whose text has a part.
func (w *world) on(part string) []sandbox.Tweet {
	var all []sandbox.Tweet
	for _, tweet := range w.x.Tweets() {
		if strings.Contains(tweet.Text, part) {
			all = append(all, tweet)
		}
	}
	return all
}

// entries are all rows of tweets.
func (w *world) entries() []store.Entry {
	w.Helper()
	all, err := store.EntryList(w.Context(), w.db, store.EntryFilter{
		Statuses: []store.Status{store.Scheduled, store.Sending, store.Posted, store.Failed, store.Unconfirmed, store.Missed, store.Cancelled},
	})
	require.NoError(w, err)
	return all
}
