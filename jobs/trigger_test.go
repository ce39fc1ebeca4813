package jobs_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"tweetqueue/jobs"
	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// args are the arguments that jobs gives River for a row of a kind.
func args(kind store.Kind, rowID int64) river.JobArgs {
	return map[store.Kind]river.JobArgs{
		store.PostTweet: jobs.PostTweetArgs{RowID: rowID}, store.DeleteTweet: jobs.DeleteTweetArgs{RowID: rowID}, store.Retweet: jobs.RetweetArgs{RowID: rowID},
	}[kind]
}

// insertRow inserts a row of a kind by SQL, as an application does.
func insertRow(t *testing.T, db store.DBTX, kind store.Kind, in time.Duration, priority int) int64 {
	t.Helper()
	sql := map[store.Kind]string{
		store.PostTweet:   `INSERT INTO tweetqueue.tweets (account, text, post_at, priority) VALUES ('acme', 'a', tweetqueue.clock() + $1, $2) RETURNING id`,
		store.DeleteTweet: `INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at, priority) VALUES ('acme', '77', tweetqueue.clock() + $1, $2) RETURNING id`,
		store.Retweet:     `INSERT INTO tweetqueue.retweets (account, tweet_id, retweet_at, priority) VALUES ('acme', '77', tweetqueue.clock() + $1, $2) RETURNING id`,
	}[kind]
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), sql, in, priority).Scan(&id))
	return id
}

// columns returns the columns of a job but those that no two jobs share.
func columns(t *testing.T, db store.DBTX, jobID int64) map[string]any {
	t.Helper()
	var raw []byte
	require.NoError(t, db.QueryRow(t.Context(), `SELECT to_jsonb(j) - 'id' - 'created_at' FROM tweetqueue.river_job j WHERE id = $1`, jobID).Scan(&raw))
	var columns map[string]any
	require.NoError(t, json.Unmarshal(raw, &columns))
	return columns
}

func newClient(t *testing.T, db *pgxpool.Pool, config river.Config) *river.Client[pgx.Tx] {
	t.Helper()
	config.Schema = migrations.Schema
	client, err := river.NewClient(riverpgxv5.New(db), &config)
	require.NoError(t, err)
	return client
}

// The job that the database writes for a row is the one that River's own client would write: an
// upgrade of River that changes it fails here.
func TestTriggersJobIsRivers(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	storetest.Account(t, db, storetest.AccountOpts{})
	client := newClient(t, db, river.Config{})
	for _, kind := range store.Kinds() {
		for _, priority := range []int{1, 2, 3, 4} {
			// Parked.
			rowID := insertRow(t, db, kind, time.Hour, priority)
			job := storetest.Jobs(t, db, rowID)[0]
			require.Equal(t, "pending", job.State)
			opts := river.InsertOpts{Pending: true, ScheduledAt: job.ScheduledAt}
			if priority != 2 { // the default of our arguments
				opts.Priority = priority
			}
			inserted, err := client.Insert(t.Context(), args(kind, rowID), &opts)
			require.NoError(t, err)
			require.Equal(t, rivertype.JobStatePending, inserted.Job.State)
			require.Equal(t, columns(t, db, inserted.Job.ID), columns(t, db, job.ID))

			// Due.
			rowID = insertRow(t, db, kind, 0, priority)
			job = storetest.Jobs(t, db, rowID)[0]
			require.Equal(t, "available", job.State)
			inserted, err = client.Insert(t.Context(), args(kind, rowID), &river.InsertOpts{Priority: opts.Priority})
			require.NoError(t, err)
			rivers, ours := columns(t, db, inserted.Job.ID), columns(t, db, job.ID)
			require.Len(t, ours, 16)
			delete(rivers, "scheduled_at") // the instant of its insert
			delete(ours, "scheduled_at")
			require.Equal(t, rivers, ours)
			require.WithinDuration(t, inserted.Job.ScheduledAt, job.ScheduledAt, time.Minute)
		}
	}
}

