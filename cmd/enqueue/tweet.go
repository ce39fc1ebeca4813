package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// maxText is the size in bytes of a text that is read at all: the database's own bound.
const maxText = 100_000

type tweetCmd struct {
	Text []string `arg:"" optional:"" help:"The text, in quotes. Without it, or if it is -, it is read from standard input."`
	dueFlags

	ReplyTo        string  `xor:"thread" placeholder:"TWEET_ID" help:"Reply to this tweet on X: its id or its address."`
	Previous       rowID   `xor:"thread" placeholder:"ROW_ID" help:"Continue the thread after this row, which is posted first."`
	Before         *string `placeholder:"TIME" help:"The deadline, written as --at: past it, it is missed and never posted late."`
	DeleteAfter    string  `placeholder:"DURATION" help:"Delete it this long after it was posted: 90m, 36h, 7d, 1d12h."`
	IfUnconfirmed  string  `enum:"resend,hold" default:"resend" help:"If it is not known whether X made it, and X does not show it: resend it, or hold it for you to decide."`
	IdempotencyKey *string `placeholder:"KEY" help:"A name of your own, unique in the account: a second tweet with it is refused."`
}

// Help is shown by --help.
func (*tweetCmd) Help() string {
	return `Examples:

    enqueue tweet --account acme "Doors open"
    enqueue tweet --account acme --at "2026-12-01 09:00" --zone Europe/Vienna "Doors open"
    enqueue tweet --account acme --at 2026-12-01T09:00:00+01:00 --delete-after 7d < text.txt
    enqueue tweet --account acme --previous 42 "The second tweet of the thread"`
}

// Run schedules a tweet.
func (c *tweetCmd) Run(ctx context.Context, s *session) error {
	tweet := store.Tweet{IdempotencyKey: c.IdempotencyKey}
	settings, err := s.readDatabase(func(env *setup.Env) { c.check(env, &tweet) })
	if err != nil {
		return err
	}
	if tweet.Text, err = c.text(ctx, s); err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		due, err := c.resolve(ctx, db.Pool)
		if err != nil {
			return err
		}
		if err := checkText(tweet.Text, due.account); err != nil {
			return err
		}
		if c.Before != nil {
			if tweet.PostBefore, err = c.deadline(due); err != nil {
				return err
			}
		}
		if tweet.PreviousID != nil {
			if err := s.checkPrevious(ctx, db.Pool, *tweet.PreviousID, due.account.Username); err != nil {
				return err
			}
		}
		due.takenBack = tweet.DeleteAfter.Valid
		return c.enqueue(ctx, s, db.Pool, store.PostTweet, due, &tweet, func(tx store.DBTX) (int64, error) {
			id, _, err := store.TweetInsert(ctx, tx, due.account.Username, tweet, due.at, c.Priority)
			if refused := new(store.RefusedError); errors.As(err, &refused) && refused.Constraint == "tweets_idempotency_key_key" {
				return 0, keyUsed(ctx, db.Pool, due.account.Username, *c.IdempotencyKey)
			}
			return id, insertError(err, due.account.Username)
		})
	})
}

func (c *tweetCmd) check(env *setup.Env, tweet *store.Tweet) {
	c.dueFlags.check(env)
	if len(c.Text) > 1 {
		env.Errorf("the text is %d arguments: put it in quotes", len(c.Text))
	}
	if c.ReplyTo != "" {
		id, _, err := parseTweetID(c.ReplyTo)
		if err != nil {
			env.Errorf("--reply-to: %w", err)
		}
		tweet.InReplyToTweetID = &id
	}
	tweet.IfUnconfirmed = c.IfUnconfirmed
	if c.Previous != 0 {
		tweet.PreviousID = new(int64(c.Previous))
	}
	if c.DeleteAfter != "" {
		var err error
		if tweet.DeleteAfter, err = parseInterval(c.DeleteAfter); err != nil {
			env.Errorf("--delete-after: %w", err)
		}
	}
	if key := c.IdempotencyKey; key != nil && (*key == "" || utf8.RuneCountInString(*key) > 200 || !utf8.ValidString(*key)) {
		env.Errorf("--idempotency-key: use 1 to 200 characters")
	}
}

