//go:build !soak

package limits

// scenarios is how many are played: as many as a test may take time for.
const scenarios = 4
