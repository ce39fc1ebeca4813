package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// journal is a log that many write to.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// Neither what a worker tells nor what River logs holds the text of a tweet or a secret, whatever
// X or the network does.
func TestNothingTellsTextsOrSecrets(t *testing.T) {
	t.Parallel()
	const text = "The Zanzibar announcement"
	w := newWorld(t, sandbox.Config{DuplicateWindow: time.Hour})
	var log journal
	r := w.start(opts{config: Config{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		X:      twitter.Config{Timeout: 3 * time.Second},
	}})
	posted := w.tweet(text)
	r.wait(EventDone, posted)
	r.wait(EventFailed, w.tweet(text)) // a duplicate
	for i, kind := range []sandbox.Kind{
		sandbox.KindDropAfter, sandbox.KindHangAfter, sandbox.KindStatusAfter, sandbox.KindNotPermitted, sandbox.KindForbidden,
	} {
		faulty := fmt.Sprintf("%s %d", text, i)
		w.fault(sandbox.Fault{Match: sandbox.Match{Text: faulty}, Kind: kind})
		id := w.tweet(faulty)
		r.waitFor(func(e Event) bool { return e.RowID == id && (e.Type == EventFailed || e.Type == EventUnconfirmed) })
	}
	r.wait(EventFailed, w.enqueue("acme", store.Tweet{Text: text + " with extra", Extra: []byte(`{"text":"Zanzibar"}`)}, 0))
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindUnauthorized})
	r.wait(EventWaiting, w.tweet(text+" without credentials"))
	fault.Lift()
	// An answer that the database refuses: X gives a tweet the id of another.
	w.exec(`UPDATE tweetqueue.accounts SET state = 'active'`)
	w.exec(`ALTER TABLE tweetqueue.tweets ADD CONSTRAINT tweets_no_news CHECK (status <> 'posted' OR text NOT LIKE '%news')`)
	refused := w.tweet(text + " is news")
	require.Contains(t, r.wait(EventUnconfirmed, refused).Reason, "the answer could not be recorded")
	require.NoError(t, w.x.Close())
	r.wait(EventWaiting, w.tweet(text+" into the void"))
	r.stop()

	var told strings.Builder
	for _, e := range r.events {
		encoded, err := json.Marshal(e)
		require.NoError(t, err)
		fmt.Fprintf(&told, "%s\n%+v\n%#v\n", encoded, e, e)
		if e.Err != nil {
			fmt.Fprintf(&told, "%v\n%+v\n", e.Err, e.Err)
		}
	}
	secrets := []string{"Zanzibar", w.app.Key, w.app.Secret}
	tokens, err := store.OpenAccount(w.ring, one[string](w, `SELECT x_user_id FROM tweetqueue.accounts`),
		one[[]byte](w, `SELECT credentials FROM tweetqueue.accounts`))
	require.NoError(t, err)
	secrets = append(secrets, string(tokens.AccessToken), string(tokens.AccessTokenSecret), string(w.key))
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		require.NotContains(t, told.String(), secret)
		require.NotContains(t, log.String(), secret)
	}
	require.Contains(t, log.String(), "River", "River did log")
	require.Contains(t, told.String(), "acme")
}
