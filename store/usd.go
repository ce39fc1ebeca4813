package store

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// USD is an amount of money in millionths of a dollar, which is also what the database keeps, so that sums are
// exact. As text, also in JSON, it is in dollars: "0.015".
type USD int64 //nolint:recvcheck // It is a value; to scan is to write.

// usdDecimals are the decimals of an amount in dollars.
const usdDecimals = 6

// ParseUSD reads an amount in dollars, such as 25, 12.50 or 0.015: of 0 or more, with up to 6 decimals.
func ParseUSD(text string) (USD, error) {
	parts := regexp.MustCompile(`^([0-9]{1,6})(?:\.([0-9]{1,6}))?$`).FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no amount in dollars: use 25, 12.50 or 0.015, up to 999999", text)
	}
	n, err := strconv.ParseInt(parts[1]+parts[2]+strings.Repeat("0", usdDecimals-len(parts[2])), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read an amount in dollars: %w", err)
	}
	return USD(n), nil
}

// String is the amount in dollars, without a sign for them: "0.015", "-2".
func (u USD) String() string {
	digits := fmt.Sprintf("%0*d", usdDecimals+1, u.abs())
	whole, decimals := digits[:len(digits)-usdDecimals], strings.TrimRight(digits[len(digits)-usdDecimals:], "0")
	if u < 0 {
		whole = "-" + whole
	}
	if decimals == "" {
		return whole
	}
	return whole + "." + decimals
}

func (u USD) abs() uint64 {
	if u < 0 {
		return -uint64(u)
	}
	return uint64(u)
}

// MarshalText writes what String does.
func (u USD) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what ParseUSD does.
func (u *USD) UnmarshalText(text []byte) (err error) {
	*u, err = ParseUSD(string(text))
	return err
}

// ScanNumeric implements pgtype.NumericScanner. An amount that it cannot keep exactly is an error.
func (u *USD) ScanNumeric(n pgtype.Numeric) error {
	exponent := int64(n.Exp) + usdDecimals
	if !n.Valid || n.NaN || n.InfinityModifier != pgtype.Finite || exponent > 18 {
		return fmt.Errorf("read an amount: it is null, or out of range")
	}
	amount, rest := new(big.Int).Set(n.Int), new(big.Int)
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(max(exponent, -exponent)), nil)
	if exponent >= 0 {
		amount.Mul(amount, factor)
	} else {
		amount.QuoRem(amount, factor, rest)
	}
	if rest.Sign() != 0 || !amount.IsInt64() {
		return fmt.Errorf("read an amount: it has more than %d decimals, or is out of range", usdDecimals)
	}
	*u = USD(amount.Int64())
	return nil
}

// NumericValue implements pgtype.NumericValuer.
func (u USD) NumericValue() (pgtype.Numeric, error) {
	return pgtype.Numeric{Int: big.NewInt(int64(u)), Exp: -usdDecimals, Valid: true}, nil
}
