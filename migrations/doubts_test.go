package migrations_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store/storetest"
)

// A row that was in doubt before anything looked doubts up is looked up by the next worker: it has a job. One
// whose answer is known, and could not be recorded, stays a person's matter.
func TestUpWithDoubts(t *testing.T) {
	t.Parallel()
	const before = 4
	url := storetest.URL(t)
	db := open(t, url)
	for range migrations.Latest - before {
		require.NoError(t, migrations.Down(t.Context(), migrations.Config{}, url, false, false))
	}
	storetest.Account(t, db, storetest.AccountOpts{})
	insert := func(sql string) (ids []int64) {
		rows, err := db.Query(t.Context(), sql)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var id int64
			require.NoError(t, rows.Scan(&id))
			ids = append(ids, id)
		}
		require.NoError(t, rows.Err())
		return ids
	}
	tweets := insert(`INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'no answer'), ('acme', 'an unclear one'), ('acme', 'a known one') RETURNING id`)
	deletions := insert(`INSERT INTO tweetqueue.deletions (account, tweet_id) VALUES ('acme', '77') RETURNING id`)
	_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.workers (name) VALUES ('of old')`)
	require.NoError(t, err)
	for i, id := range append(tweets, deletions...) {
		table, kind := "tweets", "post_tweet"
		if i == len(tweets) {
			table, kind = "deletions", "delete_tweet"
		}
		var outcome *string
		if i > 0 {
			outcome = new([]string{"", "unconfirmed", "done", "unconfirmed"}[i])
		}
		_, err := db.Exec(t.Context(), `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, outcome, answered_at)
SELECT $1, $2, a.id, w.id, 1, now(), now(), $3::text, CASE WHEN $3::text IS NOT NULL THEN now() END FROM tweetqueue.accounts a, tweetqueue.workers w`, kind, id, outcome)
		require.NoError(t, err)
		for _, status := range []string{"sending", "unconfirmed"} {
			_, err = db.Exec(t.Context(), `UPDATE tweetqueue.`+table+` SET status = $2, waiting_for = NULL,
request_id = (SELECT id FROM tweetqueue.requests WHERE row_id = $1) WHERE id = $1`, id, status)
			require.NoError(t, err)
		}
	}
	_, err = db.Exec(t.Context(), `DELETE FROM tweetqueue.river_job`) // they are over
	require.NoError(t, err)

	require.NoError(t, migrations.Up(t.Context(), migrations.Config{}, url))
	for i, id := range append(tweets, deletions...) {
		var lookUp *time.Time
		require.NoError(t, db.QueryRow(t.Context(), `SELECT next_attempt_at FROM tweetqueue.waiting WHERE id = $1`, id).Scan(&lookUp))
		require.Equal(t, i != 2, lookUp != nil, "row %d", i)
		require.Equal(t, i != 2, len(storetest.Jobs(t, db, id)) == 1, "row %d", i)
	}
}
