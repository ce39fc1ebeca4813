package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const quarter = 15 * time.Minute

// told is a report at noon.
func told(family string, limit, remaining int, reset time.Duration) Report {
	return Report{family, limit, remaining, reset, noon.Add(reset)}
}

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
		"AsConfigured":       {told(familyEndpoint, 200, 7, quarter), []*Quota{writes, posts}, "post", posts},
		"OtherMaximum":       {told(familyEndpoint, 100, 7, quarter), []*Quota{writes, posts}, "post", posts},
		"ResetRoundedUp":     {told(familyEndpoint, 100, 7, quarter+time.Second), []*Quota{writes, posts}, "post", posts},
		"ResetAMinuteOff":    {told(familyEndpoint, 100, 7, quarter+time.Minute), []*Quota{writes, posts}, "post", posts},
		"ShortAndFarOff":     {told(familyEndpoint, 5, 0, 3*time.Minute), []*Quota{window("short", familyEndpoint, 5, 2*time.Minute, "post")}, "post", nil},
		"TheLongerExhausted": {told(familyEndpoint, 300, 0, 2*time.Hour), []*Quota{posts, writes}, "post", writes},
		"NoResetTold":        {told(familyEndpoint, 300, 0, 0), []*Quota{posts, writes}, "post", writes},
		"AsXSaidBefore":      {told(familyEndpoint, 100, 7, time.Minute), []*Quota{window("short", familyEndpoint, 5, time.Minute, "post"), lowered}, "post", lowered},
		"NotOfSeveral":       {told(familyEndpoint, 50, 7, quarter), []*Quota{writes}, "retweet", nil},
		"ResetTooFar":        {told(familyEndpoint, 100, 7, 5*time.Hour), []*Quota{posts, writes}, "post", nil},
		"OtherFamily":        {told(familyUser, 100, 7, time.Hour), []*Quota{posts, writes}, "post", nil},
		"Family":             {told(familyUser, 25, 7, time.Hour), []*Quota{posts, day, writes}, "post", day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Same(t, test.want, test.report.window(test.windows, test.action))
		})
	}
}

// What nobody has configured is a window of X's nearest length. Where a window of the action alone is configured, a longer
// one is not believed.
func TestReportedLongerWindow(t *testing.T) {
	t.Parallel()
	for reset, want := range map[time.Duration]time.Duration{
		time.Minute: quarter, quarter + 3*time.Second: quarter, quarter + time.Minute: quarter,
		quarter + 2*time.Minute: 3 * time.Hour, 3*time.Hour + time.Minute: 3 * time.Hour, 25 * time.Hour: 24 * time.Hour,
	} {
		require.Equal(t, want, told(familyEndpoint, 100, 99, reset).period(), reset)
	}
	require.Equal(t, 24*time.Hour, told(familyUser, 100, 99, time.Minute).period())

	posts, writes := guideWindows()
	posts.Configured, writes.Configured = true, true
	windows := []*Quota{posts, writes}
	require.True(t, told(familyEndpoint, 100, 99, 2*time.Hour).isOdd(windows, "post"))
	require.False(t, told(familyEndpoint, 50, 49, 2*time.Hour).isOdd(windows, "retweet"), "that of several says nothing of one")
	require.False(t, told(familyUser, 50, 49, 2*time.Hour).isOdd(windows, "post"))
	posts.Configured = false // only X has told of it
	require.False(t, told(familyEndpoint, 100, 99, 2*time.Hour).isOdd(windows, "post"))
}

// A reset may be told farther away than the window is long: our own request is among what X counted all the same.
func TestReportedResetTooFar(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	q.Take(noon)
	q.report(told(familyEndpoint, 200, 199, quarter+50*time.Second), noon)
	require.Zero(t, q.others(noon))
}

// X's maximum outranks what was believed, in both directions; a fixed window is only lowered.
func TestReportedMaximum(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	for _, limit := range []int{100, 1000} {
		q.report(told(familyEndpoint, limit, limit, quarter), noon)
		require.Equal(t, limit, q.Free(noon))
	}
	// Answers come in any order: of X's windows the one that ends last is the latest.
	later := Report{familyEndpoint, 1000, 900, quarter, noon.Add(quarter)}
	q.report(later, noon)
	q.report(Report{familyEndpoint, 300, 10, time.Second, noon.Add(time.Second)}, noon)
	require.Equal(t, 1000, q.Max(), "one that was answered before X raised it")
	q.XReset, q.XUsed, q.Others, q.OthersSeen, q.OthersUntil = nil, 0, 0, nil, nil
	q.Fixed = true
	require.Equal(t, 200, q.Free(noon))
	q.report(told(familyEndpoint, 100, 100, quarter), noon)
	require.Equal(t, 100, q.Free(noon))
	q.report(told(familyEndpoint, -1, -1, 0), noon)
	require.Equal(t, 100, q.Free(noon), "what is missing says nothing")
}

