package setup

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"tweetqueue/twitter"
)

// xBaseURLFlag is the flag of both commands that overrides X_API_BASE_URL.
const xBaseURLFlag = "--x-api-base-url"

// XBaseURL reads where X is: what the flag --x-api-base-url says, else the setting X_API_BASE_URL, else
// X's own address. What is wrong with it is told under the name of the one that was set, here and not by
// the first request.
func (e *Env) XBaseURL(flag string) string {
	name, base := xBaseURLFlag, flag
	if flag == "" {
		name, base = "X_API_BASE_URL", cmp.Or(e.String("X_API_BASE_URL"), twitter.DefaultBaseURL)
	}
	if err := checkXBaseURL(base); err != nil {
		e.Errorf("%s: %w", name, err)
	}
	return base
}

// checkXBaseURL is the client's own check, with credentials that are not looked at, and one of whether
// others on the way could read a request, which holds an account's token.
func checkXBaseURL(base string) error {
	anybody := twitter.OAuth1{APIKey: "-", APISecret: "-", AccessToken: "-", AccessTokenSecret: "-"}
	if _, err := twitter.NewClient(twitter.Config{BaseURL: base}, anybody); err != nil {
		return err
	}
	parsed, err := url.Parse(base)
	if err != nil {
		return errors.New("it is no URL") // the error repeats it, and it may hold a password
	}
	if parsed.Scheme == "http" && !isLoopback(parsed.Hostname()) {
		return fmt.Errorf("%q would send the credentials to %s in clear: use https, or http with a host of this machine such as 127.0.0.1", base, parsed.Hostname())
	}
	return nil
}

// Creation are the flags that say how long X may take: what decides by them that a tweet is not on X has them all
// alike.
type Creation struct {
	LongestCreation time.Duration `help:"The longest that X may take to create a tweet whose request has begun." default:"2m"`
	ReadLag         time.Duration `help:"The longest from a tweet's creation until X shows it to its author." default:"5m"`
}

// Check tells what is wrong with them.
func (c Creation) Check(env *Env) {
	for _, flag := range []struct {
		name string
		is   time.Duration
	}{{"--longest-creation", c.LongestCreation}, {"--read-lag", c.ReadLag}} {
		if flag.is < 100*time.Millisecond || flag.is > time.Hour {
			env.Errorf("%s is %s: use 100ms to 1h", flag.name, flag.is)
		}
	}
}

// Absent is the first instant at which a tweet that X does not show is not on X, if its request could begin until
// sendBy.
func (c Creation) Absent(sendBy time.Time) time.Time {
	return sendBy.Add(c.LongestCreation + c.ReadLag)
}

// isLoopback reports whether a host is this machine, without asking a name server, who could say so of
// any name.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}
