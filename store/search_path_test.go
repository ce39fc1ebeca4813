package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// A function that runs in the caller's name, and looks names up where the caller says, does what the
// caller wants.
func TestFunctionsPinTheirSearchPath(t *testing.T) {
	t.Parallel()
	db := storetest.DB(t)
	require.Empty(t, queryAll[string](t, db, `SELECT p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace = 'tweetqueue'::regnamespace AND l.lanname = 'plpgsql'
			AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)`))
}

// An application with a schema of its own must not forge a result by shadowing what the triggers call.
func TestWriterCannotShadowFunctions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.inState(t, b.db, store.PostTweet, store.Sending)
	exec(t, b.db, `CREATE SCHEMA evil`)
	exec(t, b.db, `GRANT ALL ON SCHEMA evil TO tweetqueue_writer`)
	tx := storetest.Tx(t, b.db)
	exec(t, tx, `SET LOCAL ROLE tweetqueue_writer`)
	exec(t, tx, `CREATE FUNCTION evil.has_column_privilege(oid, text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'`)
	exec(t, tx, `SET LOCAL search_path = evil, pg_catalog`)
	_, err := tx.Exec(t.Context(), `UPDATE tweetqueue.tweets SET status = 'failed' WHERE id = $1`, id)
	require.ErrorContains(t, err, "cannot become failed")
}
