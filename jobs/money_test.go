package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

func TestHasURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "Doors open": false, "Now. Or never": false, "3.5 percent": false, "see https://x.com/acme": true,
		"example.ai is a bare host": true, "EXAMPLE.COM/a": true, "a.b": false,
	} {
		require.Equal(t, want, HasURL(text), text)
	}
}

// requireBilled requires that what the requests have cost is what X has billed, and what the account has spent.
func (w *world) requireBilled() {
	w.Helper()
	bill, err := w.x.Billed(w.app.Key)
	require.NoError(w, err)
	const costs = `SELECT coalesce(sum(cost_usd), 0) FROM tweetqueue.requests`
	require.Equal(w, bill.Total.String(), one[store.USD](w, costs).String(), "%v", bill.Items)
	require.Equal(w, one[store.USD](w, costs), one[store.USD](w, `SELECT coalesce(sum(spent_usd), 0) FROM tweetqueue.spending`))
}

// What is recorded as cost is what X bills, to the last digit.
func TestRecordedCostIsTheBill(t *testing.T) {
	t.Parallel()
	w, tweetID := another(t, sandbox.Config{})
	r := w.start(opts{})
	r.wait(EventDone, w.tweet("plain"), w.tweet("see https://example.com/a"), w.tweet("example.ai is one"), w.tweet("3.5 is none"),
		storetest.Deletion(t, w.db, w.old("acme"), 0), storetest.Retweet(t, w.db, tweetID, 0))
	undo, _, err := store.UndoInsert(t.Context(), w.db, "acme", tweetID, nil, 0)
	require.NoError(t, err)
	r.wait(EventDone, undo)
	w.requireBilled()
	require.Equal(t, "0.46", one[store.USD](w, `SELECT sum(cost_usd) FROM tweetqueue.requests`).String())

	w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindForbidden, Times: 1})
	r.wait(EventFailed, w.tweet("refused, with https://example.com"))
	r.wait(EventDone, storetest.Deletion(t, w.db, "1445880548472328192", 0))
	w.requireBilled()
}

// Also where requests or their answers were lost, and look-ups told what became of them.
func TestRecordedCostIsTheBillAfterDoubts(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"DropBefore": {Kind: sandbox.KindDropBefore}, "DropAfter": {Kind: sandbox.KindDropBody}, "Status503": {Kind: sandbox.KindStatusBefore},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, tweetID := another(t, sandbox.Config{})
			for _, match := range []sandbox.Match{creates(), deletes(), retweets()} {
				lost := fault
				lost.Match, lost.Times = match, 1
				w.fault(lost)
			}
			deletion := storetest.Deletion(t, w.db, w.old("acme"), 0)
			r := w.start(opts{config: lookingUp()})
			r.wait(EventDone, w.tweet("lost: example.com"), w.tweet("the next one"), deletion, storetest.Retweet(t, w.db, tweetID, 0))
			w.requireBilled()
			require.NotZero(t, one[int](w, `SELECT count(*) FROM tweetqueue.requests WHERE kind = 'look_up' AND cost_usd > 0`))
		})
	}
}

// newMidMonthWorld is a newWorld in the middle of a month, so that none ends during the test: X's clock, the database's and, by the
// opts, that of workers.
func newMidMonthWorld(t *testing.T, config sandbox.Config) (*world, opts) {
	t.Helper()
	now := time.Now().UTC()
	offset := time.Date(now.Year(), now.Month()+1, 15, 0, 0, 0, 0, time.UTC).Sub(now)
	config.Now, config.TimestampSkew = func() time.Time { return time.Now().Add(offset) }, -1
	w := newWorld(t, config)
	return w, opts{config: w.moveClock(Config{}, offset)}
}

// budget sets what acme, or its app, may spend in a month.
func (w *world) budget(table, usd string) {
	w.Helper()
	w.exec(`UPDATE tweetqueue.`+table+` SET budget_usd = nullif($1, '')::numeric`, usd)
}

