package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// lockBudgets locks the budgets of account acme and returns them.
func (b *testBundle) lockBudgets(t *testing.T, tx pgx.Tx) store.Budgets {
	t.Helper()
	now, err := store.Clock(t.Context(), tx)
	require.NoError(t, err)
	all, err := store.BudgetsLock(t.Context(), tx, []int64{b.accountID}, now)
	require.NoError(t, err)
	return all[b.accountID]
}

// waitForBudget makes rows of a kind wait.
func (b *testBundle) waitForBudget(t *testing.T, kind store.Kind, hasURL bool, ids ...int64) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		var waits []store.BudgetWait
		for _, id := range ids {
			require.NoError(t, store.WaitRows(t.Context(), tx, kind, []store.Wait{{RowID: id, For: store.ForBudget, Until: time.Now().AddDate(100, 0, 0)}}))
			waits = append(waits, store.BudgetWait{RowID: id, AccountID: b.accountID, HasURL: hasURL})
		}
		now, err := store.Clock(t.Context(), tx)
		require.NoError(t, err)
		require.NoError(t, store.BudgetWaitsBegin(t.Context(), tx, kind, now, waits))
	})
}

func (b *testBundle) releaseBudgets(t *testing.T, limit int) (released int) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		released, err = store.BudgetWaitRelease(t.Context(), tx, b.accountID, limit)
		require.NoError(t, err)
	})
	return released
}

func TestBudgetWarns(t *testing.T) {
	t.Parallel()
	budget := &store.Budget{Limit: 1000}
	for _, step := range []struct {
		spends store.USD
		waits  bool
		want   bool
	}{{799, false, false}, {1, false, true}, {100, false, false}, {0, true, true}, {0, true, false}, {100, false, false}} {
		budget.Take(step.spends)
		require.Equal(t, step.want, budget.Warns(step.waits), step)
	}
	require.Zero(t, budget.Left())
	early := &store.Budget{Limit: 1000, Spent: 500}
	require.True(t, early.Warns(true))
	early.Take(300)
	require.True(t, early.Warns(false), "also after a dear row has waited")
	require.False(t, early.Warns(false))
	require.Nil(t, store.Budgets{Of: []*store.Budget{budget}}.Lacking(0))
	require.Equal(t, budget, store.Budgets{Of: []*store.Budget{{Limit: 1}, budget}}.Lacking(1))
}

