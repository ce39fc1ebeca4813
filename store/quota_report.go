package store

import (
	"slices"
	"strings"
	"time"
)

// Report is what one family of X's headers told with an answer (X's documents: rate-limits). It has been found
// plausible.
type Report struct {
	Family    string        // of a [Quota]
	Limit     int           // requests; -1: not told
	Remaining int           // requests; -1: not told
	Reset     time.Duration // from now until X's window ends; 0: not told
	ResetAt   time.Time     // the same by X's clock: it tells X's windows apart
}

// The families of X's headers.
const (
	familyEndpoint = "endpoint"    // x-rate-limit
	familyUser     = "user_24hour" // x-user-limit-24hour
	familyApp      = "app_24hour"  // x-app-limit-24hour
)

const (
	// resetMargin is how far off a reset may be: X tells it, and its own time, in whole seconds.
	resetMargin = 2 * time.Second
	// fitMargin is how much farther than a window is long a reset of it may be: what X tells, and when, is of several of
	// its machines. For a window of less than 15 minutes it is less.
	fitMargin = time.Minute
	// unknownMaximum is that of a window of which X has said that it is exhausted, and not how many it has.
	unknownMaximum = 1_000_000
)

// periodsOfX are the lengths of X's windows.
func periodsOfX() []time.Duration {
	return []time.Duration{15 * time.Minute, 3 * time.Hour, 24 * time.Hour}
}

// window returns the window that the report is of, among those that count its action; nil if none is. One of the same
// maximum is; else the shortest that counts this action alone, for a window of several is not told by the
// headers of one endpoint.
func (r Report) window(windows []*Quota, action string) *Quota {
	fits := func(q *Quota) bool { return q.Family == r.Family && r.fits(q.Period) }
	same := shortestOf(windows, func(q *Quota) bool { return fits(q) && (q.Maximum == r.Limit || q.XMaximum == r.Limit) })
	if same != nil {
		return same
	}
	return shortestOf(windows, func(q *Quota) bool { return fits(q) && q.countsOnly(action) })
}

// fits reports whether the reset may be that of a window of this length.
func (r Report) fits(period time.Duration) bool {
	return r.Reset <= period+max(resetMargin, min(fitMargin, period/15))
}

// isOdd reports whether the report is of a longer window than the one that is configured for its family and its action alone:
// that one is believed. A window for one odd answer would hold the account back for long.
func (r Report) isOdd(windows []*Quota, action string) bool {
	return slices.ContainsFunc(windows, func(q *Quota) bool {
		return q.Configured && q.Family == r.Family && q.countsOnly(action)
	})
}

// shortestOf returns the shortest of the windows that are so; nil if none is.
func shortestOf(windows []*Quota, is func(*Quota) bool) *Quota {
	var shortest *Quota
	for _, q := range windows {
		if is(q) && (shortest == nil || q.Period < shortest.Period) {
			shortest = q
		}
	}
	return shortest
}

func (q *Quota) countsOnly(action string) bool { return len(q.Actions) == 1 && q.Actions[0] == action }

// period is the length of a window that nobody has configured.
func (r Report) period() time.Duration {
	periods := periodsOfX()
	if r.Family != familyEndpoint {
		return periods[len(periods)-1]
	}
	i := slices.IndexFunc(periods, r.fits)
	if i < 0 {
		i = len(periods) - 1
	}
	return periods[i]
}

// name is that of a window that nobody has configured.
func (r Report) name(action string) string {
	name := strings.ReplaceAll(action, "_", " ")
	switch r.Family {
	case familyUser:
		return name + " in 24 hours, by X"
	case familyApp:
		return name + " of the app in 24 hours, by X"
	}
	return name + " in " + shortDuration(r.period()) + ", by X"
}

