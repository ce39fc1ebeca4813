package twitter

import "strings"

// Kind says what a failed request means. It is a closed set: see [Kinds].
type Kind string

// The kinds of failure. Statuses, problem types, texts and codes are those of X's documents and
// of captured answers; see [Error] for how they are matched.
const (
	// KindNeverSent means that provably no byte of the request left: a refused connection, DNS,
	// TLS, a refused request check, a context that ended before anything was written, or an OAuth 2.0
	// token that could not be refreshed this time and still stands.
	KindNeverSent Kind = "never_sent"
	// KindMaybeSent means a time-out, reset or EOF after a byte may have left, without an answer.
	KindMaybeSent Kind = "maybe_sent"
	// KindUnreadable means an answer that does not tell what happened: a 2xx without usable data,
	// or a body that is HTML or cut off where its text would have mattered (400, 403, 404 and the
	// 4xx without a meaning of their own).
	KindUnreadable Kind = "unreadable"
	// KindServerError is any 5xx, Cloudflare's 520 to 527 included.
	KindServerError Kind = "server_error"
	// KindRequestTimeout is 408.
	KindRequestTimeout Kind = "request_timeout"

	// KindRateLimited is a 429 of a window or of a daily cap, and the legacy codes 88 and 185.
	// [Answer.RetryAfter] tells how long to wait.
	KindRateLimited Kind = "rate_limited"
	// KindUsageCapExceeded means that the App's cap for the month or day is used up.
	KindUsageCapExceeded Kind = "usage_cap_exceeded"
	// KindCreditsDepleted means that the App's X account has no credits left (402).
	KindCreditsDepleted Kind = "credits_depleted"
	// KindSpendCapReached means that the spending limit of the billing cycle is reached; see
	// [Error.ResetDate].
	KindSpendCapReached Kind = "spend_cap_reached"

	// KindUnauthorized is 401 and the legacy codes 32, 89, 99, 135, 215: one answer for expired or
	// revoked tokens, wrong keys and a wrong clock, and at times one for everybody.
	KindUnauthorized Kind = "unauthorized"
	// KindLoginNeeded means that X's token endpoint refused the account's refresh token: used up,
	// revoked or wrong. The user must sign in again. The request itself was never sent.
	KindLoginNeeded Kind = "login_needed"
	// KindClientRefused means that X's token endpoint refused the App's client ID and secret, or the
	// way they were sent. It says nothing of the account. The request itself was never sent.
	KindClientRefused Kind = "client_refused"
	// KindRefreshUnknown means that a refresh may have reached X and brought no token. X may have
	// replaced the refresh token by one that nobody has; whether it did, the next refresh tells: it
	// works, or is KindLoginNeeded. The request itself was never sent.
	KindRefreshUnknown Kind = "refresh_unknown"
	// KindSuspended means that X suspended the user.
	KindSuspended Kind = "suspended"
	// KindLocked means that X locked the user until they log in on x.com.
	KindLocked Kind = "locked"
	// KindAppSuspended means that X suspended the App (legacy code 416).
	KindAppSuspended Kind = "app_suspended"
	// KindAppPermissions means that the App, or a token made while it was, is read-only.
	KindAppPermissions Kind = "app_permissions"
	// KindNotEnrolled means that the App is attached to no Project or package that may use this
	// endpoint.
	KindNotEnrolled Kind = "not_enrolled"
	// KindUnsupportedAuthentication means that the endpoint takes another kind of token.
	KindUnsupportedAuthentication Kind = "unsupported_authentication"
	// KindAuthenticationUnknown is the passing variant "Authenticating with Unknown is forbidden",
	// seen now and then with good credentials.
	KindAuthenticationUnknown Kind = "authentication_unknown"
	// KindFeatureNotPermitted means that the account may not use this feature, for instance after
	// it lost its subscription or credits.
	KindFeatureNotPermitted Kind = "feature_not_permitted"

	// KindDuplicate means that X holds the text for a repetition. X does not say of which tweet.
	KindDuplicate Kind = "duplicate"
	// KindAlreadyRetweeted means that this account has retweeted the tweet before, and the retweet
	// stands. Nobody has shown X's body: it is known by the words that X and its clients use.
	KindAlreadyRetweeted Kind = "already_retweeted"
	// KindReplyNotAllowed means that this account may not reply to that tweet.
	KindReplyNotAllowed Kind = "reply_not_allowed"
	// KindQuoteNotAllowed means that this account may not quote that tweet.
	KindQuoteNotAllowed Kind = "quote_not_allowed"
	// KindReplyTargetGone means that the tweet replied to is deleted or not visible.
	KindReplyTargetGone Kind = "reply_target_gone"
	// KindTooManyCashtags means more than one cashtag.
	KindTooManyCashtags Kind = "too_many_cashtags"
	// KindNotPermitted is "You are not permitted to perform this action.": most often too long a
	// text, or attachments that do not go together. Legacy code 186 (too long) is of this kind.
	KindNotPermitted Kind = "not_permitted"
	// KindNotAuthor means an attempt to delete the tweet of somebody else.
	KindNotAuthor Kind = "not_author"
	// KindForbidden is any other 403, and a tweet that this account may not see.
	KindForbidden Kind = "forbidden"
	// KindInvalidRequest is 400, and a request that this client refused to send
	// ([Answer.StatusCode] is then 0).
	KindInvalidRequest Kind = "invalid_request"
	// KindNotFound is the 404 of one tweet, and a 200 that says that the tweet or user does not exist.
	KindNotFound Kind = "not_found"
	// KindEndpointNotFound is 404 where no single tweet was asked for: a timeline, a list of ids, the
	// user's own data, a tweet to be made. X has answered so for hours to everybody, and it says
	// nothing of what exists: it passes.
	KindEndpointNotFound Kind = "endpoint_not_found"
	// KindOther is any other 4xx, and each 3xx, which is never followed.
	KindOther Kind = "other"
)

