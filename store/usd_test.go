package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tweetqueue/store"
)

func TestParseUSD(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]store.USD{
		"0": 0, "25": 25_000_000, "12.50": 12_500_000, "0.015": 15_000, "0.000001": 1, "999999.999999": 999_999_999_999,
	} {
		got, err := store.ParseUSD(text)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "+1", "1.", ".5", "1,5", "1e3", "1000000", "0.0000001", "$5", "NaN", " 1", "1\n"} {
		_, err := store.ParseUSD(text)
		require.ErrorContains(t, err, "is no amount in dollars: use 25, 12.50 or 0.015", text)
	}
}

func TestUSDString(t *testing.T) {
	t.Parallel()
	for amount, want := range map[store.USD]string{
		0: "0", 1: "0.000001", 15_000: "0.015", 1_000_000: "1", 12_500_000: "12.5", -200_000: "-0.2", -2_000_000: "-2",
		-1 << 63: "-9223372036854.775808",
	} {
		require.Equal(t, want, amount.String())
	}
	encoded, err := json.Marshal(map[string]store.USD{"usd": 15_000})
	require.NoError(t, err)
	require.JSONEq(t, `{"usd":"0.015"}`, string(encoded))
}

// Amounts are the same after the database has had them.
func TestUSDInTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		want := store.USD(rapid.Int64Range(-1e17, 1e17).Draw(t, "amount"))
		var got store.USD
		var text string
		require.NoError(t, b.db.QueryRow(ctx, `SELECT $1::numeric(18,6), trim_scale($1::numeric(18,6))::text`, want).Scan(&got, &text))
		require.Equal(t, want, got)
		require.Equal(t, want.String(), text)
	})
	for sql, want := range map[string]string{
		"0.0000001": "it has more than 6 decimals", "1e40": "out of range", "'NaN'::numeric": "out of range", "1e12*1e12": "out of range",
	} {
		var got store.USD
		require.ErrorContains(t, b.db.QueryRow(t.Context(), `SELECT `+sql).Scan(&got), want)
	}
	require.Equal(t, "20000000000", query[store.USD](t, b.db, `SELECT 2e10`).String())
}
