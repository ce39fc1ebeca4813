package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// due inserts a row of a kind that is due.
func due(t testing.TB, db store.DBTX, kind store.Kind, text string) int64 {
	t.Helper()
	return storetest.Row(t, db, kind, text, 0)
}

func TestRowsLockReadsAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	reply, settings := "99", "following"
	first, _, err := store.TweetInsert(t.Context(), b.db, "ACME", store.Tweet{
		Text: "hello", InReplyToTweetID: &reply, ExcludeReplyUserIDs: []string{"1", "2"}, ReplySettings: &settings,
		Extra: []byte(`{"nullcast":true}`),
	}, &at, 1)
	require.NoError(t, err)
	second, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "more", PreviousID: &first}, &at, 0)
	require.NoError(t, err)
	deletion := storetest.Deletion(t, b.db, "77", 0)

	tx := storetest.Tx(t, b.db)
	rows, err := store.RowsLock(t.Context(), tx, store.PostTweet, []int64{second, first, 12345})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []int64{first, second}, []int64{rows[0].ID, rows[1].ID})
	row := rows[0]
	require.Equal(t, store.PostTweet, row.Kind)
	require.Equal(t, store.Scheduled, row.Status)
	require.Equal(t, store.ForTime, *row.WaitingFor)
	require.True(t, at.Equal(row.WakeAt))
	require.Equal(t, 1, row.Priority)
	require.Equal(t, b.accountID, row.AccountID)
	require.Equal(t, "acme", row.Username)
	require.Equal(t, "42", row.XUserID)
	require.Equal(t, store.Active, row.Account.State)
	require.Equal(t, store.Active, row.App.State)
	require.NotEmpty(t, row.AccountCredentials)
	require.NotEmpty(t, row.AppCredentials)
	require.Equal(t, store.Tweet{
		Text: "hello", InReplyToTweetID: &reply, ExcludeReplyUserIDs: []string{"1", "2"}, ReplySettings: &settings,
		Extra: []byte(`{"nullcast": true}`), IfUnconfirmed: "resend",
	}, row.Tweet)
	require.Nil(t, row.PreviousStatus)
	require.Equal(t, store.Scheduled, *rows[1].PreviousStatus)
	require.Nil(t, rows[1].PreviousTweetID)
	require.Equal(t, 2, rows[1].Priority)

	rows, err = store.RowsLock(t.Context(), tx, store.DeleteTweet, []int64{deletion})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "77", rows[0].TweetID)
	require.False(t, rows[0].UndoRetweet)
	require.Equal(t, "delete", rows[0].Action())

	undo, _, err := store.UndoInsert(t.Context(), b.db, "acme", "78", nil, 0)
	require.NoError(t, err)
	rows, err = store.RowsLock(t.Context(), tx, store.DeleteTweet, []int64{undo})
	require.NoError(t, err)
	require.Equal(t, "78", rows[0].TweetID)
	require.True(t, rows[0].UndoRetweet)
	require.Equal(t, "undo_retweet", rows[0].Action())

	retweet := storetest.Retweet(t, b.db, "79", 0)
	rows, err = store.RowsLock(t.Context(), tx, store.Retweet, []int64{retweet})
	require.NoError(t, err)
	require.Equal(t, store.Retweet, rows[0].Kind)
	require.Equal(t, "79", rows[0].TweetID)
	require.Equal(t, "retweet", rows[0].Action())
}

func TestRowsLockLeavesOutLockedRows(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			locked, free, cancelled := due(t, b.db, kind, "a"), due(t, b.db, kind, "b"), due(t, b.db, kind, "c")
			_, err := store.Cancel(t.Context(), b.db, cancelled)
			require.NoError(t, err)
			exec(t, b.db, `DELETE FROM tweetqueue.river_job`)

			edit := storetest.Tx(t, b.db)
			exec(t, edit, `UPDATE tweetqueue.`+table(kind)+` SET priority = 1 WHERE id = $1`, locked)

			tx := storetest.Tx(t, b.db)
			rows, err := store.RowsLock(t.Context(), tx, kind, []int64{locked, free})
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.Equal(t, free, rows[0].ID)

			parked, err := store.RowsRewake(t.Context(), tx, kind, []int64{locked, cancelled, 12345}, 250*time.Millisecond)
			require.NoError(t, err)
			require.Equal(t, []int64{locked}, parked)
			require.NoError(t, tx.Commit(t.Context()))
			jobs := storetest.Jobs(t, b.db, locked)
			require.Len(t, jobs, 1)
			require.Equal(t, "pending", jobs[0].State)
			now, err := store.Clock(t.Context(), b.db)
			require.NoError(t, err)
			require.WithinDuration(t, now, jobs[0].ScheduledAt, patience)
		})
	}
}

