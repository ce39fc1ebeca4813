package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// spent is what account acme has spent in all months, and requires that it is what its requests have cost.
func (b *testBundle) spent(t testing.TB) string {
	t.Helper()
	spent := query[store.USD](t, b.db, `SELECT coalesce(sum(spent_usd), 0) FROM tweetqueue.spending`)
	require.Equal(t, query[store.USD](t, b.db, `SELECT coalesce(sum(cost_usd), 0) FROM tweetqueue.requests`), spent)
	return spent.String()
}

// Each request costs what X's list says, as soon as it is claimed, and an operator may change the list.
func TestRequestsCost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	prices, err := store.PricesRead(t.Context(), b.db)
	require.NoError(t, err)
	for _, test := range []struct {
		kind   store.Kind
		action string
		hasURL bool
		want   string
	}{
		{store.PostTweet, "post", false, "0.015"},
		{store.PostTweet, "post", true, "0.2"},
		{store.DeleteTweet, "delete", false, "0.005"},
		{store.DeleteTweet, "undo_retweet", false, "0.01"},
		{store.Retweet, "retweet", false, "0.015"},
	} {
		require.Equal(t, test.want, prices.Of(test.action, test.hasURL).String())
		request := b.request(t, b.db, due(t, b.db, test.kind, fmt.Sprint(test.action, test.hasURL)))
		request.Action, request.HasURL = test.action, test.hasURL
		inTx(t, b.db, func(tx pgx.Tx) {
			require.NoError(t, store.StartRequests(t.Context(), tx, test.kind, b.workerID, []*store.Request{request}))
		})
		list, err := store.RequestList(t.Context(), b.db, request.RowID)
		require.NoError(t, err)
		require.Equal(t, test.want, list[0].CostUSD.String())
	}
	require.Equal(t, "0.245", b.spent(t))
	require.Zero(t, prices.Of("like", false), "what has no price")

	exec(t, b.db, `UPDATE tweetqueue.prices SET usd = 0.02 WHERE name = 'post_create'`)
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "dearer", 0))
	require.Equal(t, "0.265", b.spent(t))
	list, err := store.PriceList(t.Context(), b.db)
	require.NoError(t, err)
	require.Contains(t, list, store.PriceRow{Name: "post_create", What: "Post: Create", Per: "request", USD: 20_000})
	require.Contains(t, list, store.PriceRow{Name: "owned_read", What: "Owned read", Per: "resource", USD: 1_000})
}

// X bills what it has done: a refusal costs nothing, nor does what never reached it, and what it did not answer costs its
// price until more is known.
func TestRefusalsCostNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct {
		code     int
		giveBack bool
		want     string
	}{
		{201, false, "0.015"},
		{400, false, "0"},
		{402, false, "0"},
		{403, false, "0"},
		{429, false, "0"},
		{408, false, "0.015"},
		{503, false, "0.015"},
		{0, false, "0.015"},
		{0, true, "0"},
	} {
		request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
		for range 2 { // written again, for its commit seemed to fail
			b.settle(t, store.PostTweet, request, store.Settlement{
				Status: store.Failed, Outcome: "fail", StatusCode: test.code, GiveBack: test.giveBack, SendBy: request.SendBy,
			})
			list, err := store.RequestList(t.Context(), b.db, request.RowID)
			require.NoError(t, err)
			require.Equal(t, test.want, list[0].CostUSD.String(), test)
		}
	}
	require.Equal(t, "0.06", b.spent(t))
}

// The price of a request stays in the month of its claim.
func TestSpendingOfAMonth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "a", 0))[0]
	month := query[time.Time](t, b.db, `SELECT month FROM tweetqueue.spending`)
	require.Equal(t, query[time.Time](t, b.db, `SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date`), month)
	storetest.MoveClock(t, b.db, 32*24*time.Hour)
	b.settle(t, store.PostTweet, request, store.Settlement{Status: store.Failed, Outcome: "fail", StatusCode: 403})
	require.Equal(t, "0", query[store.USD](t, b.db, `SELECT spent_usd FROM tweetqueue.spending`).String())
	b.start(t, store.PostTweet, storetest.Tweet(t, b.db, "b", 0))
	require.Equal(t, "0.015", query[store.USD](t, b.db, `SELECT spent_usd FROM tweetqueue.spending WHERE month > $1`, month).String())
}

