package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/twitter/sandbox"
)

type sandboxCmd struct {
	AccessTokenLifetime time.Duration `default:"2h" help:"How long an OAuth 2.0 access token is good."`
	APIKey              string        `name:"api-key" placeholder:"KEY" help:"The app's API key. Without it one that --seed determines, as all credentials are."`
	APISecret           string        `name:"api-secret" placeholder:"SECRET" help:"The API key's secret."`
	ClientID            string        `name:"client-id" placeholder:"ID" help:"The app's client id for OAuth 2.0."`
	ClientSecret        string        `placeholder:"SECRET" help:"The client's secret."`
	Credits             *sandbox.USD  `placeholder:"USD" help:"The app's balance in dollars: when it is gone, requests are told 402. Without it there is no bound."`
	DeleteMissing       string        `enum:"404,false,true" default:"404" help:"What the deletion of a missing tweet is told: 404, false (200, not deleted) or true (200, deleted)."`
	DuplicateWindow     time.Duration `default:"24h" help:"How long a user may not post a text again. 0 is not at all: every text is taken."`
	Gzip                bool          `help:"Compress answers for clients that take it, as X does."`
	JSON                bool          `help:"Print one JSON object with the base URL, apps, users and tokens, and then one for each request."`
	KeepRequests        int           `default:"10000" help:"How many requests the record keeps: the newest so many. 0 is all."`
	Limits              string        `enum:"guide,current,none" default:"guide" help:"The limits that hold: guide (per user 200 posts and 50 deletions per 15 minutes, 300 posts and retweets per 3 hours), current (100 posts per 15 minutes, and per app 10,000 per day) or none."`
	Listen              string        `default:"127.0.0.1:8083" help:"Where to listen: a loopback address and a port, 0 for a free one."`
	MissingTweet        string        `enum:"200,404" default:"200" help:"What the read of a missing tweet is told: 200, with errors and without data, or 404."`
	Premium             bool          `help:"Every user has X Premium: texts of up to 25,000."`
	ReadLag             time.Duration `help:"How long reads do not show yet what was created or deleted."`
	ReadLagMax          time.Duration `help:"If it is more, each tweet has a lag of its own from --read-lag up to this."`
	Seed                uint64        `default:"1" help:"Determines keys, tokens, lags and the faults with a rate, so that they are the same after a restart; but for the tokens of OAuth 2.0, which hold the time. 0 is new ones each time."`
	SelfServe           string        `enum:"newer,older,off" default:"newer" help:"The rules for replies, quotes and cashtags of an app that is not Enterprise, in X's newer or older words; or off."`
	SpendCap            sandbox.USD   `placeholder:"USD" help:"What the app may spend in a calendar month, in dollars: then requests are told 403. Without it there is no cap."`
	User                []string      `default:"acme" sep:"none" placeholder:"NAME[:TOKEN:SECRET]" help:"A user, and its access token and that one's secret if they are not for --seed to determine; repeat it for more."`
}

// Help is shown by --help.
func (*sandboxCmd) Help() string {
	return `It needs no database, knows nobody and keeps nothing: what was posted is gone when it ends, at Ctrl-C. The lines that it prints first are for the shell of whatever is to talk to it. docs/sandbox.md says how it is like X and how not, and how faults are set.

Examples:

    worker sandbox
    worker sandbox --listen 127.0.0.1:0 --user acme --user umbrella --limits none --json`
}

// sandboxReady is the first object that --json prints. The others are sandbox.Request.
type sandboxReady struct {
	BaseURL string         `json:"base_url"`
	Apps    []sandboxApp   `json:"apps"`
	Users   []sandbox.User `json:"users"`
	Tokens  []sandboxToken `json:"tokens"`
}

// sandboxApp is an app and the token that it reads with as itself.
type sandboxApp struct {
	sandbox.App

	BearerToken string `json:"bearer_token"`
}

// sandboxToken is what a client signs with for one user.
type sandboxToken struct {
	sandbox.Credentials // by OAuth 1.0a

	OAuth2   sandbox.OAuth2Token `json:"oauth2"`
	Username string              `json:"username"`
}

// Run serves until ctx ends.
func (c *sandboxCmd) Run(ctx context.Context, env *environment) error {
	if err := c.validate(); err != nil {
		return err
	}
	x, err := sandbox.New(c.config())
	if err != nil {
		return setup.Usage("%w", err)
	}
	ready, err := c.populate(x)
	if err != nil {
		return setup.Usage("%w", err)
	}
	if err := x.Start(c.Listen); err != nil {
		return fmt.Errorf("%w: choose another address by --listen", err)
	}
	defer x.Close()
	ready.BaseURL = x.URL()
	if c.JSON {
		return tellJSON(ctx, env.stdout, x, ready)
	}
	ready.print(env.stdout)
	for r := range x.Ended(ctx) {
		fmt.Fprintln(env.stdout, requestLine(r))
	}
	return nil
}

func (c *sandboxCmd) validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return setup.Usage("--listen: %w: use an address such as 127.0.0.1:8083", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return setup.Usage("--listen %s is no loopback address: the sandbox guards nothing, so it is for this machine alone; "+
			"use one such as 127.0.0.1:8083", c.Listen)
	}
	if c.DuplicateWindow < 0 {
		return setup.Usage("--duplicate-window is %s: use 0 or more", c.DuplicateWindow)
	}
	return nil
}

