package chaos

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
	"tweetqueue/twitter/sandbox"
)

// A worker freezes between its claim and the first byte, for so long that another takes its row over, finds no
// tweet, and sends it. What the first one says when it thaws changes nothing, and it sends nothing.
func TestThaw(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.URL(t), sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1}, 1, 1)
	const text = "Of two workers."
	id := w.tweet("user0", text, "resend")
	c := w.child("frozen", quick())
	c.Doom = &doom{Point: afterClaim, Nth: 1, Freeze: true}
	frozen := w.spawn(c)
	w.eventually("it freezes", frozen.stopped)
	held := w.fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteCreateTweet}, Kind: sandbox.KindHoldAfter, Times: 1})
	w.spawn(w.child("heir", w.patient()))
	w.held(held, 1)

	frozen.signal(syscall.SIGCONT)
	w.eventually("it says that it sent nothing", func() bool {
		return one[bool](w, `SELECT bool_or(answered_at IS NOT NULL) FROM tweetqueue.requests r
JOIN tweetqueue.workers o ON o.id = r.worker_id WHERE o.name = 'frozen'`)
	})
	require.Equal(t, store.Sending, w.entry(id).Status, "what is said of an older request changes nothing")
	held.Lift()
	w.requireOnce(id, text)
}

// patient is the pace of a worker that waits for as long as a fault lasts.
func (w *world) patient() pace {
	p := quick()
	p.Timeout = soon
	return p
}

// stopped reports whether the process is stopped, as by SIGSTOP.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, state, ok := strings.Cut(string(stat), ") ")
	return ok && strings.HasPrefix(state, "T")
}

// A row that is being sent is woken by hand, again and again. It is sent once.
func TestWake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.URL(t), sandbox.Config{Limits: []sandbox.Limit{}, DuplicateWindow: -1}, 1, 1)
	held := w.fault(sandbox.Fault{Match: sandbox.Match{Route: sandbox.RouteCreateTweet}, Kind: sandbox.KindHoldAfter})
	const text = "Woken twice."
	id := w.tweet("user0", text, "")
	for i := range 2 {
		w.spawn(w.child(fmt.Sprintf("worker %d", i), w.patient()))
	}
	w.held(held, 1)
	for range 3 {
		job := one[int64](w, `INSERT INTO tweetqueue.river_job (args, kind, max_attempts, queue, scheduled_at)
VALUES (jsonb_build_object('row_id', $1::bigint), 'post_tweet', 32767, 'tweets', tweetqueue.clock()) RETURNING id`, id)
		w.eventually("the job is over", func() bool {
			return one[bool](w, `SELECT finalized_at IS NOT NULL FROM tweetqueue.river_job WHERE id = $1`, job)
		})
	}
	held.Lift()
	w.requireOnce(id, text)
	require.Len(t, w.x.Requests(), 1)
}
