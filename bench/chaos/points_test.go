package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// point names an instant in the work on a row at which a process can die.
type point string

const (
	beforeClaim     point = "before the claim's commit"
	afterClaim      point = "after the claim's commit"
	beforeFirstByte point = "before the first byte of the request"
	afterHeaders    point = "after the request's headers"
	afterBody       point = "after the request's body"
	afterFirstByte  point = "after the first byte of the answer"
	afterAnswer     point = "after the whole answer"
	beforeSettle    point = "before the settle's commit"
	afterSettle     point = "after the settle's commit"
	beforeTakeOver  point = "before a dead worker's rows are taken over"
	afterTakeOver   point = "after a dead worker's rows are taken over"
	beforeLookUp    point = "before the first commit of a look-up"
	afterLookUp     point = "after the first commit of a look-up"
	afterTimeline   point = "after X's whole answer to a look-up"
	beforeResolve   point = "before the last commit of a look-up"
	afterResolve    point = "after the last commit of a look-up"
)

// death is a line of the table of points: what is left when a process dies there.
type death struct {
	point    point
	database string // the row
	onX      string
	next     string // what the next run does
}

// deaths are all points, in the order in which a process comes by. The same table stands in
// docs/architecture.md; TestEachPoint walks it.
func deaths() []death {
	const (
		sending = "`sending`, request without an answer"
		doubt   = "takes the row over after 12 s: `unconfirmed`, looked up, and never simply sent again"
		nothing = "nothing"
		perhaps = "nothing: the request is not whole"
		again   = "looks it up again, 45 s after the look-up began"
	)
	return []death{
		{beforeClaim, "`scheduled`, its job running", nothing, "claims it once it has another job, within 15 s"},
		{afterClaim, sending, nothing, doubt},
		{beforeFirstByte, sending, nothing, doubt},
		{afterHeaders, sending, perhaps, doubt},
		{afterBody, sending, "the tweet, now or soon", doubt},
		{afterFirstByte, sending, "the tweet", doubt},
		{afterAnswer, sending, "the tweet", doubt},
		{beforeSettle, sending, "the tweet", doubt},
		{afterSettle, "settled, its job perhaps running", "the tweet", "nothing; it ends the job after an hour"},
		{beforeTakeOver, sending, "whatever the dead worker left", "takes the row over"},
		{afterTakeOver, "`unconfirmed`", "whatever the dead worker left", "looks it up"},
		{beforeLookUp, "`unconfirmed`", "the same", "looks it up once it has another job, within 15 s"},
		{afterLookUp, "`unconfirmed`, a look-up without an answer", "the same", again},
		{afterTimeline, "`unconfirmed`, a look-up without an answer", "the same", again},
		{beforeResolve, "`unconfirmed`, a look-up without an answer", "the same", again},
		{afterResolve, "settled, or with the time of its next look-up", "the same", "goes on from there"},
	}
}

// doom is where a process kills itself, or stops for a while: the nth time that it comes by a point. Nil,
// or without a point, it lives.
type doom struct {
	Point point `json:"point,omitempty"`
	Nth   int   `json:"nth,omitempty"`
	// Freeze stops the process instead, as SIGSTOP does, and after Thaw it goes on; if that is 0, when
	// somebody sends it SIGCONT.
	Freeze bool          `json:"freeze,omitempty"`
	Thaw   time.Duration `json:"thaw,omitempty"`
	// Calm is a file; once it exists, nobody dies any more.
	Calm string `json:"calm,omitempty"`

	mu   sync.Mutex
	seen int
}

func (d *doom) String() string {
	if d == nil {
		return "lives"
	}
	if d.Freeze {
		return "froze " + string(d.Point)
	}
	return "died " + string(d.Point)
}

