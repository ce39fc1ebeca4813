package twitter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// refreshEarly is how long before its expiry a token is refreshed. X's own client does it so.
const refreshEarly = 30 * time.Second

// OAuth2Token is what X's token endpoint grants for one user. It prints as [redacted], also as
// JSON: store its fields.
type OAuth2Token struct {
	secret

	AccessToken string
	// RefreshToken is good for one refresh, which replaces it. It is "" without the scope
	// offline.access.
	RefreshToken string
	// Expiry is when AccessToken ends, by this machine's clock. If it is zero the token is used until
	// X refuses it.
	Expiry time.Time
	// Scope lists what was granted, separated by spaces; "" if X did not say.
	Scope string
}

// fresh reports whether the token can sign a request that goes out now.
func (t OAuth2Token) fresh() bool {
	return t.AccessToken != "" && (t.Expiry.IsZero() || time.Until(t.Expiry) > refreshEarly)
}

func (t OAuth2Token) problems() []error {
	var errs []error
	if t.AccessToken == "" && t.RefreshToken == "" {
		errs = append(errs, errors.New("both the access token and the refresh token are empty"))
	}
	if err := checkSecret(t.AccessToken); err != nil {
		errs = append(errs, fmt.Errorf("the access token %w", err))
	}
	return errs
}

// OAuth2Config is what it takes to sign with the OAuth 2.0 token of one user, and to refresh it.
//
// X replaces the refresh token with every refresh, and the old one is dead at once. A new token
// that is lost, or two processes that refresh with the same old one, cost the account its grant:
// the user must sign in again. The hooks are there against both. None of them is called twice at
// once; their contexts do not end with the request that needs the token, and have Config.Timeout.
type OAuth2Config struct {
	secret

	// ClientID and ClientSecret are those of the App. A confidential client sends them as HTTP Basic
	// authentication; without a secret, the client is a public one and sends its id as a parameter.
	ClientID     string
	ClientSecret string
	// Token is the token as it was stored last.
	Token OAuth2Token
	// Load returns the token as it is stored now, right before a refresh. Take the account's lease in
	// it, if several processes sign for the account: if another has refreshed meanwhile, its token is
	// used and X is not asked. Release, unless nil, is called when the refresh is over, however it
	// ended. An error ends the refresh before anything is sent. If Load is nil, no other process may
	// refresh this account's token.
	Load func(ctx context.Context) (current OAuth2Token, release func(), err error)
	// Check is asked when the refresh's connection is ready, as that of WithRequestCheck: the lease
	// may have run out while this process stood still. May be nil.
	Check func() error
	// Save stores a new token for good. Only then it is used: if Save returns an error, the request
	// that needed the token is not sent. The token is kept, and saved again before the next request.
	Save func(ctx context.Context, fresh OAuth2Token) error
}

// OAuth2 signs with the OAuth 2.0 user token of one account, and refreshes it 30 s before it
// expires. It is safe for concurrent use. Make one for each account in a process, and share it
// among all clients of the account: requests that need a refresh at the same time then ask X once.
// X documents it as authentication/oauth-2-0.
//
// A request that needs a refresh waits for it. The first of them makes the refresh and stays until
// it is over, which may take longer than its own time. If that fails, the request was certainly not sent,
// and its [Error] is one of [KindLoginNeeded], [KindClientRefused], [KindRefreshUnknown] and
// [KindNeverSent]; beneath it lies the Error of the refresh.
type OAuth2 struct {
	secret

	config  OAuth2Config
	client  tokenClient
	unsaved unsavedToken // owned by the goroutine that made refreshing

	mu         sync.Mutex
	token      OAuth2Token   // guarded by mu
	refreshing *tokenRefresh // guarded by mu; nil if there is none
}

var _ Auth = (*OAuth2)(nil)

// unsavedToken is a token that X granted and Save did not take.
type unsavedToken struct {
	replaced string // the refresh token that was used up for it
	token    OAuth2Token
}

// tokenRefresh is a refresh that is under way. Token and err are set before done is closed.
type tokenRefresh struct {
	done  chan struct{}
	token OAuth2Token
	err   error
}

// NewOAuth2 returns an Auth for one account. Cfg says where X's token endpoint is and how to reach
// it, as it does for [NewClient]. All that is wrong is reported at once.
func NewOAuth2(cfg Config, oauth OAuth2Config) (*OAuth2, error) {
	base, errs := cfg.parse()
	if oauth.ClientID == "" {
		errs = append(errs, errors.New("ClientID is empty"))
	}
	if oauth.Save == nil {
		errs = append(errs, errors.New("Save is nil: a refreshed token that is not saved costs the account its grant"))
	}
	errs = append(errs, oauth.Token.problems()...)
	if len(errs) > 0 {
		return nil, fmt.Errorf("new OAuth 2.0 token: %w", errors.Join(errs...))
	}
	return &OAuth2{
		config: oauth,
		client: newTokenClient(base, cfg, oauth),
		token:  oauth.Token,
	}, nil
}

