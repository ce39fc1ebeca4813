//go:build !linux

package twitter

import "syscall"

// boundDelivery does nothing: only Linux lets a connection say how long its bytes may go unacknowledged.
func boundDelivery(_, _ string, _ syscall.RawConn) error { return nil }
