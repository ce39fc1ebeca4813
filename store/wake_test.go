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

// aDay is how long a row waits whose wait has no known end.
const aDay = 24 * time.Hour

// soon is how long a row waits at most that is not sure of being woken.
const soon = time.Minute

// next is how long a row waits from now.
func (b *testBundle) next(t testing.TB, rowID int64) time.Duration {
	t.Helper()
	return query[time.Duration](t, b.db, `SELECT wake_at - tweetqueue.clock() FROM (
		SELECT id, wake_at FROM tweetqueue.tweets UNION ALL SELECT id, wake_at FROM tweetqueue.deletions
		UNION ALL SELECT id, wake_at FROM tweetqueue.retweets) t WHERE id = $1`, rowID)
}

// requireAwake requires that a row has a job that lives and is due, or about to be.
func (b *testBundle) requireAwake(t testing.TB, rowID int64) {
	t.Helper()
	require.Less(t, b.next(t, rowID), soon)
	require.True(t, query[bool](t, b.db, `SELECT EXISTS (SELECT FROM tweetqueue.river_job
		WHERE args @> jsonb_build_object('row_id', $1::bigint) AND state IN ('available', 'pending')
			AND scheduled_at < tweetqueue.clock() + $2)`, rowID, soon))
}

// thread inserts two tweets, the first of which is being sent; the second is due, and its job runs.
func (b *testBundle) thread(t *testing.T) (first *store.Request, second int64) {
	t.Helper()
	id := storetest.Tweet(t, b.db, "first", 0)
	second = query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id)
		VALUES ('acme', 'second', $1) RETURNING id`, id)
	first = b.start(t, store.PostTweet, id)[0]
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
	return first, second
}

func waitFor(t *testing.T, tx pgx.Tx, kind store.Kind, id int64, what store.WaitingFor) {
	t.Helper()
	now, err := store.Clock(t.Context(), tx)
	require.NoError(t, err)
	require.NoError(t, store.WaitRows(t.Context(), tx, kind, []store.Wait{{RowID: id, For: what, Until: now.Add(aDay)}}))
}

func settleFirst(ctx context.Context, tx pgx.Tx, first *store.Request) error {
	_, err := store.Settle(ctx, tx, store.PostTweet, []store.Settlement{settlement(first, posted("1001"))})
	return err
}

// wake wakes all that can be woken, one row at a time, and returns how many rows that were.
func (b *testBundle) wake(t testing.TB) int {
	t.Helper()
	all, after := 0, int64(0)
	for {
		woken, err := store.Wake(t.Context(), b.db, after, 1)
		require.NoError(t, err)
		all, after = all+woken.Rows, woken.After
		if !woken.More {
			return all
		}
	}
}

// requireNoMarks requires that everything is woken that is to be.
func (b *testBundle) requireNoMarks(t testing.TB) {
	t.Helper()
	require.False(t, query[bool](t, b.db, `SELECT EXISTS (SELECT FROM tweetqueue.tweets WHERE wake_next OR wake_account)
		OR EXISTS (SELECT FROM tweetqueue.accounts WHERE wake_held) OR EXISTS (SELECT FROM tweetqueue.apps WHERE wake_held)`))
}

func TestThreadWakesWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, second, store.ForThread) })
	require.Greater(t, b.next(t, second), aDay-time.Hour)
	require.True(t, b.settle(t, store.PostTweet, first, posted("1001")).Wakes)
	require.Equal(t, 1, b.wake(t))
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, second))
	b.requireAwake(t, second)
	b.requireNoMarks(t)

	// A row that waits for something else keeps on waiting.
	third := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id)
		VALUES ('acme', 'third', $1) RETURNING id`, second)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, third, store.ForQuota) })
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, second)[0], posted("1002"))
	require.Zero(t, b.wake(t))
	require.Equal(t, "scheduled:quota", storetest.Status(t, b.db, third))
	require.Greater(t, b.next(t, third), aDay-time.Hour)
	b.requireNoMarks(t)
	require.False(t, b.settle(t, store.PostTweet, b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "alone", 0))[0], posted("1003")).Wakes)
}

// However a tweet ends, and whoever says so, what stands after it is looked at again.
func TestThreadWakesAtEveryEnd(t *testing.T) {
	t.Parallel()
	for status, end := range map[string]string{
		"cancelled": `UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id = $1`,
		"failed":    `UPDATE tweetqueue.tweets SET status = 'failed' WHERE id = $1`,
		"posted":    `UPDATE tweetqueue.tweets SET status = 'posted', tweet_id = '1001', posted_at = now() WHERE id = $1`,
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var first, second int64
			if status == "cancelled" {
				first = storetest.Tweet(t, b.db, "first", time.Hour)
				second = query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'second', $1) RETURNING id`, first)
			} else { // in doubt: a person says what became of it
				var request *store.Request
				request, second = b.thread(t)
				first = request.RowID
				b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Unconfirmed})
				require.Zero(t, b.wake(t))
			}
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = $1`, second)
			inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, second, store.ForThread) })
			exec(t, b.db, end, first)
			require.Equal(t, 1, b.wake(t))
			b.requireAwake(t, second)
			b.requireNoMarks(t)
		})
	}
}

