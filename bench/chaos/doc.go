// Package chaos proves that each tweet is on X exactly once, or that a person knows why not, whatever
// dies, freezes, restarts or is cut off. It is all tests: real worker processes, a real Postgres, a
// stand-in for X over real HTTP ([tweetqueue/twitter/sandbox]), and faults between and in all of them.
//
// # What is proved
//
// After a run three accounts are compared, without the help of anything by which the worker decides
// (verdict_test.go):
//
//   - the rows of tweets and deletions,
//   - the rows of requests, which are written before anything is sent,
//   - X's own record of what it received, created and deleted.
//
// Each text holds a mark that only the harness reads, so that a tweet is attributed to its row whatever
// the worker believes. They agree if
//
//   - no row has two tweets, and rows that say the same on purpose have as many as are posted;
//   - a posted row's id is that of the tweet with its mark, by its account; a failed or missed row has none;
//     an unconfirmed one has at most one, and says why;
//   - every request that X received was written before, and came once; every answer that a process heard,
//     and that was not killed, is recorded;
//   - a deletion that is done is one of a tweet that is gone, and "gone already" is never a failure;
//   - fewer than one row in a hundred waits for a person (of a short run, at most four).
//
// # How a worker is killed without a hook in it
//
// A worker process is this test binary, run again (main_test.go). It runs the worker as it is, with two
// things from outside that any program may give it. A tracer of the database's driver sees our statements by
// their names, and so knows which COMMIT is a claim's and which a settlement's. The connections of
// its HTTP client know how much of a request is written, and how much of the answer is read. At the
// instant that it was told it kills itself, by SIGKILL: no defer runs, no buffer is flushed, and what the
// kernel has of a connection is still delivered, as when a process runs out of memory. The points are one
// table (points_test.go), which docs/architecture.md repeats, and TestEachPoint walks.
//
// # Where faults come from
//
// All of a run's faults follow from a seed (plan_test.go):
//
//   - each process dies at a point of its own, the nth time that it comes there, and is replaced;
//   - some are killed from outside; some are stopped for longer than their lease lives, and go on;
//   - toxiproxy stands between each worker and its neighbours: it cuts, refuses, swallows, and stalls.
//     A stalled request still arrives when its client has long given up;
//   - the database's server is restarted by pg_ctl restart -m immediate;
//   - X loses requests and answers at each moment of their life, answers late, creates a tweet when its client has
//     left, lies about having failed, and shows new tweets late;
//   - the database's clock is minutes off the worker's, and X's is minutes off the other way;
//   - for at least half of the seeds X does not refuse a text that it knows: that rule would hide a second tweet.
//
// A seed replays the faults, not the interleaving of processes: where a run fails, the next run of its seed
// may pass. Run it a few times.
//
//	make chaos N=2000 SEED=1
//
// # Bounds
//
// The promise has bounds: how long X may take to create a tweet, and how long reads may lag. A run
// shortens both, tells them to the worker, and stays within them (pace_test.go). Beyond them nothing can be
// promised; there rows that say hold are safe (TestReadsLagForever).
//
// # The harness can fail
//
// A proof that cannot fail proves nothing. Builds with the tags mutant_... break one rule each, and the soak
// test TestSoakMutants requires that the harness finds each of them.
package chaos
