package storetest_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	first, second := storetest.DB(t), storetest.DB(t)
	storetest.Account(t, first, storetest.AccountOpts{})
	accounts, err := store.AccountList(t.Context(), second)
	require.NoError(t, err)
	require.Empty(t, accounts)
}

func TestMoveClock(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	storetest.MoveClock(t, db, time.Hour)
	now, err := store.Clock(t.Context(), db)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), now, time.Minute)
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	storetest.Account(t, db, storetest.AccountOpts{})
	id := storetest.Tweet(t, db, "hello", time.Hour)
	require.Equal(t, "scheduled:time", storetest.Status(t, db, id))
	jobs := storetest.Jobs(t, db, id)
	require.Len(t, jobs, 1)
	require.Equal(t, "pending", jobs[0].State)
}
