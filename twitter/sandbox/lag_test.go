package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tweetqueue/twitter/sandbox"
)

// visible tells whether each of the reads shows the tweet; they must agree.
func (b *testBundle) visible(id string) bool {
	b.t.Helper()
	one := b.do(b.acme, "GET", "/2/tweets/"+id, "").json(b.t)["data"] != nil
	many := b.do(b.acme, "GET", "/2/tweets?ids="+id, "").json(b.t)["data"] != nil
	ids, _ := b.timeline(b.acme, "?max_results=100")
	found := false
	for _, other := range ids {
		found = found || other == id
	}
	require.Equal(b.t, one, many)
	require.Equal(b.t, one, found)
	return one
}

func TestReadLag(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now, Limits: []sandbox.Limit{}, ReadLag: sandbox.ReadLag{Min: time.Minute}})
	id := b.mustPost(b.acme, "x")
	require.False(t, b.visible(id))
	clock.Advance(time.Minute - time.Millisecond)
	require.False(t, b.visible(id))
	require.Contains(t, b.post(b.acme, "x").body, "duplicate", "X itself knows")
	reply := b.do(b.acme, "POST", "/2/tweets", `{"text":"y","reply":{"in_reply_to_tweet_id":"`+id+`"}}`)
	require.Equal(t, http.StatusCreated, reply.status)
	rest, _ := b.retweet(b.acme, id).data(t)["rest_id"].(string)
	clock.Advance(time.Millisecond)
	require.True(t, b.visible(id))
	require.False(t, b.visible(rest))
	clock.Advance(time.Minute)
	require.True(t, b.visible(rest))

	require.Equal(t, `{"data":{"deleted":true}}`, b.do(b.acme, "DELETE", "/2/tweets/"+id, "").body)
	require.Equal(t, http.StatusNotFound, b.do(b.acme, "DELETE", "/2/tweets/"+id, "").status)
	require.True(t, b.visible(id), "deleted, and still to be read")
	require.True(t, b.visible(rest))
	clock.Advance(time.Minute - time.Millisecond)
	require.True(t, b.visible(id))
	clock.Advance(time.Millisecond)
	require.False(t, b.visible(id))
	require.False(t, b.visible(rest))
}

// TestReadLagIsDrawn: each tweet has a lag of its own between the bounds, and the seed repeats it.
func TestReadLagIsDrawn(t *testing.T) {
	t.Parallel()
	appearance := func(seed uint64) []int {
		clock := newTestClock()
		b := setup(t, sandbox.Config{
			Now: clock.Now, Limits: []sandbox.Limit{}, Seed: seed, ReadLag: sandbox.ReadLag{Min: 10 * time.Second, Max: 60 * time.Second},
		})
		ids := make([]string, 20)
		for i := range ids {
			ids[i] = b.mustPost(b.acme, string(rune('a'+i)))
		}
		seen := make([]int, len(ids)) // seconds
		for second := 1; second <= 60; second++ {
			clock.Advance(time.Second)
			now, _ := b.timeline(b.acme, "?max_results=100")
			for i, id := range ids {
				for _, shown := range now {
					if shown == id && seen[i] == 0 {
						seen[i] = second
					}
				}
			}
		}
		return seen
	}
	first := appearance(1)
	different := map[int]bool{}
	for _, second := range first {
		require.GreaterOrEqual(t, second, 10)
		require.LessOrEqual(t, second, 60)
		different[second] = true
	}
	require.Greater(t, len(different), 5)
	require.Equal(t, first, appearance(1))
	require.NotEqual(t, first, appearance(2))
}

func TestSetReadLag(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	id := b.mustPost(b.acme, "x")
	require.True(t, b.visible(id))
	require.NoError(t, b.server.SetReadLag(sandbox.ReadLag{Min: time.Hour}))
	require.False(t, b.visible(id))
	require.ErrorContains(t, b.server.SetReadLag(sandbox.ReadLag{Min: 2, Max: 1}), "a maximum not below the minimum")
	require.False(t, b.visible(id))
	require.NoError(t, b.server.SetReadLag(sandbox.ReadLag{}))
	require.True(t, b.visible(id))
}

func TestReadSwitchesRefused(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]sandbox.Config{
		`missing tweet "no"`:  {MissingTweet: "no"},
		`problem host "x"`:    {ProblemHost: "x"},
		`self serve "on"`:     {SelfServe: "on"},
		"read lag -1s to 0s":  {ReadLag: sandbox.ReadLag{Min: -time.Second}},
		"read lag 0s to -1ns": {ReadLag: sandbox.ReadLag{Max: -1}},
		"read lag 2ns to 1ns": {ReadLag: sandbox.ReadLag{Min: 2, Max: 1}},
	} {
		_, err := sandbox.New(cfg)
		require.ErrorContains(t, err, want)
	}
}

// TestReadsBesideWrites: 64 clients post, read, retweet and delete at once, while the lag changes.
// Afterwards each has one tweet that stands and one retweet that was undone.
func TestReadsBesideWrites(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Limits: []sandbox.Limit{}})
	users := make([]account, 64)
	for i := range users {
		users[i] = b.user("user" + string(rune('A'+i/26)) + string(rune('A'+i%26)))
	}
	post := func(u account, text string) (string, error) {
		got, err := b.send(b.request(u, "POST", "/2/tweets", textBody(text)))
		if err != nil || got.status != http.StatusCreated {
			return "", fmt.Errorf("post as %s: %d %w", u.Username, got.status, err)
		}
		var v struct{ Data struct{ ID string } }
		err = json.Unmarshal([]byte(got.body), &v)
		return v.Data.ID, err
	}
	var group errgroup.Group
	for _, u := range users {
		group.Go(func() error {
			stays, err := post(u, "stays: https://example.com/")
			goes, err2 := post(u, "goes")
			if err = errors.Join(err, err2); err != nil {
				return err
			}
			retweets := "/2/users/" + u.ID + "/retweets"
			for _, r := range []*http.Request{
				b.request(u, "POST", retweets, `{"tweet_id":"`+stays+`"}`),
				b.request(u, "GET", "/2/users/"+u.ID+"/tweets?expansions=referenced_tweets.id,author_id", ""),
				b.request(u, "GET", "/2/tweets?ids="+stays+","+goes, ""),
				b.request(u, "DELETE", retweets+"/"+stays, ""),
				b.request(u, "DELETE", "/2/tweets/"+goes, ""),
			} {
				if got, err := b.send(r); err != nil || got.status != http.StatusOK {
					return fmt.Errorf("%s %s: %d %w", r.Method, r.URL.Path, got.status, err)
				}
			}
			return b.server.SetReadLag(sandbox.ReadLag{Max: time.Millisecond})
		})
	}
	require.NoError(t, group.Wait())
	standing := map[string]int{}
	for _, tweet := range b.server.Tweets() {
		if tweet.DeletedAt.IsZero() {
			standing[tweet.AuthorID]++
		}
	}
	require.Len(t, standing, 64)
	require.Len(t, b.server.Tweets(), 128)
	require.Len(t, b.server.Retweets(), 64)
	for _, r := range b.server.Retweets() {
		require.False(t, r.UndoneAt.IsZero())
	}
}
