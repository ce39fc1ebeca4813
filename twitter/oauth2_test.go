package twitter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// grantedAnswer is what the token endpoint grants (X documents, oauth-2-0), with other tokens.
const grantedAnswer = `{"token_type":"bearer","expires_in":7200,"access_token":"new-access-token-of-acme",` +
	`"scope":"tweet.read tweet.write users.read offline.access","refresh_token":"new-refresh-token-of-acme"}`

var errHook = errors.New("no database")

// testOAuth2 is a confidential client with a token that never expires, whose Save takes everything.
func testOAuth2() OAuth2Config {
	return OAuth2Config{
		ClientID: "client-id-of-the-app", ClientSecret: "client secret/of the app",
		Token: OAuth2Token{AccessToken: "old-access-token-of-acme", RefreshToken: "old-refresh-token-of-acme"},
		Save:  func(context.Context, OAuth2Token) error { return nil },
	}
}

func expired(config OAuth2Config) OAuth2Config {
	config.Token.Expiry = time.Now().Add(29 * time.Second)
	return config
}

// issuer is an X that grants tokens and takes tweets. It keeps what it was asked, in order.
type issuer struct {
	grant http.HandlerFunc // default grantedAnswer

	mu   sync.Mutex
	seen []string // guarded by mu
}

func (x *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	x.note(r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body))
	switch {
	case r.URL.Path != "/2/oauth2/token":
		_, _ = io.WriteString(w, `{"data":{"id":"1","text":"Hi","username":"acme"}}`)
	case x.grant != nil:
		x.grant(w, r)
	default:
		_, _ = io.WriteString(w, grantedAnswer)
	}
}

func (x *issuer) note(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = append(x.seen, what)
}

func (x *issuer) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string(nil), x.seen...)
}

// asks counts the requests of the token endpoint and the others.
func (x *issuer) asks() (refreshes, others int) {
	for _, what := range x.all() {
		if strings.HasPrefix(what, "POST /2/oauth2/token ") {
			refreshes++
		} else {
			others++
		}
	}
	return refreshes, others
}

// client returns a client of x that signs with config, and its Auth.
func (x *issuer) client(t *testing.T, config OAuth2Config) (*Client, *OAuth2) {
	t.Helper()
	return oauth2Client(t, serveConfig(t, x.ServeHTTP), config)
}

func oauth2Client(t *testing.T, cfg Config, config OAuth2Config) (*Client, *OAuth2) {
	t.Helper()
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = NewHTTPClient()
		t.Cleanup(cfg.HTTPClient.CloseIdleConnections)
	}
	auth, err := NewOAuth2(cfg, config)
	require.NoError(t, err)
	client, err := NewClient(cfg, auth)
	require.NoError(t, err)
	return client, auth
}

const (
	asConfidential = "POST /2/oauth2/token Basic Y2xpZW50LWlkLW9mLXRoZS1hcHA6Y2xpZW50K3NlY3JldCUyRm9mK3RoZSthcHA= " +
		"grant_type=refresh_token&refresh_token=old-refresh-token-of-acme"
	asPublic  = "POST /2/oauth2/token  client_id=client-id-of-the-app&grant_type=refresh_token&refresh_token=old-refresh-token-of-acme"
	meWithOld = "GET /2/users/me Bearer old-access-token-of-acme "
	meWithNew = "GET /2/users/me Bearer new-access-token-of-acme "
)

func TestOAuth2Signs(t *testing.T) {
	t.Parallel()
	for name, expiry := range map[string]time.Time{"NoExpiry": {}, "Fresh": time.Now().Add(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := testOAuth2()
			config.Token.Expiry = expiry
			config.Load = func(context.Context) (OAuth2Token, func(), error) { panic("loaded") }
			x := new(issuer)
			client, _ := x.client(t, config)
			_, err := client.Me(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{meWithOld}, x.all())
		})
	}
}

// TestOAuth2Refreshes costs an expired token one refresh, in the App's own style.
func TestOAuth2Refreshes(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{"Confidential": testOAuth2().ClientSecret, "Public": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := new(issuer)
			config := expired(testOAuth2())
			config.ClientSecret = secret
			var saved OAuth2Token
			config.Save = func(_ context.Context, fresh OAuth2Token) error {
				x.note("saved")
				saved = fresh
				return nil
			}
			client, _ := x.client(t, config)
			for range 2 {
				_, err := client.Me(t.Context())
				require.NoError(t, err)
			}
			want := asConfidential
			if secret == "" {
				want = asPublic
			}
			require.Equal(t, []string{want, "saved", meWithNew, meWithNew}, x.all())
			require.WithinDuration(t, time.Now().Add(2*time.Hour), saved.Expiry, time.Minute)
			saved.Expiry = time.Time{}
			require.Equal(t, OAuth2Token{
				AccessToken: "new-access-token-of-acme", RefreshToken: "new-refresh-token-of-acme",
				Scope: "tweet.read tweet.write users.read offline.access",
			}, saved)
		})
	}
}

