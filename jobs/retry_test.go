package jobs

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// The comment beside each wait is the time since the first failure: people plan by it.
func TestRetryScheduleIsAsCommented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("retry.go")
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^\t\d+ \* time\.\w+, +// (.*)$`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, lines, len(retrySchedule))
	sum := time.Duration(0)
	for i, wait := range retrySchedule {
		sum += wait
		said, err := time.ParseDuration(strings.NewReplacer(" ", "", "min", "m").Replace(lines[i][1]))
		require.NoError(t, err)
		require.Equal(t, sum, said, "line %d", i+1)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	last := len(retrySchedule) - 1
	for retries, want := range map[int]time.Duration{
		-1: retrySchedule[0], 0: retrySchedule[0], 1: retrySchedule[1], last: retrySchedule[last],
		last + 1: retrySchedule[last], 30000: retrySchedule[last],
	} {
		least, most := want, want
		for range 2000 {
			wait := backoff(retries)
			require.InDelta(t, want, wait, 0.2*float64(want))
			least, most = min(least, wait), max(most, wait)
		}
		require.Less(t, least, want*85/100, "the jitter spreads what failed together")
		require.Greater(t, most, want*115/100, "the jitter spreads what failed together")
	}
	for i := range last {
		require.Less(t, retrySchedule[i], retrySchedule[i+1])
	}
}

func TestRetryJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for attempt, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 5 * time.Second, 3: 15 * time.Second, 32767: 15 * time.Second} {
			require.InDelta(t, want, time.Until(retryJob(attempt)), 0.2*float64(want), "attempt %d", attempt)
			post := (&postTweetWorker{}).NextRetry(&river.Job[PostTweetArgs]{JobRow: &rivertype.JobRow{Attempt: attempt}})
			require.InDelta(t, want, time.Until(post), 0.2*float64(want), "attempt %d", attempt)
			deletion := (&deleteTweetWorker{}).NextRetry(&river.Job[DeleteTweetArgs]{JobRow: &rivertype.JobRow{Attempt: attempt}})
			require.InDelta(t, want, time.Until(deletion), 0.2*float64(want), "attempt %d", attempt)
			retweet := (&retweetWorker{}).NextRetry(&river.Job[RetweetArgs]{JobRow: &rivertype.JobRow{Attempt: attempt}})
			require.InDelta(t, want, time.Until(retweet), 0.2*float64(want), "attempt %d", attempt)
		}
	})
}

// A settlement is not given up because a job took long.
func TestJobsHaveNoTimeout(t *testing.T) {
	t.Parallel()
	require.Negative(t, (&postTweetWorker{}).Timeout(nil))
	require.Negative(t, (&deleteTweetWorker{}).Timeout(nil))
	require.Negative(t, (&retweetWorker{}).Timeout(nil))
}

// River refuses a time that has passed by its own clock, and takes one that is far away by the database's.
func TestRetryBesideADatabaseWhoseClockIsBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	storetest.MoveClock(t, w.db, -2*time.Minute)
	r := w.start(opts{})
	w.exec(`ALTER TABLE tweetqueue.quotas RENAME TO away`) // a claim fails, as when the database restarts
	id := w.tweet("soon again")
	w.eventually("it has failed", func() bool {
		return one[bool](w, `SELECT EXISTS (SELECT FROM tweetqueue.river_job WHERE cardinality(errors) > 0)`)
	})
	w.exec(`ALTER TABLE tweetqueue.away RENAME TO quotas`)
	r.wait(EventDone, id) // and not only in two minutes
}
