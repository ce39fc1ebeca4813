//go:build mutant_lease

package jobs

const sendUnchecked = true
