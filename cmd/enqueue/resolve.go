package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// clockSlack is how far X's clock and the database's may be apart.
const clockSlack = 10 * time.Minute

type resolveCmd struct {
	ID           rowID   `arg:"" help:"The id of an unconfirmed row, as 'enqueue list' shows it; or of one that a person has said to be posted."`
	Posted       *string `xor:"seen" required:"" placeholder:"TWEET_ID" help:"The tweet is on X: this is its id or its address."`
	NotPosted    bool    `xor:"seen" required:"" help:"The tweet is not on X: it is sent again at once, or missed if its deadline has passed."`
	Deleted      bool    `xor:"seen" required:"" help:"Of a deletion: the tweet, or the retweet that it undoes, is gone."`
	NotDeleted   bool    `xor:"seen" required:"" help:"Of a deletion: it is still there, and is deleted or undone again at once."`
	Retweeted    bool    `xor:"seen" required:"" help:"Of a retweet: the account has retweeted the tweet."`
	NotRetweeted bool    `xor:"seen" required:"" help:"Of a retweet: it has not, and does so again at once."`
	Cancel       bool    `help:"With --not-posted, --not-deleted or --not-retweeted: cancel the row instead of sending it again."`
	Force        bool    `help:"Believe me also where the times speak against it."`

	setup.Creation
}

// Help is shown by --help.
func (*resolveCmd) Help() string {
	return `Look at the account on X first. A worker looks by itself, at growing intervals; only what it cannot tell is left to you, and 'enqueue show' says why.

Examples:

    enqueue resolve 42 --posted https://x.com/acme/status/1445880548472328192
    enqueue resolve 42 --not-posted
    enqueue resolve 42 --not-posted --cancel
    enqueue resolve 43 --deleted
    enqueue resolve 44 --retweeted

What a person has said to be on X can be put right the same way, with --posted and the right tweet.

Refused, unless you add --force: a tweet that is older than the row's first request or lies in the future, and --not-posted before the latest request could begin no more and --longest-creation and --read-lag are over since, as X may still create or show the tweet. If your worker runs with other values, give the same ones here.`
}

// Run resolves a doubt.
func (c *resolveCmd) Run(ctx context.Context, s *session) error {
	var tweetID, author string
	settings, err := s.readDatabase(func(env *setup.Env) {
		if c.Cancel && !c.NotPosted && !c.NotDeleted && !c.NotRetweeted {
			env.Errorf("--cancel goes with --not-posted, --not-deleted or --not-retweeted: what is done is not sent again anyway")
		}
		c.Check(env)
		if c.Posted == nil {
			return
		}
		var err error
		if tweetID, author, err = parseTweetID(*c.Posted); err != nil {
			env.Errorf("--posted: %w", err)
		}
	})
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		entry, err := store.EntryGet(ctx, db.Pool, int64(c.ID))
		if err != nil {
			return err
		}
		if err := c.checkRow(entry, author); err != nil {
			return err
		}
		var id *string
		var postedAt *time.Time
		if entry.Kind == store.PostTweet {
			if postedAt, err = c.checkTimes(ctx, db.Pool, entry, tweetID); err != nil {
				return err
			}
			if c.Posted != nil {
				id = &tweetID
			}
		}
		if entry.Status == store.Posted {
			return s.correct(ctx, db.Pool, entry, tweetID, postedAt)
		}
		var resolved store.Entry
		err = store.InTx(ctx, db.Pool, func(tx pgx.Tx) error {
			var err error
			resolved, err = store.ResolveByHand(ctx, tx, entry.ID, c.Posted != nil || c.Deleted || c.Retweeted, id, postedAt)
			if err == nil && entry.Kind == store.PostTweet { // a worker may have sent it once more meanwhile
				_, err = c.checkTimes(ctx, tx, entry, tweetID)
			}
			if err == nil && c.Cancel && resolved.Status == store.Scheduled {
				resolved, err = store.Cancel(ctx, tx, entry.ID)
			}
			return err
		})
		if err != nil {
			return notResolved(ctx, db.Pool, err, entry, tweetID)
		}
		return s.printResolved(ctx, db.Pool, resolved)
	})
}

