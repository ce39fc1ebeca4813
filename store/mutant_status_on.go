//go:build mutant_status

package store

const ClaimAnyStatus = true

const claimable = ``
