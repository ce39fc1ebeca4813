package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// params are the columns of acme as it is put again.
func params(t *testing.T, db store.DBTX, username, xUserID string) store.AccountPutParams {
	t.Helper()
	appID, err := store.AppPut(t.Context(), db, store.DefaultApp, []byte("sealed app"))
	require.NoError(t, err)
	return store.AccountPutParams{Username: username, XUserID: xUserID, AppID: appID, Credentials: []byte("sealed")}
}

func TestAccountPutAndGet(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	_, err := store.AccountGet(t.Context(), db, "acme")
	require.ErrorIs(t, err, store.ErrNotFound)
	require.ErrorContains(t, err, "enqueue account add acme")

	p := params(t, db, "Acme", "42")
	p.TimeZone, p.TextLimit = "Europe/Vienna", 25_000
	id, err := store.AccountPut(t.Context(), db, p)
	require.NoError(t, err)
	account, err := store.AccountGet(t.Context(), db, "ACME")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), account.CreatedAt, patience)
	account.CreatedAt = time.Time{}
	require.Equal(t, store.Account{
		ID: id, Username: "Acme", XUserID: "42", App: store.DefaultApp, TimeZone: "Europe/Vienna", LimitsPreset: "guide",
		TextLimit: 25_000, Hold: store.Hold{State: store.Active}, AppHold: store.Hold{State: store.Active},
	}, account)

	other, err := store.AccountPut(t.Context(), db, params(t, db, "aardvark", "43"))
	require.NoError(t, err)
	list, err := store.AccountList(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, []int64{other, id}, []int64{list[0].ID, list[1].ID})
	require.Equal(t, "UTC", list[0].TimeZone)
	require.Equal(t, 280, list[0].TextLimit)
}

// An account that is put again keeps what is not said anew, and is active.
func TestAccountRenewal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, "a", 0)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET time_zone = 'Asia/Tokyo', text_limit = 4000`)
	require.NoError(t, errOf(store.AccountHold(t.Context(), b.db, b.accountID, store.NeedsLogin, "X refused the token", "token", 0)))
	inTx(t, b.db, func(tx pgx.Tx) { waitFor(t, tx, store.PostTweet, id, store.ForAccount) })

	again, err := store.AccountPut(t.Context(), b.db, params(t, b.db, "acme", "42"))
	require.NoError(t, err)
	require.Equal(t, b.accountID, again)
	account, err := store.AccountGet(t.Context(), b.db, "acme")
	require.NoError(t, err)
	require.Equal(t, store.Hold{State: store.Active}, account.Hold)
	require.Equal(t, "Asia/Tokyo", account.TimeZone)
	require.Equal(t, 4000, account.TextLimit)
	require.Equal(t, []byte("sealed"), query[[]byte](t, b.db, `SELECT credentials FROM tweetqueue.accounts`))
	require.Equal(t, 1, b.wake(t)) // it waited for the account
	b.requireAwake(t, id)
	require.EqualValues(t, 3, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.quotas`))
}

// A rename on X is followed by all rows, whatever their state, their deadline or their length.
func TestAccountRename(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	tx := storetest.Tx(t, b.db)
	for _, kind := range store.Kinds() {
		for _, status := range []store.Status{store.Scheduled, store.Sending, kind.Done(), store.Failed} {
			ids = append(ids, b.inState(t, tx, kind, status))
		}
	}
	require.NoError(t, tx.Commit(t.Context()))
	ids = append(ids, query[int64](t, b.db, `INSERT INTO tweetqueue.tweets (account, text, previous_id, post_before)
		VALUES ('ACME', 'a', $1, tweetqueue.clock() + interval '1 minute') RETURNING id`, ids[0]))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET text_limit = 25000`)
	ids = append(ids, storetest.Tweet(t, b.db, strings.Repeat("a", 1000), time.Hour))
	exec(t, b.db, `UPDATE tweetqueue.accounts SET text_limit = 280`)
	jobs := query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.river_job`)
	storetest.MoveClock(t, b.db, time.Hour) // past the deadline

	for _, username := range []string{"acme_inc", "ACME_Inc", "acme"} {
		id, err := store.AccountPut(t.Context(), b.db, params(t, b.db, username, "42"))
		require.NoError(t, err)
		require.Equal(t, b.accountID, id)
		account, err := store.AccountGet(t.Context(), b.db, username)
		require.NoError(t, err)
		require.Equal(t, username, account.Username)
		for _, id := range ids {
			_, err := store.EntryGet(t.Context(), b.db, id) // joins the account
			require.NoError(t, err)
		}
		require.Equal(t, jobs, query[int64](t, b.db, `SELECT count(*) FROM tweetqueue.river_job`))
	}
	_, err := store.AccountGet(t.Context(), b.db, "acme_inc")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestAccountPutRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := store.AccountPut(t.Context(), b.db, params(t, b.db, "ACME", "43")) // the name is another's
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "accounts_username_key")
	_, err = store.AccountPut(t.Context(), b.db, params(t, b.db, "@acme", "43"))
	require.ErrorContains(t, err, "accounts_username_check")
	_, err = store.AccountPut(t.Context(), b.db, params(t, b.db, "other", "x"))
	require.ErrorContains(t, err, "accounts_x_user_id_check")
	p := params(t, b.db, "other", "44")
	p.AppID = 12345
	_, err = store.AccountPut(t.Context(), b.db, p)
	require.ErrorIs(t, err, store.ErrRefused)
	_, err = store.AppPut(t.Context(), b.db, "", []byte{})
	require.ErrorIs(t, err, store.ErrRefused)
}

