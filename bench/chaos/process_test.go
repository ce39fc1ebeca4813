package chaos

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is a worker in a process of its own, which dies as processes do.
type process struct {
	child

	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	err  error         // how, once it is gone
}

// spawn starts a worker process that writes to log.
func spawn(t testing.TB, c child, log *os.File) *process {
	t.Helper()
	p, err := start(c, log)
	require.NoError(t, err)
	t.Cleanup(p.kill)
	return p
}

func start(c child, log *os.File) (*process, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &process{child: c, cmd: exec.Command(os.Args[0]), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.gone)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// signal sends the process a signal, unless it is gone.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process without its having a say, and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// killed reports whether a process that is gone was killed, by itself or by somebody.
func (p *process) killed() bool {
	ended := new(exec.ExitError)
	if !errors.As(p.err, &ended) {
		return false
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