func shortDuration(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// keyed completes a query by the key of a window of an app, or of an account.
func keyed(query string, ofApp bool) string {
	key := "quotas_account_id_name_key"
	if ofApp {
		key = "quotas_app_id_name_key"
	}
	return strings.ReplaceAll(query, "{key}", key)
}

// reportsNews reports whether X told what the windows do not say yet.
func (s Settlement) reportsNews(windows []*Quota, action string, now time.Time) bool {
	for _, r := range s.Reports {
		q := r.window(windows, action)
		if q == nil && r.isOdd(windows, action) {
			continue
		}
		if q == nil || !q.Configured && now.Sub(q.ToldAt) > q.Period/2 {
			return true
		}
		told := *q
		told.report(r, s.answeredAt(now))
		if told.XMaximum != q.XMaximum || told.others(now) != q.others(now) || told.others(now) > 0 && (told.XUsed != q.XUsed || told.Rolls != q.Rolls) {
			return true
		}
	}
	return false
}

// report takes what X told with an answer. X's maximum outranks what was believed. What X has counted in its window
// beside our own requests is others', and ends with that window. Answers come in any order: in one window of X the
// most that it has counted is the latest, and one to an earlier window says nothing.
func (q *Quota) report(r Report, now time.Time) {
	q.ToldAt = now
	if r.Reset > 0 && q.XReset != nil && r.ResetAt.Before(q.XReset.Add(-resetMargin)) {
		return
	}
	if r.Limit > 0 {
		q.XMaximum = r.Limit
	}
	if r.Limit <= 0 || r.Remaining < 0 || r.Reset <= 0 {
		return
	}
	used := r.Limit - r.Remaining
	if q.XReset != nil {
		// A window ends, and the next one begins with a request after that. If it rolls, its reset is when the first place
		// comes free, and then the next.
		q.Rolls = r.ResetAt.After(q.XReset.Add(resetMargin)) && r.ResetAt.Before(q.XReset.Add(q.Period-resetMargin)) ||
			q.Rolls && r.ResetAt.Before(q.XReset.Add(q.Period-resetMargin))
	}
	if q.XReset == nil || r.ResetAt.After(q.XReset.Add(resetMargin)) { // and no other machine's of the same one
		q.XReset, q.XUsed = &r.ResetAt, 0
	}
	q.XUsed = max(q.XUsed, used)
	// X's window began its length before its reset, and not after this answer. Ours may be on their way still: then others
	// have more, and the next answers tell.
	from := now.Add(min(0, r.Reset-q.Period) - resetMargin)
	q.Others, q.OthersUntil = max(0, q.XUsed-q.since(from, now)), nil
	if q.Others > 0 {
		q.OthersSeen = &now
	}
	// Where X's window rolls it may no longer count the oldest of ours that we do. Then others have so many more, which is
	// not to be overlooked once we do not count those either; where we are alone, it says nothing of others.
	if q.Rolls && q.cautious(now) {
		sure := now.Add(-q.Period + q.Period*3/bucketsPerPeriod) // a bucket, and those of TooLong
		q.Others = max(0, q.XUsed-q.since(laterOf(from, sure), now))
	}
	if q.Others > 0 {
		until := now.Add(r.Reset)
		q.OthersUntil = &until
	}
}

// cautious reports whether others have lately used the limit. What they do next nobody knows, and what is on its way to
// X while they do it would be refused: so one request goes at a time, and at most one is.
func (q *Quota) cautious(now time.Time) bool {
	return !q.Alone && q.OthersSeen != nil && now.Before(q.OthersSeen.Add(2*q.Period))
}

// block keeps the window shut until an instant. Answers come in any order.
func (q *Quota) block(until time.Time) {
	if q.BlockedUntil == nil || until.After(*q.BlockedUntil) {
		q.BlockedUntil = &until
	}
}

// since counts the grants that count at now and may have been sent since an instant.
func (q *Quota) since(from, now time.Time) int {
	n := 0
	for i, bucket := range q.buckets {
		if q.expiry(bucket).After(now) && time.UnixMicro((bucket+1)*q.width()).After(from) {
			n += int(q.grants[i])
		}
	}
	return n
}
