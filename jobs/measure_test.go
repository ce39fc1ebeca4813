package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// links is a text of n links, each of which counts 23, and 24 with the space after it.
func links(n int) string { return strings.TrimSpace(strings.Repeat("x.com ", n)) }

// Texts that came by SQL are measured long before they are due, and those that are too long fail.
func TestMeasuresTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	short := storetest.Tweet(t, w.db, links(11), time.Hour) // 263
	long := storetest.Tweet(t, w.db, links(12), time.Hour)  // 287
	invalid := storetest.Tweet(t, w.db, "x.com \uFEFF", time.Hour)
	emoji := storetest.Tweet(t, w.db, strings.Repeat("👩\u200d🚀", 140), time.Hour)
	plain := storetest.Tweet(t, w.db, "no need to look", time.Hour)
	edited := storetest.Tweet(t, w.db, links(10), time.Hour)
	r := w.start(opts{})
	require.Equal(t, "the text is too long: its weighted length is 287, the account's limit is 280", r.wait(EventFailed, long).Reason)
	require.Equal(t, "the text holds U+FEFF, which X accepts in no tweet", r.wait(EventFailed, invalid).Reason)
	w.eventually("the others are measured", func() bool {
		return one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE measured AND id = ANY ($1)`, []int64{short, emoji, edited}) == 3
	})
	require.False(t, one[bool](w, `SELECT measured FROM tweetqueue.tweets WHERE id = $1`, plain))
	require.Equal(t, "failed", w.status(long))
	require.Contains(t, *w.entry(long).Error, "287")

	// An edit is measured again, and a limit that has grown lets the row go.
	w.exec(`UPDATE tweetqueue.tweets SET text = $2 WHERE id = $1`, edited, links(13))
	require.False(t, one[bool](w, `SELECT measured FROM tweetqueue.tweets WHERE id = $1`, edited))
	require.NoError(t, w.newWorker(opts{}).measure(t.Context()))
	require.Equal(t, "failed", w.status(edited))
	w.exec(`UPDATE tweetqueue.accounts SET text_limit = 25000`)
	w.exec(`UPDATE tweetqueue.tweets SET status = 'scheduled' WHERE id = $1`, edited)
	require.NoError(t, w.newWorker(opts{}).measure(t.Context()))
	require.Equal(t, "scheduled:time", w.status(edited))
}

// A tweet that was measured before anybody asked whether it has a URL is looked at again.
func TestMeasuresTextsFromBeforePrices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	url, version := storetest.Tweet(t, w.db, "see x.com", time.Hour), storetest.Tweet(t, w.db, "version 1.2 is out", time.Hour)
	w.exec(`UPDATE tweetqueue.tweets SET measured = true`)
	require.NoError(t, w.newWorker(opts{}).measure(t.Context()))
	hasURL := `SELECT has_url FROM tweetqueue.tweets WHERE id = $1`
	require.True(t, *one[*bool](w, hasURL, url))
	require.False(t, *one[*bool](w, hasURL, version))
}

// A text that nobody has measured before it is due is measured by its claim, and X is not asked.
func TestClaimMeasuresText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	id := w.tweet(links(12))
	r := w.start(opts{})
	require.Contains(t, r.wait(EventFailed, id).Reason, "weighted length is 287")
	require.Empty(t, w.x.Requests())
	require.Equal(t, 0, w.taken("posts"))
}

// Rows that are about to be due, or that somebody has locked, are passed over; a batch is not the end.
func TestMeasurePassesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	soonDue := storetest.Tweet(t, w.db, links(12), measureAhead-time.Second)
	locked := storetest.Tweet(t, w.db, links(12), time.Hour)
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT 'acme', 'x.com', tweetqueue.clock() + interval '1 day'
FROM generate_series(1, $1)`, measureBatch+10)
	app := w.application()
	_, err := app.Exec(t.Context(), `SELECT FROM tweetqueue.tweets WHERE id = $1 FOR UPDATE`, locked)
	require.NoError(t, err)
	require.NoError(t, w.newWorker(opts{}).measure(t.Context()))
	require.Equal(t, measureBatch+10, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE measured`))
	for _, id := range []int64{soonDue, locked} {
		require.Equal(t, "scheduled:time", w.status(id), fmt.Sprint(id))
	}
	require.NoError(t, app.Rollback(t.Context()))
	require.NoError(t, w.newWorker(opts{}).measure(t.Context()))
	require.Equal(t, string(store.Failed), w.status(locked))
}