// What the database tells River of a new job is what River's own client tells, on the same channel.
func TestTriggersNotificationIsRivers(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	storetest.Account(t, db, storetest.AccountOpts{})
	conn, err := db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `LISTEN "tweetqueue.river_insert"`)
	require.NoError(t, err)
	client := newClient(t, db, river.Config{})

	next := func() map[string]any {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		notification, err := conn.Conn().WaitForNotification(ctx)
		require.NoError(t, err)
		var payload map[string]any
		require.NoError(t, json.Unmarshal([]byte(notification.Payload), &payload))
		return payload
	}
	for _, kind := range store.Kinds() {
		_, err := client.Insert(t.Context(), args(kind, 1), nil)
		require.NoError(t, err)
		rivers := next()
		require.Equal(t, kind.Queue(), rivers["queue"])

		insertRow(t, db, kind, 0, 2)
		require.Equal(t, rivers, next())
		// A job that a promoter makes due is told as well.
		insertRow(t, db, kind, 0, 2)
		next()
		_, err = db.Exec(t.Context(), `UPDATE tweetqueue.river_job SET state = 'pending' WHERE id = (SELECT max(id) FROM tweetqueue.river_job)`)
		require.NoError(t, err)
		promotion, err := store.Promote(t.Context(), db, 10)
		require.NoError(t, err)
		require.Equal(t, 1, promotion.Promoted)
		require.Equal(t, rivers, next())
	}
}

// complaints collects what River logs as a warning or an error.
type complaints struct {
	slog.Handler

	mu    *sync.Mutex
	lines *[]string
}

func (c complaints) Handle(_ context.Context, record slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := record.Message
	record.Attrs(func(attr slog.Attr) bool { line += " " + attr.String(); return true })
	*c.lines = append(*c.lines, line)
	return nil
}

func (c complaints) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (c complaints) WithAttrs([]slog.Attr) slog.Handler               { return c }
func (c complaints) WithGroup(string) slog.Handler                    { return c }

// River's client needs no more rights than those of tweetqueue_worker: it elects a leader, fetches,
// completes, listens and maintains.
func TestRiverWithTheWorkersRole(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	owner := storetest.Open(t, url)
	storetest.Account(t, owner, storetest.AccountOpts{})
	db := storetest.Open(t, url+"&role=tweetqueue_worker")

	worked := make(chan int64, 10)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[jobs.PostTweetArgs]) error {
		worked <- job.Args.RowID
		return nil
	}))
	log := complaints{mu: &sync.Mutex{}, lines: &[]string{}}
	client := newClient(t, db, river.Config{
		FetchOnlyKnownKinds: true, Logger: slog.New(log), Workers: workers,
		Queues: map[string]river.QueueConfig{store.PostTweet.Queue(): {MaxWorkers: 2}},
	})
	events, unsubscribe := client.Subscribe(river.EventKindJobCompleted)
	defer unsubscribe()
	require.NoError(t, client.Start(t.Context()))

	rowID := insertRow(t, owner, store.PostTweet, 0, 2)
	timeout := time.After(time.Minute)
	select {
	case got := <-worked:
		require.Equal(t, rowID, got)
	case <-timeout:
		t.Fatal("the job was not worked")
	}
	select {
	case event := <-events:
		require.Equal(t, rivertype.JobStateCompleted, event.Job.State)
	case <-timeout:
		t.Fatal("the job was not completed")
	}
	_, err := client.JobRetry(t.Context(), storetest.Jobs(t, owner, rowID)[0].ID)
	require.NoError(t, err)
	select {
	case <-worked:
	case <-timeout:
		t.Fatal("the job was not worked again")
	}
	require.Eventually(t, func() bool {
		var leader bool
		require.NoError(t, owner.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM tweetqueue.river_leader)`).Scan(&leader))
		return leader
	}, time.Minute, 10*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	require.NoError(t, client.Stop(ctx))
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Empty(t, *log.lines)
}