func TestAppPut(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	first, err := store.AppPut(t.Context(), db, "a", []byte("1"))
	require.NoError(t, err)
	again, err := store.AppPut(t.Context(), db, "a", []byte("2"))
	require.NoError(t, err)
	require.Equal(t, first, again)
	sealed, err := store.AppSealed(t.Context(), db, "a")
	require.NoError(t, err)
	require.Equal(t, []byte("2"), sealed)
	_, err = store.AppSealed(t.Context(), db, "b")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestHolds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		hold store.Hold
		want bool
	}{
		{store.Hold{State: store.Active}, false},
		{store.Hold{State: store.Paused}, true},
		{store.Hold{State: store.Suspended, Until: new(now.Add(time.Second))}, true},
		{store.Hold{State: store.Suspended, Until: &now}, false}, // it is tried again
	} {
		require.Equal(t, c.want, c.hold.Holds(now))
	}
}

// claimX claims the database for an X in a transaction of its own.
func (b *testBundle) claimX(t *testing.T, workerID int64, url string) error {
	t.Helper()
	return store.InTx(t.Context(), b.db, func(tx pgx.Tx) error { return store.ClaimX(t.Context(), tx, workerID, url) })
}

func TestClaimX(t *testing.T) {
	t.Parallel()
	const live, sandbox = "https://api.x.com", "http://127.0.0.1:1234"
	b := setup(t)
	claim := func(url string) error { return b.claimX(t, b.workerID, url) }
	require.NoError(t, claim(live))
	require.NoError(t, claim(live))
	for _, kind := range store.Kinds() {
		id := due(t, b.db, kind, "a")
		require.NoError(t, claim(live))
		err := claim(sandbox)
		require.ErrorIs(t, err, store.ErrOtherX)
		require.ErrorContains(t, err, "meant for "+live)
		require.ErrorContains(t, err, "this worker is for "+sandbox)
		request := b.start(t, kind, id)[0]
		require.ErrorIs(t, claim(sandbox), store.ErrOtherX)
		b.settle(t, kind, request, store.Settlement{Status: store.Unconfirmed})
		require.ErrorIs(t, claim(sandbox), store.ErrOtherX)
		b.settle(t, kind, request, done(kind))
	}
	require.NoError(t, claim(sandbox)) // nothing waits any more
	storetest.Tweet(t, b.db, "b", time.Hour)
	require.ErrorIs(t, claim(live), store.ErrOtherX)
}

// While a worker lives, another for another X is refused, whether rows wait or not.
func TestClaimXBesideALivingWorker(t *testing.T) {
	t.Parallel()
	const live, sandbox = "https://api.x.com", "http://127.0.0.1:1234"
	b := setup(t)
	require.NoError(t, b.claimX(t, b.workerID, live))
	other, err := store.WorkerStart(t.Context(), b.db, "other", migrations.Latest)
	require.NoError(t, err)
	require.NoError(t, b.claimX(t, other, live))
	require.ErrorIs(t, b.claimX(t, other, sandbox), store.ErrOtherX)
	require.NoError(t, store.WorkerStop(t.Context(), b.db, b.workerID))
	require.NoError(t, b.claimX(t, other, sandbox))
}

