package sandbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// statuses posts n different texts and returns what each was told; 0 is nothing.
func (b *testBundle) statuses(n int) []int {
	b.t.Helper()
	all := make([]int, n)
	for i := range all {
		got, _ := b.send(b.request(b.acme, "POST", "/2/tweets", textBody(fmt.Sprintf("post %s", b.nonce()))))
		all[i] = got.status
	}
	return all
}

func TestScript(t *testing.T) {
	t.Parallel()
	status := func(code int) sandbox.Fault { return sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: code} }
	none := sandbox.Fault{Kind: sandbox.KindNone}
	t.Run("NthSuffersNthStep", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		two := status(502)
		two.Times = 2
		script, err := b.server.Script(sandbox.Match{Route: sandbox.RouteCreateTweet},
			status(500), none, two, sandbox.Fault{Kind: sandbox.KindDropAfter}, sandbox.Fault{Kind: sandbox.KindNotPermitted})
		require.NoError(t, err)
		require.Equal(t, 200, b.do(b.acme, "GET", "/2/users/me", "").status, "does not match, and takes no step")
		require.Equal(t, []int{500, 201, 502, 502, 0, 403, 201, 201}, b.statuses(8))
		state := script.State()
		require.Equal(t, []any{6, 5, true}, []any{state.Seen, state.Hits, state.Over})
		require.Len(t, b.server.Tweets(), 4)
		records := b.server.Requests()
		require.Empty(t, records[2].Fault, "none is no fault")
		require.Equal(t, sandbox.KindDropAfter, records[5].Fault)
	})
	t.Run("Repeat", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		b.fault(sandbox.Fault{Skip: 1, Times: 3, Steps: []sandbox.Fault{status(500), none}, Repeat: true})
		require.Equal(t, []int{201, 500, 201, 500, 201, 500, 201, 201, 201}, b.statuses(9))
	})
	t.Run("NoneLeavesTheRequestToOthers", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		_, err := b.server.Script(sandbox.Match{}, none, status(500))
		require.NoError(t, err)
		b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Status: 504, Times: 1})
		require.Equal(t, []int{504, 500, 201}, b.statuses(3))
	})
	t.Run("LastStepNone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		_, err := b.server.Script(sandbox.Match{}, none)
		require.NoError(t, err)
		later := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore})
		require.Equal(t, []int{503, 503}, b.statuses(2))
		require.Equal(t, 2, later.Hits())
	})
	t.Run("Rate", func(t *testing.T) {
		t.Parallel()
		run := func(seed uint64) []int {
			b := setup(t, sandbox.Config{Seed: seed, Limits: []sandbox.Limit{}})
			b.fault(sandbox.Fault{Rate: 0.5, Steps: []sandbox.Fault{status(500), status(502)}, Repeat: true})
			return b.statuses(60)
		}
		first := run(3)
		require.Equal(t, first, run(3))
		require.NotEqual(t, first, run(4))
		last := 502
		for _, got := range first {
			if got != 201 {
				require.NotEqual(t, last, got, "steps alternate, however many pass between")
				last = got
			}
		}
		require.Contains(t, first, 201)
		require.Contains(t, first, 500)
	})
	t.Run("Lift", func(t *testing.T) {
		t.Parallel()
		b := setup(t, sandbox.Config{})
		script, err := b.server.Script(sandbox.Match{}, sandbox.Fault{Kind: sandbox.KindHoldBefore}, status(500))
		require.NoError(t, err)
		held := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("held")))
		require.NoError(t, script.WaitHeld(waitContext(t), 1))
		script.Lift()
		require.Equal(t, 201, receive(t, held).status)
		require.Equal(t, []int{201}, b.statuses(1))
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	require.Empty(t, b.server.Faults())
	first := b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore, Times: 1})
	second := b.fault(sandbox.Fault{Kind: sandbox.KindForbidden})
	require.Equal(t, []int{503, 403, 403}, b.statuses(3))
	second.Lift()
	require.Equal(t, []sandbox.FaultState{
		{ID: first.ID(), Fault: first.Fault, Seen: 1, Hits: 1, Over: true},
		{ID: second.ID(), Fault: second.Fault, Seen: 2, Hits: 2, Over: true},
	}, b.server.Faults())
	require.Equal(t, []int{1, 2}, []int{first.ID(), second.ID()})
	require.Equal(t, 503, first.Status, "what was left out is told")
}

func TestFaultRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	step := []sandbox.Fault{{Kind: sandbox.KindDropBefore}}
	for want, f := range map[string]sandbox.Fault{
		`fault "explode": there is no such kind: use one of hold_before, hold_after`: {Kind: "explode"},
		`fault "": there is no such kind`:                                            {},
		`route "GET /" is none of the sandbox: use one of POST /2/tweets, `:          {Kind: sandbox.KindDropBefore, Match: sandbox.Match{Route: "GET /"}},
		"rate 1.5: use 0 to 1":                         {Kind: sandbox.KindDropBefore, Rate: 1.5},
		"rate -1: use 0 to 1":                          {Kind: sandbox.KindDropBefore, Rate: -1},
		"not negative":                                 {Kind: sandbox.KindDropBefore, Delay: -1},
		"status 199: use 200 to 599":                   {Kind: sandbox.KindStatusBefore, Status: 199},
		"status 600: use 200 to 599":                   {Kind: sandbox.KindStatusAfter, Status: 600},
		"status is for status_before and status_after": {Kind: sandbox.KindForbidden, Status: 403},
		`there is no body "xml": use one of empty, html, truncated, broken_gzip`: {Kind: sandbox.KindAnswer, Body: "xml"},
		"say by body or header what becomes of the answer":                       {Kind: sandbox.KindAnswer},
		"this kind sends none":                    {Kind: sandbox.KindDropAfter, Body: sandbox.BodyHTML},
		"repeat is for steps":                     {Kind: sandbox.KindDropAfter, Repeat: true},
		"with steps, each step says what happens": {Kind: sandbox.KindDropAfter, Steps: step},
		"step 1: match, skip, rate, steps and repeat are for the whole script":                      {Steps: []sandbox.Fault{{Kind: sandbox.KindDropAfter, Skip: 1}}},
		"step 2: there is no such kind":                                                             {Steps: []sandbox.Fault{step[0], {}}},
		"step 1: match, skip, rate, steps and repeat are for the whole script\nstep 1: with steps,": {Steps: []sandbox.Fault{{Kind: sandbox.KindNone, Steps: step}}},
	} {
		_, err := b.server.Fault(f)
		require.ErrorContains(t, err, want)
	}
	_, err := b.server.Script(sandbox.Match{})
	require.ErrorContains(t, err, "it has no steps")
	b.mustPost(b.acme, "no fault is in force")
	require.Empty(t, b.server.Faults())
}

// TestStepsAreCopied: the caller's script does not change under it, nor the sandbox's.
func TestStepsAreCopied(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	steps := []sandbox.Fault{{Kind: sandbox.KindStatusBefore}, {Kind: sandbox.KindHoldBefore, Delay: time.Hour}}
	b.fault(sandbox.Fault{Steps: steps})
	require.Zero(t, steps[0].Status)
	steps[1] = sandbox.Fault{Kind: sandbox.KindForbidden}
	require.Equal(t, []int{503}, b.statuses(1))
	require.Equal(t, sandbox.KindHoldBefore, b.server.Faults()[0].Fault.Steps[1].Kind)
}
