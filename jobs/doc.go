// Package jobs works the rows of store through the client of twitter: it decides when, whether and
// what next. It is the only place where store and twitter meet.
//
// A River job is a wake-up for one row. Working it goes one way:
//
//	claim    one transaction: lock the row, decide on it, take a place in its quotas, write the
//	         request with its exact body, make the row sending (claim.go)
//	send     no transaction: the lease is looked at right before the first byte (send.go)
//	settle   one transaction: record the answer, bring the row to what follows (settle.go)
//
// A row that may be on X is unconfirmed, and its next job looks it up, in the same three steps (lookup.go):
//
//	claim    one transaction: lock the account's doubts, write the look-up's request, put the next one off
//	look     no transaction: read the account's timeline, or the tweet to delete
//	settle   one transaction: record the answer, decide on each doubt (doubt.go)
//
// If the process dies before the commit of a claim, the row is as it was and gets another job. If it dies
// after that, a worker finds the row sending under a lease that is dead and takes it over: a tweet becomes
// unconfirmed, for it may have reached X; a deletion or a retweet is repeated. If it dies in a look-up, that is made again.
// Nothing between claim and settle that creates a tweet is ever repeated without a look.
//
// A row that must wait is parked in the database by the statement that says so, never snoozed or
// retried by River: both would use the worker's clock, and River's attempts.
//
// Beside River's client a [Worker] runs loops: its lease (lease.go), the promoter, which
// moves parked jobs that are due to where River fetches them, what makes rows wait for a limit and lets them go on, and
// the maintenance (loops.go), which takes over
// the rows of dead workers, wakes what waited for something that is over, gives a job to due rows that lost
// theirs, and measures texts that came by SQL (measure.go). The package logs
// nothing; it tells an observer (event.go).
package jobs
