package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

type showCmd struct {
	ID rowID `arg:"" help:"The row's id, as 'enqueue list' shows it."`
}

// Help is shown by --help.
func (*showCmd) Help() string {
	return `Example:

    enqueue show 42`
}

// shown is the JSON of a row with all that belongs to it.
type shown struct {
	store.Entry
	Asked       *store.Tweet        `json:"asked,omitempty"` // of a tweet: what the application wrote
	DeleteAfter string              `json:"delete_after,omitempty"`
	UndoAfter   string              `json:"undo_after,omitempty"`
	DeletionOf  int64               `json:"deletion_of,omitempty"` // of a deletion: the row whose tweet or retweet it takes off X
	Requests    []store.SentRequest `json:"requests"`              // the oldest first
}

// Run shows a row.
func (c *showCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(nil)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		row := shown{Requests: []store.SentRequest{}}
		if row.Entry, err = store.EntryGet(ctx, db.Pool, int64(c.ID)); err != nil {
			return err
		}
		one := []store.Entry{row.Entry}
		if err := store.DeletionsRead(ctx, db.Pool, one); err != nil {
			return err
		}
		row.Entry = one[0]
		if row.Kind == store.DeleteTweet {
			row.DeletionOf, err = store.DeletionOf(ctx, db.Pool, row.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) { // it may be of what others have posted
				return err
			}
		}
		if row.Kind == store.PostTweet {
			tweet, err := store.TweetGet(ctx, db.Pool, int64(c.ID))
			if err != nil {
				return err
			}
			row.Asked = &tweet
			if tweet.DeleteAfter.Valid {
				row.DeleteAfter = formatInterval(tweet.DeleteAfter)
			}
		}
		if row.Entry.UndoAfter.Valid {
			row.UndoAfter = formatInterval(row.Entry.UndoAfter)
		}
		requests, err := store.RequestList(ctx, db.Pool, int64(c.ID))
		if err != nil {
			return err
		}
		row.Requests = append(row.Requests, requests...)
		if !row.Status.Final() {
			if _, err := s.warnIfIdle(ctx, db.Pool); err != nil {
				return err
			}
		}
		now, err := store.Clock(ctx, db.Pool)
		if err != nil {
			return err
		}
		return s.print(row, func(w io.Writer) { row.write(w, now) })
	})
}

func (r *shown) write(w io.Writer, now time.Time) {
	zone := zoneOf(r.Entry)
	instant := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return formatInstant(*t, zone) + ", " + formatDistance(*t, now)
	}
	status, onX := string(r.Status), "on X"
	if r.Kind == store.DeleteTweet {
		onX = "tweet"
	}
	if r.Deletion != nil {
		status, onX = status+", "+goneSince(r.Entry), "was on X"
	}
	fmt.Fprintf(w, "%s %d for %s: %s\n", kindName(r.Kind), r.ID, r.Account, status)
	field(w, "why", r.waiting(now))
	field(w, "what to do", r.toResolve())
	field(w, "error", value(r.Error))
	field(w, "due", instant(&r.DueAt))
	if r.Status == store.Unconfirmed {
		field(w, "next look-up", instant(r.NextAttemptAt))
	} else {
		field(w, "not before", instant(r.NextAttemptAt))
	}
	field(w, string(r.Kind.Done()), instant(r.DoneAt))
	switch {
	case r.TweetID == nil:
	case r.Kind == store.Retweet || r.Retweet: // whose tweet it is, is not known
		field(w, "retweet of", "https://x.com/i/status/"+*r.TweetID)
	default:
		field(w, onX, "https://x.com/"+r.Account+"/status/"+*r.TweetID)
	}
	if r.DeletionOf != 0 {
		name := map[bool]string{false: "tweet of row", true: "retweet of row"}[r.Retweet]
		field(w, name, strconv.FormatInt(r.DeletionOf, 10))
	}
	field(w, "undone after", r.UndoAfter)
	r.writePendingDeletion(w, instant)
	for _, warning := range r.Warnings {
		field(w, "warning", warning)
	}
	field(w, "priority", strconv.Itoa(r.Priority))
	field(w, "written", instant(&r.CreatedAt))
	if r.Asked != nil {
		r.writeAsked(w, instant)
	}
	if len(r.Requests) == 0 {
		fmt.Fprintln(w, "nothing was sent to X for it")
	}
	for _, request := range r.Requests {
		writeRequest(w, request, instant)
	}
}

// writePendingDeletion says which row is going to take it off X, and how to stop that.
func (r *shown) writePendingDeletion(w io.Writer, instant func(*time.Time) string) {
	d := r.PendingDeletion
	if d == nil {
		return
	}
	name, by := "to be deleted", fmt.Sprintf(", by deletion %d", d.ID)
	if r.Kind == store.Retweet {
		name = "to be undone"
	}
	if d.Status == store.Scheduled {
		by += fmt.Sprintf(": 'enqueue cancel %d' stops that", d.ID)
	} else {
		by += ", which is " + string(d.Status)
	}
	field(w, name, instant(&d.DueAt)+by)
}

func (r *shown) waiting(now time.Time) string {
	switch {
	case r.Status == store.Unconfirmed && r.Retweet:
		return "nobody knows whether the retweet is undone, and no worker looks: you decide"
	case r.Status == store.Unconfirmed && r.NextAttemptAt == nil:
		return "nobody knows whether it is on X, and no worker looks any more: you decide"
	case r.Status == store.Unconfirmed && r.Kind == store.DeleteTweet:
		return "a worker looks on X whether the tweet is gone, and deletes it again if it is not"
	case r.Status == store.Unconfirmed && r.Kind == store.Retweet:
		return "a worker looks on X whether the tweet is retweeted"
	case r.Status == store.Unconfirmed && r.Asked != nil && r.Asked.IfUnconfirmed == "hold":
		return "a worker looks on X whether it is there, and leaves it to you if it is not"
	case r.Status == store.Unconfirmed:
		return "a worker looks on X whether it is there, and sends it again if it is not"
	case r.WaitingFor == nil:
		return ""
	}
	waiting := r.Entry
	waiting.NextAttemptAt, waiting.Error, waiting.Warnings = nil, nil, nil // they have lines of their own
	return why(waiting, now)
}