// TestOAuth2RefreshesEarly refreshes 30 s before the end, and keeps what X leaves out of its answer.
func TestOAuth2RefreshesEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refreshes int
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			body := `{"data":{"id":"1","username":"acme"}}`
			if strings.HasSuffix(req.URL.Path, "/token") {
				refreshes++
				body = fmt.Sprintf(`{"access_token":"access-%d","expires_in":7200}`, refreshes)
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		config := testOAuth2()
		config.Token.Scope = "tweet.write"
		config.Token.Expiry = time.Now().Add(time.Hour)
		var saved []OAuth2Token
		config.Save = func(_ context.Context, fresh OAuth2Token) error { saved = append(saved, fresh); return nil }
		client, _ := oauth2Client(t, Config{HTTPClient: &http.Client{Transport: transport}}, config)
		start := time.Now()
		for _, step := range []struct {
			at   time.Duration
			want int
		}{
			{time.Hour - 30*time.Second - 1, 0},
			{time.Hour - 30*time.Second, 1},
			{3*time.Hour - 61*time.Second, 1},
			{3*time.Hour - 60*time.Second, 2},
		} {
			<-time.After(time.Until(start.Add(step.at)))
			_, err := client.Me(t.Context())
			require.NoError(t, err)
			require.Equal(t, step.want, refreshes, step.at)
		}
		require.Equal(t, OAuth2Token{
			AccessToken: "access-1", RefreshToken: "old-refresh-token-of-acme", Scope: "tweet.write",
			Expiry: start.Add(3*time.Hour - 30*time.Second).UTC().Round(0),
		}, saved[0])
	})
}

// TestOAuth2AsksOnce has many requests of two clients need the same refresh.
func TestOAuth2AsksOnce(t *testing.T) {
	t.Parallel()
	const atOnce = 16
	arrived := make(chan struct{})
	x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) {
		<-arrived
		_, _ = io.WriteString(w, grantedAnswer)
	}}
	cfg := serveConfig(t, x.ServeHTTP)
	first, auth := oauth2Client(t, cfg, expired(testOAuth2()))
	second, err := NewClient(cfg, auth)
	require.NoError(t, err)
	var done sync.WaitGroup
	for i := range atOnce {
		done.Go(func() {
			_, err := []*Client{first, second}[i%2].CreateTweet(t.Context(), []byte(helloBody))
			assert.NoError(t, err)
		})
	}
	close(arrived)
	done.Wait()
	refreshes, others := x.asks()
	require.Equal(t, 1, refreshes)
	require.Equal(t, atOnce, others)
}

// TestOAuth2SharesARefusal: those who wait for a refresh do not ask again when it is refused.
func TestOAuth2SharesARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var refreshes atomic.Int32
		transport := roundTripper(func(*http.Request) (*http.Response, error) {
			refreshes.Add(1)
			<-release
			body := `{"error":"invalid_request","error_description":"Value passed for the token was invalid."}`
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		client, _ := oauth2Client(t, Config{HTTPClient: &http.Client{Transport: transport}}, expired(testOAuth2()))
		impatient, cancel := context.WithCancel(t.Context())
		results := make(chan error, 3)
		send := func(ctx context.Context) { _, err := client.CreateTweet(ctx, []byte(helloBody)); results <- err }
		go send(t.Context())
		synctest.Wait() // it leads
		go send(t.Context())
		go send(impatient)
		synctest.Wait()
		cancel()
		synctest.Wait()
		gaveUp := <-results
		require.ErrorIs(t, requireError(t, gaveUp, KindNeverSent), context.Canceled)
		close(release)
		requireError(t, <-results, KindLoginNeeded)
		requireError(t, <-results, KindLoginNeeded)
		require.EqualValues(t, 1, refreshes.Load())
	})
}

