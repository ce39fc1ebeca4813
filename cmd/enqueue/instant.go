package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tweetqueue/cmd/internal/setup"
)

// localLayouts are the ways to write a local time. Go reads a fraction of the seconds with them too.
func localLayouts() []string {
	return []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"}
}

// loadZone returns the zone of an IANA name. Those that Go knows beside them, "" and "Local", mean
// something else on each machine.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, setup.Usage("unknown time zone %q: use an IANA name such as Europe/Vienna or UTC", name)
	}
	return zone, nil
}

// parseInstant reads an instant as a person writes it: RFC 3339, or a local time of the zone. A
// local time that does not exist in the zone, or exists twice, is refused with the two instants
// that it could mean.
func parseInstant(s string, zone *time.Location) (time.Time, error) {
	if instant, err := time.Parse(time.RFC3339, s); err == nil {
		return instant, nil
	}
	reason := ""
	for _, layout := range localLayouts() {
		wall, err := time.Parse(layout, s)
		if err == nil {
			return fromLocal(s, wall, zone)
		}
		if parse := new(time.ParseError); errors.As(err, &parse) && parse.Message != "" {
			reason = parse.Message // it was of this form, and names no time: "day out of range"
		}
	}
	return time.Time{}, setup.Usage("%q is not a time%s: write YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS in the zone %s, or RFC 3339 with its offset, such as 2026-12-01T09:00:00+01:00",
		s, reason, zone)
}

// fromLocal returns the one instant at which clocks of the zone show what wall shows in UTC.
//
// It asks for offsets only. time.Time.ZoneBounds would name the changes themselves, but for the last
// day of a leap year after 2037 it returns bounds that do not hold the instant (Go 1.26).
func fromLocal(s string, wall time.Time, zone *time.Location) (time.Time, error) {
	offsets := offsetsAround(wall, zone)
	var shown []time.Time
	for _, offset := range offsets {
		if instant := wall.Add(-offset).In(zone); offsetAt(instant) == offset {
			shown = append(shown, instant)
		}
	}
	how := "exists twice in %s, where clocks are put back"
	if len(shown) == 0 {
		how = "does not exist in %s, where clocks are put forward over it"
		shown = besideGap(wall, zone, offsets)
	}
	switch len(shown) {
	case 1:
		return shown[0], nil
	case 2:
		return time.Time{}, setup.Usage("%q "+how+": it could mean %s or %s, use one of these",
			s, zone, shown[0].Format(time.RFC3339Nano), shown[1].Format(time.RFC3339Nano))
	}
	return time.Time{}, setup.Usage("%q is not one instant in %s: write it with its offset, such as 2026-12-01T09:00:00+01:00", s, zone)
}

// besideGap returns the two instants that a time which clocks leave out could mean: by the offset
// after the change, which lies before it, and by the one before it.
func besideGap(wall time.Time, zone *time.Location, offsets []time.Duration) []time.Time {
	for _, before := range offsets {
		for _, after := range offsets {
			early, late := wall.Add(-after).In(zone), wall.Add(-before).In(zone)
			if before < after && offsetAt(early) == before && offsetAt(late) == after {
				return []time.Time{early, late}
			}
		}
	}
	return nil
}

// offsetsAround returns the offsets from UTC that the zone has within a day and a bit of an instant, in
// the order of time: no zone is further from UTC, or keeps an offset for less than an hour.
func offsetsAround(instant time.Time, zone *time.Location) []time.Duration {
	var offsets []time.Duration
	for off := -26 * time.Hour; off <= 26*time.Hour; off += time.Hour {
		if offset := offsetAt(instant.Add(off).In(zone)); !slices.Contains(offsets, offset) {
			offsets = append(offsets, offset)
		}
	}
	return offsets
}

// offsetAt returns how far t's zone is east of UTC at t.
func offsetAt(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// formatInstant writes an instant for people: local time with offset and zone, then UTC.
func formatInstant(t time.Time, zone *time.Location) string {
	utc := t.UTC().Format("2006-01-02T15:04:05.999999Z")
	if zone == time.UTC {
		return t.UTC().Format("Mon ") + utc
	}
	return fmt.Sprintf("%s (%s), %s", t.In(zone).Format("Mon 2006-01-02 15:04:05.999999 -07:00"), zone, utc)
}

// formatShort writes an instant for a table.
func formatShort(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05 -07:00")
}

// formatDistance says how far an instant is from now: "in 3 hours 20 minutes", "5 seconds ago". It
// rounds towards now, to two units.
func formatDistance(t, now time.Time) string {
	distance := secondsBetween(now, t)
	left := max(distance, -distance)
	var words []string
	for _, unit := range []struct {
		length int64 // in seconds
		name   string
	}{{24 * 3600, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}} {
		count := left / unit.length
		left %= unit.length
		switch {
		case count == 0 && len(words) == 0:
			continue
		case count == 1:
			words = append(words, "1 "+unit.name)
		case count > 1:
			words = append(words, fmt.Sprintf("%d %ss", count, unit.name))
		}
		if len(words) == 2 || count == 0 {
			break
		}
	}
	switch {
	case len(words) == 0:
		return "now"
	case distance < 0:
		return strings.Join(words, " ") + " ago"
	}
	return "in " + strings.Join(words, " ")
}

// secondsBetween returns the whole seconds from one instant to another, negative if that is earlier. A
// time.Duration ends at 292 years.
func secondsBetween(from, to time.Time) int64 {
	seconds, rest := to.Unix()-from.Unix(), to.Nanosecond()-from.Nanosecond()
	switch {
	case seconds > 0 && rest < 0:
		return seconds - 1
	case seconds < 0 && rest > 0:
		return seconds + 1
	}
	return seconds
}
