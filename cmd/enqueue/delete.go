package main

import (
	"context"
	"strings"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

type deleteCmd struct {
	TweetID string `arg:"" name:"tweet-id" help:"The tweet's id on X, or its address, such as https://x.com/acme/status/1445880548472328192."`
	dueFlags

	Retweet bool `help:"Undo the account's retweet of the tweet, which itself stays: it may be anybody's."`
}

// Help is shown by --help.
func (*deleteCmd) Help() string {
	return `Examples:

    enqueue delete --account acme 1445880548472328192
    enqueue delete --account acme --at "2026-12-24 18:00" https://x.com/acme/status/1445880548472328192
    enqueue delete --account acme --retweet https://x.com/other/status/1445880548472328192`
}

// Run schedules a deletion, of a tweet or of a retweet.
func (c *deleteCmd) Run(ctx context.Context, s *session) error {
	var tweetID string
	settings, err := s.readDatabase(func(env *setup.Env) {
		c.check(env)
		var username string
		var err error
		if tweetID, username, err = parseTweetID(c.TweetID); err != nil {
			env.Errorf("%w", err)
		} else if username != "" && !c.Retweet && !strings.EqualFold(username, c.Account) {
			env.Errorf("the address is that of a tweet of %s, and only its author can delete it: use --account %s, or the id alone if that account was renamed",
				username, username)
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
		insert := store.DeletionInsert
		if c.Retweet {
			insert = store.UndoInsert
		}
		return c.enqueue(ctx, s, db.Pool, store.DeleteTweet, due, nil, func(tx store.DBTX) (int64, error) {
			id, _, err := insert(ctx, tx, due.account.Username, tweetID, due.at, c.Priority)
			return id, insertError(err, due.account.Username)
		})
	})
}
