package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// permissionDenied is Postgres's SQLSTATE for what a role may not do.
const permissionDenied = "42501"

// as returns a pool on a new database whose sessions have a role, and the owner's bundle.
func as(t *testing.T, role string) (*testBundle, *pgxpool.Pool) {
	t.Helper()
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	workerID, err := store.WorkerStart(t.Context(), db, "tester", migrations.Latest)
	require.NoError(t, err)
	b := &testBundle{db: db, accountID: storetest.Account(t, db, storetest.AccountOpts{}), workerID: workerID}
	return b, storetest.Open(t, url+"&role="+role)
}

// forbidden are statements that neither the writer nor the reader may run.
func forbidden() map[string]string {
	return map[string]string{
		"AccountCredentials":  `SELECT credentials FROM tweetqueue.accounts`,
		"AppCredentials":      `SELECT credentials FROM tweetqueue.apps`,
		"AllOfAccounts":       `SELECT * FROM tweetqueue.accounts`,
		"AccountInsert":       `INSERT INTO tweetqueue.accounts (username, x_user_id, app_id, credentials) VALUES ('a', '1', 1, '')`,
		"AccountState":        `UPDATE tweetqueue.accounts SET state = 'active'`,
		"AccountTextLimit":    `UPDATE tweetqueue.accounts SET text_limit = 25000`,
		"Quota":               `UPDATE tweetqueue.quotas SET maximum = 1000000`,
		"QuotaBuckets":        `UPDATE tweetqueue.quotas SET buckets = '{}', grants = '{}'`,
		"QuotaLock":           `SELECT id FROM tweetqueue.quotas FOR UPDATE`,
		"Limits":              `UPDATE tweetqueue.limits SET maximum = 1000000`,
		"TweetResult":         `UPDATE tweetqueue.tweets SET tweet_id = '1', posted_at = now(), status = 'posted', waiting_for = NULL`,
		"TweetRequest":        `UPDATE tweetqueue.tweets SET request_id = 1`,
		"TweetWait":           `UPDATE tweetqueue.tweets SET next_attempt_at = NULL`,
		"TweetAccount":        `UPDATE tweetqueue.tweets SET account = 'acme'`,
		"TweetError":          `UPDATE tweetqueue.tweets SET error = 'x'`,
		"TweetInsertID":       `INSERT INTO tweetqueue.tweets (id, account, text) VALUES (1, 'acme', 'a')`,
		"TweetInsertResult":   `INSERT INTO tweetqueue.tweets (account, text, tweet_id) VALUES ('acme', 'a', '1')`,
		"TweetDelete":         `DELETE FROM tweetqueue.tweets`,
		"TweetTruncate":       `TRUNCATE tweetqueue.tweets`,
		"DeletionResult":      `UPDATE tweetqueue.deletions SET deleted_at = now()`,
		"DeletionDelete":      `DELETE FROM tweetqueue.deletions`,
		"RetweetResult":       `UPDATE tweetqueue.retweets SET retweeted_at = now()`,
		"RetweetInsertResult": `INSERT INTO tweetqueue.retweets (account, tweet_id, retweeted_at) VALUES ('acme', '1', now())`,
		"RetweetDelete":       `DELETE FROM tweetqueue.retweets`,
		"LockRetweets":        `LOCK TABLE tweetqueue.retweets IN ROW EXCLUSIVE MODE`,
		"LockTweets":          `LOCK TABLE tweetqueue.tweets IN ROW EXCLUSIVE MODE`,
		"LockTweetsExclusive": `LOCK TABLE tweetqueue.tweets IN EXCLUSIVE MODE`,
		"LockQuotas":          `LOCK TABLE tweetqueue.quotas IN SHARE MODE`,
		"LockAccounts":        `LOCK TABLE tweetqueue.accounts IN SHARE MODE`,
		"LockJobs":            `LOCK TABLE tweetqueue.river_job IN SHARE MODE`,
		"RequestInsert":       `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by) VALUES ('post_tweet', 1, 1, 1, 1, now(), now())`,
		"RequestUpdate":       `UPDATE tweetqueue.requests SET outcome = 'done'`,
		"WorkerInsert":        `INSERT INTO tweetqueue.workers (name) VALUES ('me')`,
		"WorkerUpdate":        `UPDATE tweetqueue.workers SET stopped_at = now()`,
		"Installation":        `UPDATE tweetqueue.installation SET x_base_url = 'http://evil.example'`,
		"SchemaVersions":      `UPDATE tweetqueue.schema_versions SET oldest_worker = 1`,
		"JobRead":             `SELECT args FROM tweetqueue.river_job`,
		"JobInsert":           `INSERT INTO tweetqueue.river_job (args, kind, max_attempts, queue) VALUES ('{}', 'post_tweet', 1, 'tweets')`,
		"JobUpdate":           `UPDATE tweetqueue.river_job SET state = 'cancelled', finalized_at = now()`,
		"JobDelete":           `DELETE FROM tweetqueue.river_job`,
		"QueuePause":          `UPDATE tweetqueue.river_queue SET paused_at = now()`,
		"Leader":              `DELETE FROM tweetqueue.river_leader`,
		"Clock":               `CREATE OR REPLACE FUNCTION tweetqueue.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`,
		"Create":              `CREATE TABLE tweetqueue.mine (id int)`,
		"DisableTriggers":     `ALTER TABLE tweetqueue.tweets DISABLE TRIGGER USER`,
		"ReplicationRole":     `SET session_replication_role = replica`,
		"GrantRoles":          `SELECT tweetqueue.grant_roles()`,
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]string{"Writer": "tweetqueue_writer", "Reader": "tweetqueue_reader"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, db := as(t, role)
			storetest.Tweet(t, b.db, "a", time.Hour)
			statements := forbidden()
			if role == "tweetqueue_reader" {
				statements["TweetInsert"] = `INSERT INTO tweetqueue.tweets (account, text) VALUES ('acme', 'a')`
				statements["TweetCancel"] = `UPDATE tweetqueue.tweets SET status = 'cancelled'`
				statements["TweetLock"] = `SELECT id FROM tweetqueue.tweets FOR SHARE`
				statements["DeletionInsert"] = `INSERT INTO tweetqueue.deletions (account, tweet_id) VALUES ('acme', '1')`
				statements["Remove"] = `SELECT tweetqueue.remove_tweets(1)`
				statements["RemoveDeletions"] = `SELECT tweetqueue.remove_deletions(1)`
				statements["RetweetInsert"] = `INSERT INTO tweetqueue.retweets (account, tweet_id) VALUES ('acme', '1')`
				statements["RemoveRetweets"] = `SELECT tweetqueue.remove_retweets(1)`
			}
			for name, sql := range statements {
				err := store.InTx(t.Context(), db, func(tx pgx.Tx) error {
					_, err := tx.Exec(t.Context(), sql)
					return err
				})
				require.Equal(t, permissionDenied, sqlState(err), "%s: %v", name, err)
			}
		})
	}
}

