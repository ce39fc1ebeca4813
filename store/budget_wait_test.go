package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// other is a second account of acme's app, with a tweet that waits for a budget.
func (b *testBundle) other(t *testing.T) (other *testBundle, tweet int64) {
	t.Helper()
	other = &testBundle{db: b.db, workerID: b.workerID}
	other.accountID = storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	tweet = query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text) VALUES ('other', 'of the other') RETURNING id`)
	other.waitForBudget(t, store.PostTweet, false, tweet)
	return other, tweet
}

// budgetIsLookedAt is when the account's budget is looked at again.
func (b *testBundle) budgetIsLookedAt(t *testing.T) time.Time {
	t.Helper()
	return query[time.Time](t, b.db, `SELECT until FROM tweetqueue.budget_waits WHERE account_id = $1`, b.accountID)
}

func (b *testBundle) monthEnds(t *testing.T) time.Time {
	t.Helper()
	return query[time.Time](t, b.db, `SELECT tweetqueue.month_end(tweetqueue.clock())`)
}

// moveBeforeMonthEnds moves the clock to some time before the end of a month, and returns by how much.
func (b *testBundle) moveBeforeMonthEnds(t *testing.T, before time.Duration) time.Duration {
	t.Helper()
	offset := query[time.Duration](t, b.db, `SELECT tweetqueue.month_end(now() + interval '1 month') - now()`) - before
	storetest.MoveClock(t, b.db, offset)
	return offset
}

// A row that somebody has locked while there is money for it is looked at again soon, not when the month ends.
func TestBudgetWaitReleaseOfLockedRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
	id := storetest.Tweet(t, b.db, "locked", 0)
	b.waitForBudget(t, store.PostTweet, false, id)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = NULL`)
	application := storetest.Tx(t, b.db)
	exec(t, application, `SELECT FROM tweetqueue.tweets FOR NO KEY UPDATE`)
	require.Zero(t, b.releaseBudgets(t, 10))
	require.WithinDuration(t, query[time.Time](t, b.db, `SELECT tweetqueue.clock()`), b.budgetIsLookedAt(t), time.Minute)
	require.NoError(t, application.Rollback(t.Context()))
	storetest.MoveClock(t, b.db, time.Minute)
	require.Equal(t, 1, b.releaseBudgets(t, 10))
}

// What was let go on is counted until it is claimed, also by the app's other accounts.
func TestBudgetCountsWhatWasReleased(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		next     func(t *testing.T, b *testBundle, id int64)
		released int
	}{
		"Claimed": {func(t *testing.T, b *testBundle, id int64) {
			t.Helper()
			b.start(t, store.PostTweet, id)
		}, 0},
		"Cancelled": {func(t *testing.T, b *testBundle, id int64) {
			t.Helper()
			exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id = $1`, id)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			offset := b.moveBeforeMonthEnds(t, 24*time.Hour)
			exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 0`)
			id := storetest.Tweet(t, b.db, "first", 0)
			b.waitForBudget(t, store.PostTweet, false, id)
			other, _ := b.other(t)
			exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 0.029`)
			require.Equal(t, 1, b.releaseBudgets(t, 10))
			require.Zero(t, other.releaseBudgets(t, 10), "there is money for one")
			require.Less(t, other.budgetIsLookedAt(t), b.monthEnds(t), "the first may yet be cancelled")
			test.next(t, b, id)
			storetest.MoveClock(t, b.db, offset+time.Minute)
			require.Equal(t, test.released, other.releaseBudgets(t, 10))
			if test.released == 0 {
				require.Equal(t, b.monthEnds(t), other.budgetIsLookedAt(t))
			}
		})
	}
}

// Accounts that share the budget of their app take turns: the first does not take all of it.
func TestBudgetOfAnAppIsShared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 0`)
	other, _ := b.other(t)
	for _, account := range []*testBundle{b, other} {
		username := query[string](t, b.db, `SELECT username FROM tweetqueue.accounts WHERE id = $1`, account.accountID)
		account.waitForBudget(t, store.PostTweet, false, queryAll[int64](t, b.db,
			`INSERT INTO tweetqueue.tweets (account, text) SELECT $1, 'number ' || i FROM generate_series(1, 30) AS i RETURNING id`, username)...)
	}
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 0.45`) // for 30
	require.Equal(t, 10, b.releaseBudgets(t, 100))
	require.Equal(t, []int64{other.accountID, b.accountID}, budgetsDue(t, b), "who has waited longer is next")
	require.Equal(t, []int{10, 10, 0}, []int{other.releaseBudgets(t, 100), b.releaseBudgets(t, 100), other.releaseBudgets(t, 100)})
}

// Money that comes back is for the account, and for the others of its app only if that has a budget.
func TestRefundOfAnApp(t *testing.T) {
	t.Parallel()
	for name, budget := range map[string]*string{"WithBudget": new("0.02"), "WithoutBudget": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = $1::numeric`, budget)
			b.waitForBudget(t, store.PostTweet, false, storetest.Tweet(t, b.db, "waits", 0))
			other, _ := b.other(t)
			request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "refused", 0))[0]
			require.Empty(t, budgetsDue(t, b))
			b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Failed, Outcome: "fail", StatusCode: 403})
			want := []int64{b.accountID}
			if budget != nil {
				want = append(want, other.accountID)
			}
			require.ElementsMatch(t, want, budgetsDue(t, b))
		})
	}
}

