package jobs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/store"
)

// epoch is when the simulations of these tests begin, before a month ends. Their windows' buckets are whole seconds, counted from 1970.
var epoch = time.Date(2026, time.November, 30, 23, 55, 0, 0, time.UTC)

// seconds is so many seconds after epoch.
func seconds(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// gone is what became of a row: when it went, or that it was missed.
type gone struct {
	id     int64
	at     int // seconds after epoch
	missed bool
}

// end is what became of all rows: of each, and how many of an account wait for ever, and for what.
type end struct {
	gone []gone
	wait map[string]int
}

func waits(accountID int64, what store.WaitingFor) string {
	return fmt.Sprint(accountID, " for ", what)
}

// testPrice is what a request costs in these tests.
func testPrice(action string, hasURL bool) store.USD {
	if hasURL {
		return 4
	}
	return store.USD(len(action) / 4) // 1
}

// simulate runs a simulation of rows.
func simulate(quotas store.Quotas, budgets map[int64]store.Budgets, sendWithin time.Duration, rows []store.Upcoming) end {
	e := end{wait: map[string]int{}}
	followed := map[int64]bool{}
	for i := range rows {
		followed[rows[i].PreviousID] = false
	}
	s := newSimulation(epoch, testPrice, quotas, budgets, followed)
	s.sendWithin = sendWithin
	s.went = func(row *store.Upcoming, how departure) {
		e.gone = append(e.gone, gone{id: row.ID, at: int(how.at.Sub(epoch) / time.Second)})
	}
	s.missed = func(row *store.Upcoming) { e.gone = append(e.gone, gone{id: row.ID, missed: true}) }
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b store.Upcoming) int { return a.ReadyAt.Compare(b.ReadyAt) })
	for _, row := range rows {
		s.run(row.ReadyAt)
		s.add(row)
	}
	s.run(endOfTime())
	s.rest(func(accountID int64, what store.WaitingFor, rows int) { e.wait[waits(accountID, what)] += rows })
	return e
}

// drawnWindow is a window as a test draws it: it makes the quota and counts by itself.
type drawnWindow struct {
	account      int64 // 0: of the app
	actions      []string
	maximum      int
	bucket       int   // seconds; the period is 256 of them
	used         []int // seconds before epoch at which places were taken
	others       int
	othersUntil  int // seconds after epoch
	blockedUntil int

	freeAt []int // when each place that was taken is free again
}

func (d *drawnWindow) quota(id int64) *store.Quota {
	q := &store.Quota{ID: id, AccountID: d.account, Name: fmt.Sprint(id), Actions: d.actions, Maximum: d.maximum, Period: time.Duration(256*d.bucket) * time.Second}
	if d.account == 0 {
		q.AppID = 1
	}
	for _, ago := range d.used {
		q.Take(seconds(-ago))
	}
	if d.others > 0 {
		q.Others, q.OthersUntil = d.others, new(seconds(d.othersUntil))
	}
	if d.blockedUntil > 0 {
		q.BlockedUntil = new(seconds(d.blockedUntil))
	}
	return q
}

// take takes a place for an instant, in seconds. Places are given back in the order in which they were taken, also one that was taken
// for an earlier instant, because of a deadline.
func (d *drawnWindow) take(at int) {
	unix := int(seconds(at).Unix())
	freeAt := (unix/d.bucket+1)*d.bucket + 256*d.bucket - int(epoch.Unix())
	if len(d.freeAt) > 0 {
		freeAt = max(freeAt, d.freeAt[len(d.freeAt)-1])
	}
	d.freeAt = append(d.freeAt, freeAt)
}

func (d *drawnWindow) free(now int) bool {
	taken := 0
	for _, at := range d.freeAt {
		if at > now {
			taken++
		}
	}
	if now < d.othersUntil {
		taken += d.others
	}
	return taken < d.maximum && now >= d.blockedUntil
}

func drawWindow(account int64) *rapid.Generator[*drawnWindow] {
	return rapid.Custom(func(t *rapid.T) *drawnWindow {
		d := &drawnWindow{
			account: account, actions: rapid.SampledFrom([][]string{{"post"}, {"retweet"}, {"post", "retweet"}}).Draw(t, "actions"),
			maximum: rapid.IntRange(1, 6).Draw(t, "maximum"), bucket: rapid.IntRange(1, 3).Draw(t, "bucket"),
		}
		d.used = rapid.SliceOfN(rapid.IntRange(0, 300), 0, 4).Draw(t, "used")
		slices.Sort(d.used)
		slices.Reverse(d.used)
		for _, ago := range d.used {
			d.take(-ago)
		}
		if rapid.IntRange(0, 3).Draw(t, "others?") == 0 {
			d.others, d.othersUntil = rapid.IntRange(1, 8).Draw(t, "others"), rapid.IntRange(1, 900).Draw(t, "othersUntil")
		}
		if rapid.IntRange(0, 3).Draw(t, "blocked?") == 0 {
			d.blockedUntil = rapid.IntRange(1, 900).Draw(t, "blockedUntil")
		}
		return d
	})
}

