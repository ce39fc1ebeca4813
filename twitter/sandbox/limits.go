package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Scope says whose requests a limit counts together.
type Scope string

const (
	// PerUser counts the requests of one user, through whichever app.
	PerUser Scope = "user"
	// PerUserApp counts the requests of one user through one app. X's documents say this in one
	// place and PerUser in another.
	PerUserApp Scope = "user_app"
	// PerApp counts the requests of all users of one app, and those with its own token.
	PerApp Scope = "app"
	// PerAppOnly counts the requests with an app's own token. This is what X's table means by
	// "per app" where the number is lower than a single user's.
	PerAppOnly Scope = "app_only"
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

// Limit is a maximum of requests in a window. The window is anchored, as those of X's endpoints
// are: it begins with the first request that it counts and ends Window later, whatever came in
// between. Or it rolls: it is the last Window before each request, and its reset is when the
// oldest request in it leaves it.
//
// Where several limits of a route share a family, its headers tell of one: the exhausted one that
// ends last, or, if none is exhausted, the one that stands first in Config.Limits. So a user sees
// 200 per 15 minutes, until the 300 per 3 hours are what stops it. A reset is rounded up to a full
// second: a client that waits for it is not early.
type Limit struct {
	Routes  []Route       `json:"routes"` // counted together
	Per     Scope         `json:"per"`
	Max     int           `json:"max"`    // requests per window
	Window  time.Duration `json:"window"` // nanoseconds in JSON
	Family  Family        `json:"family"`
	Rolling bool          `json:"rolling"`

	meaningless bool // one of Config.MisleadingWindow, which counts what is refused too
}

const (
	quarter = 15 * time.Minute
	day     = 24 * time.Hour
)

// DefaultLimits are the limits of the guide that the project implements: per user 200 posts and 50
// deletions in 15 minutes, and 300 posts and retweets together in 3 hours. Retweets, undoing them
// and reads, of which it says nothing, have those of CurrentLimits.
func DefaultLimits() []Limit {
	return append([]Limit{
		limit(PerUser, 200, quarter, FamilyEndpoint, RouteCreateTweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteDeleteTweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteRetweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteUndoRetweet),
		limit(PerUser, 300, 3*time.Hour, FamilyEndpoint, RouteCreateTweet, RouteRetweet),
	}, readLimits()...)
}

// CurrentLimits are those of X's pay-per-use plan of 2026 (rate-limits.mdx in X's documents): per
// user 100 posts, 50 deletions, 50 retweets and 50 undone ones in 15 minutes, and 10,000 posts in
// 24 hours per app.
func CurrentLimits() []Limit {
	return append([]Limit{
		limit(PerUser, 100, quarter, FamilyEndpoint, RouteCreateTweet),
		limit(PerApp, 10_000, day, FamilyAppDay, RouteCreateTweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteDeleteTweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteRetweet),
		limit(PerUser, 50, quarter, FamilyEndpoint, RouteUndoRetweet),
	}, readLimits()...)
}

func readLimits() []Limit {
	return []Limit{
		limit(PerUser, 75, quarter, FamilyEndpoint, RouteMe),
		limit(PerUser, 900, quarter, FamilyEndpoint, RouteGetTweet),
		limit(PerAppOnly, 450, quarter, FamilyEndpoint, RouteGetTweet),
		limit(PerUser, 5_000, quarter, FamilyEndpoint, RouteGetTweets),
		limit(PerAppOnly, 3_500, quarter, FamilyEndpoint, RouteGetTweets),
		limit(PerUser, 900, quarter, FamilyEndpoint, RouteUserTweets),
		limit(PerAppOnly, 10_000, quarter, FamilyEndpoint, RouteUserTweets),
		limit(PerAppOnly, 50, quarter, FamilyEndpoint, RouteUsage),
	}
}

// Compress shortens every window by the factor, which is 1 or more: limits for compressed time. A
// reset is told in full seconds all the same.
func Compress(limits []Limit, factor int) []Limit {
	limits = slices.Clone(limits)
	for i := range limits {
		limits[i].Window /= time.Duration(factor)
	}
	return limits
}

// Rolling makes every window one that rolls.
func Rolling(limits []Limit) []Limit {
	limits = slices.Clone(limits)
	for i := range limits {
		limits[i].Rolling = true
	}
	return limits
}

// limit is an anchored one.
func limit(per Scope, most int, window time.Duration, family Family, routes ...Route) Limit {
	return Limit{Routes: routes, Per: per, Max: most, Window: window, Family: family}
}

// misleading hides the limits of the endpoint's family behind a window that means nothing, as X
// shows it to apps whose true limit is one per day.
func misleading(limits []Limit) []Limit {
	limits = slices.Clone(limits)
	for i := range limits {
		if limits[i].Family == FamilyEndpoint {
			limits[i].Family = FamilyNone
		}
	}
	for _, r := range Routes() {
		if !r.issuesTokens() {
			window := limit(PerUser, 1_080_000, quarter, FamilyEndpoint, r)
			window.meaningless = true
			limits = append(limits, window)
		}
	}
	return limits
}

func (l Limit) validate() error {
	var errs []error
	if len(l.Routes) == 0 {
		errs = append(errs, errors.New("it names no route"))
	}
	for _, r := range l.Routes {
		switch {
		case !slices.Contains(Routes(), r):
			errs = append(errs, fmt.Errorf("route %q is none of the sandbox", r))
		case r.issuesTokens():
			errs = append(errs, fmt.Errorf("route %q is not limited: its requests are nobody's yet", r))
		}
	}
	switch l.Per {
	case PerUser, PerUserApp, PerApp, PerAppOnly:
	default:
		errs = append(errs, fmt.Errorf("per %q: use user, user_app, app or app_only", l.Per))
	}
	if l.Max <= 0 {
		errs = append(errs, fmt.Errorf("max %d: use 1 or more", l.Max))
	}
	if l.Window <= 0 {
		errs = append(errs, fmt.Errorf("window %s: use more than zero", l.Window))
	}
	if l.Family != FamilyNone {
		errs = append(errs, l.Family.validate())
	}
	return errors.Join(errs...)
}

func (f Family) validate() error {
	switch f {
	case FamilyEndpoint, FamilyUserDay, FamilyAppDay:
		return nil
	case FamilyNone:
	}
	return fmt.Errorf("family %q: use x-rate-limit, x-user-limit-24hour, x-app-limit-24hour or none", f)
}

// limit is the limits stage.
func (s *Server) limit(x *exchange) (answer, bool) {
	forced, force := s.forced(x, stageLimits)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now() // read under the lock, so that no request is counted before an earlier one
	of := s.windows.of(x)
	if force {
		exhaust(of, now, x.fault.Wait)
	}
	granted := take(of, now)
	x.limits = s.windows.headers(of, now)
	switch {
	case force:
		return forced, true
	case !granted:
		return problem(http.StatusTooManyRequests, "a limit is exhausted"), true
	}
	x.record.CountedAt = now
	return answer{}, false
}

// Spend counts up to n requests of the user to the route, through the app, as if another client had
// sent them: they take places in the windows, and nothing else. It returns how many were granted.
func (s *Server) Spend(appKey, username string, to Route, n int) (int, error) {
	if !slices.ContainsFunc(s.routes, func(r route) bool { return r.name == to && r.takes&tokensOfUsers != 0 }) {
		return 0, fmt.Errorf("spend %d of %q: it is no route that takes a user's token", n, to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, user, err := s.accounts.parties(appKey, username)
	if err != nil {
		return 0, fmt.Errorf("spend %d of %q: %w", n, to, err)
	}
	now := s.now()
	of := s.windows.of(&exchange{route: &route{name: to}, token: token{kind: tokenOAuth1}, app: app, user: *user})
	granted := 0
	for granted < n && take(of, now) {
		granted++
	}
	return granted, nil
}

// limitHeaders are those noted when the request was counted, or, if it was not, those of now. A
// request of nobody has none.
func (s *Server) limitHeaders(x *exchange) map[string]string {
	if x.limits != nil || x.route == nil || x.token.kind == tokenNone {
		return x.limits
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.windows.headers(s.windows.of(x), now)
}
