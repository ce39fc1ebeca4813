// Command enqueue is the person's command line: it writes tweets, retweets and deletions into the queue, shows
// and cancels them, and adds the accounts they are for.
//
// It sends nothing to X but the one request that tells whose tokens it was given. It knows rows
// through package store, X through package twitter, and of package jobs the forecast.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones by IANA name, also where the machine has none

	"tweetqueue/cmd/internal/setup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(setup.ExitCode(err))
}