// What a look-up returns is billed once a day and endpoint, and the timeline of the app's owner is cheaper.
func TestReadsCostOnceADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lookUp := func(kind store.Kind, row int64, ids ...string) string {
		id := b.lookUp(t, kind, row)
		for range 2 {
			inTx(t, b.db, func(tx pgx.Tx) {
				require.NoError(t, store.LookUpSettle(t.Context(), tx, kind, store.LookUpAnswer{
					RequestID: id, RowIDs: []int64{row}, Outcome: "done", StatusCode: 200, TweetIDs: append([]string{}, ids...),
				}))
			})
		}
		return query[store.USD](t, b.db, `SELECT cost_usd FROM tweetqueue.requests WHERE id = $1`, id).String()
	}
	tweet, retweet := b.doubt(t, store.PostTweet, "a").RowID, b.doubt(t, store.Retweet, "a").RowID
	deletion := b.doubt(t, store.DeleteTweet, "a").RowID
	require.Equal(t, "0.01", lookUp(store.PostTweet, tweet, "1", "2"))
	require.Equal(t, "0.005", lookUp(store.Retweet, retweet, "2", "3"), "the same endpoint")
	require.Equal(t, "0.005", lookUp(store.DeleteTweet, deletion, "2"), "another one")
	require.Equal(t, "0", lookUp(store.PostTweet, tweet))
	exec(t, b.db, `UPDATE tweetqueue.apps SET owner_x_user_id = '42'`)
	require.Equal(t, "0.001", lookUp(store.PostTweet, tweet, "4"))
	require.Equal(t, "0.005", lookUp(store.DeleteTweet, deletion, "4"))

	storetest.MoveClock(t, b.db, 24*time.Hour)
	require.Equal(t, "0.002", lookUp(store.PostTweet, tweet, "1", "2"))
	require.NoError(t, store.ReadsForget(t.Context(), b.db, 100))
	require.Equal(t, 8, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.reads`), "yesterday's may still be asked for")
	storetest.MoveClock(t, b.db, 48*time.Hour)
	require.NoError(t, store.ReadsForget(t.Context(), b.db, 100))
	require.Equal(t, 2, query[int](t, b.db, `SELECT count(*) FROM tweetqueue.reads`))
	require.NotEqual(t, "0", b.spent(t))
}

// Of the requests that left a doubt one is billed if one had its effect, and none if none had.
func TestDoubtsCost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status store.Status
		want   []string
	}{
		{store.Posted, []string{"0", "0.015"}},
		{store.Failed, []string{"0", "0"}},
		{store.Unconfirmed, []string{"0.015", "0.015"}},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.doubt(t, store.PostTweet, "a")
			exec(t, b.db, `UPDATE tweetqueue.tweets SET status = 'scheduled', waiting_for = 'time' WHERE id = $1`, first.RowID)
			second := b.start(t, store.PostTweet, first.RowID)[0]
			b.settle(t, store.PostTweet, second, store.Settlement{Status: store.Unconfirmed, LookUpAt: time.Now(), Error: "timed out"})
			resolution := store.Resolution{RowID: first.RowID, RequestID: second.ID, Status: test.status}
			if test.status == store.Posted {
				resolution.TweetID = "1001"
			}
			inTx(t, b.db, func(tx pgx.Tx) {
				_, err := store.Resolve(t.Context(), tx, store.PostTweet, []store.Resolution{resolution})
				require.NoError(t, err)
			})
			list, err := store.RequestList(t.Context(), b.db, first.RowID)
			require.NoError(t, err)
			require.Equal(t, test.want, []string{list[0].CostUSD.String(), list[1].CostUSD.String()})
			b.spent(t)
		})
	}
}

// A refusal tells nothing of the request before it, which X may have done and billed: it keeps its price.
func TestDoubtCostsIfNothingTells(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Deletion(t, b.db, "77", 0)
	first := b.start(t, store.DeleteTweet, id)[0]
	b.settle(t, store.DeleteTweet, first, store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry, Outcome: "repeat", Error: "no answer"})
	second := b.start(t, store.DeleteTweet, id)[0]
	b.settle(t, store.DeleteTweet, second, store.Settlement{Status: store.Failed, Outcome: "fail", StatusCode: 403, Doubt: true, Error: "refused"})
	list, err := store.RequestList(t.Context(), b.db, id)
	require.NoError(t, err)
	require.Equal(t, []string{"0.005", "0"}, []string{list[0].CostUSD.String(), list[1].CostUSD.String()})
	require.Equal(t, "0.005", b.spent(t))
}

// X's late answer to a request that was taken for absent tells better.
func TestLateAnswerCosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := b.doubt(t, store.PostTweet, "a")
	inTx(t, b.db, func(tx pgx.Tx) {
		_, err := store.Resolve(t.Context(), tx, store.PostTweet, []store.Resolution{{
			RowID: request.RowID, RequestID: request.ID, Status: store.Scheduled, WaitFor: store.ForRetry,
		}})
		require.NoError(t, err)
	})
	require.Equal(t, "0", b.spent(t))
	settlement := posted("1001")
	settlement.StatusCode = 201
	b.settle(t, store.PostTweet, request, settlement)
	require.Equal(t, "0.015", b.spent(t))
}
