package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// DeleteTweetArgs are the arguments of the job that deletes a tweet: the id of its row in
// tweetqueue.deletions, which alone decides what happens.
type DeleteTweetArgs struct {
	RowID int64 `json:"row_id"`
}

// Kind is the job's name in River.
func (DeleteTweetArgs) Kind() string { return string(store.DeleteTweet) }

// InsertOpts are those that the database's trigger writes.
func (DeleteTweetArgs) InsertOpts() river.InsertOpts { return insertOpts(store.DeleteTweet) }

type deleteTweetWorker struct {
	river.WorkerDefaults[DeleteTweetArgs]
	worker *Worker
}

// Timeout is none, as for posting.
func (*deleteTweetWorker) Timeout(*river.Job[DeleteTweetArgs]) time.Duration { return -1 }

// NextRetry is used only when the database could not be reached: see retryJob.
func (w *deleteTweetWorker) NextRetry(job *river.Job[DeleteTweetArgs]) time.Time {
	return retryJob(job.Attempt)
}

// Work claims, sends and settles the row.
func (w *deleteTweetWorker) Work(ctx context.Context, job *river.Job[DeleteTweetArgs]) error {
	return w.worker.work(ctx, store.DeleteTweet, []wakeUp{{jobID: job.ID, rowID: job.Args.RowID}})
}

// errNotDeleted says that X answered a deletion with {"deleted": false}.
var errNotDeleted = errors.New("X says that it deleted nothing: the tweet is gone already, or is not this account's")

func deleteTweet(ctx context.Context, client *twitter.Client, row *store.Row) (twitter.Answer, error) {
	deleted, err := client.DeleteTweet(ctx, row.TweetID)
	switch {
	case err != nil:
		return twitter.Answer{}, err
	case !deleted.Deleted:
		return deleted.Answer, errNotDeleted
	}
	return deleted.Answer, nil
}
