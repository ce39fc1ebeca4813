// Package limits proves that the engine of limits keeps every limit of X, wastes no time, keeps the order, and leaks no
// place; and it measures what waiting costs. It is all tests: real workers in this process, a real Postgres, and a stand-in
// for X over real HTTP ([tweetqueue/twitter/sandbox]), whose own count of what arrived is the judge.
//
// # Simulated time
//
// Limits are of 15 minutes to a day, and shorter ones would not be the same: a place is held for seconds longer than its
// window, and requests are under way for seconds. So time is simulated (play_test.go). The clocks of the database, of X
// and of River are the machine's and an offset that they share. Where nothing is being done but to wait, the
// test moves the offset on to the next instant at which something is due: a row, a place, the arrival of a request, or
// a step of the test's own. The database's part of it is one transaction that nobody can be granted a place beside, and
// that moves the workers' leases along. Between the moves time runs as it does.
//
// # What is proved
//
// TestLimits plays random limits, loads, delays and workers (scenario_test.go), and then requires (played_test.go, least_test.go):
//
//   - on no interval as long as a window X has counted more requests than its maximum, by when they arrived; and it has
//     answered none 429;
//   - each row went within 2% and one window's edge of the first instant at which it could have, given those that went before it;
//   - of an account and action the best row that was due went first: by priority, then by when it was due;
//   - in the end each window holds the places of the requests that X has counted within it, and no others, and no row, no
//     job and no wait is left.
//
// The other tests are of the guide's limits, of limits that X has lowered, of another client that spends the same limit, and
// of bystanders. The long forms are in `make soak`, and the figures in `make bench BENCH=Limits`:
//
//   - fetches/tweet: how often River fetches a tweet, of 10,000 that are due at once; 1 is none in vain;
//   - claim-ratio and release-ratio: what the transactions that grant a place and that let rows go on cost with 100,000 rows
//     that wait, over what they cost with 10;
//   - p99-ratio: how late the tweets of 500 accounts are beside one with 50,000 that wait, over how late they are without it.
package limits
