package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// control sends a control request, which carries no credentials.
func (b *testBundle) control(method, target, body string) reply {
	b.t.Helper()
	got, err := b.send(b.controlRequest(method, target, body))
	require.NoError(b.t, err)
	require.Equal(b.t, "application/json; charset=utf-8", got.header.Get("content-type"))
	return got
}

func (b *testBundle) controlRequest(method, target, body string) *http.Request {
	b.t.Helper()
	root := strings.TrimSuffix(b.server.URL(), "/x")
	r, err := http.NewRequest(method, root+target, strings.NewReader(body))
	require.NoError(b.t, err)
	return r
}

// controlError is the message of a refusal.
func (r reply) controlError(t *testing.T, status int) string {
	t.Helper()
	require.Equal(t, status, r.status, r.body)
	message, ok := r.json(t)["error"].(string)
	require.True(t, ok, r.body)
	return message
}

// faultStates are those of an answer.
func (r reply) faultStates(t *testing.T) []sandbox.FaultState {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	var v struct{ Faults []sandbox.FaultState }
	require.NoError(t, json.Unmarshal([]byte(r.body), &v))
	require.NotNil(t, v.Faults, r.body)
	return v.Faults
}

// TestControlFaults sets, lists and lifts faults.
func TestControlFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Control: true})
	require.JSONEq(t, `{"faults":[]}`, b.control("GET", "/sandbox/faults", "").body)

	one := b.control("POST", "/sandbox/faults", `{"kind":"status_after","status":500,"times":1,"text":"one"}`)
	require.JSONEq(t, `{"faults":[{"id":1,"seen":0,"hits":0,"held":0,"over":false,
		"fault":{"kind":"status_after","status":500,"times":1,"text":"one"}}]}`, one.body)
	several := b.control("POST", "/sandbox/faults", `{"faults":[
		{"route":"POST /2/tweets","username":"acme","kind":"hold_before","delay":"1ms","skip":1,"rate":0.999999},
		{"tweet_id":"7","steps":[{"kind":"none","times":2},{"kind":"rate_limited","wait":"1m30s"},
			{"kind":"answer","body":"html","header":{"retry-after":"1"}}],"repeat":true}]}`)
	states := several.faultStates(t)
	require.Equal(t, []int{2, 3}, []int{states[0].ID, states[1].ID})
	require.Equal(t, sandbox.Fault{
		Match: sandbox.Match{Route: "POST /2/tweets", Username: "acme"}, Kind: sandbox.KindHoldBefore, Delay: time.Millisecond, Skip: 1, Rate: 0.999999,
	}, states[0].Fault)
	require.Equal(t, sandbox.Fault{Match: sandbox.Match{TweetID: "7"}, Repeat: true, Steps: []sandbox.Fault{
		{Kind: sandbox.KindNone, Times: 2},
		{Kind: sandbox.KindRateLimited, Wait: 90 * time.Second},
		{Kind: sandbox.KindAnswer, Body: sandbox.BodyHTML, Header: map[string]string{"retry-after": "1"}},
	}}, states[1].Fault)
	require.Equal(t, append(one.faultStates(t), states...), b.control("GET", "/sandbox/faults", "").faultStates(t))

	require.Equal(t, 500, b.post(b.acme, "one").status)
	require.Equal(t, []int{201, 201}, b.statuses(2))
	first := b.control("GET", "/sandbox/faults/1", "").faultStates(t)[0]
	require.Equal(t, []any{1, 1, 0, true}, []any{first.Seen, first.Hits, first.Held, first.Over})
	second := b.control("DELETE", "/sandbox/faults/2", "").faultStates(t)[0]
	require.Equal(t, []any{2, 1, 1, true}, []any{second.Seen, second.Hits, second.Held, second.Over})
	require.Len(t, b.control("GET", "/sandbox/faults", "").faultStates(t), 2)
	require.Contains(t, b.control("GET", "/sandbox/faults/2", "").controlError(t, 404), `there is no fault "2"`)
	require.Contains(t, b.control("DELETE", "/sandbox/faults/x", "").controlError(t, 404), `there is no fault "x"`)

	require.Len(t, b.control("DELETE", "/sandbox/faults", "").faultStates(t), 2)
	require.JSONEq(t, `{"faults":[]}`, b.control("DELETE", "/sandbox/faults", "").body)
	require.Equal(t, 4, b.control("POST", "/sandbox/faults", `{"kind":"drop_before","times":1}`).faultStates(t)[0].ID, "no id twice")
}

