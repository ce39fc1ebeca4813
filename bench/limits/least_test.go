package limits

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// waste are rows that went later than they had to: by more than 2% and one window's edge. The least time is that of a
// world in which requests arrive at once and places are held for no longer than they must be, and which grants in the
// same order: each row as soon as all of its windows have a place. So it tells what the engine has lost, whatever shares
// the windows; whether the order was right is another question.
func (p *played) waste() []string {
	var found []string
	windows := p.freeWindows()
	for _, o := range p.inOrder() {
		least := windows.take(o).Sub(p.start)
		took, most := o.granted.Sub(p.start), least+least/50+p.edge()
		if took > most {
			found = append(found, fmt.Sprintf("row %d of %s %s was granted after %s, and could have been after %s; %s would do",
				o.id, username(o.user), o.action, took, least, most))
		}
	}
	return found
}

// inOrder are the rows that were granted, in the order of the grants.
func (p *played) inOrder() []outcome {
	all := slices.DeleteFunc(slices.Clone(p.outcomes), func(o outcome) bool { return o.granted.IsZero() })
	slices.SortFunc(all, func(a, b outcome) int {
		return cmp.Or(a.granted.Compare(b.granted), cmp.Compare(a.request, b.request))
	})
	return all
}

// edge is what is lost once: a place is held from the last instant at which its request may start, for a bucket longer than
// the window, and longer if the request was under way for long; and workers have only so many slots for requests
// that are under way.
func (p *played) edge() time.Duration {
	var longest time.Duration
	for _, v := range p.windows {
		longest = max(longest, v.period)
	}
	under := map[string]time.Duration{}
	for _, o := range p.outcomes {
		under[o.action.kind().Queue()] += p.delay.Max
	}
	var queued time.Duration
	for queue, all := range under {
		queued = max(queued, all/time.Duration(p.slots[queue]))
	}
	return longest/buckets + sendWithin + p.delay.Max + queued + slack
}

// freeWindow is a window of one owner that holds each place exactly as long as it must.
type freeWindow struct {
	window

	owner string      // empty: of the app
	taken []time.Time // ascending
}

// next is the first instant, not before the last place was taken, at which there is one.
func (f *freeWindow) next() time.Time {
	var next time.Time
	if n := len(f.taken); n > 0 {
		next = f.taken[n-1]
	}
	if n := len(f.taken) - f.maximum; n >= 0 {
		next = later(next, f.taken[n].Add(f.period))
	}
	return next
}

type freeWindows []*freeWindow

func (p *played) freeWindows() freeWindows {
	var all freeWindows
	for _, v := range p.windows {
		for _, owner := range p.owners(v) {
			all = append(all, &freeWindow{window: v, owner: owner})
		}
	}
	return all
}

// take takes the places of a row, at the first instant at which there are.
func (all freeWindows) take(o outcome) time.Time {
	counting := slices.DeleteFunc(slices.Clone(all), func(f *freeWindow) bool {
		return f.owner != "" && f.owner != username(o.user) || !slices.Contains(f.actions, o.action)
	})
	at := later(o.dueAt, o.visible)
	for _, f := range counting {
		at = later(at, f.next())
	}
	for _, f := range counting {
		f.taken = append(f.taken, at)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
