package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

func TestReports(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, time.November, 24, 10, 0, 0, 0, time.UTC)
	in := date.Add
	for name, test := range map[string]struct {
		limits twitter.Limits
		want   []store.Report
	}{
		"None": {},
		"All": {
			twitter.Limits{
				Endpoint:   &twitter.Window{Limit: 100, Remaining: 7, Reset: in(time.Minute)},
				User24Hour: &twitter.Window{Limit: 25, Remaining: 0, Reset: in(23 * time.Hour)},
				App24Hour:  &twitter.Window{Limit: 10_000, Remaining: 9_999, Reset: in(time.Hour)},
			},
			[]store.Report{
				{Family: "endpoint", Limit: 100, Remaining: 7, Reset: time.Minute, ResetAt: in(time.Minute)},
				{Family: "user_24hour", Limit: 25, Remaining: 0, Reset: 23 * time.Hour, ResetAt: in(23 * time.Hour)},
				{Family: "app_24hour", Limit: 10_000, Remaining: 9_999, Reset: time.Hour, ResetAt: in(time.Hour)},
			},
		},
		"Placeholders": {
			twitter.Limits{
				Endpoint:   &twitter.Window{Limit: 1_080_000, Remaining: 1_079_998, Reset: in(time.Minute)},
				User24Hour: &twitter.Window{Limit: 100, Remaining: 99, Reset: in(time.Hour)},
			},
			[]store.Report{{Family: "user_24hour", Limit: 100, Remaining: 99, Reset: time.Hour, ResetAt: in(time.Hour)}},
		},
		"Absurd": {
			twitter.Limits{
				Endpoint:   &twitter.Window{Limit: 999_999_999_999_999, Remaining: 3, Reset: in(time.Minute)},
				User24Hour: &twitter.Window{Limit: 0, Remaining: 0, Reset: in(time.Hour)},
				App24Hour:  &twitter.Window{Limit: 2_000_000, Remaining: 5, Reset: in(time.Hour)},
			}, nil,
		},
		"MoreRemainsThanThereIs": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: 100, Remaining: 101, Reset: in(time.Minute)}},
			[]store.Report{{Family: "endpoint", Limit: 100, Remaining: -1, Reset: time.Minute, ResetAt: in(time.Minute)}},
		},
		"ResetHasPassed": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: 100, Remaining: 7, Reset: in(-time.Hour)}},
			[]store.Report{{Family: "endpoint", Limit: 100, Remaining: 7}},
		},
		"ResetIsNow": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: 100, Remaining: 0, Reset: in(-time.Second)}},
			[]store.Report{{Family: "endpoint", Limit: 100, Remaining: 0, Reset: time.Second, ResetAt: in(-time.Second)}},
		},
		"ResetTooFar": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: 100, Remaining: 7, Reset: in(26 * time.Hour)}},
			[]store.Report{{Family: "endpoint", Limit: 100, Remaining: 7}},
		},
		"OnlyTheReset": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: -1, Remaining: -1, Reset: in(time.Minute)}}, nil,
		},
		"ExhaustedOfUnknown": {
			twitter.Limits{Endpoint: &twitter.Window{Limit: -1, Remaining: 0, Reset: in(time.Minute)}},
			[]store.Report{{Family: "endpoint", Limit: -1, Remaining: 0, Reset: time.Minute, ResetAt: in(time.Minute)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := twitter.Answer{StatusCode: 201, Date: date, Limits: test.limits}
			require.Equal(t, test.want, reports(answer, date.Add(time.Hour)), "X's own time counts")
			answer.Date = time.Time{}
			require.Equal(t, test.want, reports(answer, date))
			require.Empty(t, reports(twitter.Answer{Limits: test.limits}, date), "X did not answer")
		})
	}
}
