// Package store holds every SQL statement that the program runs: the rows of tweets, deletions,
// accounts, apps, quotas, requests and workers, and their guarded transitions.
//
// One query is one exported function, which takes the connection or the transaction as an argument.
// A function that changes state says which state it expects; rows that are no longer in it come
// back as [ErrLostRace], never as silence. Times come from the database's clock
// (tweetqueue.clock()), so that every worker agrees on them.
//
// What a row goes through, and who moves it:
//
//	scheduled -> sending                     StartRequests   (claim)
//	scheduled -> scheduled                   WaitRows        (claim: it must wait, and says for what)
//	scheduled -> missed | failed             CloseRows       (claim)
//	sending, unconfirmed -> any answer's     Settle          (settle)
//	sending -> unconfirmed                   TakeOver        (its worker died)
//	scheduled -> cancelled                   Cancel          (a person)
//
// Locks are taken in one order: tweets or deletions by id, with those after them in a thread where
// these will be woken; quotas by id; requests; river_job; accounts and apps last. A claim waits for no
// row, account or app that is locked, but looks again a little later.
//
// The package knows nothing of X beyond ids and names, imports neither twitter nor jobs, and logs
// nothing.
package store
