package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tweetqueue/jobs"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
)

// childEnv makes this binary a worker process instead of a run of tests; it holds a child as JSON.
const childEnv = "TWEETQUEUE_CHAOS_WORKER"

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		if err := runChild(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(storetest.Main(m))
}

// child is what a worker process is told.
type child struct {
	Name     string        `json:"name"`
	Database string        `json:"database"`
	Key      string        `json:"key"`
	X        string        `json:"x"`   // the base URL
	Via      string        `json:"via"` // the address that is dialled instead; empty: X's own
	Journal  string        `json:"journal"`
	Workers  int           `json:"workers"`
	Skew     time.Duration `json:"skew"` // of the database's clock
	Doom     *doom         `json:"doom,omitempty"`
	Pace     pace          `json:"pace"`
}

// runChild runs a worker until it dies, or is told to stop. Nothing in the worker knows that it is
// watched: the database's driver and the HTTP client tell where it is.
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
	pool, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	journal, err := c.openJournal()
	if err != nil {
		return err
	}
	settings := jobs.Config{
		Keyring: ring, Logger: slog.New(slog.DiscardHandler), Name: c.Name, Pool: pool, Workers: c.Workers,
		Observe: tell, StopTimeout: 2 * c.Pace.Timeout,
		X: twitter.Config{BaseURL: c.X, HTTPClient: newClient(c.Via, c.Doom, journal), Timeout: c.Pace.Timeout},
	}
	if c.Skew != 0 {
		settings.Time = skewed{c.Skew}
	}
	worker, err := jobs.New(c.Pace.lookUps(settings))
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

// connect opens store's pool again, watched.
func (c child) connect(ctx context.Context) (*pgxpool.Pool, error) {
	plain, err := store.Connect(ctx, store.Secret(c.Database), c.Name, int32(c.Workers+6))
	if err != nil {
		return nil, err
	}
	config := plain.Config()
	plain.Close()
	config.ConnConfig.Tracer = newTracer(c.Doom)
	return pgxpool.NewWithConfig(ctx, config)
}

func (c child) openJournal() (*journal, error) {
	if c.Journal == "" {
		return nil, nil //nolint:nilnil // nobody reads one
	}
	file, err := os.OpenFile(c.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{file: file, most: c.Pace.Timeout * 3 / 4}, nil
}

// tell writes a worker's events for a person who looks for what went wrong.
func tell(e jobs.Event) {
	line := e.At.Format("15:04:05.000") + " " + string(e.Type)
	for name, value := range map[string]int64{"row": e.RowID, "request": e.RequestID, "job": e.JobID} {
		if value != 0 {
			line += " " + name + "=" + strconv.FormatInt(value, 10)
		}
	}
	line += fmt.Sprintf(" %s %s %s", e.WaitingFor, e.TweetID, e.Reason)
	if e.Err != nil {
		line += " error: " + e.Err.Error()
	}
	fmt.Fprintln(os.Stderr, line)
}

// skewed is River's clock beside a database whose clock is off: what River asks the database for is
// by the database's clock, what it measures itself is by the worker's.
type skewed struct{ skew time.Duration }

func (skewed) Now() time.Time { return time.Now() }

func (s skewed) NowOrNil() *time.Time {
	now := time.Now().Add(s.skew)
	return &now
}
