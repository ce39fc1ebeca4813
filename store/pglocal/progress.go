package pglocal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"
)

// errStalled says that a wait was given up because nothing moved for its limit.
var errStalled = errors.New("no progress")

// progress watches the server's log for signs that whoever writes it is getting on. A crash
// recovery may take many minutes, in which the server accepts nobody; it says every
// 10 seconds how far it has come (log_startup_progress_interval), so silence is what counts,
// not the total time.
type progress struct {
	limit  time.Duration // longest silence
	moved  time.Time     // when something last moved
	offset int64         // bytes of the log already seen
	path   string
}

func (in *instance) progress(limit time.Duration) *progress {
	p := &progress{limit: limit, moved: time.Now(), path: in.path("postgres.log")}
	if info, err := os.Stat(p.path); err == nil {
		p.offset = info.Size()
	}
	return p
}

// stalled reports whether nothing has moved for the limit.
func (p *progress) stalled() bool {
	if p.read() {
		p.moved = time.Now()
	}
	return time.Since(p.moved) > p.limit
}

// read consumes what was appended to the log and reports whether it is progress. Refused
// connections are not: applications that knock while the server recovers write FATAL lines.
func (p *progress) read() bool {
	info, err := os.Stat(p.path)
	if err != nil || info.Size() == p.offset {
		return false
	}
	if info.Size() < p.offset {
		p.offset = 0 // rotated
	}
	file, err := os.Open(p.path)
	if err != nil {
		return false
	}
	defer file.Close()
	const most = 64 << 10
	from := max(p.offset, info.Size()-most)
	added := make([]byte, info.Size()-from)
	n, _ := file.ReadAt(added, from)
	p.offset = from + int64(n)
	for line := range bytes.Lines(added[:n]) {
		if len(bytes.TrimSpace(line)) > 0 && !bytes.Contains(line, []byte(" FATAL: ")) {
			return true
		}
	}
	return false
}

// poll calls ready until it says so or fails, ctx ends, or p stalls. The longer it has waited, the
// less often it asks, so that it is never late by more than a twentieth of the wait.
func poll(ctx context.Context, p *progress, ready func() (bool, error)) error {
	const shortest, longest = time.Millisecond, 250 * time.Millisecond
	for began := time.Now(); ; {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		if p.stalled() {
			return errStalled
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(max(time.Since(began)/20, shortest), longest)):
		}
	}
}
