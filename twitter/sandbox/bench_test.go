package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// benchServer is a sandbox in its fastest mode: no limits, no memory of duplicates, a bounded record.
// Signatures are verified all the same. It comes with a source of requests, which are signed when
// they are made, by 100 users.
func benchServer(b *testing.B, bearer bool) (*sandbox.Server, func(address string) *http.Request) {
	b.Helper()
	s, err := sandbox.New(sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1, KeepRequests: 10_000})
	require.NoError(b, err)
	app, err := s.AddApp(sandbox.App{})
	require.NoError(b, err)
	var creds []sandbox.Credentials
	var tokens []sandbox.OAuth2Token
	for i := range 100 {
		u, err := s.AddUser(sandbox.User{Username: fmt.Sprintf("user%d", i)})
		require.NoError(b, err)
		c, err := s.Authorize(app.Key, u.Username)
		require.NoError(b, err)
		creds = append(creds, c)
		t, err := s.AuthorizeOAuth2(app.Key, u.Username)
		require.NoError(b, err)
		tokens = append(tokens, t)
	}
	var n atomic.Int64
	return s, func(address string) *http.Request {
		i := n.Add(1)
		header := "Bearer " + tokens[i%100].AccessToken
		if !bearer {
			c := creds[i%100]
			oauth := oauthParams(c, fmt.Sprint(i), time.Now())
			oauth["oauth_signature"] = sign("POST", address, oauth, nil, c.APISecret, c.AccessTokenSecret)
			header = authorization(oauth)
		}
		r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(textBody(fmt.Sprintf("tweet number %d", i))))
		if err != nil {
			panic(err)
		}
		r.Header.Set("Authorization", header)
		r.Header.Set("Content-Type", "application/json")
		return r
	}
}

// BenchmarkHandler is the sandbox's own cost: no network, requests prepared beforehand.
func BenchmarkHandler(b *testing.B) {
	b.Run("OAuth1", func(b *testing.B) { benchmarkHandler(b, false) })
	b.Run("OAuth2", func(b *testing.B) { benchmarkHandler(b, true) })
}

func benchmarkHandler(b *testing.B, bearer bool) {
	b.Helper()
	s, request := benchServer(b, bearer)
	requests := make([]*http.Request, b.N)
	for i := range requests {
		requests[i] = request("http://x.test/2/tweets")
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, requests[next.Add(1)-1])
			if w.Code != http.StatusCreated {
				b.Error(w.Body.String())
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}

// BenchmarkPosts adds net/http's client and server and the loopback interface, all in one process.
func BenchmarkPosts(b *testing.B) {
	b.Run("OAuth1", func(b *testing.B) { benchmarkPosts(b, false) })
	b.Run("OAuth2", func(b *testing.B) { benchmarkPosts(b, true) })
}

func benchmarkPosts(b *testing.B, bearer bool) {
	b.Helper()
	s, request := benchServer(b, bearer)
	require.NoError(b, s.Start(""))
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	client := &http.Client{Transport: transport}
	requests := make([]*http.Request, b.N)
	for i := range requests {
		requests[i] = request(s.URL() + "/2/tweets")
	}
	var next atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Do(requests[next.Add(1)-1])
			if err != nil {
				b.Error(err)
				continue
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusCreated {
				b.Error(res.Status)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
	transport.CloseIdleConnections()
	require.NoError(b, s.Close())
}
