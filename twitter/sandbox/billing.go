package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Billing says what X charges, and what an app may spend. X bills the developer account that owns
// an app; here each app is an account of its own. The zero value charges X's prices, so that the
// record tells what each request cost, and stops no app for it.
type Billing struct {
	// Credits are the balance that each app begins with. Nil is no bound.
	Credits *USD

	// CycleEnds is when the first billing cycle ends, on a day of the month up to the 28th. The
	// others end a month after each other. Zero is the end of the calendar month in UTC.
	CycleEnds time.Time

	// NoCredits is what an app without credits is told: KindCreditsDepleted, or, as some report,
	// KindUsageCapExceeded, KindForbidden or KindFeatureNotPermitted. Empty is KindCreditsDepleted.
	NoCredits Kind

	// PostReadCap is how many tweets an app may read in a calendar month, as GET /2/usage/tweets
	// counts them: then reads of tweets are refused with KindUsageCapExceeded. 0 is 3,000,000.
	PostReadCap int

	// Prices are what requests cost. Nil is DefaultPrices, empty is nothing.
	Prices Prices

	// SpendCap is what each app may spend in a billing cycle, unless SetSpendCap says otherwise. 0
	// is no cap.
	SpendCap USD
}

// Bill is what an app has been billed since it was added.
type Bill struct {
	AppID     string          `json:"app_id"`
	App       string          `json:"app"`                     // its name
	Credits   *USD            `json:"credits_usd,omitempty"`   // what is left, which may be slightly below 0; nil is no bound
	SpendCap  USD             `json:"spend_cap_usd,omitempty"` // per billing cycle; 0 is none
	Cycle     USD             `json:"cycle_usd"`               // the cost of this billing cycle
	CycleEnds time.Time       `json:"cycle_ends"`
	Total     USD             `json:"total_usd"` // the cost of all cycles
	Items     map[Item]Charge `json:"items"`
}

// Charge is how often an item was billed, and what that cost.
type Charge struct {
	Count int `json:"count"`
	Cost  USD `json:"cost_usd"`
}

// complete fills what may be left out.
func (b Billing) complete() Billing {
	if b.NoCredits == "" {
		b.NoCredits = KindCreditsDepleted
	}
	if b.PostReadCap == 0 {
		b.PostReadCap = defaultPostReadCap
	}
	if b.Prices == nil {
		b.Prices = DefaultPrices()
	}
	b.Prices = maps.Clone(b.Prices)
	return b
}

func (b Billing) validate() error {
	var errs []error
	switch b.NoCredits { //nolint:exhaustive // Of all kinds, those that were reported.
	case KindCreditsDepleted, KindUsageCapExceeded, KindForbidden, KindFeatureNotPermitted:
	default:
		errs = append(errs, fmt.Errorf("no credits %q: use credits_depleted, usage_cap_exceeded, forbidden or feature_not_permitted", b.NoCredits))
	}
	if b.CycleEnds.UTC().Day() > 28 {
		errs = append(errs, fmt.Errorf("cycle ends %s: use a day that every month has, up to the 28th", b.CycleEnds.UTC().Format(time.DateOnly)))
	}
	if b.PostReadCap < 0 {
		errs = append(errs, fmt.Errorf("post read cap %d: use 1 or more, or 0 for 3,000,000", b.PostReadCap))
	}
	if b.SpendCap < 0 {
		errs = append(errs, fmt.Errorf("spend cap %s: use more than 0, or 0 for none", b.SpendCap))
	}
	return errors.Join(append(errs, b.Prices.validate())...)
}

// AddCredits tops up an app's balance, or, with a negative amount, takes from it. An app without a
// bound has a balance from then on, which is the amount.
func (s *Server) AddCredits(appKey string, amount USD) error {
	return s.changeAccount(appKey, "add credits", func(a *enrolledAccount) { a.addCredits(amount) })
}

// SetSpendCap changes what an app may spend in a billing cycle, this one included. 0 is no cap.
func (s *Server) SetSpendCap(appKey string, most USD) error {
	if most < 0 {
		return fmt.Errorf("set spend cap %s: use more than 0, or 0 for none", most)
	}
	return s.changeAccount(appKey, "set spend cap", func(a *enrolledAccount) { a.spendCap = most })
}

// Billed is what an app has been billed, up to the requests whose answers were sent.
func (s *Server) Billed(appKey string) (Bill, error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.accounts.apps[appKey]
	if !ok {
		return Bill{}, errors.New("billed: no app has this key")
	}
	return s.accountOf(app, now).bill(app), nil
}

