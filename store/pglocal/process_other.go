//go:build !linux

package pglocal

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// There are no pidfds here: process.wait asks every pollEvery instead.
func openPidfd(int) *os.File                   { return nil }
func pidfdEnded(*os.File) bool                 { return false }
func waitPidfd(context.Context, *os.File) bool { return false }
func pidGone(pid int) bool                     { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// identify says what the process is to the instance. Without /proc only ps knows a program's
// name; where it does not answer the process counts as the server, whose file must never be
// removed.
func identify(ctx context.Context, pid int, _ string) kind {
	if pidGone(pid) {
		return gone
	}
	out, err := exec.CommandContext(ctx, "ps", "-p", strconv.Itoa(pid), "-o", "stat=", "-o", "comm=").Output()
	if err != nil {
		return server
	}
	state, name, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	switch {
	case strings.HasPrefix(state, "Z"):
		return gone
	case strings.Contains(name, "postgres"), strings.Contains(name, "postmaster"):
		return server
	default:
		return other
	}
}
