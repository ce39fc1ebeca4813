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

// benchServer is a sandbox in its fastest mode, and requests for it that are signed beforehand.
func benchServer(b *testing.B) (*sandbox.Server, func(address string) *http.Request) {
	b.Helper()
	s, err := sandbox.New(sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1})
	require.NoError(b, err)
	app, err := s.AddApp(sandbox.App{})
	require.NoError(b, err)
	var creds []sandbox.Credentials
	for i := range 100 {
		u, err := s.AddUser(sandbox.User{Username: fmt.Sprintf("user%d", i)})
		require.NoError(b, err)
		c, err := s.Authorize(app.Key, u.Username)
		require.NoError(b, err)
		creds = append(creds, c)
	}
	var n atomic.Int64
	return s, func(address string) *http.Request {
		i := n.Add(1)
		c := creds[i%100]
		oauth := oauthParams(c, fmt.Sprint(i), time.Now())
		oauth["oauth_signature"] = sign("POST", address, oauth, nil, c.APISecret, c.AccessTokenSecret)
		r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(textBody(fmt.Sprintf("tweet number %d", i))))
		if err != nil {
			panic(err)
		}
		r.Header.Set("Authorization", authorization(oauth))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
}

// BenchmarkHandler is the sandbox's own cost: no network, requests prepared beforehand.
func BenchmarkHandler(b *testing.B) {
	s, request := benchServer(b)
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
	s, request := benchServer(b)
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
