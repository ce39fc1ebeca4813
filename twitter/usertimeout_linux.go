package twitter

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundDelivery sets TCP_USER_TIMEOUT (tcp(7)) on a new connection, for a net.Dialer.
func boundDelivery(_, _ string, conn syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deliveryTimeout.Milliseconds()))
	}
	if err := conn.Control(set); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return os.NewSyscallError("set TCP_USER_TIMEOUT", err)
}
