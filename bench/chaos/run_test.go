package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// run is one run of a plan.
type run struct {
	*world

	plan      *plan
	pg        *postgres
	slots     []*slot
	calm      string // a file, there once the faults are over
	faults    []*sandbox.ActiveFault
	began     time.Time
	survivors []string // journals of the processes that were not killed

	mu     sync.Mutex
	counts map[string]int // of faults, by kind
}

// slot is the place of one worker: one process at a time, and its ways to its neighbours.
type slot struct {
	run   *run
	index int
	db, x *proxy
	url   string // of the database, by way of db

	mu      sync.Mutex
	process *process // the one that lives, or lived last
}

// settle is how long a run may take, after its faults, until every row is over; and standstill is for how long
// nothing may happen meanwhile: longer than from one look-up to the next, and than what failed rests, and mostly
// shorter than the clocks of worker and database are apart.
const (
	settle     = 5 * time.Minute
	standstill = 75 * time.Second
)

// newRun makes the world of a plan, with n tweets and n/4 deletions in it.
func newRun(t *testing.T, p *plan, n int) *run {
	t.Helper()
	config := sandbox.Config{
		Seed: p.seed + 1, Limits: limits(), DeleteMissing: p.missing, Gzip: p.gzip,
		Now:     func() time.Time { return time.Now().Add(-p.skew) },
		ReadLag: sandbox.ReadLag{Max: p.pace.Lag},
	}
	if !p.duplicates {
		config.DuplicateWindow = -1
	}
	r := &run{plan: p, pg: startPostgres(t), counts: map[string]int{}}
	r.world = newWorld(t, r.pg.server.URL(), config, 3, max(8, n/100+4))
	storetest.MoveClock(t, r.db, p.skew)
	r.calm = filepath.Join(r.dir, "calm")
	between := newProxies()
	for i := range p.workers {
		s := &slot{
			run: r, index: i, db: between.open(t, r.pg.relay), x: between.open(t, strings.TrimPrefix(r.x.URL(), "http://")),
		}
		s.url = r.pg.through(t, s.db.addr)
		r.slots = append(r.slots, s)
	}
	r.enqueue(source(p.seed, partLoad), n, p.pace.Faults*3/4)
	return r
}

// toEnd runs the plan to its end: all rows over, all processes gone.
func (r *run) toEnd() {
	r.Helper()
	r.began = time.Now()
	ctx, stop := context.WithTimeout(r.Context(), r.plan.pace.Faults)
	defer stop()
	for _, f := range r.plan.faults {
		r.faults = append(r.faults, r.fault(f))
	}
	workers, stopWorkers := context.WithCancel(context.WithoutCancel(r.Context()))
	var supervisors, deeds sync.WaitGroup
	defer func() {
		stopWorkers()
		supervisors.Wait()
	}()
	for _, s := range r.slots {
		supervisors.Go(func() { s.supervise(workers) })
	}
	deeds.Go(func() { r.follow(ctx, &deeds) })
	r.report(ctx)
	deeds.Wait()
	r.end()
	r.untilSettled()
}

// follow does each deed at its time.
func (r *run) follow(ctx context.Context, deeds *sync.WaitGroup) {
	for _, s := range r.plan.steps {
		pause(ctx, s.at-time.Since(r.began))
		if ctx.Err() != nil {
			return
		}
		deeds.Go(func() {
			if err := r.do(ctx, s); err != nil && ctx.Err() == nil {
				r.Errorf("%s: %v", s, err)
			}
		})
	}
}

func (r *run) do(ctx context.Context, s step) error {
	r.count(strings.TrimSpace(string(s.deed) + " " + string(s.trouble)))
	slot := r.slots[s.worker]
	switch s.deed {
	case killing:
		slot.signal(syscall.SIGKILL)
	case freezing:
		thaw := slot.freeze()
		pause(ctx, s.lasts)
		thaw()
	case troubleDB:
		return slot.db.suffer(ctx, s.trouble, s.lasts)
	case troubleX:
		return slot.x.suffer(ctx, s.trouble, s.lasts)
	case waking:
		r.wakeSome(ctx)
	case restarting:
		return r.pg.restart(context.WithoutCancel(ctx))
	}
	return nil
}