// drawnBudget is a budget as a test draws it: it makes the store's and counts by itself.
type drawnBudget struct {
	account      int64 // 0: of the app
	limit, spent store.USD
	month        time.Month
}

func (d *drawnBudget) budget() *store.Budget {
	b := &store.Budget{AccountID: d.account, Month: time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC), Limit: d.limit, Spent: d.spent}
	if d.account == 0 {
		b.AppID = 1
	}
	return b
}

// left is how much is left of it in the month of an instant.
func (d *drawnBudget) left(now int) store.USD {
	if month := seconds(now).Month(); month != d.month {
		d.month, d.spent = month, 0
	}
	return d.limit - d.spent
}

func drawBudget(account int64) *rapid.Generator[*drawnBudget] {
	return rapid.Custom(func(t *rapid.T) *drawnBudget {
		return &drawnBudget{
			account: account, month: time.November,
			limit: store.USD(rapid.IntRange(0, 15).Draw(t, "budget")), spent: store.USD(rapid.IntRange(0, 16).Draw(t, "spent")),
		}
	})
}

func drawRow(accounts int) *rapid.Generator[store.Upcoming] {
	return rapid.Custom(func(t *rapid.T) store.Upcoming {
		due := rapid.IntRange(-50, 400).Draw(t, "due")
		row := store.Upcoming{
			AccountID: int64(rapid.IntRange(1, accounts).Draw(t, "account")), Action: rapid.SampledFrom([]string{"post", "retweet"}).Draw(t, "action"),
			DueAt: seconds(due), Priority: rapid.IntRange(1, 4).Draw(t, "priority"), HasURL: rapid.IntRange(0, 3).Draw(t, "URL?") == 0,
		}
		row.ReadyAt = seconds(due + rapid.SampledFrom([]int{0, 0, 0, 100}).Draw(t, "held"))
		if rapid.IntRange(0, 4).Draw(t, "deadline?") == 0 {
			row.Before = new(seconds(due + rapid.IntRange(1, 600).Draw(t, "deadline")))
		}
		return row
	})
}

// drawThreads gives rows ids, and makes threads of some.
func drawThreads(t *rapid.T, rows []store.Upcoming) {
	for i := range rows {
		rows[i].ID = int64(i + 1)
		before := rapid.IntRange(0, 2*len(rows)).Draw(t, "after")
		if before < i && rows[before].AccountID == rows[i].AccountID {
			rows[i].PreviousID = rows[before].ID
		}
	}
}

// stepping does what a simulation does, second by second, row by row, place by place and month by month.
type stepping struct {
	end

	windows    []*drawnWindow
	budgets    []*drawnBudget
	sendWithin int
	left       []store.Upcoming
	lastTurn   map[int64]int
	turn       int
	posted     map[int64]int // tweets that went, and in which round
	round      int
}

func (s *stepping) run() end {
	for now, month := 0, 0; len(s.left) > 0 && month < 40; now++ {
		for {
			best := s.best(now)
			if best < 0 && !slices.Contains(slices.Collect(maps.Values(s.posted)), s.round) {
				break
			}
			if best < 0 { // what follows those that went
				s.round++
				continue
			}
			s.let(best, now)
		}
		// From then on only the next month changes anything.
		if now > 600 && !slices.ContainsFunc(s.left, func(row store.Upcoming) bool { return s.ready(&row, now) && s.paid(&row, now) }) {
			month++
			at := seconds(now)
			now = int(time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC).Sub(epoch)/time.Second) - 1
		}
	}
	for _, row := range s.left {
		what := store.ForBudget
		if _, went := s.posted[row.PreviousID]; row.PreviousID != 0 && !went {
			what = store.ForThread
		}
		s.wait[waits(row.AccountID, what)]++
	}
	return s.end
}

