package migrations_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store/storetest"
)

// header is the first line of each file.
var header = regexp.MustCompile(`^-- River: (\d+)\. Oldest worker: (\d+)\.\n`)

// names returns the files' names in their order.
func names(t *testing.T) []string {
	t.Helper()
	paths, err := fs.Glob(migrations.Files(), "*")
	require.NoError(t, err)
	slices.Sort(paths)
	return paths
}

func TestFilesAreNumbered(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^(\d{5})_[a-z]+(_[a-z]+)+\.sql$`)
	files := names(t)
	require.Len(t, files, migrations.Latest)
	for i, file := range files {
		matched := name.FindStringSubmatch(file)
		require.NotNil(t, matched, file)
		require.Equal(t, fmt.Sprintf("%05d", i+1), matched[1])
	}
}

// What a file's first line says of it is what it writes, and the newest need nothing newer than the
// River that is compiled in.
func TestFilesSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), storetest.URL(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT version, river_version, oldest_worker FROM tweetqueue.schema_versions ORDER BY version`)
	require.NoError(t, err)
	recorded, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v [3]int, err error) {
		err = row.Scan(&v[0], &v[1], &v[2])
		return v, err
	})
	require.NoError(t, err)
	var written [][3]int
	for i, file := range names(t) {
		content, err := fs.ReadFile(migrations.Files(), file)
		require.NoError(t, err)
		matched := header.FindStringSubmatch(string(content))
		require.NotNil(t, matched, "%s begins with no '-- River: N. Oldest worker: M.'", file)
		river, err := strconv.Atoi(matched[1])
		require.NoError(t, err)
		oldest, err := strconv.Atoi(matched[2])
		require.NoError(t, err)
		written = append(written, [3]int{i + 1, river, oldest})
		require.LessOrEqual(t, river, migrations.RiverVersion)
		require.LessOrEqual(t, oldest, i+1)
	}
	require.Equal(t, written, recorded)
}

// The River of go.mod has no migration that we do not run: an upgrade that brings one fails here.
func TestRiverVersionIsRiversNewest(t *testing.T) {
	t.Parallel()
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Schema: migrations.Schema})
	require.NoError(t, err)
	versions := migrator.AllVersions()
	require.Equal(t, migrations.RiverVersion, versions[len(versions)-1].Version)
}