// wakeSome inserts jobs for rows that need none, unless the database is away.
func (r *run) wakeSome(ctx context.Context) {
	for _, kind := range store.Kinds() {
		_, err := r.db.Exec(ctx, fmt.Sprintf(`INSERT INTO tweetqueue.river_job (args, kind, max_attempts, queue, scheduled_at)
SELECT jsonb_build_object('row_id', id), '%s', 32767, '%s', tweetqueue.clock() FROM tweetqueue.%s
WHERE status <> 'scheduled' ORDER BY status <> 'sending', random() LIMIT 5`, kind, kind.Queue(), kind.Queue()))
		if err != nil {
			r.count("wake in vain")
		}
	}
}

func (r *run) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// supervise keeps one process running until ctx ends, then stops the last one.
func (s *slot) supervise(ctx context.Context) {
	r := s.run
	for nth := 0; ctx.Err() == nil; nth++ {
		name := fmt.Sprintf("worker %d.%d", s.index, nth)
		c := r.child(name, r.plan.pace)
		c.Database, c.Via, c.Skew = s.url, s.x.addr, r.plan.skew
		c.Journal, c.Doom = filepath.Join(r.dir, name+".journal"), r.plan.doom(s.index, nth, r.calm)
		log, err := os.Create(filepath.Join(r.dir, name+".log"))
		if err != nil {
			r.Errorf("%s: %v", name, err)
			return
		}
		p, err := start(c, log)
		if err != nil {
			r.Errorf("%s: %v", name, err)
			return
		}
		s.set(p)
		select {
		case <-p.gone:
		case <-ctx.Done():
			p.signal(syscall.SIGTERM)
			select {
			case <-p.gone:
			case <-time.After(soon):
				r.Errorf("%s does not stop", name)
				p.kill()
			}
		}
		_ = log.Close()
		s.ended(p)
		pause(ctx, 100*time.Millisecond)
	}
}

// ended notes how a process has ended.
func (s *slot) ended(p *process) {
	r := s.run
	switch {
	case !p.killed():
		if p.err != nil {
			r.count("could not start") // it found no database
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.survivors = append(r.survivors, p.Journal)
	case p.Doom != nil && !p.Doom.Freeze:
		r.count(p.Doom.String()) // or was killed before it came there
	}
}

func (s *slot) set(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
}

func (s *slot) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.signal(sig)
	}
}

// freeze stops the process that runs now, and returns what lets it go on.
func (s *slot) freeze() (thaw func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.process
	if p == nil {
		return func() {}
	}
	p.signal(syscall.SIGSTOP)
	return func() { p.signal(syscall.SIGCONT) }
}

// report says every few seconds how it goes, until ctx ends.
func (r *run) report(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, 5*time.Second)
		_ = r.resume(ctx) // the database may be away
		r.Logf("%5.1fs %s", time.Since(r.began).Seconds(), r.progress())
	}
}

func (r *run) progress() string {
	counts, err := r.statuses(context.WithoutCancel(r.Context()))
	if err != nil {
		return "the database is away"
	}
	return counts
}

// end ends the faults: what is held goes on, what is doomed lives.
func (r *run) end() {
	r.Helper()
	require.NoError(r, os.WriteFile(r.calm, nil, 0o600))
	for _, f := range r.faults {
		f.Lift()
	}
}

// untilSettled waits until every row is over, or waits for a person, and plays the operator meanwhile: an
// account that X answered 401 would rest for a quarter of an hour.
func (r *run) untilSettled() {
	r.Helper()
	const open = `SELECT (SELECT count(*) FROM tweetqueue.tweets t
    WHERE t.status IN ('scheduled', 'sending') AND NOT (t.waiting_for IS NOT DISTINCT FROM 'thread' AND EXISTS (
        SELECT FROM tweetqueue.tweets b WHERE b.id = t.previous_id AND b.status IN ('failed', 'missed', 'cancelled', 'unconfirmed'))))
+ (SELECT count(*) FROM tweetqueue.deletions WHERE status IN ('scheduled', 'sending'))`
	ctx, cancel := context.WithTimeout(r.Context(), settle)
	defer cancel()
	reported, changed, before := time.Now(), time.Now(), ""
	for {
		require.NoError(r, r.resume(ctx))
		if one[int](r.world, open) == 0 && one[int](r.world, openDoubts) == 0 {
			return
		}
		if now := one[string](r.world, `SELECT concat_ws(' ', (SELECT count(*) FROM tweetqueue.requests), (SELECT count(*) FROM tweetqueue.waiting))`); now != before {
			before, changed = now, time.Now()
		}
		if time.Since(changed) > standstill {
			r.Errorf("nothing has happened for %s: %s%s", standstill, r.progress(), r.open())
			return
		}
		if time.Since(reported) > 5*time.Second {
			r.Logf("%5.1fs %s", time.Since(r.began).Seconds(), r.progress())
			reported = time.Now()
			if r.duplicated() {
				return // the audit says what
			}
		}
		if pause(ctx, 250*time.Millisecond); ctx.Err() != nil {
			r.Errorf("not settled %s after the faults: %s%s", settle, r.progress(), r.open())
			return
		}
	}
}

