package twitter

import (
	"strconv"
	"time"
)

const (
	// snowflakeEpoch is the zero of tweet ids in Unix milliseconds: an id is the milliseconds since,
	// and snowflakeBits that tell apart the tweets of one millisecond.
	snowflakeEpoch = 1288834974657
	snowflakeBits  = 22
	maxSnowflake   = 1<<63 - 1
	// firstSnowflake is the first id with a time in it, of 4 November 2010. Before, tweets were
	// counted (github.com/oduwsdl/tweetedat).
	firstSnowflake = 29700859247
)

// IDAt returns the id to give as since_id for the tweets of t and later, to the millisecond: the
// last id before any that X can give at t. It is "0" before there were such ids.
func IDAt(t time.Time) string {
	ms := t.UnixMilli() - snowflakeEpoch
	switch {
	case ms <= 0:
		return "0"
	case ms > maxSnowflake>>snowflakeBits:
		return strconv.FormatInt(maxSnowflake, 10)
	}
	return strconv.FormatInt(ms<<snowflakeBits-1, 10)
}

// CreatedAt returns the time at which X gave an id, exact to the millisecond. It is false for what
// is no id, and for ids from before November 2010, which have no time in them.
func CreatedAt(id string) (time.Time, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || checkID(id) != nil || n < firstSnowflake {
		return time.Time{}, false
	}
	return time.UnixMilli(n>>snowflakeBits + snowflakeEpoch).UTC(), true
}
