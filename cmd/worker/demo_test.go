package main

// What the demo shows is read here as a stranger reads it: from its output alone. This file imports
// nothing of the packages that do the work, and names nothing of theirs.

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// report is what `worker demo --json` prints.
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

func readReport(t *testing.T, output string) report {
	t.Helper()
	var r report
	decoder := json.NewDecoder(strings.NewReader(output))
	require.NoError(t, decoder.Decode(&r), "%s", output)
	require.False(t, decoder.More())
	return r
}

// TestDemo runs it twice in a row. The second run shows it to people, who redirect it into a file.
func TestDemo(t *testing.T) {
	t.Parallel()
	holdQuiet(t)
	first := startProcess(t, "worker", nil, "demo", "--exit", "--json")
	require.Zero(t, first.wait(t))
	requireDemo(t, readReport(t, first.stdout.String()))
	require.Empty(t, first.String())

	second := startProcess(t, "worker", nil, "demo")
	require.Zero(t, second.wait(t))
	requireShown(t, second.stdout.String())
	require.Empty(t, second.String())
}

// requireDemo checks the sandbox's record against the rows: five tweets, one of them a reply to the
// one before it, the old one gone, each in its second.
func requireDemo(t *testing.T, r report) {
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
	threads := 0
	for i, row := range r.Rows {
		method := "POST"
		if row.Kind == "delete_tweet" {
			method = "DELETE"
			require.Equal(t, "deleted", row.Status)
			require.Equal(t, old.ID, row.TweetID)
		} else {
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
		late := arrived[method+" "+row.TweetID].Sub(row.DueAt)
		t.Logf("%s %d arrived %s after its due time", row.Kind, row.ID, late)
		require.GreaterOrEqual(t, late, time.Duration(0))
		require.LessOrEqual(t, late, time.Second)
	}
	require.Equal(t, 1, threads)
}

// requireShown checks the lines for people: what is to come, each event, and a summary.
func requireShown(t *testing.T, output string) {
	t.Helper()
	count := func(pattern string) int { return len(regexp.MustCompile(`(?m)`+pattern).FindAllString(output, -1)) }
	const clock = `\d\d:\d\d:\d\d\.\d\d\d`
	require.Equal(t, 6, count(`^enqueued +(tweet|deletion) \d +due `+clock+`  \S`), "%s", output)
	require.Equal(t, 6, count(`^`+clock+` +(tweet|deletion) \d +due$`), "%s", output)
	require.Equal(t, 5, count(`^`+clock+` +tweet \d +posted, tweet id \d{19}, \d+ms after its due time$`), "%s", output)
	require.Equal(t, 1, count(`^`+clock+` +deletion \d +deleted, tweet id \d{19}, \d+ms after its due time$`), "%s", output)
	require.Equal(t, 1, count(`^5 tweets posted, 1 deleted, 0 not done; .*median \d+ms, longest \d+ms$`), "%s", output)
}

// TestDemoWithAFault exits with 1 and names the row that was not done; the others are. An ordinary
// user runs it.
func TestDemoWithAFault(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary(t, "worker"), "demo", "--exit", "--json", "--fault=duplicate")
	ordinaryUser(t, cmd)
	p := startCommand(t, cmd, nil)
	require.Equal(t, 1, p.wait(t))
	r := readReport(t, p.stdout.String())
	for _, row := range r.Rows {
		if row.ID == 2 {
			require.Equal(t, "failed", row.Status)
			require.Contains(t, row.Error, "duplicate content")
			require.Equal(t, "worker: not everything was done: tweet 2 is failed: "+row.Error+"\n", p.String())
		} else {
			require.Contains(t, []string{"posted", "deleted"}, row.Status)
		}
	}
	require.Len(t, r.Sandbox.Tweets, 5) // the old one among them
}

func TestDemoWithAnUnknownFault(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "worker", nil, "demo", "--exit", "--fault=gremlins")
	require.Equal(t, 2, p.wait(t))
	require.Contains(t, p.String(), "duplicate, ")
	require.Empty(t, p.stdout.String())
}
