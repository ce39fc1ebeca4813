package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// outage is an app whose requests leave doubts.
type outage struct {
	*testBundle
	t     *testing.T
	appID int64
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	b := setup(t)
	return &outage{testBundle: b, t: t, appID: query[int64](t, b.db, `SELECT id FROM tweetqueue.apps`)}
}

// doubt notes doubts on accounts, one after another, and returns whether the last paused the app.
func (o *outage) doubt(accounts ...int64) (paused bool) {
	o.t.Helper()
	for _, id := range accounts {
		var err error
		paused, err = store.AppDoubt(o.t.Context(), o.db, o.appID, id, "an outage", 15*time.Second)
		require.NoError(o.t, err)
	}
	return paused
}

func (o *outage) answered() {
	o.t.Helper()
	require.NoError(o.t, store.AppAnswered(o.t.Context(), o.db, o.appID))
}

// state is the app's state, with its reason and until when it holds.
func (o *outage) state() (state, reason string, until *time.Duration) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT state, coalesce(state_reason, ''), state_until - tweetqueue.clock() FROM tweetqueue.apps`).
		Scan(&state, &reason, &until))
	return state, reason, until
}

func (o *outage) requireActive() {
	o.t.Helper()
	state, reason, until := o.state()
	require.Equal(o.t, "active", state)
	require.Empty(o.t, reason)
	require.Nil(o.t, until)
}

// Doubts on five accounts in a row are an outage of X; it is told once, and ends with the first answer.
func TestOutage(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	tweet, deletion := storetest.Tweet(t, o.db, "a", 0), storetest.Deletion(t, o.db, "77", 0)
	require.False(t, o.doubt(1, 2, 3, 4))
	o.requireActive()
	require.True(t, o.doubt(5))
	state, reason, until := o.state()
	require.Equal(t, "paused", state)
	require.Equal(t, "an outage", reason)
	require.InDelta(t, 15*time.Second, *until, float64(10*time.Second))
	require.False(t, o.doubt(6), "it is paused already")
	require.False(t, o.doubt(1))

	// A probe that leaves a doubt makes it rest again.
	exec(t, o.db, `UPDATE tweetqueue.apps SET state_until = tweetqueue.clock()`)
	require.False(t, o.doubt(2))
	_, _, until = o.state()
	require.Greater(t, *until, 5*time.Second)

	inTxWait := storetest.Tx(t, o.db)
	waitFor(t, inTxWait, store.PostTweet, tweet, store.ForApp)
	waitFor(t, inTxWait, store.DeleteTweet, deletion, store.ForApp)
	require.NoError(t, inTxWait.Commit(t.Context()))
	o.answered()
	o.requireActive()
	require.Equal(t, 2, o.wake(t), "all that waited for the app goes on")
	require.False(t, o.doubt(1, 2, 3, 4), "it counts anew")
}

func TestNoOutage(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*outage){
		"AnswersBetween": func(o *outage) {
			for id := range int64(20) {
				o.doubt(id)
				o.answered()
			}
		},
		"OneAccount":   func(o *outage) { o.doubt(1, 1, 1, 1, 1, 1) },
		"FourAccounts": func(o *outage) { o.doubt(1, 2, 3, 4, 4, 3, 2, 1) },
		"AnswerAfterFour": func(o *outage) {
			o.doubt(1, 2, 3, 4)
			o.answered()
			o.doubt(5)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			do(o)
			o.requireActive()
		})
	}
}

// A pause for another reason is neither ended by an answer nor replaced by an outage.
func TestOutageAndOtherPauses(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(*outage){
		"MoneyUntil": func(o *outage) {
			require.NoError(o.t, errOf(store.AppHold(o.t.Context(), o.db, o.appID, "no credits", "no credits", time.Hour)))
		},
		"MoneyForGood": func(o *outage) {
			require.NoError(o.t, errOf(store.AppHold(o.t.Context(), o.db, o.appID, "no credits", "no credits", 0)))
		},
		"MoneyInAnOutage": func(o *outage) {
			o.doubt(1, 2, 3, 4, 5)
			require.NoError(o.t, errOf(store.AppHold(o.t.Context(), o.db, o.appID, "no credits", "no credits", time.Hour)))
		},
		"ByHandInAnOutage": func(o *outage) {
			o.doubt(1, 2, 3, 4, 5)
			exec(o.t, o.db, `UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'no credits', state_until = NULL`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			pause(o)
			_, _, before := o.state()
			o.answered()
			require.False(t, o.doubt(1, 2, 3, 4, 5, 6))
			o.answered()
			state, reason, after := o.state()
			require.Equal(t, "paused", state)
			require.Equal(t, "no credits", reason)
			require.Equal(t, before == nil, after == nil)
			if after != nil {
				require.Greater(t, *after, 30*time.Minute)
			}
		})
	}
}

func TestOutageWaitsForNoLock(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	operator := storetest.Tx(t, o.db)
	exec(t, operator, `SELECT FROM tweetqueue.apps FOR UPDATE`)
	paused, err := store.AppDoubt(t.Context(), o.db, o.appID, 1, "an outage", time.Second)
	require.ErrorIs(t, err, store.ErrRowLocked)
	require.False(t, paused)
	require.Equal(t, "{}", query[string](t, o.db, `SELECT doubted::text FROM tweetqueue.apps`))

	// Once the doubt is recorded, it is noted as soon as it can be.
	pid, join := o.background(t, func(ctx context.Context, tx pgx.Tx) error {
		_, err := store.AppDoubtLater(ctx, tx, o.appID, 1, "an outage", time.Second)
		return err
	})
	waitBlocked(t, o.db, pid)
	require.NoError(t, operator.Rollback(t.Context()))
	join()
	require.Equal(t, "{1}", query[string](t, o.db, `SELECT doubted::text FROM tweetqueue.apps`))
}
