package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// held is the longest that a place is held: the period, and one bucket.
func (q *Quota) held() time.Duration {
	return q.Period + time.Duration(q.width())*time.Microsecond
}

// granted is a grant of the brute-force model: when its request arrived, and by when it had to.
type granted struct{ arrived, at time.Time }

// model is what the window must hold to, kept the slow way: every grant.
type model struct {
	quota  Quota
	grants []granted
}

// arrivals counts the requests that arrived on an interval, both ends included.
func (m *model) arrivals(from, to time.Time) int {
	n := 0
	for _, g := range m.grants {
		if !g.arrived.Before(from) && !g.arrived.After(to) {
			n++
		}
	}
	return n
}

// since counts the grants whose requests had to arrive by an instant not before from.
func (m *model) since(from time.Time) int {
	n := 0
	for _, g := range m.grants {
		if !g.at.Before(from) {
			n++
		}
	}
	return n
}

// certain is the earliest instant at which no grant that could still count leaves too few places:
// as if each were held for its period and a bucket.
func (m *model) certain(now time.Time) time.Time {
	for at := now; ; {
		used, next := 0, time.Time{}
		for _, g := range m.grants {
			if end := g.at.Add(m.quota.held()); end.After(at) {
				used++
				if next.IsZero() || end.Before(next) {
					next = end
				}
			}
		}
		if used < m.quota.Maximum {
			return at
		}
		at = next
	}
}

// Never more requests than the maximum arrive on any interval as long as the period; and the instant that Next names is
// right to within one bucket: a place is free then, and none is free a bucket before.
func TestQuotaAgainstEveryGrant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{quota: Quota{
			Maximum: rapid.IntRange(1, 12).Draw(t, "maximum"),
			Period:  rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 15 * time.Minute, 3 * time.Hour, 100 * time.Microsecond}).Draw(t, "period"),
		}}
		q := &m.quota
		bucket := time.Duration(q.width()) * time.Microsecond
		// How long a request may take to arrive.
		travel := q.Period / time.Duration(rapid.SampledFrom([]int{1_000_000_000_000, 20}).Draw(t, "travel"))
		now := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start")))
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(q.Period/3)).Draw(t, "wait")))
			},
			"waitForNext": func(t *rapid.T) {
				next := q.Next(now)
				if next.Equal(now) {
					t.Skip("it is free")
				}
				require.Greater(t, next, now)
				// It is exact: a moment before, there is none.
				require.Equal(t, next, q.Next(next.Add(-time.Microsecond)))
				now = next
			},
			"take": func(t *rapid.T) {
				if !q.Next(now).Equal(now) {
					t.Skip("no place")
				}
				for range rapid.IntRange(1, 3).Draw(t, "places") {
					if !q.Next(now).Equal(now) {
						break
					}
					at := now.Add(travel)
					q.Take(at)
					arrived := now.Add(time.Duration(rapid.Int64Range(0, int64(travel)).Draw(t, "travelled")))
					m.grants = append(m.grants, granted{arrived, at})
				}
			},
			"giveBack": func(t *rapid.T) {
				if len(m.grants) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(m.grants)-1).Draw(t, "grant")
				q.GiveBack(m.grants[i].at, now)
				m.grants = append(m.grants[:i:i], m.grants[i+1:]...)
			},
			"arriveLate": func(t *rapid.T) {
				if len(m.grants) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(m.grants)-1).Draw(t, "grant")
				if at := m.grants[i].at; !now.After(at) || !at.Add(q.Period).After(now) {
					t.Skip("it is not late, or its place may be another's by now")
				}
				q.Move(m.grants[i].at, now)
				m.grants[i] = granted{now, now}
			},
			"arrive": func(t *rapid.T) {
				if len(m.grants) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(m.grants)-1).Draw(t, "grant")
				if now.Before(m.grants[i].arrived) || !now.Before(m.grants[i].at) {
					t.Skip("it has not arrived, or is held no longer than that")
				}
				q.Move(m.grants[i].at, now)
				m.grants[i].at = now
			},
			"": func(t *rapid.T) {
				for _, g := range m.grants {
					require.LessOrEqual(t, m.arrivals(g.arrived, g.arrived.Add(q.Period)), q.Maximum, "in the period from %s", g.arrived)
				}
				next := q.Next(now)
				require.False(t, next.Before(now))
				require.False(t, next.After(m.certain(now)), "later than one bucket after the window's end")
				if next.After(now) { // no earlier place was possible, but for the bucket
					require.GreaterOrEqual(t, m.since(next.Add(-q.Period-bucket)), q.Maximum)
				}
				require.Len(t, q.grants, len(q.buckets))
				require.LessOrEqual(t, len(q.buckets), bucketsPerPeriod*21/20+2)
				require.IsIncreasing(t, append([]int64{-1}, q.buckets...))
			},
		})
	})
}

