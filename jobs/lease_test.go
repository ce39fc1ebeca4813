package jobs

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

func TestLeaseCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lease{id: 7, began: time.Now()}
		require.NoError(t, l.check(7))
		<-time.After(leaseFresh - time.Nanosecond)
		require.NoError(t, l.check(7), "right before its end")
		<-time.After(time.Nanosecond)
		err := l.check(7)
		require.ErrorIs(t, err, ErrLeaseStale)
		require.ErrorContains(t, err, "8s ago")

		l.began = time.Now()
		require.NoError(t, l.check(7), "renewed")
		err = l.check(6)
		require.ErrorIs(t, err, ErrLeaseStale, "a claim under the lease before")
		require.ErrorContains(t, err, "replaced")
	})
}

// A machine that slept shows it on the wall clock alone, a wall clock that was set back on the
// monotonic one alone.
func TestLeaseCheckTrustsNeitherClockAlone(t *testing.T) {
	t.Parallel()
	l := &lease{id: 7, began: time.Now().Add(-9 * time.Second).Round(0)}
	require.ErrorIs(t, l.check(7), ErrLeaseStale, "by the wall clock")

	began := time.Now()
	// The second word of a time.Time is its monotonic reading; nothing else can set it apart.
	*(*int64)(unsafe.Add(unsafe.Pointer(&began), 8)) -= int64(9 * time.Second)
	require.WithinDuration(t, time.Now().Round(0), began.Round(0), time.Second, "the wall clock says now")
	l.began = began
	require.ErrorIs(t, l.check(7), ErrLeaseStale, "by the monotonic clock")
}

func TestLeaseRenew(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	l := &lease{pool: db, name: "test"}
	t.Cleanup(l.disconnect)
	require.NoError(t, l.start(t.Context()))
	first, began := l.id, l.began
	require.NoError(t, l.renew(t.Context()))
	require.Equal(t, first, l.id)
	require.True(t, l.began.After(began), "a renewal counts from when it began")

	// The lease dies: another worker may have taken its rows over.
	_, err := db.Exec(t.Context(), `UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '13 seconds'`)
	require.NoError(t, err)
	err = l.renew(t.Context())
	require.ErrorIs(t, err, store.ErrLostRace, "it is told")
	require.ErrorContains(t, err, "has a new one")
	require.NotEqual(t, first, l.id)
	require.NoError(t, l.check(l.id))
	require.ErrorIs(t, l.check(first), ErrLeaseStale)
	require.NoError(t, l.renew(t.Context()), "the new one lives")

	// A failed renewal leaves its age as it was.
	began = l.began
	ended, end := context.WithCancel(t.Context())
	end()
	require.Error(t, l.renew(ended))
	require.Equal(t, began, l.began)
}

// counter is a server that counts the bytes it gets, and answers nothing.
func counter(t *testing.T) (url string, received *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	received = new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				for {
					n, err := conn.Read(buf)
					received.Add(int64(n))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String(), received
}

// Whatever happened between claim and send, a lease that is not fresh keeps every byte back, and the
// row waits as if it had not been claimed.
func TestStaleLeaseSendsNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*world, *Worker, []claimed)
		want  string
	}{
		"Frozen": {
			func(_ *world, worker *Worker, _ []claimed) { worker.lease.began = worker.lease.began.Add(-leaseFresh) },
			"was last renewed",
		},
		"Replaced": {
			func(w *world, worker *Worker, _ []claimed) {
				w.exec(`UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '13 seconds'`)
				require.Error(w, worker.lease.renew(w.Context()))
			},
			"was replaced",
		},
		"TooLate": {
			func(_ *world, _ *Worker, claims []claimed) { claims[0].sendBy = claims[0].sendBy.Add(-sendWithin) },
			"the time to send it has passed",
		},
		"TakenOver": { // meanwhile the row became unconfirmed: it certainly was not sent, so it goes on
			func(w *world, worker *Worker, _ []claimed) {
				w.exec(`UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '13 seconds'`)
				require.Error(w, worker.lease.renew(w.Context()))
				require.NoError(w, worker.takeOver(w.Context()))
			},
			"was replaced",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			url, received := counter(t)
			worker := w.newWorker(opts{config: Config{X: twitter.Config{BaseURL: url}}})
			require.NoError(t, worker.lease.start(t.Context()))
			id := w.tweet("Nobody may see this")
			claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
			require.NoError(t, err)
			require.Len(t, claims, 1)
			require.Equal(t, "sending", w.status(id))
			require.Equal(t, 1, w.taken("posts"))
			require.Equal(t, 1, w.taken("writes"))

			test.spoil(w, worker, claims)
			result := worker.send(t.Context(), claims[0])
			failure := new(twitter.Error)
			require.ErrorAs(t, result.err, &failure)
			require.Equal(t, twitter.KindNeverSent, failure.Kind)
			require.NoError(t, worker.settle(t.Context(), result))

			require.Zero(t, received.Load(), "bytes on the wire")
			require.Equal(t, "scheduled:retry", w.status(id))
			require.Contains(t, *w.entry(id).Error, test.want)
			require.Zero(t, w.taken("posts"), "its place is returned")
			require.Zero(t, w.taken("writes"), "its place is returned")
			require.Equal(t, "retry", *w.requests(id)[0].Outcome)
		})
	}
}