// checkRow refuses what was said of the wrong kind of row, of a row that is not in doubt, or of the
// tweet of somebody else; author is the username in the tweet's address, if there is one.
func (c *resolveCmd) checkRow(entry store.Entry, author string) error {
	flags := map[store.Kind]string{
		store.PostTweet: "--posted TWEET_ID or --not-posted", store.DeleteTweet: "--deleted or --not-deleted",
		store.Retweet: "--retweeted or --not-retweeted",
	}
	switch {
	case entry.Kind != c.kind():
		return setup.Usage("row %d is a %s: use %s", entry.ID, kindName(entry.Kind), flags[entry.Kind])
	case entry.SaidByHand() && c.NotPosted:
		return fmt.Errorf("%w: tweet %d is posted, as %s, by a person's word, and what is posted stays so: --posted TWEET_ID puts right which tweet it is; if none is on X, enqueue it anew",
			store.ErrRefused, entry.ID, value(entry.TweetID))
	case entry.Status != store.Unconfirmed && !entry.SaidByHand():
		return notUnconfirmed(entry)
	case author != "" && !strings.EqualFold(author, entry.Account):
		return fmt.Errorf("%w: the address is that of a tweet of %s, and tweet %d is one of %s: give the id alone if that account was renamed",
			store.ErrRefused, author, entry.ID, entry.Account)
	}
	return nil
}

// kind is the kind of row that the flags say something of.
func (c *resolveCmd) kind() store.Kind {
	switch {
	case c.Deleted || c.NotDeleted:
		return store.DeleteTweet
	case c.Retweeted || c.NotRetweeted:
		return store.Retweet
	}
	return store.PostTweet
}

// checkTimes refuses what cannot be, or cannot be known yet, by the times of the row's requests. It
// returns when the tweet was created, if its id tells.
func (c *resolveCmd) checkTimes(ctx context.Context, db store.DBTX, entry store.Entry, tweetID string) (*time.Time, error) {
	now, err := store.Clock(ctx, db)
	if err != nil {
		return nil, err
	}
	all, err := store.RequestList(ctx, db, entry.ID)
	if err != nil {
		return nil, err
	}
	var sent []store.SentRequest // that may have created it
	for _, r := range all {
		if r.Kind == string(store.PostTweet) {
			sent = append(sent, r)
		}
	}
	zone := zoneOf(entry)
	if c.NotPosted {
		if n := len(sent); n > 0 && !c.Force && now.Before(c.Absent(sent[n-1].SendBy)) {
			return nil, fmt.Errorf("%w: tweet %d was sent %s, and X may take %s to create it and %s more to show it (--longest-creation and --read-lag, as the worker has them): look at the account after %s, or add --force",
				store.ErrRefused, entry.ID, formatDistance(sent[n-1].GrantedAt, now), c.LongestCreation, c.ReadLag, formatInstant(c.Absent(sent[n-1].SendBy), zone))
		}
		return nil, nil //nolint:nilnil // There is no tweet.
	}
	created, known := twitter.CreatedAt(tweetID)
	problem := ""
	switch {
	case !known:
		problem = "no tweet of today has such an id"
	case created.After(now.Add(clockSlack)):
		problem = "by its id it was created in the future, " + formatInstant(created, zone)
	case len(sent) > 0 && created.Before(sent[0].GrantedAt.Add(-clockSlack)):
		problem = fmt.Sprintf("by its id it was created %s, and tweet %d was first sent %s",
			formatInstant(created, zone), entry.ID, formatInstant(sent[0].GrantedAt, zone))
	}
	if problem != "" && !c.Force {
		return nil, fmt.Errorf("%w: --posted %s: %s: give the id of the tweet that you saw, or add --force", store.ErrRefused, tweetID, problem)
	}
	if !known || created.After(now) {
		return nil, nil //nolint:nilnil // It counts as posted now.
	}
	return &created, nil
}

