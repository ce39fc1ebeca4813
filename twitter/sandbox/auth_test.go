package sandbox_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

const unauthorizedBody = `{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}`

// TestSigner checks the signer of these tests against the vectors that X publishes.
func TestSigner(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://api.x.com/1.1/statuses/update.json":       "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
		"https://api.twitter.com/1.1/statuses/update.json": "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
		"https://api.twitter.com/1/statuses/update.json":   "tnnArxj06cWHq44gCs1OSKk/jLY=",
	} {
		creds := sandbox.Credentials{
			APIKey: "xvz1evFS4wEEPTGEFPHBog", AccessToken: "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
		}
		oauth := oauthParams(creds, "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", time.Unix(1318622958, 0))
		others := url.Values{
			"include_entities": {"true"},
			"status":           {"Hello Ladies + Gentlemen, a signed OAuth request!"},
		}
		got := sign("POST", address, oauth, others,
			"kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
		require.Equal(t, want, got, address)
	}
}

// TestRawRequest writes a request byte by byte, as X's documents print one.
func TestRawRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	host := strings.TrimPrefix(b.server.URL(), "http://")
	c := b.acme.creds
	stamp := fmt.Sprint(time.Now().Unix())
	params := "oauth_consumer_key=" + c.APIKey + "&oauth_nonce=abc&oauth_signature_method=HMAC-SHA1" +
		"&oauth_timestamp=" + stamp + "&oauth_token=" + c.AccessToken + "&oauth_version=1.0"
	signature := sign("POST", "http://"+host+"/2/tweets", nil, mustQuery(t, params), c.APISecret, c.AccessTokenSecret)
	conn, err := net.Dial("tcp", host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /2/tweets HTTP/1.1\r\nHost: "+host+"\r\n"+
		"Authorization: OAuth oauth_consumer_key=\""+c.APIKey+"\", oauth_nonce=\"abc\", oauth_signature=\""+
		escape(signature)+"\", oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\""+stamp+
		"\", oauth_token=\""+c.AccessToken+"\", oauth_version=\"1.0\"\r\n"+
		"Content-Type: application/json\r\nContent-Length: 23\r\n\r\n{\"text\":\"Hello world!\"}")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusCreated, res.StatusCode)
}

func mustQuery(t *testing.T, query string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(query)
	require.NoError(t, err)
	return v
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	otherApp, err := b.server.AddApp(sandbox.App{})
	require.NoError(t, err)
	wrong := func(change func(*sandbox.Credentials)) account {
		a := b.acme
		change(&a.creds)
		return a
	}
	signed := func(who account) *http.Request { return b.request(who, "POST", "/2/tweets", textBody("x")) }
	header := func(value string) *http.Request {
		r := signed(b.acme)
		r.Header.Set("Authorization", value)
		return r
	}
	// resigned changes a parameter, and signs again with it.
	resigned := func(name, value string) *http.Request {
		oauth := oauthParams(b.acme.creds, b.nonce(), time.Now())
		oauth[name] = value
		oauth["oauth_signature"] = sign("POST", b.server.URL()+"/2/tweets", oauth, nil,
			b.acme.creds.APISecret, b.acme.creds.AccessTokenSecret)
		return header(authorization(oauth))
	}
	for name, tt := range map[string]struct {
		request *http.Request
		reason  string
		user    string
	}{
		"NoHeader":          {header(""), "the Authorization header's scheme is not OAuth", ""},
		"Bearer":            {header("Bearer AAAA"), "the token is unknown", ""},
		"APISecret":         {signed(wrong(func(c *sandbox.Credentials) { c.APISecret = "x" })), "the signature does not match", "acme"},
		"AccessTokenSecret": {signed(wrong(func(c *sandbox.Credentials) { c.AccessTokenSecret = "x" })), "the signature does not match", "acme"},
		"UnknownToken":      {signed(wrong(func(c *sandbox.Credentials) { c.AccessToken = "x" })), "the token is unknown", ""},
		"UnknownKey":        {signed(wrong(func(c *sandbox.Credentials) { c.APIKey = "x" })), "the token is another app's", "acme"},
		"OtherApp": {signed(wrong(func(c *sandbox.Credentials) {
			c.APIKey, c.APISecret = otherApp.Key, otherApp.Secret
		})), "the token is another app's", "acme"},
		"Plaintext":       {resigned("oauth_signature_method", "PLAINTEXT"), `oauth_signature_method is "PLAINTEXT", not HMAC-SHA1`, "acme"},
		"NotATimestamp":   {resigned("oauth_timestamp", "soon"), "oauth_timestamp is not a number of seconds", "acme"},
		"SignedForDelete": {header(b.request(b.acme, "DELETE", "/2/tweets", "").Header.Get("Authorization")), "the signature does not match", "acme"},
		"SignedForOther":  {header(b.request(b.acme, "POST", "/2/tweet", "").Header.Get("Authorization")), "the signature does not match", "acme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := b.send(tt.request)
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, got.status)
			require.Equal(t, unauthorizedBody, got.body)
			require.Regexp(t, `^[0-9a-f]{16}$`, got.header.Get("x-transaction-id"))
			require.Equal(t, "application/json; charset=utf-8", got.header.Get("content-type"))
			for h := range got.header {
				require.NotContains(t, strings.ToLower(h), "limit")
			}
			require.Empty(t, got.header.Values("x-access-level"))
			require.Empty(t, got.header.Values("api-version"))
			for _, r := range b.server.Requests() {
				if r.RequestID == got.header.Get("x-transaction-id") {
					require.Equal(t, tt.reason, r.Reason)
					require.Equal(t, tt.user, r.Username)
					require.Equal(t, sandbox.OutcomeRefused, r.Outcome)
				}
			}
		})
	}
	t.Cleanup(func() { require.Empty(t, b.server.Tweets()) })
}

