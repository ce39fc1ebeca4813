package main

import (
	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

// config is what the environment configures; setup.Describe lists it.
type config struct {
	setup.Settings

	APIKey      store.Secret `setting:"X_API_KEY"      help:"The API key of your X developer App. 'enqueue account add' needs it and keeps it, encrypted, in the database, where 'worker' finds it."`
	APISecret   store.Secret `setting:"X_API_SECRET"   help:"The API key's secret."`
	XAPIBaseURL string       `setting:"X_API_BASE_URL" default:"https://api.x.com" help:"Where X is: https, or http with a host of this machine."`
}

// readConfig reads what running needs; baseURL is the flag, which overrides.
func readConfig(env *setup.Env, baseURL string) config {
	c := config{Settings: setup.Read(env, false)}
	if c.DatabaseURL != "" && c.Key == "" && c.KeyFile == "" {
		env.Errorf("%w", setup.ErrNoKey)
	}
	c.APIKey, c.APISecret = env.Pair("X_API_KEY", "X_API_SECRET", "")
	c.XAPIBaseURL = env.XBaseURL(baseURL)
	return c
}
