package sandbox

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// USD is an amount of money in millionths of a dollar, so that sums are exact. As text, also in
// JSON, it is in dollars: "0.015".
type USD int64

const (
	// Dollar is 1 dollar.
	Dollar USD = 1_000_000
	// Cent is a hundredth of it.
	Cent = Dollar / 100
)

var usdPattern = regexp.MustCompile(`^(-?)([0-9]{1,12})(?:\.([0-9]{1,6}))?$`)

// String is the amount in dollars, without a sign for them: "0.015", "-2".
func (u USD) String() string {
	sign, n := "", uint64(u)
	if u < 0 {
		sign, n = "-", -n
	}
	s := fmt.Sprintf("%s%d.%06d", sign, n/uint64(Dollar), n%uint64(Dollar))
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// MarshalText writes what String does.
func (u USD) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads an amount in dollars: up to 12 digits, and up to 6 decimals.
func (u *USD) UnmarshalText(text []byte) error {
	parts := usdPattern.FindSubmatch(text)
	if parts == nil {
		return fmt.Errorf(`%q is no amount in dollars: use text such as "25" or "0.015", with at most 6 decimals`, text)
	}
	decimals := string(parts[3]) + strings.Repeat("0", 6-len(parts[3]))
	n, err := strconv.ParseInt(string(parts[1])+string(parts[2])+decimals, 10, 64)
	if err != nil {
		return fmt.Errorf("amount %q: %w", text, err)
	}
	*u = USD(n)
	return nil
}
