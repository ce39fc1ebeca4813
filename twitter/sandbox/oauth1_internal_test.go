package sandbox

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The vectors that X publishes, re-computed with three libraries: the same request to three
// addresses.
const (
	vectorConsumerSecret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
	vectorTokenSecret    = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
)

func vectors() map[string]signedRequest {
	all := map[string]signedRequest{}
	for _, v := range []struct{ host, path, signature string }{
		{"api.x.com", "/1.1/statuses/update.json", "Ls93hJiZbQ3akF3HF3x1Bz8/zU4="},
		{"api.twitter.com", "/1.1/statuses/update.json", "hCtSmYh+iHYCEqBWrE7C7hYmtUk="},
		{"api.twitter.com", "/1/statuses/update.json", "tnnArxj06cWHq44gCs1OSKk/jLY="},
	} {
		all[v.host+v.path] = signedRequest{
			method: "POST", scheme: "https", host: v.host, path: v.path,
			query: "include_entities=true",
			form:  "status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21",
			oauth: map[string]string{
				"oauth_consumer_key":     "xvz1evFS4wEEPTGEFPHBog",
				"oauth_nonce":            "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
				"oauth_signature_method": "HMAC-SHA1",
				"oauth_timestamp":        "1318622958",
				"oauth_token":            "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
				"oauth_version":          "1.0",
				"oauth_signature":        v.signature,
			},
		}
	}
	return all
}

