package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// Of an account with many rows that are due some keep their places in River's queue, and the others come last.
func TestJobsPutLast(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		t.Run(testName(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "77"})
			for i := range 60 {
				due(t, b.db, kind, fmt.Sprint(i))
			}
			other, urgent := due(t, b.db, kind, "other"), due(t, b.db, kind, "urgent")
			exec(t, b.db, fmt.Sprintf(`UPDATE tweetqueue.%s SET account = 'other' WHERE id = $1`, kind.Queue()), other)
			exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 1 WHERE (args ->> 'row_id')::bigint = $1`, urgent)
			order := func() []int64 {
				return queryAll[int64](t, b.db, `SELECT (args ->> 'row_id')::bigint FROM tweetqueue.river_job
					WHERE state = 'available' ORDER BY priority, scheduled_at, id`)
			}
			before := order()
			require.Len(t, before, 62)
			require.Equal(t, urgent, before[0])
			require.Equal(t, other, before[61])

			put, err := store.JobsPutLast(t.Context(), b.db)
			require.NoError(t, err)
			require.Equal(t, 11, put)
			require.Equal(t, slices.Concat(before[:50], []int64{other}, before[50:61]), order())
			put, err = store.JobsPutLast(t.Context(), b.db)
			require.NoError(t, err)
			require.Zero(t, put)
			require.Equal(t, slices.Concat(before[:50], []int64{other}, before[50:61]), order())

			// When few are left, some come behind what is due by then, unless the account waits.
			exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint = ANY ($1)`, before[:43])
			b.quotaWait(t, kind.Action(), time.Now().Add(time.Hour))
			for _, raised := range []int{0, 3} {
				put, err = store.JobsPutLast(t.Context(), b.db)
				require.NoError(t, err)
				require.Zero(t, put)
				require.Equal(t, slices.Concat(before[43:50], []int64{other}, before[50:61]), order())
				require.Equal(t, 11-raised, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.river_job WHERE priority = 4`))
				exec(t, b.db, `DELETE FROM tweetqueue.quota_waits`)
			}
		})
	}
}

// What somebody has locked keeps its place, and what has the last priority of itself.
func TestJobsPutLastPassesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	for i := range 60 {
		ids = append(ids, due(t, b.db, store.PostTweet, fmt.Sprint(i)))
	}
	exec(t, b.db, `UPDATE tweetqueue.tweets SET priority = 4 WHERE id = $1`, ids[0])
	exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 4 WHERE (args ->> 'row_id')::bigint = $1`, ids[0])
	holder := storetest.Tx(t, b.db)
	exec(t, holder, `SELECT FROM tweetqueue.river_job WHERE (args ->> 'row_id')::bigint = $1 FOR UPDATE`, ids[52])
	put, err := store.JobsPutLast(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, 8, put)
	last := slices.Concat([]int64{ids[0], ids[51]}, ids[53:])
	require.Equal(t, last, b.putLast(t))
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE priority < 4 AND (args ->> 'row_id')::bigint <> $1`, ids[52])
	b.quotaWait(t, "post", time.Now().Add(time.Hour))
	for _, action := range []string{"post", "delete"} { // a wait of another action holds none back
		exec(t, b.db, `UPDATE tweetqueue.quota_waits SET action = $1`, action)
		put, err = store.JobsPutLast(t.Context(), b.db)
		require.NoError(t, err)
		require.Zero(t, put)
		require.Equal(t, last, b.putLast(t))
		last = []int64{ids[0], ids[59]} // ten stand before the last, with two jobs of the first
	}
}

// putLast are the rows of the jobs of River's last priority.
func (b *testBundle) putLast(t *testing.T) []int64 {
	t.Helper()
	return queryAll[int64](t, b.db, `SELECT DISTINCT (args ->> 'row_id')::bigint FROM tweetqueue.river_job WHERE priority = 4 ORDER BY 1`)
}

// Rows of priority 4 are last of themselves: there is nothing to do for them.
func TestJobsPutLastOfLastPriority(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	for i := range 12 {
		ids = append(ids, due(t, b.db, store.PostTweet, fmt.Sprint(i)))
	}
	exec(t, b.db, `UPDATE tweetqueue.tweets SET priority = 4`)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 4`)
	put, err := store.JobsPutLast(t.Context(), b.db)
	require.NoError(t, err)
	require.Zero(t, put)
	require.Equal(t, ids, b.putLast(t))
}

// What an account has too much of stands before the others again also behind a larger bulk of another account.
func TestJobsPutLastBehindABulk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "77"})
	for _, rows := range []struct {
		account string
		n       int
	}{{"acme", 600}, {"other", 60}} {
		exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text) SELECT $1, 'a' || g FROM generate_series(1, $2::integer) AS g`, rows.account, rows.n)
	}
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'available', scheduled_at = tweetqueue.clock()`)
	put, err := store.JobsPutLast(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, 550+10, put)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE priority < 4`)
	put, err = store.JobsPutLast(t.Context(), b.db)
	require.NoError(t, err)
	require.Zero(t, put)
	require.Equal(t, []string{"acme 10", "other 10"}, queryAll[string](t, b.db, `SELECT t.account || ' ' || count(*)
		FROM tweetqueue.river_job j JOIN tweetqueue.tweets t ON t.id = (j.args ->> 'row_id')::bigint
		WHERE j.state = 'available' AND j.priority < 4 GROUP BY t.account ORDER BY 1`))
}

// Where so many jobs come first that not all of them are seen, of an account that has none among those one at a time is raised.
func TestJobsPutLastBehindManyAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 40 {
		storetest.Account(t, b.db, storetest.AccountOpts{Username: fmt.Sprintf("busy%d", i), XUserID: fmt.Sprint(1000 + i)})
	}
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text) SELECT 'busy' || a, 'a' || n FROM generate_series(0, 39) AS a, generate_series(1, 50) AS n`)
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'a' || n FROM generate_series(1, 12) AS n`)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'available', scheduled_at = tweetqueue.clock()`)
	exec(t, b.db, `UPDATE tweetqueue.river_job SET priority = 4 WHERE (args ->> 'row_id')::bigint IN (SELECT id FROM tweetqueue.tweets WHERE account = 'acme')`)
	for _, busy := range []int{40, 39} {
		exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE (args ->> 'row_id')::bigint IN (
			SELECT id FROM tweetqueue.tweets WHERE account = 'busy39') AND $1 < 40`, busy)
		put, err := store.JobsPutLast(t.Context(), b.db)
		require.NoError(t, err)
		require.Zero(t, put)
		require.Len(t, b.putLast(t), map[int]int{40: 11, 39: 2}[busy])
	}
}
