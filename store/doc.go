// Package store holds every SQL statement that the program runs: the rows of tweets, deletions,
// retweets, accounts, apps, quotas, requests and workers, and their guarded transitions.
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
//	scheduled -> sending -> posted           PostMade        (claim: X made it already)
//	sending, unconfirmed -> any answer's     Settle          (settle; also what was taken over meanwhile)
//	sending -> scheduled                     Release         (a claim that was certainly not sent)
//	sending -> unconfirmed                   TakeOver        (a tweet; its worker died)
//	sending -> scheduled                     TakeOver        (a deletion or a retweet; likewise)
//	unconfirmed -> unconfirmed               LookUpStart     (claim of a look-up: the next one comes later)
//	unconfirmed -> any but sending           Resolve         (settle of a look-up)
//	unconfirmed -> done, scheduled, missed   ResolveByHand   (a person)
//	scheduled -> cancelled                   Cancel          (a person)
//
// An unconfirmed row is looked up at its next_attempt_at; if that is null, a person decides.
//
// What ends a wait (of a thread, a doubt, an account, an app) marks its own row and touches no other: the
// workers wake what waited ([Wake]).
//
// Locks are taken in one order: quotas, accounts' by id and then apps' (but for a window that was added meanwhile: [QuotasLock]); spending, by account, and app_spending; quota_waits;
// requests; river_job (before quotas by a take-over, of jobs that nobody else ends); budget_waits; accounts and apps last. Nothing waits for a row that is locked: an application may hold it for as long as it likes. A
// claim looks again a little later, a settlement is tried again ([ErrRowLocked]), a wake-up passes it over. So rows may be locked
// before the quotas, as a settlement does, and after them, as a claim does.
// Two statements of people take locks the other way round, and may be told of a deadlock, after which a
// worker tries its part again: a change of an account's limits_preset (accounts, then quotas) and of its
// username (accounts, then rows). A change of a price, and an app's first budget, lock all of spending.
//
// The package knows nothing of X beyond ids and names, imports neither twitter nor jobs, and logs
// nothing.
package store