// A worker's role works, and no more: it changes no schema and no record of it.
func TestForbiddenToWorkers(t *testing.T) {
	t.Parallel()
	_, db := as(t, "tweetqueue_worker")
	for _, sql := range []string{
		`UPDATE tweetqueue.schema_versions SET oldest_worker = 1`, `DELETE FROM tweetqueue.schema_versions`,
		`CREATE TABLE tweetqueue.mine (id int)`, `ALTER TABLE tweetqueue.tweets DISABLE TRIGGER USER`,
		`CREATE OR REPLACE FUNCTION tweetqueue.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`,
		`TRUNCATE tweetqueue.tweets`,
	} {
		_, err := db.Exec(t.Context(), sql)
		require.Equal(t, permissionDenied, sqlState(err), sql)
	}
}

// reads are what every role may see, by the functions of enqueue.
func reads(t *testing.T, db *pgxpool.Pool, id int64) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, migrations.Check(ctx, db))
	_, err := store.AccountGet(ctx, db, "ACME")
	require.NoError(t, err)
	accounts, err := store.AccountList(ctx, db)
	require.NoError(t, err)
	require.Len(t, accounts, 1)
	_, err = store.EntryGet(ctx, db, id)
	require.NoError(t, err)
	_, err = store.TweetGet(ctx, db, id)
	require.NoError(t, err)
	list, err := store.EntryList(ctx, db, store.EntryFilter{})
	require.NoError(t, err)
	require.NotEmpty(t, list)
	_, err = store.RequestList(ctx, db, id)
	require.NoError(t, err)
	alive, err := store.WorkersAlive(ctx, db)
	require.NoError(t, err)
	require.Equal(t, 1, alive)
	require.Positive(t, query[int64](t, db, `SELECT count(next_attempt_at) FROM tweetqueue.waiting`))
	require.Positive(t, query[int64](t, db, `SELECT count(*) FROM tweetqueue.quotas`))
}