// correct puts right as which tweet a row is posted, where a person has said so.
func (s *session) correct(ctx context.Context, db store.DBTX, entry store.Entry, tweetID string, postedAt *time.Time) error {
	if *entry.TweetID == tweetID {
		return fmt.Errorf("%w: tweet %d is posted as %s already", store.ErrRefused, entry.ID, tweetID)
	}
	before := []store.Entry{entry}
	if err := store.DeletionsRead(ctx, db, before); err != nil {
		return err
	}
	corrected, err := store.CorrectByHand(ctx, db, entry, tweetID, postedAt)
	if err != nil {
		return notResolved(ctx, db, err, entry, tweetID)
	}
	if deletion := before[0].Deletion; deletion != nil {
		s.warnf("deletion %d has deleted tweet %s already; 'enqueue delete --account %s %s' deletes this one", deletion.ID, *entry.TweetID, entry.Account, tweetID)
	}
	return s.printResolved(ctx, db, corrected)
}

// notUnconfirmed says that a row is in no doubt.
func notUnconfirmed(entry store.Entry) error {
	next := ""
	if entry.Status == store.Sending {
		next = ": its request is under way, and what became of it will be known in a moment"
	}
	return fmt.Errorf("%w: %s %d is %s, and only an unconfirmed row can be resolved%s", store.ErrRefused, kindName(entry.Kind), entry.ID, entry.Status, next)
}

// notResolved says in plain words why the database did not take a person's word.
func notResolved(ctx context.Context, db store.DBTX, err error, entry store.Entry, tweetID string) error {
	refused, answered := new(store.RefusedError), new(pgconn.PgError)
	switch {
	case errors.Is(err, store.ErrLostRace): // a worker was faster
		if now, err := store.EntryGet(ctx, db, entry.ID); err == nil {
			entry = now
		}
		return notUnconfirmed(entry)
	case errors.As(err, &refused) && refused.Constraint == "tweets_tweet_id_key":
		other, found := store.TweetByTweetID(ctx, db, entry.Account, tweetID)
		if found != nil {
			return err
		}
		return fmt.Errorf("%w: tweet %s on X is that of row %d: see 'enqueue show %d'", store.ErrRefused, tweetID, other, other)
	case errors.As(err, &answered) && answered.Code == "42501": // insufficient_privilege
		return fmt.Errorf("%w: to resolve a row takes the rights of the database's owner or of tweetqueue_worker", err)
	}
	return err
}

// printResolved tells what the row has become and what happens next.
func (s *session) printResolved(ctx context.Context, db store.DBTX, entry store.Entry) error {
	next := ""
	switch entry.Status {
	case store.Posted:
		next = fmt.Sprintf(" as https://x.com/%s/status/%s, %s", entry.Account, value(entry.TweetID), formatInstant(*entry.DoneAt, zoneOf(entry)))
	case store.Scheduled:
		next = ", is " + againName(entry) + " again at once"
		if entry.Kind == store.PostTweet {
			s.warnf("if tweet %d is on X after all, there will be two: 'enqueue cancel %d' stops it, if you are quick", entry.ID, entry.ID)
		}
		account, err := store.AccountGet(ctx, db, entry.Account)
		if err != nil {
			return err
		}
		if _, err := s.warnIfHeld(ctx, db, account); err != nil {
			return err
		}
	case store.Missed:
		next = ": " + value(entry.Error)
	case store.Cancelled:
		if err := s.warnOfNext(ctx, db, entry); err != nil {
			return err
		}
	case store.Deleted, store.Retweeted, store.Failed, store.Unconfirmed, store.Sending:
	}
	return s.print(entry, func(w io.Writer) {
		fmt.Fprintf(w, "%s %d for %s: %s%s\n", kindName(entry.Kind), entry.ID, entry.Account, entry.Status, next)
	})
}

// againName says what is done again for a row that did not take effect.
func againName(entry store.Entry) string {
	switch {
	case entry.Retweet:
		return "undone"
	case entry.Kind == store.DeleteTweet:
		return "deleted"
	case entry.Kind == store.Retweet:
		return "retweeted"
	}
	return "sent"
}
