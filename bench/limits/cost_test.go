package limits

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// BenchmarkLimitsFetches tells how often River fetches a tweet of 10,000 that are due at once, of an account that may
// post 200 in 15 minutes. Time is simulated: the windows are as long as they are.
func BenchmarkLimitsFetches(b *testing.B) {
	const tweets = 10_000
	for b.Loop() {
		w := guided(b, sandbox.Config{Limits: sandbox.DefaultLimits()[:1]}, 40)
		w.exec(`DELETE FROM tweetqueue.quotas WHERE name = 'writes'`)
		w.enqueue("acme", load{posts: tweets})
		began := time.Now()
		w.play()
		require.Empty(b, w.tooMany())
		require.Empty(b, w.problems())
		require.Len(b, w.arrivals("acme", sandbox.RouteCreateTweet), tweets)
		fetches := one[int](w, `SELECT sum(attempt) FROM tweetqueue.river_job`)
		b.ReportMetric(float64(fetches)/tweets, "fetches/tweet")
		simulated := w.clock.Now().Sub(w.start)
		b.ReportMetric(simulated.Hours(), "simulated-h")
		b.ReportMetric(float64(simulated)/float64(time.Since(began)), "x-faster")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkLimitsClaim tells what the transactions cost that grant a place to an account's row and that let the next of its
// rows go on, with 10, 1,000 and 100,000 rows that wait. The three take turns.
func BenchmarkLimitsClaim(b *testing.B) {
	const places, rounds = 5, 40
	waiting := []int{10, 1_000, 100_000}
	for b.Loop() {
		var worlds []*world
		var tracers []*tracer
		for _, n := range waiting {
			w, tracer := queue(b, n, places)
			worlds, tracers = append(worlds, w), append(tracers, tracer)
		}
		for range rounds {
			for _, w := range worlds {
				sent := len(w.x.Requests())
				w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at) SELECT 'acme', 'another', tweetqueue.clock() FROM generate_series(1, $1)`, places)
				w.playUntil(func() bool { return len(w.x.Requests()) >= sent+places })
			}
		}
		for _, w := range worlds {
			require.Empty(b, w.problems())
		}
		for _, transaction := range []string{claims, releases} {
			medians := map[int]time.Duration{}
			for i, n := range waiting {
				medians[n] = quantile(tracers[i].took(transaction), 0.5)
				b.ReportMetric(milliseconds(medians[n]), fmt.Sprintf("%s-%d-ms", transaction, n))
			}
			b.ReportMetric(float64(medians[100_000])/float64(medians[10]), transaction+"-ratio")
		}
		few, many := tracers[0].statements(), tracers[2].statements()
		for name, took := range many {
			if took > few[name]*3/2 && took > 200*time.Microsecond {
				b.Logf("%s takes %s with 10 that wait, and %s with 100,000", name, few[name], took)
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// queue is a world with a worker of one slot, and an account of which so many tweets wait for a limit.
func queue(b *testing.B, waiting, places int) (*world, *tracer) {
	b.Helper()
	w := newWorld(b, sandbox.Config{})
	w.account("acme")
	w.exec(`UPDATE tweetqueue.quotas SET maximum = $1 WHERE name = 'posts'`, places)
	w.exec(`DELETE FROM tweetqueue.quotas WHERE name = 'writes'`)
	w.hold("acme", waiting)
	plain, err := store.Connect(b.Context(), store.Secret(w.url), "worker", 12)
	require.NoError(b, err)
	config := plain.Config()
	plain.Close()
	t := &tracer{begun: map[*pgx.Conn]*transaction{}, parts: map[string][]time.Duration{}}
	config.ConnConfig.Tracer = t
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	w.workOn(pool, 1)
	return w, t
}

// hold gives an account tweets that are due and wait for a limit already, before a worker starts. Workers hold
// them, too, but a hundred thousand take them minutes.
func (w *world) hold(account string, n int) {
	w.Helper()
	w.exec(`INSERT INTO tweetqueue.tweets (account, text, post_at)
SELECT $1, 'number ' || i, tweetqueue.clock() + interval '1 hour' FROM generate_series(1, $2) AS i`, account, n)
	w.exec(`UPDATE tweetqueue.tweets SET waiting_for = 'quota', next_attempt_at = tweetqueue.clock() + interval '100 years'
WHERE account = $1`, account)
	w.exec(`INSERT INTO tweetqueue.quota_waits (account_id, action, until)
SELECT id, 'post', tweetqueue.clock() FROM tweetqueue.accounts WHERE username = $1`, account)
	storetest.MoveClock(w, w.db, w.clock.move(time.Hour))
	w.exec(`VACUUM ANALYZE tweetqueue.tweets, tweetqueue.river_job`) // as autovacuum does, which tests have off
}

// The transactions that are measured.
const (
	claims   = "claim"
	releases = "release"
)

// tracer tells how long transactions take, from before BEGIN to after COMMIT.
type tracer struct {
	mu    sync.Mutex
	begun map[*pgx.Conn]*transaction
	all   []transaction
	parts map[string][]time.Duration // by the statement's name
}

type transaction struct {
	began, ended time.Time
	name         string // claims or releases; empty: another
}

func (t *tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if strings.HasPrefix(data.SQL, "begin") {
		t.begun[conn] = &transaction{began: time.Now()}
	}
	if tx := t.begun[conn]; tx != nil {
		switch {
		case strings.Contains(data.SQL, "-- name: RequestsStart "):
			tx.name = claims
		case strings.Contains(data.SQL, "-- name: RowsRelease "):
			tx.name = releases
		}
		if data.SQL == "commit" {
			return context.WithValue(ctx, tracedKey{}, traced{commits: tx})
		}
	}
	name, _, _ := strings.Cut(data.SQL, "\n")
	return context.WithValue(ctx, tracedKey{}, traced{name: name, began: time.Now()})
}

// traced is a statement that runs.
type traced struct {
	name    string
	began   time.Time
	commits *transaction // nil: none
}

type tracedKey struct{}

func (t *tracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	statement, begun := ctx.Value(tracedKey{}).(traced)
	if !begun {
		return // one of a batch
	}
	if tx := statement.commits; tx != nil {
		tx.ended = now
		t.all = append(t.all, *tx)
		delete(t.begun, conn)
		return
	}
	t.parts[statement.name] = append(t.parts[statement.name], now.Sub(statement.began))
}

// statements are the medians of all statements, by their names.
func (t *tracer) statements() map[string]time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	medians := map[string]time.Duration{}
	for name, took := range t.parts {
		if len(took) >= 20 { // not those of the start
			medians[name] = quantile(took, 0.5)
		}
	}
	return medians
}

// took is how long each transaction of a name took.
func (t *tracer) took(name string) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []time.Duration
	for _, tx := range t.all {
		if tx.name == name {
			all = append(all, tx.ended.Sub(tx.began))
		}
	}
	return all
}
