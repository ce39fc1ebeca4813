package jobs

import (
	"errors"
	"time"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// Outcome is what an answer of X, or its absence, means for a row.
type Outcome string

// The outcomes. Each request is recorded with one of them.
const (
	// OutcomeDone means that X confirmed the tweet, the deletion or the retweet.
	OutcomeDone Outcome = "done"
	// OutcomeAlready means that the account had retweeted the tweet before, and not by this row, which therefore does not
	// undo it (the database reads this outcome).
	OutcomeAlready Outcome = "already"
	// OutcomeWait means that a limit is exhausted: wait until X accepts again. Nothing was created.
	OutcomeWait Outcome = "wait"
	// OutcomeRetry means that X certainly created nothing, and may accept the same request later.
	OutcomeRetry Outcome = "retry"
	// OutcomeRepeat means that the request may have taken effect, and that a second one does no harm: a
	// deletion or a retweet that X did not answer.
	OutcomeRepeat Outcome = "repeat"
	// OutcomeRefresh means that X did not accept an OAuth 2.0 access token, and created nothing. It may
	// accept the same request once the token is refreshed.
	OutcomeRefresh Outcome = "refresh"
	// OutcomeUnconfirmed means that the request may have taken effect. It is looked up.
	OutcomeUnconfirmed Outcome = "unconfirmed"
	// OutcomeFail means that X refused this tweet for good. It says nothing of the next one.
	OutcomeFail Outcome = "fail"
	// OutcomePauseAccount means that X accepts nothing from this account for now.
	OutcomePauseAccount Outcome = "pause_account"
	// OutcomePauseApp means that X accepts nothing from this app for now.
	OutcomePauseApp Outcome = "pause_app"
)

// Verdict is an outcome with what it takes to act on it.
type Verdict struct {
	Outcome Outcome
	// State is what a paused account becomes.
	State store.State
	// Wait is how long to wait: the limit's for OutcomeWait, the backoff for OutcomeRetry and OutcomeRepeat, 0 for
	// OutcomeRefresh; for a pause, until one request is tried again, or 0: until a person says so.
	Wait time.Duration
	// Block says that the wait holds for every row of the account and action: X's limit.
	Block bool
	// NoAnswer says that X did not answer a request that may have reached it: it may be out of order.
	NoAnswer bool
	// Error says why in words; empty for OutcomeDone and OutcomeAlready.
	Error string
	// Cause, for a pause, are those of these words that are the same each time: they tell one hold from another.
	Cause string
	// Warning is what a person should know of these two; mostly empty.
	Warning string
}

const (
	// probeUnauthorized is how long an account rests after a 401, which at times is one for everybody
	// and then passes; probeConfigured after what a person has to mend and may at any time, such as
	// money or permissions. Then one row is tried again.
	probeUnauthorized = 15 * time.Minute
	probeConfigured   = time.Hour
	// probeOutage is how long an app rests whose requests X does not answer, before one tries again.
	probeOutage = 15 * time.Second

	// patience is how many times in a row a refusal is retried that is mostly final but at times
	// passes: a 404 from POST /2/tweets, of a tweet to retweet, and "Authenticating with Unknown".
	patience = 5
)

// Attempt is a request for a row, with what its error does not tell.
type Attempt struct {
	Kind store.Kind
	// UndoRetweet says that a deletion takes back a retweet.
	UndoRetweet bool
	Retries     int // earlier ones in a row
	// Doubt says that an earlier request for the row may have taken effect.
	Doubt bool
	// OAuth2 says that it was signed with an OAuth 2.0 token, and Refreshed that this token was made
	// anew because X did not accept the one before.
	OAuth2, Refreshed bool
}

// Decide is the answer table: what the error of a request means for its row. Now is used only where
// X did not date its answer.
func Decide(attempt Attempt, err error, now time.Time) Verdict {
	if err == nil {
		return Verdict{Outcome: OutcomeDone}
	}
	var v Verdict
	words := err.Error()
	failure := new(twitter.Error)
	switch {
	case errors.As(err, &failure):
		v, words = verdictOf(attempt, failure, now), failure.Error()
	case errors.Is(err, errOpposite):
		v = retryAtMost(attempt)
	case attempt.UndoRetweet:
		v = repeat(attempt.Retries)
	default:
		v = Verdict{Outcome: OutcomeUnconfirmed} // Nothing is known of it, so it may have been sent.
	}
	switch v.Outcome { //nolint:exhaustive // All others have X's words alone.
	case OutcomeDone, OutcomeAlready:
	case OutcomeUnconfirmed:
		v.Error = inDoubt(attempt) + words
	case OutcomePauseAccount, OutcomePauseApp:
		v.Error, v.Cause = words, failure.Cause()
	default:
		v.Error = words
	}
	return v
}

// inDoubt begins the reason of a row that became unconfirmed.
func inDoubt(attempt Attempt) string {
	switch {
	case attempt.UndoRetweet:
		return "it is not known whether the retweet is undone: "
	case attempt.Kind == store.DeleteTweet:
		return "it is not known whether the tweet is gone: "
	case attempt.Kind == store.Retweet:
		return "it is not known whether the tweet is retweeted: "
	}
	return "it may be on X: "
}

// saysNothing reports whether an error leaves open what X makes of a request: X did not answer it, or only that
// something is wrong with X.
func saysNothing(err error) bool {
	failure := new(twitter.Error)
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Kind { //nolint:exhaustive // All others are X's word, or of what was never sent.
	case twitter.KindMaybeSent, twitter.KindUnreadable, twitter.KindServerError, twitter.KindRequestTimeout:
		return true
	}
	return false
}

func verdictOf(attempt Attempt, failure *twitter.Error, now time.Time) Verdict {
	switch failure.Kind {
	case twitter.KindNeverSent, twitter.KindRefreshUnknown: // the next refresh tells
		v := retry(attempt.Retries)
		if refresh := new(twitter.Error); errors.As(failure.Err, &refresh) && refresh.Kind == twitter.KindRateLimited {
			v.Wait = refresh.Answer.RetryAfter(now) // of the token endpoint
		}
		return v
	case twitter.KindMaybeSent, twitter.KindUnreadable, twitter.KindServerError, twitter.KindRequestTimeout:
		if attempt.Kind == store.PostTweet {
			return Verdict{Outcome: OutcomeUnconfirmed, NoAnswer: true}
		}
		return repeat(attempt.Retries)

	case twitter.KindRateLimited:
		return Verdict{Outcome: OutcomeWait, Wait: failure.Answer.RetryAfter(now), Block: true}

	case twitter.KindCreditsDepleted, twitter.KindUsageCapExceeded:
		return Verdict{Outcome: OutcomePauseApp, Wait: probeConfigured}
	case twitter.KindSpendCapReached:
		return Verdict{Outcome: OutcomePauseApp, Wait: untilDate(failure, now)}
	case twitter.KindAppSuspended:
		return Verdict{Outcome: OutcomePauseApp}

	case twitter.KindUnauthorized:
		if attempt.OAuth2 && !attempt.Refreshed {
			return Verdict{Outcome: OutcomeRefresh}
		}
		return Verdict{Outcome: OutcomePauseAccount, State: store.Paused, Wait: probeUnauthorized}
	case twitter.KindLoginNeeded: // only the token endpoint says so for certain
		return Verdict{Outcome: OutcomePauseAccount, State: store.NeedsLogin}
	case twitter.KindClientRefused:
		return Verdict{Outcome: OutcomePauseApp, Wait: probeConfigured}
	case twitter.KindSuspended:
		return Verdict{Outcome: OutcomePauseAccount, State: store.Suspended}
	case twitter.KindLocked, twitter.KindUnsupportedAuthentication:
		return Verdict{Outcome: OutcomePauseAccount, State: store.Paused}
	case twitter.KindAppPermissions, twitter.KindNotEnrolled:
		return Verdict{Outcome: OutcomePauseAccount, State: store.Paused, Wait: probeConfigured}

	case twitter.KindAuthenticationUnknown, twitter.KindEndpointNotFound:
		return retryAtMost(attempt)
	case twitter.KindNotFound:
		switch {
		case attempt.UndoRetweet && saysGone(failure): // and its retweets with it
			return Verdict{Outcome: OutcomeDone, Warning: "X did not have the tweet any more, if it ever had"}
		case attempt.deletesTweet():
			return Verdict{Outcome: OutcomeUnconfirmed} // most likely gone already
		}
		return retryAtMost(attempt)
	case twitter.KindNotAuthor:
		if attempt.deletesTweet() {
			return Verdict{Outcome: OutcomeUnconfirmed} // X says this of a tweet that is gone, too
		}
		return refused(attempt)

	case twitter.KindDuplicate:
		if attempt.Doubt {
			return Verdict{Outcome: OutcomeUnconfirmed} // most likely that request's own tweet
		}
		return Verdict{Outcome: OutcomeFail}

	case twitter.KindAlreadyRetweeted:
		return alreadyRetweeted(attempt)
	case twitter.KindReplyNotAllowed, twitter.KindQuoteNotAllowed,
		twitter.KindReplyTargetGone, twitter.KindTooManyCashtags, twitter.KindNotPermitted,
		twitter.KindFeatureNotPermitted, twitter.KindForbidden, twitter.KindInvalidRequest,
		twitter.KindOther:
		return refused(attempt)
	}
	return Verdict{Outcome: OutcomeUnconfirmed} // a kind that this table does not know yet
}

// deletesTweet reports whether the attempt is to delete a tweet.
func (a Attempt) deletesTweet() bool { return a.Kind == store.DeleteTweet && !a.UndoRetweet }

// refused is the verdict on a refusal that is final. After a doubt X may say of a retweet in any words that it
// stands already, and of its undoing that it does not.
func refused(attempt Attempt) Verdict {
	if attempt.Doubt && (attempt.Kind == store.Retweet || attempt.UndoRetweet) {
		return Verdict{Outcome: OutcomeUnconfirmed}
	}
	return Verdict{Outcome: OutcomeFail}
}

// alreadyRetweeted is the verdict on X's word that a retweet stands: done, by an earlier request of the row, or
// by somebody else.
func alreadyRetweeted(attempt Attempt) Verdict {
	switch {
	case attempt.Kind != store.Retweet:
		return refused(attempt)
	case attempt.Doubt:
		return Verdict{Outcome: OutcomeDone}
	}
	return Verdict{Outcome: OutcomeAlready, Warning: "the account had retweeted it already, so this row does not undo it"}
}

// retryAtMost is the verdict on a refusal that is final after some patience.
func retryAtMost(attempt Attempt) Verdict {
	if attempt.Retries >= patience {
		return refused(attempt)
	}
	return retry(attempt.Retries)
}

// untilDate is how long it is to the start, in UTC, of the day that X named; an hour if it named
// none, or one that cannot be right.
func untilDate(failure *twitter.Error, now time.Time) time.Duration {
	if !failure.Answer.Date.IsZero() {
		now = failure.Answer.Date
	}
	day, err := time.Parse(time.DateOnly, failure.ResetDate)
	wait := day.Sub(now)
	if err != nil || wait <= 0 || wait > 32*24*time.Hour {
		return probeConfigured
	}
	return wait
}
