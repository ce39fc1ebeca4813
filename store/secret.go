package store

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that prints as "[redacted]" in every format, in JSON and in logs. Convert it
// to a string where its value is needed. Package fmt asks no method of an unexported field: a struct
// that has one of this type must not be printed.
type Secret string

const redacted = "[redacted]"

// String returns "[redacted]", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format writes what String returns, whatever the verb: fmt prints a value raw if a verb does not fit.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