func TestNonceReuse(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	send := func(who account, nonce, text string) int {
		oauth := oauthParams(who.creds, nonce, clock.Now())
		oauth["oauth_signature"] = sign("POST", b.server.URL()+"/2/tweets", oauth, nil, who.creds.APISecret, who.creds.AccessTokenSecret)
		r := b.request(who, "POST", "/2/tweets", textBody(text))
		r.Header.Set("Authorization", authorization(oauth))
		got, err := b.send(r)
		require.NoError(t, err)
		return got.status
	}
	require.Equal(t, http.StatusCreated, send(b.acme, "once", "a"))
	require.Equal(t, http.StatusUnauthorized, send(b.acme, "once", "b"), "a replay")
	require.Equal(t, "oauth_nonce was used before", b.last().Reason)
	clock.Advance(time.Minute)
	require.Equal(t, http.StatusUnauthorized, send(b.acme, "once", "b"), "the nonce with another timestamp")
	require.Equal(t, http.StatusCreated, send(b.acme, "twice", "b"))
	require.Equal(t, http.StatusCreated, send(b.user("other"), "once", "a"), "another user's")
}

// TestNonceLife: a nonce is remembered as long as its timestamp would do, however busy it was since.
func TestNonceLife(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	b := setup(t, sandbox.Config{Now: clock.Now})
	b.now = func() time.Time { return clock.Now().Add(5 * time.Minute) }
	r := b.request(b.acme, "GET", "/2/users/me", "")
	send := func() int {
		got, err := b.send(r.Clone(t.Context()))
		require.NoError(t, err)
		return got.status
	}
	require.Equal(t, http.StatusOK, send())
	for range 10 {
		clock.Advance(time.Minute)
		require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status)
	}
	require.Equal(t, http.StatusUnauthorized, send())
	require.Equal(t, "oauth_nonce was used before", b.last().Reason, "and not that the timestamp is off")
}

// TestNonceOfRefusedSignature: a request that was not signed well does not use up its nonce.
func TestNonceOfRefusedSignature(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	r := b.request(b.acme, "POST", "/2/tweets", textBody("x"))
	good := r.Header.Get("Authorization")
	r.Header.Set("Authorization", strings.Replace(good, `oauth_signature="`, `oauth_signature="A`, 1))
	got, err := b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, got.status)
	again := b.request(b.acme, "POST", "/2/tweets", textBody("x"))
	again.Header.Set("Authorization", good)
	got, err = b.send(again)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, got.status)
}

func TestTimestampSkew(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	for name, tt := range map[string]struct {
		tolerated, off time.Duration
		want           int
	}{
		"Exact":        {0, 0, 201},
		"DefaultPast":  {0, -5 * time.Minute, 201},
		"DefaultAhead": {0, 5 * time.Minute, 201},
		"TooOld":       {0, -5*time.Minute - time.Second, 401},
		"TooFarAhead":  {0, 5*time.Minute + time.Second, 401},
		"Own":          {time.Minute, -61 * time.Second, 401},
		"OwnWithin":    {time.Minute, -time.Minute, 201},
		"Off":          {-1, -1000 * time.Hour, 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, sandbox.Config{Now: clock.Now, TimestampSkew: tt.tolerated})
			b.now = func() time.Time { return clock.Now().Add(tt.off) }
			require.Equal(t, tt.want, b.post(b.acme, "x").status)
			if tt.want == 401 {
				require.Contains(t, b.last().Reason, "oauth_timestamp is off by")
			}
		})
	}
}