func TestReader(t *testing.T) {
	t.Parallel()
	b, db := as(t, "tweetqueue_reader")
	reads(t, db, storetest.Tweet(t, b.db, "a", time.Hour))
}

func TestWriter(t *testing.T) {
	t.Parallel()
	b, db := as(t, "tweetqueue_writer")
	ctx := t.Context()
	at := time.Now().Add(time.Hour)
	id, _, err := store.TweetInsert(ctx, db, "acme", store.Tweet{Text: "a"}, &at, 1)
	require.NoError(t, err)
	require.Equal(t, "pending", storetest.Jobs(t, b.db, id)[0].State)
	reads(t, db, id)
	deletion, _, err := store.DeletionInsert(ctx, db, "acme", "77", nil, 0)
	require.NoError(t, err)
	require.Equal(t, "available", storetest.Jobs(t, b.db, deletion)[0].State)
	undo, _, err := store.UndoInsert(ctx, db, "acme", "77", &at, 0)
	require.NoError(t, err)
	require.Equal(t, "pending", storetest.Jobs(t, b.db, undo)[0].State)
	exec(t, db, `UPDATE tweetqueue.deletions SET retweet = false WHERE id = $1`, undo)
	retweet, _, err := store.RetweetInsert(ctx, db, "acme", "77", pgtype.Interval{Days: 1, Valid: true}, &at, 0)
	require.NoError(t, err)
	require.Equal(t, "pending", storetest.Jobs(t, b.db, retweet)[0].State)
	exec(t, db, `UPDATE tweetqueue.retweets SET tweet_id = '78', retweet_at = retweet_at + interval '1 hour', undo_after = NULL, priority = 1, metadata = '{}'`)

	exec(t, db, `UPDATE tweetqueue.tweets SET text = repeat('a', 280), post_at = post_at + interval '1 hour', priority = 3 WHERE id = $1`, id)
	_, err = store.Cancel(ctx, db, id)
	require.NoError(t, err)
	require.Empty(t, storetest.Jobs(t, b.db, id))
	exec(t, db, `UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, id)
	require.Len(t, storetest.Jobs(t, b.db, id), 1)
	_, err = store.Cancel(ctx, db, deletion)
	require.NoError(t, err)
	require.EqualValues(t, 1, query[int64](t, db, `SELECT tweetqueue.remove_tweets($1)`, id))
	require.EqualValues(t, 1, query[int64](t, db, `SELECT tweetqueue.remove_deletions($1)`, deletion))
	require.EqualValues(t, 1, query[int64](t, db, `SELECT tweetqueue.remove_retweets($1)`, retweet))
	// It may lock the rows that it edits, for as long as lasts its transaction.
	id = storetest.Tweet(t, db, "b", time.Hour)
	exec(t, db, `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, id)
}

