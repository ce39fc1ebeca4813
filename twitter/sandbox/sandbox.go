package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config says which X the sandbox plays. The zero value is a faithful default.
type Config struct {
	// AccessTokenLifetime is how long an OAuth 2.0 access token of a user is good, in full seconds. 0
	// is 2 hours.
	AccessTokenLifetime time.Duration

	// ArrivalDelay is how long requests are under way before they arrive. Zero is not at all.
	ArrivalDelay Delay

	// After is the timer of ArrivalDelay. Nil is time.After.
	After func(time.Duration) <-chan time.Time

	// BasePath is a prefix of all routes, such as "/x". Empty is none. A Server that another
	// handler mounts behind http.StripPrefix needs none either: signatures cover the address
	// that the client dialled, which is read from the request line.
	BasePath string

	// Billing is what requests cost, and what apps may spend. The zero value stops none.
	Billing Billing

	// DeleteMissing is the answer to the deletion of a missing tweet. Empty is DeleteMissing404.
	DeleteMissing DeleteMissing

	// DuplicateWindow is how long a text may not be posted again by the same user, also when its
	// tweet was deleted meanwhile. 0 is 24 hours, negative is never refuse.
	DuplicateWindow time.Duration

	// HiddenFamilies are limit headers that no answer has, although the limits hold.
	HiddenFamilies []Family

	// KeepRequests bounds the record of requests: the newest so many are kept. 0 is all of them, for
	// as long as the server lives.
	KeepRequests int

	// Limits are the windows. Nil is DefaultLimits, empty is none.
	Limits []Limit

	// MisleadingWindow makes FamilyEndpoint tell of 1,080,000 requests in 15 minutes on every route,
	// as X does for apps whose true limit is one per day. The limits of that family hold, untold:
	// after a 429 the only reset that helps is one of the other families, or there is none.
	MisleadingWindow bool

	// Now is the clock of ids, windows, timestamps and the Date header. Nil is time.Now. The
	// delays of faults always run on the real clock.
	Now func() time.Time

	// Seed makes faults with a Rate repeatable. If it is not 0, keys, secrets and tokens come from
	// it too: the same calls give the same credentials. The tokens of OAuth 2.0 hold the time, so
	// they are the same only if Now is. Two servers with one seed take each other's tokens.
	Seed uint64

	// TimestampSkew is how far oauth_timestamp may be off the clock, either way. 0 is 5 minutes,
	// negative is any distance (for a Now far from the client's clock).
	TimestampSkew time.Duration

	// Control serves the control routes beside those of X: see ControlPath.
	Control bool

	// Gzip compresses answers for clients that take it, as X does.
	Gzip bool

	// EmptyEditHistory answers a creation with "edit_history_tweet_ids":[""], as X was seen to do
	// in September 2026, instead of with the tweet's id.
	EmptyEditHistory bool

	// MissingTweet is the answer to GET /2/tweets/:id for a tweet that is not there. Empty is
	// MissingTweet200.
	MissingTweet MissingTweet

	// ProblemHost is the host in the types of problems, such as
	// https://api.x.com/2/problems/invalid-request: api.twitter.com or api.x.com. Empty is, for
	// each problem, the one with which it was captured.
	ProblemHost string

	// ReadLag is how long reads do not show yet what was created or deleted. Zero is not at all.
	ReadLag ReadLag

	// SelfServe says which rules for replies, quotes and cashtags hold. Empty is SelfServeNewer.
	SelfServe SelfServe
}

const (
	defaultAccessTokenLifetime = 2 * time.Hour
	defaultDuplicateWindow     = 24 * time.Hour
	defaultTimestampSkew       = 5 * time.Minute
)

// Server is the stand-in. It is an http.Handler and may be mounted anywhere; Start serves it on a
// listener of its own. It starts no goroutine except by Start. All methods are safe for
// concurrent use.
type Server struct {
	cfg    Config
	routes []route
	schema *schema // of the body of POST /2/tweets; never changes

	retweetSchema *schema // of the body of POST /2/users/:id/retweets; never changes

	closing   chan struct{} // closed by Close: requests that a fault holds end
	closeOnce sync.Once
	serving   serving // the listener; has its own lock

	mu       sync.Mutex // guards what follows; held for a few map look-ups, never while waiting
	accounts accounts
	nonces   nonces
	windows  windows
	tweets   tweets
	readLag  ReadLag
	usage    map[usageKey]int            // tweets read
	enrolled map[string]*enrolledAccount // by the key of the app that it pays for
	delay    Delay
	delays   *rand.Rand // how long each request is delayed
	requests trail
	ended    trail          // those of requests that have ended, in the order in which they did
	faults   []*ActiveFault // in force
	faultSeq uint64         // faults ever set, which gives each its own random sequence
	changed  chan struct{}  // closed at the next change of the record; nil if nobody waits

	faultsSet []*ActiveFault // in force or over, until they are forgotten
}

