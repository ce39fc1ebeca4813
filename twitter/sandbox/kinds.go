package sandbox

// Kind is what a fault does to a request.
type Kind string

// These act on the connection, at a moment in the life of the request, whether X would have accepted
// or refused it. "Before" means that nothing was created or deleted; with all others the request was
// worked in full, and only its answer suffers.
//
// Hold keeps everything back for Fault.Delay, or until Lift; then it goes on as usual. It does so
// even if the client has left: that is the request that arrives late. Hang keeps everything back for
// ever: it ends, the connection cut, when the client leaves, at Lift, or at Close; to the client it
// is a time-out. Drop cuts the connection at once.
const (
	KindHoldBefore Kind = "hold_before" // before the request is worked
	KindHoldAfter  Kind = "hold_after"  // before the answer
	KindHoldBody   Kind = "hold_body"   // in the middle of the answer's body: it dribbles

	KindHangBefore Kind = "hang_before"
	KindHangAfter  Kind = "hang_after"
	KindHangBody   Kind = "hang_body"

	KindDropBefore    Kind = "drop_before"
	KindDropAfter     Kind = "drop_after"      // the tweet exists and nobody was told
	KindDropFirstByte Kind = "drop_first_byte" // after the first byte of the answer's status line
	KindDropHeaders   Kind = "drop_headers"    // after the answer's headers
	KindDropBody      Kind = "drop_body"       // in the middle of its body
)

// These act on what is answered. Fault.Body and Fault.Header say how, also for the refusals below.
const (
	// KindStatusBefore answers Fault.Status and does nothing: an error at the edge.
	KindStatusBefore Kind = "status_before"
	// KindStatusAfter works the request and answers Fault.Status all the same.
	KindStatusAfter Kind = "status_after"
	// KindAnswer works the request and answers as usual, but for Fault.Body and Fault.Header.
	KindAnswer Kind = "answer"
	// KindNone is the step of a script that does nothing.
	KindNone Kind = "none"
)

// These refuse requests that X would have accepted, each with a body that was captured from X. A
// request that X refuses earlier is refused as usual; it counts as struck nevertheless.
const (
	// KindUnauthorized is 401, whatever is wrong.
	KindUnauthorized Kind = "unauthorized"
	// KindCreditsDepleted is 402: the balance is empty.
	KindCreditsDepleted Kind = "credits_depleted"
	// KindSpendCapReached is 403 with the reset_date of the next billing cycle.
	KindSpendCapReached Kind = "spend_cap_reached"
	// KindUsageCapExceeded is 429, and yet no window: the monthly cap.
	KindUsageCapExceeded Kind = "usage_cap_exceeded"
	// KindRateLimited is 429: it uses up the first of the route's limits, so that the requests
	// after it are refused too, until the reset that the headers tell.
	KindRateLimited Kind = "rate_limited"
	// KindReadOnlyApp is 403 oauth1-permissions.
	KindReadOnlyApp Kind = "read_only_app"
	// KindUserSuspended is 403 user-suspended.
	KindUserSuspended Kind = "user_suspended"
	// KindNotEnrolled is 403 client-forbidden: the app belongs to no project.
	KindNotEnrolled Kind = "not_enrolled"
	// KindFeatureNotPermitted is 403 after a subscription was lost.
	KindFeatureNotPermitted Kind = "feature_not_permitted"
	// KindForbidden is a bare 403, such as for a missing scope.
	KindForbidden Kind = "forbidden"
	// KindDuplicate is 403: this user said that before.
	KindDuplicate Kind = "duplicate"
	// KindNotPermitted is 403 without a reason; X gives it for a text that is too long, too.
	KindNotPermitted Kind = "not_permitted"
	// KindReplyTargetGone is 403: the tweet to reply to is gone.
	KindReplyTargetGone Kind = "reply_target_gone"
	// KindReplyNotAllowed is 403 by the self-serve rule for replies, in its first wording.
	KindReplyNotAllowed Kind = "reply_not_allowed"
	// KindNotAuthorizedForResource is 403 by the same rule in its newer wording, with a problem
	// type that looks like a failed login and is none.
	KindNotAuthorizedForResource Kind = "not_authorized_for_resource"
	// KindQuoteNotAllowed is 403 by the self-serve rule for quotes.
	KindQuoteNotAllowed Kind = "quote_not_allowed"
	// KindTooManyCashtags is 403: more than one.
	KindTooManyCashtags Kind = "too_many_cashtags"
)

// Kinds are all kinds of faults.
func Kinds() []Kind {
	return append([]Kind{
		KindHoldBefore, KindHoldAfter, KindHoldBody,
		KindHangBefore, KindHangAfter, KindHangBody,
		KindDropBefore, KindDropAfter, KindDropFirstByte, KindDropHeaders, KindDropBody,
		KindStatusBefore, KindStatusAfter, KindAnswer, KindNone,
	}, refusalKinds()...)
}

// silentKinds are those after which there is no answer to change.
func silentKinds() []Kind {
	return []Kind{KindHangBefore, KindHangAfter, KindDropBefore, KindDropAfter, KindDropFirstByte, KindNone}
}

func refusalKinds() []Kind {
	return []Kind{
		KindUnauthorized, KindCreditsDepleted, KindSpendCapReached, KindUsageCapExceeded,
		KindRateLimited, KindReadOnlyApp, KindUserSuspended, KindNotEnrolled,
		KindFeatureNotPermitted, KindForbidden, KindDuplicate, KindNotPermitted,
		KindReplyTargetGone, KindReplyNotAllowed, KindNotAuthorizedForResource,
		KindQuoteNotAllowed, KindTooManyCashtags,
	}
}

// Body is what is sent instead of an answer's body.
type Body string

const (
	// BodyEmpty is none: the status and headers stand alone.
	BodyEmpty Body = "empty"
	// BodyHTML is a page, as of a proxy between X and the client. The headers of X are missing too.
	BodyHTML Body = "html"
	// BodyTruncated is the first half of the body, and the length in the headers is that of the half.
	BodyTruncated Body = "truncated"
	// BodyBrokenGzip is the body compressed, and the second half of that is missing.
	BodyBrokenGzip Body = "broken_gzip"
)

// Bodies are all of them.
func Bodies() []Body { return []Body{BodyEmpty, BodyHTML, BodyTruncated, BodyBrokenGzip} }
