// Package setup is what the two commands share: reading settings from an environment that is
// handed to them, opening the database and the keyring, and the exit codes. It knows no flags and
// no jobs.
package setup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/pglocal"
)

// LookupEnv looks a setting up, as os.LookupEnv does. Only main hands out the real one.
type LookupEnv func(name string) (string, bool)

// The exit codes of both commands.
const (
	ExitDone       = 0
	ExitFailed     = 1
	ExitUsage      = 2 // wrong usage: flags, arguments, settings
	ExitRefused    = 3 // refused by a rule: of the database, of the schema's version, of this program
	ExitNoDatabase = 4 // no database could be had
)

// ErrUsage says that flags, arguments or settings are wrong.
var ErrUsage = errors.New("wrong usage")

// ErrNoDatabase says that no database could be had.
var ErrNoDatabase = errors.New("no database")

// ExitCode returns the exit code for what a command's run returned.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrUsage):
		return ExitUsage
	case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrOtherX), errors.Is(err, store.ErrOtherKeys), errors.Is(err, store.ErrSealed), errors.Is(err, store.ErrLostRace),
		errors.Is(err, store.ErrNotFound), errors.Is(err, migrations.ErrTooNew), errors.Is(err, migrations.ErrTooOld),
		errors.Is(err, migrations.ErrRows):
		return ExitRefused
	case errors.Is(err, ErrNoDatabase), errors.Is(err, migrations.ErrConnect), errors.Is(err, pglocal.ErrNoBinaries):
		return ExitNoDatabase
	}
	return ExitFailed
}

// Usage returns an ErrUsage with these words.
func Usage(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// usageError is an ErrUsage whose text is its own words alone.
type usageError struct{ err error }

func (e *usageError) Error() string   { return e.err.Error() }
func (e *usageError) Unwrap() []error { return []error{ErrUsage, e.err} }

// Env reads settings and gathers what is wrong with them, so that all of it is reported at once.
type Env struct {
	lookup   LookupEnv
	errs     []error
	unusable map[string]bool // the secrets that are set, but could not be read
}

// NewEnv reads from lookup.
func NewEnv(lookup LookupEnv) *Env { return &Env{lookup: lookup, unusable: map[string]bool{}} }

// Secret reads the secret setting of that name, or the file that NAME_FILE names, without the line
// break at its end. Both at once are an error. It is empty if neither is set.
func (e *Env) Secret(name string) store.Secret {
	value, _ := e.lookup(name)
	path, hasFile := e.lookup(name + "_FILE")
	if !hasFile || path == "" {
		return store.Secret(value)
	}
	secret, err := readSecret(name, value, path)
	if err != nil {
		e.unusable[name] = true
		e.Errorf("%w", err)
	}
	return secret
}

func readSecret(name, value, path string) (store.Secret, error) {
	if value != "" {
		return "", fmt.Errorf("%s and %s_FILE are both set: unset one of them", name, name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s_FILE: %s is empty", name, path)
	}
	return store.Secret(secret), nil
}

// Pair reads two secret settings that are of use only together. orNeither says what it means that
// neither is set.
func (e *Env) Pair(first, second, orNeither string) (one, other store.Secret) {
	one, other = e.Secret(first), e.Secret(second)
	if (one == "") != (other == "") && !e.unusable[first] && !e.unusable[second] {
		e.Errorf("%s and %s belong together: set both, or neither%s", first, second, orNeither)
	}
	return one, other
}

// String reads the setting of that name; empty if it is not set.
func (e *Env) String(name string) string {
	value, _ := e.lookup(name)
	return value
}

// Errorf adds to what is wrong.
func (e *Env) Errorf(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// Err returns all that is wrong, as an ErrUsage; nil if nothing is.
func (e *Env) Err() error {
	if len(e.errs) == 0 {
		return nil
	}
	return &usageError{err: errors.Join(e.errs...)}
}
