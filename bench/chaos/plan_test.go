package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tweetqueue/twitter/sandbox"
)

// deed is a fault that the harness makes itself, beside those of the sandbox and the points at which
// processes kill themselves.
type deed string

const (
	killing    deed = "kill"    // SIGKILL
	freezing   deed = "freeze"  // SIGSTOP, for longer than the lease lives, and SIGCONT
	troubleDB  deed = "db"      // on the way to the database
	troubleX   deed = "x"       // on the way to X
	restarting deed = "restart" // of the database, immediately
	waking     deed = "wake"    // a few rows, whatever their status, as by a hand in River's tables
)

// step is a deed at its time.
type step struct {
	at      time.Duration
	deed    deed
	worker  int
	trouble trouble
	lasts   time.Duration
}

func (s step) String() string {
	return fmt.Sprintf("%6.2fs %s worker %d %s %s", s.at.Seconds(), s.deed, s.worker, s.trouble, s.lasts.Round(time.Millisecond))
}

// plan is all that a seed determines of a run, except for the load. What follows from it depends on how
// the processes are scheduled, so that a seed replays the same faults, not the same run.
type plan struct {
	seed    uint64
	workers int
	pace    pace

	skew       time.Duration // of the database's clock; the sandbox's is off the other way
	duplicates bool          // X refuses the same text again
	missing    sandbox.DeleteMissing
	gzip       bool
	steps      []step
	faults     []sandbox.Fault
}

// source gives each part of a plan a sequence of its own.
func source(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

const (
	partPlan = iota
	partLoad
	partWorkers // and those after it
)

// newPlan makes the plan of a seed.
func newPlan(seed uint64, workers int, p pace) *plan {
	random := source(seed, partPlan)
	minutes := time.Duration(60+random.IntN(90)) * time.Second // the sandbox takes a clock that is 5 minutes off
	if seed%4 > 1 {
		minutes = -minutes
	}
	made := &plan{
		seed: seed, workers: workers, pace: p, skew: minutes, duplicates: seed%2 == 0, gzip: random.IntN(2) == 0,
		missing: []sandbox.DeleteMissing{sandbox.DeleteMissing404, sandbox.DeleteMissingFalse, sandbox.DeleteMissingTrue}[seed%3],
	}
	for worker := range workers {
		made.plague(random, worker)
	}
	for at := between(random, p.Faults/4, p.Faults/2); at < p.Faults; at += between(random, 8*time.Second, 25*time.Second) {
		made.steps = append(made.steps, step{at: at, deed: restarting})
	}
	for at := between(random, time.Second, 2*time.Second); at < p.Faults; at += between(random, time.Second/4, time.Second) {
		made.steps = append(made.steps, step{at: at, deed: waking})
	}
	slices.SortStableFunc(made.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	made.faults = sandboxFaults(p)
	return made
}

// between is a time from the first to before the second.
func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)))
}

// plague adds the deeds against one worker.
func (p *plan) plague(random *rand.Rand, worker int) {
	for at := between(random, time.Second, 4*time.Second); at < p.pace.Faults; at += between(random, 500*time.Millisecond, 5*time.Second) {
		s := step{at: at, worker: worker, trouble: troubles()[random.IntN(len(troubles()))]}
		switch dice := random.IntN(10); {
		case dice < 1:
			s.deed, s.trouble = killing, ""
		case dice < 2 && p.pace.Faults > 3*p.pace.Freeze:
			s.deed, s.trouble, s.lasts = freezing, "", p.pace.Freeze+between(random, 0, p.pace.Freeze/2)
		case dice < 6:
			s.deed, s.lasts = troubleDB, between(random, 50*time.Millisecond, 3*time.Second)
			if s.trouble == stalled && random.IntN(3) == 0 {
				s.lasts = between(random, 9*time.Second, 14*time.Second) // the lease goes stale, or dies
			}
		default:
			s.deed, s.lasts = troubleX, between(random, 50*time.Millisecond, p.pace.Stall)
		}
		p.steps = append(p.steps, s)
	}
}

// doom says where the nth process of a worker kills itself, or freezes; some live. The first of every
// second worker freezes early, so that also a short run sees it thaw.
func (p *plan) doom(worker, nth int, calm string) *doom {
	random := source(p.seed, uint64(partWorkers+worker+1000*nth))
	all := slices.DeleteFunc(deaths(), func(d death) bool {
		return p.pace.Brief && (d.point == afterLookUp || d.point == afterTimeline || d.point == beforeResolve)
	})
	made := &doom{
		Point: all[random.IntN(len(all))].point, Nth: 1 + random.IntN(12), Calm: calm,
		Thaw: p.pace.Freeze + between(random, 0, p.pace.Thaw),
	}
	switch dice := random.IntN(10); {
	case nth == 0 && worker%2 == 1:
		made.Freeze, made.Point, made.Nth = true, []point{afterClaim, afterBody, afterAnswer}[random.IntN(3)], 1+random.IntN(3)
	case dice < 2:
		return nil
	case dice < 4:
		made.Freeze = made.Point.freezes()
	}
	return made
}

