package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"tweetqueue/jobs"
)

// newLogger logs to w: lines for people on a terminal, JSON otherwise, unless format says so.
func newLogger(w io.Writer, format, level string) zerolog.Logger {
	if format == "console" || (format == "" && isTerminal(w)) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000"}
	}
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(parsed).Hook(zerolog.HookFunc(timestamp))
}

// timestamp gives a line its time to the millisecond. zerolog's own has seconds, unless a variable of
// the whole process says otherwise.
func timestamp(line *zerolog.Event, _ zerolog.Level, _ string) {
	line.Str(zerolog.TimestampFieldName, time.Now().Format("2006-01-02T15:04:05.000Z07:00"))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// riverLogger gives River the logger, from warnings up: what River has to say below that is told by
// the worker's own events.
func riverLogger(log zerolog.Logger, outage *outage) *slog.Logger {
	return slog.New(outage.handler(zerolog.NewSlogHandler(log.Level(max(log.GetLevel(), zerolog.WarnLevel)))))
}

// logEvents returns the observer that logs a worker's events: ids, never a text.
func logEvents(log zerolog.Logger) func(jobs.Event) {
	return func(e jobs.Event) {
		line := log.WithLevel(eventLevel(e))
		if line == nil {
			return
		}
		if e.Kind != "" {
			line = line.Str("kind", string(e.Kind)).Int64("row_id", e.RowID)
		}
		if e.RequestID != 0 {
			line = line.Int64("request_id", e.RequestID)
		}
		if e.JobID != 0 {
			line = line.Int64("job_id", e.JobID)
		}
		if e.Account != "" {
			line = line.Str("account", e.Account)
		}
		if e.TweetID != "" {
			line = line.Str("tweet_id", e.TweetID)
		}
		if !e.DueAt.IsZero() {
			line = line.Time("due_at", e.DueAt)
		}
		if e.Lateness != 0 {
			line = line.Float64("lateness_ms", float64(e.Lateness.Microseconds())/1000)
		}
		if e.WaitingFor != "" {
			line = line.Str("waiting_for", string(e.WaitingFor))
		}
		if e.Until != nil {
			line = line.Str("until", e.Until.UTC().Format(time.RFC3339Nano))
		}
		if e.Reason != "" {
			line = line.Str("reason", e.Reason)
		}
		if e.Err != nil {
			line = line.Err(e.Err)
		}
		line.Msg(string(e.Type))
	}
}

// eventLevel is how urgent an event is. A doubt is a warning when it begins and when it is left to a
// person; in between it is being looked up.
func eventLevel(e jobs.Event) zerolog.Level {
	switch e.Type {
	case jobs.EventReady, jobs.EventDue, jobs.EventDone, jobs.EventWaiting:
		return zerolog.InfoLevel
	case jobs.EventUnconfirmed:
		if e.LookedUp && e.Until != nil {
			return zerolog.InfoLevel
		}
		return zerolog.WarnLevel
	case jobs.EventFailed, jobs.EventMissed, jobs.EventHeld, jobs.EventBudget:
		return zerolog.WarnLevel
	case jobs.EventError, jobs.EventPostedTwice:
		return zerolog.ErrorLevel
	}
	return zerolog.ErrorLevel
}
