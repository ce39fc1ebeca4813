package sandbox_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// road is what requests wait on before they arrive.
type road struct {
	asked chan time.Duration
	open  chan time.Time
}

func newRoad() *road {
	return &road{asked: make(chan time.Duration, 100), open: make(chan time.Time)}
}

func (r *road) after(d time.Duration) <-chan time.Time {
	r.asked <- d
	return r.open
}

// TestArrivalDelay: a request under way is on no record and in no window. It arrives when it does.
func TestArrivalDelay(t *testing.T) {
	t.Parallel()
	for name, roll := range map[string]bool{"Anchored": false, "Rolling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock, r := newTestClock(), newRoad()
			limit := me(sandbox.PerUser, 2, time.Minute, sandbox.FamilyEndpoint)
			limit.Rolling = roll
			b := setup(t, sandbox.Config{
				Now: clock.Now, After: r.after, ArrivalDelay: sandbox.Delay{Min: 5 * time.Second}, Limits: []sandbox.Limit{limit},
			})
			first := b.async(b.request(b.acme, "GET", "/2/users/me", ""))
			require.Equal(t, 5*time.Second, <-r.asked)
			require.Empty(t, b.server.Requests())
			clock.Advance(5 * time.Second)
			arrived := clock.Now()
			r.open <- arrived
			got := receive(t, first)
			require.Equal(t, http.StatusOK, got.status)
			requireWindow(t, got.reply, "x-rate-limit", 2, 1, arrived.Add(time.Minute))
			require.Equal(t, []time.Time{arrived, arrived}, []time.Time{b.last().ArrivedAt, b.last().CountedAt})
		})
	}
}

// TestArrivalDelayOfTheGone: the client has left, and its tweet is made all the same.
func TestArrivalDelayOfTheGone(t *testing.T) {
	t.Parallel()
	r := newRoad()
	b := setup(t, sandbox.Config{After: r.after, ArrivalDelay: sandbox.Delay{Min: time.Second}})
	ctx, leave := context.WithCancel(t.Context())
	sent := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("x")).WithContext(ctx))
	<-r.asked
	leave()
	require.ErrorIs(t, receive(t, sent).err, context.Canceled)
	r.open <- time.Time{}
	_, err := b.server.WaitRequests(waitContext(t), 1, sandbox.Match{})
	require.NoError(t, err)
	require.Len(t, b.server.Tweets(), 1)
}

// TestArrivalDelayEndsWithTheServer: what is under way then never arrives.
func TestArrivalDelayEndsWithTheServer(t *testing.T) {
	t.Parallel()
	r := newRoad()
	b := setup(t, sandbox.Config{After: r.after, ArrivalDelay: sandbox.Delay{Min: time.Second}})
	sent := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
	<-r.asked
	require.NoError(t, b.server.Close())
	require.Error(t, receive(t, sent).err)
	require.Empty(t, b.server.Requests())
}

// TestArrivalDelayIsDrawn: each request has its own, between the bounds, and the seed repeats them.
func TestArrivalDelayIsDrawn(t *testing.T) {
	t.Parallel()
	delays := func(seed uint64) []time.Duration {
		r := newRoad()
		close(r.open)
		b := setup(t, sandbox.Config{Seed: seed, After: r.after, ArrivalDelay: sandbox.Delay{Max: 5 * time.Second}})
		all := make([]time.Duration, 20)
		for i := range all {
			require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status)
			all[i] = <-r.asked
		}
		return all
	}
	first := delays(1)
	different := map[time.Duration]bool{}
	for _, d := range first {
		require.Positive(t, d)
		require.LessOrEqual(t, d, 5*time.Second)
		different[d] = true
	}
	require.Greater(t, len(different), 15)
	require.Equal(t, first, delays(1))
	require.NotEqual(t, first, delays(2))
}

func TestSetArrivalDelay(t *testing.T) {
	t.Parallel()
	r := newRoad()
	close(r.open)
	b := setup(t, sandbox.Config{After: r.after})
	b.mustPost(b.acme, "one")
	require.NoError(t, b.server.SetArrivalDelay(sandbox.Delay{Min: time.Second}))
	b.mustPost(b.acme, "two")
	require.ErrorContains(t, b.server.SetArrivalDelay(sandbox.Delay{Min: 2, Max: 1}), "arrival delay 2ns to 1ns: use 0 or more, and a maximum not below the minimum")
	b.mustPost(b.acme, "three")
	require.NoError(t, b.server.SetArrivalDelay(sandbox.Delay{}))
	b.mustPost(b.acme, "four")
	require.Len(t, r.asked, 2)
	_, err := sandbox.New(sandbox.Config{ArrivalDelay: sandbox.Delay{Min: -1}})
	require.ErrorContains(t, err, "arrival delay -1ns to 0s")
}

// TestDelayRunsOnTheRealClock: without a timer of the tester's own it ends by itself.
func TestDelayRunsOnTheRealClock(t *testing.T) {
	t.Parallel()
	clock := newTestClock() // which stands
	b := setup(t, sandbox.Config{Now: clock.Now, ArrivalDelay: sandbox.Delay{Min: time.Millisecond}})
	b.mustPost(b.acme, "x")
}

// TestCountedAt: a request that a fault keeps back is counted when it goes on, and a 429 is not.
func TestCountedAt(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	start := clock.Now()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{me(sandbox.PerUser, 1, time.Minute, sandbox.FamilyEndpoint)}})
	gate := b.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore, Times: 1})
	held := b.async(b.request(b.acme, "GET", "/2/users/me", ""))
	require.NoError(t, gate.WaitHeld(waitContext(t), 1))
	require.Zero(t, b.last().CountedAt)
	clock.Advance(3 * time.Second)
	gate.Lift()
	requireWindow(t, receive(t, held).reply, "x-rate-limit", 1, 0, start.Add(63*time.Second))
	require.Equal(t, []time.Time{start, clock.Now()}, []time.Time{b.last().ArrivedAt, b.last().CountedAt})
	require.Equal(t, http.StatusTooManyRequests, b.do(b.acme, "GET", "/2/users/me", "").status)
	require.Zero(t, b.last().CountedAt)
	b.mustPost(b.acme, "unlimited")
	require.Equal(t, clock.Now(), b.last().CountedAt)
}
