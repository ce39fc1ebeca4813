package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// full is a window in which as many places are taken at an instant as it has.
func full(name string, maximum int, period time.Duration, at time.Time) *store.Quota {
	q := &store.Quota{Name: name, Maximum: maximum, Period: period}
	for range maximum {
		q.Take(at)
	}
	return q
}

func TestDecideOnARow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.November, 24, 10, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	due := func(change func(*store.Row)) *store.Row {
		row := &store.Row{
			Kind: store.PostTweet, ID: 7, Status: store.Scheduled, DueAt: now, LateFrom: now, WakeAt: now, Username: "acme", AppName: "default", TextLimit: 280,
			Account: store.Hold{State: store.Active}, App: store.Hold{State: store.Active},
			Tweet: store.Tweet{Text: "Hi"},
		}
		change(row)
		return row
	}
	unchanged := func(*store.Row) {}
	hold := func(state store.State, reason string, until time.Duration) store.Hold {
		held := store.Hold{State: state, Reason: &reason}
		if until != 0 {
			held.Until = new(now.Add(until))
		}
		return held
	}
	after := func(status store.Status) func(*store.Row) {
		return func(row *store.Row) { row.PreviousStatus, row.Tweet.PreviousID = &status, new(int64(6)) }
	}
	sent := decision{send: true, body: []byte(`{"text":"Hi"}`)}
	// A grant counts to its bucket's end, a 256th of the period, after the period.
	quarter := 15 * time.Minute

	for name, test := range map[string]struct {
		row    *store.Row
		quotas []*store.Quota
		want   decision
	}{
		"TooLong": {
			row:  due(func(r *store.Row) { r.Tweet.Text = strings.Repeat("の", 141) }),
			want: decision{close: store.Failed, reason: "the text is too long: its weighted length is 282, the account's limit is 280"},
		},
		"NotTooLong": {
			row:  due(func(r *store.Row) { r.TextLimit, r.Tweet.Text = 25000, strings.Repeat("a", 281) }),
			want: decision{send: true, body: []byte(`{"text":"` + strings.Repeat("a", 281) + `"}`)},
		},
		"Due":                {row: due(unchanged), want: sent},
		"LongDue":            {row: due(func(r *store.Row) { r.DueAt, r.LateFrom, r.WakeAt = now.Add(-day), now.Add(-day), now.Add(-day) }), want: sent},
		"NotDue":             {row: due(func(r *store.Row) { r.WakeAt = now.Add(time.Microsecond) })},
		"Sending":            {row: due(func(r *store.Row) { r.Status = store.Sending })},
		"Posted":             {row: due(func(r *store.Row) { r.Status = store.Posted })},
		"Unconfirmed":        {row: due(func(r *store.Row) { r.Status = store.Unconfirmed })},
		"Cancelled":          {row: due(func(r *store.Row) { r.Status = store.Cancelled })},
		"CancelledAndMissed": {row: due(func(r *store.Row) { r.Status, r.Tweet.PostBefore = store.Cancelled, new(now.Add(-1)) })},

		"BeforeDeadline": {row: due(func(r *store.Row) { r.Tweet.PostBefore = new(now.Add(1)) }), want: sent},
		"AtDeadline": {
			row:  due(func(r *store.Row) { r.Tweet.PostBefore = new(now) }),
			want: decision{close: store.Missed, reason: "its deadline passed before it could be posted"},
		},
		"PastDeadlineAfterWaiting": {
			row: due(func(r *store.Row) {
				r.Tweet.PostBefore, r.WaitingFor = new(now.Add(-time.Hour)), new(store.ForQuota)
			}),
			want: decision{close: store.Missed, reason: "its deadline passed before it could be posted (it waited for quota)"},
		},
		"PastDeadlineAfterTime": {
			row: due(func(r *store.Row) {
				r.Tweet.PostBefore, r.WaitingFor = new(now.Add(-time.Hour)), new(store.ForTime)
			}),
			want: decision{close: store.Missed, reason: "its deadline passed before it could be posted"},
		},
		"PastDeadlineWhileHeld": { // it is not resumed to be posted late
			row: due(func(r *store.Row) {
				r.Tweet.PostBefore, r.App = new(now.Add(-time.Hour)), hold(store.Paused, "no credits", 0)
			}),
			want: decision{close: store.Missed, reason: "its deadline passed before it could be posted"},
		},

		"TooLate": {
			row: due(func(r *store.Row) { r.LateFrom = now.Add(-day - time.Second) }),
			want: decision{close: store.Missed, reason: "it is 24h0m1s late, and nothing is posted that is more than 24h0m0s late: " +
				"schedule it again if it is still to go out"},
		},
		"TooLateAfterWaiting": {
			row: due(func(r *store.Row) { r.LateFrom, r.WaitingFor = now.Add(-25*time.Hour), new(store.ForAccount) }),
			want: decision{close: store.Missed, reason: "it is 25h0m0s late, and nothing is posted that is more than 24h0m0s late (it waited for account): " +
				"schedule it again if it is still to go out"},
		},
		"LateForALimit": { // which it had to wait for until a moment ago
			row: due(func(r *store.Row) { r.DueAt, r.LateFrom = now.Add(-100*day), now.Add(-time.Second) }), want: sent,
		},
		"LateWithADeadline": {
			row: due(func(r *store.Row) { r.LateFrom, r.Tweet.PostBefore = now.Add(-100*day), new(now.Add(time.Hour)) }), want: sent,
		},
		"LateThread": {
			row: due(func(r *store.Row) {
				after(store.Posted)(r)
				r.LateFrom, r.PreviousTweetID = now.Add(-100*day), new("1001")
			}),
			want: decision{send: true, body: []byte(`{"reply":{"in_reply_to_tweet_id":"1001"},"text":"Hi"}`)},
		},
		"LateDeletion": {
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.LateFrom = store.DeleteTweet, store.Tweet{}, "1", now.Add(-100*day)
			}),
			want: decision{send: true},
		},
		"AfterADoubt": {
			row:  due(func(r *store.Row) { r.AccountDoubt = new(int64(5)) }),
			want: decision{wait: store.ForAccount, until: now.Add(day), doubt: 5, reason: "tweet 5 of its account may be on X, and is being looked up"},
		},
		"DeletionAfterADoubt": {
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.AccountDoubt = store.DeleteTweet, store.Tweet{}, "1", new(int64(5))
			}),
			want: decision{send: true},
		},
		"RetweetAfterADoubt": {
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.AccountDoubt = store.Retweet, store.Tweet{}, "1", new(int64(5))
			}),
			want: decision{send: true, body: []byte(`{"tweet_id":"1"}`)},
		},
		"LateRetweet": {
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.LateFrom = store.Retweet, store.Tweet{}, "1", now.Add(-25*time.Hour)
			}),
			want: decision{close: store.Missed, reason: "it is 25h0m0s late, and nothing is posted that is more than 24h0m0s late: " +
				"schedule it again if it is still to go out"},
		},
		"LateRetweetInDoubt": { // it may stand
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.LateFrom, r.Doubt = store.Retweet, store.Tweet{}, "1", now.Add(-25*time.Hour), true
			}),
			want: decision{send: true, body: []byte(`{"tweet_id":"1"}`)},
		},
		"HeldAndAfterADoubt": { // the doubt's end does not wake what the hold holds back
			row: due(func(r *store.Row) {
				r.AccountDoubt, r.Account = new(int64(5)), hold(store.Paused, "401", time.Minute)
			}),
			want: decision{wait: store.ForAccount, until: now.Add(day), ends: new(now.Add(time.Minute)), reason: `account "acme" is paused: 401`},
		},

		"AppHeld": {
			row:  due(func(r *store.Row) { r.App = hold(store.Paused, "no credits", 0) }),
			want: decision{wait: store.ForApp, until: now.Add(day), reason: `app "default" is paused: no credits`},
		},
		"AppHeldUntil": {
			row:  due(func(r *store.Row) { r.App = hold(store.Paused, "no credits", time.Hour) }),
			want: decision{wait: store.ForApp, until: now.Add(day), ends: new(now.Add(time.Hour)), reason: `app "default" is paused: no credits`},
		},
		"AppProbed": {row: due(func(r *store.Row) { r.App = hold(store.Paused, "no credits", -1) }), want: sent},
		"AccountHeld": {
			row:  due(func(r *store.Row) { r.Account = hold(store.Suspended, "by X", 0) }),
			want: decision{wait: store.ForAccount, until: now.Add(day), reason: `account "acme" is suspended: by X`},
		},
		"AccountHeldWithoutReason": {
			row:  due(func(r *store.Row) { r.Account = store.Hold{State: store.NeedsLogin} }),
			want: decision{wait: store.ForAccount, until: now.Add(day), reason: `account "acme" is needs_login`},
		},
		"AccountHeldUntil": {
			row:  due(func(r *store.Row) { r.Account = hold(store.Paused, "401", time.Minute) }),
			want: decision{wait: store.ForAccount, until: now.Add(day), ends: new(now.Add(time.Minute)), reason: `account "acme" is paused: 401`},
		},
		"AccountProbed": {row: due(func(r *store.Row) { r.Account = hold(store.Paused, "401", -1) }), want: sent},
		"AppBeforeAccount": {
			row: due(func(r *store.Row) {
				r.App, r.Account = hold(store.Paused, "no credits", 0), hold(store.Paused, "401", 0)
			}),
			want: decision{wait: store.ForApp, until: now.Add(day), reason: `app "default" is paused: no credits`},
		},

		"AfterPosted":      {row: due(after(store.Posted)), want: sent},
		"AfterScheduled":   {row: due(after(store.Scheduled)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is scheduled"}},
		"AfterSending":     {row: due(after(store.Sending)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is sending"}},
		"AfterFailed":      {row: due(after(store.Failed)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is failed"}},
		"AfterMissed":      {row: due(after(store.Missed)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is missed"}},
		"AfterCancelled":   {row: due(after(store.Cancelled)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is cancelled"}},
		"AfterUnconfirmed": {row: due(after(store.Unconfirmed)), want: decision{wait: store.ForThread, until: now.Add(day), reason: "the tweet before it (6) is unconfirmed"}},

		"PlacesLeft": {
			row:    due(unchanged),
			quotas: []*store.Quota{{Name: "posts", Maximum: 1, Period: quarter}, {Name: "writes", Maximum: 2, Period: 3 * time.Hour}},
			want:   sent,
		},
		"ShortWindowBinds": {
			row: due(unchanged),
			quotas: []*store.Quota{
				full("posts", 200, quarter, now), {Name: "writes", Maximum: 300, Period: 3 * time.Hour},
			},
			want: decision{wait: store.ForQuota, until: now.Add(quarter + quarter/256), reason: "no place was left in the limit posts"},
		},
		"LongWindowBinds": {
			row: due(unchanged),
			quotas: []*store.Quota{
				{Name: "posts", Maximum: 200, Period: quarter}, full("writes", 300, 256*time.Minute, now),
			},
			want: decision{wait: store.ForQuota, until: now.Add(257 * time.Minute), reason: "no place was left in the limit writes"},
		},
		"TheLaterOfBothBinds": {
			row: due(unchanged),
			quotas: []*store.Quota{
				full("writes", 2, 256*time.Minute, now), full("posts", 1, quarter, now),
			},
			want: decision{wait: store.ForQuota, until: now.Add(257 * time.Minute), reason: "no place was left in the limit writes"},
		},
		"WindowAfterItsEnd": {row: due(unchanged), quotas: []*store.Quota{full("posts", 1, quarter, now.Add(-quarter-quarter/256))}, want: sent},
		"BlockedByX": {
			row:    due(unchanged),
			quotas: []*store.Quota{{Name: "posts", Maximum: 200, Period: quarter, BlockedUntil: new(now.Add(time.Minute))}},
			want:   decision{wait: store.ForQuota, until: now.Add(time.Minute), reason: "no place was left in the limit posts: X said 429"},
		},
		"BlockIsOver": {
			row:    due(unchanged),
			quotas: []*store.Quota{{Name: "posts", Maximum: 200, Period: quarter, BlockedUntil: new(now)}},
			want:   sent,
		},
		"OthersUseIt": {
			row:    due(unchanged),
			quotas: []*store.Quota{{Name: "posts", Maximum: 200, Period: quarter, OthersSeen: &now, Open: 1}},
			want:   decision{wait: store.ForQuota, until: now.Add(time.Second), reason: "one request at a time goes while others use the limit posts"},
		},
		"OthersHaveUsedItUp": {
			row:    due(unchanged),
			quotas: []*store.Quota{{Name: "posts", Maximum: 200, Period: quarter, OthersSeen: &now, Others: 200, OthersUntil: new(now.Add(time.Minute)), Open: 1}},
			want:   decision{wait: store.ForQuota, until: now.Add(time.Minute), reason: "no place was left in the limit posts"},
		},

		"BadExtra": {
			row:  due(func(r *store.Row) { r.Tweet.Extra = json.RawMessage(`{"text":"other"}`) }),
			want: decision{close: store.Failed, reason: `encode tweet: extra has "text", which is set already`},
		},
		"ExtraIsNoObject": {
			row:  due(func(r *store.Row) { r.Tweet.Extra = json.RawMessage(`[]`) }),
			want: decision{close: store.Failed, reason: "decode extra: json: cannot unmarshal array into Go value of type map[string]json.RawMessage"},
		},

		"Deletion": {
			row:  due(func(r *store.Row) { r.Kind, r.Tweet, r.TweetID = store.DeleteTweet, store.Tweet{}, "1" }),
			want: decision{send: true},
		},
		"Undo": {
			row: due(func(r *store.Row) {
				r.Kind, r.Tweet, r.TweetID, r.UndoRetweet = store.DeleteTweet, store.Tweet{}, "1", true
			}),
			want: decision{send: true},
		},
		"RetweetOverQuota": {
			row:    due(func(r *store.Row) { r.Kind, r.Tweet, r.TweetID = store.Retweet, store.Tweet{}, "1" }),
			quotas: []*store.Quota{full("writes", 300, 256*time.Second, now)},
			want:   decision{wait: store.ForQuota, until: now.Add(257 * time.Second), reason: "no place was left in the limit writes"},
		},
		"DeletionOverQuota": {
			row:    due(func(r *store.Row) { r.Kind, r.Tweet, r.TweetID = store.DeleteTweet, store.Tweet{}, "1" }),
			quotas: []*store.Quota{full("deletions", 50, 256*time.Second, now)},
			want:   decision{wait: store.ForQuota, until: now.Add(257 * time.Second), reason: "no place was left in the limit deletions"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := decide(test.row, now, test.quotas, 24*time.Hour)
			require.Equal(t, string(test.want.body), string(got.body))
			require.WithinDuration(t, test.want.until, got.until, quarter/256)
			require.False(t, got.until.Before(test.want.until.Add(-quarter/256)))
			if test.want.wait == store.ForQuota {
				require.Equal(t, got.until, *got.ends)
				got.ends = nil
			}
			got.body, test.want.body, got.until, test.want.until = nil, nil, time.Time{}, time.Time{}
			require.Equal(t, test.want, got)
		})
	}
}
