package main

import (
	"testing"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/cmd/internal/setup/setuptest"
)

func TestReadmeTellsTheSettings(t *testing.T) {
	t.Parallel()
	setuptest.RequireSettings(t, "worker", setup.Describe(config{}))
}
