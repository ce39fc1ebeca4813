package twitter

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// User is the X user that a client signs for.
type User struct {
	ID       string
	Username string // without @
	Name     string
	// SubscriptionType is None, Basic, Premium or PremiumPlus: with a subscription, tweets may be
	// longer. "" unless asked for, as VerifiedType is.
	SubscriptionType string
	VerifiedType     string
	Answer           Answer
}

// Me tells whose credentials these are: GET /2/users/me. It works without credits, so it does not
// show that posting works. Fields are X's user.fields beyond the id and the names, of which this
// package knows "subscription_type" and "verified_type". X documents it as users/get-my-user.
func (c *Client) Me(ctx context.Context, fields ...string) (*User, error) {
	r := call{op: "get user me", method: http.MethodGet, path: []string{"2", "users", "me"}, collection: true}
	if len(fields) > 0 {
		r.query = url.Values{"user.fields": {strings.Join(fields, ",")}}
	}
	var data struct {
		ID               string `json:"id"`
		Username         string `json:"username"`
		Name             string `json:"name"`
		SubscriptionType string `json:"subscription_type"`
		VerifiedType     string `json:"verified_type"`
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
	return &User{
		ID: data.ID, Username: data.Username, Name: data.Name,
		SubscriptionType: data.SubscriptionType, VerifiedType: data.VerifiedType, Answer: answer,
	}, nil
}
