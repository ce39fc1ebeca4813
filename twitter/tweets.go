package twitter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

var errNoData = errors.New("the answer has no usable data")

// CreatedTweet is X's confirmation that a tweet exists.
type CreatedTweet struct {
	ID string
	// Text is what X stored: links are t.co links, media have one at the end, and & < > are
	// escaped as in HTML. It differs from what was sent.
	Text   string
	Answer Answer
}

// DeletedTweet is X's answer to a deletion.
type DeletedTweet struct {
	// Deleted is false if X says that it deleted nothing: the tweet was gone, or is not ours.
	Deleted bool
	Answer  Answer
}

// CreateTweet posts a tweet: POST /2/tweets, with exactly these bytes, which [TweetRequest.Encode]
// makes. A result means that X confirmed the tweet's id. X documents it as posts/create-post.
func (c *Client) CreateTweet(ctx context.Context, body []byte) (*CreatedTweet, error) {
	r := call{op: "create tweet", method: http.MethodPost, path: []string{"2", "tweets"}, body: body, collection: true}
	if !json.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return nil, r.unsendable(errors.New("the body is not a JSON object"))
	}
	var data struct {
		ID   string `json:"id"`
		Text string `json:"text"`
	}
	answer, err := c.do(ctx, r, func(a Answer) error {
		// Never edit_history_tweet_ids: X sends it as [""].
		if err := decodeData(a, &data); err != nil {
			return err
		}
		return checkID(data.ID)
	})
	if err != nil {
		return nil, err
	}
	return &CreatedTweet{ID: data.ID, Text: data.Text, Answer: answer}, nil
}

// DeleteTweet deletes a tweet of this account: DELETE /2/tweets/{id}. Repeating it does no harm.
// What X answers for a tweet that is already gone is not documented: expect Deleted false,
// [KindNotFound] and [KindNotAuthor], and look with [Client.Tweet]. X documents it as
// posts/delete-post.
func (c *Client) DeleteTweet(ctx context.Context, id string) (*DeletedTweet, error) {
	r, err := callByID("delete tweet", http.MethodDelete, id)
	if err != nil {
		return nil, err
	}
	var data struct {
		Deleted *bool `json:"deleted"`
	}
	answer, err := c.do(ctx, r, func(a Answer) error {
		if a.StatusCode == http.StatusNoContent { // X's general table has it; the endpoint's page has 200
			data.Deleted = new(true)
			return nil
		}
		if err := decodeData(a, &data); err != nil {
			return err
		}
		if data.Deleted == nil {
			return errors.New("the answer has no data.deleted")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &DeletedTweet{Deleted: *data.Deleted, Answer: answer}, nil
}

// callByID is a call on one tweet. The id becomes part of the path, so it is checked before.
func callByID(op, method, id string) (call, error) {
	r := call{op: op + " " + id, method: method, path: []string{"2", "tweets", id}}
	if err := checkID(id); err != nil {
		r.op = fmt.Sprintf("%s %q", op, clean(id, maxWord))
		return r, r.unsendable(err)
	}
	return r, nil
}

// checkID accepts X's ids: ^[0-9]{1,19}$.
func checkID(id string) error {
	if id == "" || len(id) > 19 || strings.Trim(id, "0123456789") != "" {
		return errors.New("want an id of 1 to 19 digits")
	}
	return nil
}

// decodeData reads the member "data" of an answer.
func decodeData(a Answer, into any) error {
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(a.RawBody, &body) != nil {
		return errNotObject
	}
	if len(body.Data) == 0 || json.Unmarshal(body.Data, into) != nil {
		return errNoData
	}
	return nil
}
