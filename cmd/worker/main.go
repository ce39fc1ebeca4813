// Command worker is the daemon that posts and deletes tweets on X when their time comes, and its
// operator's verbs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // zones by IANA name, also where the machine has none

	"tweetqueue/cmd/internal/setup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, func() { // the first signal stops the worker gracefully, a second one kills it
		signal.Ignore(syscall.SIGHUP) // but a terminal that closes sends it more than once
		stop()
	})
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker: "+strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	os.Exit(setup.ExitCode(err))
}

// stopSignals are those that stop the worker. SIGHUP is not among them under nohup.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}