// What costs more than is left waits for the next month, a cheaper one goes, and not a cent more is spent than the budget allows.
func TestBudgetHoldsBack(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"accounts", "apps"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			w, o := newMidMonthWorld(t, sandbox.Config{})
			w.budget(table, "0.245")
			r := w.start(o)
			r.wait(EventDone, w.tweet("see example.com"))
			r.wait(EventDone, w.tweet("plain"))
			dear := w.tweet("see example.com again")
			waiting := r.wait(EventWaiting, dear)
			require.Equal(t, store.ForBudget, waiting.WaitingFor)
			name := map[string]string{"accounts": `account "acme"`, "apps": `app "default"`}[table]
			now, err := store.Clock(t.Context(), w.db)
			require.NoError(t, err)
			month := now.Format("January 2006")
			require.Equal(t, "it costs $0.2, and the budget of "+name+" has $0.03 left of $0.245 for "+month+": 'enqueue budget set' raises it", waiting.Reason)
			ends := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			require.Equal(t, ends, *waiting.Until)
			require.Equal(t, "scheduled:budget", w.status(dear))
			require.Equal(t, ends, *w.entry(dear).NextAttemptAt)

			r.wait(EventDone, w.tweet("plain two"), storetest.Deletion(t, w.db, w.old("acme"), 0), storetest.Deletion(t, w.db, w.old("acme"), 0))
			last := storetest.Deletion(t, w.db, w.old("acme"), 0)
			r.wait(EventDone, last)
			require.Equal(t, store.ForBudget, r.wait(EventWaiting, storetest.Deletion(t, w.db, w.old("acme"), 0)).WaitingFor)
			w.requireBilled()
			require.Equal(t, "0.245", one[store.USD](w, `SELECT spent_usd FROM tweetqueue.spending`).String())

			var told []string
			for _, e := range r.all(EventBudget) {
				told = append(told, e.Reason)
			}
			require.Equal(t, []string{
				name + " has spent $0.2 of its budget of $0.245 for " + month,
				name + " has spent $0.215 of its budget of $0.245 for " + month +
					": what costs more than is left waits until the month ends, or 'enqueue budget set' raises it",
			}, told)
			w.requireNoAttempts()
		})
	}
}

// A budget that is raised or removed lets go on what there is money for, the best first; so does the next month.
func TestBudgetIsRaised(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(w *world)
		goes int
	}{
		"Raised":  {func(w *world) { w.budget("accounts", "0.045") }, 2},
		"Removed": {func(w *world) { w.budget("accounts", "") }, 3},
		"TheNextMonth": {func(w *world) {
			moved := one[time.Duration](w, `SELECT tweetqueue.clock() - clock_timestamp()`)
			storetest.MoveClock(w, w.db, moved+31*24*time.Hour)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := newMidMonthWorld(t, sandbox.Config{})
			w.budget("accounts", "0.02")
			var ids []int64
			for _, text := range []string{"first", "second", "third", "fourth"} {
				ids = append(ids, w.tweet(text))
			}
			r := w.start(o)
			// A job that finds nothing to do any more locks its row for a moment, and a locked one is passed over.
			w.eventually("all but one wait, and no job is left", func() bool {
				return one[bool](w, `SELECT count(*) = 3 AND NOT EXISTS (SELECT FROM tweetqueue.river_job WHERE state IN ('available', 'running'))
FROM tweetqueue.tweets WHERE waiting_for = 'budget'`)
			})
			w.exec(`UPDATE tweetqueue.tweets SET priority = 1 WHERE id = (SELECT max(id) FROM tweetqueue.tweets WHERE waiting_for = 'budget')`)
			urgent := one[int64](w, `SELECT id FROM tweetqueue.tweets WHERE priority = 1`)
			before := len(r.all(EventDone, ids...))
			test.end(w)
			w.eventually("those go that there is money for", func() bool {
				return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted'`) == before+test.goes
			})
			r.wait(EventDone, urgent)
			require.Equal(t, 3-test.goes, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE waiting_for = 'budget'`))
			w.requireBilled()
		})
	}
}

// Money that was not spent after all is there for the next.
func TestBudgetOfRefusals(t *testing.T) {
	t.Parallel()
	w, o := newMidMonthWorld(t, sandbox.Config{DuplicateWindow: time.Hour})
	_, err := w.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "twice"})
	require.NoError(t, err)
	w.budget("accounts", "0.02")
	hold := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldBefore, Times: 1})
	r := w.start(o)
	refused := w.tweet("twice")
	w.held(hold, 1)
	next := w.tweet("the next one")
	require.Equal(t, store.ForBudget, r.wait(EventWaiting, next).WaitingFor, "what is under way counts")
	hold.Lift()
	r.wait(EventFailed, refused)
	r.wait(EventDone, next)
	w.requireBilled()
}

// However many claims there are at once, and on whichever accounts of the app, no more is spent than the budget allows, and all of it is
// counted, also what was under way when the budget was set.
func TestBudgetIsNeverOver(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"Before", "Meanwhile"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			const tweets = 15
			w, o := newMidMonthWorld(t, sandbox.Config{})
			accounts := []string{"acme", "second", "third"}
			for _, account := range accounts[1:] {
				w.account(account)
			}
			o.config.Workers = 3
			hold := w.fault(sandbox.Fault{Match: creates(), Kind: sandbox.KindHoldBefore})
			if when == "Before" {
				w.budget("apps", "0.31")
			}
			r, other := w.start(o), w.start(o)
			w.exec(`INSERT INTO tweetqueue.tweets (account, text) SELECT account, 'number ' || i FROM unnest($1::text[]) AS account, generate_series(1, $2) AS i`, accounts, tweets)
			w.held(hold, 2*o.config.Workers)
			if when == "Meanwhile" {
				w.budget("apps", "0.31")
			}
			hold.Lift()
			w.eventually("nothing moves any more", func() bool {
				return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'posted' OR waiting_for = 'budget'`) == tweets*len(accounts)
			})
			w.requireBilled()
			spent := one[store.USD](w, `SELECT spent_usd FROM tweetqueue.app_spending`)
			require.Equal(t, one[store.USD](w, `SELECT sum(spent_usd) FROM tweetqueue.spending`), spent)
			require.Equal(t, "0.3", spent.String(), "as much as fits, and not more")
			require.LessOrEqual(t, len(r.all(EventBudget))+len(other.all(EventBudget)), 2, "most, and all: each once")
			w.requireNoAttempts()
		})
	}
}