// The budgets of account and app are locked with what was spent in this month, and with nothing of the one before.
func TestBudgetsLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 2`)
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 3`)
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "b", 0))
	amounts := func(tx pgx.Tx) (all []string) {
		for _, budget := range b.lockBudgets(t, tx).Of {
			all = append(all, budget.Name, budget.Spent.String(), budget.Limit.String())
		}
		return all
	}
	inTx(t, b.db, func(tx pgx.Tx) { require.Equal(t, []string{"acme", "0.03", "2", "default", "0.03", "3"}, amounts(tx)) })
	storetest.MoveClock(t, b.db, 31*24*time.Hour)
	inTx(t, b.db, func(tx pgx.Tx) { require.Equal(t, []string{"acme", "0", "2", "default", "0", "3"}, amounts(tx)) })
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = NULL`)
	inTx(t, b.db, func(tx pgx.Tx) { require.Equal(t, []string{"default", "0", "3"}, amounts(tx)) })
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = NULL`)
	inTx(t, b.db, func(tx pgx.Tx) { require.Empty(t, amounts(tx)) })
	require.Zero(t, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.app_spending`))
}

// Of what waits those go on that there is money for: by priority, then by when they are due; a dear one that does not fit stays.
func TestBudgetWaitRelease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
	dear := storetest.Tweet(t, b.db, "see example.com", -4*time.Hour)
	first, second := storetest.Tweet(t, b.db, "first", -3*time.Hour), storetest.Tweet(t, b.db, "second. It has a dot", -2*time.Hour)
	deletion, retweet := storetest.Deletion(t, b.db, "77", -time.Hour), storetest.Retweet(t, b.db, "77", -time.Minute)
	exec(t, b.db, `UPDATE tweetqueue.retweets SET priority = 1`)
	b.waitForBudget(t, store.PostTweet, true, dear)
	b.waitForBudget(t, store.PostTweet, false, first, second)
	b.waitForBudget(t, store.DeleteTweet, false, deletion)
	b.waitForBudget(t, store.Retweet, false, retweet)
	require.Zero(t, b.releaseBudgets(t, 10), "it is not due")

	for _, step := range []struct {
		budget string
		goes   []int64
	}{
		{"0.004", nil},
		{"0.035", []int64{retweet, first, deletion}}, // 0.015 each, and 0.005
		{"0.049", nil},
		{"0.235", []int64{dear}}, // what went before counts, although nobody has claimed it
		{"0.249", nil},
		{"0.25", []int64{second}},
	} {
		exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = $1::numeric`, step.budget)
		before := queryAll[int64](t, b.db, `SELECT id FROM tweetqueue.waiting WHERE waiting_for = 'budget' ORDER BY id`)
		require.Equal(t, len(step.goes), b.releaseBudgets(t, 10), step.budget)
		after := queryAll[int64](t, b.db, `SELECT id FROM tweetqueue.waiting WHERE waiting_for = 'budget' ORDER BY id`)
		require.ElementsMatch(t, before, append(after, step.goes...), step.budget)
		require.Zero(t, b.releaseBudgets(t, 10), "until the month ends, or the budget is changed")
	}
	require.Zero(t, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.budget_waits`), "nothing waits any more")
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, dear))
}

// Many go on in several steps; what somebody has moved by hand is found.
func TestBudgetWaitReleaseOfMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
	for range 5 {
		storetest.Tweet(t, b.db, "a", 0)
	}
	exec(t, b.db, `UPDATE tweetqueue.tweets SET waiting_for = 'budget', next_attempt_at = now() + interval '1 year'`)
	require.NoError(t, store.BudgetWaitsSweep(t.Context(), b.db))
	require.Zero(t, b.releaseBudgets(t, 2), "there is no money")
	ends := query[time.Time](t, b.db, `SELECT tweetqueue.month_end(tweetqueue.clock())`)
	require.Equal(t, ends, query[time.Time](t, b.db, `SELECT until FROM tweetqueue.budget_waits`))
	require.Equal(t, ends, query[time.Time](t, b.db, `SELECT min(next_attempt_at) FROM tweetqueue.waiting`))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = NULL`)
	require.Equal(t, []int{2, 2, 1, 0}, []int{b.releaseBudgets(t, 2), b.releaseBudgets(t, 2), b.releaseBudgets(t, 2), b.releaseBudgets(t, 2)})
}

// What is looked at again at once: the rows of an app whose budget changes, what an edit has made cheaper, and what is given back.
func TestBudgetIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, b *testBundle, id int64){
		"App": func(t *testing.T, b *testBundle, _ int64) {
			t.Helper()
			exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 1`)
		},
		"Edit": func(t *testing.T, b *testBundle, id int64) {
			t.Helper()
			exec(t, b.db, `UPDATE tweetqueue.tweets SET text = 'cheap.' WHERE id = $1`, id)
			require.Nil(t, query[*bool](t, b.db, `SELECT has_url FROM tweetqueue.tweets WHERE id = $1`, id))
			inTx(t, b.db, func(tx pgx.Tx) {
				require.NoError(t, store.TweetsMeasured(t.Context(), tx, []int64{id}, []bool{false}))
			})
		},
		"Price": func(t *testing.T, b *testBundle, _ int64) {
			t.Helper()
			exec(t, b.db, `UPDATE tweetqueue.prices SET usd = usd`)
			require.Empty(t, budgetsDue(t, b))
			exec(t, b.db, `UPDATE tweetqueue.prices SET usd = 0.02 WHERE name = 'post_create_with_url'`)
		},
		"Refusal": func(t *testing.T, b *testBundle, _ int64) {
			t.Helper()
			request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "refused", 0))[0]
			require.Empty(t, budgetsDue(t, b))
			b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Failed, Outcome: "fail", StatusCode: 403})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0.02`)
			id := storetest.Tweet(t, b.db, "example.com", 0)
			b.waitForBudget(t, store.PostTweet, true, id)
			require.Empty(t, budgetsDue(t, b))
			change(t, b, id)
			require.Equal(t, []int64{b.accountID}, budgetsDue(t, b))
		})
	}
}

func budgetsDue(t *testing.T, b *testBundle) []int64 {
	t.Helper()
	due, err := store.BudgetWaitsDue(t.Context(), b.db, 10)
	require.NoError(t, err)
	return due
}
