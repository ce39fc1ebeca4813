package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// oneParked requires that each scheduled row has exactly one parked job, or one that may go at once
// if it is due, at its instant and with its priority, and that no other row has any.
func (b *testBundle) oneParked(t *testing.T) {
	t.Helper()
	wrong := queryAll[string](t, b.db, `WITH rows AS (
		SELECT id, status, wake_at, priority, 'post_tweet' AS kind, 'tweets' AS queue FROM tweetqueue.tweets
		UNION ALL SELECT id, status, wake_at, priority, 'delete_tweet', 'deletions' FROM tweetqueue.deletions
		UNION ALL SELECT id, status, wake_at, priority, 'retweet', 'retweets' FROM tweetqueue.retweets
	), jobs AS (
		SELECT (args ->> 'row_id')::bigint AS row_id, kind, queue, scheduled_at, priority, state FROM tweetqueue.river_job
		WHERE state IN ('pending', 'available')
	)
	SELECT format('row %s is %s and wakes at %s (%s): %s jobs: %s', r.id, r.status, r.wake_at, r.priority, count(j), array_agg(j)) FROM rows r LEFT JOIN jobs j ON j.row_id = r.id
	GROUP BY r.id, r.status, r.wake_at, r.priority, r.kind, r.queue
	HAVING count(j) <> (r.status = 'scheduled')::int
		OR bool_or((j.scheduled_at, j.priority, j.kind, j.queue) <> (r.wake_at, r.priority, r.kind, r.queue))
		OR bool_or(j.state <> CASE WHEN r.wake_at < tweetqueue.clock() THEN 'available' ELSE 'pending' END::tweetqueue.river_job_state)
	LIMIT 5`)
	require.Empty(t, wrong)
	require.Zero(t, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.river_job j WHERE NOT EXISTS (
		SELECT FROM tweetqueue.tweets WHERE id = (j.args ->> 'row_id')::bigint
		UNION ALL SELECT FROM tweetqueue.deletions WHERE id = (j.args ->> 'row_id')::bigint
		UNION ALL SELECT FROM tweetqueue.retweets WHERE id = (j.args ->> 'row_id')::bigint)`))
}

func TestEveryRowHasOneParkedJob(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			later, move := dueAt(kind)+" = "+dueAt(kind)+" + interval '1 hour'", dueAt(kind)+" = "+dueAt(kind)
			for _, edits := range [][]string{
				{},
				{later},
				{move + " - interval '30 minutes'"},
				{dueAt(kind) + " = tweetqueue.clock()"},
				{dueAt(kind) + " = '2020-01-01'"},
				{move + " - interval '59 minutes'", move + " + interval '59 minutes'"},
				{"priority = 4"},
				{"priority = priority"},
				{`metadata = '{"a":1}'`},
				{"status = 'cancelled'"},
				{"status = 'cancelled'", "status = 'cancelled'"},
				{"status = 'cancelled'", "status = 'scheduled'"},
				{"status = 'cancelled'", "status = 'scheduled', " + dueAt(kind) + " = tweetqueue.clock()"},
				{later + ", status = 'cancelled'"},
				{"priority = 3", later, "priority = 1"},
			} {
				t.Log(edits)
				// As an application does it: one row, and others that nothing happens to.
				app := storetest.Tx(t, b.db)
				exec(t, app, `SET LOCAL ROLE tweetqueue_writer`)
				var ids []int64
				for range 3 {
					ids = append(ids, storetest.Row(t, app, kind, "a", time.Hour))
				}
				for _, edit := range edits {
					exec(t, app, `UPDATE tweetqueue.`+table(kind)+` SET `+edit+` WHERE id = $1`, ids[1])
				}
				require.NoError(t, app.Commit(t.Context()))
				b.oneParked(t)
			}
		})
	}
}

// dueAt is the column of a kind's rows that says when they are due.
func dueAt(kind store.Kind) string {
	return map[store.Kind]string{store.PostTweet: "post_at", store.DeleteTweet: "delete_at", store.Retweet: "retweet_at"}[kind]
}

func TestBulkStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 1000
	ids := queryAll[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, post_at)
		SELECT 'acme', 'tweet ' || i, tweetqueue.clock() + i * interval '1 minute' FROM generate_series(1, $1::integer) AS i RETURNING id`, n)
	require.Len(t, ids, n)
	b.oneParked(t)
	require.EqualValues(t, n, exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = post_at + interval '2 hours', priority = 1 + id % 4`))
	b.oneParked(t)
	// One statement that does all at once: half is moved, a quarter cancelled, a quarter left.
	require.EqualValues(t, n, exec(t, b.db, `UPDATE tweetqueue.tweets
		SET post_at = CASE id % 4 WHEN 0 THEN tweetqueue.clock() WHEN 1 THEN post_at + interval '1 day' ELSE post_at END,
			status = CASE id % 4 WHEN 2 THEN 'cancelled' ELSE status END`))
	b.oneParked(t)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE status = 'scheduled'`)
	exec(t, b.db, `DELETE FROM tweetqueue.river_job WHERE state = 'available'`) // those that were due
	b.oneParked(t)
	require.EqualValues(t, n, exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', post_at = post_at + interval '1 day'`))
	b.oneParked(t)
	exec(t, b.db, `INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at)
		SELECT 'acme', i::text, tweetqueue.clock() + interval '1 hour' FROM generate_series(1, 1000) AS i`)
	b.oneParked(t)
	require.EqualValues(t, n, query[int64](t, b.db, `SELECT tweetqueue.remove_tweets(VARIADIC $1)`, ids))
	b.oneParked(t)
	require.EqualValues(t, n, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.river_job WHERE state = 'pending'`))
}

// A job that left the parking place belongs to River: an edit parks another, and the claim tells
// by the row which of them means something.
func TestEditsLeaveRiversJobsAlone(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		for _, state := range []string{"available", "running", "retryable"} {
			t.Run(testName(kind)+strings.ToUpper(state[:1])+state[1:], func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				moved, cancelled := due(t, b.db, kind, "a"), due(t, b.db, kind, "b")
				exec(t, b.db, `UPDATE tweetqueue.river_job SET state = $1::text::tweetqueue.river_job_state`, state)
				before := [][]storetest.Job{storetest.Jobs(t, b.db, moved), storetest.Jobs(t, b.db, cancelled)}

				app := storetest.Tx(t, b.db)
				exec(t, app, `SET LOCAL ROLE tweetqueue_writer`)
				exec(t, app, `UPDATE tweetqueue.`+table(kind)+` SET `+dueAt(kind)+` = tweetqueue.clock() + interval '1 hour' WHERE id = $1`, moved)
				exec(t, app, `UPDATE tweetqueue.`+table(kind)+` SET status = 'cancelled' WHERE id = $1`, cancelled)
				require.NoError(t, app.Commit(t.Context()))

				jobs := storetest.Jobs(t, b.db, moved)
				require.Len(t, jobs, 2)
				require.Equal(t, before[0][0], jobs[0])
				require.Equal(t, "pending", jobs[1].State)
				require.Equal(t, before[1], storetest.Jobs(t, b.db, cancelled))

				// Moved again, it is the parked one that moves.
				exec(t, b.db, `UPDATE tweetqueue.`+table(kind)+` SET `+dueAt(kind)+` = `+dueAt(kind)+` + interval '1 hour' WHERE id = $1`, moved)
				require.Len(t, storetest.Jobs(t, b.db, moved), 2)
				require.True(t, jobs[1].ScheduledAt.Add(time.Hour).Equal(storetest.Jobs(t, b.db, moved)[1].ScheduledAt))
			})
		}
	}
}

// The promoter takes the job while an application moves its row: the move parks another.
func TestMoveDuringPromotion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, "a", time.Minute)
	storetest.MoveClock(t, b.db, time.Hour)
	promoting := storetest.Tx(t, b.db)
	promotion, err := store.Promote(t.Context(), promoting, 10)
	require.NoError(t, err)
	require.Equal(t, 1, promotion.Promoted)
	pid, join := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() + interval '1 hour' WHERE id = $1`, id)
		return err
	})
	waitBlocked(t, b.db, pid)
	require.NoError(t, promoting.Commit(t.Context()))
	join()
	jobs := storetest.Jobs(t, b.db, id)
	require.Len(t, jobs, 2)
	require.Equal(t, []string{"available", "pending"}, []string{jobs[0].State, jobs[1].State})
}

func TestRollbackLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	storetest.Tweet(t, tx, "a", time.Hour)
	storetest.Deletion(t, tx, "77", 0)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Zero(t, query[int64](t, b.db, `SELECT (SELECT count(*) FROM tweetqueue.tweets)
		+ (SELECT count(*) FROM tweetqueue.deletions) + (SELECT count(*) FROM tweetqueue.river_job)`))
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var ids []int64
			for _, status := range allStatuses() {
				if status == kind.Done() || len(mayFollow(kind)[status]) > 0 {
					tx := storetest.Tx(t, b.db)
					ids = append(ids, b.inState(t, tx, kind, status))
					require.NoError(t, tx.Commit(t.Context()))
				}
			}
			requested := due(t, b.db, kind, "sent once")
			b.settle(t, kind, b.start(t, kind, requested)[0], store.Settlement{Status: store.Failed})

			app := storetest.Tx(t, b.db)
			exec(t, app, `SET LOCAL ROLE tweetqueue_writer`)
			removed := query[int64](t, app, fmt.Sprintf(`SELECT tweetqueue.remove_%s(VARIADIC $1)`, table(kind)), append(ids, requested, 12345))
			require.NoError(t, app.Commit(t.Context()))
			require.EqualValues(t, 4, removed)
			require.ElementsMatch(t, []store.Status{store.Sending, store.Unconfirmed, kind.Done(), store.Failed},
				queryAll[store.Status](t, b.db, `SELECT status FROM tweetqueue.`+table(kind)))
			require.Equal(t, "failed", storetest.Status(t, b.db, requested))
			require.Empty(t, storetest.Jobs(t, b.db, ids[0]))
		})
	}
}

// Each statement that makes a job due tells River, in the words of river.Client.Insert, which
// package jobs compares; one that parks a job tells nobody.
func TestNotifications(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	exec(t, conn, `LISTEN "tweetqueue.river_insert"`)

	later := storetest.Tweet(t, b.db, "later", time.Hour)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = post_at + interval '1 hour', priority = 1`)
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'now ' || i FROM generate_series(1, 10) AS i`)
	storetest.Deletion(t, b.db, "77", 0)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() WHERE id = $1`, later)
	exec(t, b.db, `SELECT pg_notify('tweetqueue.river_insert', 'the end')`)
	for _, want := range []string{"tweets", "deletions", "tweets", ""} {
		notification, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		if want == "" {
			require.Equal(t, "the end", notification.Payload)
			return
		}
		require.JSONEq(t, `{"queue":"`+want+`"}`, notification.Payload)
	}
}
