package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// quotasCorrect does with the windows what the settlements say: it gives places back, holds them as long as
// their requests may have been on their way, and believes what X tells; and only once, for a settlement is written
// again if its commit seemed to fail. It returns, by request, until when X accepts nothing of the action. Mostly
// there is nothing to do: then it locks nothing. It returns also whether something else may have a place sooner.
func quotasCorrect(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement) (until map[int64]time.Time, frees bool, err error) {
	const query = `-- name: RequestsUnanswered :many
SELECT id FROM tweetqueue.requests WHERE id = ANY ($1) AND answered_at IS NULL`
	correcting, err := toCorrect(ctx, tx, kind, settlements)
	if len(correcting) == 0 || err != nil {
		return nil, false, err
	}
	var requests, accounts []int64
	var actions []string
	for _, s := range correcting {
		requests, accounts, actions = append(requests, s.RequestID), append(accounts, s.AccountID), append(actions, s.action(kind))
	}
	rows, err := tx.Query(ctx, query, requests)
	if err != nil {
		return nil, false, fmt.Errorf("look for unanswered requests: %w", err)
	}
	unanswered, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, false, fmt.Errorf("look for unanswered requests: %w", err)
	}
	quotas, err := QuotasLock(ctx, tx, accounts, actions...)
	if err != nil {
		return nil, false, err
	}
	now, err := Clock(ctx, tx) // after the locks
	if err != nil {
		return nil, false, err
	}
	until = map[int64]time.Time{}
	var waits []QuotaWait
	var sooner []*Quota // have a place sooner
	for _, s := range correcting {
		if !slices.Contains(unanswered, s.RequestID) {
			continue
		}
		if err := s.correct(ctx, tx, kind, quotas, now); err != nil {
			return nil, false, err
		}
		if s.WaitFor == ForQuota {
			until[s.RequestID] = s.answeredAt(now).Add(s.Wait)
			for _, q := range quotas.Of(s.AccountID, s.action(kind)) {
				until[s.RequestID] = laterOf(until[s.RequestID], q.Next(now))
			}
			waits = append(waits, QuotaWait{AccountID: s.AccountID, Action: s.action(kind), Until: until[s.RequestID]})
		}
		for _, q := range quotas.Of(s.AccountID, s.action(kind)) {
			if s.GiveBack || now.Before(s.SendBy) || q.cautious(now) {
				sooner = append(sooner, q)
			}
		}
	}
	if err := QuotasSave(ctx, tx, quotas); err != nil {
		return nil, false, err
	}
	if err := quotaWaitsRecheck(ctx, tx, sooner, now); err != nil {
		return nil, false, err
	}
	return until, len(sooner) > 0, QuotaWaitsBegin(ctx, tx, waits)
}

// toCorrect returns the settlements that change a window.
func toCorrect(ctx context.Context, tx pgx.Tx, kind Kind, settlements []Settlement) ([]Settlement, error) {
	now, err := Clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	var accounts []int64
	var actions []string
	for _, s := range settlements {
		accounts, actions = append(accounts, s.AccountID), append(actions, s.action(kind))
	}
	quotas, err := quotasRead(ctx, tx, accounts, actions)
	if err != nil {
		return nil, err
	}
	var correcting []Settlement
	for _, s := range settlements {
		windows := quotas.Of(s.AccountID, s.action(kind))
		if s.corrects(windows, s.action(kind), now) {
			correcting = append(correcting, s)
		}
	}
	return correcting, nil
}

// corrects reports whether the settlement changes one of its action's windows.
func (s Settlement) corrects(windows []*Quota, action string, now time.Time) bool {
	says := s.GiveBack || s.WaitFor == ForQuota || s.Block > 0 || s.More > 0
	moves := now.After(s.SendBy) || s.tooLong(windows, now)
	// Beside others one request goes at a time: that this one is over makes room for the next.
	cautious := slices.ContainsFunc(windows, func(q *Quota) bool { return q.cautious(now) })
	return says || moves || cautious || s.reportsNews(windows, action, now)
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s Settlement) action(kind Kind) string { return cmp.Or(s.Action, kind.Action()) }

// answered reports whether X answered: then the request has arrived by now.
func (s Settlement) answered() bool { return s.StatusCode != 0 }

// answeredAt is when it did, as Postgres keeps instants.
func (s Settlement) answeredAt(now time.Time) time.Time {
	return now.Add(-s.Age).Truncate(time.Microsecond)
}

// tooLong reports whether a place is held for so much longer than the request was under way that it matters:
// more than a bucket or two.
func (s Settlement) tooLong(windows []*Quota, now time.Time) bool {
	return s.answered() && slices.ContainsFunc(windows, func(q *Quota) bool {
		return q.TooLong(s.SendBy.Sub(now))
	})
}

// placeAt is for when the request's place in a window is held, now that it is over.
func (s Settlement) placeAt(q *Quota, now time.Time) time.Time {
	if now.After(s.SendBy) || s.tooLong([]*Quota{q}, now) {
		return now
	}
	return s.SendBy
}

