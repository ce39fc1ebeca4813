package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/cmd/internal/setup"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loaded, err := loadZone(name)
	require.NoError(t, err)
	return loaded
}

func TestParseInstant(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct{ zone, in, want string }{
		"Fraction":        {"UTC", "2026-12-01 09:00:00.25", "2026-12-01T09:00:00.25Z"},
		"LocalMinutes":    {"Europe/Vienna", "2026-12-01 09:00", "2026-12-01T08:00:00Z"},
		"LocalSeconds":    {"America/New_York", "2026-12-01 09:00:30", "2026-12-01T14:00:30Z"},
		"LocalSummer":     {"Europe/Vienna", "2026-07-01T09:00", "2026-07-01T07:00:00Z"},
		"LocalT":          {"Asia/Kolkata", "2026-12-01T09:00:30", "2026-12-01T03:30:30Z"},
		"OffsetWins":      {"Asia/Tokyo", "2026-12-01T09:00:00-08:00", "2026-12-01T17:00:00Z"},
		"OneDigitHour":    {"UTC", "2026-12-01 9:00", "2026-12-01T09:00:00Z"},
		"SecondBeforeGap": {"Europe/Vienna", "2027-03-28 01:59:59", "2027-03-28T00:59:59Z"},
		"SecondAfterGap":  {"Europe/Vienna", "2027-03-28 03:00:00", "2027-03-28T01:00:00Z"},
		"SecondBeforeDup": {"Europe/Vienna", "2026-10-25 01:59:59", "2026-10-24T23:59:59Z"},
		"SecondAfterDup":  {"Europe/Vienna", "2026-10-25 03:00:00", "2026-10-25T02:00:00Z"},
		"LeapYearsEnd":    {"Europe/Vienna", "2040-12-31 23:00", "2040-12-31T22:00:00Z"}, // see fromLocal
		"Zulu":            {"Asia/Tokyo", "2026-12-01T09:00:00Z", "2026-12-01T09:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			instant, err := parseInstant(test.in, zone(t, test.zone))
			require.NoError(t, err)
			require.Equal(t, test.want, instant.UTC().Format(time.RFC3339Nano))
		})
	}
}

