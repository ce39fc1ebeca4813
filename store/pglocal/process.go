package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// kind says what is known of the process that postmaster.pid names.
type kind int

const (
	// gone: there is no such process, or it has ended and waits for its parent to notice.
	gone kind = iota
	// other: it is certainly another program, or the server of another directory.
	other
	// server: it is, or may be, the server of this directory.
	server
)

// process is a server (or an initdb) that may or may not be a child of this process. One
// goroutine uses it at a time.
type process struct {
	pid    int
	handle *os.Process         // signals through a pidfd where there are any, so never a stranger
	pidfd  *os.File            // readable once the process has ended; nil: ask every pollEvery
	ended  bool                // found to have ended
	status *syscall.WaitStatus // how, if it was a child of ours
}

// pollEvery is how often an end is looked for where the kernel cannot announce it: on macOS,
// on a Linux before 5.10, and in sandboxes that forbid pidfd_open.
const pollEvery = 250 * time.Millisecond

// openProcess is for a process that lives now; what it returns stays bound to that process even
// if its number is given to another later.
func openProcess(pid int) (*process, error) {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("find process %d: %w", pid, err)
	}
	return &process{pid: pid, handle: handle, pidfd: openPidfd(pid)}, nil
}

// release gives the handles back. The process lives on.
func (p *process) release() {
	_ = p.handle.Release()
	if p.pidfd != nil {
		_ = p.pidfd.Close()
	}
}

// exited reports, without waiting, whether the process has ended, and reaps it if it was a child.
func (p *process) exited() bool {
	if p.ended {
		return true
	}
	var status syscall.WaitStatus
	pid, err := reap(p.pid, &status)
	switch {
	case pid == p.pid:
		p.ended, p.status = true, &status
	case err == nil: // a child of ours that still runs
	case p.pidfd != nil:
		p.ended = pidfdEnded(p.pidfd)
	default:
		p.ended = pidGone(p.pid)
	}
	return p.ended
}

// reap is wait4 without waiting: pid 0 for a child that still runs, an error for no child.
func reap(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		got, err := syscall.Wait4(pid, status, syscall.WNOHANG, nil)
		if !errors.Is(err, syscall.EINTR) {
			return got, err
		}
	}
}

// wait blocks until the process has ended, or ctx has, whose error it then returns.
func (p *process) wait(ctx context.Context) error {
	if p.pidfd != nil && waitPidfd(ctx, p.pidfd) {
		p.exited()
		return nil
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !p.exited() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// how describes the end for an error message.
func (p *process) how() string {
	switch {
	case p.status == nil:
		return "ended"
	case p.status.Signaled():
		return "was ended by signal " + p.status.Signal().String()
	default:
		return fmt.Sprintf("exited with status %d", p.status.ExitStatus())
	}
}

// rung is one step of the ladder that ends a server.
type rung struct {
	signal syscall.Signal
	wait   time.Duration
}

// defaultLadder: SIGINT is PostgreSQL's fast shutdown, which writes a checkpoint first; SIGQUIT
// gives that up, and the next start recovers from the log; SIGKILL is for a frozen server.
func defaultLadder() []rung {
	return []rung{
		{syscall.SIGINT, 30 * time.Second},
		{syscall.SIGQUIT, 10 * time.Second},
		{syscall.SIGKILL, 10 * time.Second},
	}
}

// stop ends the process by the ladder. It is not bounded by the caller's context: a server that
// is told to stop and then left alone would be an orphan.
func (p *process) stop(ladder []rung) error {
	for _, r := range ladder {
		if p.exited() {
			return nil
		}
		if err := p.handle.Signal(r.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("send %s to process %d: %w", r.signal, p.pid, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.wait)
		err := p.wait(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end: it needs a look by hand (ps -p %d)", p.pid, p.pid)
}
