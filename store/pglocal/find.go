package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DeniedError says that there are instances which this user may not use, so that whether a
// server runs in them cannot be told.
type DeniedError struct {
	// Dirs are the instances' directories.
	Dirs []string

	closed error // of the first of them that cannot even be looked for; nil: all are there
}

func (e *DeniedError) Error() string {
	if e.closed != nil {
		return fmt.Sprintf("look for the private PostgreSQL: %s: use a directory of your own, or run as a user who may enter it", e.closed)
	}
	return fmt.Sprintf("the private PostgreSQL in %s belongs to another user: only that user may use it", strings.Join(e.Dirs, " and "))
}

// Unwrap makes a DeniedError an fs.ErrPermission.
func (e *DeniedError) Unwrap() error { return fs.ErrPermission }

// Find returns the first of the instances in which a server runs that this user may use; Start
// with that directory adopts it. It starts nothing and waits for nothing.
//
// ok is false where none does. err is nil then, or one of two: a *DeniedError, which is worth
// telling the user and no reason to stop (an ordinary user's command passes over the system's
// instance, as it should), or ctx's error.
func Find(ctx context.Context, dirs ...string) (dir string, ok bool, err error) {
	denied := &DeniedError{}
	for _, dir := range dirs {
		running, err := findIn(ctx, filepath.Join(dir, "data"))
		switch {
		case ctx.Err() != nil:
			return "", false, context.Cause(ctx)
		case errors.Is(err, fs.ErrPermission):
			denied.Dirs = append(denied.Dirs, dir)
			if _, err := os.Stat(dir); err != nil && denied.closed == nil {
				denied.closed = err
			}
		case running:
			return dir, true, nil
		}
	}
	if len(denied.Dirs) > 0 {
		return "", false, denied
	}
	return "", false, nil
}

func findIn(ctx context.Context, data string) (bool, error) {
	file, err := readPidfile(data)
	if err != nil || file.socketDir == "" {
		return false, err
	}
	if uid, _, err := owner(filepath.Dir(data)); err != nil || uid != os.Geteuid() {
		return false, errors.Join(fs.ErrPermission, err)
	}
	if file.pid < 0 || identify(ctx, file.pid, data) != server {
		return false, nil // it was killed
	}
	return answers(ctx, file.socketDir)
}
