package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// PostTweetArgs are the arguments of the job that posts a tweet: the id of its row in
// tweetqueue.tweets, which alone decides what happens.
type PostTweetArgs struct {
	RowID int64 `json:"row_id"`
}

// Kind is the job's name in River.
func (PostTweetArgs) Kind() string { return string(store.PostTweet) }

// InsertOpts are those that the database's trigger writes.
func (PostTweetArgs) InsertOpts() river.InsertOpts { return insertOpts(store.PostTweet) }

type postTweetWorker struct {
	river.WorkerDefaults[PostTweetArgs]
	worker *Worker
}

// Timeout is none: claim, send and settle each have a bound of their own, and a settlement must
// not be given up because a job took long.
func (*postTweetWorker) Timeout(*river.Job[PostTweetArgs]) time.Duration { return -1 }

// NextRetry is used only when the database could not be reached: see retryJob.
func (w *postTweetWorker) NextRetry(job *river.Job[PostTweetArgs]) time.Time {
	return retryJob(job.Attempt)
}

// Work claims, sends and settles the row.
func (w *postTweetWorker) Work(ctx context.Context, job *river.Job[PostTweetArgs]) error {
	return w.worker.work(ctx, store.PostTweet, []wakeUp{{jobID: job.ID, rowID: job.Args.RowID}})
}

// postBody returns the exact body of POST /2/tweets for a row.
func postBody(row *store.Row) ([]byte, error) {
	t := row.Tweet
	request := twitter.TweetRequest{
		Text:            t.Text,
		QuoteTweetID:    value(t.QuoteTweetID),
		ReplySettings:   value(t.ReplySettings),
		CommunityID:     value(t.CommunityID),
		MadeWithAI:      value(t.MadeWithAI),
		PaidPartnership: value(t.PaidPartnership),
	}
	replyTo := value(t.InReplyToTweetID)
	if row.PreviousTweetID != nil {
		replyTo = *row.PreviousTweetID
	}
	if replyTo != "" {
		request.Reply = &twitter.Reply{InReplyToTweetID: replyTo, ExcludeReplyUserIDs: t.ExcludeReplyUserIDs}
	}
	if len(t.MediaIDs) > 0 {
		request.Media = &twitter.Media{MediaIDs: t.MediaIDs, TaggedUserIDs: t.TaggedUserIDs}
	}
	if len(t.PollOptions) > 0 {
		request.Poll = &twitter.Poll{Options: t.PollOptions, DurationMinutes: value(t.PollDurationMinutes)}
	}
	if t.PlaceID != nil {
		request.Geo = &twitter.Geo{PlaceID: *t.PlaceID}
	}
	if len(t.Extra) > 0 {
		if err := json.Unmarshal(t.Extra, &request.Extra); err != nil {
			return nil, fmt.Errorf("decode extra: %w", err)
		}
	}
	return request.Encode()
}

// value returns what a nullable column holds, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
