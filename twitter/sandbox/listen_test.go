package sandbox_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tweetqueue/twitter/sandbox"
)

// TestClose: requests in every kind of hold end, their connections are cut, and no goroutine stays.
// It is not parallel, so that goleak sees its goroutines alone.
func TestClose(t *testing.T) { //nolint:paralleltest // See above.
	for range 5 {
		before := goleak.IgnoreCurrent()
		b := setup(t, sandbox.Config{})
		var faults []*sandbox.ActiveFault
		var answers []<-chan result
		for i, kind := range []sandbox.Kind{
			sandbox.KindHoldBefore, sandbox.KindHoldAfter, sandbox.KindHangBefore, sandbox.KindHangAfter,
		} {
			text := fmt.Sprintf("held %d", i)
			faults = append(faults, b.fault(sandbox.Fault{Match: sandbox.Match{Text: text}, Kind: kind}))
			answers = append(answers, b.async(b.request(b.acme, "POST", "/2/tweets", textBody(text))))
		}
		for _, f := range faults {
			require.NoError(t, f.WaitHeld(waitContext(t), 1))
		}
		idle, err := net.Dial("tcp", strings.TrimPrefix(b.server.URL(), "http://"))
		require.NoError(t, err)
		b.mustPost(b.acme, "leaves an idle connection")

		require.NoError(t, b.server.Close())
		for _, c := range answers {
			require.Error(t, receive(t, c).err)
		}
		_, err = idle.Read(make([]byte, 1))
		require.Error(t, err, "connection cut")
		require.NoError(t, idle.Close())
		_, err = b.send(b.request(b.acme, "POST", "/2/tweets", textBody("x")))
		require.Error(t, err)
		require.NoError(t, b.server.Close(), "again")
		require.Error(t, b.server.Start(""))

		outcomes := map[string]sandbox.Outcome{}
		for _, r := range b.server.Requests() {
			outcomes[r.Body] = r.Outcome
			require.False(t, r.EndedAt.IsZero())
		}
		require.Equal(t, sandbox.OutcomeNothing, outcomes[textBody("held 0")])
		require.Equal(t, sandbox.OutcomeCreated, outcomes[textBody("held 1")])
		require.Equal(t, sandbox.OutcomeNothing, outcomes[textBody("held 2")])
		require.Equal(t, sandbox.OutcomeCreated, outcomes[textBody("held 3")])
		require.Len(t, b.server.Tweets(), 3)
		b.client.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	s, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	require.Empty(t, s.URL())
	require.NoError(t, s.Start(""))
	require.Regexp(t, `^http://127\.0\.0\.1:[0-9]+$`, s.URL())
	require.Error(t, s.Start(""), "twice")
	other, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, other.Start(strings.TrimPrefix(s.URL(), "http://")), "start sandbox: listen tcp")
	require.NoError(t, other.Start(""), "after a failed start")
	require.NoError(t, s.Close())
	require.NoError(t, other.Close())

	never, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	require.NoError(t, never.Close())
	require.Error(t, never.Start(""))
}

// TestCloseMounted: Close frees the requests of a Server that another one serves.
func TestCloseMounted(t *testing.T) {
	t.Parallel()
	s, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	outer := httptest.NewServer(s)
	defer outer.Close()
	f, err := s.Fault(sandbox.Fault{Kind: sandbox.KindHangBefore})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		res, err := outer.Client().Get(outer.URL + "/2/users/me")
		if err == nil {
			_ = res.Body.Close()
		}
		done <- err
	}()
	require.NoError(t, f.WaitHeld(waitContext(t), 1))
	require.NoError(t, s.Close())
	require.Error(t, <-done)
}

// TestClientLeavesEarly: a request that never arrived whole leaves no record.
func TestClientLeavesEarly(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.server.URL(), "http://"))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST /2/tweets HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	_, err = io.ReadAll(conn)
	require.NoError(t, err, "the server ends the connection")
	require.NoError(t, conn.Close())
	require.Empty(t, b.server.Requests())
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status)
}
