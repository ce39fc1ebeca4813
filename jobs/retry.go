package jobs

import (
	"math/rand/v2"
	"time"
)

// retrySchedule is how long a row waits before each retry in a row; the last repeats, until the
// row's deadline. A retry is only ever of a request that certainly did not take effect, or may
// take effect twice.
//
//nolint:gochecknoglobals // A table, never written.
var retrySchedule = []time.Duration{
	//                    after the first failure
	2 * time.Second,  // 2 s
	5 * time.Second,  // 7 s
	15 * time.Second, // 22 s
	30 * time.Second, // 52 s
	1 * time.Minute,  // 1 min 52 s
	2 * time.Minute,  // 3 min 52 s
	5 * time.Minute,  // 8 min 52 s
}

// retry is the verdict to try again, after retries earlier tries in a row.
func retry(retries int) Verdict {
	return Verdict{Outcome: OutcomeRetry, Wait: backoff(retries)}
}

// repeat is the verdict to do again what may have been done.
func repeat(retries int) Verdict {
	return Verdict{Outcome: OutcomeRepeat, Wait: backoff(retries), NoAnswer: true}
}

// backoff is the schedule with up to a fifth more or less, so that what failed together does not
// come back together.
func backoff(retries int) time.Duration {
	wait := retrySchedule[min(max(retries, 0), len(retrySchedule)-1)]
	return wait + time.Duration((rand.Float64()*0.4-0.2)*float64(wait))
}

// retryJobAtMost is the longest wait of a job that could not reach the database, in the schedule: a
// database comes back within seconds, and then what is due is late already.
const retryJobAtMost = 2

// retryJob is when River runs a job again that could not reach the database, not even to park. It
// is harmless: the row decides what happens. River goes by this machine's clock here, and refuses what it
// takes for the past; beside a database whose clock is another, the promoter sees to it: [store.Promote].
func retryJob(attempt int) time.Time {
	return time.Now().Add(backoff(min(attempt-1, retryJobAtMost)))
}