// What costs more than a whole budget waits until that is raised, and no month ends the wait.
func TestBudgetIsTooSmall(t *testing.T) {
	t.Parallel()
	w, o := newMidMonthWorld(t, sandbox.Config{})
	w.budget("accounts", "0.201")
	w.budget("apps", "0.1")
	r := w.start(o)
	id := w.tweet("example.com")
	waiting := r.wait(EventWaiting, id)
	require.Equal(t, `it costs $0.2, and the whole budget of app "default" is $0.1 a month: 'enqueue budget set' raises it`, waiting.Reason)
	require.Nil(t, waiting.Until)
	require.Empty(t, r.all(EventBudget), "it says nothing of what else there is")
	w.budget("apps", "0.2")
	r.wait(EventDone, id)
}

// A warning that is noted as told is told, also if nobody knows whether the note was committed.
func TestBudgetWarningWhoseCommitIsCut(t *testing.T) {
	t.Parallel()
	for _, how := range []cut{cutBefore, cutAfter} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			w, o := newMidMonthWorld(t, sandbox.Config{})
			w.budget("accounts", "0.02")
			p := newProxy(t, w.url)
			made := p.cut(how, "AccountBudgetTold", nil)
			w.tweet("takes most of it")
			w.tweet("is one too many")
			o.database = p.url
			r := w.start(o)
			w.within(made, "a COMMIT is cut")
			r.waitFor(func(e Event) bool { return e.Type == EventBudget })
			w.eventually("it waits", func() bool {
				return one[bool](w, `SELECT EXISTS (SELECT FROM tweetqueue.tweets WHERE waiting_for = 'budget')`)
			})
		})
	}
}

// An account whose rows cannot be let go on holds up no other.
func TestReleaseBudgetsGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	w.account("other")
	ids := []int64{w.tweet("stuck"), w.enqueue("other", store.Tweet{Text: "free"}, 0)}
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'budget', next_attempt_at = now() + interval '1 year'`)
	w.exec(`INSERT INTO tweetqueue.budget_waits SELECT id, tweetqueue.clock() - interval '1 minute' * row_number() OVER (ORDER BY id DESC) FROM tweetqueue.accounts`)
	w.exec(`ALTER TABLE tweetqueue.tweets ADD CONSTRAINT stuck CHECK (account <> 'acme' OR waiting_for = 'budget')`)
	require.ErrorContains(t, w.newWorker(opts{}).releaseBudgets(t.Context()), `"stuck"`)
	require.Equal(t, "scheduled:budget", w.status(ids[0]))
	require.Equal(t, "scheduled:time", w.status(ids[1]))
}
