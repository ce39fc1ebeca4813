package twitter_test

import (
	"fmt"
	"log"

	"tweetqueue/twitter"
)

// After an unclear answer, the tweets that the account has made since tell whether this one is among them.
func ExampleSent_Match() {
	sent, err := twitter.ParseSent([]byte(`{"text":"R&D news: https://example.com/a"}`))
	if err != nil {
		log.Print(err)
		return
	}
	links := []twitter.URLEntity{{URL: "https://t.co/x", ExpandedURL: "https://example.com/a"}}
	for _, text := range []string{"R&amp;D news: https://t.co/x", "r&amp;d news: https://t.co/x", "No news: https://t.co/x"} {
		tweet := twitter.Tweet{ID: "1445880548472328192", AuthorID: "1", Text: text, URLs: links}
		fmt.Println(sent.Match(tweet, twitter.Includes{}))
	}
	// Output:
	// same
	// possible
	// different
}