// What X has counted beside our own is others', until X's window ends.
func TestReportedUseOfOthers(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	for range 10 {
		q.Take(noon.Add(3 * time.Second))
	}
	now, reset := noon.Add(time.Second), noon.Add(quarter)
	of := func(remaining int) Report { return Report{familyEndpoint, 200, remaining, reset.Sub(now), reset} }
	q.report(of(190), now)
	require.Zero(t, q.others(now), "only we")
	require.False(t, q.cautious(now))
	q.report(of(195), now)
	require.Zero(t, q.others(now), "some of ours had not arrived")
	q.report(of(90), now)
	require.Equal(t, 100, q.others(now))
	q.report(of(191), now) // of a request that was answered late
	require.Equal(t, 100, q.others(now))
	require.Equal(t, 100, q.others(reset.Add(-time.Microsecond)))
	require.Zero(t, q.others(reset))

	// One goes at a time, for what others do next nobody knows.
	require.Zero(t, q.Free(now), "ten are on their way")
	q.Open = 0
	require.Equal(t, 1, q.Free(now))
	q.Take(now)
	require.Zero(t, q.Free(now))
	require.Greater(t, q.Next(now), now)
	q.Open = 0
	require.Equal(t, now, q.Next(now))
	for range 89 {
		q.Take(now)
	}
	q.Open = 0
	require.Equal(t, reset, q.Next(now), "the places of others come free at X's reset")
	require.Equal(t, 1, q.Free(reset.Add(time.Second)), "they may take them again")
	require.False(t, q.cautious(now.Add(2*quarter)))

	// An exhausted window, of which we have none.
	q, _ = guideWindows()
	q.report(told(familyEndpoint, 200, 0, time.Minute), noon)
	require.Equal(t, noon.Add(time.Minute), q.Next(noon))
}

// Answers to an earlier window of X say nothing of this one.
func TestReportOfAnEarlierWindow(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	q.report(told(familyEndpoint, 200, 150, quarter), noon)
	require.Equal(t, 50, q.others(noon))
	q.report(told(familyEndpoint, 200, 0, time.Second), noon)
	require.Equal(t, 50, q.others(noon))
	later := noon.Add(quarter)
	q.report(Report{familyEndpoint, 200, 199, quarter, later.Add(quarter)}, later)
	require.Equal(t, 1, q.others(later), "X began anew")
}

// Where X's window rolls, the places of others come free one by one, as far as anybody knows.
func TestReportedWindowThatRolls(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	full := func(at, reset time.Time) { q.report(Report{familyEndpoint, 200, 0, reset.Sub(at), reset}, at) }
	first, second := noon.Add(time.Minute), noon.Add(2*time.Minute)
	full(noon, first)
	require.False(t, q.Rolls)
	require.Zero(t, q.others(first))
	full(first, second) // and is full again, sooner than a window that began then would be over
	require.True(t, q.Rolls)
	require.Equal(t, 200, q.others(second.Add(-time.Second)))
	require.Equal(t, 199, q.others(second))
	require.Equal(t, second, q.Next(first))
	require.Equal(t, first.Add(quarter), q.NextAfter(first, 1), "none is left of those of which X told")
	full(second, second)
	require.True(t, q.Rolls, "the same reset says nothing else")
	full(second.Add(quarter), second.Add(2*quarter))
	require.False(t, q.Rolls)

	// A reset may be told a second later.
	full(second.Add(quarter), second.Add(2*quarter+time.Second))
	require.False(t, q.Rolls)
}

// Where X's window rolls it may have counted out what we have not: that it is others' we find out as soon as we do not count ours.
func TestReportedUseOfOthersThatRolls(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	q.Rolls = true
	for range 100 {
		q.Take(noon)
	}
	full := func(at time.Time) { q.report(Report{familyEndpoint, 200, 0, time.Second, at.Add(time.Second)}, at) }
	full(noon.Add(time.Minute))
	require.Equal(t, 100, q.others(noon.Add(time.Minute)))
	now := noon.Add(quarter + time.Second)
	require.Equal(t, 100, q.used(now))
	full(now)
	require.Equal(t, 200, q.others(now), "it may be none of ours")
	q.Open = 0
	require.Equal(t, 1, q.Free(now.Add(10*time.Second)))

	// One that only we use is not taken for others' by that.
	q, _ = guideWindows()
	q.Rolls = true
	for range 200 {
		q.Take(noon)
	}
	full(now)
	require.Zero(t, q.others(now))
}

// X's window may have begun after some of our requests: they are not in what it counts.
func TestReportedUseAfterAReset(t *testing.T) {
	t.Parallel()
	q, _ := guideWindows()
	for range 100 {
		q.Take(noon)
	}
	now := noon.Add(10 * time.Minute)
	q.Take(now)
	q.report(Report{familyEndpoint, 200, 149, quarter, now.Add(quarter)}, now) // X began anew with our last, and 50 of others
	require.Equal(t, 50, q.others(now))
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
