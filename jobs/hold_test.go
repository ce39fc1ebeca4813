package jobs

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// An answer about the account holds that account, and no other, until a person resumes it.
func TestHoldsAnAccount(t *testing.T) {
	t.Parallel()
	for kind, want := range map[sandbox.Kind]struct {
		state store.State
		ends  bool // by itself
	}{
		sandbox.KindUnauthorized:  {store.Paused, true},
		sandbox.KindReadOnlyApp:   {store.Paused, true},
		sandbox.KindNotEnrolled:   {store.Paused, true},
		sandbox.KindUserSuspended: {store.Suspended, false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.account("other")
			fault := w.fault(sandbox.Fault{Match: sandbox.Match{Username: "acme"}, Kind: kind})
			first := w.tweet("one")
			r := w.start(opts{})
			event := r.wait(EventWaiting, first)
			require.Equal(t, store.ForAccount, event.WaitingFor)
			held := r.waitFor(func(e Event) bool { return e.Type == EventHeld })
			require.Equal(t, "acme", held.Account)
			require.Equal(t, store.ForAccount, held.WaitingFor)
			require.Equal(t, event.Reason, held.Reason)

			account, err := store.AccountGet(t.Context(), w.db, "acme")
			require.NoError(t, err)
			require.Equal(t, want.state, account.State)
			require.Equal(t, held.Reason, *account.Reason)
			require.Equal(t, want.ends, account.Until != nil)
			if want.ends {
				require.WithinDuration(t, *account.Until, *event.Until, 10*time.Second, "the row waits as long as the account")
			} else {
				require.Nil(t, event.Until, "for a person")
			}

			// The account's next one does not ask X; another account's does not wait.
			second := w.tweet("two")
			require.Contains(t, r.wait(EventWaiting, second).Reason, `account "acme" is `+string(want.state)+": ")
			r.wait(EventDone, w.enqueue("other", store.Tweet{Text: "a bystander"}, 0))
			require.Len(t, w.requests(first), 1)
			require.Empty(t, w.requests(second))

			fault.Lift()
			w.exec(`UPDATE tweetqueue.accounts SET state = 'active' WHERE username = 'acme'`)
			r.wait(EventDone, first, second)
			require.Len(t, w.requests(first), 2)
			require.Len(t, w.x.Requests(), 4)
			w.requireNoAttempts()
		})
	}
}

// An answer about money holds every account of the app.
func TestHoldsAnApp(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{sandbox.KindCreditsDepleted, sandbox.KindSpendCapReached, sandbox.KindUsageCapExceeded} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			w.account("other")
			fault := w.fault(sandbox.Fault{Kind: kind, Wait: 48 * time.Hour})
			first := w.tweet("one")
			r := w.start(opts{})
			event := r.wait(EventWaiting, first)
			require.Equal(t, store.ForApp, event.WaitingFor)
			require.Equal(t, store.ForApp, r.waitFor(func(e Event) bool { return e.Type == EventHeld }).WaitingFor)
			second := w.enqueue("other", store.Tweet{Text: "two"}, 0)
			require.Contains(t, r.wait(EventWaiting, second).Reason, `app "default" is paused: create tweet: `)
			require.Len(t, w.x.Requests(), 1)

			until := one[time.Time](w, `SELECT state_until FROM tweetqueue.apps`)
			if kind == sandbox.KindSpendCapReached {
				day := time.Now().Add(48 * time.Hour).UTC().Truncate(24 * time.Hour)
				require.WithinDuration(t, day, until, time.Minute, "to the day that X named")
			} else {
				require.WithinDuration(t, time.Now().Add(time.Hour), until, time.Minute)
			}

			fault.Lift()
			w.exec(`UPDATE tweetqueue.apps SET state = 'active'`)
			r.wait(EventDone, first, second)
			w.requireNoAttempts()
		})
	}
}

