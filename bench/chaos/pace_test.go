package chaos

import (
	"time"

	"tweetqueue/jobs"
)

// openDoubts counts the rows in doubt that no person has to look at yet.
const openDoubts = `SELECT (SELECT count(*) FROM tweetqueue.tweets WHERE status = 'unconfirmed' AND next_attempt_at IS NOT NULL)
+ (SELECT count(*) FROM tweetqueue.deletions WHERE status = 'unconfirmed' AND next_attempt_at IS NOT NULL)`

// pace is how fast everything goes: the bounds within which the promise holds, shortened for a test.
type pace struct {
	// Timeout is how long a worker waits for X.
	Timeout time.Duration `json:"timeout"`
	// Hold is the longest that X takes over a request, Stall the longest that the network does.
	// Together they stay below LongestCreation.
	Hold  time.Duration `json:"hold"`
	Stall time.Duration `json:"stall"`
	// LongestCreation and Lag are what the worker is told: how long after send_by a tweet may still
	// be created, and how long reads may lag.
	LongestCreation time.Duration   `json:"longest_creation"`
	Lag             time.Duration   `json:"lag"`
	LookUpAfter     []time.Duration `json:"look_up_after"`
	// Faults is how long there are faults.
	Faults time.Duration `json:"faults"`
	// Freeze is how long a worker is stopped at least: longer than its lease lives. Thaw is how much longer
	// it may be: until another has looked for its tweets, and sends them again.
	Freeze time.Duration `json:"freeze"`
	Thaw   time.Duration `json:"thaw"`
	// Brief spares look-ups: one whose worker dies is made again only after a request's time-out and 15 s.
	Brief bool `json:"brief"`
}

// short is for a run of less than a minute.
func short() pace {
	return pace{
		Timeout: 2 * time.Second, Hold: 3 * time.Second, Stall: 1500 * time.Millisecond,
		LongestCreation: 5 * time.Second, Lag: 2 * time.Second,
		LookUpAfter: []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 11 * time.Second},
		Faults:      14 * time.Second, Freeze: 13 * time.Second, Thaw: 3 * time.Second, Brief: true,
	}
}

// quick is for one fault at a time, with an X that neither holds nor lags.
func quick() pace {
	p := short()
	p.LongestCreation, p.Lag = 500*time.Millisecond, 500*time.Millisecond
	p.LookUpAfter = []time.Duration{200 * time.Millisecond, time.Second, 4 * time.Second}
	return p
}

// long is for a run of minutes.
func long(faults time.Duration) pace {
	return pace{
		Timeout: 4 * time.Second, Hold: 8 * time.Second, Stall: 4 * time.Second,
		LongestCreation: 15 * time.Second, Lag: 20 * time.Second, // together to the last look-up
		LookUpAfter: []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second},
		Faults:      faults, Freeze: 16 * time.Second, Thaw: 40 * time.Second,
	}
}

// lookUps tells a worker the bounds.
func (p pace) lookUps(config jobs.Config) jobs.Config {
	config.LookUpAfter, config.LongestCreation, config.ReadLag = p.LookUpAfter, p.LongestCreation, p.Lag
	return config
}
