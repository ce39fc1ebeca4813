package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
)

// BenchmarkSpend claims and settles a tweet of an account that has sent many, with and without a budget: it costs the same
// however many there were.
func BenchmarkSpend(b *testing.B) {
	for _, budget := range []string{"none", "account", "app"} {
		for _, before := range []int{0, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", budget, before), func(b *testing.B) {
				bundle := setup(b)
				exec(b, bundle.db, `INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, price_usd, cost_usd)
					SELECT 'post_tweet', i, $1, $2, i, now(), now(), 0.015, 0.015 FROM generate_series(1, $3) AS i`, bundle.accountID, bundle.workerID, before)
				if budget != "none" {
					exec(b, bundle.db, `UPDATE tweetqueue.`+budget+`s SET budget_usd = 100000`)
				}
				ids := queryAll[int64](b, bundle.db, `INSERT INTO tweetqueue.tweets (account, text) SELECT 'acme', 'a' FROM generate_series(1, $1) RETURNING id`, max(b.N, 5000))
				next, least := 0, time.Hour
				for b.Loop() {
					id := ids[next%len(ids)]
					next++
					request := bundle.request(b, bundle.db, id)
					began := time.Now()
					inTx(b, bundle.db, func(tx pgx.Tx) {
						if budget != "none" {
							_, err := store.BudgetsLock(b.Context(), tx, []int64{bundle.accountID}, request.GrantedAt)
							require.NoError(b, err)
						}
						require.NoError(b, store.StartRequests(b.Context(), tx, store.PostTweet, bundle.workerID, []*store.Request{request}))
					})
					settlement := posted(fmt.Sprint(id))
					settlement.StatusCode = 201
					bundle.settle(b, store.PostTweet, request, settlement)
					least = min(least, time.Since(began))
				}
				b.ReportMetric(float64(least.Microseconds()), "least-µs/op")
			})
		}
	}
}
