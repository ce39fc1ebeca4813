package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// answer is what a request will be told, and what it did.
type answer struct {
	status  int
	body    []byte
	outcome Outcome
	tweetID string
	reason  string   // for the record alone
	item    Item     // what X bills it as; empty is nothing
	read    []string // of a read: the ids of the tweets or users that it returned as data
	cost    USD
}

// stage is where in the order of the package comment a refusal comes.
type stage int

const (
	stageNone stage = iota
	stageAuth
	stageBilling
	stageLimits
	stageAccess
	stageBusiness
)

// stage is stageNone for kinds that refuse nothing.
func (k Kind) stage() stage {
	return map[Kind]stage{
		KindUnauthorized:             stageAuth,
		KindCreditsDepleted:          stageBilling,
		KindSpendCapReached:          stageBilling,
		KindUsageCapExceeded:         stageBilling,
		KindRateLimited:              stageLimits,
		KindReadOnlyApp:              stageAccess,
		KindUserSuspended:            stageAccess,
		KindNotEnrolled:              stageAccess,
		KindFeatureNotPermitted:      stageAccess,
		KindForbidden:                stageAccess,
		KindDuplicate:                stageBusiness,
		KindNotPermitted:             stageBusiness,
		KindReplyTargetGone:          stageBusiness,
		KindReplyNotAllowed:          stageBusiness,
		KindNotAuthorizedForResource: stageBusiness,
		KindQuoteNotAllowed:          stageBusiness,
		KindTooManyCashtags:          stageBusiness,
	}[k]
}

// forced refuses the request if its fault does so at this stage.
func (s *Server) forced(x *exchange, at stage) (answer, bool) {
	if x.fault == nil || x.fault.Kind.stage() != at {
		return answer{}, false
	}
	a := s.refusal(x.fault.Kind, x)
	a.reason = "fault " + string(x.fault.Kind) + ": " + a.reason
	return a, true
}

// enrolledAccountID is as captured. The sandbox tells it of all.
const enrolledAccountID = "2012982477812371456"

// refusal is the captured answer of a kind.
func (s *Server) refusal(k Kind, x *exchange) answer {
	switch k {
	case KindUnauthorized:
		return unauthorized("unauthorized")
	case KindCreditsDepleted:
		return refuse(http.StatusPaymentRequired, "no credits", `{"title":"CreditsDepleted","detail":"Your enrolled account [`+
			enrolledAccountID+`] does not have any credits to fulfill this request.","type":"https://api.twitter.com/2/problems/credits"}`)
	case KindSpendCapReached:
		return spendCapReached(nextCycle(s.now(), x.fault.Wait))
	case KindUsageCapExceeded:
		return refuse(http.StatusTooManyRequests, "usage cap exceeded",
			`{"title":"UsageCapExceeded","detail":"Usage cap exceeded: Monthly product cap",`+
				`"type":"https://api.twitter.com/2/problems/usage-capped","period":"Monthly","scope":"Product","account_id":`+enrolledAccountID+`}`)
	case KindRateLimited:
		return problem(http.StatusTooManyRequests, "a limit is exhausted")
	case KindReadOnlyApp:
		return refuse(http.StatusForbidden, "the token may only read", `{"title":"Forbidden","type":"https://api.twitter.com/2/problems/oauth1-permissions",`+
			`"detail":"Your client app is not configured with the appropriate oauth1 app permissions for this endpoint."}`)
	case KindUserSuspended:
		return refuse(http.StatusForbidden, "the user is suspended", `{"detail":"The user used for authentication is suspended",`+
			`"title":"Forbidden","status":403,"type":"https://api.twitter.com/2/problems/user-suspended"}`)
	case KindNotEnrolled:
		return refuse(http.StatusForbidden, "the app is not enrolled", `{"client_id":"29821349","detail":"When authenticating requests to the Twitter API v2 endpoints, `+
			`you must use keys and tokens from a Twitter developer App that is attached to a Project. You can create a project via the developer portal.",`+
			`"registration_url":"https://developer.twitter.com/en/docs/projects/overview","title":"Client Forbidden",`+
			`"required_enrollment":"Appropriate Level of API Access","reason":"client-not-enrolled","type":"https://api.twitter.com/2/problems/client-forbidden"}`)
	case KindFeatureNotPermitted:
		return forbidden("Your account is not permitted to access this feature.")
	case KindForbidden:
		return forbidden("Forbidden")
	case KindDuplicate:
		return forbidden("You are not allowed to create a Tweet with duplicate content.")
	case KindNotPermitted:
		return forbidden("You are not permitted to perform this action.")
	case KindReplyTargetGone:
		return forbidden("You attempted to reply to a Tweet that is deleted or not visible to you.")
	case KindReplyNotAllowed:
		return forbidden("Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to.")
	case KindNotAuthorizedForResource:
		return refuse(http.StatusForbidden, "reply rule", `{"detail":"You can only reply to or quote posts where you are mentioned or are the author.",`+
			`"status":403,"title":"Authorization Error","type":"https://api.x.com/2/problems/not-authorized-for-resource"}`)
	case KindQuoteNotAllowed:
		return forbidden("Quoting this post is not allowed because you have not been mentioned or are not part of the conversation thread of the post you are quoting.")
	case KindTooManyCashtags:
		return forbidden("Posts are limited to a maximum of one cashtag")
	case KindHoldBefore, KindHoldAfter, KindHoldBody, KindHangBefore, KindHangAfter, KindHangBody,
		KindDropBefore, KindDropAfter, KindDropFirstByte, KindDropHeaders, KindDropBody,
		KindStatusBefore, KindStatusAfter, KindAnswer, KindNone:
	}
	panic("sandbox: no refusal for kind " + string(k))
}