// A person who says that a tweet in doubt was posted starts its lifetime, as a worker does.
func TestLifetimeOfATweetInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, delete_after) VALUES ('acme', 'a', '1 day') RETURNING id`)
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, id)[0], store.Settlement{Status: store.Unconfirmed})
	require.Zero(t, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.deletions`))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'posted', tweet_id = '1001', posted_at = '2030-01-01 00:00+00' WHERE id = $1`, id)
	require.Equal(t, "acme 1001 2030-01-02", query[string](t, b.db, `SELECT concat_ws(' ', account, tweet_id, (delete_at AT TIME ZONE 'UTC')::date) FROM tweetqueue.deletions`))
}

// The claim of the second has read that the first is being sent, when the first is settled. The claim
// confirms what it has read, so the settlement waits for it, or it finds that it cannot.
func TestThreadClaimThenSettle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	claim := storetest.Tx(t, b.db)
	rows, err := store.RowsLock(t.Context(), claim, store.PostTweet, []int64{second})
	require.NoError(t, err)
	require.Equal(t, store.Sending, *rows[0].PreviousStatus)
	waitFor(t, claim, store.PostTweet, second, store.ForThread)
	inTx(t, b.db, func(tx pgx.Tx) {
		require.ErrorIs(t, settleFirst(t.Context(), tx, first), store.ErrRowLocked)
	})
	require.NoError(t, claim.Commit(t.Context()))
	b.settle(t, store.PostTweet, first, posted("1001"))
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, second)
}

// The first is being settled when the second is claimed: the claim cannot confirm that it has to wait,
// and looks again.
func TestThreadSettleThenClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	settle := storetest.Tx(t, b.db)
	require.NoError(t, settleFirst(t.Context(), settle, first))
	inTx(t, b.db, func(tx pgx.Tx) {
		rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, []int64{second})
		require.NoError(t, err)
		require.Equal(t, store.Sending, *rows[0].PreviousStatus)
		waitFor(t, tx, store.PostTweet, second, store.ForThread)
	})
	b.requireAwake(t, second)
	require.NoError(t, settle.Commit(t.Context()))
}

// The claim of the second has read that the first is being sent, when the first fails and is looked after:
// the second is woken once more, to learn what became of it.
func TestThreadClaimAcrossAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	claim := storetest.Tx(t, b.db)
	rows, err := store.RowsLock(t.Context(), claim, store.PostTweet, []int64{second})
	require.NoError(t, err)
	require.Equal(t, store.Sending, *rows[0].PreviousStatus)
	b.settle(t, store.PostTweet, first, store.Settlement{Status: store.Failed, Error: "why"})
	require.Zero(t, b.wake(t))
	waitFor(t, claim, store.PostTweet, second, store.ForThread)
	require.NoError(t, claim.Commit(t.Context()))
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, second)
	b.requireNoMarks(t)
}

// An application's open transaction on what stands after a tweet holds up that row, and not the tweet's
// settlement. It is woken when the transaction has ended.
func TestThreadOpenTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, second, store.ForThread) })
	edit := storetest.Tx(t, b.db)
	exec(t, edit, `UPDATE tweetqueue.tweets SET text = 'edited' WHERE id = $1`, second)
	b.settle(t, store.PostTweet, first, posted("1001"))
	other, behind := b.thread(t)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, behind, store.ForThread) })
	b.settle(t, store.PostTweet, other, posted("1002"))
	require.Equal(t, 1, b.wake(t), "what is locked does not stand in the way of what comes after it")
	b.requireAwake(t, behind)
	require.NoError(t, edit.Commit(t.Context()))
	require.Equal(t, 1, b.wake(t))
	b.requireAwake(t, second)
	b.requireNoMarks(t)
}

// The claim's snapshot is of before the settlement's commit, its lock of after it.
func TestThreadClaimAcrossSettle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	b.settle(t, store.PostTweet, first, posted("1001"))
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, second, store.ForThread) })
	b.requireAwake(t, second)
}

// An application that adds the next tweet of a thread, and does not commit, stops neither the claim of
// the one before it nor its settlement nor its takeover.
func TestThreadGrowsMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.thread(t)
	app := storetest.Tx(t, b.db)
	exec(t, app, `INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'third', $1)`, second)
	exec(t, app, `INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'beside', $1)`, first.RowID)
	tx := storetest.Tx(t, b.db)
	exec(t, tx, `SET LOCAL lock_timeout = '1ms'`)
	rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, []int64{second})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.NoError(t, settleFirst(t.Context(), tx, first))
	require.NoError(t, store.CloseRows(t.Context(), tx, store.PostTweet, []store.Closing{{RowID: second, Status: store.Missed, Reason: "late"}}))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Len(t, b.dieAndTakeOver(t), 1)
}

// hold is what can hold an account's rows back: the account itself, or its app.
type hold struct {
	what    store.WaitingFor
	begin   func(ctx context.Context, db store.DBTX, wait time.Duration) error
	release func(ctx context.Context, db store.DBTX) error
	probe   func(ctx context.Context, tx pgx.Tx, rest time.Duration) (bool, error)
	table   string
	resume  string // by a person
}

func (b *testBundle) holds(t *testing.T) map[string]hold {
	t.Helper()
	appID := query[int64](t, b.db, `SELECT id FROM tweetqueue.apps`)
	return map[string]hold{
		"Account": {
			what: store.ForAccount,
			begin: func(ctx context.Context, db store.DBTX, wait time.Duration) error {
				return errOf(store.AccountHold(ctx, db, b.accountID, store.Suspended, "locked\x00", "locked", wait))
			},
			release: func(ctx context.Context, db store.DBTX) error { return store.AccountRelease(ctx, db, b.accountID) },
			probe: func(ctx context.Context, tx pgx.Tx, rest time.Duration) (bool, error) {
				return store.AccountProbe(ctx, tx, b.accountID, rest)
			},
			table:  "accounts",
			resume: `UPDATE tweetqueue.accounts SET state = 'active', state_reason = NULL, state_until = NULL`,
		},
		"App": {
			what: store.ForApp,
			begin: func(ctx context.Context, db store.DBTX, wait time.Duration) error {
				return errOf(store.AppHold(ctx, db, appID, "no credits\x00", "no credits", wait))
			},
			release: func(ctx context.Context, db store.DBTX) error { return store.AppRelease(ctx, db, appID) },
			probe: func(ctx context.Context, tx pgx.Tx, rest time.Duration) (bool, error) {
				return store.AppProbe(ctx, tx, appID, rest)
			},
			table:  "apps",
			resume: `UPDATE tweetqueue.apps SET state = 'active', state_reason = NULL, state_until = NULL`,
		},
	}
}

func TestHoldWakesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Account", "App"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.holds(t)[name]
			tweet, deletion, other := storetest.Tweet(t, b.db, "a", 0), storetest.Deletion(t, b.db, "77", 0), storetest.Tweet(t, b.db, "b", 0)
			require.NoError(t, h.begin(t.Context(), b.db, time.Minute))
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
			inTx(t, b.db, func(tx pgx.Tx) {
				waitFor(t, tx, store.PostTweet, tweet, h.what)
				waitFor(t, tx, store.PostTweet, other, store.ForQuota)
				waitFor(t, tx, store.DeleteTweet, deletion, h.what)
			})
			require.Greater(t, b.next(t, tweet), aDay-time.Hour)

			edit := storetest.Tx(t, b.db)
			exec(t, edit, `UPDATE tweetqueue.tweets SET text = 'edited' WHERE id = $1`, tweet)
			require.NoError(t, h.release(t.Context(), b.db)) // a request of it succeeded
			require.Equal(t, 1, b.wake(t))
			b.requireAwake(t, deletion)
			require.NoError(t, edit.Commit(t.Context())) // what was locked is woken later
			require.Equal(t, 1, b.wake(t))
			b.requireNoMarks(t)
			b.requireAwake(t, tweet)
			b.requireAwake(t, deletion)
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, tweet))
			require.Equal(t, "scheduled:quota", storetest.Status(t, b.db, other))
			require.Greater(t, b.next(t, other), aDay-time.Hour)
		})
	}
}

// A person ends a hold at the worst moment of a claim that has seen the hold: before its lock, while
// it decides, and while the end is not committed.
func TestHoldEndsDuringClaim(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Account", "App"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("Before", func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				h, id := b.holds(t)[name], storetest.Tweet(t, b.db, "a", 0)
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
				inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, id, h.what) })
				b.requireAwake(t, id)
			})
			t.Run("Within", func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				h, id := b.holds(t)[name], storetest.Tweet(t, b.db, "a", 0)
				require.NoError(t, h.begin(t.Context(), b.db, 0))
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
				claim := storetest.Tx(t, b.db)
				rows, err := store.RowsLock(t.Context(), claim, store.PostTweet, []int64{id})
				require.NoError(t, err)
				require.Len(t, rows, 1)
				waitFor(t, claim, store.PostTweet, id, h.what)
				pid, join := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, h.resume)
					return err
				})
				waitBlocked(t, b.db, pid)
				require.NoError(t, claim.Commit(t.Context()))
				join()
				require.Equal(t, 1, b.wake(t))
				require.Equal(t, "scheduled:time", storetest.Status(t, b.db, id))
				b.requireAwake(t, id)
			})
			t.Run("NotCommitted", func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				h, id := b.holds(t)[name], storetest.Tweet(t, b.db, "a", 0)
				require.NoError(t, h.begin(t.Context(), b.db, 0))
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
				resume := storetest.Tx(t, b.db)
				exec(t, resume, h.resume)
				inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, id, h.what) })
				require.NoError(t, resume.Commit(t.Context()))
				b.requireAwake(t, id)
			})
		})
	}
}

// A hold waits for nobody's lock, and holds one itself whether or not it changes anything; nor does the end
// of the waking wait for one.
func TestHoldsAndLocks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Account", "App"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h, id := b.holds(t)[name], storetest.Tweet(t, b.db, "a", 0)
			operator := storetest.Tx(t, b.db)
			exec(t, operator, h.resume)
			require.ErrorIs(t, h.begin(t.Context(), b.db, time.Hour), store.ErrRowLocked)
			require.NoError(t, operator.Rollback(t.Context()))

			require.NoError(t, h.begin(t.Context(), b.db, 0))
			settle := storetest.Tx(t, b.db)
			require.NoError(t, h.begin(t.Context(), settle, time.Hour)) // changes nothing
			pid, join := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, h.resume)
				return err
			})
			waitBlocked(t, b.db, pid)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)
			waitFor(t, settle, store.PostTweet, id, h.what)
			require.NoError(t, settle.Commit(t.Context()))
			join()

			operator = storetest.Tx(t, b.db)
			exec(t, operator, `SELECT FROM tweetqueue.`+h.table+` FOR UPDATE`)
			require.Equal(t, 1, b.wake(t))
			b.requireAwake(t, id)
			require.NoError(t, operator.Rollback(t.Context()))
			require.Zero(t, b.wake(t))
			b.requireNoMarks(t)
		})
	}
}

// A hold that a person must end is not replaced by one that ends by itself, and one that ends by
// itself is replaced by any.
func TestHoldsReplaceEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, h := range b.holds(t) {
		until := `SELECT state_until - tweetqueue.clock() FROM tweetqueue.` + h.table
		require.NoError(t, h.begin(t.Context(), b.db, time.Minute))
		require.Less(t, *query[*time.Duration](t, b.db, until), 2*time.Minute)
		require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
		require.Greater(t, *query[*time.Duration](t, b.db, until), 50*time.Minute)
		require.NoError(t, h.begin(t.Context(), b.db, 0))
		require.Nil(t, query[*time.Duration](t, b.db, until))
		require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
		require.Nil(t, query[*time.Duration](t, b.db, until))
		require.NoError(t, h.release(t.Context(), b.db)) // only a person can
		require.Nil(t, query[*time.Duration](t, b.db, until))
		require.NotEqual(t, "active", query[string](t, b.db, `SELECT state FROM tweetqueue.`+h.table))
	}
}

// That a hold goes on is no news; that it is another one is.
func TestHoldBegins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	appID := query[int64](t, b.db, `SELECT id FROM tweetqueue.apps`)
	app := func(reason, cause string) bool {
		began, err := store.AppHold(t.Context(), b.db, appID, reason, cause, time.Hour)
		require.NoError(t, err)
		return began
	}
	account := func(state store.State, reason, cause string) bool {
		began, err := store.AccountHold(t.Context(), b.db, b.accountID, state, reason, cause, time.Hour)
		require.NoError(t, err)
		return began
	}
	require.True(t, app("create tweet: no credits", "no credits"))
	require.False(t, app("delete tweet: no credits", "no credits"))
	require.True(t, app("create tweet: app suspended", "app suspended"))
	require.True(t, app("create tweet: no credits", "no credits"))
	exec(t, b.db, `UPDATE tweetqueue.apps SET doubted = '{1,2,3,4,5}'`)
	require.True(t, app("no credits", "no credits"), "it was held for an outage of X")
	require.False(t, app("no credits", "no credits"))
	exec(t, b.db, `UPDATE tweetqueue.apps SET state = 'active'`)
	require.True(t, app("no credits again", "no credits"))

	require.True(t, account(store.Paused, "a 401", "401"))
	require.False(t, account(store.Paused, "another 401", "401"))
	require.True(t, account(store.Paused, "locked", "locked"))
	require.True(t, account(store.Suspended, "locked", "locked"))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET state = 'suspended', state_reason = 'by hand'`)
	require.False(t, account(store.Paused, "a 401", "401"), "a person's hold stays")
}
