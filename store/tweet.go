package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Tweet is what an application asks for: the columns of tweetqueue.tweets that it writes. X's fields
// carry X's names.
type Tweet struct {
	Text                string          `json:"text"`
	InReplyToTweetID    *string         `json:"in_reply_to_tweet_id,omitempty"`
	ExcludeReplyUserIDs []string        `json:"exclude_reply_user_ids,omitempty"`
	QuoteTweetID        *string         `json:"quote_tweet_id,omitempty"`
	MediaIDs            []string        `json:"media_ids,omitempty"`
	TaggedUserIDs       []string        `json:"tagged_user_ids,omitempty"`
	PollOptions         []string        `json:"poll_options,omitempty"`
	PollDurationMinutes *int            `json:"poll_duration_minutes,omitempty"`
	PlaceID             *string         `json:"place_id,omitempty"`
	ReplySettings       *string         `json:"reply_settings,omitempty"`
	CommunityID         *string         `json:"community_id,omitempty"`
	MadeWithAI          *bool           `json:"made_with_ai,omitempty"`
	PaidPartnership     *bool           `json:"paid_partnership,omitempty"`
	Extra               json.RawMessage `json:"extra,omitempty"`

	PreviousID     *int64          `json:"previous_id,omitempty"` // the row before it in a thread
	PostBefore     *time.Time      `json:"post_before,omitempty"` // the deadline
	DeleteAfter    pgtype.Interval `json:"-"`                     // how long it stays on X; invalid: for ever
	IfUnconfirmed  string          `json:"if_unconfirmed"`        // resend or hold
	IdempotencyKey *string         `json:"idempotency_key,omitempty"`
	Metadata       json.RawMessage `json:"metadata,omitempty"`
}

const tweetColumns = `t.text, t.in_reply_to_tweet_id, t.exclude_reply_user_ids, t.quote_tweet_id,
    t.media_ids, t.tagged_user_ids, t.poll_options, t.poll_duration_minutes, t.place_id,
    t.reply_settings, t.community_id, t.made_with_ai, t.paid_partnership, t.extra,
    t.previous_id, t.post_before, t.delete_after, t.if_unconfirmed, t.idempotency_key, t.metadata`

// targets returns where a row's tweetColumns are scanned to.
func (t *Tweet) targets() []any {
	return []any{
		&t.Text, &t.InReplyToTweetID, &t.ExcludeReplyUserIDs, &t.QuoteTweetID,
		&t.MediaIDs, &t.TaggedUserIDs, &t.PollOptions, &t.PollDurationMinutes, &t.PlaceID,
		&t.ReplySettings, &t.CommunityID, &t.MadeWithAI, &t.PaidPartnership, &t.Extra,
		&t.PreviousID, &t.PostBefore, &t.DeleteAfter, &t.IfUnconfirmed, &t.IdempotencyKey, &t.Metadata,
	}
}

// TweetGet returns what the application asked for in a row of tweets. [ErrNotFound] if there is
// none, or if it is a deletion.
func TweetGet(ctx context.Context, db DBTX, id int64) (Tweet, error) {
	const query = `-- name: TweetGet :one
SELECT ` + tweetColumns + ` FROM tweetqueue.tweets t WHERE t.id = $1`
	var tweet Tweet
	err := db.QueryRow(ctx, query, id).Scan(tweet.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Tweet{}, fmt.Errorf("tweet %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return Tweet{}, fmt.Errorf("read tweet %d: %w", id, err)
	}
	return tweet, nil
}
