package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// measure weighs the texts of rows that came by SQL, long before they are due, and fails those that X
// would refuse, so that there is time to mend them.
func (w *Worker) measure(ctx context.Context) error {
	for {
		var closed []Event
		n := 0
		err := store.InTx(ctx, w.pool, func(tx pgx.Tx) error {
			tweets, err := store.TweetsUnmeasured(ctx, tx, measureAhead, measureBatch)
			if err != nil || len(tweets) == 0 {
				return err
			}
			n = len(tweets)
			var good []int64
			var hasURLs []bool
			var closings []store.Closing
			for _, t := range tweets {
				reason := textProblem(t.Text, t.TextLimit)
				if reason == "" {
					good, hasURLs = append(good, t.RowID), append(hasURLs, HasURL(t.Text))
					continue
				}
				closings = append(closings, store.Closing{RowID: t.RowID, Status: store.Failed, Reason: reason})
				closed = append(closed, Event{Type: EventFailed, Kind: store.PostTweet, RowID: t.RowID, Account: t.Account, Reason: reason})
			}
			if err := store.TweetsMeasured(ctx, tx, good, hasURLs); err != nil {
				return err
			}
			return store.CloseRows(ctx, tx, store.PostTweet, closings)
		})
		if err != nil {
			return fmt.Errorf("measure texts: %w", err)
		}
		for i := range closed {
			w.tell(closed[i])
		}
		if n < measureBatch {
			return nil
		}
	}
}

// textProblem says why X would refuse a text of an account with this limit, or nothing. An empty text is
// the database's matter: with media there may be none.
func textProblem(text string, limit int) string {
	parsed := twitter.ParseTweet(text)
	switch parsed.Problem(limit) {
	case twitter.TextOK, twitter.TextEmpty:
		return ""
	case twitter.TextInvalid:
		return fmt.Sprintf("the text holds %U, which X accepts in no tweet", parsed.Invalid)
	case twitter.TextTooLong:
		return fmt.Sprintf("the text is too long: its weighted length is %d, the account's limit is %d", parsed.WeightedLength, limit)
	}
	return ""
}
