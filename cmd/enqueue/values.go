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
	return map[store.Kind]string{store.PostTweet: "tweet", store.DeleteTweet: "deletion", store.Retweet: "retweet"}[kind]
}

// rowID is the id of a row as a person gives it.
type rowID int64

// UnmarshalText reads it.
func (id *rowID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a row's id: it is the number in the first column of 'enqueue list --status all'", oneLine(string(text), 60))
	}
	*id = rowID(n)
	return nil
}

// parseUsername returns a username without the @ that people write before it.
func parseUsername(s string) (string, error) {
	s = strings.TrimPrefix(s, "@")
	if !regexp.MustCompile(`^[A-Za-z0-9_]{1,20}$`).MatchString(s) {
		return "", setup.Usage("%q is not a username of X: letters, digits and _, up to 20", oneLine(s, 60))
	}
	return s, nil
}

// parseTweetID returns the id of a tweet, given as such or as an address, and the username in the
// address if it has one. No tweet has the id 0.
func parseTweetID(s string) (id, username string, err error) {
	if regexp.MustCompile(`^[0-9]{1,19}$`).MatchString(s) && strings.Trim(s, "0") != "" {
		return s, "", nil
	}
	address := regexp.MustCompile(`^https?://(?:www\.|mobile\.)?(?:x|twitter)\.com/(\w{1,20})(?:/web)?/status(?:es)?/([0-9]{1,19})(?:[/?#].*)?$`)
	match := address.FindStringSubmatch(s)
	if match == nil || strings.Trim(match[2], "0") == "" {
		return "", "", setup.Usage("%q is not a tweet's id (up to 19 digits) or address (https://x.com/acme/status/1445880548472328192)", oneLine(s, 60))
	}
	if match[1] == "i" { // x.com/i/status/1 and x.com/i/web/status/1 name no user
		return match[2], "", nil
	}
	return match[2], match[1], nil
}

// units are the units of a length of time, as people write them.
func units() []struct {
	name   string
	length time.Duration
} {
	return []struct {
		name   string
		length time.Duration
	}{
		{"w", 7 * 24 * time.Hour},
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
	}
}

// maxDays is the longest lifetime of a tweet that the database takes: Postgres counts a year as 360 days.
const maxDays = 36_000

// parseInterval reads a length of time: numbers of weeks, days, hours, minutes and seconds, in this
// order, such as 1d12h. A day is 24 hours.
func parseInterval(s string) (pgtype.Interval, error) {
	var pattern strings.Builder
	for _, unit := range units() {
		fmt.Fprintf(&pattern, `(?:([0-9]+)%s)?`, unit.name)
	}
	match := regexp.MustCompile(`^` + pattern.String() + `$`).FindStringSubmatch(s)
	if match == nil || s == "" {
		return pgtype.Interval{}, setup.Usage("%q is not a length of time: write 90m, 36h, 7d or 1d12h", oneLine(s, 60))
	}
	const longest = maxDays * 24 * time.Hour
	var total time.Duration
	for i, unit := range units() {
		count, _ := strconv.ParseInt(match[i+1], 10, 64) // digits, however many, or nothing
		total += time.Duration(min(count, int64(longest/unit.length)+1)) * unit.length
		total = min(total, longest+1)
	}
	if total == 0 || total > longest {
		return pgtype.Interval{}, setup.Usage("%q is out of range: use 1s to %dd", oneLine(s, 60), maxDays)
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
	text = folded(text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// folded makes a text from outside a line, however long: no control characters.
func folded(text string) string { return strings.Join(strings.Fields(printable(text)), " ") }

// printable replaces what could steer a terminal. Line breaks stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
