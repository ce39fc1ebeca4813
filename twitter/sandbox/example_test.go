package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/dghubble/oauth1"

	"tweetqueue/twitter/sandbox"
)

// A local X with one app and one user, and a client that signs for them.
func ExampleServer() {
	x, err := sandbox.New(sandbox.Config{})
	if err != nil {
		panic(err)
	}
	if err := x.Start(""); err != nil {
		panic(err)
	}
	defer x.Close()
	app, _ := x.AddApp(sandbox.App{Name: "example"})
	_, _ = x.AddUser(sandbox.User{Username: "acme"})
	creds, _ := x.Authorize(app.Key, "acme")
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: transport})
	client := oauth1.NewConfig(creds.APIKey, creds.APISecret).
		Client(ctx, oauth1.NewToken(creds.AccessToken, creds.AccessTokenSecret))
	post := func(text string) {
		res, err := client.Post(x.URL()+"/2/tweets", "application/json", strings.NewReader(`{"text":"`+text+`"}`))
		if err != nil {
			fmt.Println("no answer:", strings.TrimPrefix(err.Error(), fmt.Sprintf("Post %q: ", x.URL()+"/2/tweets")))
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		fmt.Println(res.StatusCode, "with", res.Header.Get("x-rate-limit-remaining"), "left")
		if res.StatusCode != http.StatusCreated {
			fmt.Println(string(body))
		}
	}

	post("Hello world!")
	post("Hello world!")

	// The second post from now on is cut off, after it was made.
	if _, err := x.Fault(sandbox.Fault{Kind: sandbox.KindDropAfter, Skip: 1, Times: 1}); err != nil {
		panic(err)
	}
	post("One")
	post("Two")
	for _, t := range x.Tweets() {
		fmt.Println(t.Username, "said", t.Text)
	}
	// Output:
	// 201 with 199 left
	// 403 with 198 left
	// {"detail":"You are not allowed to create a Tweet with duplicate content.","type":"about:blank","title":"Forbidden","status":403}
	// 201 with 197 left
	// no answer: EOF
	// acme said Hello world!
	// acme said One
	// acme said Two
}