func TestStartRequests(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first, second := due(t, b.db, kind, "a"), due(t, b.db, kind, "b")
			requests := b.start(t, kind, second, first)
			for _, r := range requests {
				require.NotZero(t, r.ID)
				require.Equal(t, "sending", storetest.Status(t, b.db, r.RowID))
				require.True(t, query[bool](t, b.db, `SELECT request_id = $2 FROM tweetqueue.`+table(kind)+` WHERE id = $1`, r.RowID, r.ID))
				require.True(t, query[bool](t, b.db, `SELECT kind = $2 AND row_id = $3 AND worker_id = $4 AND job_id = 1
					AND body = '{"text":"hello"}' AND send_by > granted_at AND answered_at IS NULL
					FROM tweetqueue.requests WHERE id = $1`, r.ID, kind, r.RowID, b.workerID))
			}
			// A row that is not scheduled any more refuses the whole list.
			third := due(t, b.db, kind, "c")
			err := store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
				return store.StartRequests(t.Context(), tx, kind, b.workerID,
					[]*store.Request{b.request(t, tx, third), b.request(t, tx, first)})
			})
			require.ErrorIs(t, err, store.ErrLostRace)
			require.Equal(t, "scheduled:time", storetest.Status(t, b.db, third))
			require.EqualValues(t, 2, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.requests`))
		})
	}
}

func TestLostRacesOfClaim(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for _, status := range []store.Status{store.Sending, kind.Done(), store.Failed, store.Unconfirmed, store.Missed, store.Cancelled} {
				tx := storetest.Tx(t, b.db)
				fine, id := due(t, tx, kind, "fine"), b.inState(t, tx, kind, status)
				for name, do := range map[string]func(tx pgx.Tx) error{
					"StartRequests": func(tx pgx.Tx) error {
						return store.StartRequests(t.Context(), tx, kind, b.workerID, []*store.Request{b.request(t, tx, id)})
					},
					"WaitRows": func(tx pgx.Tx) error {
						return store.WaitRows(t.Context(), tx, kind, []store.Wait{
							{RowID: fine, For: store.ForQuota, Until: time.Now()}, {RowID: id, For: store.ForQuota, Until: time.Now()},
						})
					},
					"CloseRows": func(tx pgx.Tx) error {
						return store.CloseRows(t.Context(), tx, kind, []store.Closing{
							{RowID: fine, Status: store.Failed, Reason: "why"}, {RowID: id, Status: store.Failed, Reason: "why"},
						})
					},
				} {
					savepoint, err := tx.Begin(t.Context())
					require.NoError(t, err)
					require.ErrorIs(t, do(savepoint), store.ErrLostRace, "%s of a row that is %s", name, status)
					require.NoError(t, savepoint.Rollback(t.Context()))
				}
				_, err := store.Cancel(t.Context(), tx, id)
				require.ErrorIs(t, err, store.ErrLostRace)
				require.ErrorContains(t, err, fmt.Sprintf("it is %s", status))
				require.NoError(t, tx.Rollback(t.Context()))
			}
		})
	}
}

// Whoever claims a row first has it, whatever the others do at the same time.
func TestOneOfManyClaimsWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rows, workers = 20, 8
	ids := make([]int64, rows)
	for i := range ids {
		ids[i] = storetest.Tweet(t, b.db, fmt.Sprint("tweet ", i), 0)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group errgroup.Group
	won := make([]int, workers)
	for w := range workers {
		group.Go(func() error {
			for i := range ids {
				id := ids[(i+w)%rows]
				err := store.InTx(ctx, b.db, func(tx pgx.Tx) error {
					locked, err := store.RowsLock(ctx, tx, store.PostTweet, []int64{id})
					if err != nil || len(locked) == 0 || locked[0].Status != store.Scheduled {
						return err
					}
					won[w]++
					now, err := store.Clock(ctx, tx)
					if err != nil {
						return err
					}
					return store.StartRequests(ctx, tx, store.PostTweet, b.workerID, []*store.Request{
						{RowID: id, AccountID: b.accountID, JobID: 1, GrantedAt: now, SendBy: now},
					})
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	total := 0
	for _, n := range won {
		total += n
	}
	require.Equal(t, rows, total)
	require.EqualValues(t, rows, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.requests`))
	require.EqualValues(t, rows, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.tweets WHERE status = 'sending'`))
}

func TestWaitRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now, err := store.Clock(t.Context(), b.db)
	require.NoError(t, err)
	deadline, until := now.Add(time.Hour).Truncate(time.Microsecond), now.Add(2*time.Hour).Truncate(time.Microsecond)
	free, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "a"}, nil, 0)
	require.NoError(t, err)
	bound, _, err := store.TweetInsert(t.Context(), b.db, "acme", store.Tweet{Text: "b", PostBefore: &deadline}, nil, 0)
	require.NoError(t, err)
	deletion := storetest.Deletion(t, b.db, "77", 0)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running'`)

	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.WaitRows(t.Context(), tx, store.PostTweet, []store.Wait{
			{RowID: free, For: store.ForQuota, Until: until, Reason: "no place\x00 left\xff"},
			{RowID: bound, For: store.ForRetry, Until: until},
		}))
		require.NoError(t, store.WaitRows(t.Context(), tx, store.DeleteTweet, []store.Wait{{RowID: deletion, For: store.ForQuota, Until: until}}))
	})
	forever := now.AddDate(100, 0, 0)
	for id, want := range map[int64]time.Time{free: forever, bound: deadline, deletion: forever} {
		jobs := storetest.Jobs(t, b.db, id)
		require.Len(t, jobs, 2)
		require.Equal(t, "running", jobs[0].State)
		require.Equal(t, "pending", jobs[1].State)
		require.WithinDuration(t, want, jobs[1].ScheduledAt, aDay, "its account wakes it, or its deadline")
	}
	entry, err := store.EntryGet(t.Context(), b.db, free)
	require.NoError(t, err)
	require.Equal(t, store.ForQuota, *entry.WaitingFor)
	require.Equal(t, "no place\uFFFD left\uFFFD", *entry.Error)
	require.Nil(t, entry.NextAttemptAt)
	b.quotaWait(t, "post", until)
	entry, err = store.EntryGet(t.Context(), b.db, free)
	require.NoError(t, err)
	require.True(t, until.Equal(*entry.NextAttemptAt))
	require.Equal(t, "scheduled:retry", storetest.Status(t, b.db, bound))
}

func TestCloseRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tweet, deletion := storetest.Tweet(t, b.db, "a", 0), storetest.Deletion(t, b.db, "77", 0)
	after := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id) VALUES ('acme', 'b', $1) RETURNING id`, tweet)
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.WaitRows(t.Context(), tx, store.PostTweet, []store.Wait{
			{RowID: after, For: store.ForThread, Until: time.Now().Add(24 * time.Hour)},
		}))
	})
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.CloseRows(t.Context(), tx, store.PostTweet, []store.Closing{{RowID: tweet, Status: store.Missed, Reason: "too late"}}))
		require.NoError(t, store.CloseRows(t.Context(), tx, store.DeleteTweet, []store.Closing{{RowID: deletion, Status: store.Failed, Reason: "why"}}))
	})
	require.Equal(t, "missed", storetest.Status(t, b.db, tweet))
	require.Equal(t, "failed", storetest.Status(t, b.db, deletion))
	require.Equal(t, "too late", query[string](t, b.db, `SELECT error FROM tweetqueue.tweets WHERE id = $1`, tweet))
	// The row after it is woken, to learn why it waits.
	require.Equal(t, 1, b.wake(t))
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, after))
}
