package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// maxToken bounds a line that holds a token, in bytes; X's have some 50.
const maxToken = 4096

// readTokens reads an access token and its secret from standard input: two lines, or, on a terminal,
// two questions whose answers are not shown.
func (s *session) readTokens(ctx context.Context) (store.AccountCredentials, error) {
	var lines []string
	var err error
	if fd, ok := terminal(s.stdin); ok {
		lines, err = s.ask(ctx, fd, "access token", "access token secret")
	} else {
		lines, err = reading(ctx, func() ([]string, error) { return readLines(s.stdin) })
	}
	if err != nil {
		return store.AccountCredentials{}, fmt.Errorf("read the tokens from standard input: %w", err)
	}
	if len(lines) != 2 || lines[0] == "" || lines[1] == "" {
		return store.AccountCredentials{}, setup.Usage("no tokens: set X_ACCESS_TOKEN and X_ACCESS_TOKEN_SECRET, or give both on standard input, a line each")
	}
	return store.AccountCredentials{AccessToken: store.Secret(lines[0]), AccessTokenSecret: store.Secret(lines[1])}, nil
}

// ask asks for secrets without echo, and leaves the terminal as it was even if ctx ends meanwhile.
func (s *session) ask(ctx context.Context, fd int, names ...string) ([]string, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	answers := make([]string, 0, len(names))
	for _, name := range names {
		fmt.Fprintf(s.stderr, "%s (not shown): ", name)
		answer, err := reading(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
		fmt.Fprintln(s.stderr)
		if err != nil {
			_ = term.Restore(fd, state) // the read still holds the terminal without echo
			return nil, err
		}
		answers = append(answers, strings.TrimSpace(string(answer)))
	}
	return answers, nil
}

// readLines reads the lines of r that are not empty, trimmed.
func readLines(r io.Reader) ([]string, error) {
	var lines []string
	scanner := bufio.NewScanner(io.LimitReader(r, 4*maxToken))
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
}

// reading runs a read that knows no context, and stops waiting for it when ctx ends. The read itself
// then goes on until the process ends.
func reading[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// terminal returns the descriptor of a reader that is a terminal.
func terminal(r io.Reader) (int, bool) {
	file, ok := r.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(file.Fd())
	return fd, term.IsTerminal(fd)
}
