package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const quarter = 15 * time.Minute

// window is one of acme's.
func window(name, family string, maximum int, period time.Duration, actions ...string) *Quota {
	return &Quota{Name: name, Family: family, Maximum: maximum, Period: period, Actions: actions}
}

// guideWindows are those of a post under the guide, and of a retweet.
func guideWindows() (posts, writes *Quota) {
	return window("posts", familyEndpoint, 200, quarter, "post"), window("writes", familyEndpoint, 300, 3*time.Hour, "post", "retweet")
}

func TestReportedWindow(t *testing.T) {
	t.Parallel()
	posts, writes := guideWindows()
	lowered := window("lowered", familyEndpoint, 200, quarter, "post")
	lowered.XMaximum = 100
	day := window("day", familyUser, 17, 24*time.Hour, "post")
	for name, test := range map[string]struct {
		report  Report
		windows []*Quota
		action  string
		want    *Quota
	}{
		"AsConfigured":       {Report{familyEndpoint, 200, 7, quarter}, []*Quota{writes, posts}, "post", posts},
		"OtherMaximum":       {Report{familyEndpoint, 100, 7, quarter}, []*Quota{writes, posts}, "post", posts},
		"ResetRoundedUp":     {Report{familyEndpoint, 100, 7, quarter + time.Second}, []*Quota{writes, posts}, "post", posts},
		"TheLongerExhausted": {Report{familyEndpoint, 300, 0, 2 * time.Hour}, []*Quota{posts, writes}, "post", writes},
		"NoResetTold":        {Report{familyEndpoint, 300, 0, 0}, []*Quota{posts, writes}, "post", writes},
		"AsXSaidBefore":      {Report{familyEndpoint, 100, 7, time.Minute}, []*Quota{window("short", familyEndpoint, 5, time.Minute, "post"), lowered}, "post", lowered},
		"NotOfSeveral":       {Report{familyEndpoint, 50, 7, quarter}, []*Quota{writes}, "retweet", nil},
		"ResetTooFar":        {Report{familyEndpoint, 100, 7, 5 * time.Hour}, []*Quota{posts, writes}, "post", nil},
		"OtherFamily":        {Report{familyUser, 100, 7, time.Hour}, []*Quota{posts, writes}, "post", nil},
		"Family":             {Report{familyUser, 25, 7, time.Hour}, []*Quota{posts, day, writes}, "post", day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Same(t, test.want, test.report.window(test.windows, test.action))
		})
	}
}

// X's maximum outranks what was believed, in both directions; a fixed window is only lowered.
func TestReportedMaximum(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	for _, limit := range []int{100, 1000} {
		q.report(Report{familyEndpoint, limit, limit, quarter}, 0, noon)
		require.Equal(t, limit, q.Free(noon))
	}
	q.Fixed = true
	require.Equal(t, 200, q.Free(noon))
	q.report(Report{familyEndpoint, 100, 100, quarter}, 0, noon)
	require.Equal(t, 100, q.Free(noon))
	q.report(Report{familyEndpoint, -1, -1, 0}, 0, noon)
	require.Equal(t, 100, q.Free(noon), "what is missing says nothing")
}

// What X has counted beside our own is others', until X's window ends.
func TestReportedUseOfOthers(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	var last int64
	for range 10 {
		last = q.Take(noon.Add(3 * time.Second))
	}
	now := noon.Add(time.Second)
	q.report(Report{familyEndpoint, 200, 190, quarter - time.Second}, last, now)
	require.Zero(t, q.others(now), "only we")
	require.Nil(t, q.OthersUntil)
	q.report(Report{familyEndpoint, 200, 90, quarter - time.Second}, last, now)
	require.Equal(t, 100, q.others(now))
	require.Equal(t, 90, q.Free(now), "what remains")
	q.Take(now)
	require.Equal(t, 89, q.Free(now), "less what was granted since")
	reset := noon.Add(quarter)
	require.Equal(t, 100, q.others(reset.Add(-time.Microsecond)))
	require.Zero(t, q.others(reset))
	for range 89 {
		q.Take(now)
	}
	require.Equal(t, reset, q.Next(now), "the places of others come free at X's reset")

	// An exhausted window, of which we have none.
	q, _ = guideWindows()
	q.report(Report{familyEndpoint, 200, 0, time.Minute}, 0, noon)
	require.Equal(t, noon.Add(time.Minute), q.Next(noon))
}

// Answers come in any order: the one to the latest request counts, with what was granted after it.
func TestReportsOutOfOrder(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	first := q.Take(noon)
	second := q.Take(noon)
	third := q.Take(noon)
	q.report(Report{familyEndpoint, 200, 148, quarter}, second, noon) // 52 used: ours are two of them
	require.Equal(t, 50, q.others(noon))
	require.Equal(t, 147, q.Free(noon), "148 less the third")
	q.report(Report{familyEndpoint, 100, 99, quarter}, first, noon)
	require.Equal(t, 50, q.others(noon))
	require.Equal(t, 200, q.Max())
	q.report(Report{familyEndpoint, 200, 197, quarter}, third, noon)
	require.Zero(t, q.others(noon))
}

// X's window may have begun after some of our requests: they are not in what it counts.
func TestReportedUseAfterAReset(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	for range 100 {
		q.Take(noon)
	}
	now := noon.Add(10 * time.Minute)
	last := q.Take(now)
	q.report(Report{familyEndpoint, 200, 149, quarter}, last, now) // X began anew with our last, and 50 of others
	require.Equal(t, 50, q.others(now))
	require.Equal(t, 49, q.Free(now), "ours of before still count: X may say so again")
}

// A place is held for as long as its request may have been under way, and no longer once it has arrived.
func TestMove(t *testing.T) {
	t.Parallel()
	q := window("posts", familyEndpoint, 2, 15*time.Second, "post")
	q.Take(noon.Add(3 * time.Second))
	q.Take(noon.Add(3 * time.Second))
	q.Move(noon.Add(3*time.Second), noon.Add(100*time.Millisecond))
	next := q.Next(noon.Add(time.Second))
	require.GreaterOrEqual(t, next, noon.Add(15*time.Second+100*time.Millisecond))
	require.Less(t, next, noon.Add(15*time.Second+200*time.Millisecond))
	require.Equal(t, 1, q.used(next))
}
