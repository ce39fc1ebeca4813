package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// TestExitCodes runs the built programs for each code that they can end with.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.fault(t, sandbox.Fault{Kind: sandbox.KindStatusBefore, Match: sandbox.Match{Route: sandbox.RouteMe}})
	nowhere := b.settings.with("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/db")
	empty := b.settings.with("DATABASE_URL", storetest.EmptyURL(t))
	account := b.settings.with("X_ACCESS_TOKEN", b.tokens.AccessToken, "X_ACCESS_TOKEN_SECRET", b.tokens.AccessTokenSecret)
	for name, test := range map[string]struct {
		program  string
		settings settings
		args     string
		code     int
		want     string // on stderr
	}{
		"WorkerDone":          {"worker", b.settings, "migrate status", setup.ExitDone, ""},
		"WorkerHelp":          {"worker", nil, "--help", setup.ExitDone, ""},
		"WorkerVersion":       {"worker", nil, "--version", setup.ExitDone, ""},
		"WorkerFailed":        {"worker", nil, "demo --exit --fault=duplicate", setup.ExitFailed, "tweet 2 is failed"},
		"WorkerUsage":         {"worker", b.settings, "run --no-such-flag", setup.ExitUsage, "--no-such-flag"},
		"WorkerRefused":       {"worker", empty, "run", setup.ExitRefused, "the database needs migration"},
		"WorkerStatusRefused": {"worker", empty, "migrate status", setup.ExitRefused, "the database needs migration"},
		"WorkerNoDatabase":    {"worker", nowhere, "run", setup.ExitNoDatabase, "connection refused"},
		"MigrateNoDatabase":   {"worker", nowhere, "migrate up", setup.ExitNoDatabase, "connection refused"},
		"StatusNoDatabase":    {"worker", nowhere, "migrate status", setup.ExitNoDatabase, "connection refused"},

		"EnqueueDone":       {"enqueue", b.settings, "list", setup.ExitDone, ""},
		"EnqueueHelp":       {"enqueue", nil, "--help", setup.ExitDone, ""},
		"EnqueueVersion":    {"enqueue", nil, "--version", setup.ExitDone, ""},
		"EnqueueFailed":     {"enqueue", account, "account add acme", setup.ExitFailed, "503"},
		"EnqueueUsage":      {"enqueue", b.settings, "tweet Hello", setup.ExitUsage, "--account"},
		"EnqueueRefused":    {"enqueue", b.settings, "tweet --account nobody Hello", setup.ExitRefused, "nobody"},
		"EnqueueNotFound":   {"enqueue", b.settings, "show 4711", setup.ExitRefused, "4711"},
		"EnqueueOld":        {"enqueue", empty, "list", setup.ExitRefused, "the database needs migration"},
		"EnqueueNoDatabase": {"enqueue", nowhere, "list", setup.ExitNoDatabase, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, test.program, test.settings, strings.Fields(test.args)...)
			require.Equal(t, test.code, p.wait(t), "%s", p.record)
			require.Contains(t, p.String(), test.want)
			if test.code != setup.ExitDone {
				require.Contains(t, p.String(), test.program+": ")
			}
			requireNone(t, p.String()+p.stdout.String(), hunter2, b.tokens.APISecret, b.tokens.AccessToken,
				b.tokens.AccessTokenSecret, b.settings["TWEETQUEUE_KEY"])
		})
	}
}

// TestOtherX: a database whose rows wait for one X is not worked for another.
func TestOtherX(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := start(t, b.settings)
	first.awaitEvent(t, storetest.Tweet(t, b.db, "posted", 0), "done")
	first.end(t)
	waits := storetest.Tweet(t, b.db, "waits", time.Hour)

	other := b.settings.with("X_API_BASE_URL", "http://127.0.0.1:1")
	err := start(t, other).wait(t)
	require.ErrorIs(t, err, store.ErrOtherX)
	require.Equal(t, setup.ExitRefused, setup.ExitCode(err))
	require.ErrorContains(t, err, b.x.URL())
	p := startProcess(t, "worker", other)
	require.Equal(t, setup.ExitRefused, p.wait(t))

	// Unless nothing waits.
	b.exec(t, `UPDATE tweetqueue.tweets SET status = 'cancelled' WHERE id = $1`, waits)
	again := start(t, other)
	require.Eventually(t, func() bool {
		var claimed bool
		err := b.db.QueryRow(t.Context(), `SELECT x_base_url = $1 FROM tweetqueue.installation`, other["X_API_BASE_URL"]).Scan(&claimed)
		return err == nil && claimed
	}, patience, 10*time.Millisecond)
	again.awaitEvent(t, storetest.Tweet(t, b.db, "knock", 0), "waiting")
}