// What a worker does, from its first statement to its last, with no right but its role's.
func TestWorker(t *testing.T) {
	t.Parallel()
	b, db := as(t, "tweetqueue_worker")
	ctx := t.Context()
	b.db = db // from here on everything is the worker's
	reads(t, db, storetest.Tweet(t, db, "a", time.Hour))
	inTx(t, db, func(tx pgx.Tx) { require.NoError(t, store.ClaimX(ctx, tx, 0, "https://api.x.com")) })
	id, err := store.WorkerStart(ctx, db, "worker", migrations.Latest)
	require.NoError(t, err)
	err = store.WorkerRenew(ctx, db, id)
	require.NoError(t, err)
	b.workerID = id
	storetest.Account(t, db, storetest.AccountOpts{Username: "Acme2"}) // a rename
	storetest.Account(t, db, storetest.AccountOpts{Username: "acme"})

	for _, kind := range store.Kinds() {
		row, other := due(t, db, kind, "a"), due(t, db, kind, "b")
		var request *store.Request
		inTx(t, db, func(tx pgx.Tx) {
			rows, err := store.RowsLock(ctx, tx, kind, []int64{row, other})
			require.NoError(t, err)
			require.Len(t, rows, 2)
			quotas, err := store.QuotasLock(ctx, tx, []int64{b.accountID}, kind.Action())
			require.NoError(t, err)
			now, err := store.Clock(ctx, tx)
			require.NoError(t, err)
			for _, q := range quotas[b.accountID] {
				q.Take(now)
			}
			require.NoError(t, store.QuotasSave(ctx, tx, quotas))
			request = b.request(t, tx, row)
			require.NoError(t, store.StartRequests(ctx, tx, kind, id, []*store.Request{request}))
			for _, what := range []store.WaitingFor{store.ForQuota, store.ForAccount, store.ForApp} {
				require.NoError(t, store.WaitRows(ctx, tx, kind, []store.Wait{{RowID: other, For: what, Until: now}}))
			}
			require.NoError(t, store.RowsPark(ctx, tx, kind, []int64{other}))
		})
		s := done(kind)
		s.Block = time.Minute
		require.True(t, b.settle(t, kind, request, s).Applied)
		inTx(t, db, func(tx pgx.Tx) {
			require.NoError(t, store.CloseRows(ctx, tx, kind, []store.Closing{{RowID: other, Status: store.Failed, Reason: "why"}}))
		})
		requests := b.start(t, kind, due(t, db, kind, "c"))
		inTx(t, db, func(tx pgx.Tx) {
			released, err := store.Release(ctx, tx, kind, requests, "why")
			require.NoError(t, err)
			require.Equal(t, 1, released)
		})
		_, err := store.RowsRewake(ctx, db, kind, []int64{requests[0].RowID}, time.Second)
		require.NoError(t, err)
		looksUp(t, b, db, id, kind)
	}
	appID := query[int64](t, db, `SELECT id FROM tweetqueue.apps`)
	_, err = store.AppDoubt(ctx, db, appID, b.accountID, "why", time.Second)
	require.NoError(t, err)
	require.NoError(t, store.AppAnswered(ctx, db, appID))
	require.NoError(t, errOf(store.AccountHold(ctx, db, b.accountID, store.Paused, "why", "why", time.Hour)))
	require.NoError(t, store.AccountRelease(ctx, db, b.accountID))
	for name, h := range b.holds(t) {
		require.NoError(t, h.begin(ctx, db, 0), name)
		exec(t, db, h.resume)
	}
	keepsToBudgets(t, b, db)
	_, err = store.Promote(ctx, db, 10)
	require.NoError(t, err)
	for _, kind := range store.Kinds() {
		_, _, err = store.Sweep(ctx, db, kind, store.SweepFrom{}, 10)
		require.NoError(t, err)
	}
	inTx(t, db, func(tx pgx.Tx) {
		_, err := store.TweetsUnmeasured(ctx, tx, 0, 10)
		require.NoError(t, err)
		require.NoError(t, store.TweetsMeasured(ctx, tx, []int64{1}, []bool{false}))
	})
	_, err = store.CancelDeadJobs(ctx, db, 10)
	require.NoError(t, err)
	_, err = store.Wake(ctx, db, 0, 10)
	require.NoError(t, err)
	_, err = store.TakeOver(ctx, db, 10, 0, []int64{}, 5*time.Second)
	require.NoError(t, err)
	require.NoError(t, store.WorkerStop(ctx, db, id))
}

