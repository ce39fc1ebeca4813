package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// mayFollow is the table of the design.
func mayFollow(kind store.Kind) map[store.Status][]store.Status {
	return map[store.Status][]store.Status{
		store.Scheduled:   {store.Sending, store.Cancelled, store.Missed, store.Failed},
		store.Sending:     {kind.Done(), store.Failed, store.Unconfirmed, store.Scheduled},
		store.Unconfirmed: {kind.Done(), store.Scheduled, store.Failed, store.Missed},
		store.Failed:      {store.Scheduled},
		store.Missed:      {store.Scheduled},
		store.Cancelled:   {store.Scheduled},
	}
}

// mayFollowByHand is the part of it that an application may do.
func mayFollowByHand() map[store.Status][]store.Status {
	return map[store.Status][]store.Status{
		store.Scheduled: {store.Cancelled},
		store.Failed:    {store.Scheduled},
		store.Missed:    {store.Scheduled},
		store.Cancelled: {store.Scheduled},
	}
}

func allStatuses() []store.Status {
	return []store.Status{
		store.Scheduled, store.Sending, store.Posted, store.Deleted, store.Retweeted, store.Failed, store.Unconfirmed,
		store.Missed, store.Cancelled, "nonsense",
	}
}

// attempt runs a statement in a savepoint, and rolls it back if it fails.
func attempt(t *testing.T, tx pgx.Tx, sql string, args ...any) error {
	t.Helper()
	savepoint, err := tx.Begin(t.Context())
	require.NoError(t, err)
	tag, err := savepoint.Exec(t.Context(), sql, args...)
	if err != nil {
		require.NoError(t, savepoint.Rollback(t.Context()))
		return err
	}
	require.EqualValues(t, 1, tag.RowsAffected())
	require.NoError(t, savepoint.Commit(t.Context()))
	return nil
}

func TestEveryTransition(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		for name, role := range map[string]string{"Owner": "owner", "Writer": "tweetqueue_writer"} {
			t.Run(testName(kind)+"By"+name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				tx := storetest.Tx(t, b.db)
				update, allowed := transition(kind), mayFollow(kind)
				if role != "owner" {
					update, allowed = `UPDATE tweetqueue.`+table(kind)+` SET status = $2 WHERE id = $1`, mayFollowByHand()
				}
				for _, from := range allStatuses() {
					if from == "nonsense" || (from.Final() && from != kind.Done() && len(mayFollow(kind)[from]) == 0) {
						continue // not a status of this table
					}
					for _, to := range allStatuses() {
						id := b.inState(t, tx, kind, from)
						if role != "owner" {
							exec(t, tx, `SET ROLE `+role)
						}
						err := attempt(t, tx, update, id, to)
						exec(t, tx, `RESET ROLE`)
						if from == to || slices.Contains(allowed[from], to) {
							require.NoError(t, err, "%s -> %s", from, to)
							require.Equal(t, to, query[store.Status](t, tx, `SELECT status FROM tweetqueue.`+table(kind)+` WHERE id = $1`, id))
							continue
						}
						// A check of the row itself comes first: of its status, or of what goes with it.
						refusals := []string{table(kind) + "_status_transition", table(kind) + "_status_check"}
						if role != "owner" {
							refusals = append(refusals, table(kind)+"_waiting_for_check", table(kind)+"_request_id_check", "tweets_posted_check", "deletions_deleted_check", "retweets_retweeted_check")
						}
						require.Contains(t, refusals, constraint(t, err), "%s -> %s", from, to)
						require.Equal(t, from, query[store.Status](t, tx, `SELECT status FROM tweetqueue.`+table(kind)+` WHERE id = $1`, id))
					}
				}
			})
		}
	}
}

func TestTransitionRefusalSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	id := b.inState(t, tx, store.PostTweet, store.Failed)
	err := attempt(t, tx, transition(store.PostTweet), id, "posted")
	require.Equal(t, "tweets_status_transition", constraint(t, err))
	require.ErrorContains(t, err, "is failed, it cannot become posted")

	// One row of many refuses the statement.
	ids := []int64{b.inState(t, tx, store.PostTweet, store.Scheduled), b.inState(t, tx, store.PostTweet, store.Sending)}
	err = attempt(t, tx, `UPDATE tweetqueue.tweets SET status = 'cancelled', waiting_for = NULL WHERE id = ANY ($1)`, ids)
	require.Equal(t, "tweets_status_transition", constraint(t, err))
}

