// Package twitter is a client for the X API v2, made for a program that must not post the same
// thing twice.
//
// It owns the requests (their JSON, signing, size and time limits), the refreshing of OAuth 2.0
// tokens, what X's answers mean, and what its rate-limit headers say. It knows no queue and no rows, reads no environment, logs
// nothing, never sleeps and never repeats a request: whether, when and what to send next is the
// caller's decision.
//
// A [Client] signs for one account, by an [Auth]. Clients are cheap and share the connections of one
// *http.Client ([NewHTTPClient] makes a suitable one). An [OAuth2] holds the
// state of an account's token, so there is one for each account in a process.
//
// X has two vocabularies, in which tweets are "tweets" or "posts". Requests ask for the first, and
// answers are read in both.
//
// # What is known when a request fails
//
// Every method returns either a result that X confirmed, or an [Error], to be found with
// errors.As. Its [Kind] is a closed set ([Kinds]). X has no idempotency key, so the kinds are cut
// along what a caller may do next:
//
//   - [KindNeverSent]: provably no byte of the request left. Trying again cannot post twice.
//   - [KindLoginNeeded], [KindClientRefused], [KindRefreshUnknown]: the request did not leave either,
//     because its OAuth 2.0 token could not be refreshed.
//   - [KindMaybeSent], [KindUnreadable], [KindServerError], [KindRequestTimeout]: X may have acted
//     on the request. Only a look at X can tell.
//   - the others: X answered, and did not act.
//
// "Never sent" is told by net/http/httptrace and by closing a connection before anything is
// written to it, never by the text of an error. See [WithRequestCheck] for a check that can still
// stop a request when its connection is ready.
//
// # Whether a tweet is the one that was sent
//
// After an unclear answer only the account's tweets can tell. [ParseSent] reads the body that was sent,
// and [Sent.Match] compares it with a tweet as X shows it. Its answer is certain one way or the other,
// or it is [Possible]. [IDAt] bounds the search, and [Sent.Hidden] says where it would prove nothing.
//
// # HTTP/1.1 only
//
// Go's HTTP/2 transport sends a POST again by itself after a GOAWAY, REFUSED_STREAM or
// PROTOCOL_ERROR, and one broken connection would leave every request on it in doubt. So requests
// go out over HTTP/1.1 only, where Go's transport repeats a POST or DELETE only if nothing of it
// was written. Redirects are followed on no method.
package twitter