// TestControlLift: a deletion lets held requests go on.
func TestControlLift(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Control: true})
	gate := b.control("POST", "/sandbox/faults", `{"kind":"hold_before","username":"acme"}`).faultStates(t)[0]
	held := b.async(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
	require.Eventually(t, func() bool {
		return b.control("GET", fmt.Sprintf("/sandbox/faults/%d", gate.ID), "").faultStates(t)[0].Held == 1
	}, time.Minute, time.Millisecond)
	require.Equal(t, 1, b.control("DELETE", fmt.Sprintf("/sandbox/faults/%d", gate.ID), "").faultStates(t)[0].Hits)
	require.Equal(t, 201, receive(t, held).status)
}

// TestControlFaultsRefused: what is wrong is said, with what is right, and nothing is in force.
func TestControlFaultsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Control: true})
	const fields = "use any of route, username, text, tweet_id, skip, times, rate, kind, delay, status, wait, body, header, steps, repeat"
	for body, want := range map[string]string{
		``:                                    "the body is no JSON object",
		`[{"kind":"drop_before"}]`:            "the body is no JSON object",
		`null`:                                "the body is no JSON object",
		`{}`:                                  `fault "": there is no such kind: use one of hold_before`,
		`{"kind":"explode"}`:                  `fault "explode": there is no such kind: use one of hold_before`,
		`{"kind":"drop_before","knd":"x"}`:    `fault: there is no field "knd": ` + fields,
		`{"Kind":"drop_before"}`:              `fault: there is no field "Kind": ` + fields,
		`{"kind":"drop_before","delay":"5"}`:  `use text such as "250ms" or "15m"`,
		`{"kind":"hold_after","delay":5}`:     "fault: delay: a value of the kind number is not what it takes",
		`{"kind":"drop_before","skip":"one"}`: "fault: skip: a value of the kind string is not what it takes",
		`{"kind":"drop_before","times":-1}`:   "not negative",
		`{"steps":[{"kind":"drop_before"},{"kind":"none","wiat":"1s"}]}`: `fault: there is no field "wiat": ` + fields,
		`{"steps":[{"kind":"drop_before"},3]}`:                           "fault: it is no JSON object with any of route, ",
		`{"faults":[]}`:                                                  "faults is empty: name at least one",
		`{"faults":{"kind":"drop_before"}}`:                              "faults: a value of the kind object is not what it takes",
		`{"faults":[{"kind":"drop_before"}],"kind":"x"}`:                 `there is no field "kind": use any of faults`,
		`{"faults":[{"kind":"drop_before"},{"kind":"x"}]}`:               `fault "x": there is no such kind`,
		`{"kind":"` + strings.Repeat("x", 1<<20) + `"}`:                  "send at most 1048576 bytes",
	} {
		require.Contains(t, b.control("POST", "/sandbox/faults", body).controlError(t, 400), want)
	}
	require.Empty(t, b.server.Faults())
	b.mustPost(b.acme, "x")
}

// TestControlRecord: what X saw, and what came of it, also of requests after one that is known.
func TestControlRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Control: true})
	require.JSONEq(t, `{"requests":[]}`, b.control("GET", "/sandbox/requests", "").body)
	require.JSONEq(t, `{"tweets":[]}`, b.control("GET", "/sandbox/tweets", "").body)
	require.JSONEq(t, `{"retweets":[]}`, b.control("GET", "/sandbox/retweets", "").body)
	for i := range 3 {
		b.mustPost(b.acme, fmt.Sprintf("<%d>", i))
	}
	requests := func(query string) []sandbox.Request {
		t.Helper()
		var v struct{ Requests []sandbox.Request }
		require.NoError(t, json.Unmarshal([]byte(b.control("GET", "/sandbox/requests"+query, "").body), &v))
		return v.Requests
	}
	want, err := json.Marshal(b.server.Requests())
	require.NoError(t, err)
	require.JSONEq(t, `{"requests":`+string(want)+`}`, b.control("GET", "/sandbox/requests", "").body)
	require.Len(t, requests("?since=0"), 3)
	require.Equal(t, 3, requests("?since=2")[0].N)
	require.Empty(t, requests("?since=3"))
	require.Empty(t, requests("?since=99"))
	for _, query := range []string{"?since=x", "?since=-1", "?since=1&since=2", "?until=3", "?since=%zz"} {
		require.NotEmpty(t, b.control("GET", "/sandbox/requests"+query, "").controlError(t, 400))
	}
	want, err = json.Marshal(b.server.Tweets())
	require.NoError(t, err)
	require.JSONEq(t, `{"tweets":`+string(want)+`}`, b.control("GET", "/sandbox/tweets", "").body)

	retweet := fmt.Sprintf(`{"tweet_id":%q}`, b.server.Tweets()[0].ID)
	require.Equal(t, 200, b.do(b.acme, "POST", "/2/users/"+b.acme.ID+"/retweets", retweet).status)
	want, err = json.Marshal(b.server.Retweets())
	require.NoError(t, err)
	require.JSONEq(t, `{"retweets":`+string(want)+`}`, b.control("GET", "/sandbox/retweets", "").body)
}

