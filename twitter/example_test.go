package twitter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"tweetqueue/twitter"
)

// serve stands in for X: it answers every request alike.
func serve(status int, body string) (*twitter.Client, func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	shared := twitter.NewHTTPClient()
	client, err := twitter.NewClient(twitter.Config{BaseURL: server.URL, HTTPClient: shared}, twitter.OAuth1{
		APIKey: "key", APISecret: "secret", AccessToken: "token", AccessTokenSecret: "token-secret",
	})
	if err != nil {
		panic(err)
	}
	return client, func() { shared.CloseIdleConnections(); server.Close() }
}

func ExampleNewClient() {
	shared := twitter.NewHTTPClient() // one for all accounts
	_, err := twitter.NewClient(twitter.Config{BaseURL: "api.x.com", HTTPClient: shared}, twitter.OAuth1{
		APIKey: "key", APISecret: "secret", AccessToken: "token",
	})
	fmt.Println(err)
	// Output:
	// new X client: BaseURL "api.x.com": want https://host, with or without a path
	// OAuth1.AccessTokenSecret is empty
}

func ExampleClient_CreateTweet() {
	client, done := serve(http.StatusCreated, `{"data":{"id":"1445880548472328192","text":"Doors open"}}`)
	defer done()

	body, err := twitter.TweetRequest{Text: "Doors open"}.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	tweet, err := client.CreateTweet(context.Background(), body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tweet.ID, tweet.Text)
	// Output: 1445880548472328192 Doors open
}

func ExampleClient_DeleteTweet() {
	client, done := serve(http.StatusOK, `{"data":{"deleted":true}}`)
	defer done()

	deleted, err := client.DeleteTweet(context.Background(), "1445880548472328192")
	fmt.Println(deleted.Deleted, err)
	// Output: true <nil>
}

func ExampleClient_Me() {
	client, done := serve(http.StatusOK, `{"data":{"id":"2244994945","name":"Acme Ltd","username":"acme"}}`)
	defer done()

	user, err := client.Me(context.Background())
	fmt.Println(user.Username, user.ID, err)
	// Output: acme 2244994945 <nil>
}

func ExampleClient_Tweet() {
	client, done := serve(http.StatusOK, `{"errors":[{"detail":"Could not find tweet with id: [7].",`+
		`"title":"Not Found Error","type":"https://api.twitter.com/2/problems/resource-not-found"}]}`)
	defer done()

	_, err := client.Tweet(context.Background(), "7")
	fmt.Println(err)
	// Output: get tweet 7: not found (200): Could not find tweet with id: [7].
}

func ExampleError() {
	client, done := serve(http.StatusForbidden, `{"title":"Forbidden","status":403,"type":"about:blank",`+
		`"detail":"You are not allowed to create a Tweet with duplicate content."}`)
	defer done()

	_, err := client.CreateTweet(context.Background(), []byte(`{"text":"Doors open"}`))
	if e, ok := errors.AsType[*twitter.Error](err); ok {
		fmt.Println(e.Kind, e.Answer.StatusCode)
	}
	fmt.Println(err)
	// Output:
	// duplicate 403
	// create tweet: duplicate (403): You are not allowed to create a Tweet with duplicate content.
}

func ExampleWithRequestCheck() {
	client, done := serve(http.StatusCreated, `{"data":{"id":"1","text":"Doors open"}}`)
	defer done()

	ctx := twitter.WithRequestCheck(context.Background(), func() error {
		return errors.New("the lease is 9s old")
	})
	_, err := client.CreateTweet(ctx, []byte(`{"text":"Doors open"}`))
	fmt.Println(err)
	// Output: create tweet: never sent: the lease is 9s old
}