// TestOAuth2OutlivesItsRequest cancels the request whose refresh is under way: the new token must
// be saved all the same.
func TestOAuth2OutlivesItsRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		_, _ = io.WriteString(w, grantedAnswer)
	}}
	config := expired(testOAuth2())
	var saved bool
	config.Save = func(ctx context.Context, _ OAuth2Token) error { saved = true; return ctx.Err() }
	client, _ := x.client(t, config)
	_, err := client.CreateTweet(ctx, []byte(helloBody))
	require.ErrorIs(t, requireError(t, err, KindNeverSent), context.Canceled)
	require.True(t, saved)
	_, err = client.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{asConfidential, meWithNew}, x.all())

	_, err = client.Me(ctx)
	requireError(t, err, KindNeverSent)
	late := new(issuer)
	client, _ = late.client(t, expired(testOAuth2()))
	_, err = client.Me(ctx)
	require.ErrorIs(t, requireError(t, err, KindNeverSent), context.Canceled)
	require.Empty(t, late.all(), "no refresh begins for a request that has ended")
}

func TestOAuth2Load(t *testing.T) {
	t.Parallel()
	stored := OAuth2Token{AccessToken: "stored-access-token-of-acme", RefreshToken: "stored-refresh-token-of-acme"}
	load := func(x *issuer, config OAuth2Config, stored OAuth2Token) OAuth2Config {
		config.Load = func(context.Context) (OAuth2Token, func(), error) {
			x.note("loaded")
			return stored, func() { x.note("released") }, nil
		}
		config.Save = func(context.Context, OAuth2Token) error { x.note("saved"); return nil }
		return config
	}

	t.Run("AnotherHasRefreshed", func(t *testing.T) {
		t.Parallel()
		x := new(issuer)
		client, _ := x.client(t, load(x, expired(testOAuth2()), stored))
		_, err := client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"loaded", "released", "GET /2/users/me Bearer stored-access-token-of-acme "}, x.all())
	})

	t.Run("StoredIsExpired", func(t *testing.T) {
		t.Parallel()
		stored := stored
		stored.Expiry = time.Now()
		x := new(issuer)
		client, _ := x.client(t, load(x, expired(testOAuth2()), stored))
		_, err := client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{
			"loaded", strings.Replace(asConfidential, "old-refresh", "stored-refresh", 1), "saved", "released", meWithNew,
		}, x.all())
	})

	t.Run("ReleasedAfterARefusal", func(t *testing.T) {
		t.Parallel()
		x := &issuer{grant: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }}
		client, _ := x.client(t, load(x, expired(testOAuth2()), testOAuth2().Token))
		config := expired(testOAuth2())
		client2, _ := x.client(t, load(x, config, config.Token))
		_, err := client.Me(t.Context())
		require.NoError(t, err, "a stored token without an end is used")
		_, err = client2.Me(t.Context())
		requireError(t, err, KindRefreshUnknown)
		require.Equal(t, []string{"loaded", "released", meWithOld, "loaded", asConfidential, "released"}, x.all())
	})

	t.Run("Fails", func(t *testing.T) {
		t.Parallel()
		for _, tc := range []struct {
			stored OAuth2Token
			err    error
			want   string
		}{
			{OAuth2Token{}, errHook, "no database"},
			{OAuth2Token{}, nil, "both the access token and the refresh token are empty"},
			{OAuth2Token{AccessToken: "a\nb"}, nil, "the access token holds a space, line break or non-ASCII character: copy it again"},
		} {
			x := new(issuer)
			config := expired(testOAuth2())
			config.Load = func(context.Context) (OAuth2Token, func(), error) { return tc.stored, nil, tc.err }
			client, _ := x.client(t, config)
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			requireError(t, err, KindNeverSent)
			require.EqualError(t, err, "create tweet: never sent: refresh token: never sent: load the token: "+tc.want)
			require.Empty(t, x.all())
		}
	})
}

// TestOAuth2CheckStopsTheRefresh when its connection is ready, and the request's own check does not.
func TestOAuth2CheckStopsTheRefresh(t *testing.T) {
	t.Parallel()
	x := new(issuer)
	config := expired(testOAuth2())
	config.Check = func() error { return errNotNow }
	client, _ := x.client(t, config)
	_, err := client.Me(t.Context())
	require.ErrorIs(t, requireError(t, err, KindNeverSent), errNotNow)
	require.Empty(t, x.all())

	client, _ = x.client(t, expired(testOAuth2()))
	_, err = client.Me(refuse(t.Context()))
	require.ErrorIs(t, requireError(t, err, KindNeverSent), errNotNow)
	require.Equal(t, []string{asConfidential}, x.all())
}

