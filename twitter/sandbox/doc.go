// Package sandbox is a local stand-in for the X API v2: real HTTP, real OAuth, real limits,
// and faults on demand. The demo serves it; tests and benchmarks send to it. It shares no code
// with any client, so that a client and its stand-in cannot make the same mistake.
//
// # What it does as X does
//
// It posts, deletes, retweets and reads tweets: its routes are those of [Routes]. Each
// request passes these stages, and the first that objects answers:
//
//	edge      5xx                (only by a [Fault])
//	auth      401                signature, timestamp, nonce; token unknown, expired or revoked
//	billing   402, 403, 429      [Config.Billing]
//	limits    429                [Config.Limits]
//	access    403                app without project, wrong kind of token, suspended or locked
//	                             user, read-only app, missing scope
//	request   400                content type, JSON, fields, ids, query
//	business  403, 404           reply to a missing tweet, length, self-serve rules, duplicate,
//	                             deletion; 400 for a second retweet
//	done      200, 201
//
// X does not document its order; this one is the order that its captured answers allow. Every
// request that gets past billing counts against the limits, also one that is refused later. A 429
// itself is not counted. [Request.CountedAt] is when a request was.
//
// What X answers with data and a status of success it bills ([Config.Billing], [Request.Cost],
// [Server.Billed]), and it refuses an app whose credits are gone or whose cycle has reached its spend
// cap: 402 CreditsDepleted, 403 SpendCapReached with the reset_date. By default there are prices and
// neither. An app whose balance is above 0 is served, whatever the request costs.
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
// answer; each that matches, at a rate, or by a script. [Config.ArrivalDelay] has requests arrive
// late, and [Server.Spend] is another client that shares the limits. [Server.Requests],
// [Server.Tweets], [Server.Retweets] and [Server.Billed] tell what really happened. [Config.Control]
// offers faults, the record and bills over HTTP.
//
// # Where it is a guess, or simpler than X
//
//   - Duplicates are equal texts of one user, in Unicode's normal form C and white space around
//     them aside, within [Config.DuplicateWindow]. X is fuzzier, and says not how.
//   - Any sequence of the form of an emoji counts 2; X has a list. Top-level domains are those of
//     the public suffix list. A text with one of the three code points that twitter-text accepts in
//     no tweet is refused like one that is too long.
//   - A nonce is refused if the same token used it before, whatever the timestamp. RFC 5849 would
//     allow it again with another timestamp; a client that does so is wrong all the same.
//   - The tolerated clock skew (5 minutes) and the 400 for an empty text are guesses.
//   - A refresh leaves the old access token good until it expires, and a second use of a refresh token
//     ends nothing else. Revoking a refresh token ends all access tokens of its grant, revoking an
//     access token ends it alone, and revoking what is unknown is told {"revoked":true}. X documents
//     none of it.
//   - The texts for an unknown client id, an unsupported grant type and a repeated parameter, and the
//     status 401 of unauthorized_client. Of grants there is only refresh_token.
//   - A locked user is told so in the shape of v1.1, since no answer of v2 was ever captured. The
//     x-access-level of OAuth 2.0 follows the scopes.
//   - An app with a limit of its own for app-only tokens counts those alone under it; where X's table
//     gives an app less than one of its users, nothing else makes sense.
//   - Usage counts each tweet returned each time, at once; X counts it once a day, and minutes later.
//   - There is no media, so every media id is unknown, and nobody is tagged. Edits are refused as
//     for an account without Premium, and edit_controls say so. community_id and card_uri are
//     stored and read back unchecked. Fields of tweets that the sandbox has no value for, such as
//     source, are accepted and absent; counts other than retweet_count are 0. Query parameters that
//     it could not honour are refused with 400.
//   - entities count the code points of the text as it stands in the answer, escaped. Of entities
//     there are urls alone. A t.co link depends on nothing but the URL.
//   - Text over 280 is cut to 280, with an ellipsis and a link to the tweet; that of a retweet to
//     140. note_tweet is whole.
//   - The 400 for a second retweet was seen by many, its body by none; the 404 for the retweet of a
//     missing tweet, and the 200 for undoing what was not retweeted, are guesses.
//   - The timeline looks at the latest 3,200 tweets, or 800 without replies, before it leaves out
//     any. since_id and start_time, or until_id and end_time, hold together where both are given.
//   - X's documents give prices and few rules. A reply is summoned if the tweet that it answers is
//     another user's and mentions or quotes the author. A text with a link costs what a link costs,
//     also in a summoned reply; links elsewhere in the request cost nothing more. Deletions and undone
//     retweets are billed also if there was nothing to do, since their answer has data. A tweet that
//     was created and answered with an error by a [Fault] is not billed; one whose answer got lost is.
//   - A tweet or user that is read is billed once per UTC day, app and route, whichever of the app's
//     users reads it. GET /2/users/me reads a user.
//   - An app that may spend nothing more still has GET /2/users/me, free of charge, as is reported of
//     one without credits, and GET /2/usage/tweets. Where both hold, X says that the credits are gone,
//     not that the spend cap was reached.
//   - The monthly cap on tweets that are read stops reads of tweets alone. Its month is the calendar's.
//   - The names of the post vocabulary beyond those that were published follow the same pattern.
package sandbox
