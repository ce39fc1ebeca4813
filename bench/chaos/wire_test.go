package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"tweetqueue/twitter"
)

// newClient returns the HTTP client of a worker process. It is twitter's own, which speaks to X by way
// of a proxy at via (empty: straight), and whose connections know where in a request they are.
func newClient(via string, d *doom, heard *journal) *http.Client {
	client := twitter.NewHTTPClient()
	transport := client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if via != "" {
			addr = via // the address in the request stays X's: it is what OAuth 1.0a signs
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &wire{Conn: conn, doom: d, heard: heard}, nil
	}
	return client
}

// wire is a connection to X. It carries one exchange of HTTP/1.1 at a time.
type wire struct {
	net.Conn

	doom  *doom
	heard *journal

	mu       sync.Mutex // the transport reads and writes on two goroutines
	began    time.Time  // of the request under way; zero: none is
	write    bool       // it is a write of X's, not a read
	pending  int        // bytes of its body that are still to be written; -1: its headers are
	received []byte     // of the answer
}

// Write sends a request's headers and body apart, so that the process can die between the two.
func (w *wire) Write(p []byte) (int, error) {
	w.begin(p)
	if w.headers() {
		if end := bytes.Index(p, []byte("\r\n\r\n")); end >= 0 {
			n, err := w.Conn.Write(p[:end+4])
			if err != nil {
				return n, err
			}
			w.headersSent(p[:end+4])
			if n == len(p) {
				return n, nil
			}
			m, err := w.Write(p[n:])
			return n + m, err
		}
	}
	n, err := w.Conn.Write(p)
	w.bodySent(n)
	return n, err
}

func (w *wire) begin(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() {
		return
	}
	w.began, w.pending, w.received = time.Now(), -1, nil
	w.write = !bytes.HasPrefix(p, []byte("GET "))
	w.reach(beforeFirstByte)
}

// reach is for callers that hold mu. Of a look-up, the end of the answer is a point, of a write all are.
func (w *wire) reach(p point) {
	switch {
	case w.write:
		w.doom.reach(p)
	case p == afterAnswer:
		w.doom.reach(afterTimeline)
	}
}

func (w *wire) headers() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending < 0
}

var contentLength = regexp.MustCompile(`(?i)\r\ncontent-length: *(\d+)\r\n`)

func lengthIn(headers []byte) (int, bool) {
	found := contentLength.FindSubmatch(headers)
	if found == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(found[1]))
	return n, err == nil
}

func (w *wire) headersSent(headers []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reach(afterHeaders)
	w.pending, _ = lengthIn(headers)
	if w.pending == 0 {
		w.reach(afterBody) // it has none
	}
}

func (w *wire) bodySent(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending <= 0 {
		return
	}
	if w.pending -= n; w.pending <= 0 {
		w.pending = 0
		w.reach(afterBody)
	}
}

// Read reads the answer, its first byte alone if the process is to die after that.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) > 1 && w.doom.watches(afterFirstByte) {
		p = p[:1]
	}
	n, err := w.Conn.Read(p)
	w.read(p[:n])
	return n, err
}

func (w *wire) read(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(p) == 0 || w.began.IsZero() {
		return
	}
	if len(w.received) == 0 {
		w.reach(afterFirstByte)
	}
	w.received = append(w.received, p...)
	end := bytes.Index(w.received, []byte("\r\n\r\n"))
	if end < 0 {
		return
	}
	length, ok := lengthIn(w.received[:end+2])
	if !ok || len(w.received) < end+4+length {
		return
	}
	w.reach(afterAnswer)
	if w.write {
		w.heard.add(w.received[:end+2], time.Since(w.began))
	}
	w.began = time.Time{}
}

// journal is a file of what a process has heard from X: a line for each whole answer to a write.
type journal struct {
	file *os.File
	most time.Duration // answers that took longer may have come after the time-out
}

// heard is a line of a journal.
type heard struct {
	TransactionID string `json:"transaction_id"`
	Status        int    `json:"status"`
}

var (
	statusLine    = regexp.MustCompile(`^HTTP/1\.1 (\d+)`)
	transactionID = regexp.MustCompile(`(?i)\r\nx-transaction-id: *(\w+)\r\n`)
)

func (j *journal) add(headers []byte, took time.Duration) {
	if j == nil || took > j.most {
		return
	}
	status, id := statusLine.FindSubmatch(headers), transactionID.FindSubmatch(headers)
	if status == nil || id == nil {
		return
	}
	code, _ := strconv.Atoi(string(status[1]))
	line, err := json.Marshal(heard{TransactionID: string(id[1]), Status: code})
	if err == nil {
		_, _ = j.file.Write(append(line, '\n')) // one write, so that a kill does not tear it
	}
}
