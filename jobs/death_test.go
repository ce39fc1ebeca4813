package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter"
	"tweetqueue/twitter/sandbox"
)

// process is a worker in a process of its own, which can die as processes do.
type process struct {
	world *world
	name  string
	cmd   *exec.Cmd
	gone  sync.Once
}

// spawn starts a worker process against an X.
func (w *world) spawn(x string) *process {
	w.Helper()
	p := &process{world: w, name: "doomed worker"}
	config, err := json.Marshal(child{Name: p.name, Database: w.url, Key: string(w.key), X: x})
	require.NoError(w, err)
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	p.cmd.Stdout, p.cmd.Stderr = w.Output(), w.Output()
	require.NoError(w, p.cmd.Start())
	w.Cleanup(p.kill)
	return p
}

// kill ends the process without its having a say. Of its sessions, one that waits for a lock goes on
// until it has it.
func (p *process) kill() {
	p.gone.Do(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
}

// declareDead makes the leases of killed workers as old as they will be in 12 seconds.
func (w *world) declareDead() {
	w.Helper()
	w.exec(`UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '12 seconds'`)
}

// silent is a server that accepts connections, reads what comes, and says nothing.
type silent struct {
	url  string
	mu   sync.Mutex
	read bytes.Buffer
	seen chan struct{} // closed at the first byte
	once sync.Once
}

func newSilent(t *testing.T, scheme string) *silent {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &silent{url: scheme + "://" + listener.Addr().String(), seen: make(chan struct{})}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(s, conn)
			})
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return s
}

func (s *silent) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.seen) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read.Write(p)
}

func (s *silent) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read.String()
}

// The process dies at each point of claim, send and settle. What is then in the database, and what
// the next worker does, is in the package's documentation and in docs/architecture.md.
func TestDeathDuringSend(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind    sandbox.Kind
		exists  bool // on X, when the process has died
		settles bool // the process is at its settlement
	}{
		"BeforeXWorkedIt":  {kind: sandbox.KindHoldBefore},
		"AfterXWorkedIt":   {kind: sandbox.KindHoldAfter, exists: true},
		"BeforeSettlement": {kind: sandbox.KindHoldAfter, exists: true, settles: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			fault := w.fault(sandbox.Fault{Kind: test.kind, Times: 1})
			id := w.tweet("Only once")
			doomed := w.spawn(w.x.URL())
			w.held(fault, 1)
			require.Equal(t, "sending", w.status(id))
			if test.settles {
				lock := w.application()
				_, err := lock.Exec(t.Context(), `SELECT FROM tweetqueue.requests WHERE row_id = $1 FOR UPDATE`, id)
				require.NoError(t, err)
				fault.Lift()
				w.lockWaits(doomed.name, 1)
				doomed.kill()
				require.NoError(t, lock.Rollback(t.Context()))
				// Its session gets the lock, finds that nobody is there, and rolls back.
				w.eventually("the session of the dead ends", func() bool {
					return one[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, doomed.name) == 0
				})
			} else {
				doomed.kill()
			}
			require.Equal(t, "sending", w.status(id))
			w.requireTakenOver(id)
			require.Len(t, w.x.Tweets(), map[bool]int{true: 1, false: 0}[test.exists])

			// What was on its way arrives after all; the row is in doubt, and stays so.
			fault.Lift()
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			_, err := w.x.WaitRequests(ctx, 1, sandbox.Match{})
			require.NoError(t, err)
			require.Len(t, w.x.Tweets(), 1)
			require.Len(t, w.x.Requests(), 1)
			require.Equal(t, "unconfirmed", w.status(id))
		})
	}
}