// New makes a server without apps, users and tweets. It reports every fault of the
// configuration at once.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.AccessTokenLifetime == 0 {
		cfg.AccessTokenLifetime = defaultAccessTokenLifetime
	}
	if cfg.After == nil {
		cfg.After = time.After
	}
	cfg.Billing = cfg.Billing.complete()
	if cfg.DeleteMissing == "" {
		cfg.DeleteMissing = DeleteMissing404
	}
	if cfg.DuplicateWindow == 0 {
		cfg.DuplicateWindow = defaultDuplicateWindow
	}
	if cfg.TimestampSkew == 0 {
		cfg.TimestampSkew = defaultTimestampSkew
	}
	if cfg.Limits == nil {
		cfg.Limits = DefaultLimits()
	}
	if cfg.MissingTweet == "" {
		cfg.MissingTweet = MissingTweet200
	}
	if cfg.SelfServe == "" {
		cfg.SelfServe = SelfServeNewer
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("sandbox config: %w", err)
	}
	limits := cfg.Limits
	if cfg.MisleadingWindow {
		limits = misleading(limits)
	}
	s := &Server{
		cfg:    cfg,
		schema: tweetSchema(),

		retweetSchema: retweetSchema(),

		closing:  make(chan struct{}),
		accounts: newAccounts(cfg.Seed),
		windows:  newWindows(limits, cfg.HiddenFamilies),
		tweets:   newTweets(cfg.DuplicateWindow),
		readLag:  cfg.ReadLag,
		usage:    map[usageKey]int{},
		enrolled: map[string]*enrolledAccount{},
		delay:    cfg.ArrivalDelay,
		delays:   rand.New(rand.NewPCG(cfg.Seed, 0)),
		requests: trail{keep: cfg.KeepRequests},
		ended:    trail{keep: cfg.KeepRequests},
	}
	s.routes = s.routeTable()
	return s, nil
}

func (c Config) validate() error {
	var errs []error
	if c.BasePath != "" && (!strings.HasPrefix(c.BasePath, "/") || strings.HasSuffix(c.BasePath, "/")) {
		errs = append(errs, fmt.Errorf("base path %q: begin it with a slash and end it without one", c.BasePath))
	}
	if c.Control && (c.BasePath == ControlPath || strings.HasPrefix(c.BasePath, ControlPath+"/")) {
		errs = append(errs, fmt.Errorf("base path %q: that is where the control routes are; use another", c.BasePath))
	}
	if c.AccessTokenLifetime < 0 || c.AccessTokenLifetime%time.Second != 0 { // expires_in tells full seconds
		errs = append(errs, fmt.Errorf("access token lifetime %s: use full seconds, or 0 for 2 hours", c.AccessTokenLifetime))
	}
	switch c.DeleteMissing {
	case DeleteMissing404, DeleteMissingFalse, DeleteMissingTrue:
	default:
		errs = append(errs, fmt.Errorf("delete missing %q: use 404, false or true", c.DeleteMissing))
	}
	for _, f := range c.HiddenFamilies {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("hidden families: %w", err))
		}
	}
	if c.KeepRequests < 0 {
		errs = append(errs, fmt.Errorf("keep requests %d: use 0 for all, or more", c.KeepRequests))
	}
	switch c.MissingTweet {
	case MissingTweet200, MissingTweet404:
	default:
		errs = append(errs, fmt.Errorf("missing tweet %q: use 200 or 404", c.MissingTweet))
	}
	switch c.ProblemHost {
	case "", "api.twitter.com", "api.x.com":
	default:
		errs = append(errs, fmt.Errorf("problem host %q: use api.twitter.com or api.x.com", c.ProblemHost))
	}
	switch c.SelfServe {
	case SelfServeNewer, SelfServeOlder, SelfServeOff:
	default:
		errs = append(errs, fmt.Errorf("self serve %q: use newer, older or off", c.SelfServe))
	}
	errs = append(errs, c.ReadLag.validate(), c.ArrivalDelay.validate(), c.Billing.validate())
	for i, l := range c.Limits {
		if err := l.validate(); err != nil {
			errs = append(errs, fmt.Errorf("limit %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// now is the configured clock without its monotonic part, so that records compare and print alike.
func (s *Server) now() time.Time {
	return s.cfg.Now().Round(0).UTC()
}

// ServeHTTP answers one request as X would, or as a fault makes it. A fault that answers nothing
// panics with http.ErrAbortHandler, which is how net/http is told to cut the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.control(w, r) {
		return
	}
	x, ok := s.arrive(w, r)
	if !ok {
		panic(http.ErrAbortHandler) // it never arrived as a whole
	}
	if !s.strikeBefore(x) {
		s.end(x, answer{outcome: OutcomeNothing})
		panic(http.ErrAbortHandler)
	}
	a := s.withProblemHost(s.answer(x))
	s.effect(x, a)
	a, ok = s.strikeAfter(x, a)
	if !ok {
		s.end(x, answer{outcome: a.outcome, tweetID: a.tweetID, reason: a.reason})
		panic(http.ErrAbortHandler)
	}
	s.write(w, x, a)
}

// answer passes the request through the stages in the package comment.
func (s *Server) answer(x *exchange) answer {
	if x.strikes(KindStatusBefore) {
		return problem(x.fault.Status, fmt.Sprintf("fault %s", KindStatusBefore))
	}
	if x.route == nil {
		return problem(http.StatusNotFound, "no such route in the sandbox")
	}
	stages := []func(*exchange) (answer, bool){s.authenticate, s.bill, s.limit, s.admit}
	if x.route.name.issuesTokens() {
		stages = []func(*exchange) (answer, bool){s.authenticateClient}
	}
	for _, stage := range stages {
		if a, refused := stage(x); refused {
			return a
		}
	}
	a := x.route.serve(x)
	s.meter(x, a)
	a.cost = s.charge(x, a)
	return a
}

// withProblemHost puts the configured host into the types of problems.
func (s *Server) withProblemHost(a answer) answer {
	const before, after = `"type":"https://`, `/2/problems/`
	if s.cfg.ProblemHost == "" {
		return a
	}
	for _, host := range []string{"api.twitter.com", "api.x.com"} {
		a.body = bytes.ReplaceAll(a.body, []byte(before+host+after), []byte(before+s.cfg.ProblemHost+after))
	}
	return a
}
