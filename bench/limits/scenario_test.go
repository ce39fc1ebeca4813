package limits

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// action is what limits count: see tweetqueue.limits.
type action string

const (
	post        action = "post"
	retweet     action = "retweet"
	deletion    action = "delete"
	undoRetweet action = "undo_retweet"
)

// actions are all of them, with the routes of X that do them.
func actions() []action { return []action{post, retweet, deletion, undoRetweet} }

func (a action) route() sandbox.Route {
	switch a {
	case retweet:
		return sandbox.RouteRetweet
	case deletion:
		return sandbox.RouteDeleteTweet
	case undoRetweet:
		return sandbox.RouteUndoRetweet
	case post:
	}
	return sandbox.RouteCreateTweet
}

// kind is what rows of the action are.
func (a action) kind() store.Kind {
	switch a {
	case retweet:
		return store.Retweet
	case deletion, undoRetweet:
		return store.DeleteTweet
	case post:
	}
	return store.PostTweet
}

// window is a limit, as X has it and as the database has it.
type window struct {
	name    string
	ofApp   bool // else of each user
	actions []action
	maximum int
	period  time.Duration
	family  sandbox.Family
	rolling bool // X's; else it is anchored
}

func (v window) limit() sandbox.Limit {
	l := sandbox.Limit{Per: sandbox.PerUser, Max: v.maximum, Window: v.period, Family: v.family, Rolling: v.rolling}
	if v.ofApp {
		l.Per = sandbox.PerApp
	}
	for _, a := range v.actions {
		l.Routes = append(l.Routes, a.route())
	}
	return l
}

// row is one piece of work.
type row struct {
	user     int
	action   action
	priority int
	inserted time.Duration // after the start
	due      time.Duration // after the start; before inserted: at once
	cancel   time.Duration // after the start; 0: never
}

// scenario is what rapid varies.
type scenario struct {
	users      int
	windows    []window
	rows       []row
	workers    []int // slots of each
	delay      sandbox.Delay
	hidden     []sandbox.Family
	misleading bool
}

func (s scenario) String() string {
	text := fmt.Sprintf("%d users, workers of %v slots, delays of up to %s, hidden %v, misleading %v\n",
		s.users, s.workers, s.delay.Max, s.hidden, s.misleading)
	for _, v := range s.windows {
		text += fmt.Sprintf("  window %s: %d of %v in %s, family %q, rolling %v\n", v.name, v.maximum, v.actions, v.period, v.family, v.rolling)
	}
	return text + fmt.Sprintf("  %d rows", len(s.rows))
}

// delays are the longest that requests may be under way: mostly long ones, and rapid would draw short ones. A place
// that is held too briefly shows when its request comes late and the next one does not.
func delays() []time.Duration {
	return []time.Duration{time.Millisecond, time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second}
}

// periods are the lengths of windows, mostly short ones, for they are the ones that a few seconds matter to.
func periods() []time.Duration {
	const quarter = 15 * time.Minute
	return []time.Duration{quarter, quarter, quarter, time.Hour, 3 * time.Hour, 24 * time.Hour}
}

// draw draws a scenario.
func draw(t *rapid.T) scenario {
	s := scenario{
		users:   rapid.IntRange(1, 2).Draw(t, "users"),
		workers: rapid.SliceOfN(rapid.IntRange(1, 20), 1, 3).Draw(t, "workers"),
		delay:   sandbox.Delay{Min: time.Microsecond, Max: rapid.SampledFrom(delays()).Draw(t, "delay")},
	}
	rolling := rapid.Bool().Draw(t, "rolling")
	s.windows = drawWindows(t, false, rolling)
	if rapid.Bool().Draw(t, "limits of the app") {
		s.windows = append(s.windows, drawWindows(t, true, rolling)...)
	}
	if rapid.Bool().Draw(t, "hidden") {
		s.hidden = []sandbox.Family{sandbox.FamilyEndpoint, sandbox.FamilyUserDay, sandbox.FamilyAppDay}
	} else {
		s.misleading = rapid.Bool().Draw(t, "misleading")
	}
	bursts := rapid.IntRange(1, 3).Draw(t, "bursts")
	for range bursts {
		s.rows = append(s.rows, drawBurst(t, s.users)...)
	}
	return s
}

// drawWindows draws one to three limits of each user, or of the app. X tells of at most one of a route.
func drawWindows(t *rapid.T, ofApp, rolling bool) []window {
	var all []window
	told := map[action]bool{}
	for i := range rapid.IntRange(1, 3).Draw(t, "windows") {
		v := window{
			name: fmt.Sprintf("window %d", i), ofApp: ofApp, rolling: rolling,
			actions: rapid.SliceOfNDistinct(rapid.SampledFrom(actions()), 1, 4, rapid.ID).Draw(t, "actions"),
			maximum: rapid.IntRange(1, 30).Draw(t, "maximum"),
			period:  rapid.SampledFrom(periods()).Draw(t, "period"),
		}
		known := slices.ContainsFunc(v.actions, func(a action) bool { return told[a] })
		switch {
		case known:
		case ofApp && v.period == 24*time.Hour:
			v.family = sandbox.FamilyAppDay
		case !ofApp && v.period == 24*time.Hour:
			v.family = sandbox.FamilyUserDay
		case !ofApp && v.period == 15*time.Minute:
			v.family = sandbox.FamilyEndpoint
		}
		for _, a := range v.actions {
			told[a] = told[a] || v.family != sandbox.FamilyNone
		}
		all = append(all, v)
	}
	return all
}

// drawBurst draws rows that are inserted at once, and due at once or within some time.
func drawBurst(t *rapid.T, users int) []row {
	minutes := func(most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Minute
	}
	inserted := minutes(90, "inserted after, min")
	within := rapid.SampledFrom([]int{0, 0, 1, 60}).Draw(t, "due within, min")
	cancels := rapid.Bool().Draw(t, "cancels")
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		r := row{
			user: rapid.IntRange(0, users-1).Draw(t, "user"), inserted: inserted,
			action:   rapid.SampledFrom([]action{post, post, retweet, deletion, undoRetweet}).Draw(t, "action"),
			priority: rapid.SampledFrom([]int{2, 2, 2, 1, 3, 4}).Draw(t, "priority"),
			due:      inserted + minutes(within, "due after, min"),
		}
		if cancels && rapid.IntRange(0, 3).Draw(t, "cancelled") == 0 {
			r.cancel = inserted + minutes(120, "cancelled after, min")
		}
		return r
	}), 5, 40).Draw(t, "rows")
}