// text returns the text of the argument or of standard input, without the line break at its end. No
// error shows any of it.
func (c *tweetCmd) text(ctx context.Context, s *session) (string, error) {
	text := strings.Join(c.Text, "")
	if text == "" || text == "-" {
		if len(c.Text) == 1 && text == "" {
			return "", setup.Usage("the text is empty")
		}
		if _, ok := terminal(s.stdin); ok {
			s.tellf("type the text, then a line break and Ctrl-D")
		}
		content, err := reading(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(s.stdin, maxText+2)) })
		if err != nil {
			return "", fmt.Errorf("read the text from standard input: %w", err)
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	}
	switch {
	case strings.TrimSpace(text) == "":
		return "", setup.Usage("the text is empty: give it as an argument in quotes, or on standard input")
	case len(text) > maxText:
		return "", setup.Usage("the text is longer than %d bytes", maxText)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", setup.Usage("the text is not valid UTF-8, or holds a NUL: convert it")
	}
	return text, nil
}

// checkText refuses what X would refuse, exactly, where the database only refuses what is certainly
// too long.
func checkText(text string, account store.Account) error {
	parsed := twitter.ParseTweet(text)
	switch parsed.Problem(account.TextLimit) {
	case twitter.TextOK, twitter.TextEmpty: // an empty text was wrong usage
		return nil
	case twitter.TextInvalid:
		return fmt.Errorf("%w: the text holds %U, which X accepts in no tweet: take it out", store.ErrRefused, parsed.Invalid)
	case twitter.TextTooLong:
		return tooLong(fmt.Errorf("%w: the text is too long for account %q: its weighted length is %d, the limit is %d",
			store.ErrRefused, account.Username, parsed.WeightedLength, account.TextLimit), account.Username)
	}
	return nil
}

// deadline returns the instant of --before, which lies after the time the tweet is due.
func (c *tweetCmd) deadline(d due) (*time.Time, error) {
	before, err := parseInstant(*c.Before, d.zone)
	if err != nil {
		return nil, fmt.Errorf("--before: %w", err)
	}
	at, what := d.now, "now"
	if d.at != nil {
		at, what = *d.at, "the time it is due"
	}
	if !before.After(at) {
		return nil, setup.Usage("--before: the deadline %s is not after %s, %s: give a later one",
			formatInstant(before, d.zone), what, formatInstant(at, d.zone))
	}
	return &before, nil
}

// checkPrevious refuses a row that no tweet of the account can continue, and warns of one that is not
// going to be posted by itself.
func (s *session) checkPrevious(ctx context.Context, db store.DBTX, id int64, account string) error {
	previous, err := store.EntryGet(ctx, db, id)
	problem := ""
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem = "there is no such row"
	case err != nil:
		return err
	case previous.Kind != store.PostTweet:
		problem = "it is a " + kindName(previous.Kind)
	case !strings.EqualFold(previous.Account, account):
		problem = "it is a tweet of " + previous.Account
	}
	if problem != "" {
		return fmt.Errorf("%w: --previous %d: %s; give the row id of a tweet of %s, from 'enqueue list --account %s --status all'",
			store.ErrRefused, id, problem, account, account)
	}
	if previous.Status.Final() && previous.Status != store.Posted {
		s.warnf("tweet %d, which this one continues, is %s: this one waits until that is posted after all", id, previous.Status)
	}
	return nil
}

// keyUsed says which row has an idempotency key already.
func keyUsed(ctx context.Context, db store.DBTX, account, key string) error {
	id, err := store.TweetByKey(ctx, db, account, key)
	if err != nil {
		return fmt.Errorf("%w: the --idempotency-key was used before, so nothing was added: %w", store.ErrRefused, err)
	}
	entry, err := store.EntryGet(ctx, db, id)
	if err != nil {
		return fmt.Errorf("%w: tweet %d has this --idempotency-key already, so nothing was added: %w", store.ErrRefused, id, err)
	}
	return &keyUsedError{id: id, status: entry.Status}
}

// keyUsedError is the [store.ErrRefused] of an idempotency key that a row has already.
type keyUsedError struct {
	id     int64
	status store.Status
}

func (e *keyUsedError) Error() string {
	next := ""
	if e.status.Final() && e.status != store.Posted {
		next = fmt.Sprintf("; it is %s: UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = %d has it posted after all, as it was written; for another tweet use another key",
			e.status, e.id)
	}
	return fmt.Sprintf("%s: tweet %d has this --idempotency-key already, so nothing was added: see 'enqueue show %[2]d'%s", store.ErrRefused, e.id, next)
}

// Unwrap returns ErrRefused.
func (e *keyUsedError) Unwrap() error { return store.ErrRefused }
