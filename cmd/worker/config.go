package main

import (
	"cmp"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// config is what the environment configures; setup.Describe lists it.
type config struct {
	setup.Settings

	APIKey      store.Secret `setting:"X_API_KEY"      help:"The API key of your X developer App. 'enqueue account add' needs it and keeps it, encrypted, in the database, where 'worker' finds it."`
	APISecret   store.Secret `setting:"X_API_SECRET"   help:"The API key's secret."`
	XAPIBaseURL string       `setting:"X_API_BASE_URL" default:"https://api.x.com" help:"Where X is."`
}

func readConfig(env *setup.Env, createKey bool) config {
	return config{
		Settings:    setup.Read(env, createKey),
		APIKey:      env.Secret("X_API_KEY"),
		APISecret:   env.Secret("X_API_SECRET"),
		XAPIBaseURL: cmp.Or(env.String("X_API_BASE_URL"), twitter.DefaultBaseURL),
	}
}

// validate checks what holds between settings, and what only running needs.
func (c config) validate(env *setup.Env) {
	if (c.APIKey == "") != (c.APISecret == "") {
		env.Errorf("X_API_KEY and X_API_SECRET belong together: set both or neither")
	}
	if c.DatabaseURL != "" && c.Key == "" && c.KeyFile == "" {
		env.Errorf("%w", setup.ErrNoKey)
	}
	// The client's own check, with credentials that are not looked at: an address that it refuses
	// would otherwise be found out by the first tweet.
	anybody := twitter.OAuth1{APIKey: "-", APISecret: "-", AccessToken: "-", AccessTokenSecret: "-"}
	if _, err := twitter.NewClient(twitter.Config{BaseURL: c.XAPIBaseURL}, anybody); err != nil {
		env.Errorf("X_API_BASE_URL: %w", err)
	}
}
