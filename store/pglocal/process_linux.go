package pglocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openPidfd returns nil where the kernel is too old or a sandbox forbids it. The descriptor is
// non-blocking so that the Go poller waits on it: no thread, and a deadline can end the wait.
func openPidfd(pid int) *os.File {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))
}

// pidfdReadable asks without waiting: a pidfd is readable once its process has ended, whether
// or not its parent has taken note.
func pidfdReadable(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(polled, 0)
	return err == nil && n == 1
}

func pidfdEnded(pidfd *os.File) bool {
	return pidfdReadable(pidfd.Fd())
}

// waitPidfd blocks until the process has ended, which it reports, or ctx has.
func waitPidfd(ctx context.Context, pidfd *os.File) bool {
	conn, err := pidfd.SyscallConn()
	if err != nil || pidfd.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	stop := context.AfterFunc(ctx, func() { _ = pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return conn.Read(pidfdReadable) == nil
}

// pidGone reports whether no process has the number, or only one that has ended already and
// waits for its parent.
func pidGone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	_, state, err := procStat(pid)
	return err == nil && (state == 'Z' || state == 'X')
}

// identify says what the process is to the instance with the given data directory. Where /proc
// hides the answer it says server: the file of a living server must never be removed.
func identify(_ context.Context, pid int, data string) kind {
	if pidGone(pid) {
		return gone
	}
	name, _, err := procStat(pid)
	if err != nil {
		return server
	}
	if !mayBePostgres(name) {
		return other
	}
	// A PostgreSQL server stays in its data directory, and so do all its children.
	there, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return server
	}
	here, err := os.Stat(data)
	if err == nil && !os.SameFile(there, here) {
		return other
	}
	return server
}

// procStat reads the program's name and the state letter from /proc/PID/stat, whose name field
// is in parentheses and may contain any character.
func procStat(pid int) (name string, state byte, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, err
	}
	first, last := bytes.IndexByte(stat, '('), bytes.LastIndex(stat, []byte(") "))
	if first < 0 || last < first || last+2 >= len(stat) {
		return "", 0, fmt.Errorf("unreadable /proc/%d/stat", pid)
	}
	return string(stat[first+1 : last]), stat[last+2], nil
}

// mayBePostgres allows for the names that distributions give the binary (".postgres-wrapp").
func mayBePostgres(name string) bool {
	return strings.Contains(name, "postgres") || strings.Contains(name, "postmaster")
}
