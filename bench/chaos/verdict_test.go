package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// books are the three accounts of a run: the rows, the requests, and X's own record. They are
// compared without the help of anything that the worker decides by.
type books struct {
	tweets    []tweetRow
	deletions []deletionRow
	requests  []requestRow
	onX       []sandbox.Tweet
	received  []sandbox.Request
	heard     []heard // by processes that were not killed

	byMark  map[string][]sandbox.Tweet // of onX
	byID    map[string]sandbox.Tweet   // of onX
	ahead   time.Duration              // how far the database's clock is ahead of X's
	slack   time.Duration              // how long a request may take to X
	ended   time.Time                  // by the database's clock
	faults  []string                   // what does not agree
	allowed struct{ refusedDuplicates bool }
}

type tweetRow struct {
	ID            int64
	Account       string
	Text          string
	Status        store.Status
	TweetID       *string
	Error         *string
	PostBefore    *time.Time
	DeleteAfter   bool
	IfUnconfirmed string
	PostAt        time.Time
	PreviousID    *int64
	InReplyTo     *string
}

func (r tweetRow) mark() string { return mark.FindString(r.Text) }

type deletionRow struct {
	ID      int64
	Account string
	TweetID string
	Status  store.Status
	Error   *string
}

type requestRow struct {
	ID            int64
	Kind          store.Kind
	RowID         int64
	Body          *string
	StatusCode    *int
	TransactionID *string
	GrantedAt     time.Time
}

// keep reads the three accounts.
func (r *run) keep() *books {
	r.Helper()
	b := &books{onX: r.x.Tweets(), received: r.x.Requests(), byMark: map[string][]sandbox.Tweet{}, byID: map[string]sandbox.Tweet{}}
	b.allowed.refusedDuplicates = r.plan.duplicates
	b.ahead, b.slack = 2*r.plan.skew, r.plan.pace.Stall+3*time.Second
	var err error
	b.ended, err = store.Clock(r.Context(), r.db)
	require.NoError(r, err)
	b.tweets, err = collect[tweetRow](r.Context(), r.world, `SELECT id, account::text, text, status, tweet_id, error, post_before,
delete_after IS NOT NULL, if_unconfirmed, post_at, previous_id, in_reply_to_tweet_id FROM tweetqueue.tweets ORDER BY id`)
	require.NoError(r, err)
	b.deletions, err = collect[deletionRow](r.Context(), r.world, `SELECT id, account::text, tweet_id, status, error FROM tweetqueue.deletions ORDER BY id`)
	require.NoError(r, err)
	b.requests, err = collect[requestRow](r.Context(), r.world, `SELECT id, kind, row_id, body, status_code, x_transaction_id, granted_at FROM tweetqueue.requests
WHERE row_id IS NOT NULL ORDER BY id`)
	require.NoError(r, err)
	for _, tweet := range b.onX {
		b.byID[tweet.ID] = tweet
		if m := mark.FindString(tweet.Text); m != "" {
			b.byMark[m] = append(b.byMark[m], tweet)
		}
	}
	for _, path := range r.survivors {
		b.heard = append(b.heard, r.readJournal(path)...)
	}
	return b
}

func collect[T any](ctx context.Context, w *world, sql string) ([]T, error) {
	rows, err := w.db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

func (r *run) readJournal(path string) []heard {
	r.Helper()
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it ended before it had begun
	}
	require.NoError(r, err)
	defer file.Close()
	var all []heard
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line heard
		require.NoError(r, json.Unmarshal(lines.Bytes(), &line))
		all = append(all, line)
	}
	return all
}

