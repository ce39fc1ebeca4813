//go:build soak

package limits

// scenarios is how many are played.
const scenarios = 200
