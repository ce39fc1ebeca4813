package twitter

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dghubble/oauth1"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

type fixedNonce string

func (n fixedNonce) Nonce() string { return string(n) }

// capture answers every request with a tweet and keeps the requests.
type capture struct{ requests []*http.Request }

func (c *capture) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requests = append(c.requests, req)
	return &http.Response{
		StatusCode: http.StatusCreated, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(`{"data":{"id":"1","text":"Hi","username":"acme","deleted":true}}`)),
	}, nil
}

// authorization parses the header into its unescaped parameters.
func authorization(t *testing.T, req *http.Request) map[string]string {
	t.Helper()
	list, ok := strings.CutPrefix(req.Header.Get("Authorization"), "OAuth ")
	require.True(t, ok)
	params := map[string]string{}
	for pair := range strings.SplitSeq(list, ", ") {
		name, quoted, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.Trim(quoted, `"`))
		require.NoError(t, err)
		params[name] = value
	}
	return params
}

// TestOAuth1Vectors holds the library, configured as this package configures it, to the signatures
// that X publishes (authentication/oauth-1-0a/creating-a-signature), recomputed for each host.
func TestOAuth1Vectors(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"https://api.x.com/1.1/statuses/update.json":       "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
		"https://api.twitter.com/1.1/statuses/update.json": "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
		"https://api.twitter.com/1/statuses/update.json":   "tnnArxj06cWHq44gCs1OSKk/jLY=",
	} {
		t.Run(strings.ReplaceAll(target, "/", "_"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				<-time.After(time.Until(time.Unix(1318622958, 0)))
				seen := new(capture)
				signed := testAuth().signWithNonces(seen, fixedNonce("kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"))
				form := strings.NewReader("status=" + oauth1.PercentEncode("Hello Ladies + Gentlemen, a signed OAuth request!"))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target+"?include_entities=true", form)
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := signed.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, map[string]string{
					"oauth_consumer_key":     "xvz1evFS4wEEPTGEFPHBog",
					"oauth_nonce":            "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
					"oauth_signature":        want,
					"oauth_signature_method": "HMAC-SHA1",
					"oauth_timestamp":        "1318622958",
					"oauth_token":            "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
					"oauth_version":          "1.0",
				}, authorization(t, seen.requests[0]))
			})
		})
	}
}

// resign computes the signature of a request without a form, by RFC 5849 and without the library.
func resign(t *testing.T, req *http.Request) string {
	t.Helper()
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	var pairs []string
	for name, value := range authorization(t, req) {
		if name != "oauth_signature" {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	for name, values := range req.URL.Query() {
		pairs = append(pairs, escape(name)+"="+escape(values[0]))
	}
	slices.Sort(pairs)
	target := "https://api.example/some/prefix" + strings.TrimPrefix(req.URL.EscapedPath(), "/some/prefix")
	base := req.Method + "&" + escape(target) + "&" + escape(strings.Join(pairs, "&"))
	mac := hmac.New(sha1.New, []byte(escape(testAuth().APISecret)+"&"+escape(testAuth().AccessTokenSecret)))
	_, _ = mac.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestSignsEveryRequest checks each request below a path prefix: the prefix and the query are in
// the signature, the JSON body is not.
func TestSignsEveryRequest(t *testing.T) {
	t.Parallel()
	seen := new(capture)
	client, err := NewClient(Config{BaseURL: "https://api.example/some/prefix/", HTTPClient: &http.Client{Transport: seen}}, testAuth())
	require.NoError(t, err)
	_, err = client.CreateTweet(t.Context(), []byte(`{"text":"a + b & c=d"}`))
	require.NoError(t, err)
	_, err = client.DeleteTweet(t.Context(), "1445880548472328192")
	require.NoError(t, err)
	_, err = client.Tweet(t.Context(), "1445880548472328192")
	require.NoError(t, err)
	_, err = client.Me(t.Context())
	require.NoError(t, err)
	_, err = client.Retweet(t.Context(), "2244994945", "1445880548472328192")
	require.Error(t, err) // this X answers all alike
	_, err = client.UndoRetweet(t.Context(), "2244994945", "1445880548472328192")
	require.Error(t, err)
	_, err = client.Tweets(t.Context(), []string{"1", "2"})
	require.Error(t, err)
	_, err = client.UserTweets(t.Context(), "2244994945", UserTweetsQuery{PaginationToken: "a+b/c=", StartTime: time.Unix(1e9, 0)})
	require.Error(t, err)

	nonces := map[string]bool{}
	var lines []string
	for _, req := range seen.requests {
		params := authorization(t, req)
		require.Equal(t, resign(t, req), params["oauth_signature"])
		require.Equal(t, "gzip", req.Header.Get("Accept-Encoding"))
		nonces[params["oauth_nonce"]] = true
		lines = append(lines, req.Method+" "+req.URL.String())
		for name := range req.Header {
			require.NotContains(t, strings.ToLower(name), "idempotency", "Go's transport repeats a POST that has it")
		}
	}
	require.Len(t, nonces, 8)
	fields := tweetFields()
	withIDs, page := tweetFields(), tweetFields()
	withIDs.Set("ids", "1,2")
	page.Set("pagination_token", "a+b/c=")
	page.Set("start_time", "2001-09-09T01:46:40Z")
	require.Equal(t, []string{
		"POST https://api.example/some/prefix/2/tweets",
		"DELETE https://api.example/some/prefix/2/tweets/1445880548472328192",
		"GET https://api.example/some/prefix/2/tweets/1445880548472328192?" + fields.Encode(),
		"GET https://api.example/some/prefix/2/users/me",
		"POST https://api.example/some/prefix/2/users/2244994945/retweets",
		"DELETE https://api.example/some/prefix/2/users/2244994945/retweets/1445880548472328192",
		"GET https://api.example/some/prefix/2/tweets?" + withIDs.Encode(),
		"GET https://api.example/some/prefix/2/users/2244994945/tweets?" + page.Encode(),
	}, lines)
}

// TestSecretsDoNotPrint prints credentials, and what holds them, in every way there is.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	auth := testAuth()
	client := newTestClient(t, Config{})
	type holder struct {
		Name string
		Auth OAuth1
	}
	for _, value := range []any{auth, &auth, holder{"acme", auth}, []OAuth1{auth}, map[string]OAuth1{"acme": auth}, client, *client} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		fmt.Fprintln(&out, value)
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		out.Write(encoded)
		slog.New(slog.NewTextHandler(&out, nil)).Info("slog", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("slog", "value", value)
		logger := zerolog.New(&out)
		logger.Info().Any("value", value).Msgf("zerolog %v", value)
		slog.New(zerolog.NewSlogHandler(logger)).Info("slog to zerolog", "value", value)
		for _, secret := range []string{auth.APIKey, auth.APISecret, auth.AccessToken, auth.AccessTokenSecret} {
			require.NotContains(t, out.String(), secret)
			require.NotContains(t, out.String(), fmt.Sprintf("%x", secret))
		}
	}
	require.Equal(t, "[redacted] [redacted] [redacted]", fmt.Sprintf("%v %#v %d", auth, auth, auth))
	require.Equal(t, "[redacted]", auth.String())
	require.Equal(t, slog.StringValue("[redacted]"), slog.AnyValue(auth).Resolve())
}
