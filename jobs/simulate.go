package jobs

import (
	"cmp"
	"container/heap"
	"time"

	"tweetqueue/store"
)

// simulation lets rows go as the claims do, and as fast as the limits and the budgets allow, on copies of these: the
// decision is the windows' and the budgets' own. It jumps from one instant at which a row may go to the next, and so costs the
// same for a minute and a year.
//
// Of an account, the best of the rows that are ready, for which all windows have a place and all budgets have money, goes first,
// by priority, then by when it is due; accounts that share an app's window or budget take turns. What a budget has too little for
// waits until the month ends, and what costs less goes. The next tweet of a thread is ready when the one before it went.
type simulation struct {
	quotas  store.Quotas
	budgets map[int64]store.Budgets // by account
	price   func(action string, hasURL bool) store.USD
	// sendWithin is how long after its claim a request may start: the instant for which its places are taken.
	sendWithin time.Duration
	// went is told of each row when it went.
	went func(row *store.Upcoming, how departure)
	// missed is told of each row whose deadline passed before it could go.
	missed func(row *store.Upcoming)

	now      time.Time
	accounts map[int64]*simulated
	waiting  turns
	turn     int // how many rows went
	threads
}

// departure is how a row went.
type departure struct {
	at     time.Time
	cost   store.USD
	limit  *store.Quota  // the window that had held it back since it was ready, nil if none
	budget *store.Budget // the budget that had, until a month ended, nil if none
}

// simulated is an account of which rows wait.
type simulated struct {
	id    int64
	lines []*line
	at    time.Time // when one of them goes, at the earliest
	turn  int       // when one of them went last
	index int       // in turns
}

// line is the rows of an account that are ready and wait, of one action and one price: what holds one of them back
// holds all. The best comes first.
type line struct {
	action  string
	price   store.USD
	windows []*store.Quota
	budgets store.Budgets
	rows    rowHeap
	at      time.Time    // when the first of them goes, at the earliest
	limit   *store.Quota // the window that has put it off until then; nil: a budget has

	budget      *store.Budget // the last one that has put it off,
	budgetUntil time.Time     // until then
}

func newSimulation(now time.Time, price func(action string, hasURL bool) store.USD, quotas store.Quotas, budgets map[int64]store.Budgets,
	gone map[int64]bool,
) *simulation {
	return &simulation{
		now: now, sendWithin: sendWithin, price: price, quotas: quotas, budgets: budgets, accounts: map[int64]*simulated{},
		threads: threads{gone: gone, next: map[int64][]store.Upcoming{}},
	}
}

// run lets go what goes before an instant.
func (s *simulation) run(until time.Time) {
	for {
		switch {
		case len(s.follow) > 0 && (len(s.waiting) == 0 || s.waiting[0].at.After(s.now)):
			// What goes at the same instant is on its way before X has answered.
			for _, row := range s.followers() {
				s.ready(row)
			}
		case len(s.waiting) == 0 || !s.waiting[0].at.Before(until):
			return
		default:
			s.step(s.waiting[0])
		}
	}
}

// step lets the best row of the account that is the first go, or puts it off.
func (s *simulation) step(account *simulated) {
	s.now = account.at
	next := account.best()
	if next.putOff() {
		s.moved(account)
		return
	}
	s.let(account, next)
}

// add adds a row. Rows come by the instant at which they are ready, after all went that goes before it.
func (s *simulation) add(row store.Upcoming) {
	s.now = later(s.now, row.ReadyAt)
	if s.mayGo(row) {
		s.ready(row)
	}
}

// ready adds a row that is ready now.
func (s *simulation) ready(row store.Upcoming) {
	row.ReadyAt = s.now
	account := s.accounts[row.AccountID]
	if account == nil {
		account = &simulated{id: row.AccountID, index: -1}
		s.accounts[row.AccountID] = account
	}
	price := s.price(row.Action, row.HasURL)
	own := account.line(row.Action, price)
	if own == nil {
		own = &line{action: row.Action, price: price, windows: s.quotas.Of(row.AccountID, row.Action), budgets: s.budgets[row.AccountID]}
		account.lines = append(account.lines, own)
	}
	if len(own.rows) == 0 {
		own.at = later(own.at, s.now)
	}
	heap.Push(&own.rows, row)
	s.moved(account)
}

// let lets the first row of a line go now.
func (s *simulation) let(account *simulated, from *line) {
	row := heap.Pop(&from.rows).(store.Upcoming) //nolint:forcetypeassert // it holds nothing else
	if row.Before != nil && !s.now.Before(*row.Before) {
		s.missed(&row)
	} else {
		from.take(s.now, earlier(s.now.Add(s.sendWithin), row.Before))
		s.turn++
		account.turn = s.turn
		s.went(&row, from.departure(&row, s.now))
		s.leads(&row)
	}
	s.moved(account)
}

