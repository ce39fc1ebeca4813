//go:build !mutant_status

package store

// ClaimAnyStatus is true in one build alone, with the tag mutant_status: there a claim takes a row whatever
// its status, and bench/chaos has to notice.
const ClaimAnyStatus = false

// claimable is the status that a claim starts from, in SQL.
const claimable = ` AND t.status = 'scheduled'`
