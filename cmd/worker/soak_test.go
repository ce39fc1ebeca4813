//go:build soak

package main

import (
	"testing"
	"time"
)

// TestSoakOpenTransaction is the long form of TestOpenTransaction.
func TestSoakOpenTransaction(t *testing.T) {
	t.Parallel()
	requireOthersOnTime(t, 1000, 10*time.Second)
}
