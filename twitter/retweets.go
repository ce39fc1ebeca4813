package twitter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Retweeted is X's answer to a retweet or to its undoing.
type Retweeted struct {
	// Retweeted is whether the user has retweeted the tweet now.
	Retweeted bool
	// ID is the retweet's own, a tweet of the user; "" if X did not tell it.
	ID     string
	Answer Answer
}

// Retweet retweets a tweet: POST /2/users/{id}/retweets. UserID is the user that the client signs
// for. A result means that X answered whether the tweet is retweeted now; of one that was before, X
// answers an error of [KindAlreadyRetweeted]. X documents it as users/repost-post.
func (c *Client) Retweet(ctx context.Context, userID, tweetID string) (*Retweeted, error) {
	r := call{
		op: "retweet " + tweetID, method: http.MethodPost, path: []string{"2", "users", userID, "retweets"},
		body: RetweetBody(tweetID), collection: true,
	}
	if err := r.checkIDs("retweet", userID, tweetID); err != nil {
		return nil, err
	}
	return c.retweet(ctx, r)
}

// RetweetBody is the exact body that [Client.Retweet] sends for a tweet.
func RetweetBody(tweetID string) []byte { return []byte(`{"tweet_id":"` + tweetID + `"}`) }

// UndoRetweet takes a retweet back: DELETE /2/users/{id}/retweets/{source_tweet_id}. TweetID is that
// of the tweet which was retweeted. Repeating it does no harm. X documents it as
// users/unrepost-post.
func (c *Client) UndoRetweet(ctx context.Context, userID, tweetID string) (*Retweeted, error) {
	r := call{
		op: "undo retweet " + tweetID, method: http.MethodDelete,
		path: []string{"2", "users", userID, "retweets", tweetID},
	}
	if err := r.checkIDs("undo retweet", userID, tweetID); err != nil {
		return nil, err
	}
	return c.retweet(ctx, r)
}

func (c *Client) retweet(ctx context.Context, r call) (*Retweeted, error) {
	var data struct {
		Retweeted *bool           `json:"retweeted"`
		RestID    json.RawMessage `json:"rest_id"` // since 2026-08
		ID        json.RawMessage `json:"id"`      // before
	}
	answer, err := c.do(ctx, r, func(a Answer) error {
		if r.method == http.MethodDelete && a.StatusCode == http.StatusNoContent { // see DeleteTweet
			data.Retweeted = new(false)
			return nil
		}
		if err := decodeData(a, &data); err != nil {
			return err
		}
		if data.Retweeted == nil {
			return errors.New("the answer has no data.retweeted")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Retweeted{Retweeted: *data.Retweeted, ID: firstID(data.RestID, data.ID), Answer: answer}, nil
}

// firstID returns the first of the values that is an id. X may leave it out: what it says of the
// retweet counts without it.
func firstID(values ...json.RawMessage) string {
	for _, value := range values {
		var id string
		if json.Unmarshal(value, &id) == nil && checkID(id) == nil {
			return id
		}
	}
	return ""
}

// checkIDs checks the ids of a call on a user and a tweet, which become part of path and body.
func (r call) checkIDs(op, userID, tweetID string) error {
	if err := checkID(userID); err != nil {
		r.op = op
		return r.unsendable(fmt.Errorf("user id %q: %w", clean(userID, maxWord), err))
	}
	if err := checkID(tweetID); err != nil {
		r.op = fmt.Sprintf("%s %q", op, clean(tweetID, maxWord))
		return r.unsendable(err)
	}
	return nil
}
