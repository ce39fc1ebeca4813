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
	for range 2 {
		require.Equal(t, last, queryAll[int64](t, b.db,
			`SELECT (args ->> 'row_id')::bigint FROM tweetqueue.river_job WHERE priority = 4 GROUP BY 1 ORDER BY 1`))
		exec(t, b.db, `UPDATE tweetqueue.river_job SET state = 'running' WHERE priority < 4 AND (args ->> 'row_id')::bigint <> $1`, ids[52])
		exec(t, b.db, `INSERT INTO tweetqueue.quota_waits (account_id, action, until) VALUES ($1, 'post', 'infinity')`, b.accountID)
		put, err = store.JobsPutLast(t.Context(), b.db)
		require.NoError(t, err)
		require.Zero(t, put)
		exec(t, b.db, `DELETE FROM tweetqueue.quota_waits`)
	}
}
