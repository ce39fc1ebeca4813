//go:build !mutant_lease

package jobs

// sendUnchecked is true in one build alone, with the tag mutant_lease: there neither the lease nor send_by is
// looked at before the first byte, and bench/chaos has to notice.
const sendUnchecked = false
