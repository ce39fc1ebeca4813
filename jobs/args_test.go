package jobs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
)

// Jobs that were written long ago are read by newer workers, and the database's triggers write the
// same: neither kind nor arguments may change.
func TestArgsAreGolden(t *testing.T) {
	t.Parallel()
	for _, args := range []river.JobArgs{PostTweetArgs{RowID: 42}, DeleteTweetArgs{RowID: 42}, RetweetArgs{RowID: 42}} {
		t.Run(args.Kind(), func(t *testing.T) {
			t.Parallel()
			golden, err := os.ReadFile(filepath.Join("testdata", "args", args.Kind()+".json"))
			require.NoError(t, err)
			encoded, err := json.Marshal(struct {
				Kind string        `json:"kind"`
				Args river.JobArgs `json:"args"`
			}{args.Kind(), args})
			require.NoError(t, err)
			require.Equal(t, string(golden), string(encoded)+"\n")
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "args"))
	require.NoError(t, err)
	require.Len(t, files, 3, "a kind was removed or added without its golden file")
}

func TestInsertOpts(t *testing.T) {
	t.Parallel()
	require.Equal(t, river.InsertOpts{MaxAttempts: 32767, Priority: 2, Queue: "tweets"}, PostTweetArgs{}.InsertOpts())
	require.Equal(t, river.InsertOpts{MaxAttempts: 32767, Priority: 2, Queue: "deletions"}, DeleteTweetArgs{}.InsertOpts())
	require.Equal(t, river.InsertOpts{MaxAttempts: 32767, Priority: 2, Queue: "retweets"}, RetweetArgs{}.InsertOpts())
}
