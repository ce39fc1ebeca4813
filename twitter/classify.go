package twitter

import (
	"encoding/json"
	"net/http"
	"strings"
)

// kindOf tells what a status and its problem mean. A 5xx and a 408 are taken by the status alone:
// no body makes it certain that nothing happened. Of the rest, the problem type goes first, then
// X's known sentences, then legacy codes, and the status only if all of them are unknown.
func (r call) kindOf(status int, p problem) Kind {
	switch {
	case status >= 500:
		return KindServerError
	case status == http.StatusRequestTimeout:
		return KindRequestTimeout
	case status >= 300 && status < 400:
		return KindOther
	}
	if status == http.StatusNotFound && r.collection && r.method == http.MethodGet {
		return KindEndpointNotFound // whatever it says: nothing may be concluded from an outage
	}
	if kind := r.kindOfType(p); kind != "" {
		return kind
	}
	if kind := r.kindOfWords(p); kind != "" {
		return kind
	}
	if kind := kindOfCode(p.code); kind != "" {
		return kind
	}
	switch status {
	case http.StatusBadRequest:
		return KindInvalidRequest
	case http.StatusUnauthorized:
		return KindUnauthorized
	case http.StatusPaymentRequired:
		return KindCreditsDepleted
	case http.StatusForbidden:
		return KindForbidden
	case http.StatusNotFound:
		if r.collection {
			return KindEndpointNotFound
		}
		return KindNotFound
	case http.StatusTooManyRequests:
		return KindRateLimited
	}
	if status/100 == 2 {
		return KindUnreadable
	}
	return KindOther
}

// kindOfType matches the problem type's last segment (X: response-codes-and-errors; "credits" and
// "user-suspended" are known from captures). The host was api.twitter.com, then api.x.com.
func (r call) kindOfType(p problem) Kind {
	switch p.slug() {
	case "credits":
		if p.says("spendcapreached", "spend cap") {
			return KindSpendCapReached
		}
		return KindCreditsDepleted
	case "usage-capped":
		return KindUsageCapExceeded
	case "rate-limit-exceeded":
		return KindRateLimited
	case "user-suspended":
		return KindSuspended
	case "oauth1-permissions":
		return KindAppPermissions
	case "client-forbidden":
		if p.reason == "official-client-forbidden" {
			return KindForbidden
		}
		return KindNotEnrolled
	case "unsupported-authentication":
		if p.says("authenticating with unknown") {
			return KindAuthenticationUnknown
		}
		return KindUnsupportedAuthentication
	case "not-authorized-for-resource":
		// Also the type of the reply rule: it is about one tweet, and says nothing of the account.
		if kind := r.kindOfWords(p); kind != "" {
			return kind
		}
		if r.deletesTweet() {
			return KindNotAuthor
		}
		return KindForbidden
	case "not-authorized-for-field", "field-unauthorized", "disallowed-resource", "resource-unavailable":
		return KindForbidden
	case "resource-not-found":
		return KindNotFound
	case "invalid-request":
		if kind := r.kindOfWords(p); kind == KindAlreadyRetweeted {
			return kind
		}
		return KindInvalidRequest
	}
	return ""
}

// kindOfWords matches the sentences that X has been seen to send, mostly under about:blank.
func (r call) kindOfWords(p problem) Kind {
	switch {
	case p.says("spendcapreached", "reached its billing cycle spend cap"):
		return KindSpendCapReached
	case p.says("creditsdepleted", "does not have any credits"):
		return KindCreditsDepleted
	case p.says("usagecapexceeded", "usage cap exceeded"):
		return KindUsageCapExceeded
	case p.says("duplicate content", "status is a duplicate"):
		return KindDuplicate
	case r.retweets() && p.says("already retweeted", "already reposted"):
		return KindAlreadyRetweeted
	case p.says("user used for authentication is suspended", "your account is suspended"):
		return KindSuspended
	case p.says("account is temporarily locked"):
		return KindLocked
	case p.says("oauth1 app permissions"):
		return KindAppPermissions
	case p.says("developer app that is attached to a project"):
		return KindNotEnrolled
	case p.says("authenticating with unknown is forbidden"):
		return KindAuthenticationUnknown
	case p.says("is forbidden for this endpoint"):
		return KindUnsupportedAuthentication
	case p.says("only reply to or quote posts"):
		if r.quotesOnly() {
			return KindQuoteNotAllowed
		}
		return KindReplyNotAllowed
	case p.says("reply to this conversation is not allowed"):
		return KindReplyNotAllowed
	case p.says("quoting this post is not allowed"):
		return KindQuoteNotAllowed
	case p.says("reply to a tweet that is deleted or not visible", "reply to a post that is deleted or not visible"):
		return KindReplyTargetGone
	case p.says("maximum of one cashtag"):
		return KindTooManyCashtags
	case p.says("not authorized to delete this", "not delete another user's status"):
		return KindNotAuthor
	case p.says("not permitted to access this feature"):
		return KindFeatureNotPermitted
	case p.says("not permitted to perform this action"):
		return KindNotPermitted
	}
	return ""
}