// toResolve says what a person does with a doubt that is left to one.
func (r *shown) toResolve() string {
	if r.Status != store.Unconfirmed || r.NextAttemptAt != nil {
		return ""
	}
	if r.Retweet {
		return fmt.Sprintf(`look at https://x.com/%[2]s, then say what you saw:
enqueue resolve %[1]d --deleted               it does not retweet https://x.com/i/status/%[3]s any more
enqueue resolve %[1]d --not-deleted           it does: that is undone again at once
enqueue resolve %[1]d --not-deleted --cancel  it does, and is to go on`, r.ID, r.Account, value(r.TweetID))
	}
	if r.Kind == store.DeleteTweet {
		return fmt.Sprintf(`look at https://x.com/%[2]s/status/%[3]s, then say what you saw:
enqueue resolve %[1]d --deleted               it is gone
enqueue resolve %[1]d --not-deleted           it is there: it is deleted again at once
enqueue resolve %[1]d --not-deleted --cancel  it is there, and is to stay`, r.ID, r.Account, value(r.TweetID))
	}
	if r.Kind == store.Retweet {
		return fmt.Sprintf(`look at https://x.com/%[2]s, then say what you saw:
enqueue resolve %[1]d --retweeted               it has retweeted https://x.com/i/status/%[3]s
enqueue resolve %[1]d --not-retweeted           it has not: it does so again at once
enqueue resolve %[1]d --not-retweeted --cancel  it has not, and is not to`, r.ID, r.Account, value(r.TweetID))
	}
	return fmt.Sprintf(`look at https://x.com/%[2]s, replies too, then say what you saw:
enqueue resolve %[1]d --posted TWEET_ID       it is there: this is its id, or its address
enqueue resolve %[1]d --not-posted            it is not: it is sent again at once
enqueue resolve %[1]d --not-posted --cancel   it is not, and is not to be sent again`, r.ID, r.Account)
}

// writeAsked writes X's fields under X's names, and ours.
func (r *shown) writeAsked(w io.Writer, instant func(*time.Time) string) {
	t := r.Asked
	if t.PreviousID != nil {
		field(w, "continues", fmt.Sprintf("row %d", *t.PreviousID))
	}
	field(w, "deadline", instant(t.PostBefore))
	field(w, "deleted after", r.DeleteAfter)
	field(w, "if unconfirmed", t.IfUnconfirmed)
	field(w, "idempotency key", value(t.IdempotencyKey))
	field(w, "metadata", string(t.Metadata))
	field(w, "in_reply_to_tweet_id", value(t.InReplyToTweetID))
	field(w, "exclude_reply_user_ids", strings.Join(t.ExcludeReplyUserIDs, ", "))
	field(w, "quote_tweet_id", value(t.QuoteTweetID))
	field(w, "media_ids", strings.Join(t.MediaIDs, ", "))
	field(w, "tagged_user_ids", strings.Join(t.TaggedUserIDs, ", "))
	field(w, "poll_options", strings.Join(t.PollOptions, ", "))
	if t.PollDurationMinutes != nil {
		field(w, "poll_duration_minutes", strconv.Itoa(*t.PollDurationMinutes))
	}
	field(w, "place_id", value(t.PlaceID))
	field(w, "reply_settings", value(t.ReplySettings))
	field(w, "community_id", value(t.CommunityID))
	if t.MadeWithAI != nil {
		field(w, "made_with_ai", strconv.FormatBool(*t.MadeWithAI))
	}
	if t.PaidPartnership != nil {
		field(w, "paid_partnership", strconv.FormatBool(*t.PaidPartnership))
	}
	field(w, "extra", string(t.Extra))
	field(w, "text", t.Text)
}

func writeRequest(w io.Writer, r store.SentRequest, instant func(*time.Time) string) {
	name, answer := "request", value(r.Answer)
	if r.Kind == "look_up" { // whole timelines, which JSON shows
		name, answer = "look-up", oneLine(answer, 300)
	}
	fmt.Fprintf(w, "%s %d by %s: %s\n", name, r.ID, printable(r.Worker), outcome(r))
	field(w, "error", value(r.Error))
	field(w, "granted", instant(&r.GrantedAt))
	field(w, "answered", instant(r.AnsweredAt))
	field(w, "x-transaction-id", value(r.XTransactionID))
	field(w, "limits", string(r.Limits))
	if r.CostUSD != nil {
		field(w, "cost", "$"+r.CostUSD.String())
	}
	field(w, "sent", value(r.Body))
	field(w, "X answered", answer)
}

func outcome(r store.SentRequest) string {
	switch {
	case r.Outcome == nil:
		return "not answered yet"
	case r.StatusCode == nil:
		return *r.Outcome + " (no answer)"
	}
	return fmt.Sprintf("%s (%d)", *r.Outcome, *r.StatusCode)
}

// field writes one field of a row unless it is empty. Further lines of a value are indented.
func field(w io.Writer, name, value string) {
	if value == "" || value == "null" {
		return
	}
	lines := strings.ReplaceAll(strings.TrimSuffix(printable(value), "\n"), "\n", "\n"+strings.Repeat(" ", 26))
	fmt.Fprintf(w, "  %-22s  %s\n", name, lines)
}
