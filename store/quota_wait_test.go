package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// quotaWait makes acme wait for a limit, as a claim does.
func (b *testBundle) quotaWait(t *testing.T, action string, until time.Time) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		require.NoError(t, store.QuotaWaitsBegin(t.Context(), tx, []store.QuotaWait{{AccountID: b.accountID, Action: action, Until: until}}))
	})
}

// release lets go on what may, as a worker does.
func (b *testBundle) release(t *testing.T, action string) (released int) {
	t.Helper()
	inTx(t, b.db, func(tx pgx.Tx) {
		var err error
		released, err = store.QuotaWaitRelease(t.Context(), tx, store.QuotaWait{AccountID: b.accountID, Action: action})
		require.NoError(t, err)
	})
	return released
}

// waits makes a row wait for a limit.
func (b *testBundle) waits(t *testing.T, kind store.Kind, id int64) {
	t.Helper()
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE state <> 'pending' AND (args ->> 'row_id')::bigint = $1`, id)
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, kind, id, store.ForQuota) })
}

// nextWait is when the account is looked at again; nil: nothing waits.
func (b *testBundle) nextWait(t *testing.T) *time.Duration {
	t.Helper()
	return query[*time.Duration](t, b.db, `SELECT (SELECT until - tweetqueue.clock() FROM tweetqueue.quota_waits)`)
}

// As many of the best go on as there are places: by priority, then by when they are due.
func TestReleaseTheBest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.quotas SET maximum = 3 WHERE name = 'posts'`)
	var ids []int64
	for i, priority := range []int{2, 2, 1, 2, 3} {
		id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, priority, post_at) VALUES ('acme', 'a', $1, tweetqueue.clock() - $2::interval) RETURNING id`,
			priority, time.Duration(i)*time.Minute)
		ids = append(ids, id)
		b.waits(t, store.PostTweet, id)
	}
	b.quotaWait(t, "post", time.Now())
	require.Equal(t, 3, b.release(t, "post"))
	require.Equal(t, []int64{ids[2], ids[3], ids[1]}, queryAll[int64](t, b.db, `SELECT id FROM tweetqueue.tweets WHERE waiting_for = 'time' ORDER BY priority, next_attempt_at`))
	require.Equal(t, []int64{ids[2], ids[3], ids[1]}, queryAll[int64](t, b.db, `SELECT (args ->> 'row_id')::bigint FROM tweetqueue.river_job
		WHERE state = 'available' ORDER BY priority, scheduled_at, id`), "so River works them")

	// They are counted until they are claimed; one that is cancelled leaves its place to the next.
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Zero(t, b.release(t, "post"))
	require.LessOrEqual(t, *b.nextWait(t), time.Second)
	_, err := store.Cancel(t.Context(), b.db, ids[2])
	require.NoError(t, err)
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Equal(t, 1, b.release(t, "post"))
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, ids[0]))

	// Nothing waits any more.
	_, err = store.Cancel(t.Context(), b.db, ids[4])
	require.NoError(t, err)
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Zero(t, b.release(t, "post"))
	require.Nil(t, b.nextWait(t))
}

// A window that is widened, narrowed or blocked is looked at again at once, and so is a place that is given back.
func TestWindowsThatChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, change := range []string{"maximum = maximum + 1", "x_maximum = 100", "others = 5, others_until = tweetqueue.clock() + interval '1 hour'", "blocked_until = tweetqueue.clock() + interval '1 hour'"} {
		b.quotaWait(t, "post", time.Now().Add(time.Hour))
		exec(t, b.db, fmt.Sprintf(`UPDATE tweetqueue.quotas SET %s WHERE name = 'writes'`, change))
		require.LessOrEqual(t, *b.nextWait(t), time.Duration(0), "%d: %s", i, change)
	}
	b.quotaWait(t, "post", time.Now().Add(time.Hour))
	exec(t, b.db, `UPDATE tweetqueue.quotas SET maximum = maximum + 1 WHERE name = 'deletions'`)
	require.Greater(t, *b.nextWait(t), 50*time.Minute, "that is another action's")
}

// The places of a window that counts several actions go to the best rows of all of these; those of a row whose own
// windows have none go to the others.
func TestReleaseTheBestOfSeveralActions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exec(t, b.db, `UPDATE tweetqueue.quotas SET maximum = 4 WHERE name = 'writes'`)
	wait := func(kind store.Kind, priority int, ago time.Duration) int64 {
		id := due(t, b.db, kind, fmt.Sprint(ago))
		column := map[store.Kind]string{store.PostTweet: "tweets SET post_at", store.Retweet: "retweets SET retweet_at"}[kind]
		exec(t, b.db, `UPDATE tweetqueue.`+column+` = tweetqueue.clock() - $2::interval, priority = $3 WHERE id = $1`, id, ago, priority)
		b.waits(t, kind, id)
		return id
	}
	for i := range 5 {
		wait(store.PostTweet, 2, time.Duration(i+1)*time.Minute)
		wait(store.Retweet, 2, time.Duration(i+1)*time.Minute+30*time.Second)
	}
	urgent := wait(store.Retweet, 1, time.Second)
	b.quotaWait(t, "post", time.Now())
	b.quotaWait(t, "retweet", time.Now())
	require.Equal(t, 1, b.release(t, "post"), "of the oldest three it is one")
	require.Equal(t, 3, b.release(t, "retweet"))
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, urgent))
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Zero(t, b.release(t, "post")+b.release(t, "retweet"), "they are counted until they are claimed")

	exec(t, b.db, `UPDATE tweetqueue.quotas SET maximum = 7 WHERE name = 'writes'`)
	exec(t, b.db, `INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period) SELECT id, 'retweets', '{retweet}', 3, '1 hour' FROM tweetqueue.accounts`)
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Zero(t, b.release(t, "retweet"))
	exec(t, b.db, `UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock()`)
	require.Equal(t, 3, b.release(t, "post"))
}

// A row that is moved to later while it waits for a limit waits for its time again, and makes no other wait.
func TestMovedWhileItWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := due(t, b.db, store.PostTweet, "a")
	b.waits(t, store.PostTweet, id)
	b.quotaWait(t, "post", time.Now())
	exec(t, b.db, `UPDATE tweetqueue.tweets SET post_at = tweetqueue.clock() + interval '7 days'`)
	require.Zero(t, b.release(t, "post"))
	require.Nil(t, b.nextWait(t))
	require.Equal(t, "scheduled:time", storetest.Status(t, b.db, id))
	jobs := storetest.Jobs(t, b.db, id)
	require.Equal(t, "pending", jobs[len(jobs)-1].State)
	require.WithinDuration(t, time.Now().Add(7*24*time.Hour), jobs[len(jobs)-1].ScheduledAt, time.Hour)
}

// A window that is gone makes nothing wait, nor does one of an app that the account has left.
func TestWindowsThatGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, change := range []string{
		`DELETE FROM tweetqueue.quotas WHERE name = 'posts'`,
		`UPDATE tweetqueue.accounts SET limits_preset = 'pro'`,
	} {
		b.quotaWait(t, "post", time.Now().Add(time.Hour))
		exec(t, b.db, change)
		require.LessOrEqual(t, *b.nextWait(t), time.Duration(0), change)
	}
	// To write the account's keys anew is no change of its limits.
	b.quotaWait(t, "post", time.Now().Add(time.Hour))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET app_id = app_id`)
	require.Greater(t, *b.nextWait(t), 50*time.Minute)
}

// Somebody who has the windows locked holds up its account, and not the loop that looks at others, too.
func TestReleaseIsImpatient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.quotaWait(t, "post", time.Now())
	person := storetest.Tx(t, b.db)
	exec(t, person, `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	err := store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := store.QuotaWaitRelease(t.Context(), tx, store.QuotaWait{AccountID: b.accountID, Action: "post"})
		return err
	})
	require.ErrorIs(t, err, store.ErrRowLocked)
}

// An account whose windows somebody has locked is looked at again a little later, and stands in the way of none.
func TestQuotaWaitOfLockedWindows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.quotaWait(t, "post", time.Now().Add(-time.Second))
	due, next, err := store.QuotaWaitsDue(t.Context(), b.db, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Nil(t, next)
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	err = store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := store.QuotaWaitRelease(t.Context(), tx, due[0])
		return err
	})
	require.ErrorIs(t, err, store.ErrRowLocked)
	require.NoError(t, store.QuotaWaitPostpone(t.Context(), b.db, due[0]))
	due, next, err = store.QuotaWaitsDue(t.Context(), b.db, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	require.LessOrEqual(t, *next, time.Second)
}