// open are the rows that are not over and their jobs, for a person.
func (r *run) open() string {
	r.Helper()
	return one[string](r.world, `SELECT 'now: ' || tweetqueue.clock() || coalesce(string_agg(line, '' ORDER BY line), '') FROM (
SELECT format(E'\n%s %s %s until %s: %s', kind, id, concat_ws(':', status, waiting_for), next_attempt_at, error) AS line FROM tweetqueue.waiting
UNION ALL SELECT format(E'\njob %s of %s is %s, scheduled at %s, attempt %s at %s', id, args, state, scheduled_at, attempt, attempted_at)
FROM tweetqueue.river_job WHERE finalized_at IS NULL
UNION ALL SELECT format(E'\nrequest %s of %s: %s %s %s', id, row_id, status_code, limits, error) FROM tweetqueue.requests WHERE status_code = 429) AS lines`)
}

// duplicated reports whether a row has two tweets already: then there is nothing to wait for.
func (r *run) duplicated() bool {
	seen := map[string]bool{}
	for _, tweet := range r.x.Tweets() {
		m := mark.FindString(tweet.Text)
		if m != "" && m[0] == 'm' && seen[m] {
			return true
		}
		seen[m] = true
	}
	return false
}

// resume ends the holds of accounts and apps.
func (r *run) resume(ctx context.Context) error {
	accounts, err := store.AccountList(ctx, r.db)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if a.State == store.Active {
			continue
		}
		if err := store.AccountRelease(ctx, r.db, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// statuses are the numbers of rows by status, in words.
func (r *run) statuses(ctx context.Context) (string, error) {
	rows, err := r.db.Query(ctx, `SELECT concat_ws(' ', what, concat_ws(':', status, waiting_for)), count(*) FROM (
SELECT 'tweets' AS what, status, waiting_for FROM tweetqueue.tweets
UNION ALL SELECT 'deletions', status, waiting_for FROM tweetqueue.deletions) AS all_rows GROUP BY 1 ORDER BY 1 DESC`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var words []string
	for rows.Next() {
		var what string
		var n int
		if err := rows.Scan(&what, &n); err != nil {
			return "", err
		}
		words = append(words, fmt.Sprintf("%s %d", what, n))
	}
	return strings.Join(words, ", "), rows.Err()
}

// summary is a table of what was done to the workers, and what came of it.
func (r *run) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %.1f s\n", r.plan.seed, time.Since(r.began).Seconds())
	fmt.Fprintf(&b, "  %s\n", r.progress())
	fmt.Fprintf(&b, "  requests to X: %d; recorded: %d, and %d look-ups; rows that were ever in doubt: %d\n", len(r.x.Requests()),
		one[int](r.world, `SELECT count(*) FROM tweetqueue.requests WHERE kind <> 'look_up'`),
		one[int](r.world, `SELECT count(*) FROM tweetqueue.requests WHERE kind = 'look_up'`),
		one[int](r.world, `SELECT count(DISTINCT row_id) FROM tweetqueue.requests WHERE kind <> 'look_up' AND (outcome = 'unconfirmed' OR outcome IS NULL)`))
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(r.counts)
	for _, f := range r.faults {
		if hits := f.Hits(); hits > 0 {
			what := fmt.Sprintf("X %s", f.Kind)
			if f.Status != 0 {
				what += fmt.Sprintf(" %d", f.Status)
			}
			all[strings.TrimSpace(what+" "+string(f.Body))] += hits
		}
	}
	for _, what := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "  %-50s %d\n", what, all[what])
	}
	return b.String()
}
