package twitter

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	for name, tc := range map[string]struct {
		header http.Header
		want   Limits
	}{
		"None": {header("Content-Type", "application/json"), Limits{}},
		"AllFamilies": { // names as in PLhery/node-twitter-api-v2, request-handler.helper.ts
			header("x-rate-limit-limit", "1080000", "x-rate-limit-remaining", "1079999", "x-rate-limit-reset", "1751809165",
				"x-user-limit-24hour-limit", "25", "x-user-limit-24hour-remaining", "0", "x-user-limit-24hour-reset", "1751890000",
				"x-app-limit-24hour-limit", "100", "x-app-limit-24hour-remaining", "7", "x-app-limit-24hour-reset", "1751891111"),
			Limits{
				Endpoint:   &Window{1080000, 1079999, at(1751809165)},
				User24Hour: &Window{25, 0, at(1751890000)},
				App24Hour:  &Window{100, 7, at(1751891111)},
			},
		},
		"OnlyLimit":     {header("x-user-limit-24hour-limit", "100"), Limits{User24Hour: &Window{100, -1, time.Time{}}}},
		"OnlyRemaining": {header("x-rate-limit-remaining", "0"), Limits{Endpoint: &Window{-1, 0, time.Time{}}}},
		"OnlyReset":     {header("x-rate-limit-reset", " 1751809165 "), Limits{Endpoint: &Window{-1, -1, at(1751809165)}}},
		"Garbage": {header("x-rate-limit-limit", "many", "x-rate-limit-remaining", "-1", "x-rate-limit-reset", "99999999999999999999",
			"x-app-limit-24hour-limit", "", "retry-after", "soon"), Limits{}},
		"RetryAfterSeconds": {header("retry-after", "120"), Limits{RetryAfter: 2 * time.Minute}},
		"RetryAfterDate":    {header("retry-after", "Fri, 27 Mar 2026 10:00:30 GMT"), Limits{RetryAfter: 30 * time.Second}},
		"RetryAfterPast":    {header("retry-after", "Fri, 27 Mar 2020 10:00:30 GMT"), Limits{}},
		"RetryAfterAbsurd":  {header("retry-after", "999999999999999"), Limits{RetryAfter: 25 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			date := time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC)
			require.Equal(t, tc.want, parseLimits(tc.header, date, date.Add(time.Hour)))
		})
	}
}

