package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestDropKept: databases of failed tests go after a day, however many processes start then; a younger
// one stays, and so does one that somebody is looking at.
func TestDropKept(t *testing.T) {
	t.Parallel()
	s, err := start()
	require.NoError(t, err)
	admin, err := pgx.Connect(t.Context(), s.admin)
	require.NoError(t, err)
	defer admin.Close(t.Context())
	// A test process that starts now would drop the old ones, too: it waits until they are as they should be.
	setup, err := pgx.Connect(t.Context(), s.admin)
	require.NoError(t, err)
	_, err = setup.Exec(t.Context(), lockKept)
	require.NoError(t, err)
	now := time.Now()
	long := now.Add(-keep - time.Hour)
	create := func(started time.Time, number int64) string {
		name := databaseName(1, started.UnixNano(), number)
		require.NoError(t, s.exec(`CREATE DATABASE `+name+` TEMPLATE template0 STRATEGY file_copy`))
		t.Cleanup(func() { require.NoError(t, s.exec(`DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)) })
		return name
	}
	old := []string{create(long, 1), create(long, 2), create(long, 3)}
	young := create(now.Add(-keep+time.Hour), 4)
	watched := create(long, 5)
	looking, err := pgx.Connect(t.Context(), withDatabase(s.admin, watched))
	require.NoError(t, err)
	defer looking.Close(t.Context())
	require.NoError(t, setup.Close(t.Context()))

	var dropping sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		dropping.Go(func() { errs[i] = s.dropKept(t.Context(), now.Add(-keep)) })
	}
	dropping.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	exists := func(name string) (found bool) {
		require.NoError(t, admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&found))
		return found
	}
	for _, name := range old {
		require.False(t, exists(name), name)
	}
	require.True(t, exists(young))
	require.True(t, exists(watched))
	require.True(t, exists(s.template))
}
