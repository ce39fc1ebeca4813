package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// RetweetArgs are the arguments of the job that retweets a tweet: the id of its row in
// tweetqueue.retweets, which alone decides what happens.
type RetweetArgs struct {
	RowID int64 `json:"row_id"`
}

// Kind is the job's name in River.
func (RetweetArgs) Kind() string { return string(store.Retweet) }

// InsertOpts are those that the database's trigger writes.
func (RetweetArgs) InsertOpts() river.InsertOpts { return insertOpts(store.Retweet) }

type retweetWorker struct {
	river.WorkerDefaults[RetweetArgs]
	worker *Worker
}

// Timeout is none, as for posting.
func (*retweetWorker) Timeout(*river.Job[RetweetArgs]) time.Duration { return -1 }

// NextRetry is used only when the database could not be reached: see retryJob.
func (w *retweetWorker) NextRetry(job *river.Job[RetweetArgs]) time.Time {
	return retryJob(job.Attempt)
}

// Work claims, sends and settles the row.
func (w *retweetWorker) Work(ctx context.Context, job *river.Job[RetweetArgs]) error {
	return w.worker.work(ctx, store.Retweet, []wakeUp{{jobID: job.ID, rowID: job.Args.RowID}})
}

// errOpposite says that X accepted a retweet, or its undoing, and answered that it is not so.
var errOpposite = errors.New("X answered the opposite of what it was asked for")

func retweet(ctx context.Context, client *twitter.Client, row *store.Row) (twitter.Answer, error) {
	retweeted, err := client.Retweet(ctx, row.XUserID, row.TweetID)
	switch {
	case err != nil:
		return twitter.Answer{}, err
	case !retweeted.Retweeted:
		return retweeted.Answer, errOpposite
	}
	return retweeted.Answer, nil
}

func undoRetweet(ctx context.Context, client *twitter.Client, row *store.Row) (twitter.Answer, error) {
	undone, err := client.UndoRetweet(ctx, row.XUserID, row.TweetID)
	switch {
	case err != nil:
		return twitter.Answer{}, err
	case undone.Retweeted:
		return undone.Answer, errOpposite
	}
	return undone.Answer, nil
}