// Money that comes back while a claim makes a row wait for it, is seen.
func TestRefundDuringAClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0.02`)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "refused", 0))[0]
	id := storetest.Tweet(t, b.db, "waits", 0)
	claim := storetest.Tx(t, b.db)
	require.Less(t, b.lockBudgets(t, claim).Of[0].Left(), store.USD(15_000))
	pid, settled := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
		_, err := store.Settle(ctx, tx, store.PostTweet,
			[]store.Settlement{settlement(request, store.Settlement{Status: store.Failed, Outcome: "fail", StatusCode: 403})})
		return err
	})
	waitBlocked(t, b.db, pid)
	now, err := store.Clock(t.Context(), claim)
	require.NoError(t, err)
	require.NoError(t, store.BudgetWaitsBegin(t.Context(), claim, store.PostTweet, now, []store.BudgetWait{{RowID: id, AccountID: b.accountID}}))
	require.NoError(t, claim.Commit(t.Context()))
	settled()
	require.Equal(t, []int64{b.accountID}, budgetsDue(t, b))
}

// What is decided in a month waits for the end of that month, also if it is written in the next.
func TestBudgetWaitsUntilItsMonthEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
	id := storetest.Tweet(t, b.db, "late", 0)
	ends, now := b.monthEnds(t), query[time.Time](t, b.db, `SELECT tweetqueue.clock()`)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET waiting_for = 'budget', next_attempt_at = now() + interval '1 year'`)

	claim := storetest.Tx(t, b.db)
	_, err := store.BudgetsLock(t.Context(), claim, []int64{b.accountID}, now)
	require.NoError(t, err)
	exec(t, b.db, `INSERT INTO tweetqueue.budget_waits SELECT id, tweetqueue.clock() FROM tweetqueue.accounts`)
	pid, released := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
		_, err := store.BudgetWaitRelease(ctx, tx, b.accountID, 10)
		return err
	})
	waitBlocked(t, b.db, pid)
	storetest.MoveClock(t, b.db, ends.Sub(now)+time.Hour)
	require.NoError(t, claim.Rollback(t.Context()))
	released()
	require.Equal(t, ends, b.budgetIsLookedAt(t))

	inTx(t, b.db, func(tx pgx.Tx) {
		exec(t, tx, `DELETE FROM tweetqueue.budget_waits`)
		require.NoError(t, store.BudgetWaitsBegin(t.Context(), tx, store.PostTweet, now, []store.BudgetWait{{RowID: id, AccountID: b.accountID}}))
	})
	require.Equal(t, ends, b.budgetIsLookedAt(t))
	require.Equal(t, []int64{b.accountID}, budgetsDue(t, b))
}

// lockNotAvailable is the SQLSTATE of a lock that was not had in time.
const lockNotAvailable = "55P03"

// A claim of the new month waits for a budget that was changed in the old one, and is not committed.
func TestBudgetChangesAsTheMonthEnds(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"accounts", "apps"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			offset := b.moveBeforeMonthEnds(t, 10*time.Minute)
			exec(t, b.db, `UPDATE tweetqueue.`+table+` SET budget_usd = 0.01`)
			application := storetest.Tx(t, b.db)
			exec(t, application, `UPDATE tweetqueue.`+table+` SET budget_usd = 1`)
			storetest.MoveClock(t, b.db, offset+20*time.Minute)
			claim := storetest.Tx(t, b.db)
			exec(t, claim, `SET LOCAL lock_timeout = '1ms'`)
			now, err := store.Clock(t.Context(), claim)
			require.NoError(t, err)
			_, err = store.BudgetsLock(t.Context(), claim, []int64{b.accountID}, now)
			require.Equal(t, lockNotAvailable, sqlState(err), "%v", err)
		})
	}
}

// A budget or a price that changes waits for the claims that are under way, also for the first of a month.
func TestBudgetChangesDuringTheFirstClaim(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		`UPDATE tweetqueue.accounts SET budget_usd = 1`, `UPDATE tweetqueue.accounts SET budget_usd = NULL`,
		`UPDATE tweetqueue.apps SET budget_usd = 1`, `UPDATE tweetqueue.apps SET budget_usd = NULL`, `UPDATE tweetqueue.prices SET usd = 0`,
	} {
		b := setup(t)
		exec(t, b.db, `UPDATE tweetqueue.accounts SET budget_usd = 0`)
		exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 0`)
		exec(t, b.db, `DELETE FROM tweetqueue.spending`) // as when the month begins
		exec(t, b.db, `DELETE FROM tweetqueue.app_spending`)
		inTx(t, b.db, func(claim pgx.Tx) {
			b.lockBudgets(t, claim)
			application := storetest.Tx(t, b.db)
			exec(t, application, `SET LOCAL lock_timeout = '1ms'`)
			_, err := application.Exec(t.Context(), change)
			require.Equal(t, lockNotAvailable, sqlState(err), "%s: %v", change, err)
		})
		exec(t, b.db, change)
	}
}

// An app's budget counts what its accounts have spent, also if a claim has locked its row just as an earlier budget was removed.
func TestAppBudgetIsSetAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 1`)
	remove := storetest.Tx(t, b.db)
	exec(t, remove, `UPDATE tweetqueue.apps SET budget_usd = NULL`)
	pid, locked := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
		now, err := store.Clock(ctx, tx)
		if err != nil {
			return err
		}
		_, err = store.BudgetsLock(ctx, tx, []int64{b.accountID}, now)
		return err
	})
	waitBlocked(t, b.db, pid)
	require.NoError(t, remove.Commit(t.Context()))
	locked()
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "meanwhile", 0))
	exec(t, b.db, `UPDATE tweetqueue.apps SET budget_usd = 2`)
	require.Equal(t, "0.015", query[store.USD](t, b.db, `SELECT spent_usd FROM tweetqueue.app_spending`).String())
}