// requireTakenOver lets the dead worker's lease end, starts another worker, and checks that this one
// makes the row unconfirmed, ends its job, and sends nothing for it, whoever runs the job again.
func (w *world) requireTakenOver(id int64) {
	w.Helper()
	before := len(w.x.Requests())
	w.declareDead()
	heir := w.start(opts{config: Config{
		LookUpAfter: []time.Duration{time.Hour},
		X:           twitter.Config{BaseURL: one[string](w, `SELECT x_base_url FROM tweetqueue.installation`)},
	}})
	// Not by its event: where the database is slow, the dead worker's own last look can still find
	// that its lease has ended.
	w.eventually("the row is in doubt", func() bool { return w.status(id) == "unconfirmed" })
	require.Contains(w, *w.entry(id).Error, "the worker doomed worker")
	require.Contains(w, *w.entry(id).Error, "it may be on X")
	requests := w.requests(id)
	require.Len(w, requests, 1)
	require.Nil(w, requests[0].AnsweredAt)

	jobs := storetest.Jobs(w, w.db, id)
	require.Len(w, jobs, 2)
	require.Equal(w, "cancelled", jobs[0].State)
	require.Equal(w, "pending", jobs[1].State, "it is looked up")
	worked := heir.worked(jobs[0].ID, 2)
	_, err := heir.river.JobRetry(w.Context(), jobs[0].ID)
	require.NoError(w, err)
	worked()
	require.Equal(w, "unconfirmed", w.status(id))
	require.Len(w, w.requests(id), 1)
	require.Len(w, w.x.Requests(), before)
}

// It dies after its claim, before the first byte of the request: the TLS handshake never ends.
func TestDeathBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	x := newSilent(t, "https")
	id := w.tweet("Not a byte")
	doomed := w.spawn(x.url)
	w.within(x.seen, "it connects")
	require.Equal(t, "sending", w.status(id))
	doomed.kill()
	w.requireTakenOver(id)
	require.NotContains(t, x.received(), "POST")
}

// It dies before the commit of its claim: the row is as it was, and its job runs again.
func TestDeathBeforeTheClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	lock := w.application()
	_, err := lock.Exec(t.Context(), `SELECT FROM tweetqueue.quotas FOR UPDATE`)
	require.NoError(t, err)
	id := storetest.Tweet(t, w.db, "Only once", -time.Minute)
	doomed := w.spawn(w.x.URL())
	w.lockWaits(doomed.name, 1)
	require.Equal(t, "running", storetest.Jobs(t, w.db, id)[0].State)
	doomed.kill()
	require.NoError(t, lock.Rollback(t.Context()))
	require.Equal(t, "scheduled:time", w.status(id))
	require.Empty(t, w.requests(id))

	w.declareDead()
	heir := w.start(opts{})
	heir.wait(EventDone, id)
	require.Len(t, w.x.Requests(), 1)
	require.Equal(t, 1, w.taken("posts"))
	jobs := storetest.Jobs(t, w.db, id)
	require.Equal(t, "cancelled", jobs[0].State, "the job of the dead worker is over")
}

// A worker that dies with many takes none of its neighbours' rows with it.
func TestDeathLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	const each = 5
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	doomed := w.spawn(w.x.URL())
	var lost []int64
	for i := range each {
		lost = append(lost, w.tweet(fmt.Sprintf("of the doomed %d", i)))
	}
	w.held(fault, each)
	doomed.kill()
	alive := w.start(opts{})
	var kept []int64
	for i := range each {
		kept = append(kept, w.tweet(fmt.Sprintf("of the living %d", i)))
	}
	w.held(fault, 2*each)
	w.exec(`UPDATE tweetqueue.workers SET renewed_at = renewed_at - interval '12 seconds' WHERE name = $1`, doomed.name)
	for _, id := range lost {
		w.eventually("the rows of the dead are in doubt", func() bool { return w.status(id) == "unconfirmed" })
	}
	for _, id := range kept {
		require.Equal(t, "sending", w.status(id))
	}
	fault.Lift()
	alive.wait(EventDone, kept...)
	require.Len(t, w.x.Requests(), 2*each)
	require.Equal(t, each, one[int](w, `SELECT count(*) FROM tweetqueue.tweets WHERE status = $1`, store.Unconfirmed))
}

// Who takes rows over says so.
func TestTakeOverIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	dead := w.newWorker(opts{})
	require.NoError(t, dead.lease.start(t.Context()))
	ids := map[store.Kind]int64{}
	for _, kind := range store.Kinds() {
		id := storetest.Row(t, w.db, kind, "In doubt", 0)
		ids[kind] = id
		claims, _, err := dead.claim(t.Context(), kind, []wakeUp{{jobID: storetest.Jobs(t, w.db, id)[0].ID, rowID: id}})
		require.NoError(t, err)
		require.Len(t, claims, 1)
	}
	w.declareDead()
	r := w.start(opts{config: Config{LookUpAfter: []time.Duration{time.Hour}}})
	const reason = "the worker test stopped while this was being sent"
	event := r.wait(EventUnconfirmed, ids[store.PostTweet])
	require.Equal(t, Event{Type: EventUnconfirmed, At: event.At, Kind: store.PostTweet, RowID: ids[store.PostTweet], Reason: reason}, event)
	for _, kind := range []store.Kind{store.DeleteTweet, store.Retweet} {
		event = r.wait(EventWaiting, ids[kind])
		require.Equal(t, Event{
			Type: EventWaiting, At: event.At, Kind: kind, RowID: ids[kind], WaitingFor: store.ForRetry, Reason: reason,
		}, event)
	}
	require.Empty(t, w.x.Requests())
}

