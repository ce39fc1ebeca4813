//go:build soak

package limits

import (
	"testing"
	"time"

	"tweetqueue/twitter/sandbox"
)

// scenarios is how many are played.
const scenarios = 200

// As TestLimits, for longer.
func TestSoakLimits(t *testing.T) {
	t.Parallel()
	property(t)
}

// As TestGuide, with all that a user may have saved up: 5,000 posts, 500 retweets and 1,000 deletions.
func TestSoakGuide(t *testing.T) {
	t.Parallel()
	for name, limits := range modes(sandbox.DefaultLimits()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guide(t, limits, load{posts: 5000, retweets: 500, deletions: 1000}, 2*time.Second)
		})
	}
}

// As TestSecondClient, of tweets that are due one after the other, under X's limit of today.
func TestSoakSecondClient(t *testing.T) {
	t.Parallel()
	const maximum = 100
	limits := sandbox.CurrentLimits()[:1]
	for name, limits := range modes(limits) {
		for name, apart := range map[string]time.Duration{name + "Apart": 12 * time.Second, name + "AtOnce": 0} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				secondClient(t, limits, 100, maximum, maximum/2, apart)
			})
		}
	}
}