// Two workers for different X start at once on a new database: one of them may work.
func TestClaimXConcurrently(t *testing.T) {
	t.Parallel()
	for _, rows := range []bool{true, false} {
		b := setup(t)
		if rows {
			storetest.Tweet(t, b.db, "a", 0)
		}
		other, err := store.WorkerStart(t.Context(), b.db, "other", migrations.Latest)
		require.NoError(t, err)
		first := storetest.Tx(t, b.db)
		require.NoError(t, store.ClaimX(t.Context(), first, b.workerID, "https://api.x.com"))
		pid, join := b.background(t, func(ctx context.Context, tx pgx.Tx) error {
			err = store.ClaimX(ctx, tx, other, "http://127.0.0.1:1234")
			return nil
		})
		waitBlocked(t, b.db, pid)
		require.NoError(t, first.Commit(t.Context()))
		join()
		require.ErrorIs(t, err, store.ErrOtherX)
	}
}

// When a hold has ended, one request is tried, by whoever comes first.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Account", "App"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.holds(t)[name]
			probe := func(db store.DBTX) bool {
				t.Helper()
				probed, err := h.probe(t.Context(), db.(pgx.Tx), time.Minute)
				require.NoError(t, err)
				return probed
			}
			tx := storetest.Tx(t, b.db)
			require.False(t, probe(tx)) // it is active: nobody needs to probe
			require.NoError(t, h.begin(t.Context(), b.db, 0))
			require.False(t, probe(tx)) // a person must end it
			exec(t, b.db, h.resume)
			require.NoError(t, h.begin(t.Context(), b.db, time.Hour))
			require.False(t, probe(tx)) // its end has not come
			require.NoError(t, tx.Rollback(t.Context()))
			storetest.MoveClock(t, b.db, 2*time.Hour)

			tx, other := storetest.Tx(t, b.db), storetest.Tx(t, b.db)
			require.True(t, probe(tx))
			require.False(t, probe(tx))
			require.False(t, probe(other)) // at the same time, without waiting
			require.NoError(t, tx.Commit(t.Context()))
			require.False(t, probe(other))
			require.NoError(t, other.Commit(t.Context()))

			storetest.MoveClock(t, b.db, 2*time.Hour+2*time.Minute) // it brought nothing: another one
			tx = storetest.Tx(t, b.db)
			require.True(t, probe(tx))
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, h.release(t.Context(), b.db))
			require.Equal(t, "active", query[string](t, b.db, `SELECT state FROM tweetqueue.`+h.table))
		})
	}
}

func TestKeyCheck(t *testing.T) {
	t.Parallel()
	db, ring := storetest.DB(t), storetest.Keyring(t)
	require.NoError(t, store.KeyCheck(t.Context(), db, ring)) // there is nothing that it could not open
	storetest.Account(t, db, storetest.AccountOpts{Ring: ring})
	require.NoError(t, store.KeyCheck(t.Context(), db, ring))
	err := store.KeyCheck(t.Context(), db, storetest.Keyring(t))
	require.ErrorIs(t, err, store.ErrSealed)
	require.ErrorContains(t, err, "check TWEETQUEUE_KEY")
}

// A hold that a person sets lasts until a person ends it, whatever an earlier one has left behind.
func TestHoldByHand(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"accounts", "apps"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			set := func(what string) string {
				exec(t, b.db, `UPDATE tweetqueue.`+table+` SET `+what)
				return query[string](t, b.db, `SELECT concat_ws('|', state, state_reason, state_until IS NOT NULL) FROM tweetqueue.`+table)
			}
			const held = `state = 'paused', state_reason = 'no credits', state_until = tweetqueue.clock() + interval '1 hour'`
			require.Equal(t, "paused|no credits|t", set(held))
			require.Equal(t, "paused|stop|f", set(`state = 'paused', state_reason = 'stop'`))
			require.Equal(t, "paused|no credits|t", set(held))
			require.Equal(t, "paused|no credits|t", set(`state_until = tweetqueue.clock() + interval '1 minute'`), "a probe")
			require.Equal(t, "active|f", set(`state = 'active'`))
			require.Equal(t, "paused|stop|f", set(`state = 'paused', state_reason = 'stop'`))
		})
	}
}