func TestVerifyVectors(t *testing.T) {
	t.Parallel()
	for name, v := range vectors() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, v.verify(vectorConsumerSecret, vectorTokenSecret))
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*signedRequest) {
		return func(v *signedRequest) { v.oauth[name] = value }
	}
	unset := func(name string) func(*signedRequest) {
		return func(v *signedRequest) { delete(v.oauth, name) }
	}
	const mismatch = "the signature does not match"
	for name, tt := range map[string]struct {
		change func(*signedRequest)
		want   string
	}{
		"Method":                 {func(v *signedRequest) { v.method = "PUT" }, mismatch},
		"Scheme":                 {func(v *signedRequest) { v.scheme = "http" }, mismatch},
		"Host":                   {func(v *signedRequest) { v.host = "api.example.com" }, mismatch},
		"Port":                   {func(v *signedRequest) { v.host += ":8443" }, mismatch},
		"Path":                   {func(v *signedRequest) { v.path += "/" }, mismatch},
		"Query":                  {func(v *signedRequest) { v.query = "include_entities=false" }, mismatch},
		"QueryAbsent":            {func(v *signedRequest) { v.query = "" }, mismatch},
		"Form":                   {func(v *signedRequest) { v.form = "status=Hello" }, mismatch},
		"Nonce":                  {set("oauth_nonce", "other"), mismatch},
		"Timestamp":              {set("oauth_timestamp", "1318622959"), mismatch},
		"Token":                  {set("oauth_token", "other"), mismatch},
		"Signature":              {set("oauth_signature", "Ls93hJiZbQ3akF3HF3x1Bz8/zU5="), mismatch},
		"SignatureEmpty":         {set("oauth_signature", ""), mismatch},
		"SignatureAbsent":        {unset("oauth_signature"), mismatch},
		"SignatureMethod":        {set("oauth_signature_method", "PLAINTEXT"), `oauth_signature_method is "PLAINTEXT", not HMAC-SHA1`},
		"SignatureMethodAbsent":  {unset("oauth_signature_method"), `oauth_signature_method is "", not HMAC-SHA1`},
		"Version":                {set("oauth_version", "2.0"), `oauth_version is "2.0", not 1.0`},
		"VersionAbsentButSigned": {unset("oauth_version"), mismatch},
		"ConsumerKeyAbsent":      {unset("oauth_consumer_key"), "oauth_consumer_key is missing"},
		"TokenAbsent":            {unset("oauth_token"), "oauth_token is missing"},
		"TimestampAbsent":        {unset("oauth_timestamp"), "oauth_timestamp is missing"},
		"NonceAbsent":            {unset("oauth_nonce"), "oauth_nonce is missing"},
		"ExtraParameter":         {set("oauth_callback", "oob"), mismatch},
		"UnreadableQuery":        {func(v *signedRequest) { v.query = "a=%zz" }, `the parameters that were signed: invalid URL escape "%zz"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vectors()["api.x.com/1.1/statuses/update.json"]
			v.oauth = maps.Clone(v.oauth)
			tt.change(&v)
			require.EqualError(t, v.verify(vectorConsumerSecret, vectorTokenSecret), tt.want)
		})
	}
	for name, secrets := range map[string][2]string{
		"ConsumerSecret": {"other", vectorTokenSecret},
		"TokenSecret":    {vectorConsumerSecret, "other"},
		"Swapped":        {vectorTokenSecret, vectorConsumerSecret},
		"None":           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vectors()["api.x.com/1.1/statuses/update.json"]
			require.EqualError(t, v.verify(secrets[0], secrets[1]), mismatch)
		})
	}
}

// TestBaseStringOfRFC is the example of RFC 5849, 3.4.1.1, with its repeated and empty parameters.
func TestBaseStringOfRFC(t *testing.T) {
	t.Parallel()
	v := signedRequest{
		method: "POST", scheme: "http", host: "EXAMPLE.COM:80", path: "/request",
		query: "b5=%3D%253D&a3=a&c%40=&a2=r%20b", form: "c2&a3=2+q",
		oauth: map[string]string{
			"oauth_consumer_key": "9djdj82h48djs9d2", "oauth_token": "kkk9d7dh3k39sjv7",
			"oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": "137131201",
			"oauth_nonce": "7d8f3e4a", "oauth_signature": "bYT5CMsGcbgUdFHObYMEfcx6bsw=",
		},
	}
	got, err := v.baseString()
	require.NoError(t, err)
	require.Equal(t, "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q"+
		"%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_"+
		"key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m"+
		"ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk"+
		"9d7dh3k39sjv7", got)
}

func TestSignedAddress(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]signedRequest{
		"http://127.0.0.1:8083/2/tweets": {scheme: "http", host: "127.0.0.1:8083", path: "/2/tweets"},
		"http://x.test/":                 {scheme: "http", host: "X.test:80", path: ""},
		"https://x.test/a%20b":           {scheme: "https", host: "x.test:443", path: "/a%20b"},
		"https://x.test:80/":             {scheme: "https", host: "x.test:80", path: "/"},
	} {
		require.Equal(t, want, v.address())
	}
}

func TestPercentEncode(t *testing.T) {
	t.Parallel()
	// The table in X's page "Percent encoding parameters".
	for in, want := range map[string]string{
		"Ladies + Gentlemen":          "Ladies%20%2B%20Gentlemen",
		"An encoded string!":          "An%20encoded%20string%21",
		"Dogs, Cats & Mice":           "Dogs%2C%20Cats%20%26%20Mice",
		"☃":                           "%E2%98%83",
		"*":                           "%2A",
		"azAZ09-._~":                  "azAZ09-._~",
		"\x00/":                       "%00%2F",
		"":                            "",
		"https://x.test/a?b=c&d=%20#": "https%3A%2F%2Fx.test%2Fa%3Fb%3Dc%26d%3D%2520%23",
	} {
		require.Equal(t, want, percentEncode(in))
	}
}

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	t.Run("Accepts", func(t *testing.T) {
		t.Parallel()
		got, err := parseAuthorization([]string{`oauth realm="x",  a="1%2B+2",b=""`})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a": "1++2", "b": ""}, got)
	})
	for name, headers := range map[string][]string{
		"None":      nil,
		"Two":       {`OAuth a="1"`, `OAuth a="1"`},
		"Bearer":    {"Bearer abc"},
		"Empty":     {"OAuth "},
		"Unquoted":  {"OAuth a=1"},
		"HalfQuote": {`OAuth a="`},
		"NoValue":   {`OAuth a`},
		"BadName":   {`OAuth %zz="1"`},
		"BadValue":  {`OAuth a="%zz"`},
		"Twice":     {`OAuth a="1",a="1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseAuthorization(headers)
			require.Error(t, err)
		})
	}
}

func TestNonces(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const life = 10 * time.Minute
	var n nonces
	require.True(t, n.add("token", "a", start, life))
	require.False(t, n.add("token", "a", start, life), "used at once")
	require.True(t, n.add("other", "a", start, life), "of another token")
	require.True(t, n.add("token", "b", start.Add(9*time.Minute), life))
	require.False(t, n.add("token", "a", start.Add(life), life), "still within its life")
	// Each of the next two begins a generation. What is two generations old is forgotten.
	require.True(t, n.add("token", "c", start.Add(11*time.Minute), life))
	require.False(t, n.add("token", "b", start.Add(19*time.Minute), life), "still within its life")
	require.True(t, n.add("token", "d", start.Add(22*time.Minute), life))
	require.Len(t, n.old, 1)
	require.True(t, n.add("token", "a", start.Add(22*time.Minute), life), "forgotten")
}