// A request does not start past its row's deadline, however soon that is.
func TestSendsNothingPastTheDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	url, received := counter(t)
	worker := w.newWorker(opts{config: Config{X: twitter.Config{BaseURL: url}}})
	require.NoError(t, worker.lease.start(t.Context()))
	now, err := store.Clock(t.Context(), w.db)
	require.NoError(t, err)
	left := sendWithin - time.Second
	deadline := now.Add(left).Truncate(time.Microsecond)
	id := w.enqueue("acme", store.Tweet{Text: "Now or never", PostBefore: &deadline}, 0)
	claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
	require.NoError(t, err)
	require.Len(t, claims, 1)
	require.WithinDuration(t, deadline, claims[0].request.SendBy, 0)
	require.LessOrEqual(t, time.Until(claims[0].sendBy), left)

	claims[0].sendBy = claims[0].sendBy.Add(-left) // the time passes
	result := worker.send(t.Context(), claims[0])
	require.ErrorIs(t, result.err, ErrSendByPassed)
	require.NoError(t, worker.settle(t.Context(), result))
	require.Zero(t, received.Load())
	require.Equal(t, "scheduled:retry", w.status(id))
	require.False(t, w.entry(id).NextAttemptAt.After(deadline))
}

// The time to send begins when the places are had: a claim that had to wait for them is not late.
func TestTimeToSendBeginsAfterTheLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	id := w.tweet("Hi")
	lock := w.application()
	_, err := lock.Exec(t.Context(), `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	require.NoError(t, err)
	done := make(chan []claimed, 1)
	go func() {
		claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
		assert.NoError(t, err)
		done <- claims
	}()
	w.lockWaits(workerApp, 1)
	free := time.Now()
	require.NoError(t, lock.Rollback(t.Context()))
	claims := <-done
	require.Len(t, claims, 1)
	require.False(t, claims[0].sendBy.Before(free.Add(sendWithin)), "not before it has its places")
	require.False(t, claims[0].sendBy.After(time.Now().Add(sendWithin)))
	now, err := store.Clock(t.Context(), w.db)
	require.NoError(t, err)
	require.LessOrEqual(t, time.Until(claims[0].sendBy), claims[0].request.SendBy.Sub(now)+time.Millisecond, "nor later than the database says")
}

// A worker that cannot prove that it lives does not even claim.
func TestStaleLeaseClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	worker.lease.began = worker.lease.began.Add(-leaseFresh)
	id := w.tweet("Hi")
	claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: id}})
	require.ErrorIs(t, err, ErrLeaseStale)
	require.Empty(t, claims)
	require.Equal(t, "scheduled:time", w.status(id))
	require.Zero(t, w.taken("posts"))
}

// A worker that runs on beside a database that needs a newer one loses its lease, and so sends nothing.
func TestTooOldLosesItsLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.newWorker(opts{})
	require.NoError(t, worker.lease.start(t.Context()))
	t.Cleanup(worker.lease.disconnect)
	require.NoError(t, worker.lease.renew(t.Context()))
	w.exec(`INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (1000, 8, 1000)`)
	err := worker.lease.renew(t.Context())
	require.ErrorContains(t, err, "is too old for the database, which needs one that knows migration 1000")
	worker.lease.began = worker.lease.began.Add(-leaseFresh)
	require.ErrorIs(t, worker.lease.check(worker.lease.current()), ErrLeaseStale)
	storetest.MoveClock(t, w.db, time.Minute) // it is dead
	require.ErrorIs(t, worker.lease.renew(t.Context()), store.ErrRefused, "nor does it get another")
}
