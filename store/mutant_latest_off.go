//go:build !mutant_latest

package store

// latest says in SQL that a settlement is of its row's latest request. In one build alone, with the tag
// mutant_latest, it says nothing, and bench/chaos has to notice.
const latest = ` AND t.request_id = i.request_id`
