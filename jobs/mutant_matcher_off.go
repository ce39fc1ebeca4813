//go:build !mutant_matcher

package jobs

// mutantMatcher is true in a build that bench/chaos must find out: nothing ever matches.
const mutantMatcher = false
