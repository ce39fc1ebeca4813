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

// MaxBody is how many bytes of an answer's body are read, after decompression.
const MaxBody = 1 << 20

// maxCompressed bounds what is read to fill MaxBody, so that a stream which inflates to nothing
// ends too.
const maxCompressed = MaxBody + 64<<10

// Answer is what X answered, with a result as well as with an [Error]. It is zero if there was no
// answer.
type Answer struct {
	// StatusCode is the HTTP status, 0 if there was no answer.
	StatusCode int
	// RawBody is the body as X sent it, decompressed, at most MaxBody bytes. It may repeat the
	// text of the tweet, so it does not go into logs; encoding/json leaves it out.
	RawBody []byte `json:"-"`
	// Truncated says that RawBody is not all of the body: it was longer, or cut off.
	Truncated bool
	// RequestID is x-transaction-id, the id to quote to X's support.
	RequestID string
	// Date is X's clock when it answered, to the second, zero if it did not say.
	Date time.Time
	// AccessLevel is what the token may do: read, read-write or read-write-directmessages.
	AccessLevel string
	// Limits are the limits that X reported.
	Limits Limits
}

// readAnswer reads an answer to its end or its bound. Status and headers are valid even if it
// returns an error, which says why RawBody is truncated.
func readAnswer(resp *http.Response, received time.Time) (Answer, error) {
	a := Answer{
		StatusCode:  resp.StatusCode,
		RequestID:   headerWord(resp.Header, "X-Transaction-Id"),
		AccessLevel: headerWord(resp.Header, "X-Access-Level"),
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.Date = date.UTC()
	}
	a.Limits = parseLimits(resp.Header, a.Date, received)
	body, err := readBody(resp)
	if len(body) > MaxBody {
		body, err = body[:MaxBody], fmt.Errorf("the body is longer than %d bytes", MaxBody)
	}
	a.RawBody, a.Truncated = body, err != nil
	return a, err
}

// readBody returns at most MaxBody+1 bytes. The request asks for gzip by itself, so the transport
// leaves the decompression to us, and one path serves every *http.Client.
func readBody(resp *http.Response) ([]byte, error) {
	var body io.Reader = io.LimitReader(resp.Body, maxCompressed)
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
	_, err := buf.ReadFrom(io.LimitReader(body, MaxBody+1))
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
