package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

type retweetCmd struct {
	TweetID string `arg:"" name:"tweet-id" help:"The id on X of the tweet to retweet, anybody's, or its address, such as https://x.com/acme/status/1445880548472328192."`
	dueFlags

	UndoAfter string `placeholder:"DURATION" help:"Undo it this long after it was made: 90m, 36h, 7d, 1d12h."`
}

// Help is shown by --help.
func (*retweetCmd) Help() string {
	return `Examples:

    enqueue retweet --account acme 1445880548472328192
    enqueue retweet --account acme --at "2026-12-01 09:00" --undo-after 7d https://x.com/acme/status/1445880548472328192

To undo a retweet that stands: enqueue delete --retweet.`
}

// Run schedules a retweet.
func (c *retweetCmd) Run(ctx context.Context, s *session) error {
	var tweetID string
	var undoAfter pgtype.Interval
	settings, err := s.readDatabase(func(env *setup.Env) {
		c.check(env)
		var err error
		if tweetID, _, err = parseTweetID(c.TweetID); err != nil {
			env.Errorf("%w", err)
		}
		if c.UndoAfter == "" {
			return
		}
		if undoAfter, err = parseInterval(c.UndoAfter); err != nil {
			env.Errorf("--undo-after: %w", err)
		}
	})
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		due, err := c.resolve(ctx, db.Pool)
		if err != nil {
			return err
		}
		due.takenBack = undoAfter.Valid
		return c.enqueue(ctx, s, db.Pool, store.Retweet, due, nil, func(tx store.DBTX) (int64, error) {
			id, _, err := store.RetweetInsert(ctx, tx, due.account.Username, tweetID, undoAfter, due.at, c.Priority)
			return id, insertError(err, due.account.Username)
		})
	})
}
