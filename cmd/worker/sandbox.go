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
	APIKey          string        `name:"api-key" placeholder:"KEY" help:"The app's API key. Without it one that --seed determines, as all credentials are."`
	APISecret       string        `name:"api-secret" placeholder:"SECRET" help:"The API key's secret."`
	DeleteMissing   string        `enum:"404,false,true" default:"404" help:"What the deletion of a missing tweet is told: 404, false (200, not deleted) or true (200, deleted)."`
	DuplicateWindow time.Duration `default:"24h" help:"How long a user may not post a text again. 0 is not at all: every text is taken."`
	Gzip            bool          `help:"Compress answers for clients that take it, as X does."`
	JSON            bool          `help:"Print one JSON object with the base URL, apps, users and tokens, and then one for each request."`
	KeepRequests    int           `default:"10000" help:"How many requests the record keeps: the newest so many. 0 is all."`
	Limits          string        `enum:"guide,none" default:"guide" help:"The limits that hold: guide (200 posts and 50 deletions per 15 minutes, 300 writes per 3 hours) or none."`
	Listen          string        `default:"127.0.0.1:8083" help:"Where to listen: a loopback address and a port, 0 for a free one."`
	Seed            uint64        `default:"1" help:"Determines keys, tokens and the faults with a rate, so that they are the same after a restart. 0 is new ones each time."`
	User            []string      `default:"acme" sep:"none" placeholder:"NAME" help:"A user with tokens; repeat it for more."`
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
	Apps    []sandbox.App  `json:"apps"`
	Users   []sandbox.User `json:"users"`
	Tokens  []sandboxToken `json:"tokens"`
}

// sandboxToken is what a client signs with for one user.
type sandboxToken struct {
	sandbox.Credentials

	Username string `json:"username"`
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
	config := sandbox.Config{
		Control:         true,
		DeleteMissing:   sandbox.DeleteMissing(c.DeleteMissing),
		DuplicateWindow: cmp.Or(c.DuplicateWindow, -1), // of a Config, 0 is the default
		Gzip:            c.Gzip,
		KeepRequests:    c.KeepRequests,
		Seed:            c.Seed,
	}
	if c.Limits == "none" {
		config.Limits = []sandbox.Limit{}
	}
	return config
}

// populate makes the app and its users, and returns all but the address.
func (c *sandboxCmd) populate(x *sandbox.Server) (*sandboxReady, error) {
	app, err := x.AddApp(sandbox.App{Key: c.APIKey, Secret: c.APISecret, Name: "sandbox"})
	if err != nil {
		return nil, err
	}
	ready := &sandboxReady{Apps: []sandbox.App{app}}
	for _, name := range c.User {
		user, err := x.AddUser(sandbox.User{Username: name})
		if err != nil {
			return nil, err
		}
		tokens, err := x.Authorize(app.Key, name)
		if err != nil {
			return nil, err
		}
		ready.Users = append(ready.Users, user)
		ready.Tokens = append(ready.Tokens, sandboxToken{tokens, user.Username})
	}
	return ready, nil
}

// print writes lines that a shell takes, for the first user, and comments around them.
func (r *sandboxReady) print(w io.Writer) {
	fmt.Fprintf(w, "# A stand-in for X, until Ctrl-C. For another terminal, as %s:\n", r.Tokens[0].Username)
	fmt.Fprintf(w, "export X_API_BASE_URL=%s\n", r.BaseURL)
	fmt.Fprintf(w, "export X_API_KEY=%s X_API_SECRET=%s\n", r.Apps[0].Key, r.Apps[0].Secret)
	for i, t := range r.Tokens {
		if i > 0 {
			fmt.Fprintf(w, "# or as %s:\n", t.Username)
		}
		fmt.Fprintf(w, "export X_ACCESS_TOKEN=%s X_ACCESS_TOKEN_SECRET=%s\n", t.AccessToken, t.AccessTokenSecret)
	}
	fmt.Fprintf(w, "# Its record: %s%s/requests, %[2]s/tweets; its faults: %[2]s/faults. Requests follow.\n", r.BaseURL, sandbox.ControlPath)
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
