package twitter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// tokenClient asks X's token endpoint, for one App.
type tokenClient struct {
	config  oauth2.Config
	base    http.RoundTripper // the gate
	timeout time.Duration
}

func newTokenClient(base *url.URL, cfg Config, oauth OAuth2Config) tokenClient {
	// Stated, not tried out: the library would send a refused refresh a second time in another style.
	style := oauth2.AuthStyleInHeader
	if oauth.ClientSecret == "" {
		style = oauth2.AuthStyleInParams
	}
	return tokenClient{
		config: oauth2.Config{
			ClientID: oauth.ClientID, ClientSecret: oauth.ClientSecret,
			Endpoint: oauth2.Endpoint{TokenURL: base.JoinPath("2", "oauth2", "token").String(), AuthStyle: style},
		},
		base:    cfg.gate(),
		timeout: cfg.timeout(),
	}
}

// call describes a request to the token endpoint that holds token.
func (c *tokenClient) call(token OAuth2Token) call {
	return call{
		op: "refresh token", method: http.MethodPost, collection: true,
		secrets: []string{c.config.ClientSecret, token.AccessToken, token.RefreshToken},
	}
}

// refresh trades a refresh token for a new token: POST /2/oauth2/token, once. It is watched like
// any other request, so that it is known whether X may have taken the old refresh token.
func (c *tokenClient) refresh(ctx context.Context, old OAuth2Token, check func() error) (OAuth2Token, error) {
	r := c.call(old)
	if old.RefreshToken == "" {
		return OAuth2Token{}, r.unanswered(KindLoginNeeded, errors.New("there is no refresh token: the grant lacks the scope offline.access"))
	}
	ctx, stop := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %s: %w", c.timeout, context.DeadlineExceeded))
	defer stop()
	if check == nil {
		check = func() error { return nil } // not that of the request which needs the token
	}
	ctx, f := newFlight(WithRequestCheck(ctx, check), r.method)
	defer f.cancel(nil)

	once := &tokenTransport{base: c.base}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: once})
	granted, err := c.config.TokenSource(ctx, &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
	switch {
	case once.answer == nil:
		return OAuth2Token{}, r.unrefreshed(f.end(cmp.Or(once.err, err)))
	case err != nil:
		once.answer.RoundTrip = f.roundTrip(once.answer.Received)
		return OAuth2Token{}, r.refusedRefresh(*once.answer, once.err)
	}
	token := newToken(granted, old)
	if err := checkSecret(token.AccessToken); err != nil {
		return OAuth2Token{}, r.unrefreshed(KindMaybeSent, fmt.Errorf("the new access token %w", err))
	}
	return token, nil
}

func newToken(granted *oauth2.Token, old OAuth2Token) OAuth2Token {
	token := OAuth2Token{AccessToken: granted.AccessToken, RefreshToken: granted.RefreshToken, Scope: old.Scope}
	if scope, ok := granted.Extra("scope").(string); ok && scope != "" {
		token.Scope = scope
	}
	if !granted.Expiry.IsZero() {
		// Without the monotonic reading, which stands still while a machine sleeps.
		token.Expiry = granted.Expiry.UTC().Round(0)
	}
	return token
}

// unrefreshed is the error of a refresh without an answer.
func (r call) unrefreshed(kind Kind, err error) error {
	if kind == KindMaybeSent {
		kind = KindRefreshUnknown
	}
	return r.unanswered(kind, err)
}

// refusedRefresh is the error of an answer without a token. Its body is not handed on: it may hold
// tokens. The library's error is not either: it quotes the body.
func (r call) refusedRefresh(a Answer, readErr error) error {
	p, err := parseProblem(a.RawBody)
	readable := err == nil && (readErr == nil || len(a.RawBody) > 0)
	kind := r.kindOfRefresh(a.StatusCode, p, readable)
	if a.StatusCode/100 == 2 && err == nil && p.title == "" {
		err = errors.New("the answer has no usable token")
	}
	a.RawBody = nil
	return r.failure(kind, a, p, errors.Join(err, readErr))
}

// tokenTransport carries one request of the library and keeps X's answer to it. The library is
// given no more of the answer than it needs: a bounded body, called JSON whatever X called it, and
// no address to be redirected to.
type tokenTransport struct {
	base   http.RoundTripper
	answer *Answer // nil without an answer
	err    error   // of the transport, or of reading the answer
}

func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	setHeaders(req)
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		t.err = err
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp, time.Now(), MaxBody)
	t.answer, t.err = &answer, err
	return &http.Response{
		StatusCode: answer.StatusCode,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(bytes.NewReader(answer.RawBody)),
		Request:    req,
	}, nil
}
