package chaos

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// A process dies at each point in turn, and another follows. The points of a take-over and of a look-up need a
// third, which died before.
func TestEachPoint(t *testing.T) {
	t.Parallel()
	for _, death := range deaths() {
		t.Run(testName(death.point), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, storetest.URL(t), sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1}, 1, 1)
			id := w.tweet("user0", "Only once", "")
			// Long ago by the sweep's measure: what was never claimed is to be found at once.
			w.exec(`UPDATE tweetqueue.tweets SET post_at = post_at - interval '1 minute' WHERE id = $1`, id)
			points := []point{death.point}
			if before, ok := death.point.after(); ok {
				points = []point{before, death.point}
			}
			for i, p := range points {
				c := w.child("doomed "+string('a'+rune(i)), quick())
				c.Doom = &doom{Point: p, Nth: 1}
				doomed := w.spawn(c)
				w.within(doomed.gone, "it dies "+string(p))
				require.True(t, doomed.killed(), "%v", doomed.err)
				w.requireLeft(id, "Only once", p)
				w.hasten(c.Name)
			}
			w.spawn(w.child("heir", quick()))
			w.requireOnce(id, "Only once")
		})
	}
}

// requireLeft requires that a process which died at a point has left what the table of points says.
func (w *world) requireLeft(id int64, text string, p point) {
	w.Helper()
	all := deaths()
	left := all[slices.IndexFunc(all, func(d death) bool { return d.point == p })]
	if status := regexp.MustCompile("^`([a-z]+)`").FindStringSubmatch(left.database); status != nil {
		require.Equal(w, status[1], string(w.entry(id).Status), "%s: %s", p, left.database)
	}
	if left.database == "settled, its job perhaps running" {
		require.Equal(w, store.Posted, w.entry(id).Status, p)
	}
	switch left.onX {
	case "nothing", "nothing: the request is not whole":
		require.Empty(w, w.on(text), p)
	case "the tweet", "the tweet, now or soon":
		w.eventually("the tweet is there", func() bool { return len(w.on(text)) == 1 })
	}
	if strings.HasSuffix(left.database, "without an answer") {
		require.True(w, one[bool](w, `SELECT answered_at IS NULL FROM tweetqueue.requests ORDER BY id DESC LIMIT 1`), p)
	}
}

// testName makes a subtest's name of a point.
func testName(p point) string {
	name := ""
	for word := range strings.FieldsSeq(strings.NewReplacer("'", "", "-", " ").Replace(string(p))) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// requireOnce waits until a row is posted, and requires that it has the id of the one tweet of its text.
func (w *world) requireOnce(id int64, text string) {
	w.Helper()
	w.eventually("the row is posted", func() bool { return w.entry(id).Status == store.Posted })
	tweets := w.on(text)
	require.Len(w, tweets, 1)
	require.Equal(w, tweets[0].ID, *w.entry(id).TweetID)
}

// The table of points in the documentation is the one that the tests walk.
func TestPointsAreDocumented(t *testing.T) {
	t.Parallel()
	for _, death := range deaths() {
		require.Contains(t, architecture(t), "| "+string(death.point)+" | "+death.database+" | "+death.onX+" | "+death.next+" |")
	}
}

// SIGKILL between the creation on X and our settlement, and then nothing but time.
func TestKillAfterCreate(t *testing.T) {
	t.Parallel()
	killAfterCreate(t, 3)
}

// killAfterCreate kills a number of processes, each with the tweet of an account of its own.
func killAfterCreate(t *testing.T, times int) {
	t.Helper()
	w := newWorld(t, storetest.URL(t), sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1}, 1, times)
	rows, killed := map[int64]string{}, map[int64]time.Time{}
	for _, account := range w.accounts {
		fault := w.fault(sandbox.Fault{
			Match: sandbox.Match{Username: account.username, Route: sandbox.RouteCreateTweet}, Kind: sandbox.KindHoldAfter, Times: 1,
		})
		text := "Of " + account.username + "."
		id := w.tweet(account.username, text, "")
		doomed := w.spawn(w.child("doomed at "+account.username, quick()))
		w.held(fault, 1)
		doomed.kill()
		rows[id], killed[id] = text, time.Now()
		fault.Lift()
	}
	w.spawn(w.child("heir", quick()))
	for id, text := range rows {
		w.requireOnce(id, text)
		require.WithinRange(t, time.Now(), killed[id], killed[id].Add(time.Minute), "it is settled within a minute of the kill")
	}
}

func architecture(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	return string(page)
}
