package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// Keyring returns a keyring with a new key.
func Keyring(t testing.TB) *store.Keyring {
	t.Helper()
	ring, err := store.ParseKeyring(store.NewKey())
	require.NoError(t, err)
	return ring
}

// AccountOpts are an account's columns; the zero value is an account "acme" of X user 42.
type AccountOpts struct {
	Username          string
	XUserID           string
	APIKey, APISecret string
	Token, Secret     string
	TimeZone          string
	TextLimit         int
	Ring              *store.Keyring // nil: a new one, for tests that send nothing
}

// Account inserts an account, with its app, and returns its id.
func Account(t testing.TB, db store.DBTX, opts AccountOpts) int64 {
	t.Helper()
	or := func(value *string, fallback string) {
		if *value == "" {
			*value = fallback
		}
	}
	or(&opts.Username, "acme")
	or(&opts.XUserID, "42")
	or(&opts.APIKey, "key")
	or(&opts.APISecret, "keysecret")
	or(&opts.Token, "token")
	or(&opts.Secret, "tokensecret")
	if opts.Ring == nil {
		opts.Ring = Keyring(t)
	}
	appKeys, err := store.AppCredentials{APIKey: store.Secret(opts.APIKey), APISecret: store.Secret(opts.APISecret)}.
		Seal(opts.Ring, store.DefaultApp)
	require.NoError(t, err)
	appID, err := store.AppPut(t.Context(), db, store.DefaultApp, appKeys)
	require.NoError(t, err)
	tokens, err := store.AccountCredentials{AccessToken: store.Secret(opts.Token), AccessTokenSecret: store.Secret(opts.Secret)}.
		Seal(opts.Ring, opts.XUserID)
	require.NoError(t, err)
	id, err := store.AccountPut(t.Context(), db, store.AccountPutParams{
		Username: opts.Username, XUserID: opts.XUserID, AppID: appID, Credentials: tokens,
		TimeZone: opts.TimeZone, TextLimit: opts.TextLimit,
	})
	require.NoError(t, err)
	return id
}

// Tweet inserts a tweet of account acme, due in the given time from now by the database's clock, and
// returns its id.
func Tweet(t testing.TB, db store.DBTX, text string, in time.Duration) int64 {
	t.Helper()
	return insert(t, db, `INSERT INTO tweetqueue.tweets (account, text, post_at)
VALUES ('acme', $1, tweetqueue.clock() + $2) RETURNING id`, text, in)
}

// Deletion inserts a deletion of a tweet of account acme, due in the given time from now by the
// database's clock, and returns its id.
func Deletion(t testing.TB, db store.DBTX, tweetID string, in time.Duration) int64 {
	t.Helper()
	return insert(t, db, `INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at)
VALUES ('acme', $1, tweetqueue.clock() + $2) RETURNING id`, tweetID, in)
}

// Retweet inserts a retweet by account acme, due in the given time from now by the database's clock, and
// returns its id.
func Retweet(t testing.TB, db store.DBTX, tweetID string, in time.Duration) int64 {
	t.Helper()
	return insert(t, db, `INSERT INTO tweetqueue.retweets (account, tweet_id, retweet_at)
VALUES ('acme', $1, tweetqueue.clock() + $2) RETURNING id`, tweetID, in)
}

// Row inserts a row of a kind, as the functions above: a tweet of that text, or what is to become of tweet 77.
func Row(t testing.TB, db store.DBTX, kind store.Kind, text string, in time.Duration) int64 {
	t.Helper()
	switch kind {
	case store.DeleteTweet:
		return Deletion(t, db, "77", in)
	case store.Retweet:
		return Retweet(t, db, "77", in)
	case store.PostTweet:
	}
	return Tweet(t, db, text, in)
}

func insert(t testing.TB, db store.DBTX, sql string, args ...any) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&id))
	return id
}

// Job is a job of River as it stands in the database.
type Job struct {
	ID          int64
	State       string
	ScheduledAt time.Time
}

// Jobs returns the jobs of a row, the oldest first.
func Jobs(t testing.TB, db store.DBTX, rowID int64) []Job {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT id, state::text, scheduled_at FROM tweetqueue.river_job
WHERE args @> jsonb_build_object('row_id', $1::bigint) ORDER BY id`, rowID)
	require.NoError(t, err)
	defer rows.Close()
	var jobs []Job
	for rows.Next() {
		var job Job
		require.NoError(t, rows.Scan(&job.ID, &job.State, &job.ScheduledAt))
		jobs = append(jobs, job)
	}
	require.NoError(t, rows.Err())
	return jobs
}

// ResolveByHand is [store.ResolveByHand] in a transaction of its own.
func ResolveByHand(
	t testing.TB, db interface {
		Begin(ctx context.Context) (pgx.Tx, error)
	}, id int64, done bool, tweetID *string, doneAt *time.Time,
) (entry store.Entry, err error) {
	t.Helper()
	err = pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) (err error) {
		entry, err = store.ResolveByHand(t.Context(), tx, id, done, tweetID, doneAt)
		return err
	})
	return entry, err //nolint:wrapcheck // It is what ResolveByHand says.
}

// Status returns a row's status and what it waits for, as "status" or "status:waiting_for".
func Status(t testing.TB, db store.DBTX, rowID int64) string {
	t.Helper()
	entry, err := store.EntryGet(t.Context(), db, rowID)
	require.NoError(t, err)
	if entry.WaitingFor != nil {
		return fmt.Sprintf("%s:%s", entry.Status, *entry.WaitingFor)
	}
	return string(entry.Status)
}
