package main

import (
	"net/url"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// config is what the environment configures. Each secret X can be read from the file that X_FILE
// names instead.
type config struct {
	setup.Settings

	// X_API_KEY: the API key of your X developer App, kept encrypted in the database. Default:
	// what the database holds.
	APIKey store.Secret
	// X_API_SECRET: the API key's secret.
	APISecret store.Secret
	// X_API_BASE_URL: where X is. Default: https://api.x.com
	XAPIBaseURL string
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
