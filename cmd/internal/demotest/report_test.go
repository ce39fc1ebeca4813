package demotest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// report is what `worker demo --json` prints: the rows, in the order they were enqueued, and the
// sandbox's own record, its tweets by age.
type report struct {
	Rows []struct {
		Kind       string    `json:"kind"`
		ID         int64     `json:"id"`
		Text       string    `json:"text"`
		TweetID    string    `json:"tweet_id"`
		PreviousID int64     `json:"previous_id"`
		DueAt      time.Time `json:"due_at"`
		Status     string    `json:"status"`
		Error      string    `json:"error"`
	} `json:"rows"`
	Sandbox struct {
		Requests []struct {
			ArrivedAt time.Time `json:"arrived_at"`
			Method    string    `json:"method"`
			Path      string    `json:"path"`
			TweetID   string    `json:"tweet_id"`
			Status    int       `json:"status"`
		} `json:"requests"`
		Tweets []struct {
			ID        string    `json:"id"`
			Text      string    `json:"text"`
			CreatedAt time.Time `json:"created_at"`
			DeletedAt time.Time `json:"deleted_at"`
			InReplyTo string    `json:"in_reply_to_tweet_id"`
		} `json:"tweets"`
	} `json:"sandbox"`
}

// readReport reads the demo's output, which holds a report and nothing else.
func readReport(t *testing.T, output string) report {
	t.Helper()
	var r report
	decoder := json.NewDecoder(strings.NewReader(output))
	require.NoError(t, decoder.Decode(&r), "%s", output)
	require.False(t, decoder.More(), "%s", output)
	return r
}

// requireDone checks the sandbox's record against the rows: five tweets, one of them a reply to the
// one before it, the old one gone, and nothing before it was due. It returns by how much the latest
// request arrived after its row's due time.
func requireDone(t *testing.T, r report) time.Duration {
	t.Helper()
	arrived := map[string]time.Time{} // by method and tweet
	for _, request := range r.Sandbox.Requests {
		require.Contains(t, []int{200, 201}, request.Status)
		arrived[request.Method+" "+request.TweetID] = request.ArrivedAt
	}
	require.Len(t, r.Sandbox.Requests, 6)
	require.Len(t, arrived, 6)

	tweets := slices.Clone(r.Sandbox.Tweets)
	require.Len(t, tweets, 6)
	old := tweets[0] // by id, and so by age
	require.Less(t, old.CreatedAt, time.Now().AddDate(-1, 0, 0))
	require.False(t, old.DeletedAt.IsZero(), "the old tweet is still there")
	require.Len(t, r.Rows, 6)
	threads, latest := 0, time.Duration(0)
	for i, row := range r.Rows {
		method := "POST"
		if row.Kind == "delete_tweet" {
			method = "DELETE"
			require.Equal(t, 5, i, "the deletion is the last row")
			require.Equal(t, "deleted", row.Status)
			require.Equal(t, old.ID, row.TweetID)
		} else {
			require.Less(t, i, 5, "there are more than five tweets")
			tweet := tweets[i+1]
			require.Equal(t, "posted", row.Status)
			require.Equal(t, tweet.ID, row.TweetID)
			require.Equal(t, tweet.Text, row.Text)
			require.True(t, tweet.DeletedAt.IsZero())
			if row.PreviousID != 0 {
				threads++
				require.Equal(t, r.Rows[i-1].ID, row.PreviousID)
				require.Equal(t, tweets[i].ID, tweet.InReplyTo)
			} else {
				require.Empty(t, tweet.InReplyTo)
			}
		}
		at, ok := arrived[method+" "+row.TweetID]
		require.True(t, ok, "no %s of tweet %s arrived", method, row.TweetID)
		late := at.Sub(row.DueAt)
		t.Logf("%s %d arrived %s after its due time", row.Kind, row.ID, late)
		require.GreaterOrEqual(t, late, time.Duration(0))
		latest = max(latest, late)
	}
	require.Equal(t, 1, threads)
	return latest
}