func (c *sandboxCmd) config() sandbox.Config {
	limits := map[string][]sandbox.Limit{
		"guide": sandbox.DefaultLimits(), "current": sandbox.CurrentLimits(), "none": {},
	}
	return sandbox.Config{
		AccessTokenLifetime: c.AccessTokenLifetime,
		Billing:             sandbox.Billing{Credits: c.Credits, SpendCap: c.SpendCap},
		Control:             true,
		DeleteMissing:       sandbox.DeleteMissing(c.DeleteMissing),
		DuplicateWindow:     cmp.Or(c.DuplicateWindow, -1), // of a Config, 0 is the default
		Gzip:                c.Gzip,
		KeepRequests:        c.KeepRequests,
		Limits:              limits[c.Limits],
		MissingTweet:        sandbox.MissingTweet(c.MissingTweet),
		ReadLag:             sandbox.ReadLag{Min: c.ReadLag, Max: c.ReadLagMax},
		Seed:                c.Seed,
		SelfServe:           sandbox.SelfServe(c.SelfServe),
	}
}

// populate makes the app and its users, and returns all but the address.
func (c *sandboxCmd) populate(x *sandbox.Server) (*sandboxReady, error) {
	app, err := x.AddApp(sandbox.App{
		Key: c.APIKey, Secret: c.APISecret, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Confidential: true, Name: "sandbox",
	})
	if err != nil {
		return nil, err
	}
	bearer, err := x.AppToken(app.Key)
	if err != nil {
		return nil, err
	}
	ready := &sandboxReady{Apps: []sandboxApp{{app, bearer}}}
	textLimit := 0 // the default
	if c.Premium {
		textLimit = sandbox.PremiumTextLimit
	}
	for _, described := range c.User {
		if err := ready.add(x, described, textLimit); err != nil {
			return nil, err
		}
	}
	return ready, nil
}

// add makes a user of the app, who is described as NAME or NAME:TOKEN:SECRET.
func (r *sandboxReady) add(x *sandbox.Server, described string, textLimit int) error {
	name, chosen, hasToken := strings.Cut(described, ":")
	user, err := x.AddUser(sandbox.User{Username: name, TextLimit: textLimit})
	if err != nil {
		return err
	}
	app := r.Apps[0].Key
	var tokens sandbox.Credentials
	if hasToken {
		token, secret, _ := strings.Cut(chosen, ":")
		tokens, err = x.AuthorizeWith(app, name, token, secret)
	} else {
		tokens, err = x.Authorize(app, name)
	}
	if err != nil {
		return err
	}
	oauth2, err := x.AuthorizeOAuth2(app, name)
	if err != nil {
		return err
	}
	r.Users = append(r.Users, user)
	r.Tokens = append(r.Tokens, sandboxToken{tokens, oauth2, user.Username})
	return nil
}

// print writes lines that a shell takes, for the first user, and comments around them.
func (r *sandboxReady) print(w io.Writer) {
	fmt.Fprintf(w, "# A stand-in for X, until Ctrl-C. For another terminal, as %s:\n", r.Tokens[0].Username)
	fmt.Fprintf(w, "export X_API_BASE_URL=%s\n", r.BaseURL)
	fmt.Fprintf(w, "export X_API_KEY=%s X_API_SECRET=%s\n", shellQuote(r.Apps[0].Key), shellQuote(r.Apps[0].Secret))
	for i, t := range r.Tokens {
		instead := ""
		if i > 0 {
			instead = "# or as " + t.Username + ": "
		}
		fmt.Fprintf(w, "%sexport X_ACCESS_TOKEN=%s X_ACCESS_TOKEN_SECRET=%s\n", instead, shellQuote(t.AccessToken), shellQuote(t.AccessTokenSecret))
	}
	fmt.Fprintf(w, "# Its record: %s%s/requests, %[2]s/tweets; its faults: %[2]s/faults.\n# OAuth 2.0 tokens are told by --json. Requests follow.\n", r.BaseURL, sandbox.ControlPath)
}

// shellQuote quotes what a shell would not take as it is.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-_.:/+=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// tellJSON prints the first object and one for each request that ends.
func tellJSON(ctx context.Context, w io.Writer, x *sandbox.Server, ready *sandboxReady) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(ready); err != nil {
		return fmt.Errorf("print what the sandbox accepts: %w", err)
	}
	for r := range x.Ended(ctx) {
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("print a request: %w", err)
		}
	}
	return nil
}

// requestLine is a request for people: ids, and no text.
func requestLine(r sandbox.Request) string {
	path, _, _ := strings.Cut(r.Path, "?")
	told := "no answer"
	if r.Status != 0 {
		told = strconv.Itoa(r.Status)
	}
	line := fmt.Sprintf("%s  %-15s %-6s %s  %s, %s", r.EndedAt.Local().Format(clockFormat), cmp.Or(r.Username, "-"), r.Method, path, told, r.Outcome)
	if r.TweetID != "" {
		line += " " + r.TweetID
	}
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	if r.Fault != "" {
		line += " (fault " + string(r.Fault) + ")"
	}
	return line
}
