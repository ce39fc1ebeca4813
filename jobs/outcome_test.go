package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// backedOff stands for the first wait of the schedule, whatever its jitter.
const backedOff time.Duration = -1

// answered is when X answered, in the tests of what an answer means.
func answered() time.Time { return time.Date(2026, time.November, 24, 10, 0, 0, 0, time.UTC) }

// failureOf is an error of a kind as the client returns it, with all that a verdict may look at.
func failureOf(kind twitter.Kind) *twitter.Error {
	failure := &twitter.Error{Kind: kind, Op: "create tweet", Detail: "what X said"}
	switch kind { //nolint:exhaustive // the others have an answer
	case twitter.KindNeverSent, twitter.KindMaybeSent, twitter.KindLoginNeeded, twitter.KindClientRefused, twitter.KindRefreshUnknown:
		failure.Err = errors.New("the wire broke")
		return failure
	}
	failure.Answer = twitter.Answer{StatusCode: 400, Date: answered()}
	if kind == twitter.KindRateLimited {
		failure.Answer.Limits.Endpoint = &twitter.Window{Limit: 200, Remaining: 0, Reset: answered().Add(7 * time.Minute)}
	}
	if kind == twitter.KindSpendCapReached {
		failure.ResetDate = "2026-12-01"
	}
	return failure
}

// verdicts is the answer table, by kind of failure and of row, without words.
func verdicts() map[twitter.Kind]map[store.Kind]Verdict {
	all := func(v Verdict) map[store.Kind]Verdict {
		return map[store.Kind]Verdict{store.PostTweet: v, store.DeleteTweet: v, store.Retweet: v}
	}
	fail, doubt := Verdict{Outcome: OutcomeFail}, Verdict{Outcome: OutcomeUnconfirmed}
	unanswered := Verdict{Outcome: OutcomeUnconfirmed, NoAnswer: true}
	retried := Verdict{Outcome: OutcomeRetry, Wait: backedOff}
	repeated := Verdict{Outcome: OutcomeRepeat, Wait: backedOff, NoAnswer: true}
	lost := map[store.Kind]Verdict{store.PostTweet: unanswered, store.DeleteTweet: repeated, store.Retweet: repeated}
	pauseApp := func(wait time.Duration) Verdict { return Verdict{Outcome: OutcomePauseApp, Wait: wait} }
	pause := func(state store.State, wait time.Duration) Verdict {
		return Verdict{Outcome: OutcomePauseAccount, State: state, Wait: wait}
	}
	return map[twitter.Kind]map[store.Kind]Verdict{
		twitter.KindNeverSent:      all(retried),
		twitter.KindRefreshUnknown: all(retried), // the request was not sent either

		// To delete a tweet twice does no harm, nor to retweet it twice.
		twitter.KindMaybeSent:      lost,
		twitter.KindUnreadable:     lost,
		twitter.KindServerError:    lost,
		twitter.KindRequestTimeout: lost,

		twitter.KindRateLimited: all(Verdict{Outcome: OutcomeWait, Wait: 7 * time.Minute, Block: true}),

		twitter.KindCreditsDepleted:  all(pauseApp(time.Hour)),
		twitter.KindUsageCapExceeded: all(pauseApp(time.Hour)),
		twitter.KindSpendCapReached:  all(pauseApp(6*24*time.Hour + 14*time.Hour)), // to midnight, UTC
		twitter.KindAppSuspended:     all(pauseApp(0)),

		twitter.KindUnauthorized:              all(pause(store.Paused, 15*time.Minute)),
		twitter.KindLoginNeeded:               all(pause(store.NeedsLogin, 0)),
		twitter.KindClientRefused:             all(pauseApp(time.Hour)),
		twitter.KindSuspended:                 all(pause(store.Suspended, 0)),
		twitter.KindLocked:                    all(pause(store.Paused, 0)),
		twitter.KindUnsupportedAuthentication: all(pause(store.Paused, 0)),
		twitter.KindAppPermissions:            all(pause(store.Paused, time.Hour)),
		twitter.KindNotEnrolled:               all(pause(store.Paused, time.Hour)),

		twitter.KindAuthenticationUnknown: all(retried),
		twitter.KindEndpointNotFound:      all(retried),
		// Of a tweet to delete both most likely say that it is gone already.
		twitter.KindNotFound:  {store.PostTweet: retried, store.DeleteTweet: doubt, store.Retweet: retried},
		twitter.KindNotAuthor: {store.PostTweet: fail, store.DeleteTweet: doubt, store.Retweet: fail},

		twitter.KindDuplicate:           all(fail),
		twitter.KindReplyNotAllowed:     all(fail),
		twitter.KindQuoteNotAllowed:     all(fail),
		twitter.KindReplyTargetGone:     all(fail),
		twitter.KindTooManyCashtags:     all(fail),
		twitter.KindNotPermitted:        all(fail),
		twitter.KindFeatureNotPermitted: all(fail),
		twitter.KindForbidden:           all(fail),
		twitter.KindInvalidRequest:      all(fail),
		twitter.KindOther:               all(fail),
		twitter.KindAlreadyRetweeted: {
			store.PostTweet: fail, store.DeleteTweet: fail,
			store.Retweet: {Outcome: OutcomeAlready, Warning: "the account had retweeted it already, so this row does not undo it"},
		},
	}
}