// TestWhatIsSigned: the query is, a JSON body is not, and a form would be.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	r := b.request(b.acme, "GET", "/2/users/me?user.fields=created_at", "")
	r.URL.RawQuery = "user.fields=verified"
	got, err := b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, got.status, "another query than the signed one")

	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me?user.fields=created_at%2Cverified", "").status)

	r = b.request(b.acme, "POST", "/2/tweets", textBody("signed"))
	r.Body = io.NopCloser(strings.NewReader(textBody("others")))
	got, err = b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, got.status, "another body than the signed one")
	require.Equal(t, "others", got.data(t)["text"])

	r = b.request(b.acme, "POST", "/2/tweets", "text=x")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got, err = b.send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, got.status, "a form that was not signed")

	oauth := oauthParams(b.acme.creds, b.nonce(), time.Now())
	oauth["oauth_signature"] = sign("POST", b.server.URL()+"/2/tweets", oauth, url.Values{"text": {"x"}},
		b.acme.creds.APISecret, b.acme.creds.AccessTokenSecret)
	r = b.request(b.acme, "POST", "/2/tweets", "text=x")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", authorization(oauth))
	got, err = b.send(r)
	require.NoError(t, err)
	require.Equal(t, []string{"Requests with bodies must have content-type of application/json."}, got.messages(t))
}

// TestMounted: under a prefix, by either way, the signature covers the address that was dialled.
func TestMounted(t *testing.T) {
	t.Parallel()
	t.Run("BasePath", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{BasePath: "/x/api"})
		require.True(t, strings.HasSuffix(b.server.URL(), "/x/api"))
		b.mustPost(b.acme, "under a base path")
		require.Equal(t, "/2/tweets", b.last().Path)
		r := b.request(b.acme, "POST", "/2/tweets", textBody("x"))
		r.URL.Path = "/2/tweets"
		got, err := b.send(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, got.status)
	})
	t.Run("StripPrefix", func(t *testing.T) {
		t.Parallel()
		s, err := sandbox.New(sandbox.Config{})
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle("/deep/down/", http.StripPrefix("/deep/down", s))
		outer := httptest.NewServer(mux)
		defer outer.Close()
		app, err := s.AddApp(sandbox.App{})
		require.NoError(t, err)
		_, err = s.AddUser(sandbox.User{Username: "acme"})
		require.NoError(t, err)
		c, err := s.Authorize(app.Key, "acme")
		require.NoError(t, err)
		for address, want := range map[string]int{
			outer.URL + "/deep/down/2/tweets": http.StatusCreated,
			outer.URL + "/2/tweets":           http.StatusUnauthorized,
		} {
			oauth := oauthParams(c, "n"+fmt.Sprint(want), time.Now())
			oauth["oauth_signature"] = sign("POST", address, oauth, nil, c.APISecret, c.AccessTokenSecret)
			r, err := http.NewRequest(http.MethodPost, outer.URL+"/deep/down/2/tweets", strings.NewReader(textBody("x")))
			require.NoError(t, err)
			r.Header.Set("Authorization", authorization(oauth))
			r.Header.Set("Content-Type", "application/json")
			res, err := outer.Client().Do(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, want, res.StatusCode, "signed for %s", address)
		}
	})
}

func TestTwoApps(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	readOnly, err := b.server.AddApp(sandbox.App{Name: "reader", ReadOnly: true, Key: "key", Secret: "secret"})
	require.NoError(t, err)
	require.Regexp(t, `^[0-9]{1,19}$`, readOnly.ID)
	require.NotEmpty(t, readOnly.ClientID)
	require.Equal(t, sandbox.App{
		ID: readOnly.ID, Name: "reader", ReadOnly: true, Key: "key", Secret: "secret", ClientID: readOnly.ClientID,
	}, readOnly)
	reader := b.authorize(readOnly, b.acme.User)
	got := b.post(reader, "x")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Equal(t, "https://api.twitter.com/2/problems/oauth1-permissions", got.json(t)["type"])
	require.Equal(t, "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.", got.json(t)["detail"])
	require.Equal(t, "read", got.header.Get("x-access-level"))
	require.Equal(t, "reader", b.last().App)
	require.Equal(t, http.StatusForbidden, b.do(reader, "DELETE", "/2/tweets/1", "").status)
	require.Equal(t, http.StatusOK, b.do(reader, "GET", "/2/users/me", "").status)
	require.Equal(t, http.StatusOK, b.do(reader, "GET", "/2/tweets/1", "").status)

	b.mustPost(b.acme, "x")
	require.Equal(t, "tests", b.last().App)
}

func TestAccountsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	for name, u := range map[string]sandbox.User{
		"NoName":        {},
		"LongName":      {Username: "abcdefghijklmnop"},
		"BadName":       {Username: "a-b"},
		"TakenName":     {Username: "ACME"},
		"TakenID":       {Username: "new", ID: b.acme.ID},
		"BadID":         {Username: "new", ID: "12a"},
		"NegativeLimit": {Username: "new", TextLimit: -1},
	} {
		_, err := b.server.AddUser(u)
		require.Error(t, err, name)
	}
	_, err := b.server.AddApp(sandbox.App{Key: b.app.Key})
	require.Error(t, err)
	_, err = b.server.Authorize("unknown", "acme")
	require.Error(t, err)
	_, err = b.server.Authorize(b.app.Key, "unknown")
	require.Error(t, err)
	require.Error(t, b.server.SetUser(sandbox.User{Username: "nobody"}))
	require.Error(t, b.server.SetUser(sandbox.User{Username: "a-b", ID: b.acme.ID}))
	other := b.user("other")
	require.Error(t, b.server.SetUser(sandbox.User{Username: "other", ID: b.acme.ID}))
	require.NotEqual(t, b.acme.ID, other.ID)
}

func TestSetUser(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	u := b.acme.User
	u.Username, u.Name, u.Suspended = "Acme2", "", true
	require.NoError(t, b.server.SetUser(u))
	got := b.do(b.acme, "GET", "/2/users/me", "")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Equal(t, `{"detail":"The user used for authentication is suspended","title":"Forbidden","status":403,`+
		`"type":"https://api.twitter.com/2/problems/user-suspended"}`, got.body)
	u.Suspended = false
	require.NoError(t, b.server.SetUser(u))
	require.Equal(t, "Acme2", b.do(b.acme, "GET", "/2/users/me", "").data(t)["username"])
	b.user("acme") // the old name is free
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	good := sandbox.Limit{Routes: []sandbox.Route{sandbox.RouteMe}, Per: sandbox.PerUser, Max: 1, Window: time.Second}
	limit := func(change func(*sandbox.Limit)) sandbox.Config {
		l := good
		change(&l)
		return sandbox.Config{Limits: []sandbox.Limit{good, l}}
	}
	cases := map[string]sandbox.Config{
		`base path "x"`:                  {BasePath: "x"},
		`base path "/x/"`:                {BasePath: "/x/"},
		`delete missing "no"`:            {DeleteMissing: "no"},
		`keep requests -1`:               {KeepRequests: -1},
		`limit 1: it names no route`:     limit(func(l *sandbox.Limit) { l.Routes = nil }),
		`limit 1: route "GET /" is none`: limit(func(l *sandbox.Limit) { l.Routes = []sandbox.Route{"GET /"} }),
		`limit 1: per "": use user`:      limit(func(l *sandbox.Limit) { l.Per = "" }),
		`limit 1: max 0`:                 limit(func(l *sandbox.Limit) { l.Max = 0 }),
		`limit 1: window 0s`:             limit(func(l *sandbox.Limit) { l.Window = 0 }),
		`limit 1: family "x"`:            limit(func(l *sandbox.Limit) { l.Family = "x" }),
		`oauth2/token" is not limited`:   limit(func(l *sandbox.Limit) { l.Routes = []sandbox.Route{sandbox.RouteOAuth2Token} }),
		`hidden families: family ""`:     {HiddenFamilies: []sandbox.Family{sandbox.FamilyNone}},
		`access token lifetime -1s`:      {AccessTokenLifetime: -time.Second},
		`access token lifetime 1.5s`:     {AccessTokenLifetime: 1500 * time.Millisecond},
	}
	for want, cfg := range maps.All(cases) {
		_, err := sandbox.New(cfg)
		require.ErrorContains(t, err, want)
	}
	_, err := sandbox.New(sandbox.Config{BasePath: "x", DeleteMissing: "no"})
	require.ErrorContains(t, err, "base path")
	require.ErrorContains(t, err, "delete missing", "all at once")
	_, err = sandbox.New(sandbox.Config{Limits: []sandbox.Limit{good}})
	require.NoError(t, err)
}
