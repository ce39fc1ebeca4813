package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tweetqueue/jobs"
	"tweetqueue/store"
)

// printer prints a demo's lines for people. Events come from many goroutines.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func newPrinter(w io.Writer) *printer { return &printer{w: w} }

const clockFormat = "15:04:05.000"

func (p *printer) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

func (p *printer) enqueued(kind store.Kind, id int64, due time.Time, what string) {
	p.printf("enqueued  %-10s due %s  %s\n", name(kind, id), due.Local().Format(clockFormat), what)
}

func (p *printer) event(e jobs.Event) {
	at := e.At.Local().Format(clockFormat)
	switch e.Type {
	case jobs.EventDue:
		p.printf("%s  %-10s due\n", at, name(e.Kind, e.RowID))
	case jobs.EventDone:
		p.printf("%s  %-10s %s, tweet id %s, %s after its due time\n",
			at, name(e.Kind, e.RowID), e.Kind.Done(), e.TweetID, e.Lateness.Round(time.Millisecond))
	case jobs.EventWaiting:
		until := ""
		if e.Until != nil {
			until = " until " + e.Until.Local().Format(clockFormat)
		}
		p.printf("%s  %-10s waits for %s%s: %s\n", at, name(e.Kind, e.RowID), e.WaitingFor, until, e.Reason)
	case jobs.EventFailed, jobs.EventMissed, jobs.EventUnconfirmed:
		p.printf("%s  %-10s %s: %s\n", at, name(e.Kind, e.RowID), e.Type, e.Reason)
	case jobs.EventHeld:
		p.printf("%s  account %s is held: %s\n", at, e.Account, e.Reason)
	case jobs.EventBudget:
		p.printf("%s  %s\n", at, e.Reason)
	case jobs.EventReady:
	case jobs.EventPostedTwice, jobs.EventError: // logged as errors
	}
}

// summary says what became of all rows.
func (p *printer) summary(entries []store.Entry) {
	counts := map[store.Status]int{}
	var lateness []time.Duration
	for _, e := range entries {
		counts[e.Status]++
		if e.DoneAt != nil {
			lateness = append(lateness, e.DoneAt.Sub(e.DueAt))
		}
	}
	p.printf("\n%d tweets posted, %d deleted, %d not done", counts[store.Posted], counts[store.Deleted],
		len(entries)-counts[store.Posted]-counts[store.Deleted])
	if len(lateness) > 0 {
		slices.Sort(lateness)
		p.printf("; from due to confirmed: median %s, longest %s",
			lateness[len(lateness)/2].Round(time.Millisecond), lateness[len(lateness)-1].Round(time.Millisecond))
	}
	p.printf("\n")
}

func name(kind store.Kind, id int64) string { return fmt.Sprintf("%s %d", noun(kind), id) }

func noun(kind store.Kind) string {
	return map[store.Kind]string{store.PostTweet: "tweet", store.DeleteTweet: "deletion", store.Retweet: "retweet"}[kind]
}
