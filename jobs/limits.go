package jobs

import (
	"time"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

const (
	// absurdLimit is more than any endpoint of X allows in 15 minutes, and absurdDailyLimit than any in 24 hours (X's
	// documents: rate-limits): what says more is a placeholder.
	absurdLimit      = 30_000
	absurdDailyLimit = 1_000_000
	// longestReset is how far away a reset may be: a day, and what a clock may be off.
	longestReset = 25 * time.Hour
	// justPassed is how long ago a reset may lie and still mean now: X tells it, and its own time, in whole seconds.
	justPassed = time.Minute
)

// reports are what X's headers told of the windows with an answer, as far as it can be true. Now is used only where X
// did not date its answer.
func reports(answer twitter.Answer, now time.Time) []store.Report {
	if answer.StatusCode == 0 {
		return nil
	}
	if !answer.Date.IsZero() {
		now = answer.Date
	}
	var all []store.Report
	for _, told := range []struct {
		family string
		window *twitter.Window
		absurd int
	}{
		{"endpoint", answer.Limits.Endpoint, absurdLimit},
		{"user_24hour", answer.Limits.User24Hour, absurdDailyLimit},
		{"app_24hour", answer.Limits.App24Hour, absurdDailyLimit},
	} {
		if !told.window.Binds() || told.window.Limit == 0 || told.window.Limit > told.absurd {
			continue
		}
		r := store.Report{Family: told.family, Limit: told.window.Limit, Remaining: told.window.Remaining}
		if r.Limit > 0 && r.Remaining > r.Limit {
			r.Remaining = -1
		}
		if reset := told.window.Reset.Sub(now); !told.window.Reset.IsZero() && reset > -justPassed && reset <= longestReset {
			r.Reset, r.ResetAt = max(reset, time.Second), told.window.Reset
		}
		if r.Limit > 0 || r.Remaining == 0 && r.Reset > 0 {
			all = append(all, r)
		}
	}
	return all
}