// best is the row that goes first of those that may go now, or -1.
func (s *stepping) best(now int) int {
	best := -1
	for i := range s.left {
		a := &s.left[i]
		if !s.ready(a, now) || !s.paid(a, now) || !placesFree(s.windows, a, now) {
			continue
		}
		if best >= 0 {
			b := &s.left[best]
			if cmp.Or(s.lastTurn[a.AccountID]-s.lastTurn[b.AccountID], int(a.AccountID-b.AccountID), compareRows(a, b)) >= 0 {
				continue
			}
		}
		best = i
	}
	return best
}

// ready reports whether a row is ready, in rounds of which each has what followed the one before.
func (s *stepping) ready(row *store.Upcoming, now int) bool {
	if row.ReadyAt.After(seconds(now)) {
		return false
	}
	round, went := s.posted[row.PreviousID]
	return row.PreviousID == 0 || went && round < s.round
}

func (s *stepping) paid(row *store.Upcoming, now int) bool {
	return !slices.ContainsFunc(s.budgetsOf(row), func(b *drawnBudget) bool { return b.left(now) < testPrice(row.Action, row.HasURL) })
}

func (s *stepping) budgetsOf(row *store.Upcoming) []*drawnBudget {
	return slices.DeleteFunc(slices.Clone(s.budgets), func(b *drawnBudget) bool { return b.account != 0 && b.account != row.AccountID })
}

// let lets a row go, or be missed.
func (s *stepping) let(i, now int) {
	row := s.left[i]
	s.left = slices.Delete(s.left, i, i+1)
	if row.Before != nil && !seconds(now).Before(*row.Before) {
		s.gone = append(s.gone, gone{id: row.ID, missed: true})
		return
	}
	s.turn++
	s.lastTurn[row.AccountID] = s.turn
	at := now + s.sendWithin
	if row.Before != nil {
		at = min(at, int(row.Before.Sub(epoch)/time.Second))
	}
	for _, w := range windowsOf(s.windows, &row) {
		if at-now > 2*w.bucket {
			w.take(now)
		} else {
			w.take(at)
		}
	}
	for _, b := range s.budgetsOf(&row) {
		b.spent += testPrice(row.Action, row.HasURL)
	}
	s.gone = append(s.gone, gone{id: row.ID, at: now})
	s.posted[row.ID] = s.round
}

func windowsOf(windows []*drawnWindow, row *store.Upcoming) []*drawnWindow {
	var counting []*drawnWindow
	for _, w := range windows {
		if (w.account == 0 || w.account == row.AccountID) && slices.Contains(w.actions, row.Action) {
			counting = append(counting, w)
		}
	}
	return counting
}

func placesFree(windows []*drawnWindow, row *store.Upcoming, now int) bool {
	return !slices.ContainsFunc(windowsOf(windows, row), func(w *drawnWindow) bool { return !w.free(now) })
}

// TestSimulationIsRight: the jumps come to what going second by second does, row by row.
func TestSimulationIsRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		accounts := rapid.IntRange(1, 3).Draw(t, "accounts")
		var windows []*drawnWindow
		for account := range int64(accounts + 1) {
			windows = append(windows, rapid.SliceOfN(drawWindow(account), 0, 2).Draw(t, fmt.Sprint("windows of ", account))...)
		}
		rows := rapid.SliceOfN(drawRow(accounts), 1, 25).Draw(t, "rows")
		drawThreads(t, rows)
		sendWithin := rapid.IntRange(0, 5).Draw(t, "sendWithin")
		quotas, budgets, drawn := store.Quotas{}, map[int64]store.Budgets{}, []*drawnBudget(nil)
		for i, w := range windows {
			q := w.quota(int64(i + 1))
			for account := range int64(accounts) {
				if w.account == 0 || w.account == account+1 {
					quotas[account+1] = append(quotas[account+1], q)
				}
			}
		}
		for account := range int64(accounts + 1) {
			drawn = append(drawn, rapid.SliceOfN(drawBudget(account), 0, 1).Draw(t, fmt.Sprint("budget of ", account))...)
		}
		for _, d := range drawn {
			b := d.budget()
			for account := range int64(accounts) {
				if d.account == 0 || d.account == account+1 {
					budgets[account+1] = store.Budgets{Of: append(budgets[account+1].Of, b)}
				}
			}
		}
		want := stepping{
			end: end{wait: map[string]int{}}, windows: windows, budgets: drawn, sendWithin: sendWithin, left: slices.Clone(rows),
			lastTurn: map[int64]int{}, posted: map[int64]int{},
		}
		require.Equal(t, want.run(), simulate(quotas, budgets, time.Duration(sendWithin)*time.Second, rows))
	})
}
