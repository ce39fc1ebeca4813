//go:build soak

package jobs

import (
	"fmt"
	"testing"
)

// Twenty scenarios, and more rows in each.
func TestSoakForecastHolds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("Seed", seed+1), func(t *testing.T) {
			t.Parallel()
			forecastHolds(t, seed+1, 150)
		})
	}
}
