package twitter

import (
	"context"
	"errors"
	"net/http"
)

// User is the X user that a client signs for.
type User struct {
	ID       string
	Username string // without @
	Name     string
	Answer   Answer
}

// Me tells whose credentials these are: GET /2/users/me. It works without credits, so it does not
// show that posting works. X documents it as users/get-my-user.
func (c *Client) Me(ctx context.Context) (*User, error) {
	r := call{op: "get user me", method: http.MethodGet, path: []string{"2", "users", "me"}}
	var data struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
	}
	answer, err := c.do(ctx, r, func(a Answer) error {
		if err := decodeData(a, &data); err != nil {
			return err
		}
		if data.Username == "" {
			return errors.New("the answer has no data.username")
		}
		return checkID(data.ID)
	})
	if err != nil {
		return nil, err
	}
	return &User{ID: data.ID, Username: data.Username, Name: data.Name, Answer: answer}, nil
}
