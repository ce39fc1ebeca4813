package store

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of work: a table of rows, and the River jobs that wake them.
type Kind string

// The kinds, by the names of their River jobs.
const (
	PostTweet   Kind = "post_tweet"
	DeleteTweet Kind = "delete_tweet" // or undo a retweet: see Row.Action
	Retweet     Kind = "retweet"
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{PostTweet, DeleteTweet, Retweet} }

// Queue is River's queue for the kind: each has its own, so that a hundred thousand deletions do
// not stand before a tweet.
func (k Kind) Queue() string { return k.table() }

// Action is the name under which limits count the kind's requests; but see [Row.Action].
func (k Kind) Action() string { return k.parts().action }

// undoRetweet is the action of a deletion that undoes a retweet.
const undoRetweet = "undo_retweet"

// actions are those of the kind's rows.
func (k Kind) actions() []string {
	if k == DeleteTweet {
		return []string{k.Action(), undoRetweet}
	}
	return []string{k.Action()}
}

// kindsOf returns the kinds of which rows have one of the actions.
func kindsOf(actions ...string) []Kind {
	var kinds []Kind
	for _, kind := range Kinds() {
		if slices.ContainsFunc(kind.actions(), func(a string) bool { return slices.Contains(actions, a) }) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Done is the status of a row whose request has succeeded.
func (k Kind) Done() Status { return k.parts().done }

func (k Kind) table() string { return k.parts().table }

// parts are what differs between the kinds: names, and pieces of SQL over a row t.
type parts struct {
	table, action string
	rowAction     string // the action of a row, in SQL
	hasURL        string // whether X charges a row's tweet for a URL, as far as is known: a dot may be a part of one
	ofAction      string // whether a row's action is $2, so that an index serves
	done          Status
	dueAt, doneAt string // columns
	deadline      string // the instant past which the row is missed, or null
	own           string // what RowsLock reads beside the columns that all kinds have
	asked         string // of an Entry: text, tweet_id, previous_id, retweet, undo_after
	doubt         string // of a Doubt: if_unconfirmed, post_before, tweet_id
	refused       string // whether the answer to a request l that left a doubt was a refusal
	setTweetID    string // an assignment, where the worker writes tweet_id
	wakes         string // whether a settled row has ended what others wait for
	takenOver     string // assignments; the reason follows
}

func (k Kind) parts() parts {
	// What may be sent twice is sent again by whoever takes the row over.
	const again = `status = 'scheduled', waiting_for = 'retry',
    next_attempt_at = greatest(lost.granted_at + $4, tweetqueue.clock()), error = `
	// A proxy's page is no word of X.
	const byX = ` AND starts_with(l.answer, '{')`
	switch k {
	case DeleteTweet:
		return parts{
			table: "deletions", action: "delete", rowAction: "CASE WHEN t.retweet THEN 'undo_retweet' ELSE 'delete' END",
			ofAction: "t.retweet = ($2 = 'undo_retweet')", done: Deleted, dueAt: "delete_at", doneAt: "deleted_at",
			deadline: "NULL::timestamptz", own: "t.tweet_id, t.retweet", asked: "NULL, t.tweet_id, NULL::bigint, t.retweet, NULL::interval",
			doubt: "'', NULL::timestamptz, t.tweet_id", refused: "false", wakes: "false", takenOver: again + "CASE WHEN t.retweet THEN 'it is undone again: ' ELSE 'it is deleted again: ' END",
		}
	case Retweet:
		return parts{
			table: "retweets", action: "retweet", rowAction: "'retweet'", ofAction: "$2 = 'retweet'", done: Retweeted, dueAt: "retweet_at", doneAt: "retweeted_at",
			deadline: "NULL::timestamptz", own: "t.tweet_id", asked: "NULL, t.tweet_id, NULL::bigint, false, t.undo_after",
			doubt: "'', NULL::timestamptz, t.tweet_id", refused: "l.status_code BETWEEN 400 AND 499" + byX, wakes: "false",
			takenOver: again + "'it is retweeted again: '",
		}
	case PostTweet:
	}
	return parts{
		table: "tweets", action: "post", rowAction: "'post'", hasURL: "coalesce(t.has_url, position('.' IN t.text) > 0)", ofAction: "$2 = 'post'", done: Posted, dueAt: "post_at", doneAt: "posted_at",
		deadline: "t.post_before", own: rowMade + tweetColumns, asked: "t.text, t.tweet_id, t.previous_id, false, NULL::interval",
		doubt: "t.if_unconfirmed, t.post_before, ''", refused: "l.status_code = 403" + byX, setTweetID: "tweet_id = i.tweet_id,", wakes: "t.wake_next OR t.wake_account",
		takenOver: `status = 'unconfirmed', next_attempt_at = lost.granted_at + $4, error = 'it may be on X: '`,
	}
}

// sql completes a query that is the same for every kind: {kind} and the names of parts stand for the
// kind's own. None comes from outside.
func (k Kind) sql(query string) string {
	p := k.parts()
	return strings.NewReplacer("{kind}", string(k), "{queue}", k.Queue(), "{table}", "tweetqueue."+p.table, "{done}", string(p.done), "{action}", p.rowAction, "{has_url}", cmp.Or(p.hasURL, "false"), "{of_action}", p.ofAction,
		"{due_at}", p.dueAt, "{done_at}", p.doneAt, "{deadline}", p.deadline, "{own}", p.own, "{asked}", p.asked, "{doubt}", p.doubt, "{refused}", p.refused,
		"{set_tweet_id}", p.setTweetID, "{wakes}", p.wakes, "{taken_over}", p.takenOver).Replace(query)
}

// everyKind is the union of a query over all kinds.
func everyKind(query string) string {
	var all []string
	for _, kind := range Kinds() {
		all = append(all, kind.sql(query))
	}
	return strings.Join(all, "\nUNION ALL\n")
}

// Status is where a row stands; design and database have the table of what may follow what.
type Status string

// The statuses of rows.
const (
	Scheduled   Status = "scheduled"
	Sending     Status = "sending"
	Posted      Status = "posted"
	Deleted     Status = "deleted"
	Retweeted   Status = "retweeted"
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

// What a scheduled row can wait for.
const (
	ForTime    WaitingFor = "time"
	ForQuota   WaitingFor = "quota"
	ForThread  WaitingFor = "thread"
	ForAccount WaitingFor = "account"
	ForApp     WaitingFor = "app"
	ForRetry   WaitingFor = "retry"
	ForBudget  WaitingFor = "budget"
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
