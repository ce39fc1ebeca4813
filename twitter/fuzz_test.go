package twitter

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// FuzzAnswer feeds any answer to every method.
func FuzzAnswer(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.Status, g.body(), g.Op, false)
		f.Add(g.Status, g.body(), g.Op, true)
	}
	f.Add(201, []byte(`{"data":{"id":"1","text":"Hi"}}`), "create", false)
	f.Add(200, []byte(`{"data":{"deleted":false}}`), "delete", true)
	f.Add(200, []byte(wholePage), "timeline", false)
	f.Add(200, []byte(wholePage), "lookup", true)
	f.Add(200, []byte(postPage), "timeline", false)
	f.Add(200, []byte(`{"meta":{"result_count":0}}`), "timeline", false)
	f.Add(200, []byte(`{"data":{"rest_id":"1","retweeted":true}}`), "retweet", false)
	f.Add(200, []byte(`{"data":{"retweeted":false}}`), "undo", false)
	f.Add(200, []byte(grantedAnswer), "refresh", false)
	f.Add(200, []byte(`{"token_type":"x","expires_in":-99999999999,"access_token":"a\nb","refresh_token":7}`), "refresh", true)
	f.Fuzz(func(t *testing.T, status int, body []byte, op string, zip bool) {
		if operations()[op] == "" {
			op = "create"
		}
		status = 200 + (status%400+400)%400
		h := http.Header{"X-Transaction-Id": {string(body)}, "X-Access-Level": {"read-write"}}
		sent := body
		if zip {
			h.Set("Content-Encoding", "gzip")
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			_, _ = w.Write(body)
			_ = w.Close()
			sent = zipped.Bytes()
		}
		transport := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(sent))}, nil
		})
		err := golden{Op: op}.call(t.Context(), t, Config{HTTPClient: &http.Client{Transport: transport}})
		if err == nil {
			require.Equal(t, 2, status/100, "only a 2xx is a result")
			return
		}
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Contains(t, Kinds(), e.Kind)
		require.NotContains(t, []Kind{KindNeverSent, KindMaybeSent}, e.Kind, "there was an answer")
		require.LessOrEqual(t, len(e.Answer.RawBody), MaxListBody)
		require.LessOrEqual(t, len(e.Messages), maxMessages+1)
		require.Less(t, len([]rune(err.Error())), (maxMessages+4)*maxText)
		require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), "%q", err)
		if op == "refresh" {
			require.Empty(t, e.Answer.RawBody)
			if status >= 500 || status/100 == 2 {
				require.Contains(t, []Kind{KindRefreshUnknown, KindLoginNeeded, KindClientRefused}, e.Kind)
			}
			return
		}
		if status/100 == 2 && (op == "create" || op == "retweet") {
			require.Equal(t, KindUnreadable, e.Kind, "a 2xx never proves that nothing was created")
		}
		if status >= 500 {
			require.Equal(t, KindServerError, e.Kind)
		}
	})
}

// FuzzRefresh feeds any answer of the token endpoint to a tweet that needs a new token. It leaves
// only with a token that was saved before, and is told never to have left otherwise.
func FuzzRefresh(f *testing.F) {
	for _, g := range goldens(f) {
		if g.Op == "refresh" {
			f.Add(g.Status, g.body())
		}
	}
	f.Add(200, []byte(grantedAnswer))
	f.Add(200, []byte(`{"access_token":"a\nb","expires_in":-99999999999,"refresh_token":"x"}`))
	f.Add(200, []byte(`{"access_token":"a","expires_in":"99999999999999999999","scope":7}`))
	f.Add(200, []byte(`{"access_token":"a","error":"invalid_grant"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + (status%400+400)%400
		var bearers, saved []string
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			answer := &http.Response{StatusCode: status, Header: http.Header{"Location": {"/elsewhere"}}, Body: io.NopCloser(bytes.NewReader(body))}
			if req.URL.Path != "/2/oauth2/token" {
				bearers = append(bearers, req.Header.Get("Authorization"))
				answer = &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":{"id":"1"}}`))}
			}
			return answer, nil
		})
		config := expired(testOAuth2())
		config.Save = func(_ context.Context, fresh OAuth2Token) error {
			require.Empty(t, bearers)
			saved = append(saved, "Bearer "+fresh.AccessToken)
			return nil
		}
		client, _ := oauth2Client(t, Config{HTTPClient: &http.Client{Transport: transport}}, config)
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.Equal(t, saved, bearers)
		if err != nil {
			require.Empty(t, bearers)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Contains(t, []Kind{KindNeverSent, KindLoginNeeded, KindClientRefused, KindRefreshUnknown}, e.Kind)
			require.Zero(t, e.Answer)
			require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), "%q", err)
			return
		}
		require.Len(t, bearers, 1)
		require.Equal(t, 2, status/100)
		require.NotContains(t, bearers[0], "\n")
	})
}

// FuzzPage feeds any body to a timeline: a page is whole or none.
func FuzzPage(f *testing.F) {
	f.Add([]byte(wholePage))
	f.Add([]byte(postPage))
	for _, g := range goldens(f) {
		if g.Op == "timeline" {
			f.Add(g.body())
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var page TweetPage
		if page.decode(call{op: "get tweets", method: http.MethodGet}, Answer{StatusCode: http.StatusOK, RawBody: body}) != nil {
			require.Zero(t, page)
			return
		}
		for _, tweet := range page.Tweets {
			require.NoError(t, checkID(tweet.ID))
			require.NotContains(t, tweet.EditHistoryTweetIDs, "")
		}
		for _, e := range page.Errors {
			require.Contains(t, []Kind{KindNotFound, KindForbidden, KindOther}, e.Kind)
			require.LessOrEqual(t, len([]rune(e.Detail)), maxText+1)
		}
	})
}