// TestOAuth2SaveFails: the request does not leave, and the new token is not lost.
func TestOAuth2SaveFails(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T) (x *issuer, client *Client, mode, store *atomic.Value) {
		t.Helper()
		x, mode, store = new(issuer), new(atomic.Value), new(atomic.Value)
		config := expired(testOAuth2())
		mode.Store("fail")
		store.Store(config.Token)
		config.Load = func(context.Context) (OAuth2Token, func(), error) { return store.Load().(OAuth2Token), nil, nil }
		config.Save = func(_ context.Context, fresh OAuth2Token) error {
			x.note("save " + fresh.AccessToken)
			switch mode.Load() {
			case "fail":
				return errHook
			case "panic":
				panic("no database")
			}
			store.Store(fresh)
			return nil
		}
		client, _ = x.client(t, config)
		return x, client, mode, store
	}
	const save = "save new-access-token-of-acme"

	t.Run("IsSavedLater", func(t *testing.T) {
		t.Parallel()
		x, client, mode, _ := setup(t)
		for range 2 {
			_, err := client.CreateTweet(t.Context(), []byte(helloBody))
			require.ErrorIs(t, requireError(t, err, KindNeverSent), errHook)
			require.EqualError(t, err, "create tweet: never sent: refresh token: never sent: "+
				"save the new token, which is kept until it is saved: no database")
		}
		mode.Store("save")
		_, err := client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{asConfidential, save, save, save, meWithNew}, x.all())
	})

	t.Run("AfterAPanic", func(t *testing.T) {
		t.Parallel()
		x, client, mode, _ := setup(t)
		mode.Store("panic")
		require.PanicsWithValue(t, "no database", func() { _, _ = client.Me(t.Context()) })
		mode.Store("save")
		_, err := client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{asConfidential, save, save, meWithNew}, x.all())
	})

	t.Run("AnotherGrantReplacesIt", func(t *testing.T) {
		t.Parallel()
		x, client, _, store := setup(t)
		_, err := client.Me(t.Context())
		requireError(t, err, KindNeverSent)
		store.Store(OAuth2Token{AccessToken: "access-of-a-new-login", RefreshToken: "refresh-of-a-new-login"})
		_, err = client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{asConfidential, save, "GET /2/users/me Bearer access-of-a-new-login "}, x.all())
	})
}

func TestNewOAuth2ReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := NewOAuth2(Config{BaseURL: "ftp://x", Timeout: -1}, OAuth2Config{})
	require.EqualError(t, err, strings.Join([]string{
		"new OAuth 2.0 token: Timeout is negative: -1ns", `BaseURL "ftp://x": want https://host, with or without a path`, "ClientID is empty",
		"Save is nil: a refreshed token that is not saved costs the account its grant", "both the access token and the refresh token are empty",
	}, "\n"))
	_, err = NewOAuth2(Config{}, OAuth2Config{ClientID: "a", Save: testOAuth2().Save, Token: OAuth2Token{AccessToken: "se cret"}})
	require.ErrorContains(t, err, "the access token holds a space")
	require.NotContains(t, err.Error(), "se cret")
	for _, auth := range []*OAuth2{nil, {}} {
		_, err = NewClient(Config{}, auth)
		require.EqualError(t, err, "new X client: auth was not made by NewOAuth2")
	}
}

// TestOAuth2DoesNotPrint prints tokens, and what holds them, in every way there is.
func TestOAuth2DoesNotPrint(t *testing.T) {
	t.Parallel()
	config := testOAuth2()
	client, auth := oauth2Client(t, Config{}, config)
	type holder struct {
		Name  string
		Token OAuth2Token
	}
	for _, value := range []any{config, &config, config.Token, &config.Token, holder{"acme", config.Token}, []OAuth2Token{config.Token}, auth, client, *client} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		out.Write(encoded)
		slog.New(slog.NewTextHandler(&out, nil)).Info("slog", "value", value)
		logger := zerolog.New(&out)
		logger.Info().Any("value", value).Msgf("zerolog %v", value)
		for _, secret := range []string{config.ClientSecret, config.Token.AccessToken, config.Token.RefreshToken} {
			require.NotContains(t, out.String(), secret)
			require.NotContains(t, out.String(), fmt.Sprintf("%x", secret))
		}
	}
	require.Equal(t, "[redacted] [redacted] [redacted]", fmt.Sprintf("%v %#v %d", config, config.Token, auth))
}
