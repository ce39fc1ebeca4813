package twitter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultWait is what RetryAfter returns when X tells nothing: one endpoint window.
	defaultWait = 15 * time.Minute
	// minWait keeps a reset that has just passed, or was rounded down, from becoming a busy loop.
	minWait = time.Second
	// maxWait bounds a reset that cannot be right: the longest window is 24 hours, and an hour is
	// left for a clock that is off.
	maxWait = 25 * time.Hour
	// staleReset is how long ago a reset may lie and still mean "now". An older one means nothing.
	staleReset = time.Minute
)

// Limits are the windows that X reported with an answer, in three families of headers: the
// endpoint's window (x-rate-limit-*), the rolling day of this user (x-user-limit-24hour-*) and
// that of the App (x-app-limit-24hour-*). A family that X did not send is nil, which does not mean
// that it is exhausted. X documents the first as fundamentals/rate-limits; the others are known
// from captures.
type Limits struct {
	Endpoint   *Window `json:"endpoint,omitempty"`
	User24Hour *Window `json:"user_24hour,omitempty"`
	App24Hour  *Window `json:"app_24hour,omitempty"`
	// RetryAfter is the retry-after header, 0 if absent. X has not been seen to send it.
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
}

// Window is one family of limit headers. Limit and Remaining are requests, -1 if not told; Reset
// is the instant at which the window ends, to the second and by X's clock, zero if not told.
type Window struct {
	Limit     int       `json:"limit"`
	Remaining int       `json:"remaining"`
	Reset     time.Time `json:"reset,omitzero"`
}

// Binds reports whether the window is a real limit. X sends 40000, 1080000 and 1200000 where
// another limit, often one that it does not report, is the one that counts. False for nil.
func (w *Window) Binds() bool {
	if w == nil {
		return false
	}
	switch w.Limit {
	case 40000, 1080000, 1200000:
		return false
	}
	return true
}

// Exhausted reports whether the window binds and X said that nothing remains of it.
func (w *Window) Exhausted() bool { return w.Binds() && w.Remaining == 0 }

// RetryAfter tells how long to wait, after this answer was a 429, until X may accept the request:
// to the reset of the exhausted window (the latest, if several are), else to the latest reset
// among the windows that bind. The endpoint's reset alone misleads on a daily 429: it says when 15
// minutes are over. A retry-after header lengthens the wait to an exhausted window and replaces
// the guess if none is. If X tells nothing, the wait is 15 minutes.
//
// The wait counts from X's own Date, so it can be added to any clock, however wrong; now is used
// only if the answer had no Date. It is never less than a second nor more than 25 hours.
func (a Answer) RetryAfter(now time.Time) time.Duration {
	if !a.Date.IsZero() {
		now = a.Date
	}
	var exhausted, latest time.Duration
	for _, w := range []*Window{a.Limits.Endpoint, a.Limits.User24Hour, a.Limits.App24Hour} {
		if !w.Binds() || w.Reset.IsZero() || w.Reset.Before(now.Add(-staleReset)) {
			continue
		}
		wait := max(w.Reset.Sub(now), minWait)
		latest = max(latest, wait)
		if w.Exhausted() {
			exhausted = max(exhausted, wait)
		}
	}
	wait := defaultWait
	switch {
	case exhausted > 0:
		wait = max(exhausted, a.Limits.RetryAfter)
	case a.Limits.RetryAfter > 0:
		wait = a.Limits.RetryAfter
	case latest > 0:
		wait = latest
	}
	return min(max(wait, minWait), maxWait)
}

// parseLimits reads the limit headers of an answer that X dated date (received, if it did not).
func parseLimits(h http.Header, date, received time.Time) Limits {
	if date.IsZero() {
		date = received
	}
	return Limits{
		Endpoint:   parseWindow(h, "X-Rate-Limit-"),
		User24Hour: parseWindow(h, "X-User-Limit-24hour-"),
		App24Hour:  parseWindow(h, "X-App-Limit-24hour-"),
		RetryAfter: parseRetryAfter(h.Get("Retry-After"), date),
	}
}

func parseWindow(h http.Header, prefix string) *Window {
	limit, hasLimit := parseCount(h.Get(prefix + "Limit"))
	remaining, hasRemaining := parseCount(h.Get(prefix + "Remaining"))
	reset, hasReset := parseCount(h.Get(prefix + "Reset"))
	if !hasLimit && !hasRemaining && !hasReset {
		return nil
	}
	w := &Window{Limit: -1, Remaining: -1}
	if hasLimit {
		w.Limit = limit
	}
	if hasRemaining {
		w.Remaining = remaining
	}
	if hasReset {
		w.Reset = time.Unix(int64(reset), 0).UTC()
	}
	return w
}

// parseCount reads a non-negative number of at most 15 digits. Anything else counts as absent.
func parseCount(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 15 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return int(n), err == nil
}

// parseRetryAfter reads both forms of RFC 9110, 10.2.3: seconds, or an instant.
func parseRetryAfter(s string, date time.Time) time.Duration {
	if seconds, ok := parseCount(s); ok {
		return min(time.Duration(min(seconds, int(maxWait/time.Second)))*time.Second, maxWait)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(date), 0), maxWait)
	}
	return 0
}