func (b *books) faultf(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// audit compares the accounts, and returns all that does not agree.
func (b *books) audit() []string {
	b.auditTweets()
	b.auditSame()
	b.auditForeign()
	b.auditTimes()
	b.auditThreads()
	b.auditRequests()
	b.auditDeletions()
	return b.faults
}

// auditTweets: no row has two tweets; a posted one has its own, any other none, unless it is in doubt.
func (b *books) auditTweets() {
	seen := map[string]int64{}
	for _, row := range b.tweets {
		of := b.byMark[row.mark()]
		unique := row.mark()[0] == 'm'
		if unique && len(of) > 1 {
			b.faultf("duplicate: tweet %d (%s) is on X %d times: %s", row.ID, row.Status, len(of), ids(of))
		}
		switch row.Status {
		case store.Posted:
			b.auditPosted(row)
			if other, twice := seen[*row.TweetID]; twice {
				b.faultf("tweets %d and %d have the same id %s", other, row.ID, *row.TweetID)
			}
			seen[*row.TweetID] = row.ID
		case store.Failed:
			if unique || !b.allowed.refusedDuplicates {
				b.faultf("tweet %d failed: %s", row.ID, value(row.Error))
			}
			fallthrough
		case store.Missed:
			if unique && len(of) > 0 {
				b.faultf("lost: tweet %d is %s, and on X: %s", row.ID, row.Status, ids(of))
			}
			if row.Status == store.Missed && row.PostBefore == nil {
				b.faultf("tweet %d was missed, and has no deadline: %s", row.ID, value(row.Error))
			}
		case store.Unconfirmed:
			if !strings.Contains(value(row.Error), "enqueue resolve") {
				b.faultf("tweet %d is unconfirmed and does not say what a person has to do: %s", row.ID, value(row.Error))
			}
		case store.Scheduled: // behind one in its thread that was not posted
			if unique && len(of) > 0 {
				b.faultf("lost: tweet %d is scheduled, and on X: %s", row.ID, ids(of))
			}
		case store.Sending, store.Deleted, store.Retweeted, store.Cancelled:
			b.faultf("tweet %d is %s", row.ID, row.Status)
		}
	}
}

func (b *books) auditPosted(row tweetRow) {
	tweet, ok := b.byID[*row.TweetID]
	switch {
	case !ok:
		b.faultf("lost: tweet %d is posted as %s, which X does not have", row.ID, *row.TweetID)
	case tweet.Username != row.Account:
		b.faultf("false match: tweet %d of %s is posted as %s, which is by %s", row.ID, row.Account, tweet.ID, tweet.Username)
	case mark.FindString(tweet.Text) != row.mark():
		b.faultf("false match: tweet %d is posted as %s, which says something else", row.ID, tweet.ID)
	case !tweet.DeletedAt.IsZero() && !row.DeleteAfter:
		b.faultf("lost: tweet %d is posted as %s, which was deleted", row.ID, tweet.ID)
	}
}

// auditSame: rows that say the same have as many tweets as are posted, and at most those more that are in
// doubt.
func (b *books) auditSame() {
	posted, doubtful := map[string]int{}, map[string]int{}
	for _, row := range b.tweets {
		if row.mark()[0] != 'g' {
			continue
		}
		switch row.Status {
		case store.Posted:
			posted[row.mark()]++
		case store.Unconfirmed:
			doubtful[row.mark()]++
		case store.Scheduled, store.Sending, store.Failed, store.Missed, store.Cancelled, store.Deleted, store.Retweeted:
		}
	}
	for m, of := range b.byMark {
		if m[0] == 'g' && (len(of) < posted[m] || len(of) > posted[m]+doubtful[m]) {
			b.faultf("duplicate or lost: %s stands on X %d times, %d rows are posted and %d in doubt", m, len(of), posted[m], doubtful[m])
		}
	}
}

// auditForeign: what X has received is what was enqueued.
func (b *books) auditForeign() {
	known := map[string]bool{}
	for _, row := range b.tweets {
		known[row.mark()] = true
	}
	for m, of := range b.byMark {
		if !known[m] {
			b.faultf("tweets %s belong to no row", ids(of))
		}
	}
}

// auditTimes: nothing reaches X before it is due, nor after its deadline; and what was missed is past it.
func (b *books) auditTimes() {
	arrived := map[int]time.Time{}
	for _, received := range b.received {
		arrived[received.N] = received.ArrivedAt.Add(b.ahead)
	}
	for _, row := range b.tweets {
		if row.Status == store.Missed && row.PostBefore != nil && row.PostBefore.After(b.ended) {
			b.faultf("lost: tweet %d was missed before its deadline %s", row.ID, row.PostBefore)
		}
		if row.mark()[0] != 'm' {
			continue
		}
		for _, tweet := range b.byMark[row.mark()] {
			at := arrived[tweet.Request]
			if at.Before(row.PostAt.Add(-time.Second)) {
				b.faultf("early: tweet %d reached X at %s, and was due at %s", row.ID, at, row.PostAt)
			}
			if row.PostBefore != nil && at.After(row.PostBefore.Add(b.slack)) {
				b.faultf("late: tweet %d reached X at %s, past its deadline %s", row.ID, at, row.PostBefore)
			}
		}
	}
}

// auditThreads: what is on X answers the tweet that its row says, or the one of the row before it.
func (b *books) auditThreads() {
	posted := map[int64]string{}
	for _, row := range b.tweets {
		posted[row.ID] = value(row.TweetID)
	}
	for _, row := range b.tweets {
		want := value(row.InReplyTo)
		if row.PreviousID != nil {
			want = posted[*row.PreviousID]
		}
		for _, tweet := range b.byMark[row.mark()] {
			if tweet.InReplyTo != want {
				b.faultf("thread: tweet %d is on X as an answer to %q, not to %q", row.ID, tweet.InReplyTo, want)
			}
		}
	}
}

// auditRequests: each request that X received was written before it was sent, and was sent once; and each
// answer that a process heard, and lived, is recorded.
func (b *books) auditRequests() {
	written, deletions, recorded := map[string][]time.Time{}, map[string][]time.Time{}, map[string]bool{}
	targets := map[int64]string{}
	for _, row := range b.deletions {
		targets[row.ID] = row.TweetID
	}
	for _, request := range b.requests {
		switch {
		case request.Kind == store.DeleteTweet:
			path := "/2/tweets/" + targets[request.RowID]
			deletions[path] = append(deletions[path], request.GrantedAt)
		case request.Body != nil:
			written[*request.Body] = append(written[*request.Body], request.GrantedAt)
		}
		recorded[value(request.TransactionID)] = true
	}
	for _, received := range b.received {
		sent, what := written, received.Body
		if received.Route == sandbox.RouteDeleteTweet {
			sent, what = deletions, received.Path
		} else if received.Route != sandbox.RouteCreateTweet {
			continue
		}
		// Those that never arrived leave their times, so that only too few can be seen.
		at := received.ArrivedAt.Add(b.ahead + time.Second)
		i := slices.IndexFunc(sent[what], func(granted time.Time) bool { return granted.Before(at) })
		if i < 0 {
			b.faultf("X's request %d (%s) is none of ours, or was sent twice, or before it was written: %s", received.N, received.Outcome, what)
			continue
		}
		sent[what] = slices.Delete(sent[what], i, i+1)
	}
	for _, answer := range b.heard {
		if !recorded[answer.TransactionID] {
			b.faultf("lost: the answer %d to X's transaction %s was heard, and not recorded", answer.Status, answer.TransactionID)
		}
	}
}

// auditDeletions: deleted means gone, and gone is never a failure.
func (b *books) auditDeletions() {
	for _, row := range b.deletions {
		tweet, ok := b.byID[row.TweetID]
		stands := ok && tweet.DeletedAt.IsZero()
		switch row.Status {
		case store.Deleted:
			if stands {
				b.faultf("lost: deletion %d is done, and tweet %s stands", row.ID, row.TweetID)
			}
		case store.Unconfirmed:
			if !strings.Contains(value(row.Error), "enqueue resolve") {
				b.faultf("deletion %d is unconfirmed and does not say what a person has to do: %s", row.ID, value(row.Error))
			}
		case store.Scheduled, store.Sending, store.Posted, store.Retweeted, store.Failed, store.Missed, store.Cancelled:
			b.faultf("deletion %d is %s: %s", row.ID, row.Status, value(row.Error))
		}
	}
}

// unconfirmed are the rows that wait for a person, with why.
func (b *books) unconfirmed() []string {
	var waiting []string
	for _, row := range b.tweets {
		if row.Status == store.Unconfirmed {
			waiting = append(waiting, fmt.Sprintf("tweet %d (%s): %s", row.ID, row.IfUnconfirmed, value(row.Error)))
		}
	}
	for _, row := range b.deletions {
		if row.Status == store.Unconfirmed {
			waiting = append(waiting, fmt.Sprintf("deletion %d: %s", row.ID, value(row.Error)))
		}
	}
	return waiting
}

func ids(tweets []sandbox.Tweet) []string {
	all := map[string]bool{}
	for _, tweet := range tweets {
		all[tweet.ID] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