// A row that this very worker has lost hold of, by a mistake or because the database refused its
// settlement, is in doubt too; one that it still works on, for however long, is not. No loop runs
// here: what one has listed before the claims would know nothing of them.
func TestTakeOverOfWhatWasLostHoldOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	fault := w.fault(sandbox.Fault{Kind: sandbox.KindHoldBefore})
	var told []Event
	worker := w.newWorker(opts{config: Config{Observe: func(e Event) {
		if e.Type == EventUnconfirmed {
			told = append(told, e)
		}
	}}})
	require.NoError(t, worker.lease.start(t.Context()))
	kept, lost := w.tweet("takes its time"), w.tweet("lost hold of")
	settled := make(chan error, 1)
	go func() { settled <- worker.work(t.Context(), store.PostTweet, []wakeUp{{jobID: 1, rowID: kept}}) }()
	w.held(fault, 1)
	claims, _, err := worker.claim(t.Context(), store.PostTweet, []wakeUp{{jobID: 2, rowID: lost}})
	require.NoError(t, err)
	require.Len(t, claims, 1)

	require.NoError(t, worker.takeOver(t.Context()))
	require.Equal(t, "sending", w.status(lost), "it was claimed just now")
	w.exec(`UPDATE tweetqueue.requests SET granted_at = granted_at - interval '61 seconds'`)
	require.NoError(t, worker.takeOver(t.Context()))
	require.Len(t, told, 1)
	require.Equal(t, lost, told[0].RowID)
	require.Equal(t, "unconfirmed", w.status(lost))
	require.Equal(t, "sending", w.status(kept))
	fault.Lift()
	require.NoError(t, <-settled)
	require.Equal(t, "posted", w.status(kept))
	require.Len(t, w.x.Requests(), 1)
}

// Somebody who has locked the windows of one account holds up the take-over of no other.
func TestTakeOverBesideLockedWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	worker := w.claimer()
	free := w.account("free")
	ids := []int64{w.tweet("of acme"), w.enqueue("free", store.Tweet{Text: "of another"}, 0)}
	for _, id := range ids {
		require.Equal(t, []int64{id}, w.claimed(worker, store.PostTweet, id))
	}
	fetched := w.tweet("fetched, and not claimed")
	w.exec(`UPDATE tweetqueue.river_job SET state = 'running', attempted_by = ARRAY['dead'] WHERE (args ->> 'row_id')::bigint = $1`, fetched)
	w.exec(`UPDATE tweetqueue.requests SET granted_at = granted_at - interval '61 seconds', send_by = send_by - interval '61 seconds'`)
	buckets := func(account int64) (n int) {
		require.NoError(t, w.db.QueryRow(t.Context(),
			`SELECT buckets[cardinality(buckets)] FROM tweetqueue.quotas WHERE name = 'posts' AND account_id = $1`, account).Scan(&n))
		return n
	}
	w.exec(`UPDATE tweetqueue.quotas SET buckets = ARRAY[buckets[1] - 20] WHERE name IN ('posts', 'writes') AND buckets <> '{}'`)
	before := buckets(free)
	person := w.application()
	_, err := person.Exec(t.Context(), `SELECT FROM tweetqueue.quotas WHERE account_id <> $1 FOR UPDATE`, free)
	require.NoError(t, err)
	require.ErrorIs(t, worker.takeOver(t.Context()), store.ErrRowLocked)
	require.NoError(t, person.Rollback(t.Context()))
	for _, id := range ids {
		require.Equal(t, "unconfirmed", w.status(id))
	}
	require.Greater(t, buckets(free), before, "its place is held from now on")
	require.Len(t, storetest.Jobs(t, w.db, fetched), 2)
}
