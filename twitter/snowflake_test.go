package twitter

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The sample of X's documentation: the id of a tweet beside its created_at.
const (
	documentedID   = "2080761390344937796"
	documentedTime = "2026-07-24T21:05:48.792Z"
)

func TestCreatedAt(t *testing.T) {
	t.Parallel()
	at, ok := CreatedAt(documentedID)
	require.True(t, ok)
	require.Equal(t, documentedTime, at.Format(time.RFC3339Nano))
	first, ok := CreatedAt("29700859247")
	require.True(t, ok)
	require.Equal(t, "2010-11-04", first.Format(time.DateOnly))
	for _, id := range []string{"", "0", "20", "29700859246", "-29700859247", "+29700859247", "x", "1445880548472328192 ", "9999999999999999999", "99999999999999999999"} {
		_, ok := CreatedAt(id)
		require.False(t, ok, id)
	}
}

func TestIDAt(t *testing.T) {
	t.Parallel()
	at, err := time.Parse(time.RFC3339Nano, documentedTime)
	require.NoError(t, err)
	require.Less(t, IDAt(at), documentedID)
	require.Greater(t, IDAt(at.Add(time.Millisecond)), documentedID)
	require.Equal(t, IDAt(at), IDAt(at.Add(time.Millisecond-1)), "whole milliseconds")
	require.Equal(t, "0", IDAt(time.Time{}))
	require.Equal(t, "0", IDAt(time.UnixMilli(1288834974657)))
	require.Equal(t, "9223372036854775807", IDAt(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// TestIDsTellTheirTime: the id after IDAt is the first of its millisecond.
func TestIDsTellTheirTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, until := int64(1288834990000), int64(maxSnowflake>>snowflakeBits)+snowflakeEpoch
		at := time.UnixMilli(rapid.Int64Range(from, until).Draw(t, "ms")).UTC()
		last, err := strconv.ParseInt(IDAt(at), 10, 64)
		require.NoError(t, err)
		require.NoError(t, checkID(IDAt(at)))
		before, ok := CreatedAt(strconv.FormatInt(last, 10))
		require.True(t, ok)
		require.Equal(t, at.Add(-time.Millisecond), before)
		first, ok := CreatedAt(strconv.FormatInt(last+1, 10))
		require.True(t, ok)
		require.Equal(t, at, first)
	})
}