// reach is called when the process comes by a point, and does not return if that is its end.
func (d *doom) reach(p point) {
	if d == nil || d.Point != p {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen++
	if d.seen < d.Nth || d.seen > d.Nth && d.Freeze {
		return
	}
	if _, err := os.Stat(d.Calm); d.Calm != "" && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if d.Freeze {
		d.freeze()
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // as the kernel would do it: no defer runs, no buffer is written
	select {}
}

// freeze stops the process, and returns once it goes on: the signal takes effect a moment after it was sent. A
// shell lets the process go on: it cannot do that itself.
func (d *doom) freeze() {
	if d.Thaw > 0 {
		shell := exec.Command("sh", "-c", fmt.Sprintf("sleep %.3f; kill -CONT %d", d.Thaw.Seconds(), os.Getpid()))
		if shell.Start() != nil {
			return // nothing would let it go on
		}
		go func() { _ = shell.Wait() }()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	for range 100 {
		before := time.Now()
		pause(context.Background(), 10*time.Millisecond)
		if time.Since(before) > time.Second {
			return
		}
	}
}

// freezes tells whether a process may be stopped at a point for any time. Between the last look at its lease and
// the last byte of its request it may not: nothing can keep what is written then from being late.
func (p point) freezes() bool { return p != beforeFirstByte && p != afterHeaders }

// after is where another process has to have died, for one to come by this point.
func (p point) after() (point, bool) {
	switch p {
	case beforeTakeOver, afterTakeOver, beforeLookUp, afterLookUp, afterTimeline, beforeResolve, afterResolve:
		return afterBody, true
	case beforeClaim, afterClaim, beforeFirstByte, afterHeaders, afterBody, afterFirstByte, afterAnswer, beforeSettle, afterSettle:
	}
	return "", false
}

// watches tells whether a point is the process's end, where watching for it has a cost.
func (d *doom) watches(p point) bool { return d != nil && d.Point == p }

// tracer tells by the names of our statements which transaction is about to be committed. It makes
// a hook in the worker unnecessary.
type tracer struct {
	doom *doom

	mu  sync.Mutex
	ran map[*pgx.Conn][]string // the names of the statements of the open transaction
}

func newTracer(d *doom) *tracer { return &tracer{doom: d, ran: map[*pgx.Conn][]string{}} }

type tracedKey struct{}

// traced is a statement on its way.
type traced struct {
	before, after point
	ran           string // instead: its name is noted for the commit if it has changed a row
}

// takeOver is the statement that takes over rows.
const takeOver = "TakeOver"

// TraceQueryStart is called before a statement is sent.
func (t *tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s := t.begin(conn, data.SQL)
	if s == (traced{}) {
		return ctx
	}
	if s.ran == "" {
		t.doom.reach(s.before)
	}
	return context.WithValue(ctx, tracedKey{}, s)
}

// TraceQueryEnd is called when its answer has been read.
func (t *tracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	s, ok := ctx.Value(tracedKey{}).(traced)
	switch {
	case !ok || data.Err != nil:
	case s.ran == "":
		t.doom.reach(s.after)
	case data.CommandTag.RowsAffected() > 0:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ran[conn] = append(t.ran[conn], s.ran)
	}
}

var statementName = regexp.MustCompile(`^-- name: (\w+)`)

// begin notes a statement, and returns the points on either side of it.
func (t *tracer) begin(conn *pgx.Conn, sql string) traced {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch strings.ToLower(sql) {
	case "begin", "rollback":
		delete(t.ran, conn)
		return traced{}
	case "commit":
		defer delete(t.ran, conn)
		for _, name := range t.ran[conn] {
			switch name {
			case "RequestsStart":
				return traced{before: beforeClaim, after: afterClaim}
			case "RowsSettle":
				return traced{before: beforeSettle, after: afterSettle}
			case "LookUpStart":
				return traced{before: beforeLookUp, after: afterLookUp}
			case "RowsResolve":
				return traced{before: beforeResolve, after: afterResolve}
			case takeOver:
				return traced{before: beforeTakeOver, after: afterTakeOver}
			}
		}
		return traced{}
	}
	name := statementName.FindStringSubmatch(sql)
	if name == nil {
		return traced{}
	}
	if name[1] == takeOver { // mostly of no row
		return traced{ran: takeOver}
	}
	t.ran[conn] = append(t.ran[conn], name[1])
	return traced{}
}