func TestQuotaBlocked(t *testing.T) {
	t.Parallel()
	until := noon.Add(time.Minute)
	q := &Quota{Maximum: 1, Period: time.Second, BlockedUntil: &until}
	require.Equal(t, until, q.Next(noon))
	require.Equal(t, until, q.Next(until))
	after := until.Add(time.Nanosecond)
	require.Equal(t, after, q.Next(after))
	q.Take(after)
	require.Greater(t, q.Next(after), after)

	// The later of the two counts: the window is full until after the block.
	q = &Quota{Maximum: 1, Period: time.Hour, BlockedUntil: &until}
	q.Take(noon)
	require.GreaterOrEqual(t, q.Next(noon), noon.Add(time.Hour))
}

// A clock that was set back must not let more through: what it grants counts as long as the latest.
func TestQuotaClockSetBack(t *testing.T) {
	t.Parallel()
	q := &Quota{Maximum: 2, Period: time.Minute}
	q.Take(noon)
	back := noon.Add(-30 * time.Second)
	require.Equal(t, back, q.Next(back))
	q.Take(back)
	require.GreaterOrEqual(t, q.Next(back), noon.Add(time.Minute))
	q.GiveBack(noon, back)
	require.Equal(t, back, q.Next(back))
	q.GiveBack(noon.Add(-time.Hour), back) // of long ago: it counts no more, and must not stand for one that does
	q.Take(back)
	require.Greater(t, q.Next(back), back)
}

// A request with an early deadline must arrive earlier than one that was granted before it: it is held as
// long as that one, and is given back all the same, unless it cannot be told from one that is over.
func TestQuotaEarlierDeadline(t *testing.T) {
	t.Parallel()
	q := &Quota{Maximum: 3, Period: time.Minute}
	q.Take(noon)
	q.Take(noon.Add(8 * time.Second))
	q.Take(noon.Add(3 * time.Second))
	require.Equal(t, noon.Add(time.Minute), q.Next(noon).UTC().Truncate(time.Second))
	q.GiveBack(noon.Add(3*time.Second), noon)
	require.Equal(t, noon, q.Next(noon))
	q.GiveBack(noon.Add(8*time.Second), noon)
	require.Equal(t, 1, q.used(noon))

	// The one before has ended: as long as its own bucket would count, it is in the later one, and then nothing tells.
	for after, left := range map[time.Duration]int{time.Minute: 1, 64 * time.Second: 2} {
		q = &Quota{Maximum: 2, Period: time.Minute}
		q.Take(noon.Add(8 * time.Second))
		q.Take(noon.Add(3 * time.Second))
		now := noon.Add(after)
		q.GiveBack(noon.Add(3*time.Second), now)
		require.Equal(t, left, q.used(now))
	}
}

// A maximum that shrank below what was granted waits until enough are free.
func TestQuotaShrunk(t *testing.T) {
	t.Parallel()
	q := &Quota{Maximum: 3, Period: time.Minute}
	for i := range 3 {
		q.Take(noon.Add(time.Duration(i) * 10 * time.Second))
	}
	q.Maximum = 1
	next := q.Next(noon.Add(30 * time.Second))
	require.GreaterOrEqual(t, next, noon.Add(80*time.Second))
	require.Less(t, next, noon.Add(81*time.Second))
}
