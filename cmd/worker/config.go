package main

import (
	"net/url"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// config is what the environment configures; setup.Describe lists it.
type config struct {
	setup.Settings

	APIKey      store.Secret `setting:"X_API_KEY"      help:"The API key of your X developer App. It is kept, encrypted, in the database; without it the one that is there is used."`
	APISecret   store.Secret `setting:"X_API_SECRET"   help:"The API key's secret."`
	XAPIBaseURL string       `setting:"X_API_BASE_URL" default:"https://api.x.com" help:"Where X is."`
}

func readConfig(env *setup.Env, createKey bool) config {
	c := config{
		Settings:    setup.Read(env, createKey),
		APIKey:      env.Secret("X_API_KEY"),
		APISecret:   env.Secret("X_API_SECRET"),
		XAPIBaseURL: env.String("X_API_BASE_URL"),
	}
	if c.XAPIBaseURL == "" {
		c.XAPIBaseURL = twitter.DefaultBaseURL
	}
	return c
}

// validate checks what holds between settings.
func (c config) validate(env *setup.Env) {
	if (c.APIKey == "") != (c.APISecret == "") {
		env.Errorf("X_API_KEY and X_API_SECRET belong together: set both or neither")
	}
	if u, err := url.Parse(c.XAPIBaseURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		env.Errorf("X_API_BASE_URL is %q: use an address such as %s", c.XAPIBaseURL, twitter.DefaultBaseURL)
	}
}
