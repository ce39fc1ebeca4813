package jobs

import (
	"cmp"
	"container/heap"
	"time"

	"tweetqueue/store"
)

// simulation lets rows go as the claims do, and as fast as the limits allow, on copies of the windows: the decision
// is the windows' own. It jumps from one instant at which a row may go to the next, and so costs the same for a
// minute and a year.
//
// Of an account, the best of the rows that are ready and for which all windows have a place goes first, by
// priority, then by when it is due; accounts that share an app's window take turns.
type simulation struct {
	quotas store.Quotas
	// sendWithin is how long after its claim a request may start: the instant for which its places are taken.
	sendWithin time.Duration
	// went is told of each row when it went, and of which window had held it back since it was ready, nil if none.
	went func(row *store.Upcoming, at time.Time, limit *store.Quota)
	// missed is told of each row whose deadline passed before it could go.
	missed func(row *store.Upcoming)

	now      time.Time
	accounts map[int64]*simulated
	waiting  turns
	turn     int // how many rows went
}

// simulated is an account of which rows wait.
type simulated struct {
	id    int64
	lines []*line
	at    time.Time // when one of them goes, at the earliest
	turn  int       // when one of them went last
	index int       // in turns
}

// line is the rows of an account and an action that are ready and wait, the best first.
type line struct {
	action  string
	windows []*store.Quota
	rows    rowHeap
	at      time.Time    // when the first of them goes, at the earliest
	limit   *store.Quota // the window that has put it off until then
}

func newSimulation(now time.Time, sendWithin time.Duration, quotas store.Quotas) *simulation {
	return &simulation{now: now, sendWithin: sendWithin, quotas: quotas, accounts: map[int64]*simulated{}}
}

// run lets go what goes before an instant.
func (s *simulation) run(until time.Time) {
	for len(s.waiting) > 0 && s.waiting[0].at.Before(until) {
		account := s.waiting[0]
		s.now = account.at
		next := account.best()
		if next.putOff() {
			s.moved(account)
			continue
		}
		s.let(account, next)
	}
}

// add adds a row. Rows come by the instant at which they are ready, after all went that goes before it.
func (s *simulation) add(row store.Upcoming) {
	if row.ReadyAt.After(s.now) {
		s.now = row.ReadyAt
	}
	row.ReadyAt = s.now
	account := s.accounts[row.AccountID]
	if account == nil {
		account = &simulated{id: row.AccountID, index: -1}
		s.accounts[row.AccountID] = account
	}
	own := account.line(row.Action)
	if own == nil {
		own = &line{action: row.Action, windows: s.quotas.Of(row.AccountID, row.Action)}
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
		sendBy := earlier(s.now.Add(s.sendWithin), row.Before)
		for _, q := range from.windows {
			if q.TooLong(sendBy.Sub(s.now)) {
				q.Take(s.now) // X answers at once
			} else {
				q.Take(sendBy)
			}
		}
		s.turn++
		account.turn = s.turn
		var limit *store.Quota
		if s.now.After(row.ReadyAt) {
			limit = from.limit
		}
		s.went(&row, s.now, limit)
	}
	s.moved(account)
}

// rest tells how many rows of each account have not gone.
func (s *simulation) rest(do func(accountID int64, rows int)) {
	for id, account := range s.accounts {
		rows := 0
		for _, l := range account.lines {
			rows += len(l.rows)
		}
		if rows > 0 {
			do(id, rows)
		}
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

func (a *simulated) line(action string) *line {
	for _, l := range a.lines {
		if l.action == action {
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

// putOff reports whether the line may go only later than it was thought, because others have taken places.
func (l *line) putOff() bool {
	at := l.at
	for _, q := range l.windows {
		if next := q.Next(at); next.After(l.at) {
			l.at, l.limit = next, q
		}
	}
	return l.at.After(at)
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