func TestDecideIsTheAnswerTable(t *testing.T) {
	t.Parallel()
	table := verdicts()
	require.Len(t, table, len(twitter.Kinds()), "the table has a kind that is none")
	for _, kind := range twitter.Kinds() {
		for _, row := range store.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", kind, row), func(t *testing.T) {
				t.Parallel()
				want, ok := table[kind][row]
				require.True(t, ok, "an answer without a row in the table")
				failure := failureOf(kind)
				// Far from X's clock: what X dated is counted from X's date.
				got := Decide(Attempt{Kind: row}, fmt.Errorf("send: %w", failure), answered().Add(100*24*time.Hour))
				if want.Wait == backedOff {
					require.InDelta(t, 2*time.Second, got.Wait, float64(400*time.Millisecond))
					got.Wait = backedOff
				}
				if got.Outcome == OutcomeAlready {
					require.Equal(t, want, got)
					return
				}
				require.Contains(t, got.Error, failure.Error(), "the reason has X's words")
				if got.Outcome == OutcomeUnconfirmed {
					require.Contains(t, got.Error, map[store.Kind]string{
						store.PostTweet: "it may be on X: ", store.DeleteTweet: "it is not known whether the tweet is gone: ",
					}[row], "the reason says what is not known")
				}
				pauses := got.Outcome == OutcomePauseAccount || got.Outcome == OutcomePauseApp
				require.Equal(t, pauses, got.Cause != "")
				require.Contains(t, got.Error, got.Cause)
				got.Error, got.Cause = "", ""
				require.Equal(t, want, got)
			})
		}
	}
}

func TestDecideOnSuccess(t *testing.T) {
	t.Parallel()
	for _, kind := range store.Kinds() {
		require.Equal(t, Verdict{Outcome: OutcomeDone}, Decide(Attempt{Kind: kind, Retries: 3}, nil, answered()))
	}
}

// What nobody knows may have been sent: it must never be sent again by itself.
func TestDecideOnTheUnknown(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"OtherError":     errors.New("boom"),
		"NewKind":        &twitter.Error{Kind: "a kind of tomorrow", Op: "create tweet"},
		"NothingDeleted": errNotDeleted,
		"NoKind":         &twitter.Error{Op: "create tweet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range store.Kinds() {
				got := Decide(Attempt{Kind: kind}, err, answered())
				require.Equal(t, OutcomeUnconfirmed, got.Outcome)
				require.Contains(t, got.Error, err.Error())
				require.Zero(t, got.Wait)
			}
		})
	}
}

// A 401 costs an account with OAuth 2.0 one refresh. Only what still is refused after it is like the
// 401 of OAuth 1.0a.
func TestDecideOnAnUnacceptedToken(t *testing.T) {
	t.Parallel()
	paused := Verdict{Outcome: OutcomePauseAccount, State: store.Paused, Wait: 15 * time.Minute}
	for _, test := range []struct {
		oauth2, refreshed bool
		want              Verdict
	}{
		{false, false, paused},
		{true, false, Verdict{Outcome: OutcomeRefresh}},
		{true, true, paused},
	} {
		for _, kind := range store.Kinds() {
			for _, retries := range []int{0, 1, 1000} {
				got := Decide(Attempt{Kind: kind, Retries: retries, OAuth2: test.oauth2, Refreshed: test.refreshed},
					failureOf(twitter.KindUnauthorized), answered())
				require.NotEmpty(t, got.Error)
				got.Error, got.Cause = "", ""
				require.Equal(t, test.want, got, "%+v", test)
			}
		}
	}
	// No other kind asks for a refresh.
	for _, kind := range twitter.Kinds() {
		got := Decide(Attempt{Kind: store.PostTweet, OAuth2: true}, failureOf(kind), answered())
		require.Equal(t, kind == twitter.KindUnauthorized, got.Outcome == OutcomeRefresh, "%s", kind)
	}
}

