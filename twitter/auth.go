package twitter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode"

	"github.com/dghubble/oauth1"
)

// Auth signs the requests of one account: [OAuth1] or [*OAuth2]. The interface is closed.
type Auth interface {
	// problems lists what is wrong with the credentials, without showing them.
	problems() []error
	// sign returns a transport that adds the Authorization header and hands over to base.
	sign(base http.RoundTripper) http.RoundTripper
}

// redacted is what a secret prints as.
const redacted = "[redacted]"

// secret is embedded by what must not print.
type secret struct{}

// Format implements fmt.Formatter: every verb prints [redacted].
func (secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// String implements fmt.Stringer.
func (secret) String() string { return redacted }

// MarshalText implements encoding.TextMarshaler; encoding/json and zerolog use it too.
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// OAuth1 holds the four secrets of OAuth 1.0a: the App's key and secret, and the access token and
// its secret, which stand for one user and do not expire until revoked.
//
// It prints as [redacted] through fmt, encoding/json, encoding.TextMarshaler, log/slog and loggers
// that use these. It cannot hide when it is an unexported field of a struct printed with %+v: fmt
// calls no methods there.
type OAuth1 struct {
	secret

	APIKey            string
	APISecret         string
	AccessToken       string
	AccessTokenSecret string
}

var _ Auth = OAuth1{}

func (a OAuth1) problems() []error {
	var errs []error
	for _, part := range []struct{ name, value string }{
		{"APIKey", a.APIKey},
		{"APISecret", a.APISecret},
		{"AccessToken", a.AccessToken},
		{"AccessTokenSecret", a.AccessTokenSecret},
	} {
		if part.value == "" {
			errs = append(errs, fmt.Errorf("OAuth1.%s is empty", part.name))
		} else if err := checkSecret(part.value); err != nil {
			errs = append(errs, fmt.Errorf("OAuth1.%s %w", part.name, err))
		}
	}
	return errs
}

func checkSecret(value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r >= unicode.MaxASCII || r <= ' ' }) {
		return errors.New("holds a space, line break or non-ASCII character: copy it again")
	}
	return nil
}

func (a OAuth1) sign(base http.RoundTripper) http.RoundTripper {
	return a.signWithNonces(base, oauth1.Base64Noncer{})
}

// signWithNonces is sign with a stated source of nonces, which X's published signatures need.
func (a OAuth1) signWithNonces(base http.RoundTripper, noncer oauth1.Noncer) http.RoundTripper {
	config := &oauth1.Config{ConsumerKey: a.APIKey, ConsumerSecret: a.APISecret, Noncer: noncer}
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: base})
	return oauth1.NewClient(ctx, config, oauth1.NewToken(a.AccessToken, a.AccessTokenSecret)).Transport
}