// Refresh replaces a token that X has refused before its time, with a 401: rejected is the access
// token of that request ([Error.AccessToken]). If another one is current by now, because somebody
// else has refreshed, Refresh does nothing, so that of many requests that were refused only the
// first asks X. Whether to do so, and to send the request once more, is the caller's decision.
func (a *OAuth2) Refresh(ctx context.Context, rejected string) error {
	_, err := a.current(ctx, rejected)
	return err
}

func (a *OAuth2) problems() []error {
	if a == nil || a.config.Save == nil {
		return []error{errors.New("auth was not made by NewOAuth2")}
	}
	return nil
}

func (a *OAuth2) sign(base http.RoundTripper) http.RoundTripper {
	return &bearer{auth: a, base: base}
}

// bearer signs each request with the current token.
type bearer struct {
	auth *OAuth2
	base http.RoundTripper
}

func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := b.auth.current(req.Context(), "")
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, newUnsignedError(err)
	}
	if f, ok := req.Context().Value(flightKey{}).(*flight); ok {
		f.sign(token.AccessToken)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return b.base.RoundTrip(req)
}

// unsignedError says that a request was not sent, for want of a token.
type unsignedError struct {
	kind Kind
	err  error
}

func (e *unsignedError) Error() string { return e.err.Error() }

func (e *unsignedError) Unwrap() error { return e.err }

func newUnsignedError(err error) error {
	kind := KindNeverSent
	if e, ok := errors.AsType[*Error](err); ok {
		kind = e.Kind.ofUnsent()
	}
	return &unsignedError{kind: kind, err: err}
}

// current returns a token that is fresh and is not the rejected one. If that takes a refresh, the
// first who comes makes it and the others wait for what comes of it. The one who makes it stays
// until it is over, also when ctx ends: a refresh cut off in the middle would lose the grant.
func (a *OAuth2) current(ctx context.Context, rejected string) (OAuth2Token, error) {
	token, refresh, mine := a.join(rejected)
	switch {
	case refresh == nil:
		return token, nil
	case mine:
		a.lead(ctx, refresh, rejected)
		return refresh.token, refresh.err
	}
	select {
	case <-refresh.done:
		return refresh.token, refresh.err
	case <-ctx.Done():
		return OAuth2Token{}, a.neverSent(context.Cause(ctx))
	}
}

// join returns the current token if it will do, else the refresh under way, else one of its own.
func (a *OAuth2) join(rejected string) (token OAuth2Token, refresh *tokenRefresh, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.token.fresh() && a.token.AccessToken != rejected:
		return a.token, nil, false
	case a.refreshing != nil:
		return OAuth2Token{}, a.refreshing, false
	}
	a.refreshing = &tokenRefresh{
		done: make(chan struct{}),
		err:  a.neverSent(errors.New("a hook panicked")), // unless it comes to another end
	}
	return OAuth2Token{}, a.refreshing, true
}

func (a *OAuth2) lead(ctx context.Context, refresh *tokenRefresh, rejected string) {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if refresh.err == nil {
			a.token = refresh.token
		}
		a.refreshing = nil
		close(refresh.done)
	}()
	if ctx.Err() != nil {
		refresh.err = a.neverSent(context.Cause(ctx))
		return
	}
	refresh.token, refresh.err = a.refresh(context.WithoutCancel(ctx), rejected)
}

// refresh loads what is stored, asks X if that will not do, and saves what X granted.
func (a *OAuth2) refresh(ctx context.Context, rejected string) (OAuth2Token, error) {
	token, release, err := a.load(ctx)
	if err != nil {
		return OAuth2Token{}, a.neverSent(fmt.Errorf("load the token: %w", err))
	}
	defer release()
	if a.unsaved.replaced == token.RefreshToken && a.unsaved.token.AccessToken != "" {
		token = a.unsaved.token
		if err := a.save(ctx, token); err != nil {
			return OAuth2Token{}, err
		}
	}
	if token.fresh() && token.AccessToken != rejected {
		return token, nil
	}
	fresh, err := a.client.refresh(ctx, token, a.config.Check)
	if err != nil {
		return OAuth2Token{}, err
	}
	a.unsaved = unsavedToken{replaced: token.RefreshToken, token: fresh}
	return fresh, a.save(ctx, fresh)
}

func (a *OAuth2) load(ctx context.Context) (token OAuth2Token, release func(), err error) {
	if a.config.Load == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.token, func() {}, nil
	}
	ctx, stop := context.WithTimeout(ctx, a.client.timeout)
	defer stop()
	token, release, err = a.config.Load(ctx)
	if release == nil {
		release = func() {}
	}
	if err == nil {
		if err = errors.Join(token.problems()...); err != nil {
			release()
		}
	}
	return token, release, err
}

// save stores the unsaved token, and forgets that it was unsaved.
func (a *OAuth2) save(ctx context.Context, token OAuth2Token) error {
	ctx, stop := context.WithTimeout(ctx, a.client.timeout)
	defer stop()
	if err := a.config.Save(ctx, token); err != nil {
		return a.neverSent(fmt.Errorf("save the new token, which is kept until it is saved: %w", err))
	}
	a.unsaved = unsavedToken{}
	return nil
}

// neverSent is the error of a request that waits for a token no longer, and of no refresh.
func (a *OAuth2) neverSent(err error) error {
	return a.client.call(OAuth2Token{}).unanswered(KindNeverSent, err)
}