// nextCycle is when the next billing cycle begins by a fault.
func nextCycle(now time.Time, wait time.Duration) time.Time {
	if wait > 0 {
		return now.Add(wait)
	}
	return nextMonth(now)
}

func spendCapReached(reset time.Time) answer {
	date := reset.Format(time.DateOnly)
	return refuse(http.StatusForbidden, "spend cap reached", `{"title":"SpendCapReached","detail":"Your enrolled account [`+
		enrolledAccountID+`] has reached its billing cycle spend cap. API requests will be blocked until the next cycle begins on `+
		date+`.","reset_date":"`+date+`","type":"https://api.twitter.com/2/problems/credits"}`)
}

func refuse(status int, reason, body string) answer {
	return answer{status: status, body: []byte(body), outcome: OutcomeRefused, reason: reason}
}

// problem is X's answer for which the status says all: 404, 429, 5xx.
func problem(status int, reason string) answer {
	title := http.StatusText(status)
	if title == "" {
		title = "Error"
	}
	return refuse(status, reason, fmt.Sprintf(`{"title":%q,"detail":%q,"type":"about:blank","status":%d}`, title, title, status))
}

func unauthorized(reason string) answer {
	return refuse(http.StatusUnauthorized, reason, `{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}`)
}

func forbidden(detail string) answer {
	body := fmt.Sprintf(`{"detail":%q,"type":"about:blank","title":"Forbidden","status":403}`, detail)
	return refuse(http.StatusForbidden, detail, body)
}

// violation is one entry of an invalid-request problem: the values at fault, by the name that X
// gives their place, and the message.
type violation struct {
	Parameters map[string][]string `json:"parameters"`
	Message    string              `json:"message"`
}

// invalid is the 400. X puts nothing into parameters where the body as a whole is wrong.
func invalid(violations ...violation) answer {
	reasons := make([]string, len(violations))
	for i := range violations {
		if violations[i].Parameters == nil {
			violations[i].Parameters = map[string][]string{}
		}
		reasons[i] = violations[i].Message
	}
	body := encode(struct {
		Errors []violation `json:"errors"`
		Title  string      `json:"title"`
		Detail string      `json:"detail"`
		Type   string      `json:"type"`
	}{
		violations, "Invalid Request", "One or more parameters to your request was invalid.",
		"https://api.x.com/2/problems/invalid-request",
	})
	return refuse(http.StatusBadRequest, strings.Join(reasons, "; "), string(body))
}

// missingTweet is the entry for a tweet that does not exist, in a list of errors.
func missingTweet(id string) map[string]string {
	return map[string]string{
		"value": id, "resource_id": id, "resource_type": "tweet", "parameter": "id",
		"title":  "Not Found Error",
		"detail": "Could not find tweet with id: [" + id + "].",
		"type":   "https://api.twitter.com/2/problems/resource-not-found",
	}
}

// encode is JSON as X writes it: on one line, with &, < and > as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("sandbox: encode an answer: " + err.Error()) // only maps, slices and strings get here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
