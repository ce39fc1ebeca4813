package twitter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxLookup  = 100 // ids of one GET /2/tweets
	minResults = 5   // of one page
	maxResults = 100
)

// FoundTweet is one tweet that was asked for.
type FoundTweet struct {
	Tweet

	Includes Includes
	Errors   []PartialError
	Answer   Answer
}

// FoundTweets are the tweets that were found of those asked for, in X's order. Of those missing,
// Errors tells why; one that is in neither is not known to be missing.
type FoundTweets struct {
	Tweets   []Tweet
	Includes Includes
	Errors   []PartialError
	Answer   Answer
}

// UserTweetsQuery chooses among the tweets of a user. The zero value asks for the latest ones.
type UserTweetsQuery struct {
	// SinceID and UntilID bound the ids, both without the bound itself.
	SinceID, UntilID string
	// StartTime and EndTime bound the time of creation: from StartTime on, and before EndTime. They
	// are sent in whole seconds, which widens the interval by less than one at each end.
	StartTime, EndTime time.Time
	// MaxResults is how many tweets a page has at most, 5 to 100; 0 leaves it to X, which takes 10.
	MaxResults int
	// PaginationToken is TweetPage.NextToken of the page before.
	PaginationToken string
}

// TweetPage is one page of a user's tweets, the latest first.
type TweetPage struct {
	Tweets   []Tweet
	Includes Includes
	Errors   []PartialError
	// NextToken asks for the page after this one; "" if this is the last. A page may be empty and
	// not be the last.
	NextToken string
	// NewestID and OldestID are those of the page, "" if it is empty.
	NewestID, OldestID string
	Answer             Answer
}

// Tweet reads one tweet: GET /2/tweets/{id}. A tweet that is missing is [KindNotFound], whether X
// answers 404 or 200 with an error list; one that this account may not see is [KindForbidden].
// X documents it as posts/get-post-by-id.
func (c *Client) Tweet(ctx context.Context, id string) (*FoundTweet, error) {
	r, err := callByID("get tweet", http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	r.query = tweetFields()
	var body tweetsJSON[tweetJSON]
	answer, err := c.do(ctx, r, func(a Answer) error {
		if err := parseTweets(a, &body); err != nil {
			return err
		}
		if body.Data == nil {
			return errNoData
		}
		return checkID(body.Data.ID)
	})
	if err != nil {
		return nil, err
	}
	return &FoundTweet{
		Tweet: body.Data.tweet(), Includes: body.Includes.includes(), Errors: r.partialErrors(body.Errors), Answer: answer,
	}, nil
}

// Tweets reads up to 100 tweets: GET /2/tweets?ids=. That some or all of them are missing is no
// error: see [FoundTweets]. X documents it as posts/get-posts-by-ids.
func (c *Client) Tweets(ctx context.Context, ids []string) (*FoundTweets, error) {
	r := call{
		op: fmt.Sprintf("get %d tweets", len(ids)), method: http.MethodGet, path: []string{"2", "tweets"},
		collection: true, limit: MaxListBody,
	}
	if len(ids) == 0 || len(ids) > maxLookup {
		return nil, r.unsendable(fmt.Errorf("want 1 to %d ids", maxLookup))
	}
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return nil, r.unsendable(fmt.Errorf("id %q: %w", clean(id, maxWord), err))
		}
	}
	r.query = tweetFields()
	r.query.Set("ids", strings.Join(ids, ","))
	var found FoundTweets
	answer, err := c.do(ctx, r, func(a Answer) error { return found.decode(r, a, ids) })
	if err != nil {
		return nil, err
	}
	found.Answer = answer
	return &found, nil
}

// decode takes the list from an answer. One without data is a result only if its errors are about
// tweets that were asked for.
func (f *FoundTweets) decode(r call, a Answer, ids []string) error {
	var body tweetsJSON[[]tweetJSON]
	if err := parseTweets(a, &body); err != nil {
		return err
	}
	tweets, err := tweetsOf(body.Data)
	if err != nil {
		return err
	}
	f.Tweets, f.Includes, f.Errors = tweets, body.Includes.includes(), r.partialErrors(body.Errors)
	if body.Data == nil && !slices.ContainsFunc(f.Errors, func(e PartialError) bool { return slices.Contains(ids, e.ResourceID) }) {
		return errNoData
	}
	return nil
}

// UserTweets reads one page of what a user has tweeted and retweeted: GET /2/users/{id}/tweets. X
// shows the last 3200 tweets, with a lag that it does not state. For all pages, ask again with
// [TweetPage.NextToken] until it is "". X documents it as users/get-posts.
func (c *Client) UserTweets(ctx context.Context, userID string, query UserTweetsQuery) (*TweetPage, error) {
	r := call{
		op: "get tweets of user " + userID, method: http.MethodGet, path: []string{"2", "users", userID, "tweets"},
		collection: true, limit: MaxListBody,
	}
	if err := checkID(userID); err != nil {
		r.op = fmt.Sprintf("get tweets of user %q", clean(userID, maxWord))
		return nil, r.unsendable(err)
	}
	values, err := query.values()
	if err != nil {
		return nil, r.unsendable(err)
	}
	r.query = values
	var page TweetPage
	answer, err := c.do(ctx, r, func(a Answer) error { return page.decode(r, a) })
	if err != nil {
		return nil, err
	}
	page.Answer = answer
	return &page, nil
}

func (q UserTweetsQuery) values() (url.Values, error) {
	values := tweetFields()
	var errs []error
	for name, id := range map[string]string{"since_id": q.SinceID, "until_id": q.UntilID} {
		if id == "" {
			continue
		}
		if err := checkID(id); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", name, clean(id, maxWord), err))
		}
		values.Set(name, id)
	}
	if !q.StartTime.IsZero() {
		values.Set("start_time", q.StartTime.UTC().Format(time.RFC3339))
	}
	if !q.EndTime.IsZero() {
		// Rounded up: what was created in the last part of a second is within.
		values.Set("end_time", q.EndTime.Add(time.Second-time.Nanosecond).UTC().Format(time.RFC3339))
	}
	switch {
	case q.MaxResults == 0:
	case q.MaxResults < minResults, q.MaxResults > maxResults:
		errs = append(errs, fmt.Errorf("MaxResults is %d: want %d to %d", q.MaxResults, minResults, maxResults))
	default:
		values.Set("max_results", strconv.Itoa(q.MaxResults))
	}
	if q.PaginationToken != "" {
		values.Set("pagination_token", q.PaginationToken)
	}
	return values, errors.Join(errs...)
}

// decode takes a page from an answer. Without meta it cannot be told whether the page is the last,
// and without data only a count of 0 says that there is none.
func (p *TweetPage) decode(r call, a Answer) error {
	var body tweetsJSON[[]tweetJSON]
	if err := parseTweets(a, &body); err != nil {
		return err
	}
	tweets, err := tweetsOf(body.Data)
	switch {
	case err != nil:
		return err
	case body.Meta == nil || body.Meta.ResultCount == nil:
		return errors.New("the answer has no meta.result_count")
	case *body.Meta.ResultCount > len(tweets):
		return fmt.Errorf("the answer has %d tweets of %d", len(tweets), *body.Meta.ResultCount)
	}
	p.Tweets, p.Includes, p.Errors = tweets, body.Includes.includes(), r.partialErrors(body.Errors)
	p.NextToken, p.NewestID, p.OldestID = body.Meta.NextToken, body.Meta.NewestID, body.Meta.OldestID
	return nil
}
