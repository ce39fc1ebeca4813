package jobs

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// cut is how a COMMIT fails on its way.
type cut string

const (
	cutBefore cut = "BeforeCommit" // the server never gets it
	cutAfter  cut = "AfterCommit"  // it is done, and the answer is lost
	cutLate   cut = "LateCommit"   // the client is cut off, and the server gets it later
)

// proxy stands between a worker and Postgres, and cuts a connection at a COMMIT.
type proxy struct {
	url     string // of the database, through the proxy
	network string // where Postgres is
	address string
	closed  chan struct{}

	mu   sync.Mutex
	next *cutting // guarded by mu; nil: nothing is cut
	late *cutting // guarded by mu; waits for its time
}

// cutting is a cut that is to be made.
type cutting struct {
	how       cut
	statement string                              // the transaction that ran it is cut at its COMMIT
	until     func(sql string, ran []string) bool // after which statement of another connection a late COMMIT goes on
	made      chan struct{}                       // closed when the client was cut off
	goOn      chan struct{}                       // closed when a late COMMIT goes on
}

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	through := url.URL{
		Scheme: "postgres", User: url.User(config.User), Host: listener.Addr().String(),
		Path: config.Database, RawQuery: "sslmode=disable",
	}
	p := &proxy{url: through.String(), closed: make(chan struct{})}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	var links sync.WaitGroup
	links.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			links.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() { // after the pools have closed their connections
		_ = listener.Close()
		close(p.closed)
		links.Wait()
	})
	return p
}

// cut cuts the next COMMIT of a transaction that ran a statement of that name. The channel is closed
// when that has happened.
func (p *proxy) cut(how cut, statement string, until func(sql string, ran []string) bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = &cutting{how: how, statement: statement, until: until, made: make(chan struct{}), goOn: make(chan struct{})}
	return p.next.made
}

// link is one connection.
type link struct {
	client, server net.Conn
	prepared       map[string]string // the SQL of prepared statements
	bound          string            // the SQL that Execute runs
	ran            []string          // the names of the statements of this transaction
	swallow        atomic.Bool       // the server's answers are not passed on
	answered       chan struct{}     // closed at the end of a swallowed answer
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		return
	}
	l := &link{client: client, server: server, prepared: map[string]string{}, answered: make(chan struct{})}
	var back sync.WaitGroup
	defer back.Wait()
	defer server.Close()
	back.Go(l.passBack)

	from, to := pgproto3.NewBackend(client, client), pgproto3.NewFrontend(server, server)
	startup, err := from.ReceiveStartupMessage()
	if err != nil {
		return
	}
	encoded, err := startup.Encode(nil)
	if err != nil {
		return
	}
	if _, err := server.Write(encoded); err != nil {
		return
	}
	for {
		msg, err := from.Receive()
		if err != nil {
			return
		}
		sql := l.runs(msg)
		made := p.cuts(l, sql)
		if made != nil && !l.prepare(made, p.closed) {
			return
		}
		to.Send(msg)
		if to.Flush() != nil {
			return
		}
		if made != nil {
			<-l.answered
			if made.how == cutAfter {
				close(made.made)
			}
			return
		}
		p.passed(l, sql)
	}
}

// prepare makes a cut, and reports whether the COMMIT goes on to the server all the same.
func (l *link) prepare(c *cutting, closed <-chan struct{}) bool {
	l.swallow.Store(true)
	switch c.how {
	case cutAfter:
		return true
	case cutBefore:
		close(c.made)
	case cutLate:
		_ = l.client.Close()
		close(c.made)
		select {
		case <-c.goOn:
			return true
		case <-closed:
		}
	}
	return false
}

// runs returns the SQL that a message makes the server run, if any, and keeps its name.
func (l *link) runs(msg pgproto3.FrontendMessage) string {
	sql := ""
	switch m := msg.(type) {
	case *pgproto3.Parse:
		l.prepared[m.Name] = m.Query
	case *pgproto3.Bind:
		l.bound = l.prepared[m.PreparedStatement]
	case *pgproto3.Execute:
		sql = l.bound
	case *pgproto3.Query:
		sql = m.String
	}
	if name := regexp.MustCompile(`^-- name: (\w+)`).FindStringSubmatch(sql); name != nil {
		l.ran = append(l.ran, name[1])
	}
	return strings.ToLower(sql)
}

// cuts returns the cut that is to be made at a statement, if any.
func (p *proxy) cuts(l *link, sql string) *cutting {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sql != "commit" || p.next == nil || !slices.Contains(l.ran, p.next.statement) {
		return nil
	}
	made := p.next
	p.next = nil
	if made.how == cutLate {
		p.late = made
	}
	return made
}

// passed notes that a statement has gone to the server.
func (p *proxy) passed(l *link, sql string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late != nil && p.late.until(sql, l.ran) {
		close(p.late.goOn)
		p.late = nil
	}
	if sql == "commit" || sql == "rollback" {
		l.ran = nil
	}
}

// passBack passes the server's messages on, or swallows them.
func (l *link) passBack() {
	defer l.client.Close()
	from := bufio.NewReader(l.server)
	for {
		header, err := from.Peek(5) // the type, and the length of what follows the type
		if err != nil {
			return
		}
		kind, length := header[0], 1+int64(binary.BigEndian.Uint32(header[1:]))
		if !l.swallow.Load() {
			if _, err := io.CopyN(l.client, from, length); err != nil {
				return
			}
			continue
		}
		if _, err := io.CopyN(io.Discard, from, length); err != nil {
			return
		}
		if kind == 'Z' { // ReadyForQuery: the COMMIT is done
			close(l.answered)
			return
		}
	}
}
