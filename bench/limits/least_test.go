package limits

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// waste says whether the work took longer than it had to: more than 2% and one window's edge over the least possible
// time.
func (p *played) waste() []string {
	var last time.Time
	for _, o := range p.outcomes {
		if o.granted.After(last) {
			last = o.granted
		}
	}
	if last.IsZero() {
		return nil
	}
	least := p.least()
	took, most := last.Sub(p.start), least+least/50+p.edge()
	if took > most {
		return []string{fmt.Sprintf("the last was granted after %s, and could have been after %s; %s would do", took, least, most)}
	}
	return nil
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

// least is when the last row would be granted if requests arrived at once and places were held for no longer
// than they have to: each row goes as soon as all of its windows have a place, of several the one that goes first by
// priority, then by when it is due.
func (p *played) least() time.Duration {
	waiting := slices.DeleteFunc(slices.Clone(p.outcomes), func(o outcome) bool { return o.granted.IsZero() })
	slices.SortFunc(waiting, func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), a.dueAt.Compare(b.dueAt), cmp.Compare(a.id, b.id))
	})
	windows := p.freeWindows()
	now := p.start
	for {
		next := now
		waiting = slices.DeleteFunc(waiting, func(o outcome) bool {
			at := later(o.dueAt, o.visible)
			counting := windows.of(o)
			for _, v := range counting {
				at = later(at, v.next(now))
			}
			if at.After(now) {
				if next.Equal(now) || at.Before(next) {
					next = at
				}
				return false
			}
			for _, v := range counting {
				v.taken = append(v.taken, now)
			}
			return true
		})
		if len(waiting) == 0 {
			return now.Sub(p.start)
		}
		now = next
	}
}

// freeWindow is a window of one owner that holds each place exactly as long as it must.
type freeWindow struct {
	window

	owner string
	taken []time.Time // ascending
}

// next is the first instant from now on at which there is a place.
func (f *freeWindow) next(now time.Time) time.Time {
	if len(f.taken) < f.maximum {
		return now
	}
	return later(now, f.taken[len(f.taken)-f.maximum].Add(f.period))
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

func (all freeWindows) of(o outcome) freeWindows {
	return slices.DeleteFunc(slices.Clone(all), func(f *freeWindow) bool {
		return f.owner != "" && f.owner != username(o.user) || !slices.Contains(f.actions, o.action)
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
