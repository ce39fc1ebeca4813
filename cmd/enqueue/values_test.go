package main

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/cmd/internal/setup"
)

func TestParseInterval(t *testing.T) {
	t.Parallel()

	for s, want := range map[string]time.Duration{
		"1s": time.Second, "90m": 90 * time.Minute, "36h": 36 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour,
		"1d12h": 36 * time.Hour, "1w1d1h1m1s": 193*time.Hour + 61*time.Second, "0d5m": 5 * time.Minute,
		"1000w": 7000 * 24 * time.Hour, "36000d": 36000 * 24 * time.Hour, "35999d23h59m60s": 36000 * 24 * time.Hour,
	} {
		interval, err := parseInterval(s)
		require.NoError(t, err, s)
		require.Equal(t, pgtype.Interval{Microseconds: want.Microseconds(), Valid: true}, interval, s)
	}
	for _, s := range []string{"", "0", "5", "-5m", "1.5h", "5 m", "1h1d", "1mo", "h"} {
		_, err := parseInterval(s)
		require.ErrorIs(t, err, setup.ErrUsage, s)
		require.ErrorContains(t, err, "is not a length of time: write 90m")
	}
	for _, s := range []string{"0m", "0d0s", "36001d", "36000d1s", "200000d", "99999999999999999999s", "9999999999999w9999999999999d", strings.Repeat("9", 30) + "w1s"} {
		_, err := parseInterval(s)
		require.ErrorIs(t, err, setup.ErrUsage, s)
		require.ErrorContains(t, err, "is out of range: use 1s to 36000d")
	}
}

// TestIntervalMapsBack: what is written is read as the same length.
func TestIntervalMapsBack(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		want := time.Duration(rapid.Int64Range(1, 9999*24*3600).Draw(rt, "seconds")) * time.Second
		days := rapid.Int32Range(0, int32(want/(24*time.Hour))).Draw(rt, "days")
		written := formatInterval(pgtype.Interval{Days: days, Microseconds: (want - time.Duration(days)*24*time.Hour).Microseconds(), Valid: true})
		interval, err := parseInterval(written)
		require.NoError(rt, err, written)
		require.Equal(rt, want.Microseconds(), interval.Microseconds, written)
	})
	require.Equal(t, "1s500ms", formatInterval(pgtype.Interval{Microseconds: 1_500_000, Valid: true}))
	require.Equal(t, "2 months 1d", formatInterval(pgtype.Interval{Months: 2, Days: 1, Valid: true}))
}

func TestOneLine(t *testing.T) {
	t.Parallel()

	require.Equal(t, "a b c", oneLine(" a\n\tb \x1b c\x00", 10))
	require.Equal(t, "ののの", oneLine("ののの", 3))
	require.Equal(t, "のの…", oneLine("のののの", 3))
	require.Equal(t, "a\uFFFD", oneLine("a\xff", 3))
}