func TestWindowBinds(t *testing.T) {
	t.Parallel()
	require.False(t, (*Window)(nil).Binds())
	require.False(t, (*Window)(nil).Exhausted())
	for limit, want := range map[int]bool{40000: false, 1080000: false, 1200000: false, 100: true, 17: true, -1: true} {
		require.Equal(t, want, (&Window{Limit: limit}).Binds(), "%d", limit)
		require.Equal(t, want, (&Window{Limit: limit}).Exhausted(), "%d", limit)
	}
	require.False(t, (&Window{Limit: 100, Remaining: 1}).Exhausted())
	require.False(t, (&Window{Limit: 100, Remaining: -1}).Exhausted(), "not told is not exhausted")
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC)
	window := func(limit, remaining int, in time.Duration) *Window { return &Window{limit, remaining, date.Add(in)} }
	for name, tc := range map[string]struct {
		limits Limits
		want   time.Duration
	}{
		"NothingTold": {Limits{}, 15 * time.Minute},
		"Endpoint":    {Limits{Endpoint: window(200, 0, 7*time.Minute)}, 7 * time.Minute},
		"DailyMisleadsByEndpoint": {
			Limits{Endpoint: window(100, 83, 9*time.Minute), User24Hour: window(17, 0, 20*time.Hour)}, 20 * time.Hour,
		},
		"DailyWithPlaceholder": {
			Limits{Endpoint: window(1080000, 1079998, 9*time.Minute), App24Hour: window(17, 0, 3*time.Hour)}, 3 * time.Hour,
		},
		"ExhaustedBeatsLaterReset": {
			Limits{Endpoint: window(200, 0, 5*time.Minute), User24Hour: window(100, 40, 20*time.Hour)}, 5 * time.Minute,
		},
		"TwoExhausted": {
			Limits{Endpoint: window(200, 0, 5*time.Minute), User24Hour: window(100, 0, 20*time.Hour)}, 20 * time.Hour,
		},
		"NoneExhausted": {
			Limits{Endpoint: window(200, 3, 5*time.Minute), User24Hour: window(100, 40, 20*time.Hour)}, 20 * time.Hour,
		},
		"RemainingNotTold":       {Limits{Endpoint: window(100, -1, 5*time.Minute)}, 5 * time.Minute},
		"OnlyPlaceholder":        {Limits{Endpoint: window(40000, 0, 5*time.Minute)}, 15 * time.Minute},
		"ExhaustedWithoutReset":  {Limits{Endpoint: &Window{200, 0, time.Time{}}}, 15 * time.Minute},
		"ResetNow":               {Limits{Endpoint: window(200, 0, 0)}, time.Second},
		"ResetJustPast":          {Limits{Endpoint: window(200, 0, -2*time.Second)}, time.Second},
		"ResetLongPast":          {Limits{Endpoint: window(200, 0, -2*time.Hour)}, 15 * time.Minute},
		"ResetLongPastAndDaily":  {Limits{Endpoint: window(200, 0, -2*time.Hour), User24Hour: window(100, 1, time.Hour)}, time.Hour},
		"ResetTooFar":            {Limits{User24Hour: window(100, 0, 26*time.Hour)}, 25 * time.Hour},
		"ResetInMilliseconds":    {Limits{Endpoint: &Window{200, 0, time.Unix(1751809165000, 0)}}, 25 * time.Hour},
		"RetryAfterAlone":        {Limits{RetryAfter: 40 * time.Second}, 40 * time.Second},
		"RetryAfterBeatsGuess":   {Limits{Endpoint: window(200, 3, 5*time.Minute), RetryAfter: 40 * time.Second}, 40 * time.Second},
		"RetryAfterLengthens":    {Limits{Endpoint: window(200, 0, 5*time.Minute), RetryAfter: time.Hour}, time.Hour},
		"RetryAfterDoesNotShort": {Limits{User24Hour: window(100, 0, 5*time.Hour), RetryAfter: time.Minute}, 5 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := Answer{StatusCode: http.StatusTooManyRequests, Date: date, Limits: tc.limits}
			require.Equal(t, tc.want, a.RetryAfter(date.Add(-6*time.Hour)), "the local clock must not matter")
			a.Date = time.Time{}
			require.Equal(t, tc.want, a.RetryAfter(date), "without a Date the local clock counts")
		})
	}
}

func FuzzLimits(f *testing.F) {
	f.Add("100", "0", "1777224916", "900", "Fri, 27 Mar 2026 10:00:00 GMT")
	f.Add("1080000", "1079998", "1751809165000", "Fri, 27 Mar 2026 10:00:00 GMT", "")
	f.Add("-1", "9999999999999999999", "0", "-5", "yesterday")
	f.Fuzz(func(t *testing.T, limit, remaining, reset, retryAfter, date string) {
		now := time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC)
		h := http.Header{
			"X-Rate-Limit-Limit": {limit}, "X-Rate-Limit-Remaining": {remaining}, "X-Rate-Limit-Reset": {reset},
			"X-User-Limit-24hour-Reset": {limit}, "X-App-Limit-24hour-Remaining": {reset}, "Retry-After": {retryAfter}, "Date": {date},
		}
		a, err := readAnswer(&http.Response{StatusCode: http.StatusTooManyRequests, Header: h, Body: http.NoBody}, now, MaxBody)
		require.NoError(t, err)
		wait := a.RetryAfter(now)
		require.GreaterOrEqual(t, wait, time.Second)
		require.LessOrEqual(t, wait, 25*time.Hour)
		require.LessOrEqual(t, a.Limits.RetryAfter, 25*time.Hour)
		require.GreaterOrEqual(t, a.Limits.RetryAfter, time.Duration(0))
		for _, w := range []*Window{a.Limits.Endpoint, a.Limits.User24Hour, a.Limits.App24Hour} {
			if w != nil {
				require.GreaterOrEqual(t, w.Limit, -1)
				require.GreaterOrEqual(t, w.Remaining, -1)
			}
		}
	})
}