func ExampleNewOAuth2() {
	x := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2/oauth2/token" {
			_, _ = io.WriteString(w, `{"token_type":"bearer","expires_in":7200,"access_token":"new","refresh_token":"next"}`)
			return
		}
		fmt.Println(r.Method, r.URL.Path, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"data":{"id":"2244994945","name":"Acme Ltd","username":"acme"}}`)
	}))
	defer x.Close()
	shared := twitter.NewHTTPClient()
	defer shared.CloseIdleConnections()
	config := twitter.Config{BaseURL: x.URL, HTTPClient: shared}
	auth, err := twitter.NewOAuth2(config, twitter.OAuth2Config{
		ClientID: "client-id", ClientSecret: "client-secret",
		Token: twitter.OAuth2Token{AccessToken: "old", RefreshToken: "used-once", Expiry: time.Now()},
		Save: func(_ context.Context, fresh twitter.OAuth2Token) error {
			fmt.Println("save", fresh.AccessToken, fresh.RefreshToken)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := twitter.NewClient(config, auth)
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := client.Me(context.Background())
	fmt.Println(user.Username, err)
	// Output:
	// save new next
	// GET /2/users/me Bearer new
	// acme <nil>
}

func ExampleClient_UserTweets() {
	client, done := serve(http.StatusOK, `{"data":[{"id":"1445880548472328192","text":"Doors open","attachments":{"media_keys":["3_7"]}}],`+
		`"meta":{"result_count":1,"newest_id":"1445880548472328192","oldest_id":"1445880548472328192"}}`)
	defer done()

	query := twitter.UserTweetsQuery{MaxResults: 100, StartTime: time.Now().Add(-time.Hour)}
	for {
		page, err := client.UserTweets(context.Background(), "2244994945", query)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, tweet := range page.Tweets {
			fmt.Println(tweet.ID, tweet.Text, tweet.MediaKeys)
		}
		if query.PaginationToken = page.NextToken; query.PaginationToken == "" {
			return
		}
	}
	// Output: 1445880548472328192 Doors open [3_7]
}

func ExampleClient_Tweets() {
	client, done := serve(http.StatusOK, `{"data":[{"id":"7","text":"Doors open"}],"errors":[{"resource_id":"8","parameter":"ids",`+
		`"detail":"Could not find tweet with ids: [8].","title":"Not Found Error","type":"https://api.x.com/2/problems/resource-not-found"}]}`)
	defer done()

	found, err := client.Tweets(context.Background(), []string{"7", "8"})
	fmt.Println(found.Tweets[0].Text, found.Errors[0].ResourceID, found.Errors[0].Kind, err)
	// Output: Doors open 8 not_found <nil>
}

func ExampleClient_Retweet() {
	client, done := serve(http.StatusOK, `{"data":{"rest_id":"1445880548472328199","retweeted":true}}`)
	defer done()

	retweeted, err := client.Retweet(context.Background(), "2244994945", "1445880548472328192")
	fmt.Println(retweeted.Retweeted, retweeted.ID, err)
	// Output: true 1445880548472328199 <nil>
}

func ExampleAnswer_ClockOffset() {
	received := time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC)
	answer := twitter.Answer{Date: received.Add(42 * time.Second), Received: received, RoundTrip: 200 * time.Millisecond}
	offset, margin, known := answer.ClockOffset()
	fmt.Println(offset, margin, known)
	// Output: 42.6s 600ms true
}

func ExampleAnswer_RetryAfter() {
	date := time.Date(2026, 3, 27, 10, 0, 0, 0, time.UTC)
	answer := twitter.Answer{StatusCode: http.StatusTooManyRequests, Date: date, Limits: twitter.Limits{
		Endpoint:   &twitter.Window{Limit: 100, Remaining: 83, Reset: date.Add(9 * time.Minute)},
		User24Hour: &twitter.Window{Limit: 17, Remaining: 0, Reset: date.Add(20 * time.Hour)},
	}}
	fmt.Println(answer.RetryAfter(time.Now()))
	// Output: 20h0m0s
}

func ExampleTweetRequest_Encode() {
	body, err := twitter.TweetRequest{
		Text:  "Fish & chips",
		Reply: &twitter.Reply{InReplyToTweetID: "1445880548472328192"},
		Extra: map[string]json.RawMessage{"nullcast": json.RawMessage("true")},
	}.Encode()
	fmt.Println(string(body), err)
	// Output: {"nullcast":true,"reply":{"in_reply_to_tweet_id":"1445880548472328192"},"text":"Fish & chips"} <nil>
}

func ExampleKinds() {
	fmt.Println(len(twitter.Kinds()), twitter.Kinds()[0])
	// Output: 34 never_sent
}
