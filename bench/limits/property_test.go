package limits

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tweetqueue/twitter/sandbox"
)

// Whatever the limits, the load and the workers: X never gets more than a limit allows, nor much less, what is due
// first goes first, and in the end the windows hold what X has counted.
func TestLimits(t *testing.T) {
	t.Parallel()
	property(t)
}

func property(t *testing.T) {
	t.Helper()
	began, ran := time.Now(), 0
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt)
		var found []string
		ran++
		t.Run(fmt.Sprint(ran), func(t *testing.T) { found = s.run(t) })
		if len(found) > 0 {
			rt.Fatalf("%s\nhas %d faults:\n%s", s, len(found), join(found))
		}
	})
	t.Logf("%d scenarios in %s", ran, time.Since(began).Round(time.Millisecond))
}

// run plays a scenario, and returns what is wrong with what happened.
func (s scenario) run(t *testing.T) []string {
	t.Helper()
	w := newWorld(t, s.config())
	p := setUp(w, s)
	for _, slots := range s.workers {
		w.work(slots)
	}
	w.play()
	return p.faults()
}

func (s scenario) config() sandbox.Config {
	config := sandbox.Config{
		ArrivalDelay: s.delay, HiddenFamilies: s.hidden, MisleadingWindow: s.misleading, Limits: []sandbox.Limit{},
	}
	for _, v := range s.windows {
		config.Limits = append(config.Limits, v.limit())
	}
	return config
}
