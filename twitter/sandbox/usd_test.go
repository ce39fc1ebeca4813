package sandbox_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

func TestUSD(t *testing.T) {
	t.Parallel()
	for text, amount := range map[string]sandbox.USD{
		"0": 0, "0.000001": 1, "0.015": 15_000, "-0.005": -5_000, "1": sandbox.Dollar, "0.01": sandbox.Cent,
		"25.5": 25_500_000, "-2": -2 * sandbox.Dollar, "100": 100 * sandbox.Dollar, "999999999999.999999": 999_999_999_999_999_999,
	} {
		require.Equal(t, text, amount.String())
		var read sandbox.USD
		require.NoError(t, read.UnmarshalText([]byte(text)))
		require.Equal(t, amount, read)
	}
	require.Equal(t, "-9223372036854.775808", sandbox.USD(math.MinInt64).String())
	for _, text := range []string{"", "-", ".5", "1.", "1.0000001", "1e3", "$1", " 1", "1,000", "1000000000000", "+1"} {
		read := sandbox.USD(7)
		require.ErrorContains(t, read.UnmarshalText([]byte(text)), "is no amount in dollars", text)
		require.Equal(t, sandbox.USD(7), read)
	}
}

// FuzzUSD: what is read is written as something that is read the same.
func FuzzUSD(f *testing.F) {
	f.Add([]byte("0.015"))
	f.Add([]byte("-00.10"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second sandbox.USD
		if first.UnmarshalText(text) != nil {
			return
		}
		written, err := json.Marshal(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(written, &second))
		require.Equal(t, first, second)
	})
}
