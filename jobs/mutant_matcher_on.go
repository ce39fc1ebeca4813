//go:build mutant_matcher

package jobs

const matchNothing = true