// keepsToBudgets does what a worker does with money.
func keepsToBudgets(t *testing.T, b *testBundle, db *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, store.AppBudgetSet(ctx, db, store.DefaultApp, new(store.USD(1_000_000))))
	require.NoError(t, store.AccountBudgetSet(ctx, db, "acme", new(store.USD(1_000_000))))
	inTx(t, db, func(tx pgx.Tx) {
		now, err := store.Clock(ctx, tx)
		require.NoError(t, err)
		budgets, err := store.BudgetsLock(ctx, tx, []int64{b.accountID}, now)
		require.NoError(t, err)
		require.Len(t, budgets[b.accountID].Of, 2)
		require.NoError(t, store.BudgetsTold(ctx, tx, budgets[b.accountID].Of))
		require.NoError(t, store.BudgetWaitsBegin(ctx, tx, store.PostTweet, now, []store.BudgetWait{{RowID: 1, AccountID: b.accountID}}))
	})
	require.NoError(t, store.AppBudgetSet(ctx, db, store.DefaultApp, nil))
	due, err := store.BudgetWaitsDue(ctx, db, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{b.accountID}, due)
	inTx(t, db, func(tx pgx.Tx) {
		_, err := store.BudgetWaitRelease(ctx, tx, b.accountID, 10)
		require.NoError(t, err)
	})
	require.NoError(t, store.BudgetWaitsSweep(ctx, db))
	require.NoError(t, store.ReadsForget(ctx, db, 10))
	require.NoError(t, store.AccountResume(ctx, db, "acme"))
	require.NoError(t, store.AppResume(ctx, db, store.DefaultApp))
	_, err = store.BudgetList(ctx, db)
	require.NoError(t, err)
}

// looksUp does what a worker does with doubts.
func looksUp(t *testing.T, b *testBundle, db *pgxpool.Pool, workerID int64, kind store.Kind) {
	t.Helper()
	ctx := t.Context()
	doubts := []*store.Request{b.doubt(t, kind, "d"), b.doubt(t, kind, "e")}
	inTx(t, db, func(tx pgx.Tx) {
		ids, err := store.DoubtsLock(ctx, tx, kind, b.accountID)
		require.NoError(t, err)
		require.Len(t, ids, 2)
		found, err := store.Doubts(ctx, tx, kind, b.accountID, 0)
		require.NoError(t, err)
		require.Len(t, found, 2)
		lookUp, err := store.LookUpStart(ctx, tx, kind, store.LookUp{
			AccountID: b.accountID, WorkerID: workerID, JobID: 1, RowIDs: ids, SendBy: time.Now(),
		}, time.Minute)
		require.NoError(t, err)
		require.NoError(t, store.LookUpSettle(ctx, tx, kind, store.LookUpAnswer{
			RequestID: lookUp, RowIDs: ids, Outcome: "done", TweetIDs: []string{"1"},
		}))
		_, err = store.TweetIDsKnown(ctx, tx, b.accountID, []string{"1"})
		require.NoError(t, err)
		resolved, err := store.Resolve(ctx, tx, kind, []store.Resolution{{RowID: ids[0], RequestID: doubts[0].ID, Status: store.Failed, Error: "why"}})
		require.NoError(t, err)
		require.Len(t, resolved, 1)
	})
	entry, err := storetest.ResolveByHand(t, db, doubts[1].RowID, false, nil, nil)
	require.NoError(t, err)
	require.Equal(t, store.Scheduled, entry.Status)
}

// Who only schedules says nothing of what is on X.
func TestWriterCannotResolve(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]string{"Writer": "tweetqueue_writer", "Reader": "tweetqueue_reader"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, db := as(t, role)
			for _, kind := range store.Kinds() {
				request := b.doubt(t, kind, "a")
				for _, posted := range []bool{true, false} {
					tweetID := "1001"
					_, err := storetest.ResolveByHand(t, db, request.RowID, posted, &tweetID, nil)
					require.Equal(t, permissionDenied, sqlState(err))
				}
				_, err := db.Exec(t.Context(), `UPDATE tweetqueue.`+table(kind)+` SET status = 'scheduled' WHERE id = $1`, request.RowID)
				require.Error(t, err)
				_, err = store.RequestList(t.Context(), db, request.RowID)
				require.NoError(t, err, "but it sees what was done")
			}
		})
	}
}
