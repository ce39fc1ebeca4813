package twitter_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// These tests bring the client and the stand-in together. They share no code, and each is tested by itself
// against what X's documents and captures say; so where they agree, both are likely to be right.

// x is a stand-in with one user, and what it takes to be its client.
type x struct {
	*sandbox.Server

	user   sandbox.User
	app    sandbox.App
	config twitter.Config
}

func newX(t *testing.T, config sandbox.Config) *x {
	t.Helper()
	config.BasePath = "/x"
	server, err := sandbox.New(config)
	require.NoError(t, err)
	require.NoError(t, server.Start(""))
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	hc := twitter.NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	s := &x{Server: server, config: twitter.Config{BaseURL: server.URL(), HTTPClient: hc}}
	s.app, err = server.AddApp(sandbox.App{Name: "tests", Confidential: true})
	require.NoError(t, err)
	s.user, err = server.AddUser(sandbox.User{Username: "acme", TextLimit: sandbox.PremiumTextLimit})
	require.NoError(t, err)
	return s
}

func (s *x) client(t *testing.T, auth twitter.Auth) *twitter.Client {
	t.Helper()
	client, err := twitter.NewClient(s.config, auth)
	require.NoError(t, err)
	return client
}

func (s *x) oauth1(t *testing.T) twitter.OAuth1 {
	t.Helper()
	c, err := s.Authorize(s.app.Key, s.user.Username)
	require.NoError(t, err)
	return twitter.OAuth1{APIKey: c.APIKey, APISecret: c.APISecret, AccessToken: c.AccessToken, AccessTokenSecret: c.AccessTokenSecret}
}

// oauth2 returns an OAuth 2.0 signer whose access token ends in a while, and what was saved of it.
func (s *x) oauth2(t *testing.T, ends time.Duration) (*twitter.OAuth2, func() []twitter.OAuth2Token) {
	t.Helper()
	token, err := s.AuthorizeOAuth2(s.app.Key, s.user.Username, "tweet.read", "tweet.write", "users.read", "offline.access")
	require.NoError(t, err)
	var mu sync.Mutex
	var saved []twitter.OAuth2Token
	auth, err := twitter.NewOAuth2(s.config, twitter.OAuth2Config{
		ClientID: token.ClientID, ClientSecret: token.ClientSecret,
		Token: twitter.OAuth2Token{AccessToken: token.AccessToken, RefreshToken: token.RefreshToken, Expiry: time.Now().Add(ends)},
		Save: func(_ context.Context, fresh twitter.OAuth2Token) error {
			mu.Lock()
			defer mu.Unlock()
			saved = append(saved, fresh)
			return nil
		},
	})
	require.NoError(t, err)
	return auth, func() []twitter.OAuth2Token {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(saved)
	}
}

func (s *x) refreshes() int {
	n := 0
	for _, r := range s.Requests() {
		if r.Route == sandbox.RouteOAuth2Token {
			n++
		}
	}
	return n
}

func post(t *testing.T, client *twitter.Client, request twitter.TweetRequest) *twitter.CreatedTweet {
	t.Helper()
	body, err := request.Encode()
	require.NoError(t, err)
	created, err := client.CreateTweet(t.Context(), body)
	require.NoError(t, err)
	return created
}

func requireKind(t *testing.T, err error, kind twitter.Kind) *twitter.Error {
	t.Helper()
	failure := new(twitter.Error)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, kind, failure.Kind, "%v", err)
	return failure
}