// sandboxFaults are X's own, each at its rate.
func sandboxFaults(p pace) []sandbox.Fault {
	held := p.Hold
	writes := []sandbox.Fault{
		{Kind: sandbox.KindHoldBefore, Delay: held, Rate: 0.03}, // it is created when the client has left
		{Kind: sandbox.KindHoldBefore, Delay: held / 4, Rate: 0.02},
		{Kind: sandbox.KindHoldAfter, Delay: held, Rate: 0.02},
		{Kind: sandbox.KindHoldBody, Delay: held / 4, Rate: 0.02},
		{Kind: sandbox.KindHangBefore, Rate: 0.01},
		{Kind: sandbox.KindHangAfter, Rate: 0.02},
		{Kind: sandbox.KindHangBody, Rate: 0.01},
		{Kind: sandbox.KindDropBefore, Rate: 0.02},
		{Kind: sandbox.KindDropAfter, Rate: 0.02},
		{Kind: sandbox.KindDropFirstByte, Rate: 0.02},
		{Kind: sandbox.KindDropHeaders, Rate: 0.02},
		{Kind: sandbox.KindDropBody, Rate: 0.02},
		{Kind: sandbox.KindStatusBefore, Status: 503, Rate: 0.02},
		{Kind: sandbox.KindStatusBefore, Status: 520, Rate: 0.01},
		{Kind: sandbox.KindStatusAfter, Status: 500, Rate: 0.02},
		{Kind: sandbox.KindStatusAfter, Status: 503, Body: sandbox.BodyHTML, Rate: 0.02},
		{Kind: sandbox.KindStatusAfter, Status: 408, Rate: 0.01},
		{Kind: sandbox.KindStatusAfter, Status: 200, Body: sandbox.BodyEmpty, Rate: 0.01},
		{Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated, Rate: 0.02},
		{Kind: sandbox.KindAnswer, Body: sandbox.BodyBrokenGzip, Rate: 0.01},
		{Kind: sandbox.KindRateLimited, Rate: 0.01},
		{Kind: sandbox.KindUnauthorized, Rate: 0.05, Times: 3},
	}
	reads := []sandbox.Fault{
		{Kind: sandbox.KindHoldBefore, Delay: held / 4, Rate: 0.05},
		{Kind: sandbox.KindHangAfter, Rate: 0.03},
		{Kind: sandbox.KindDropBody, Rate: 0.05},
		{Kind: sandbox.KindStatusBefore, Status: 503, Rate: 0.05},
		{Kind: sandbox.KindStatusBefore, Status: 404, Rate: 0.03},
		{Kind: sandbox.KindAnswer, Body: sandbox.BodyTruncated, Rate: 0.03},
		{Kind: sandbox.KindAnswer, Body: sandbox.BodyHTML, Rate: 0.03},
		{Kind: sandbox.KindRateLimited, Rate: 0.02},
	}
	var all []sandbox.Fault
	for route, faults := range map[sandbox.Route][]sandbox.Fault{
		sandbox.RouteCreateTweet: writes, sandbox.RouteDeleteTweet: writes,
		sandbox.RouteUserTweets: reads, sandbox.RouteGetTweet: reads,
	} {
		for _, f := range faults {
			f.Route = route
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b sandbox.Fault) int { return strings.Compare(string(a.Route), string(b.Route)) })
	return all
}

// limits are short, so that a 429 passes soon.
func limits() []sandbox.Limit {
	var all []sandbox.Limit
	for _, route := range []sandbox.Route{
		sandbox.RouteCreateTweet, sandbox.RouteDeleteTweet, sandbox.RouteUserTweets, sandbox.RouteGetTweet,
	} {
		all = append(all, sandbox.Limit{
			Routes: []sandbox.Route{route}, Per: sandbox.PerUser, Max: 100_000, Window: 3 * time.Second, Family: sandbox.FamilyEndpoint,
		})
	}
	return all
}

// String is the plan for a person who replays it.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d workers, the database's clock is off by %s and X's by %s, X refuses duplicates: %t, deletes what is missing: %s",
		p.seed, p.workers, p.skew, -p.skew, p.duplicates, p.missing)
	for _, s := range p.steps {
		fmt.Fprintf(&b, "\n  %s", s)
	}
	return b.String()
}