// At the end of a hold one that succeeds ends it for all that wait.
func TestHoldEndsByItself(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind sandbox.Kind
		end  string
		what store.WaitingFor
	}{
		"Account": {sandbox.KindUnauthorized, `UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock()`, store.ForAccount},
		"App":     {sandbox.KindCreditsDepleted, `UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`, store.ForApp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			fault := w.fault(sandbox.Fault{Kind: test.kind})
			first := w.tweet("one")
			r := w.start(opts{})
			r.wait(EventWaiting, first)
			second := w.tweet("two")
			require.Equal(t, test.what, r.wait(EventWaiting, second).WaitingFor)

			// One is tried again at the end, here moved to now, and fails again: it is held for longer.
			w.exec(test.end)
			w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE id = $1`, first)
			w.eventually("the probe is held again", func() bool {
				return len(w.requests(first)) == 2 && w.status(first) == "scheduled:"+string(test.what)
			})
			require.Empty(t, w.requests(second))

			fault.Lift()
			w.exec(test.end)
			w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE id = $1`, first)
			r.wait(EventDone, first, second)
			require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.accounts`))
			require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.apps`))
			require.Nil(t, one[*string](w, `SELECT state_reason FROM tweetqueue.accounts`))
		})
	}
}

// At the end of a hold one row tries whether it is over; the others do not go with it.
func TestHoldEndsForOneRowFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.fault(sandbox.Fault{Kind: sandbox.KindUnauthorized})
	r := w.start(opts{})
	r.wait(EventWaiting, w.tweet("the first"))
	var ids []int64
	for i := range 20 {
		ids = append(ids, w.tweet(fmt.Sprintf("waits %d", i)))
	}
	r.wait(EventWaiting, ids...)
	require.Len(t, w.x.Requests(), 1)

	w.exec(`UPDATE tweetqueue.accounts SET state_until = tweetqueue.clock()`)
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL`) // all of them wake at once
	w.eventually("all wait again, for the hold that the one has brought", func() bool {
		return len(w.x.Requests()) == 2 && one[bool](w, `SELECT bool_and(waiting_for = 'account' AND next_attempt_at IS NOT NULL)
			FROM tweetqueue.tweets`) && one[bool](w, `SELECT state_until > tweetqueue.clock() + interval '10 minutes' FROM tweetqueue.accounts`)
	})
	require.Len(t, w.x.Requests(), 2)
}

// Credentials that another key sealed are a person's matter, and no request.
func TestHoldsAnAccountThatDoesNotDecrypt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.exec(`UPDATE tweetqueue.accounts SET credentials = 'rubbish'`)
	id := w.tweet("one")
	r := w.start(opts{})
	event := r.wait(EventWaiting, id)
	require.Equal(t, store.ForAccount, event.WaitingFor)
	require.Contains(t, event.Reason, "tokens of X user")
	require.Equal(t, store.Paused, one[store.State](w, `SELECT state FROM tweetqueue.accounts`))
	require.WithinDuration(t, time.Now().Add(probeConfigured), *event.Until, time.Minute)
	require.Empty(t, w.x.Requests())
	require.Zero(t, w.taken("posts"), "its place is returned")

	w.account("second") // with the same app, whose keys are good
	r.wait(EventDone, w.enqueue("second", store.Tweet{Text: "a bystander"}, 0))
}

// App keys that another key sealed, or that somebody spoilt while the worker ran, hold the whole app.
func TestHoldsAnAppThatDoesNotDecrypt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	r := w.start(opts{})
	r.wait(EventDone, w.tweet("before"))
	good := one[[]byte](w, `SELECT credentials FROM tweetqueue.apps`)
	w.exec(`UPDATE tweetqueue.apps SET credentials = 'rubbish'`)
	id := w.tweet("one")
	event := r.wait(EventWaiting, id)
	require.Equal(t, store.ForApp, event.WaitingFor)
	require.Contains(t, event.Reason, `keys of app "default"`)
	require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.accounts`))
	require.Len(t, w.x.Requests(), 1)
	require.ErrorIs(t, w.newWorker(opts{}).Run(t.Context()), store.ErrSealed, "a worker would not even start with them")

	w.exec(`UPDATE tweetqueue.apps SET credentials = $1, state = 'active'`, good)
	r.wait(EventDone, id)
}