// correct corrects the windows that the settlement's request took a place in, and those that X told of.
func (s Settlement) correct(ctx context.Context, tx pgx.Tx, kind Kind, quotas Quotas, now time.Time) error {
	action := s.action(kind)
	for _, q := range quotas.Of(s.AccountID, action) {
		s.place(q, now)
	}
	blocked := false
	for _, r := range s.Reports {
		windows := quotas.Of(s.AccountID, action)
		q := r.window(windows, action)
		if q == nil && r.isOdd(windows, action) {
			continue
		}
		if q == nil {
			var err error
			if q, err = s.learn(ctx, tx, quotas, action, r, now); err != nil {
				return err
			}
		}
		refused := s.Block > 0 && r.Remaining == 0 && r.Reset > 0
		if refused { // X has counted its maximum without it
			q.GiveBack(s.placeAt(q, now), now)
			q.block(s.answeredAt(now).Add(r.Reset))
			blocked = true
		}
		seen := q.OthersSeen
		q.report(r, s.answeredAt(now))
		if !q.Configured && seen == nil && q.OthersSeen != nil {
			// It may be ours: a claim that was under way when the window was learned has taken no place in it.
			if err := q.recount(ctx, tx); err != nil {
				return err
			}
			if s.GiveBack || refused {
				q.GiveBack(s.SendBy, now)
			}
			q.OthersSeen = nil
			q.report(r, s.answeredAt(now))
		}
	}
	if s.Block == 0 || blocked {
		return nil
	}
	q := shortestOf(quotas.Of(s.AccountID, action), func(q *Quota) bool { return q.countsOnly(action) })
	if q == nil {
		var err error
		if q, err = s.learn(ctx, tx, quotas, action, Report{Family: familyEndpoint}, now); err != nil {
			return err
		}
	}
	q.block(s.answeredAt(now).Add(s.Block))
	return nil
}

// place holds the request's place in a window for as long as the request may have been under way, or gives it back.
func (s Settlement) place(q *Quota, now time.Time) {
	switch {
	case s.GiveBack:
		q.GiveBack(s.SendBy, now)
	case !s.placeAt(q, now).Equal(s.SendBy):
		q.Move(s.SendBy, now)
	}
	for range s.More {
		q.Take(now)
	}
}

// recount counts anew what was sent in a window, as the trigger does for one that is new.
func (q *Quota) recount(ctx context.Context, tx pgx.Tx) error {
	const query = `-- name: QuotaRecount :many
SELECT r.at / $5::bigint AS bucket, sum(r.places)::integer
FROM tweetqueue.requests_since(tweetqueue.clock() - $4::interval, nullif($1::bigint, 0), nullif($2::bigint, 0), $3::text[]) r
GROUP BY 1 HAVING (r.at / $5 + 1) * $5 > tweetqueue.microseconds(tweetqueue.clock() - $4) ORDER BY 1`
	rows, err := tx.Query(ctx, query, q.AccountID, q.AppID, q.Actions, q.Period, q.width())
	if err != nil {
		return fmt.Errorf("count what was sent in limit %s: %w", q.Name, err)
	}
	q.buckets, q.grants = nil, nil
	var bucket int64
	var places int32
	_, err = pgx.ForEachRow(rows, []any{&bucket, &places}, func() error {
		q.buckets, q.grants = append(q.buckets, bucket), append(q.grants, places)
		return nil
	})
	if err != nil {
		return fmt.Errorf("count what was sent in limit %s: %w", q.Name, err)
	}
	return nil
}

// learn writes a window that nobody has configured, and that X tells of. A trigger counts the account's latest requests
// in it, or the app's, and this one.
func (s Settlement) learn(ctx context.Context, tx pgx.Tx, quotas Quotas, action string, r Report, now time.Time) (*Quota, error) {
	// One that was over counts nothing since.
	const forget = `-- name: QuotaForget :exec
DELETE FROM tweetqueue.quotas q USING tweetqueue.accounts a
WHERE a.id = $1 AND CASE WHEN $2 THEN q.app_id = a.app_id ELSE q.account_id = a.id END AND q.name = $3 AND NOT (` + quotaHolds + `)`
	const query = `-- name: QuotaLearn :one
INSERT INTO tweetqueue.quotas AS q (account_id, app_id, name, family, actions, maximum, period, configured)
SELECT CASE WHEN NOT $2 THEN a.id END, CASE WHEN $2 THEN a.app_id END, $3, $4, ARRAY[$5], $6, $7, false
FROM tweetqueue.accounts a WHERE a.id = $1
ON CONFLICT ON CONSTRAINT {key} DO UPDATE SET name = excluded.name
RETURNING ` + quotaColumns
	ofApp := r.Family == familyApp
	if _, err := tx.Exec(ctx, forget, s.AccountID, ofApp, r.name(action)); err != nil {
		return nil, fmt.Errorf("forget a window that X told of: %w", err)
	}
	q := &Quota{}
	err := tx.QueryRow(ctx, keyed(query, ofApp), s.AccountID, ofApp, r.name(action), r.Family, action,
		cmp.Or(max(0, r.Limit), unknownMaximum), r.period()).Scan(q.targets()...)
	if err != nil {
		return nil, fmt.Errorf("write a window that X tells of: %w", err)
	}
	if learned := quotas.byID()[q.ID]; learned != nil { // by another account of the app
		q = learned
	}
	s.place(q, now)
	quotas[s.AccountID] = append(quotas[s.AccountID], q)
	return q, nil
}
