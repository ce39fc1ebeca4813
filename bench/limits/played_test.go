package limits

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter/sandbox"
)

// played is a scenario with what became of it.
type played struct {
	*world
	scenario

	accounts []int64
	tweets   []string // to retweet or to delete, by row
	outcomes []outcome
}

// outcome is what became of a row.
type outcome struct {
	row

	id        int64
	visible   time.Time // from when it is there for certain
	dueAt     time.Time
	cancelled time.Time // zero: it was not
	granted   time.Time // zero: never
	request   int64     // grants of one instant are in the order of their ids
}

func username(user int) string { return fmt.Sprintf("user%d", user) }

// setUp makes the users and their limits, and plans the scenario.
func setUp(w *world, s scenario) *played {
	w.Helper()
	p := &played{world: w, scenario: s, outcomes: make([]outcome, len(s.rows)), tweets: make([]string, len(s.rows))}
	for user := range s.users {
		p.accounts = append(p.accounts, w.account(username(user)))
	}
	w.account("author")
	p.limit()
	for i, r := range s.rows {
		p.outcomes[i].row = r
		switch r.action {
		case retweet:
			p.tweets[i] = w.tweetOf("author")
		case deletion:
			p.tweets[i] = w.tweetOf(username(r.user))
		case undoRetweet:
			p.tweets[i] = w.tweetOf("author")
		case post:
		}
		if r.cancel > 0 {
			w.at(r.cancel, func() { p.cancel(i) })
		}
	}
	bursts := map[time.Duration][]int{}
	for i, r := range s.rows {
		bursts[r.inserted] = append(bursts[r.inserted], i)
	}
	for at, rows := range bursts {
		w.at(at, func() { p.insert(rows) })
	}
	return p
}

// limit gives the accounts and their app the limits that X has.
func (p *played) limit() {
	families := map[sandbox.Family]*string{
		sandbox.FamilyEndpoint: new("endpoint"), sandbox.FamilyUserDay: new("user_24hour"), sandbox.FamilyAppDay: new("app_24hour"),
	}
	p.exec(`DELETE FROM tweetqueue.quotas`)
	for _, v := range p.windows {
		const columns = `INSERT INTO tweetqueue.quotas (account_id, app_id, name, actions, maximum, period, family) `
		of := columns + `SELECT id, NULL, $1, $2, $3, $4, $5 FROM tweetqueue.accounts`
		if v.ofApp {
			of = columns + `SELECT NULL, id, $1, $2, $3, $4, $5 FROM tweetqueue.apps`
		}
		p.exec(of, v.name, v.actions, v.maximum, v.period, families[v.family])
	}
}

// insert inserts rows in one transaction.
func (p *played) insert(rows []int) {
	p.Helper()
	require.NoError(p, store.InTx(p.Context(), p.db, func(tx pgx.Tx) error {
		for _, i := range rows {
			o := &p.outcomes[i]
			args := []any{username(o.user), o.priority, p.start.Add(o.due), p.tweets[i]}
			sql := `INSERT INTO tweetqueue.deletions (account, priority, delete_at, tweet_id, retweet) VALUES ($1, $2, $3, $4, $5) RETURNING id, delete_at`
			switch o.action {
			case post:
				sql, args[3] = `INSERT INTO tweetqueue.tweets (account, priority, post_at, text) VALUES ($1, $2, $3, $4) RETURNING id, post_at`, fmt.Sprintf("row %d", i)
			case retweet:
				sql = `INSERT INTO tweetqueue.retweets (account, priority, retweet_at, tweet_id) VALUES ($1, $2, $3, $4) RETURNING id, retweet_at`
			case deletion, undoRetweet:
				args = append(args, o.action == undoRetweet)
			}
			if err := tx.QueryRow(p.Context(), sql, args...).Scan(&o.id, &o.dueAt); err != nil {
				return err
			}
		}
		return nil
	}))
	now := p.clock.Now().Round(0)
	for _, i := range rows {
		p.outcomes[i].visible = now
	}
}

// cancel cancels a row, unless it has been sent.
func (p *played) cancel(i int) {
	p.Helper()
	o := &p.outcomes[i]
	if o.id == 0 {
		return
	}
	tables := map[store.Kind]string{store.PostTweet: "tweets", store.DeleteTweet: "deletions", store.Retweet: "retweets"}
	now := p.clock.Now().Round(0)
	tag, err := p.db.Exec(p.Context(), `UPDATE tweetqueue.`+tables[o.action.kind()]+` SET status = 'cancelled' WHERE id = $1 AND status = 'scheduled'`, o.id)
	require.NoError(p, err)
	if tag.RowsAffected() == 1 {
		o.cancelled = now
	}
}

// readGrants reads when the rows were granted, and returns which were not sent once. A request that was given back does not
// count, for a process that got no turn for longer than sendWithin sends nothing, and claims again; that is rare.
func (p *played) readGrants() []string {
	p.Helper()
	var found []string
	back := 0
	for i := range p.outcomes {
		o := &p.outcomes[i]
		rows, err := p.db.Query(p.Context(), `SELECT id, granted_at, coalesce(outcome, 'open'), places FROM tweetqueue.requests
WHERE kind = $1 AND row_id = $2 ORDER BY id`, o.action.kind(), o.id)
		require.NoError(p, err)
		var outcomes []string
		var id int64
		var granted time.Time
		var outcome string
		var places int
		_, err = pgx.ForEachRow(rows, []any{&id, &granted, &outcome, &places}, func() error {
			if places == 0 {
				back++
				return nil
			}
			o.request, o.granted = id, granted
			outcomes = append(outcomes, outcome)
			return nil
		})
		require.NoError(p, err)
		if o.cancelled.IsZero() && len(outcomes) != 1 {
			found = append(found, fmt.Sprintf("%s row %d has %d requests: %v", o.action, o.id, len(outcomes), outcomes))
		}
	}
	if back > 5+len(p.outcomes)/10 {
		found = append(found, fmt.Sprintf("%d requests for %d rows were given back", back, len(p.outcomes)))
	}
	return found
}

