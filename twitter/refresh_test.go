package twitter

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOAuth2ForcedRefresh follows a 401: of all who were refused, the first asks X.
func TestOAuth2ForcedRefresh(t *testing.T) {
	t.Parallel()
	var x issuer
	cfg := serveConfig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer old-access-token-of-acme" {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"title":"Unauthorized","detail":"No: old-access-token-of-acme","status":401,"type":"about:blank"}`)
			return
		}
		x.ServeHTTP(w, r)
	})
	client, auth := oauth2Client(t, cfg, testOAuth2())
	var refused []*Error
	for range 3 {
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		e := requireError(t, err, KindUnauthorized)
		require.Equal(t, "old-access-token-of-acme", e.AccessToken())
		require.Equal(t, withheld, e.Detail)
		require.NotContains(t, err.Error(), "off X's", "a wrong clock does not spoil a bearer token")
		e.Answer.RawBody = nil // what X sent, as it is
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.NotContains(t, fmt.Sprintf(verb, *e), "old-access-token-of-acme", verb)
		}
		refused = append(refused, e)
	}
	for _, e := range refused {
		require.NoError(t, auth.Refresh(t.Context(), e.AccessToken()))
	}
	require.NoError(t, auth.Refresh(t.Context(), ""))
	require.Equal(t, []string{asConfidential}, x.all())
	_, err := client.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{asConfidential, meWithNew}, x.all())
	require.Empty(t, new(Error).AccessToken())
}

// TestOAuth2NeverSends lets the refresh fail in every way: the tweet does not leave, which its
// error says, and beneath it lies X's answer to the refresh.
func TestOAuth2NeverSends(t *testing.T) {
	t.Parallel()
	for name, g := range goldens(t) {
		if g.Op != "refresh" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(g.Status)
				_, _ = w.Write(g.body())
			}}
			client, _ := x.client(t, expired(testOAuth2()))
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			e := requireError(t, err, g.Want.Kind.ofUnsent())
			require.Zero(t, e.Answer, "nothing answered the tweet")
			require.Empty(t, e.AccessToken())
			inner := requireError(t, e.Err, g.Want.Kind)
			require.Equal(t, "refresh token", inner.Op)
			require.Equal(t, g.Status, inner.Answer.StatusCode)
			require.False(t, inner.Answer.Received.IsZero())
			require.Equal(t, []string{asConfidential}, x.all(), "asked once, and nothing else left")
			if advice := inner.Kind.advice(); advice != "" {
				require.Equal(t, 1, strings.Count(err.Error(), advice), err.Error())
			}
		})
	}

	t.Run("NoRefreshToken", func(t *testing.T) {
		t.Parallel()
		x := new(issuer)
		config := expired(testOAuth2())
		config.Token.RefreshToken = ""
		client, _ := x.client(t, config)
		_, err := client.Me(t.Context())
		requireError(t, err, KindLoginNeeded)
		require.ErrorContains(t, err, "the grant lacks the scope offline.access; let the user sign in again")
		require.Empty(t, x.all())
	})

	t.Run("ConnectionRefused", func(t *testing.T) {
		t.Parallel()
		client, _ := oauth2Client(t, Config{BaseURL: refusedURL(t)}, expired(testOAuth2()))
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindNeverSent)
		require.ErrorContains(t, err, "create tweet: never sent: refresh token: never sent: dial tcp")
	})

	for name, script := range map[string]func(w *wire, conn net.Conn){
		"ClosedAfterRequest": func(w *wire, conn net.Conn) { _ = readRequest(w.tee(conn)) },
		"NoAnswer":           func(w *wire, conn net.Conn) { _, _ = io.Copy(w, conn) },
		"Quotes": func(w *wire, conn net.Conn) {
			_ = readRequest(w.tee(conn))
			_, _ = io.WriteString(conn, "SSH-2.0 old-refresh-token-of-acme\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, script)
			client, _ := oauth2Client(t, Config{BaseURL: w.url, Timeout: time.Second / 2}, expired(testOAuth2()))
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			requireError(t, err, KindRefreshUnknown)
			require.ErrorContains(t, err, "the grant is lost and the user must sign in again")
			require.NotContains(t, err.Error(), "old-refresh-token-of-acme")
			w.end()
			require.Equal(t, 1, strings.Count(w.bytes(), " HTTP/1.1\r\n"))
			require.NotContains(t, w.bytes(), "/2/tweets")
		})
	}
}

func TestOAuth2WithholdsSecrets(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{testOAuth2().ClientSecret, testOAuth2().Token.RefreshToken, testOAuth2().Token.AccessToken} {
		x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Bad value: `+secret+`"}`)
		}}
		client, _ := x.client(t, expired(testOAuth2()))
		_, err := client.Me(t.Context())
		e := requireError(t, err, KindLoginNeeded)
		require.Equal(t, withheld, requireError(t, e.Err, KindLoginNeeded).Detail)
		require.NotContains(t, err.Error(), secret)
	}

	// A token that cannot be sent is none, and does not show.
	x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"new-access\ntoken-of-acme","refresh_token":"new"}`)
	}}
	client, _ := x.client(t, expired(testOAuth2()))
	_, err := client.Me(t.Context())
	requireError(t, err, KindRefreshUnknown)
	require.NotContains(t, err.Error(), "token-of-acme")
}
