package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// TestLogs: a run in which everything happens is logged as JSON, to the last line, with neither a
// text nor a secret.
func TestLogs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const text = "Nobody but its readers should read this"
	say := func(what string) int64 { return storetest.Tweet(t, b.db, text+" "+what, 0) }
	for what, fault := range map[string]sandbox.Fault{
		"refused": {Kind: sandbox.KindForbidden}, "dropped": {Kind: sandbox.KindDropAfter}, "failing": {Kind: sandbox.KindStatusBefore},
		"limited": {Kind: sandbox.KindRateLimited, Wait: time.Second}, "held": {Kind: sandbox.KindUnauthorized},
	} {
		fault.Text, fault.Times = what, 1
		b.fault(t, fault)
	}
	w := start(t, b.settings.with("X_API_KEY", b.tokens.APIKey, "X_API_SECRET", b.tokens.APISecret), append(lookUpsSoon(), "--log-level=debug")...)
	w.awaitEvent(t, say("posted"), "done")
	w.awaitEvent(t, say("refused"), "failed")
	for _, what := range []string{"dropped", "failing"} {
		doubt := say(what)
		w.awaitEvent(t, doubt, "unconfirmed")
		w.awaitEvent(t, doubt, "done")
	}
	w.awaitEvent(t, say("limited"), "done")
	w.awaitEvent(t, storetest.Deletion(t, b.db, b.x.Tweets()[0].ID, 0), "done")
	w.awaitEvent(t, say("held"), "waiting")
	w.awaitText(t, `"message":"held"`)
	w.end(t)

	log := w.String()
	lines := strings.Split(strings.TrimSpace(log[:strings.LastIndex(log, "}")+1]), "\n")
	require.Greater(t, len(lines), 15)
	require.Contains(t, lines[0], `"starting"`)
	require.Contains(t, lines[1], `"ready"`)
	require.Contains(t, lines[len(lines)-1], `"stopped"`)
	for _, line := range lines {
		var fields struct {
			Level, Message string
			Time           time.Time
		}
		require.Regexp(t, `"time":"[^"]+:\d\d\.\d{3}(Z|[+-])`, line, "without milliseconds")
		require.NoError(t, json.Unmarshal([]byte(line), &fields), "%s", line)
		require.NotEmpty(t, fields.Level, "%s", line)
		require.NotEmpty(t, fields.Message, "%s", line)
		require.WithinDuration(t, time.Now(), fields.Time, 5*time.Minute, "%s", line)
	}
	b.requireSilent(t, log, text)
}

// requireSilent fails if a text or a secret is told.
func (b *bundle) requireSilent(t *testing.T, output, text string) {
	t.Helper()
	requireNone(t, output, text, b.tokens.APIKey, b.tokens.APISecret, b.tokens.AccessToken, b.tokens.AccessTokenSecret,
		b.settings["TWEETQUEUE_KEY"], "oauth_", "OAuth")
}

// TestWrongKey: a worker with a key that does not open what is stored is refused, before it sends.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	storetest.Tweet(t, b.db, "sealed", 0)
	wrong := string(store.NewKey())
	w := start(t, b.settings.with("TWEETQUEUE_KEY", wrong))
	err := w.wait(t)
	require.ErrorIs(t, err, store.ErrSealed)
	require.Equal(t, setup.ExitRefused, setup.ExitCode(err))
	require.ErrorContains(t, err, "TWEETQUEUE_KEY")
	require.Empty(t, b.x.Requests())
	requireNone(t, w.String(), wrong)
	b.requireSilent(t, w.String(), "sealed")
}

func TestLogFormats(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w := start(t, b.settings, "--log-format=console")
	w.awaitText(t, "starting")
	id := storetest.Tweet(t, b.db, "shown", 0)
	line := w.awaitText(t, "done")
	require.NotContains(t, line, "{")
	require.Contains(t, line, b.entry(t, id).Account)
	w.end(t)

	quiet := start(t, b.settings, "--log-level=error")
	storetest.Tweet(t, b.db, "not shown", 0)
	_, err := b.x.WaitRequests(t.Context(), 1, sandbox.Match{Text: "not shown"})
	require.NoError(t, err)
	quiet.end(t)
	require.NotContains(t, quiet.String(), `"message"`)
}
