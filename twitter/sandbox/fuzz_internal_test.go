package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCreateBody: whatever the body, the answer is JSON, and a tweet exists only after a 201.
func FuzzCreateBody(f *testing.F) {
	for _, body := range []string{
		"", "{}", "[]", `{"text":"x"}`, `{"text":1e999}`, `{"text":"x","poll":{"options":["a","b"],"duration_minutes":-0}}`,
		`{"text":"\ud800"}`, `{"text":"x","reply":{"in_reply_to_tweet_id":"9999999999999999999"}}`, `{"media":{"media_ids":["1"]}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s, err := New(Config{})
		require.NoError(t, err)
		x := &exchange{
			header: http.Header{"Content-Type": {"application/json"}}, user: User{ID: "1", TextLimit: 280},
			record: &Request{},
		}
		x.fields, x.bodyErr = parseBody([]byte(body))
		a := s.createTweet(x)
		require.True(t, json.Valid(a.body))
		require.Equal(t, a.status == http.StatusCreated, len(s.Tweets()) == 1)
		require.Equal(t, a.status == http.StatusCreated, a.outcome == OutcomeCreated)
	})
}

// FuzzAuthorization: no header and no address makes an unsigned request pass.
func FuzzAuthorization(f *testing.F) {
	f.Add(`OAuth oauth_token="t",oauth_signature="x"`, "/2/users/me?a=b")
	f.Add(`OAuth realm="",oauth_signature_method="HMAC-SHA1",oauth_consumer_key="k",oauth_token="t",oauth_timestamp="1",oauth_nonce="n"`, "/%zz?%zz")
	f.Add("Bearer x", "http://x/2?&&=;")
	f.Fuzz(func(t *testing.T, header, target string) {
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(""))
		r.RequestURI = target
		r.Header.Set("Authorization", header)
		v, err := newSignedRequest(r, nil)
		if err == nil {
			require.Error(t, v.verify("consumer secret", "token secret"))
		}
	})
}

// FuzzTokenRequest: no header and no body gets or ends a token without the client's secret.
func FuzzTokenRequest(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("/2/oauth2/token", "Basic Y2xpZW50OnNlY3JldA==", form, "grant_type=refresh_token&refresh_token=x")
	f.Add("/2/oauth2/token", "", form, "grant_type=refresh_token&refresh_token=x&client_id=client&client_secret=x")
	f.Add("/2/oauth2/token", "Basic %%%", form+"; charset=utf-8", "grant_type=%zz&a=b;c=d")
	f.Add("/2/oauth2/token", "Basic OmE=", "application/json", `{"grant_type":"refresh_token"}`)
	f.Add("/2/oauth2/revoke", "Bearer x", form, "token=x&token=y&client_id=client")
	f.Add("/2/oauth2/revoke", "basic "+strings.Repeat("QUFB", 20), "", "\x00")
	f.Fuzz(func(t *testing.T, path, authorization, contentType, body string) {
		s, err := New(Config{})
		require.NoError(t, err)
		app, err := s.AddApp(App{Confidential: true, ClientID: "client"})
		require.NoError(t, err)
		_, err = s.AddUser(User{Username: "acme"})
		require.NoError(t, err)
		token, err := s.AuthorizeOAuth2(app.Key, "acme")
		require.NoError(t, err)
		body = strings.ReplaceAll(body, "=x", "="+token.RefreshToken)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = path
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		require.GreaterOrEqual(t, w.Code, 400)
		require.True(t, json.Valid(w.Body.Bytes()))
		require.Equal(t, token.RefreshToken, s.accounts.grants[token.RefreshToken].refresh)
	})
}