func (s *Server) changeAccount(appKey, operation string, change func(*enrolledAccount)) error {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.accounts.apps[appKey]
	if !ok {
		return fmt.Errorf("%s: no app has this key", operation)
	}
	change(s.accountOf(app, now))
	return nil
}

// enrolledAccount is the account that pays for an app. Guarded by Server.mu.
type enrolledAccount struct {
	credits   *USD // nil is no bound
	spendCap  USD  // 0 is none
	cycle     USD  // the cost since the last cycle ended
	cycleEnds time.Time
	items     map[Item]Charge

	day  string // of what was read, in UTC, as time.DateOnly
	read map[resource]bool
}

// resource is a tweet or a user that a route has returned.
type resource struct {
	route Route
	id    string
}

// accountOf is the account of an app as it is now. Callers hold s.mu.
func (s *Server) accountOf(app App, now time.Time) *enrolledAccount {
	a := s.enrolled[app.Key]
	if a == nil {
		a = s.cfg.Billing.open(now)
		s.enrolled[app.Key] = a
	}
	for !now.Before(a.cycleEnds) {
		a.cycle, a.cycleEnds = 0, a.cycleEnds.AddDate(0, 1, 0)
	}
	if today := now.Format(time.DateOnly); a.day != today {
		a.day, a.read = today, map[resource]bool{}
	}
	return a
}

// open is a new account.
func (b Billing) open(now time.Time) *enrolledAccount {
	a := &enrolledAccount{spendCap: b.SpendCap, cycleEnds: b.CycleEnds.UTC(), items: map[Item]Charge{}}
	if b.CycleEnds.IsZero() {
		a.cycleEnds = nextMonth(now)
	}
	if b.Credits != nil {
		a.addCredits(*b.Credits)
	}
	return a
}

func (a *enrolledAccount) addCredits(amount USD) {
	if a.credits == nil {
		a.credits = new(USD)
	}
	*a.credits += amount
}

func (a *enrolledAccount) depleted() bool { return a.credits != nil && *a.credits <= 0 }

func (a *enrolledAccount) capReached() bool { return a.spendCap > 0 && a.cycle >= a.spendCap }

// spend bills an item count times, and returns the cost.
func (a *enrolledAccount) spend(item Item, count int, price USD) USD {
	if count == 0 {
		return 0
	}
	cost := USD(count) * price
	a.cycle += cost
	if a.credits != nil {
		*a.credits -= cost
	}
	charged := a.items[item]
	a.items[item] = Charge{charged.Count + count, charged.Cost + cost}
	return cost
}

// newToday counts those that the route has not returned on this day, and remembers them.
func (a *enrolledAccount) newToday(route Route, ids []string) int {
	n := 0
	for _, id := range ids {
		if r := (resource{route, id}); !a.read[r] {
			a.read[r] = true
			n++
		}
	}
	return n
}

func (a *enrolledAccount) bill(app App) Bill {
	b := Bill{
		AppID: app.ID, App: app.Name, SpendCap: a.spendCap,
		Cycle: a.cycle, CycleEnds: a.cycleEnds, Items: maps.Clone(a.items),
	}
	if a.credits != nil {
		b.Credits = new(*a.credits)
	}
	for _, charged := range a.items {
		b.Total += charged.Cost
	}
	return b
}

// bill is the billing stage.
func (s *Server) bill(x *exchange) (answer, bool) {
	if a, refused := s.forced(x, stageBilling); refused {
		return a, true
	}
	if x.route.withoutCredits {
		return answer{}, false
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	account := s.accountOf(x.app, now)
	switch {
	case account.depleted():
		return s.refusal(s.cfg.Billing.NoCredits, x), true
	case account.capReached():
		return spendCapReached(account.cycleEnds), true
	case slices.Contains(postReads(), x.route.name) && s.usageOfMonth(x.app.Key, now) >= s.cfg.Billing.PostReadCap:
		return s.refusal(KindUsageCapExceeded, x), true
	}
	return answer{}, false
}

// charge bills what the answer gives, and returns the cost. An app that may spend nothing more, and
// got past billing all the same, pays nothing.
func (s *Server) charge(x *exchange, a answer) USD {
	if a.item == "" || x.strikes(KindStatusAfter) && x.fault.Status/100 != http.StatusOK/100 {
		return 0
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	account := s.accountOf(x.app, now)
	if x.route.withoutCredits && (account.depleted() || account.capReached()) {
		return 0
	}
	count := 1
	if a.outcome == OutcomeRead {
		count = account.newToday(x.route.name, a.read)
	}
	return account.spend(a.item, count, s.cfg.Billing.Prices[a.item])
}

// nextMonth is when the calendar month ends.
func nextMonth(now time.Time) time.Time {
	return time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}
