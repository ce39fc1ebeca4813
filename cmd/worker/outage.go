package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"tweetqueue/jobs"
)

const (
	// pingEvery is how often a database that is away is asked whether it is back.
	pingEvery = time.Second
	// pingTimeout bounds one such question: a server that is cut off does not answer.
	pingTimeout = 5 * time.Second
)

// outage tells once that the database is away and once that it is back. What the worker's loops and
// River say meanwhile, which is the same over and over, it keeps to itself; what is said of a row, it does
// not.
type outage struct {
	log  zerolog.Logger
	ping func(ctx context.Context) error

	suspected chan suspicion // of capacity 1

	mu   sync.Mutex // guards all below
	away bool       // also while an error is looked into,
	kept []func()   // which tell what was said meanwhile, if it turns out to be no outage
	sure bool       // it is one
}

// suspicion is an error that may be the beginning of an outage, and how to tell it if it is not.
type suspicion struct {
	err  error
	tell func()
}

// maxKept is how much is kept of what is said while an error is looked into.
const maxKept = 100

func newOutage(log zerolog.Logger, ping func(ctx context.Context) error) *outage {
	return &outage{log: log, ping: ping, suspected: make(chan suspicion, 1)}
}

// watch looks into errors until ctx ends.
func (o *outage) watch(ctx context.Context) {
	for {
		select {
		case s := <-o.suspected:
			o.waitOut(ctx, s)
		case <-ctx.Done():
			select {
			case s := <-o.suspected:
				s.tell()
			default:
			}
			tellAll(o.end())
			return
		}
	}
}

// waitOut waits until the database answers, which it may do at once: the error was that of one connection
// then.
func (o *outage) waitOut(ctx context.Context, s suspicion) {
	began := time.Now()
	if o.answers(ctx) || ctx.Err() != nil {
		tellAll(append([]func(){s.tell}, o.end()...))
		return
	}
	o.isSure()
	o.log.Error().Err(s.err).Msg("the database is away: what is due waits, and the worker tries again until it is back")
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for !o.answers(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	o.end()
	o.log.Info().Str("away_for", time.Since(began).Round(time.Second/10).String()).Msg("the database is back")
}

func (o *outage) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return o.ping(ctx) == nil
}

// end ends it, and returns what is to be told if there was none.
func (o *outage) end() (kept []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept = o.kept
	o.away, o.sure, o.kept = false, false, nil
	return kept
}

func (o *outage) isSure() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sure, o.kept = true, nil
}

func tellAll(kept []func()) {
	for _, tell := range kept {
		tell()
	}
}

// lasts reports whether the database is away, and keeps what would be said until that is certain.
func (o *outage) lasts(tell func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		o.keep(tell)
	}
	return o.away
}

// keep is called with mu locked.
func (o *outage) keep(tell func()) {
	if !o.sure && len(o.kept) < maxKept {
		o.kept = append(o.kept, tell)
	}
}

// covers reports whether an error is one of an outage, which begins with it if there is none yet. If it
// turns out to be none, it is told.
func (o *outage) covers(err error, tell func()) bool {
	if isOutage(err) {
		o.suspect(err, tell)
		return true
	}
	return false
}

// suspect has it looked into whether an error is the beginning of an outage, if there is none yet.
func (o *outage) suspect(err error, tell func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		o.keep(tell)
		return
	}
	o.away = true
	o.suspected <- suspicion{err, tell} // watch has taken the one before
}

// isOutage reports whether an error says that the database cannot be reached, or is going away or coming
// up, rather than that it answered.
func isOutage(err error) bool {
	if unconnected := new(pgconn.ConnectError); errors.As(err, &unconnected) {
		return true
	}
	if answer := new(pgconn.PgError); errors.As(err, &answer) {
		// connection_exception, and admin_shutdown, crash_shutdown, cannot_connect_now
		return strings.HasPrefix(answer.Code, "08") || strings.HasPrefix(answer.Code, "57P0")
	}
	var network net.Error // a time-out, too
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// observer is told all events but the errors that an outage covers.
func (o *outage) observer(observe func(jobs.Event)) func(jobs.Event) {
	return func(e jobs.Event) {
		if e.Type != jobs.EventError || e.RowID != 0 || !o.covers(e.Err, func() { observe(e) }) {
			observe(e)
		}
	}
}

// handler is River's, which logs nothing while the database is away: River does nothing without it.
func (o *outage) handler(next slog.Handler) slog.Handler {
	return &outageHandler{Handler: next, outage: o}
}

type outageHandler struct {
	slog.Handler

	outage *outage
}

// Handle logs the record, unless an outage covers it.
func (h *outageHandler) Handle(ctx context.Context, record slog.Record) error {
	tell := func() { _ = h.Handler.Handle(context.WithoutCancel(ctx), record.Clone()) }
	if h.outage.lasts(tell) {
		return nil
	}
	covered := false
	record.Attrs(func(attr slog.Attr) bool {
		switch value := attr.Value.Any().(type) {
		case error:
			covered = h.outage.covers(value, tell)
		case string: // River's services write their errors so: what they mean, the database tells
			if record.Level >= slog.LevelWarn && (attr.Key == "err" || attr.Key == "error") {
				h.outage.suspect(errors.New(value), tell)
				covered = true
			}
		}
		return !covered
	})
	if covered {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs keeps the outage.
func (h *outageHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &outageHandler{Handler: h.Handler.WithAttrs(attrs), outage: h.outage}
}

// WithGroup keeps the outage.
func (h *outageHandler) WithGroup(name string) slog.Handler {
	return &outageHandler{Handler: h.Handler.WithGroup(name), outage: h.outage}
}
