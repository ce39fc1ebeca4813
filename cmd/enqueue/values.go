package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgtype"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// kindName names a kind of row for people.
func kindName(kind store.Kind) string {
	if kind == store.DeleteTweet {
		return "deletion"
	}
	return "tweet"
}

// parseTweetID returns the id of a tweet, given as such or as an address, and the username in the
// address if it has one.
func parseTweetID(s string) (id, username string, err error) {
	if regexp.MustCompile(`^[0-9]{1,19}$`).MatchString(s) {
		return s, "", nil
	}
	address := regexp.MustCompile(`^https?://(?:www\.|mobile\.)?(?:x|twitter)\.com/(\w{1,20})(?:/web)?/status(?:es)?/([0-9]{1,19})(?:[/?#].*)?$`)
	match := address.FindStringSubmatch(s)
	if match == nil {
		return "", "", setup.Usage("%q is not a tweet's id (up to 19 digits) or address (https://x.com/acme/status/1445880548472328192)", oneLine(s, 60))
	}
	if match[1] == "i" { // x.com/i/status/1 and x.com/i/web/status/1 name no user
		return match[2], "", nil
	}
	return match[2], match[1], nil
}

// units are the units of a length of time, as people write them, and the most digits that keep a sum
// of all of them below time.Duration's 292 years.
func units() []struct {
	name   string
	length time.Duration
	digits int
} {
	return []struct {
		name   string
		length time.Duration
		digits int
	}{
		{"w", 7 * 24 * time.Hour, 3},
		{"d", 24 * time.Hour, 4},
		{"h", time.Hour, 5},
		{"m", time.Minute, 7},
		{"s", time.Second, 8},
	}
}

// parseInterval reads a length of time: numbers of weeks, days, hours, minutes and seconds, in this
// order, such as 1d12h. A day is 24 hours.
func parseInterval(s string) (pgtype.Interval, error) {
	var pattern strings.Builder
	for _, unit := range units() {
		fmt.Fprintf(&pattern, `(?:([0-9]{1,%d})%s)?`, unit.digits, unit.name)
	}
	match := regexp.MustCompile(`^` + pattern.String() + `$`).FindStringSubmatch(s)
	var total time.Duration
	for i := range match[min(1, len(match)):] {
		count, _ := strconv.ParseInt(match[i+1], 10, 64) // digits, or nothing
		total += time.Duration(count) * units()[i].length
	}
	if total == 0 {
		return pgtype.Interval{}, setup.Usage("%q is not a length of time: write 90m, 36h, 7d or 1d12h", oneLine(s, 60))
	}
	return pgtype.Interval{Microseconds: total.Microseconds(), Valid: true}, nil
}

// formatInterval writes a length of time, days first.
func formatInterval(interval pgtype.Interval) string {
	left := time.Duration(interval.Days)*24*time.Hour + time.Duration(interval.Microseconds)*time.Microsecond
	var b strings.Builder
	if interval.Months != 0 { // written by SQL: a month has no length of its own
		fmt.Fprintf(&b, "%d months ", interval.Months)
	}
	for _, unit := range units()[1:] {
		if count := left / unit.length; count != 0 {
			fmt.Fprintf(&b, "%d%s", count, unit.name)
			left %= unit.length
		}
	}
	if left != 0 {
		b.WriteString(left.String())
	}
	return strings.TrimSpace(b.String())
}

// oneLine makes a text from outside fit for a line of a terminal: no control characters, and cut,
// visibly, after limit characters.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(printable(text)), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// printable replaces what could steer a terminal. Line breaks stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