// TestClientAtTheSandbox makes every request of the client, signed in both ways.
func TestClientAtTheSandbox(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"OAuth1", "OAuth2"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			s := newX(t, sandbox.Config{})
			var client *twitter.Client
			if auth == "OAuth1" {
				client = s.client(t, s.oauth1(t))
			} else {
				signer, _ := s.oauth2(t, time.Hour)
				client = s.client(t, signer)
			}
			me, err := client.Me(t.Context(), "subscription_type", "verified_type")
			require.NoError(t, err)
			require.Equal(t, []string{s.user.ID, "acme", "Premium"}, []string{me.ID, me.Username, me.SubscriptionType})

			first := post(t, client, twitter.TweetRequest{Text: "R&D <news> at https://example.com/a"})
			require.Contains(t, first.Text, "R&amp;D &lt;news&gt; at https://t.co/")
			second := post(t, client, twitter.TweetRequest{
				Text: "And a poll", Reply: &twitter.Reply{InReplyToTweetID: first.ID}, Poll: &twitter.Poll{Options: []string{"yes", "no"}, DurationMinutes: 60},
				ReplySettings: "following",
			})
			long := post(t, client, twitter.TweetRequest{Text: strings.Repeat("long ", 100)})

			found, err := client.Tweet(t.Context(), first.ID)
			require.NoError(t, err)
			require.Equal(t, s.user.ID, found.AuthorID)
			require.Equal(t, "https://example.com/a", found.URLs[0].ExpandedURL)
			require.WithinDuration(t, time.Now(), found.CreatedAt, time.Minute)

			some, err := client.Tweets(t.Context(), []string{first.ID, second.ID, long.ID, "1"})
			require.NoError(t, err)
			require.Len(t, some.Tweets, 3)
			require.Len(t, some.Errors, 1)
			require.Equal(t, strings.TrimSpace(strings.Repeat("long ", 100)), strings.TrimSpace(some.Tweets[2].NoteTweet.Text))

			page, err := client.UserTweets(t.Context(), s.user.ID, twitter.UserTweetsQuery{SinceID: first.ID, MaxResults: 5})
			require.NoError(t, err)
			require.Empty(t, page.NextToken)
			require.Equal(t, []string{long.ID, second.ID}, []string{page.Tweets[0].ID, page.Tweets[1].ID})
			reply := page.Tweets[1]
			require.Equal(t, first.ID, reply.ReferencedTweets[0].ID)
			require.Equal(t, "following", reply.ReplySettings)
			require.Equal(t, []string{page.Includes.Polls[0].ID}, reply.PollIDs)

			retweeted, err := client.Retweet(t.Context(), s.user.ID, first.ID)
			require.NoError(t, err)
			require.True(t, retweeted.Retweeted)
			_, err = client.Retweet(t.Context(), s.user.ID, first.ID)
			again := new(twitter.Error)
			require.ErrorAs(t, err, &again)
			require.Equal(t, twitter.KindAlreadyRetweeted, again.Kind)
			undone, err := client.UndoRetweet(t.Context(), s.user.ID, first.ID)
			require.NoError(t, err)
			require.False(t, undone.Retweeted)

			deleted, err := client.DeleteTweet(t.Context(), second.ID)
			require.NoError(t, err)
			require.True(t, deleted.Deleted)
			_, err = client.Tweet(t.Context(), second.ID)
			requireKind(t, err, twitter.KindNotFound)
			_, err = client.DeleteTweet(t.Context(), second.ID)
			requireKind(t, err, twitter.KindNotFound)
			for _, r := range s.Requests() {
				require.NotEqual(t, 401, r.Status)
			}
		})
	}
}

// TestTimelinePages reads a timeline of three pages to its end, each tweet once.
func TestTimelinePages(t *testing.T) {
	t.Parallel()
	s := newX(t, sandbox.Config{})
	client := s.client(t, s.oauth1(t))
	var want []string
	for i := range 12 {
		want = append(want, post(t, client, twitter.TweetRequest{Text: fmt.Sprintf("number %d", i)}).ID)
	}
	slices.Reverse(want)
	var got []string
	query := twitter.UserTweetsQuery{MaxResults: 5}
	for pages := 1; ; pages++ {
		page, err := client.UserTweets(t.Context(), s.user.ID, query)
		require.NoError(t, err)
		for _, tweet := range page.Tweets {
			got = append(got, tweet.ID)
		}
		if page.NextToken == "" {
			require.Equal(t, 3, pages)
			break
		}
		query.PaginationToken = page.NextToken
	}
	require.Equal(t, want, got)
}

// An expired token costs one refresh, which is saved before it is used, and the post succeeds.
func TestExpiredTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	s := newX(t, sandbox.Config{})
	auth, saved := s.oauth2(t, 29*time.Second) // X would still take it, for less than 30 s
	post(t, s.client(t, auth), twitter.TweetRequest{Text: "Hello"})
	require.Equal(t, 1, s.refreshes())
	require.Len(t, saved(), 1)
	require.WithinDuration(t, time.Now().Add(2*time.Hour), saved()[0].Expiry, time.Minute)
	post(t, s.client(t, auth), twitter.TweetRequest{Text: "Hello again"})
	require.Equal(t, 1, s.refreshes())
}

