// Package sandbox is a local stand-in for the X API v2: real HTTP, real OAuth, real limits,
// and faults on demand. The demo serves it; tests and benchmarks send to it. It shares no code
// with any client, so that a client and its stand-in cannot make the same mistake.
//
// # What it does as X does
//
// Four routes: POST /2/tweets, DELETE /2/tweets/:id, GET /2/users/me, GET /2/tweets/:id. Each
// request passes these stages, and the first that objects answers:
//
//	edge      5xx                (only by a [Fault])
//	auth      401                signature, timestamp, nonce; token unknown, expired or revoked
//	billing   402, 403, 429      (only by a [Fault])
//	limits    429                [Config.Limits]
//	access    403                app without project, wrong kind of token, suspended or locked
//	                             user, read-only app, missing scope
//	request   400                content type, JSON, fields, ids, query
//	business  403, 404           reply to a missing tweet, length, duplicate, deletion
//	done      200, 201
//
// X does not document its order; this one is the order that its captured answers allow. Every
// request that gets past billing counts against the limits, also one that is refused later. A 429
// itself costs nothing.
//
// Users sign by OAuth 1.0a ([Server.Authorize]) or send a token of OAuth 2.0
// ([Server.AuthorizeOAuth2]), which needs the scopes tweet.read and users.read, and tweet.write to
// write. An app's own token ([Server.AppToken]) reads, and alone sees GET /2/usage/tweets. POST
// /2/oauth2/token takes a refresh token once: it gives a new pair, and a second use is refused,
// also if the first answer was lost. It and POST /2/oauth2/revoke authenticate the client instead
// of a user, in their own shape of errors, and pass neither billing nor limits.
//
// A request says why it was refused only as far as X does, which is little: every 401 has the same
// body. The reason is in the record, [Request.Reason].
//
// # What a tester does to it
//
// A [Fault] makes requests fail as X's do, or worse: before they are worked, after, or within the
// answer; each that matches, at a rate, or by a script. [Server.Requests], [Server.Tweets] and
// [Server.Retweets] tell what really happened. [Config.Control] offers all of that over HTTP.
//
// # Where it is a guess, or simpler than X
//
//   - The length of a text is the sum of its code points, weighted as twitter-text v3 does, and 23
//     for each word that begins with http:// or https://. Neither links without a scheme nor emoji
//     sequences are recognised, and nothing is normalised.
//   - Duplicates are equal texts of one user, white space around them aside, within
//     [Config.DuplicateWindow]. X is fuzzier, and says not how.
//   - A nonce is refused if the same token used it before, whatever the timestamp. RFC 5849 would
//     allow it again with another timestamp; a client that does so is wrong all the same.
//   - The tolerated clock skew (5 minutes) and the 400 for an empty text are guesses.
//   - A refresh leaves the old access token good until it expires, and a second use of a refresh token
//     ends nothing else. Revoking a refresh token ends all
//     access tokens of its grant, revoking an access token ends it alone, and revoking what is
//     unknown is told {"revoked":true}. X documents none of it.
//   - The texts for an unknown client id, an unsupported grant type and a repeated parameter, and the
//     status 401 of unauthorized_client. Of grants there is only refresh_token.
//   - A locked user is told so in the shape of v1.1, since no answer of v2 was ever captured. The
//     x-access-level of OAuth 2.0 follows the scopes.
//   - An app with a limit of its own for app-only tokens counts those alone under it; where X's table
//     gives an app less than one of its users, nothing else makes sense.
//   - Usage counts each tweet returned each time, at once; X counts it once a day, and minutes later.
//   - There is no media, so every media id is unknown. Edits are refused as for an account without
//     Premium. community_id, card_uri, direct_message_deep_link and geo are checked for their form
//     and then ignored. Query parameters that the sandbox could not honour are refused with 400.
//   - The text of an answer is HTML-escaped, but its links are not replaced by t.co.
package sandbox