func TestRowsBeginScheduled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	err := attempt(t, tx, `INSERT INTO tweetqueue.tweets (account, text, status, waiting_for) VALUES ('acme', 'x', 'cancelled', NULL)`)
	require.Equal(t, "tweets_status_transition", constraint(t, err))
	require.ErrorContains(t, err, "is new, it cannot become cancelled")
	err = attempt(t, tx, `INSERT INTO tweetqueue.deletions (account, tweet_id, status, waiting_for) VALUES ('acme', '7', 'failed', NULL)`)
	require.Equal(t, "deletions_status_transition", constraint(t, err))
}

func TestByHandResetsWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	for _, kind := range store.Kinds() {
		id := b.inState(t, tx, kind, store.Failed)
		exec(t, tx, `SET session_replication_role = replica`)
		exec(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET error = 'why', retries = 3, next_attempt_at = tweetqueue.clock() + interval '1 day' WHERE id = $1`, id)
		exec(t, tx, `SET session_replication_role = origin`)

		exec(t, tx, `SET ROLE tweetqueue_writer`)
		exec(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET status = 'scheduled' WHERE id = $1`, id)
		require.True(t, query[bool](t, tx, `SELECT waiting_for = 'time' AND error IS NULL AND retries = 0
			AND next_attempt_at IS NULL AND late_from <= tweetqueue.clock() FROM tweetqueue.`+table(kind)+` WHERE id = $1`, id))
		exec(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET status = 'cancelled' WHERE id = $1`, id)
		require.True(t, query[bool](t, tx, `SELECT waiting_for IS NULL AND next_attempt_at IS NULL FROM tweetqueue.`+table(kind)+` WHERE id = $1`, id))
		exec(t, tx, `RESET ROLE`)
	}
}

func TestOnlyScheduledRowsAreEdited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := storetest.Tx(t, b.db)
	edits := map[store.Kind][]string{
		store.PostTweet: {
			"text = 'other'", "post_at = post_at + interval '1 hour'", "in_reply_to_tweet_id = '1'",
			"exclude_reply_user_ids = NULL", "quote_tweet_id = '1'", "media_ids = '{1}'", "tagged_user_ids = NULL",
			"poll_options = NULL", "poll_duration_minutes = NULL", "place_id = 'a'", "reply_settings = 'verified'",
			"community_id = '1'", "made_with_ai = true", "paid_partnership = true", "extra = '{}'", "previous_id = NULL",
			"post_before = post_at + interval '1 hour'", "delete_after = '1 hour'", "priority = 1",
			"if_unconfirmed = 'hold'", "idempotency_key = 'k'", "metadata = '{}'",
		},
		store.DeleteTweet: {"tweet_id = '78'", "retweet = true", "delete_at = delete_at + interval '1 hour'", "priority = 1", "metadata = '{}'"},
		store.Retweet:     {"tweet_id = '78'", "retweet_at = retweet_at + interval '1 hour'", "undo_after = '1 hour'", "priority = 1", "metadata = '{}'"},
	}
	for _, kind := range store.Kinds() {
		for _, status := range allStatuses() {
			if len(mayFollow(kind)[status]) == 0 && status != kind.Done() {
				continue
			}
			id := b.inState(t, tx, kind, status)
			for _, edit := range edits[kind] {
				err := attempt(t, tx, `UPDATE tweetqueue.`+table(kind)+` SET `+edit+` WHERE id = $1`, id)
				if status == store.Scheduled {
					require.NoError(t, err, edit)
					exec(t, tx, `DELETE FROM tweetqueue.`+table(kind)+` WHERE id = $1`, id)
					id = b.inState(t, tx, kind, status)
					continue
				}
				require.Equal(t, table(kind)+"_immutable", constraint(t, err), "%s: %s", status, edit)
				require.ErrorContains(t, err, "only a scheduled row can be changed")
			}
		}
	}
}

// What is scheduled again is looked at as if it were new: a deadline that passed meanwhile is said.
func TestScheduledAgainIsCheckedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, post_before)
		VALUES ('acme', 'hello', tweetqueue.clock() + interval '1 hour') RETURNING id`)
	_, err := store.Cancel(t.Context(), b.db, id)
	require.NoError(t, err)
	storetest.MoveClock(t, b.db, 2*time.Hour)
	_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
	require.Equal(t, "tweets_post_before_ahead_check", constraint(t, err))
	exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', post_before = NULL WHERE id = $1`, id)
}