// Clients of one account that need a refresh at the same time ask X once.
func TestRefreshesAtOnceAskOnce(t *testing.T) {
	t.Parallel()
	s := newX(t, sandbox.Config{})
	auth, saved := s.oauth2(t, -time.Hour)
	fault, err := s.Fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteOAuth2Token}, Kind: sandbox.KindHoldBefore})
	require.NoError(t, err)
	const clients = 32
	var posts sync.WaitGroup
	errs := make(chan error, clients)
	for i := range clients {
		client := s.client(t, auth)
		body, err := twitter.TweetRequest{Text: fmt.Sprintf("client %d", i)}.Encode()
		require.NoError(t, err)
		posts.Go(func() {
			_, err := client.CreateTweet(t.Context(), body)
			errs <- err
		})
	}
	require.NoError(t, fault.WaitHeld(t.Context(), 1))
	fault.Lift()
	posts.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.refreshes())
	require.Len(t, saved(), 1)
	require.Len(t, s.Tweets(), clients)
}

// A refused refresh says that the user must log in; one whose answer is lost says that the grant may be.
// Neither sends the tweet.
func TestRefreshThatFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, s *x)
		want    twitter.Kind
	}{
		"Revoked": {func(t *testing.T, s *x) {
			t.Helper()
			require.NoError(t, s.RevokeApp(s.app.Key, s.user.Username))
		}, twitter.KindLoginNeeded},
		"Lost": {func(t *testing.T, s *x) {
			t.Helper()
			_, err := s.Fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteOAuth2Token}, Kind: sandbox.KindDropAfter})
			require.NoError(t, err)
		}, twitter.KindRefreshUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newX(t, sandbox.Config{})
			auth, saved := s.oauth2(t, -time.Hour)
			test.prepare(t, s)
			body, err := twitter.TweetRequest{Text: "Hello"}.Encode()
			require.NoError(t, err)
			_, err = s.client(t, auth).CreateTweet(t.Context(), body)
			requireKind(t, err, test.want)
			require.Equal(t, 1, s.refreshes())
			require.Len(t, s.Requests(), 1, "the tweet was not sent")
			require.Empty(t, saved())
		})
	}
}

// textsThatDiffer are those of which the two think differently, since X's rule is not known: which flags
// and joined emoji are on X's list, and which international names are hosts.
func textsThatDiffer() []string {
	return []string{
		"🇦🇦", "🏴\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f", "✌️🏿",
		"example.рф", "example.みんなのため", "https://☃.net/", "https://👍.ws", "https://example.vermögensberatung",
		"a" + strings.Repeat("\u0300", 40), // Go's form C parts so many marks
	}
}

// TestLengthsAgree fills each of the texts up to the limit, which the stand-in takes, and one over it,
// which it refuses. Both measure by code of their own.
func TestLengthsAgree(t *testing.T) {
	t.Parallel()
	s := newX(t, sandbox.Config{DuplicateWindow: -1, Limits: []sandbox.Limit{}})
	s.user.TextLimit = twitter.TextLimit
	require.NoError(t, s.SetUser(s.user))
	client := s.client(t, s.oauth1(t))
	var differ []string
	for _, cases := range textCases(t) {
		for _, c := range cases {
			if c.Problem == twitter.TextInvalid || c.Problem == twitter.TextEmpty || c.Length > twitter.TextLimit-2 || strings.Contains(c.Text, "$") {
				continue
			}
			full := c.Text + "\n" + strings.Repeat("a", twitter.TextLimit-c.Length-1)
			if twitter.ParseTweet(full).WeightedLength != twitter.TextLimit {
				continue // what is added changes what stands before it
			}
			for _, text := range []string{full, full + "a"} {
				body, err := twitter.TweetRequest{Text: text}.Encode()
				require.NoError(t, err)
				_, err = client.CreateTweet(t.Context(), body)
				if (err == nil) != (len(text) == len(full)) {
					differ = append(differ, c.Text)
				}
			}
		}
	}
	require.ElementsMatch(t, textsThatDiffer(), differ)
}