// When a hold ends, one request tries whether it is over: not all that wait, nor one that has to wait
// for something else.
func TestOneRequestProbesAHold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hold string
		what store.WaitingFor
	}{
		"Account": {`UPDATE tweetqueue.accounts SET state = 'paused', state_reason = 'by hand', state_until = tweetqueue.clock() + $1`, store.ForAccount},
		"App":     {`UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'by hand', state_until = tweetqueue.clock() + $1`, store.ForApp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tweets = 10
			w := newWorld(t, sandbox.Config{})
			fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
			w.exec(test.hold, time.Hour)
			w.exec(`UPDATE tweetqueue.quotas SET blocked_until = tweetqueue.clock() + interval '1 hour' WHERE name = 'deletions'`)
			deletion := storetest.Deletion(t, w.db, "1445880548472328192", 0)
			var ids []int64
			for i := range tweets {
				ids = append(ids, w.tweet("number "+strconv.Itoa(i)))
			}
			r := w.start(opts{})
			r.wait(EventWaiting, append(ids, deletion)...)
			require.Empty(t, w.x.Requests())

			// It ends. The deletion comes first, and has to wait for its limit.
			w.exec(test.hold, time.Duration(0))
			w.exec(`UPDATE tweetqueue.deletions SET next_attempt_at = NULL`)
			require.Equal(t, store.ForQuota, r.waitFor(func(e Event) bool { return e.RowID == deletion && e.WaitingFor != test.what }).WaitingFor)
			w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = NULL`)
			w.held(fault, 1)
			w.eventually("the others wait for the hold again", func() bool {
				return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE waiting_for = $1 AND next_attempt_at > tweetqueue.clock()`, test.what) == tweets-1
			})
			require.Equal(t, 1, one[int](w, `SELECT count(*) FROM tweetqueue.requests`))
			fault.Lift()
			r.wait(EventDone, ids...)
			require.Len(t, w.x.Requests(), tweets)
		})
	}
}

// A request that the client itself refuses to send costs its row the chance, and nothing else.
func TestRefusedByTheClientReturnsItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	id := w.tweet("Hi")
	claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
	require.NoError(t, err)
	claims[0].request.Body = []byte(`no JSON`)
	require.NoError(t, worker.settle(t.Context(), worker.send(t.Context(), claims[0])))
	require.Equal(t, "failed", w.status(id))
	require.Zero(t, w.taken("posts"))
	require.Empty(t, w.x.Requests())
}

// refusing returns an address of the loopback interface where nobody listens, and nobody else will.
func refusing(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
}

// A request that certainly never left is tried again, and costs nothing.
func TestRetriesARefusedConnection(t *testing.T) {
	t.Parallel()
	w := newSilentWorld(t, sandbox.Config{})
	address := refusing(t)
	id := w.tweet("Hello?")
	old, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "an old one"})
	require.NoError(t, err)
	deletion := storetest.Deletion(t, w.db, old.ID, 0)
	there := opts{config: Config{X: twitter.Config{BaseURL: "http://" + address}}}
	r := w.start(there)
	r.wait(EventWaiting, id, deletion)
	r.stop()
	for _, row := range []int64{id, deletion} {
		event := r.wait(EventWaiting, row)
		require.Equal(t, store.ForRetry, event.WaitingFor)
		require.Contains(t, event.Reason, "never sent")
		require.Equal(t, "scheduled:retry", w.status(row))
		require.InDelta(t, 2*time.Second, event.Until.Sub(*w.requests(row)[0].AnsweredAt), float64(time.Second))
		require.Len(t, w.requests(row), 1)
	}
	require.Zero(t, w.taken("posts"), "its place is returned")
	require.Zero(t, w.taken("deletions"), "its place is returned")
	require.NoError(t, w.x.Start(address))
	w.start(there).wait(EventDone, id, deletion)
	require.Len(t, w.x.Requests(), 2)
	require.Zero(t, one[int](w, `SELECT retries FROM tweetqueue.tweets`), "the next failure starts anew")
	require.Equal(t, 1, w.taken("posts"))
	w.requireNoAttempts()
}
