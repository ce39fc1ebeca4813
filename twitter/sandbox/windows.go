package sandbox

import (
	"slices"
	"strconv"
	"time"
)

// windows counts requests. Guarded by Server.mu.
type windows struct {
	limits  []Limit
	ofRoute map[Route][]int // indexes of limits
	open    map[windowKey]*window
	hidden  []Family // not told in headers
}

// windowKey is one limit's count of one owner's requests.
type windowKey struct {
	limit  int    // the index
	userID string // empty if users are counted together
	appKey string // empty if apps are counted together
}

func newWindows(limits []Limit, hidden []Family) windows {
	w := windows{
		limits:  slices.Clone(limits),
		ofRoute: map[Route][]int{},
		open:    map[windowKey]*window{},
		hidden:  slices.Clone(hidden),
	}
	for i, l := range w.limits {
		for _, r := range l.Routes {
			w.ofRoute[r] = append(w.ofRoute[r], i)
		}
	}
	return w
}

// of are the windows that count the request, in the order of the configuration.
func (w *windows) of(x *exchange) []*window {
	indexes := w.ofRoute[x.route.name]
	if len(indexes) == 0 {
		return nil
	}
	found := make([]*window, 0, len(indexes))
	for _, i := range indexes {
		key, counts := w.key(i, x)
		if !counts {
			continue
		}
		if w.open[key] == nil {
			w.open[key] = &window{limit: w.limits[i]}
		}
		found = append(found, w.open[key])
	}
	return found
}

// key is what a limit counts the request under, if it does.
func (w *windows) key(limit int, x *exchange) (windowKey, bool) {
	appOnly := x.token.kind == tokenApp
	switch w.limits[limit].Per {
	case PerUser:
		return windowKey{limit: limit, userID: x.user.ID}, !appOnly
	case PerUserApp:
		return windowKey{limit: limit, userID: x.user.ID, appKey: x.app.Key}, !appOnly
	case PerApp:
		return windowKey{limit: limit, appKey: x.app.Key}, true
	case PerAppOnly:
		return windowKey{limit: limit, appKey: x.app.Key}, appOnly
	}
	return windowKey{}, false
}

// take counts the request in all windows, or only in those that mean nothing if one is exhausted.
func take(of []*window, now time.Time) bool {
	granted := true
	for _, w := range of {
		if w.at(now).exhausted() {
			granted = false
		}
	}
	for _, w := range of {
		if granted || w.limit.meaningless {
			w.count(now)
		}
	}
	return granted
}

// exhaust uses up the first of the windows that mean something, until its reset or, if wait is not
// zero, until that is over.
func exhaust(of []*window, now time.Time, wait time.Duration) {
	for _, w := range of {
		if w.limit.meaningless {
			continue
		}
		until := w.at(now).resets
		if wait > 0 {
			until = now.Add(wait)
		}
		w.exhaust(until)
		return
	}
}

// headers are what the families of the windows tell at the moment.
func (w *windows) headers(of []*window, now time.Time) map[string]string {
	best := map[Family]standing{}
	for _, open := range of {
		family := open.limit.Family
		if family == FamilyNone || slices.Contains(w.hidden, family) {
			continue
		}
		told, ok := best[family]
		this := open.at(now)
		if !ok || this.exhausted() && (!told.exhausted() || this.resets.After(told.resets)) {
			best[family] = this
		}
	}
	h := make(map[string]string, 3*len(best))
	for family, s := range best {
		roundUp := s.resets.Add(time.Second - time.Nanosecond)
		h[string(family)+"-limit"] = strconv.Itoa(s.most)
		h[string(family)+"-remaining"] = strconv.Itoa(max(0, s.most-s.used))
		h[string(family)+"-reset"] = strconv.FormatInt(roundUp.Unix(), 10)
	}
	return h
}

// window is one owner's use of one limit.
type window struct {
	limit Limit

	// Of an anchored one. One that has ended is as good as none.
	used int
	ends time.Time

	// Of a rolling one.
	arrivals []time.Time // the oldest first; what has left the window may still stand in front
	blocked  time.Time   // exhausted until then, whatever arrived
}

// standing is a window as it is at a moment.
type standing struct {
	used, most int
	resets     time.Time
}

func (s standing) exhausted() bool { return s.used >= s.most }

// at is how the window stands, one that has not begun as if it began now.
func (w *window) at(now time.Time) standing {
	s := standing{most: w.limit.Max, resets: now.Add(w.limit.Window)}
	switch {
	case w.limit.Rolling:
		w.dropArrivals(now)
		s.used = len(w.arrivals)
		if s.used > 0 {
			s.resets = w.arrivals[0].Add(w.limit.Window)
		}
		if now.Before(w.blocked) {
			s.used, s.resets = s.most, w.blocked
		}
	case now.Before(w.ends):
		s.used, s.resets = w.used, w.ends
	}
	return s
}

// count adds a request.
func (w *window) count(now time.Time) {
	if w.limit.Rolling {
		w.dropArrivals(now)
		w.arrivals = append(w.arrivals, now)
		return
	}
	if !now.Before(w.ends) {
		w.used, w.ends = 0, now.Add(w.limit.Window)
	}
	w.used++
}

// exhaust uses the window up until the time.
func (w *window) exhaust(until time.Time) {
	if w.limit.Rolling {
		w.blocked = until
		return
	}
	w.used, w.ends = w.limit.Max, until
}

// dropArrivals forgets what is as old as the window is long.
func (w *window) dropArrivals(now time.Time) {
	left := 0
	for left < len(w.arrivals) && now.Sub(w.arrivals[left]) >= w.limit.Window {
		left++
	}
	w.arrivals = w.arrivals[left:] // the next append that must grow leaves the front behind
}