func TestDecideLosesPatience(t *testing.T) {
	t.Parallel()
	for _, kind := range []twitter.Kind{twitter.KindNotFound, twitter.KindEndpointNotFound, twitter.KindAuthenticationUnknown} {
		for retries := range patience {
			require.Equal(t, OutcomeRetry, Decide(Attempt{Kind: store.PostTweet, Retries: retries}, failureOf(kind), answered()).Outcome, "after %d retries", retries)
		}
		for _, retries := range []int{patience, patience + 1, 1000} {
			v := Decide(Attempt{Kind: store.PostTweet, Retries: retries}, failureOf(kind), answered())
			require.Equal(t, OutcomeFail, v.Outcome, "after %d retries", retries)
			require.Zero(t, v.Wait)
		}
	}
	// What certainly never left is tried to the deadline, not for a number of times.
	never := Decide(Attempt{Kind: store.PostTweet, Retries: 1000}, failureOf(twitter.KindNeverSent), answered())
	require.Equal(t, OutcomeRetry, never.Outcome)
}

// A duplicate is final, unless it may be of a request of the row itself.
func TestDecideOnADuplicateAfterADoubt(t *testing.T) {
	t.Parallel()
	require.Equal(t, OutcomeFail, Decide(Attempt{Kind: store.PostTweet}, failureOf(twitter.KindDuplicate), answered()).Outcome)
	v := Decide(Attempt{Kind: store.PostTweet, Doubt: true}, failureOf(twitter.KindDuplicate), answered())
	require.Equal(t, OutcomeUnconfirmed, v.Outcome)
	require.Contains(t, v.Error, "it may be on X")
}

// A token endpoint that limits refreshes is believed as X is; nothing else was sent, so nothing else waits.
func TestDecideOnALimitedRefresh(t *testing.T) {
	t.Parallel()
	failure := failureOf(twitter.KindNeverSent)
	limited := failureOf(twitter.KindRateLimited)
	limited.Answer.Limits.RetryAfter = 7 * time.Minute
	failure.Err = limited
	v := Decide(Attempt{Kind: store.PostTweet}, failure, answered())
	require.Equal(t, OutcomeRetry, v.Outcome)
	require.Equal(t, 7*time.Minute, v.Wait)
	require.False(t, v.Block)
}

func TestDecideRetriesByTheSchedule(t *testing.T) {
	t.Parallel()
	for retries, want := range retrySchedule {
		v := Decide(Attempt{Kind: store.DeleteTweet, Retries: retries}, failureOf(twitter.KindNeverSent), answered())
		require.InDelta(t, want, v.Wait, 0.2*float64(want))
	}
}

func TestDecideOnASpendingLimit(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		date  string
		dated time.Time // by X
		now   time.Time
		want  time.Duration
	}{
		"ToTheStartOfTheDay": {date: "2026-11-25", dated: answered(), want: 14 * time.Hour},
		"ByXsClock":          {date: "2026-11-25", dated: answered(), now: answered().Add(-9 * day), want: 14 * time.Hour},
		"ByOursIfUndated":    {date: "2026-11-25", now: answered().Add(time.Hour), want: 13 * time.Hour},
		"NextMonth":          {date: "2026-12-24", dated: answered(), want: 30*day - 10*time.Hour},
		"Today":              {date: "2026-11-24", dated: answered(), want: time.Hour},
		"Past":               {date: "2020-01-01", dated: answered(), want: time.Hour},
		"Absurd":             {date: "2027-11-24", dated: answered(), want: time.Hour},
		"NotADate":           {date: "soon", dated: answered(), want: time.Hour},
		"None":               {dated: answered(), want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failure := &twitter.Error{
				Kind: twitter.KindSpendCapReached, Op: "create tweet", ResetDate: test.date,
				Answer: twitter.Answer{StatusCode: 403, Date: test.dated},
			}
			v := Decide(Attempt{Kind: store.PostTweet}, failure, test.now)
			require.Equal(t, OutcomePauseApp, v.Outcome)
			require.Equal(t, test.want, v.Wait)
		})
	}
}
