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
// If the process dies before the commit of the claim, the row is as it was and gets another job.
// If it dies after that, the row is found sending by a worker whose lease is dead, and becomes
// unconfirmed: it may have reached X, so it is not sent again. Nothing between claim and settle is
// ever repeated by itself.
//
// A row that must wait is parked in the database by the statement that says so, never snoozed or
// retried by River: both would use the worker's clock, and River's attempts.
//
// Beside River's client a [Worker] runs loops: its lease (lease.go), the promoter, which
// moves parked jobs that are due to where River fetches them, and the maintenance (loops.go), which takes over
// the rows of dead workers, wakes what waited for something that is over, gives a job to due rows that lost
// theirs, and measures texts that came by SQL (measure.go). The package logs
// nothing; it tells an observer (event.go).
package jobs
