package twitter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// MaxBody is how many bytes of an answer's body are read, after decompression; MaxListBody if the
// answer is a list of tweets, each of which may have 25000 characters.
const (
	MaxBody     = 1 << 20
	MaxListBody = 16 << 20
)

// Answer is what X answered, with a result as well as with an [Error]. It is zero if there was no
// answer.
type Answer struct {
	// StatusCode is the HTTP status, 0 if there was no answer.
	StatusCode int
	// RawBody is the body as X sent it, decompressed, at most MaxBody bytes (MaxListBody for a list).
	// It may repeat the text of the tweet, so it does not go into logs; encoding/json leaves it out.
	RawBody []byte `json:"-"`
	// Truncated says that RawBody is not all of the body: it was longer, or cut off.
	Truncated bool
	// RequestID is x-transaction-id, the id to quote to X's support.
	RequestID string
	// Date is X's clock when it answered, to the second, zero if it did not say.
	Date time.Time
	// Received is when the answer's headers had come, by this machine's clock.
	Received time.Time
	// RoundTrip is how long that was after the request began to leave: its connection was ready.
	RoundTrip time.Duration
	// AccessLevel is what the token may do: read, read-write or read-write-directmessages.
	AccessLevel string
	// Limits are the limits that X reported.
	Limits Limits
}

// ClockOffset estimates how far X's clock is ahead of this machine's (less than 0: behind), and how
// far off the estimate can be. X dates its answers to the second and somewhere between the
// request's leaving and the answer's coming, so the margin is half a second and half of RoundTrip.
// Known is false if X did not date the answer.
func (a Answer) ClockOffset() (offset, margin time.Duration, known bool) {
	if a.Date.IsZero() {
		return 0, 0, false
	}
	// X's clock stood in [Date, Date+1s) at an instant of [Received-RoundTrip, Received].
	lowest := a.Date.Sub(a.Received)
	highest := lowest + time.Second + a.RoundTrip
	return (lowest + highest) / 2, (highest - lowest) / 2, true
}

// readAnswer reads an answer to its end or to limit, in bytes of its body. Status and headers are valid even if it
// returns an error, which says why RawBody is truncated.
func readAnswer(resp *http.Response, received time.Time, limit int) (Answer, error) {
	a := Answer{
		StatusCode:  resp.StatusCode,
		RequestID:   headerWord(resp.Header, "X-Transaction-Id"),
		AccessLevel: headerWord(resp.Header, "X-Access-Level"),
		Received:    received,
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.Date = date.UTC()
	}
	a.Limits = parseLimits(resp.Header, a.Date, received)
	body, err := readBody(resp, limit)
	if len(body) > limit {
		body, err = body[:limit], fmt.Errorf("the body is longer than %d bytes", limit)
	}
	a.RawBody, a.Truncated = body, err != nil
	return a, err
}

// readBody returns at most limit+1 bytes. The request asks for gzip by itself, so the transport
// leaves the decompression to us, and one path serves every *http.Client.
func readBody(resp *http.Response, limit int) ([]byte, error) {
	// What is read to fill the limit is bounded too: a stream may inflate to nothing.
	var body io.Reader = io.LimitReader(resp.Body, int64(limit)+64<<10)
	if strings.EqualFold(strings.TrimSpace(resp.Header.Get("Content-Encoding")), "gzip") {
		unzipped, err := gzip.NewReader(body)
		if errors.Is(err, io.EOF) {
			return nil, nil // an empty body is called gzip at times
		}
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		body = unzipped
	}
	var buf bytes.Buffer
	_, err := buf.ReadFrom(io.LimitReader(body, int64(limit)+1))
	return buf.Bytes(), err
}

// headerWord returns a header that is one short printable word, else "".
func headerWord(h http.Header, name string) string {
	v := h.Get(name)
	if len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return v
}