// TestControlIsApart: the control routes are no routes of X, and leave no trace there.
func TestControlIsApart(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/x"} {
		b := setup(t, sandbox.Config{Control: true, BasePath: base})
		b.fault(sandbox.Fault{Kind: sandbox.KindStatusBefore})
		for range 100 { // more than any limit of reads
			require.Equal(t, 200, b.control("GET", "/sandbox/faults", "").status)
		}
		require.Empty(t, b.server.Requests())
		for _, target := range []string{"/sandbox", "/sandbox/", "/sandbox/nothing"} {
			require.Contains(t, b.control("GET", target, "").controlError(t, 404), "use GET /sandbox/requests?since=N")
		}
		require.Contains(t, b.control("PUT", "/sandbox/faults", "").controlError(t, 404), "there is no PUT /sandbox/faults")
		require.Empty(t, b.server.Requests())
		require.Equal(t, 503, b.do(b.acme, "GET", "/2/users/me", "").status)
		require.Equal(t, 503, b.do(b.acme, "GET", "/sandboxes", "").status, "X's, as all else is")
	}

	without := setup(t, sandbox.Config{})
	require.Equal(t, 404, without.do(without.acme, "GET", "/sandbox/requests", "").status)
	require.Equal(t, "/sandbox/requests", without.last().Path, "without Control it is a request to X like another")

	for _, base := range []string{"/sandbox", "/sandbox/x"} {
		_, err := sandbox.New(sandbox.Config{Control: true, BasePath: base})
		require.ErrorContains(t, err, "that is where the control routes are")
		_, err = sandbox.New(sandbox.Config{BasePath: base})
		require.NoError(t, err)
	}
}

// TestControlIsLocal: pages of other origins, and those that only pretend to be of this machine, get
// nothing and change nothing.
func TestControlIsLocal(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{Control: true})
	status := func(host, origin string) int {
		t.Helper()
		r := b.controlRequest("POST", "/sandbox/faults", `{"kind":"drop_before","tweet_id":"1"}`)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		got, err := b.send(r)
		require.NoError(t, err)
		return got.status
	}
	local := []string{"127.0.0.1:8083", "127.0.0.2", "localhost", "LOCALHOST:1", "[::1]:8083", "[::1]"}
	foreign := []string{"example.com", "example.com:8083", "192.0.2.1:8083", "localhost.example.com", "127.0.0.1.example.com:80", "0.0.0.0:8083"}
	for _, host := range local {
		require.Equal(t, 200, status(host, ""), host)
		require.Equal(t, 200, status(host, "http://"+host), host)
	}
	for _, host := range foreign {
		require.Equal(t, 403, status(host, ""), host)
		require.Equal(t, 403, status("127.0.0.1", "http://"+host), host)
	}
	// Another program's pages on this machine are foreign, too.
	for _, origin := range []string{"null", "file://", "http://%zz", "http://127.0.0.1:9999", "http://localhost"} {
		require.Equal(t, 403, status("127.0.0.1", origin), origin)
	}
	require.Len(t, b.server.Faults(), 2*len(local))
}

// TestEnded yields all that end, once, and stops with its context.
func TestEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	b.mustPost(b.acme, "before")
	var got []int
	for r := range b.server.Ended(waitContext(t)) {
		got = append(got, r.N)
		require.Equal(t, 201, r.Status)
		if len(got) == 3 {
			break
		}
		b.mustPost(b.acme, fmt.Sprint("after ", r.N))
	}
	require.Equal(t, []int{1, 2, 3}, got)
}
