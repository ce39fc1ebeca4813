package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// money is how X says that there is none left, and how it is had again.
type money struct {
	billing sandbox.Billing
	again   func(w *world) error
	until   func(now time.Time) time.Time // when it is tried again
	words   string
}

func moneyIsGone() map[string]money {
	inAnHour := func(now time.Time) time.Time { return now.Add(time.Hour) }
	credits := func(w *world) error { return w.x.AddCredits(w.app.Key, sandbox.Dollar) }
	return map[string]money{
		"CreditsDepleted": {sandbox.Billing{Credits: new(25_000 * sandbox.USD(1))}, credits, inAnHour, "(402)"},
		"UsageCapExceeded": {
			sandbox.Billing{Credits: new(25_000 * sandbox.USD(1)), NoCredits: sandbox.KindUsageCapExceeded}, credits, inAnHour, "(429)",
		},
		"SpendCapReached": {
			sandbox.Billing{SpendCap: 25_000},
			func(w *world) error { return w.x.SetSpendCap(w.app.Key, 0) },
			func(now time.Time) time.Time { return time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC) }, "(403)",
		},
	}
}

// When X says that the money is gone the app pauses, which is said once, however many requests meet it. Nothing is sent but a try
// at the stated time; after a payment all of it goes out, once.
func TestMoneyIsGone(t *testing.T) {
	t.Parallel()
	for name, test := range moneyIsGone() {
		for _, resume := range []string{"ByProbe", "ByHand"} {
			t.Run(name+resume, func(t *testing.T) {
				t.Parallel()
				w, o := newMidMonthWorld(t, sandbox.Config{Billing: test.billing})
				w.account("other")
				r := w.start(o)
				r.wait(EventDone, w.tweet("one"))
				r.wait(EventDone, w.tweet("two"))
				now, err := store.Clock(t.Context(), w.db)
				require.NoError(t, err)

				// Several are on their way when X says so.
				hold := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldBefore, Times: 3})
				ids := []int64{w.tweet("three"), w.tweet("four"), w.enqueue("other", store.Tweet{Text: "five"}, 0)}
				w.held(hold, 3)
				hold.Lift()
				require.Contains(t, r.wait(EventWaiting, ids...).Reason, test.words)
				for _, id := range ids {
					require.Equal(t, "scheduled:app", w.status(id))
				}
				later := w.enqueue("other", store.Tweet{Text: "later"}, 0)
				require.Contains(t, r.wait(EventWaiting, later).Reason, test.words, "it is held without a request")
				require.Len(t, r.all(EventHeld), 1)
				until := one[time.Time](w, `SELECT state_until FROM tweetqueue.apps`)
				require.WithinDuration(t, test.until(now), until, time.Minute)
				require.Equal(t, "paused", one[string](w, `SELECT state FROM tweetqueue.apps`))
				w.requireBilled()

				// A try before the payment is no news.
				before := len(w.x.Requests())
				w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
				w.eventually("one tries", func() bool { return len(w.x.Requests()) == before+1 })
				w.eventually("and waits on", func() bool {
					return one[time.Time](w, `SELECT state_until FROM tweetqueue.apps`).After(now.Add(50 * time.Minute))
				})
				require.Len(t, r.all(EventHeld), 1)
				require.Len(t, w.x.Tweets(), 2)

				require.NoError(t, test.again(w))
				if resume == "ByHand" {
					w.exec(`UPDATE tweetqueue.apps SET state = 'active'`)
				} else {
					w.exec(`UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
				}
				r.wait(EventDone, append(ids, later)...)
				texts := w.texts()
				slices.Sort(texts)
				require.Equal(t, []string{"five", "four", "later", "one", "three", "two"}, texts)
				require.Equal(t, store.Active, one[store.State](w, `SELECT state FROM tweetqueue.apps`))
				w.requireBilled()
				w.requireNoAttempts()
			})
		}
	}
}

// A look-up costs money, too: it says that this is gone, and what it is for waits for as long as it takes.
func TestMoneyIsGoneForLookUps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{Billing: sandbox.Billing{Credits: new(15_000 * sandbox.USD(1))}})
	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindDropAfter, Times: 1})
	id := w.tweet("one")
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Millisecond}}})
	held := r.waitFor(func(e Event) bool { return e.Type == EventHeld })
	require.Equal(t, store.ForApp, held.WaitingFor)
	require.Contains(t, held.Reason, "(402)")
	require.Equal(t, "paused", one[string](w, `SELECT state FROM tweetqueue.apps`))

	// Days later it is looked up still.
	lookUps := func() int {
		return one[int](w, `SELECT count(*) FROM tweetqueue.requests WHERE kind = 'look_up' AND outcome = 'pause_app'`)
	}
	until := one[time.Time](w, `SELECT state_until FROM tweetqueue.apps`)
	w.exec(`UPDATE tweetqueue.requests SET granted_at = granted_at - interval '3 days', send_by = send_by - interval '3 days' WHERE kind = 'post_tweet'`)
	before := lookUps()
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock()`)
	w.eventually("it is looked up again", func() bool { return lookUps() > before })
	w.eventually("and will be again", func() bool { return w.entry(id).NextAttemptAt != nil })
	require.Len(t, r.all(EventHeld), 1)
	require.Equal(t, until, one[time.Time](w, `SELECT state_until FROM tweetqueue.apps`), "only what is sent tries whether it is over")

	require.NoError(t, w.x.AddCredits(w.app.Key, sandbox.Dollar))
	w.exec(`UPDATE tweetqueue.requests SET granted_at = granted_at + interval '3 days', send_by = send_by + interval '3 days' WHERE kind = 'post_tweet'`)
	w.exec(`UPDATE tweetqueue.tweets SET next_attempt_at = tweetqueue.clock()`)
	r.wait(EventDone, id)
	w.requireBilled()
}

// Deletions and retweets cost money, too, and go on with it.
func TestMoneyIsGoneForOtherKinds(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{Billing: sandbox.Billing{Credits: new(sandbox.USD(0))}})
	r := w.start(opts{})
	ids := []int64{storetest.Deletion(t, w.db, w.old("acme"), 0), storetest.Retweet(t, w.db, tweetID, 0)}
	for _, id := range ids {
		require.Equal(t, store.ForApp, r.wait(EventWaiting, id).WaitingFor)
	}
	require.NoError(t, w.x.AddCredits(w.app.Key, sandbox.Dollar))
	w.exec(`UPDATE tweetqueue.apps SET state = 'active'`)
	r.wait(EventDone, ids...)
	w.requireBilled()
	w.requireNoAttempts()
}
