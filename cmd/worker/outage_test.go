package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tweetqueue/jobs"
	"tweetqueue/store/storetest"
)

// TestOutage: a database that is away for a while is told once, and so is its return; then all goes on.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	door := newDoor(t, b.settings["DATABASE_URL"])
	w := start(t, b.settings.with("DATABASE_URL", door.url))
	w.awaitEvent(t, storetest.Tweet(t, b.db, "before", 0), "done")
	door.shut()
	w.awaitText(t, "the database is away")
	door.awaitRefused(t, 25)
	door.open()
	w.awaitText(t, `"message":"the database is back"`)
	w.awaitEvent(t, storetest.Tweet(t, b.db, "after", 0), "done")
	w.end(t)

	before, rest, found := strings.Cut(w.String(), "the database is away")
	require.True(t, found)
	during, after, found := strings.Cut(rest, "the database is back")
	require.True(t, found)
	require.Empty(t, complaints(during))
	// A few errors are told if the database answers yet when it is asked; and who finds out late that a connection is gone may
	// begin an outage that is over at once. 25 tries failed.
	require.LessOrEqual(t, len(complaints(before)), 5)
	require.LessOrEqual(t, len(complaints(after)), 5)
}

// complaints are the lines of a log that are more than informative.
func complaints(log string) []string {
	var all []string
	for line := range strings.Lines(log) {
		var logged event
		if json.Unmarshal([]byte(line), &logged) == nil && logged.Level != "info" {
			all = append(all, line)
		}
	}
	return all
}

// TestOutageOfOneConnection is none: the error is told as it is.
func TestOutageOfOneConnection(t *testing.T) {
	t.Parallel()
	output := &record{}
	told := make(chan jobs.Event, 1)
	o := newOutage(zerolog.Nop(), func(context.Context) error { return nil })
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { o.watch(ctx) })
	for range 3 {
		want := jobs.Event{Type: jobs.EventError, JobID: 1, Err: io.ErrUnexpectedEOF}
		o.observer(func(e jobs.Event) { told <- e })(want)
		require.Equal(t, want, <-told)
	}
	slog.New(o.handler(zerolog.NewSlogHandler(zerolog.New(output)))).Error("cut off", "err", io.EOF)
	require.Contains(t, output.awaitText(t, "cut off"), `"err":"EOF"`)
	cancel()
	watching.Wait()
}

// TestOutageInWords: River's services write their errors as text. The database tells what they mean, and what is said before it has
// is told if it is there, and not if it is away.
func TestOutageInWords(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]error{"Away": io.EOF, "There": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, asked, answer := &record{}, make(chan bool), make(chan error)
			log := zerolog.New(output)
			o := newOutage(log, func(context.Context) error {
				asked <- true
				return <-answer
			})
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			watching.Go(func() { o.watch(ctx) })
			river := slog.New(o.handler(zerolog.NewSlogHandler(log)))
			river.Error("cleaner", "error", "in words")
			<-asked
			river.Error("completer", "err", "in other words")
			require.Empty(t, output.String())
			answer <- away
			if away != nil {
				output.awaitText(t, "the database is away")
				<-asked
				answer <- nil
				output.awaitText(t, "the database is back")
				require.NotContains(t, output.String(), "er\"")
			} else {
				output.awaitText(t, "cleaner")
				output.awaitText(t, "completer")
			}
			cancel()
			watching.Wait()
		})
	}
}

// TestOutageCovers: what an outage explains is kept back while it lasts, and nothing else.
func TestOutageCovers(t *testing.T) {
	t.Parallel()
	var seen []jobs.Event
	var logged strings.Builder
	o := newOutage(zerolog.Nop(), nil) // nobody looks into it, so that it lasts
	observe := o.observer(func(e jobs.Event) { seen = append(seen, e) })
	river := slog.New(o.handler(slog.NewTextHandler(&logged, nil))).With("a", "b").WithGroup("g")

	answered := jobs.Event{Type: jobs.EventError, Err: fmt.Errorf("claim: %w", &pgconn.PgError{Code: "40001"})}
	observe(answered)
	river.Error("about a row", "err", errors.New("not the database"))
	require.Equal(t, []jobs.Event{answered}, seen)
	require.Contains(t, logged.String(), "about a row")

	river.Error("cut off", "err", fmt.Errorf("listen: %w", &pgconn.PgError{Code: "57P01"}))
	river.Error("cut off", "err", "the same, as text")
	observe(jobs.Event{Type: jobs.EventError, JobID: 1, Err: fmt.Errorf("claim: %w", context.DeadlineExceeded)})
	require.NotContains(t, logged.String(), "cut off")
	require.Len(t, seen, 1)

	for _, e := range []jobs.Event{
		answered, {Type: jobs.EventError, RowID: 1, Err: io.EOF}, {Type: jobs.EventUnconfirmed, RowID: 1}, {Type: jobs.EventError, Err: errors.New("a panic")},
	} {
		observe(e)
		require.Equal(t, e, seen[len(seen)-1])
	}
	require.Len(t, seen, 5)
}

// door stands between a worker and its database.
type door struct {
	url     string
	refused chan struct{} // one for each connection that was refused

	mu     sync.Mutex
	closed bool
	links  map[net.Conn]bool
}

func newDoor(t *testing.T, database string) *door {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	through := url.URL{Scheme: "postgres", User: url.User(config.User), Host: listener.Addr().String(), Path: config.Database, RawQuery: "sslmode=disable"}
	d := &door{url: through.String(), refused: make(chan struct{}, 10_000), links: map[net.Conn]bool{}}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { d.serve(client, network, address) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		d.shut()
		serving.Wait()
	})
	return d
}

func (d *door) serve(client net.Conn, network, address string) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(context.Background(), network, address)
	if err != nil {
		return
	}
	defer server.Close()
	if !d.enter(client, server) {
		d.refused <- struct{}{}
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
	_ = server.Close()
	back.Wait()
}

func (d *door) enter(links ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, link := range links {
		d.links[link] = true
	}
	return !d.closed
}

// shut cuts all connections, and refuses others until open.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for link := range d.links {
		_ = link.Close()
	}
	clear(d.links)
}

func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = false
}

func (d *door) awaitRefused(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-d.refused:
		case <-t.Context().Done():
			require.Fail(t, "the test ends")
		}
	}
}
