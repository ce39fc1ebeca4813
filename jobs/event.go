package jobs

import (
	"time"

	"tweetqueue/store"
)

// EventType says what an Event tells.
type EventType string

// The types of events.
const (
	// EventReady says that the worker has its lease, and works what is due from now on.
	EventReady EventType = "ready"
	// EventDue says that a row was claimed and is being sent.
	EventDue EventType = "due"
	// EventDone says that X confirmed: the row is posted or deleted.
	EventDone EventType = "done"
	// EventWaiting says that the row waits, for what, and until when.
	EventWaiting EventType = "waiting"
	// EventFailed says that the row failed, and why.
	EventFailed EventType = "failed"
	// EventMissed says that the row's deadline passed.
	EventMissed EventType = "missed"
	// EventUnconfirmed says that the row may be on X, and why that is not known: once when that begins, and
	// again after each look-up that did not settle it.
	EventUnconfirmed EventType = "unconfirmed"
	// EventHeld says that an account or an app was put on hold, and why.
	EventHeld EventType = "held"
	// EventBudget says that an account or an app has spent most of its budget of the month, or that a row waits because of it: each
	// once a month.
	EventBudget EventType = "budget"
	// EventPostedTwice says that a row's request created a tweet that the row has not: it has another one, or is over
	// without one. The row's warnings tell what to do.
	EventPostedTwice EventType = "posted_twice"
	// EventError says that the worker could not do what it tried, and will try again.
	EventError EventType = "error"
)

// Event is something that happened, for a log or a person. It holds no text of a tweet and no
// secret. What does not apply is zero.
type Event struct {
	Type       EventType
	At         time.Time // by this machine's clock
	Kind       store.Kind
	RowID      int64
	RequestID  int64
	JobID      int64
	Account    string
	TweetID    string
	DueAt      time.Time // when the row was due, by the database's clock
	Lateness   time.Duration
	WaitingFor store.WaitingFor
	Until      *time.Time
	LookedUp   bool // of EventUnconfirmed: a look-up left it so, until the next one or, without, for a person
	Reason     string
	Err        error
}
