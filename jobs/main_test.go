package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
)

// childEnv makes this binary a worker process instead of a run of tests; it holds a child as JSON.
const childEnv = "TWEETQUEUE_TEST_WORKER"

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		if err := runChild(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := storetest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// child is what a worker process of a test is told.
type child struct {
	Name, Database, Key, X string
}

// runChild runs a worker until it is killed, or told to stop.
func runChild(config string) error {
	var c child
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ring, err := store.ParseKeyring(store.Secret(c.Key))
	if err != nil {
		return err
	}
	pool, err := store.Connect(ctx, store.Secret(c.Database), c.Name, 8)
	if err != nil {
		return err
	}
	defer pool.Close()
	worker, err := New(Config{
		Keyring: ring, Logger: slog.New(slog.DiscardHandler), Name: c.Name, Pool: pool,
		X: twitter.Config{BaseURL: c.X},
	})
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}
