package twitter_test

import (
	"fmt"

	"tweetqueue/twitter"
)

func ExampleParseTweet() {
	p := twitter.ParseTweet("Doors open 👨‍👩‍👧‍👦 (tickets: example.com/summer-tour?ref=x)")
	fmt.Println(p.WeightedLength, p.Valid(twitter.TextLimit), p.Permillage(twitter.TextLimit))
	for _, url := range p.URLs {
		fmt.Println(p.Text[url.Start:url.End])
	}
	// Output:
	// 48 true 171
	// example.com/summer-tour?ref=x
}

func ExampleParsedTweet_Problem() {
	p := twitter.ParseTweet("\ufeffDoors open")
	fmt.Printf("%q %U\n", p.Problem(twitter.TextLimit), p.Invalid)
	// Output: "invalid character" U+FEFF
}
