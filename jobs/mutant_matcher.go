//go:build mutant_matcher

package jobs

const mutantMatcher = true