// Kinds returns every kind once, so that a table of what to do can be checked to be complete.
func Kinds() []Kind {
	return []Kind{
		KindNeverSent, KindMaybeSent, KindUnreadable, KindServerError, KindRequestTimeout,
		KindRateLimited, KindUsageCapExceeded, KindCreditsDepleted, KindSpendCapReached,
		KindUnauthorized, KindLoginNeeded, KindClientRefused, KindRefreshUnknown, KindSuspended,
		KindLocked, KindAppSuspended, KindAppPermissions, KindNotEnrolled, KindUnsupportedAuthentication,
		KindAuthenticationUnknown, KindFeatureNotPermitted, KindDuplicate, KindReplyNotAllowed,
		KindQuoteNotAllowed, KindReplyTargetGone, KindTooManyCashtags, KindNotPermitted,
		KindNotAuthor, KindForbidden, KindInvalidRequest, KindNotFound, KindEndpointNotFound,
		KindOther, KindAlreadyRetweeted,
	}
}

// words are the kind as it stands in the text of an [Error].
func (k Kind) words() string { return strings.ReplaceAll(string(k), "_", " ") }

// advice says what a person has to do, for the kinds where X's own words do not.
func (k Kind) advice() string {
	switch k {
	case KindUnauthorized:
		return "check the keys and the account's tokens, and this machine's clock"
	case KindLoginNeeded:
		return "let the user sign in again"
	case KindClientRefused:
		return "check the App's client ID, its secret and its type (confidential or public) in X's developer console"
	case KindRefreshUnknown:
		return "if the next refresh is refused, the grant is lost and the user must sign in again"
	case KindSuspended, KindLocked:
		return "log in to this account on x.com"
	case KindAppSuspended:
		return "see the App in X's developer console"
	case KindAppPermissions:
		return `set the App to "Read and write" in X's developer console, then make the account's tokens anew`
	case KindNotEnrolled:
		return "attach the App to a Project and package in X's developer console"
	case KindUnsupportedAuthentication:
		return "use the tokens of a user, not of the App"
	case KindCreditsDepleted:
		return "buy credits in X's developer console"
	case KindSpendCapReached:
		return "raise the spending limit in X's developer console, or wait for the next cycle"
	case KindUsageCapExceeded:
		return "see the App's usage in X's developer console"
	case KindNeverSent, KindMaybeSent, KindUnreadable, KindServerError, KindRequestTimeout,
		KindRateLimited, KindAuthenticationUnknown, KindFeatureNotPermitted, KindDuplicate,
		KindReplyNotAllowed, KindQuoteNotAllowed, KindReplyTargetGone, KindTooManyCashtags,
		KindNotPermitted, KindNotAuthor, KindForbidden, KindInvalidRequest, KindNotFound,
		KindEndpointNotFound, KindOther, KindAlreadyRetweeted:
		return ""
	}
	return ""
}
