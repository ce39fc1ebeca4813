package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// ErrSendByPassed says that a request was not started because too long had passed since its claim.
var ErrSendByPassed = errors.New("the time to send it has passed")

// answer is what came back for a claimed row.
type answer struct {
	claimed
	tweetID string // of a created tweet
	x       twitter.Answer
	err     error // of twitter, or that X has answered the opposite
}

// send makes the request of a claimed row, once. No transaction is open. What could not be tried
// at all, such as credentials that do not decrypt, comes back as an error that holds the account.
// It does not panic: the row would be sending for as long as this worker lives.
func (w *Worker) send(ctx context.Context, claim claimed) (result answer) {
	defer func() {
		if cause := recover(); cause != nil {
			result = answer{claimed: claim, err: fmt.Errorf("panic in a request: %v", cause)}
		}
	}()
	result = answer{claimed: claim}
	client, err := w.client(claim.row)
	if err != nil {
		result.err = err
		return result
	}
	ctx = twitter.WithRequestCheck(ctx, func() error {
		if sendUnchecked {
			return nil
		}
		if late := time.Since(claim.sendBy); late >= 0 {
			return fmt.Errorf("%w: by %s", ErrSendByPassed, late.Round(time.Millisecond))
		}
		return w.lease.check(claim.leaseID)
	})
	switch {
	case claim.row.UndoRetweet:
		result.x, result.err = undoRetweet(ctx, client, claim.row)
	case claim.row.Kind == store.DeleteTweet:
		result.x, result.err = deleteTweet(ctx, client, claim.row)
	case claim.row.Kind == store.Retweet:
		result.x, result.err = retweet(ctx, client, claim.row)
	default:
		created, err := client.CreateTweet(ctx, claim.request.Body)
		if err != nil {
			result.err = err
		} else {
			result.x, result.tweetID = created.Answer, created.ID
		}
	}
	if failure := new(twitter.Error); errors.As(result.err, &failure) {
		result.x = failure.Answer
	}
	return result
}

// credentialsError says that the keys of a row's app, or the tokens of its account, are not usable.
type credentialsError struct {
	ofApp bool
	err   error
}

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// client returns the X client for a row's account. It costs microseconds: the connections are shared.
func (w *Worker) client(row *store.Row) (*twitter.Client, error) {
	app, err := store.OpenApp(w.keyring, row.AppName, row.AppCredentials)
	if err != nil {
		return nil, &credentialsError{ofApp: true, err: err}
	}
	account, err := store.OpenAccount(w.keyring, row.XUserID, row.AccountCredentials)
	if err != nil {
		return nil, &credentialsError{err: err}
	}
	client, err := twitter.NewClient(w.x, twitter.OAuth1{
		APIKey: string(app.APIKey), APISecret: string(app.APISecret),
		AccessToken: string(account.AccessToken), AccessTokenSecret: string(account.AccessTokenSecret),
	})
	if err != nil {
		return nil, &credentialsError{err: err}
	}
	return client, nil
}