// faults are what is wrong with what happened.
func (p *played) faults() []string {
	p.Helper()
	found := append(p.readGrants(), p.problems()...)
	for _, r := range p.tooMany() {
		found = append(found, fmt.Sprintf("X said 429 to request %d, %s", r.N, r.Path))
	}
	for _, v := range p.windows {
		for _, user := range p.owners(v) {
			found = append(found, p.overfull(v, user)...)
			found = append(found, p.leaks(v, user)...)
		}
	}
	found = append(found, p.disorder()...)
	return append(found, p.waste()...)
}

// owners are the users whose requests a window counts by themselves; of one of an app it is "", who stands for all.
func (p *played) owners(v window) []string {
	if v.ofApp {
		return []string{""}
	}
	var all []string
	for user := range p.users {
		all = append(all, username(user))
	}
	return all
}

// countedAt is when X has counted the requests of a window.
func (p *played) countedAt(v window, owner string) []time.Time {
	var all []time.Time
	for _, r := range p.arrivals(owner, v.limit().Routes...) {
		all = append(all, r.CountedAt)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// overfull are intervals as long as a window in which X has counted more than its maximum.
func (p *played) overfull(v window, owner string) []string {
	var found []string
	at := p.countedAt(v, owner)
	for i := v.maximum; i < len(at); i++ {
		if first := at[i-v.maximum]; at[i].Sub(first) < v.period {
			found = append(found, fmt.Sprintf("%s of %q: %d requests within %s, from %s", v.name, owner, v.maximum+1, at[i].Sub(first), first.Sub(p.start)))
		}
	}
	return found
}

const (
	// sendWithin is how long after a grant its request may start: its place is held from then on.
	sendWithin = 3 * time.Second
	// slack is what work in between may take, by the machine's clock.
	slack = 5 * time.Second
)

// leaks says whether a window holds places that nobody has used, or fewer than X has counted.
func (p *played) leaks(v window, owner string) []string {
	const query = `SELECT coalesce((SELECT sum(g)::int FROM unnest(q.buckets, q.grants) AS held (bucket, g)
    WHERE (bucket + 1) * $3 + $4 > extract(epoch FROM tweetqueue.clock()) * 1e6), 0), tweetqueue.clock()
FROM tweetqueue.quotas q LEFT JOIN tweetqueue.accounts a ON a.id = q.account_id WHERE q.name = $1 AND coalesce(a.username, '') = $2`
	var used int
	var now time.Time
	period := v.period.Microseconds()
	require.NoError(p, p.db.QueryRow(p.Context(), query, v.name, owner, period/buckets, period).Scan(&used, &now))
	at := p.countedAt(v, owner)
	within := func(age time.Duration) int {
		return len(slices.DeleteFunc(slices.Clone(at), func(t time.Time) bool { return now.Sub(t) >= age }))
	}
	var found []string
	least, most := within(v.period), within(v.period+v.period/buckets+sendWithin+slack)
	if used < least || used > most {
		found = append(found, fmt.Sprintf("%s of %q holds %d places in the end, not %d to %d", v.name, owner, used, least, most))
	}
	return found
}

// buckets is how finely a window is kept: a place is held at most this part of it for longer.
const buckets = 256

// disorder are rows that went before others of their account and action that were due, waited, and should have
// gone first: by priority, then by when they are due, then by id. Where nothing is limited, none waits for another.
func (p *played) disorder() []string {
	var found []string
	for _, a := range p.outcomes {
		limited := slices.ContainsFunc(p.windows, func(v window) bool { return slices.Contains(v.actions, a.action) })
		if a.granted.IsZero() || !limited {
			continue
		}
		for _, b := range p.outcomes {
			if a.user != b.user || a.action != b.action || !b.before(a) || b.dueAt.After(a.granted) || b.visible.IsZero() || b.visible.After(a.granted) {
				continue
			}
			overtaken := b.granted.IsZero() || b.granted.After(a.granted) || b.granted.Equal(a.granted) && b.request > a.request
			if overtaken && (b.cancelled.IsZero() || b.cancelled.After(a.granted)) {
				found = append(found, fmt.Sprintf("%s row %d (priority %d, due %s) went at %s before row %d (priority %d, due %s)",
					a.action, a.id, a.priority, a.dueAt.Sub(p.start), a.granted.Sub(p.start), b.id, b.priority, b.dueAt.Sub(p.start)))
			}
		}
	}
	return found
}

// before reports whether a row goes before another one of its account and action.
func (o outcome) before(other outcome) bool {
	return cmp.Or(cmp.Compare(o.priority, other.priority), o.dueAt.Compare(other.dueAt), cmp.Compare(o.id, other.id)) < 0
}

func join(lines []string) string {
	const most = 20
	if len(lines) > most {
		lines = append(lines[:most:most], "...")
	}
	return strings.Join(lines, "\n")
}