// kindOfCode matches the codes of v1.1, which v2 still sends in the legacy shape.
func kindOfCode(code int) Kind {
	switch code {
	case 32, 89, 99, 135, 215:
		return KindUnauthorized
	case 34, 144, 421, 422:
		return KindNotFound
	case 38, 44, 195, 323, 324, 325, 386, 407: // 386: attachments that do not go together
		return KindInvalidRequest
	case 64:
		return KindSuspended
	case 88, 185: // 185: the user's limit for the day
		return KindRateLimited
	case 183:
		return KindNotAuthor
	case 186:
		return KindNotPermitted
	case 187:
		return KindDuplicate
	case 179, 220, 226: // 226: the request looks automated
		return KindForbidden
	case 261:
		return KindAppPermissions
	case 326:
		return KindLocked
	case 327:
		return KindAlreadyRetweeted
	case 385:
		return KindReplyTargetGone
	case 416:
		return KindAppSuspended
	case 433:
		return KindReplyNotAllowed
	case 453: // a subset of the endpoints
		return KindNotEnrolled
	}
	return ""
}

func (p *problem) says(one ...string) bool {
	for _, words := range one {
		if strings.Contains(p.words, words) {
			return true
		}
	}
	return false
}

// quotesOnly reports whether the request quotes a tweet and replies to none: X has one sentence
// for both.
func (r call) quotesOnly() bool {
	var body struct {
		Quote json.RawMessage `json:"quote_tweet_id"`
		Reply json.RawMessage `json:"reply"`
	}
	return json.Unmarshal(r.body, &body) == nil && body.Quote != nil && body.Reply == nil
}

func (r call) deletesTweet() bool {
	return r.method == http.MethodDelete && len(r.path) == 3 && r.path[1] == "tweets"
}

func (r call) retweets() bool {
	return r.method == http.MethodPost && len(r.path) == 4 && r.path[3] == "retweets"
}

// kindOfRefresh is kindOf for the token endpoint, whose errors are those of RFC 6749, 5.2. X sends
// invalid_request where the RFC has invalid_grant, and only its words tell what it means. A refusal
// that is not understood, and the 401 that X gives everybody at times, must not log anybody out.
func (r call) kindOfRefresh(status int, p problem, readable bool) Kind {
	switch {
	case status >= 500, status == http.StatusRequestTimeout, !readable && status != http.StatusTooManyRequests:
		return KindRefreshUnknown
	case p.title == "invalid_grant", p.says("value passed for the token was invalid"):
		return KindLoginNeeded
	case p.title == "unauthorized_client", p.title == "invalid_client", p.says("missing valid authorization header"):
		return KindClientRefused
	}
	kind := r.kindOf(status, p)
	if kind == KindUnreadable {
		return KindRefreshUnknown
	}
	return kind
}

// ofUnsent is the kind of a request that was not sent because a refresh failed in this way.
func (k Kind) ofUnsent() Kind {
	if k == KindLoginNeeded || k == KindClientRefused || k == KindRefreshUnknown {
		return k
	}
	return KindNeverSent
}

// needsWords reports whether a kind was taken from the status for want of words, so that losing
// the words loses the meaning: a page of a proxy under 403 says nothing about the tweet.
func (k Kind) needsWords() bool {
	return k == KindForbidden || k == KindInvalidRequest || k == KindNotFound || k == KindEndpointNotFound || k == KindOther
}
