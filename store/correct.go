package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// SaidByHand reports whether a posted row has its tweet by a person's word, and not by X's: see [ResolveByHand].
func (e Entry) SaidByHand() bool {
	return e.Status == Posted && e.TweetID != nil && slices.ContainsFunc(e.Warnings, func(w string) bool {
		return strings.HasPrefix(w, byHand) && strings.Contains(w, " UTC that "+said(PostTweet, true, e.TweetID)+"; ")
	})
}

// byHand begins what [ResolveByHand] leaves among a row's warnings.
const byHand = "a person (database user "

// CorrectByHand puts right which tweet a row is posted as, and since when (nil: as before), where a person has
// said so before: see [Entry.SaidByHand]. The deletion at the end of the tweet's lifetime goes with it while it is
// scheduled; later there is a new one, which replaces one that X may have acted on and that would be repeated. It
// returns the row as it is then. [ErrLostRace], with the row, if it is not posted as that tweet by a person's word any more;
// [ErrRefused] if another row has the new one. What was said, by whom and when, is added to the row's warnings.
func CorrectByHand(ctx context.Context, db DBTX, entry Entry, tweetID string, postedAt *time.Time) (Entry, error) {
	const query = `-- name: TweetCorrectByHand :exec
WITH old AS (
    SELECT id, account, tweet_id, posted_at, delete_after FROM tweetqueue.tweets
    WHERE id = $1 AND status = 'posted' AND tweet_id = $2 FOR NO KEY UPDATE
), moved AS (
    UPDATE tweetqueue.deletions d
    SET tweet_id = $3, delete_at = coalesce($4, old.posted_at) + old.delete_after
    FROM old
    WHERE d.account = old.account AND d.tweet_id = old.tweet_id AND NOT d.retweet AND d.status = 'scheduled'
        AND d.delete_at = old.posted_at + old.delete_after AND NOT tweetqueue.may_have_taken_effect(d.id)
    RETURNING 1
), cancelled AS (
    UPDATE tweetqueue.deletions d SET status = 'cancelled'
    FROM old
    WHERE d.account = old.account AND d.tweet_id = old.tweet_id AND NOT d.retweet AND d.status = 'scheduled'
        AND d.delete_at = old.posted_at + old.delete_after AND tweetqueue.may_have_taken_effect(d.id)
), scheduled AS (
    INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at)
    SELECT account, $3, coalesce($4, posted_at) + delete_after FROM old
    WHERE delete_after IS NOT NULL AND NOT EXISTS (SELECT FROM moved)
)
UPDATE tweetqueue.tweets t
SET tweet_id = $3, posted_at = coalesce($4, t.posted_at),
    warnings = array_append(t.warnings, format('a person (database user %s) said on %s UTC that %s; before: posted as tweet %s', session_user,
        to_char(tweetqueue.clock() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), $5::text, old.tweet_id))
FROM old WHERE t.id = old.id`
	if err := refuseOthers(ctx, db, entry.ID, &tweetID); err != nil {
		return Entry{}, err
	}
	if entry.SaidByHand() {
		tag, err := db.Exec(ctx, query, entry.ID, entry.TweetID, tweetID, postedAt, said(PostTweet, true, &tweetID))
		if err != nil {
			return Entry{}, fmt.Errorf("correct row %d: %w", entry.ID, refusal(err))
		}
		if tag.RowsAffected() == 1 {
			return EntryGet(ctx, db, entry.ID)
		}
	}
	now, err := EntryGet(ctx, db, entry.ID)
	if err != nil {
		return Entry{}, err
	}
	return now, fmt.Errorf("correct row %d: %w: it is not posted as that tweet by a person's word", entry.ID, ErrLostRace)
}