// rest tells how many rows of each account have not gone, and for what they wait.
func (s *simulation) rest(do func(accountID int64, what store.WaitingFor, rows int)) {
	for id, account := range s.accounts {
		for _, l := range account.lines {
			if len(l.rows) > 0 {
				do(id, l.waitsFor(), len(l.rows))
			}
		}
	}
	for id, rows := range s.stuck() {
		do(id, store.ForThread, rows)
	}
}

// moved puts an account where it belongs, after its lines have changed.
func (s *simulation) moved(account *simulated) {
	best := account.best()
	switch {
	case best == nil && account.index >= 0:
		heap.Remove(&s.waiting, account.index)
	case best == nil:
	case account.index < 0:
		account.at = best.at
		heap.Push(&s.waiting, account)
	default:
		account.at = best.at
		heap.Fix(&s.waiting, account.index)
	}
}

func (a *simulated) line(action string, price store.USD) *line {
	for _, l := range a.lines {
		if l.action == action && l.price == price {
			return l
		}
	}
	return nil
}

// best returns the line that may go first, of those that may go at the same instant the one with the better row; nil if
// none waits.
func (a *simulated) best() *line {
	var best *line
	for _, l := range a.lines {
		if len(l.rows) == 0 {
			continue
		}
		if best == nil || cmp.Or(l.at.Compare(best.at), compareRows(&l.rows[0], &best.rows[0])) < 0 {
			best = l
		}
	}
	return best
}

// putOff reports whether the line may go only later than it was thought, because others have taken places or money. It asks what a
// claim asks, in the same order.
func (l *line) putOff() bool {
	if budget, until := l.short(); budget != nil {
		l.at, l.limit, l.budget, l.budgetUntil = until, nil, budget, until
		return true
	}
	until, window := placeAt(l.windows, l.at)
	if window != nil {
		l.at, l.limit = until, window
	}
	return window != nil
}

// short returns the budget of which too little is left when the line goes, and until when; nil if there is none.
func (l *line) short() (*store.Budget, time.Time) {
	for _, b := range l.budgets.Of {
		b.Renew(l.at)
		if b.Limit < l.price {
			return b, endOfTime()
		}
	}
	if b := l.budgets.Lacking(l.price); b != nil {
		return b, b.Month.AddDate(0, 1, 0)
	}
	return nil, time.Time{}
}

// take takes the places and the money of a request that starts by an instant.
func (l *line) take(now, sendBy time.Time) {
	for _, q := range l.windows {
		if q.TooLong(sendBy.Sub(now)) {
			q.Take(now) // X answers at once
		} else {
			q.Take(sendBy)
		}
	}
	for _, b := range l.budgets.Of {
		b.Take(l.price)
	}
}

// departure says how a row of the line goes now.
func (l *line) departure(row *store.Upcoming, now time.Time) departure {
	d := departure{at: now, cost: l.price}
	if now.After(row.ReadyAt) {
		d.limit = l.limit
	}
	if row.ReadyAt.Before(l.budgetUntil) {
		d.budget = l.budget
	}
	return d
}

// waitsFor is what has put the line off last.
func (l *line) waitsFor() store.WaitingFor {
	if l.budget != nil && l.limit == nil {
		return store.ForBudget
	}
	return store.ForQuota
}

// compareRows orders rows as they go: by priority, by when they are due, by id.
func compareRows(a, b *store.Upcoming) int {
	return cmp.Or(a.Priority-b.Priority, a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID))
}

// rowHeap has the best row first.
type rowHeap []store.Upcoming

func (h *rowHeap) Len() int           { return len(*h) }
func (h *rowHeap) Less(i, j int) bool { return compareRows(&(*h)[i], &(*h)[j]) < 0 }
func (h *rowHeap) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push is heap's.
func (h *rowHeap) Push(row any) { *h = append(*h, row.(store.Upcoming)) } //nolint:forcetypeassert // see add

// Pop is heap's.
func (h *rowHeap) Pop() any {
	last := len(*h) - 1
	row := (*h)[last]
	*h = (*h)[:last]
	return row
}

// turns has the account first that goes first: by instant, then the one that went longest ago.
type turns []*simulated

func (h *turns) Len() int { return len(*h) }

func (h *turns) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	return cmp.Or(a.at.Compare(b.at), a.turn-b.turn, cmp.Compare(a.id, b.id)) < 0
}

func (h *turns) Swap(i, j int) {
	(*h)[i], (*h)[j] = (*h)[j], (*h)[i]
	(*h)[i].index, (*h)[j].index = i, j
}

// Push is heap's.
func (h *turns) Push(account any) {
	waiting := account.(*simulated) //nolint:forcetypeassert // see moved
	waiting.index = len(*h)
	*h = append(*h, waiting)
}

// Pop is heap's.
func (h *turns) Pop() any {
	last := len(*h) - 1
	account := (*h)[last]
	account.index = -1
	*h = (*h)[:last]
	return account
}
