package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// entered is what `enqueue --json` says of a row. What only `show` says is empty elsewhere.
type entered struct {
	ID         int64     `json:"id"`
	DueAt      time.Time `json:"due_at"`
	Status     string    `json:"status"`
	WaitingFor string    `json:"waiting_for"`
	TweetID    string    `json:"tweet_id"`
	Error      string    `json:"error"`
	Requests   []struct {
		GrantedAt  time.Time       `json:"granted_at"`
		Outcome    string          `json:"outcome"`
		StatusCode int             `json:"status_code"`
		Answer     string          `json:"answer"`
		Limits     json.RawMessage `json:"limits"`
	} `json:"requests"`
}

// enqueue runs the command line of a person, as JSON, and reads its answer into result.
func enqueue(t *testing.T, s settings, stdin string, result any, args ...string) {
	t.Helper()
	cmd := exec.Command(binary(t, "enqueue"), append([]string{"--json"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	p := startCommand(t, cmd, s)
	require.Zero(t, p.wait(t), "%s", p.record)
	if result != nil {
		require.NoError(t, json.Unmarshal([]byte(p.stdout.String()), result), "%s", p.stdout)
	}
}

// tweet enqueues a tweet of account acme as a person does, due now or as the flags say, and returns
// its row.
func (b *bundle) tweet(t *testing.T, text string, flags ...string) int64 {
	t.Helper()
	var row entered
	enqueue(t, b.settings, text, &row, append([]string{"tweet", "--account", "acme"}, flags...)...)
	return row.ID
}

// show reads a row as a person does.
func (b *bundle) show(t *testing.T, id int64) entered {
	t.Helper()
	var row entered
	enqueue(t, b.settings, "", &row, "show", strconv.FormatInt(id, 10))
	require.Equal(t, id, row.ID)
	return row
}

// TestBothPrograms takes an account from nothing to its first tweets, as the README does, on a database
// of one's own and on the private one.
func TestBothPrograms(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) settings{
		"DatabaseURL": func(t *testing.T) settings {
			t.Helper()
			return settings{"DATABASE_URL": storetest.URL(t), "TWEETQUEUE_KEY": string(store.NewKey())}
		},
		"Private": func(t *testing.T) settings {
			t.Helper()
			return settings{"TWEETQUEUE_STATE_DIR": stateDir(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bundle{}
			b.newX(t, sandbox.Config{})
			require.NoError(t, b.x.Start(""))
			old, err := b.x.AddTweet(sandbox.Tweet{Username: "acme", Text: "old"})
			require.NoError(t, err)
			s := where(t).with("X_API_BASE_URL", b.x.URL())
			enqueue(t, s.with("X_API_KEY", b.tokens.APIKey, "X_API_SECRET", b.tokens.APISecret),
				b.tokens.AccessToken+"\n"+b.tokens.AccessTokenSecret+"\n", nil, "account", "add", "Acme", "--zone", "Europe/Vienna")

			w := startProcess(t, "worker", s)
			w.awaitText(t, "starting")
			var first, second, local, distant, deletion, row entered
			enqueue(t, s, "", &first, "tweet", "--account", "acme", "Hello from tweetqueue")
			enqueue(t, s, "From standard input\n", &second, "tweet", "--account", "acme", "--previous", fmt.Sprint(first.ID))
			enqueue(t, s, "", &local, "tweet", "--account", "acme", "--at", "2099-12-01 09:00", "Doors open")
			enqueue(t, s, "", &distant, "tweet", "--account", "acme", "--at", "2099-12-01 09:00", "--zone", "America/New_York", "Doors open")
			enqueue(t, s, "", &deletion, "delete", "--account", "acme", old.ID)
			require.Equal(t, "2099-12-01T08:00:00Z", local.DueAt.UTC().Format(time.RFC3339))
			require.Equal(t, "2099-12-01T14:00:00Z", distant.DueAt.UTC().Format(time.RFC3339))
			for _, id := range []int64{first.ID, second.ID, deletion.ID} {
				w.awaitEvent(t, id, "done")
			}
			enqueue(t, s, "", nil, "cancel", fmt.Sprint(local.ID), fmt.Sprint(distant.ID))

			tweets := b.x.Tweets()
			require.Len(t, tweets, 3)
			require.False(t, tweets[0].DeletedAt.IsZero())
			require.Equal(t, "Hello from tweetqueue", tweets[1].Text)
			require.Equal(t, "From standard input", tweets[2].Text)
			require.Equal(t, tweets[1].ID, tweets[2].InReplyTo)
			enqueue(t, s, "", &row, "show", fmt.Sprint(second.ID))
			require.Equal(t, "posted", row.Status)
			require.Equal(t, tweets[2].ID, row.TweetID)
			require.Len(t, row.Requests, 1)
			require.Equal(t, 201, row.Requests[0].StatusCode)
			var waiting []entered
			enqueue(t, s, "", &waiting, "list")
			require.Empty(t, waiting)
		})
	}
}