func TestParseInstantRefuses(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct{ zone, in, want string }{
		"DateAlone":  {"UTC", "2026-12-01", `"2026-12-01" is not a time: write YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS in the zone UTC`},
		"DayOfNone":  {"UTC", "2027-02-29 09:00", `"2027-02-29 09:00" is not a time: day out of range: write`},
		"Empty":      {"UTC", "", `"" is not a time: write`},
		"HourOfNone": {"UTC", "2026-12-01 24:00", "hour out of range"},
		"NoOffset":   {"UTC", "2026-12-01 09:00:00 +01:00", "is not a time"},
		"Words":      {"Europe/Vienna", "tomorrow", "in the zone Europe/Vienna, or RFC 3339"},
		// Clocks go forward over it.
		"Gap":       {"Europe/Vienna", "2027-03-28 02:30", "2027-03-28T01:30:00+01:00 or 2027-03-28T03:30:00+02:00"},
		"GapBegins": {"Europe/Vienna", "2027-03-28 02:00", "2027-03-28T01:00:00+01:00 or 2027-03-28T03:00:00+02:00"},
		"GapOfHalf": {"Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04T01:45:00+10:30 or 2026-10-04T02:45:00+11:00"},
		"GapOfADay": {"Pacific/Apia", "2011-12-30 12:00", "2011-12-29T12:00:00-10:00 or 2011-12-31T12:00:00+14:00"},
		// Clocks go back over it.
		"Twice":       {"Europe/Vienna", "2026-10-25 02:30", "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"},
		"TwiceBegins": {"Europe/Vienna", "2026-10-25T02:00:00", "2026-10-25T02:00:00+02:00 or 2026-10-25T02:00:00+01:00"},
		"TwiceInNY":   {"America/New_York", "2026-11-01 01:59:59", "2026-11-01T01:59:59-04:00 or 2026-11-01T01:59:59-05:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := parseInstant(test.in, zone(t, test.zone))
			require.ErrorIs(t, err, setup.ErrUsage)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestParseInstantMapsBack shows that each instant can be written in local time, or is one of the
// two that are offered instead; and that what is offered is accepted and is what clocks show, or, in
// a gap, lies a gap's length beside it.
func TestParseInstantMapsBack(t *testing.T) {
	t.Parallel()

	names := []string{
		"UTC", "Europe/Vienna", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Gaza",
		"Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Antarctica/Troll", "Asia/Tehran",
	}
	rapid.Check(t, func(rt *rapid.T) {
		zone := zone(t, rapid.SampledFrom(names).Draw(rt, "zone"))
		instant := time.Unix(rapid.Int64Range(400_000_000, 4_000_000_000).Draw(rt, "unix"), 0).In(zone)
		if rapid.Bool().Draw(rt, "near a change") {
			instant = afterChange(instant).Add(time.Duration(rapid.Int64Range(-7200, 7200).Draw(rt, "off")) * time.Second)
		}
		wall := instant.Format(rapid.SampledFrom([]string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"}).Draw(rt, "layout"))
		other := rapid.Bool().Draw(rt, "other wall")
		if other {
			wall = instant.UTC().Format("2006-01-02 15:04:05") // may fall into a gap
		}

		parsed, err := parseInstant(wall, zone)
		if err == nil {
			require.True(rt, other || parsed.Equal(instant))
			require.Equal(rt, strings.Replace(wall, "T", " ", 1), parsed.In(zone).Format("2006-01-02 15:04:05"))
			return
		}
		_, offered, ok := strings.Cut(err.Error(), "could mean ")
		require.True(rt, ok, err.Error())
		offered, _, _ = strings.Cut(offered, ", use")
		first, second, _ := strings.Cut(offered, " or ")
		early, err1 := parseInstant(first, zone)
		late, err2 := parseInstant(second, zone)
		require.NoError(rt, err1)
		require.NoError(rt, err2)
		require.True(rt, early.Before(late))
		if strings.Contains(err.Error(), "exists twice") {
			for _, t := range []time.Time{early, late} {
				require.Equal(rt, strings.Replace(wall, "T", " ", 1), t.In(zone).Format("2006-01-02 15:04:05"))
			}
			require.True(rt, other || instant.Equal(early) || instant.Equal(late))
			return
		}
		require.True(rt, other, "a time that clocks show exists")
		// The gap's length parts what the two would have shown from what was asked.
		asked, parseErr := time.Parse("2006-01-02 15:04:05", strings.Replace(wall, "T", " ", 1))
		require.NoError(rt, parseErr)
		gap := offsetAt(late.In(zone)) - offsetAt(early.In(zone))
		require.Positive(rt, gap)
		require.Equal(rt, asked.Add(-gap).Format(time.DateTime), early.In(zone).Format(time.DateTime))
		require.Equal(rt, asked.Add(gap).Format(time.DateTime), late.In(zone).Format(time.DateTime))
	})
}

// afterChange returns the first second of the offset that holds at t, or t if none began within the
// year before.
func afterChange(t time.Time) time.Time {
	for day := range 366 {
		earlier := t.AddDate(0, 0, -day-1)
		if offsetAt(earlier) == offsetAt(t) {
			continue
		}
		for later := earlier.AddDate(0, 0, 1); later.Sub(earlier) > time.Second; {
			if middle := earlier.Add(later.Sub(earlier) / 2).Truncate(time.Second); offsetAt(middle) == offsetAt(t) {
				later = middle
			} else {
				earlier = middle
			}
		}
		return earlier.Add(time.Second)
	}
	return t
}

func TestLoadZone(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"", "Local", "Vienna", "europe/vienna!", "../etc/passwd", "CET+1"} {
		_, err := loadZone(name)
		require.ErrorIs(t, err, setup.ErrUsage, name)
		require.ErrorContains(t, err, "use an IANA name such as Europe/Vienna")
	}
}

func TestFormatInstant(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	require.Equal(t, "Tue 2026-12-01 09:00:00 +01:00 (Europe/Vienna), 2026-12-01T08:00:00Z", formatInstant(at, zone(t, "Europe/Vienna")))
	require.Equal(t, "Tue 2026-12-01 13:30:00 +05:30 (Asia/Kolkata), 2026-12-01T08:00:00Z", formatInstant(at, zone(t, "Asia/Kolkata")))
	require.Equal(t, "Tue 2026-12-01T08:00:00.25Z", formatInstant(at.Add(time.Second/4), time.UTC))
	require.Equal(t, "2026-12-01 09:00:00 +01:00", formatShort(at, zone(t, "Europe/Vienna")))
}

func TestFormatDistance(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	for want, distance := range map[string]time.Duration{
		"now":                     999 * time.Millisecond,
		"in 1 second":             time.Second,
		"in 59 seconds":           59900 * time.Millisecond,
		"in 1 minute 1 second":    61 * time.Second,
		"in 2 hours":              2*time.Hour + 59*time.Second,
		"in 1 day 2 hours":        26*time.Hour + time.Minute,
		"in 70 days 23 hours":     71*24*time.Hour - time.Second,
		"1 hour 1 minute ago":     -61 * time.Minute,
		"3 minutes 2 seconds ago": -182 * time.Second,
		"1 second ago":            -1999 * time.Millisecond,
	} {
		require.Equal(t, want, formatDistance(now.Add(distance), now))
		require.Equal(t, want, formatDistance(now.Add(distance+time.Second/4), now.Add(time.Second/4)))
		require.Equal(t, want, formatDistance(now.Add(distance+time.Second*3/4), now.Add(time.Second*3/4)))
	}
	// Further away than a time.Duration reaches.
	require.Equal(t, "in 2912108 days 15 hours", formatDistance(time.Date(9999, 12, 31, 23, 59, 0, 0, time.UTC), now))
	require.Equal(t, "739950 days 8 hours ago", formatDistance(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), now))
}
