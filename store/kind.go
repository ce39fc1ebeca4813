package store

import (
	"strings"
	"time"
)

// Kind is a kind of work: a table of rows, and the River jobs that wake them.
type Kind string

// The kinds, by the names of their River jobs.
const (
	PostTweet   Kind = "post_tweet"
	DeleteTweet Kind = "delete_tweet"
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{PostTweet, DeleteTweet} }

// Queue is River's queue for the kind: each has its own, so that a hundred thousand deletions do
// not stand before a tweet.
func (k Kind) Queue() string { return k.table() }

// Action is the name under which limits count the kind's requests.
func (k Kind) Action() string {
	if k == DeleteTweet {
		return "delete"
	}
	return "post"
}

// Done is the status of a row whose request has succeeded.
func (k Kind) Done() Status {
	if k == DeleteTweet {
		return Deleted
	}
	return Posted
}

func (k Kind) table() string {
	if k == DeleteTweet {
		return "deletions"
	}
	return "tweets"
}

// sql completes a query that is the same for every kind: {table}, {due_at}, {done_at}, {done},
// {kind}, {queue}, {deadline}, {set_tweet_id}, {wakes} and {doubt} stand for the kind's own. None comes from outside.
func (k Kind) sql(query string) string {
	due, done, deadline, setTweetID, wakes := "post_at", "posted_at", "t.post_before", "tweet_id = i.tweet_id,", "t.wake_next OR t.wake_account"
	doubt := "t.if_unconfirmed, t.post_before, ''"
	if k == DeleteTweet {
		due, done, deadline, setTweetID, wakes = "delete_at", "deleted_at", "NULL::timestamptz", "", "false"
		doubt = "'', NULL::timestamptz, t.tweet_id"
	}
	return strings.NewReplacer("{table}", "tweetqueue."+k.table(), "{due_at}", due, "{done_at}", done, "{deadline}", deadline, "{set_tweet_id}", setTweetID, "{wakes}", wakes,
		"{doubt}", doubt, "{done}", string(k.Done()), "{kind}", string(k), "{queue}", k.Queue()).Replace(query)
}

// Status is where a row stands; design and database have the table of what may follow what.
type Status string

// The statuses of rows.
const (
	Scheduled   Status = "scheduled"
	Sending     Status = "sending"
	Posted      Status = "posted"
	Deleted     Status = "deleted"
	Failed      Status = "failed"
	Unconfirmed Status = "unconfirmed"
	Missed      Status = "missed"
	Cancelled   Status = "cancelled"
)

// Final reports whether nothing more happens to a row by itself.
func (s Status) Final() bool {
	return s != Scheduled && s != Sending && s != Unconfirmed
}

// WaitingFor is what a scheduled row waits for.
type WaitingFor string

// What a scheduled row can wait for. Budget comes with the limits.
const (
	ForTime    WaitingFor = "time"
	ForQuota   WaitingFor = "quota"
	ForThread  WaitingFor = "thread"
	ForAccount WaitingFor = "account"
	ForApp     WaitingFor = "app"
	ForRetry   WaitingFor = "retry"
)

// State is the state of an account or an app.
type State string

// The states of accounts; an app is active or paused.
const (
	Active     State = "active"
	Paused     State = "paused"
	NeedsLogin State = "needs_login"
	Suspended  State = "suspended"
)

// Hold is a state with its reason, and the instant at which it is tried again by itself.
type Hold struct {
	State  State      `json:"state"`
	Reason *string    `json:"state_reason,omitempty"`
	Until  *time.Time `json:"state_until,omitempty"`
}

// Holds reports whether it holds work back at an instant.
func (h Hold) Holds(now time.Time) bool {
	return h.State != Active && (h.Until == nil || now.Before(*h.Until))
}
