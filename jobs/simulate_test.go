package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/store"
)

// epoch is when the simulations of these tests begin. Their windows' buckets are whole seconds, counted from 1970.
var epoch = time.Date(2026, time.December, 1, 9, 0, 0, 0, time.UTC)

// seconds is so many seconds after epoch.
func seconds(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// gone is what became of a row: when it went, or that it was missed.
type gone struct {
	id     int64
	at     int // seconds after epoch
	missed bool
}

// simulate runs a simulation of rows.
func simulate(quotas store.Quotas, sendWithin time.Duration, rows []store.Upcoming) []gone {
	var all []gone
	s := newSimulation(epoch, sendWithin, quotas)
	s.went = func(row *store.Upcoming, at time.Time, _ *store.Quota) {
		all = append(all, gone{id: row.ID, at: int(at.Sub(epoch) / time.Second)})
	}
	s.missed = func(row *store.Upcoming) { all = append(all, gone{id: row.ID, missed: true}) }
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b store.Upcoming) int { return a.ReadyAt.Compare(b.ReadyAt) })
	for _, row := range rows {
		s.run(row.ReadyAt)
		s.add(row)
	}
	s.run(endOfTime())
	return all
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

func drawRow(accounts int) *rapid.Generator[store.Upcoming] {
	return rapid.Custom(func(t *rapid.T) store.Upcoming {
		due := rapid.IntRange(-50, 400).Draw(t, "due")
		row := store.Upcoming{
			AccountID: int64(rapid.IntRange(1, accounts).Draw(t, "account")), Action: rapid.SampledFrom([]string{"post", "retweet"}).Draw(t, "action"),
			DueAt: seconds(due), Priority: rapid.IntRange(1, 4).Draw(t, "priority"),
		}
		row.ReadyAt = seconds(due + rapid.SampledFrom([]int{0, 0, 0, 100}).Draw(t, "held"))
		if rapid.IntRange(0, 4).Draw(t, "deadline?") == 0 {
			row.Before = new(seconds(due + rapid.IntRange(1, 600).Draw(t, "deadline")))
		}
		return row
	})
}

// stepped does what a simulation does, second by second, row by row, and place by place.
func stepped(windows []*drawnWindow, sendWithin int, rows []store.Upcoming) []gone {
	var all []gone
	lastTurn, turn, left := map[int64]int{}, 0, slices.Clone(rows)
	for now := 0; len(left) > 0; now++ {
		for {
			best := -1
			for i := range left {
				if !left[i].ReadyAt.After(seconds(now)) && placesFree(windows, &left[i], now) &&
					(best < 0 || cmp.Or(lastTurn[left[i].AccountID]-lastTurn[left[best].AccountID], int(left[i].AccountID-left[best].AccountID), compareRows(&left[i], &left[best])) < 0) {
					best = i
				}
			}
			if best < 0 {
				break
			}
			row := left[best]
			left = slices.Delete(left, best, best+1)
			if row.Before != nil && !seconds(now).Before(*row.Before) {
				all = append(all, gone{id: row.ID, missed: true})
				continue
			}
			turn++
			lastTurn[row.AccountID] = turn
			at := now + sendWithin
			if row.Before != nil {
				at = min(at, int(row.Before.Sub(epoch)/time.Second))
			}
			for _, w := range windowsOf(windows, &row) {
				if at-now > 2*w.bucket {
					w.take(now)
				} else {
					w.take(at)
				}
			}
			all = append(all, gone{id: row.ID, at: now})
		}
	}
	return all
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
		for i := range rows {
			rows[i].ID = int64(i)
		}
		sendWithin := rapid.IntRange(0, 5).Draw(t, "sendWithin")
		quotas := store.Quotas{}
		for i, w := range windows {
			q := w.quota(int64(i + 1))
			for account := range int64(accounts) {
				if w.account == 0 || w.account == account+1 {
					quotas[account+1] = append(quotas[account+1], q)
				}
			}
		}
		got, want := simulate(quotas, time.Duration(sendWithin)*time.Second, rows), stepped(windows, sendWithin, rows)
		require.Equal(t, want, got)
	})
}
