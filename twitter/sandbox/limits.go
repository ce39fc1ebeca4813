package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Scope says whose requests a limit counts together.
type Scope string

const (
	// PerUser counts the requests of one user, through whichever app.
	PerUser Scope = "user"
	// PerApp counts the requests of all users of one app.
	PerApp Scope = "app"
)

// Family is the headers that tell of a limit: its name followed by -limit, -remaining and -reset
// (Unix seconds).
type Family string

const (
	// FamilyEndpoint is the family of the endpoint's window.
	FamilyEndpoint Family = "x-rate-limit"
	// FamilyUserDay is the family of the user's cap per day.
	FamilyUserDay Family = "x-user-limit-24hour"
	// FamilyAppDay is the family of the app's cap per day.
	FamilyAppDay Family = "x-app-limit-24hour"
	// FamilyNone is a limit that no header tells of.
	FamilyNone Family = ""
)

// Limit is one window. It is anchored, as X's are: it begins with the first request that it
// counts and ends Window later, whatever came in between.
//
// Where several limits of a route share a family, its headers tell of one: the exhausted one that
// ends last, or, if none is exhausted, the one that stands first in Config.Limits. So a user sees
// 200 per 15 minutes, until the 300 per 3 hours are what stops it. A reset is rounded up to a full
// second: a client that waits for it is not early.
type Limit struct {
	Routes []Route       `json:"routes"` // counted together
	Per    Scope         `json:"per"`
	Max    int           `json:"max"`    // requests per window
	Window time.Duration `json:"window"` // nanoseconds in JSON
	Family Family        `json:"family"`
}

// DefaultLimits are the limits of the guide that the project implements, and for the two reads
// those measured at X: per user 200 posts and 50 deletions in 15 minutes, 300 posts in 3 hours.
func DefaultLimits() []Limit {
	const quarter = 15 * time.Minute
	return []Limit{
		{[]Route{RouteCreateTweet}, PerUser, 200, quarter, FamilyEndpoint},
		{[]Route{RouteDeleteTweet}, PerUser, 50, quarter, FamilyEndpoint},
		{[]Route{RouteCreateTweet}, PerUser, 300, 3 * time.Hour, FamilyEndpoint},
		{[]Route{RouteMe}, PerUser, 75, quarter, FamilyEndpoint},
		{[]Route{RouteGetTweet}, PerUser, 900, quarter, FamilyEndpoint},
	}
}

func (l Limit) validate() error {
	var errs []error
	if len(l.Routes) == 0 {
		errs = append(errs, errors.New("it names no route"))
	}
	for _, r := range l.Routes {
		if !slices.Contains(Routes(), r) {
			errs = append(errs, fmt.Errorf("route %q is none of the sandbox", r))
		}
	}
	if l.Per != PerUser && l.Per != PerApp {
		errs = append(errs, fmt.Errorf("per %q: use user or app", l.Per))
	}
	if l.Max <= 0 {
		errs = append(errs, fmt.Errorf("max %d: use 1 or more", l.Max))
	}
	if l.Window <= 0 {
		errs = append(errs, fmt.Errorf("window %s: use more than zero", l.Window))
	}
	switch l.Family {
	case FamilyEndpoint, FamilyUserDay, FamilyAppDay, FamilyNone:
	default:
		errs = append(errs, fmt.Errorf("family %q: use x-rate-limit, x-user-limit-24hour, x-app-limit-24hour or none", l.Family))
	}
	return errors.Join(errs...)
}

// windows counts requests. Guarded by Server.mu.
type windows struct {
	limits  []Limit
	ofRoute map[Route][]int // indexes of limits
	open    map[windowKey]window
}

type windowKey struct {
	limit int
	owner string // a user id or an app key
}

// window is one that has begun. One that has ended is as good as none.
type window struct {
	used int
	ends time.Time
}

func newWindows(limits []Limit) windows {
	w := windows{
		limits:  slices.Clone(limits),
		ofRoute: map[Route][]int{},
		open:    map[windowKey]window{},
	}
	for i, l := range w.limits {
		for _, r := range l.Routes {
			w.ofRoute[r] = append(w.ofRoute[r], i)
		}
	}
	return w
}

// at returns the window of a limit as it stands, one that has not begun as if it began now.
func (w *windows) at(limit int, x *exchange, now time.Time) (windowKey, window) {
	key := windowKey{limit: limit, owner: x.user.ID}
	if w.limits[limit].Per == PerApp {
		key.owner = x.app.Key
	}
	open, ok := w.open[key]
	if !ok || !now.Before(open.ends) {
		open = window{ends: now.Add(w.limits[limit].Window)}
	}
	return key, open
}

// take counts the request in all windows of its route, or in none if one is exhausted.
func (w *windows) take(x *exchange, now time.Time) bool {
	of := w.ofRoute[x.route.name]
	for _, i := range of {
		if _, open := w.at(i, x, now); open.used >= w.limits[i].Max {
			return false
		}
	}
	for _, i := range of {
		key, open := w.at(i, x, now)
		open.used++
		w.open[key] = open
	}
	return true
}

// exhaust uses up the first window of the route, and ends it after wait if that is not zero.
func (w *windows) exhaust(x *exchange, now time.Time, wait time.Duration) {
	of := w.ofRoute[x.route.name]
	if len(of) == 0 {
		return
	}
	key, open := w.at(of[0], x, now)
	open.used = w.limits[of[0]].Max
	if wait > 0 {
		open.ends = now.Add(wait)
	}
	w.open[key] = open
}

// headers are what the route's families tell at the moment.
func (w *windows) headers(x *exchange, now time.Time) map[string]string {
	type told struct {
		limit Limit
		window
	}
	best := map[Family]told{}
	for _, i := range w.ofRoute[x.route.name] {
		l := w.limits[i]
		if l.Family == FamilyNone {
			continue
		}
		_, open := w.at(i, x, now)
		old, ok := best[l.Family]
		exhausted := open.used >= l.Max
		oldExhausted := ok && old.used >= old.limit.Max
		if !ok || exhausted && (!oldExhausted || open.ends.After(old.ends)) {
			best[l.Family] = told{l, open}
		}
	}
	h := make(map[string]string, 3*len(best))
	for family, t := range best {
		roundUp := t.ends.Add(time.Second - time.Nanosecond)
		h[string(family)+"-limit"] = strconv.Itoa(t.limit.Max)
		h[string(family)+"-remaining"] = strconv.Itoa(max(0, t.limit.Max-t.used))
		h[string(family)+"-reset"] = strconv.FormatInt(roundUp.Unix(), 10)
	}
	return h
}

// limit is the limits stage.
func (s *Server) limit(x *exchange) (answer, bool) {
	forced, force := s.forced(x, stageLimits)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if force {
		s.windows.exhaust(x, now, x.fault.Wait)
	}
	granted := s.windows.take(x, now)
	x.limits = s.windows.headers(x, now)
	switch {
	case force:
		return forced, true
	case !granted:
		return problem(http.StatusTooManyRequests, "a limit is exhausted"), true
	}
	return answer{}, false
}

// limitHeaders are those noted when the request was counted, or, if it was not, those of now. A
// request of nobody has none.
func (s *Server) limitHeaders(x *exchange) map[string]string {
	if x.limits != nil || x.route == nil || x.user.ID == "" {
		return x.limits
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.windows.headers(x, now)
}
