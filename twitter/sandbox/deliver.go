package sandbox

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// deliver closes the record and sends the answer, whose headers are there but for those of the
// body's form, unless a fault has it otherwise.
func (s *Server) deliver(w http.ResponseWriter, x *exchange, a answer) {
	h := w.Header()
	body := s.form(x, h, a)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if x.fault != nil {
		for name, value := range x.fault.Header {
			h.Set(name, value)
			if value == "" {
				h[http.CanonicalHeaderKey(name)] = nil // net/http adds no default for what is there
			}
		}
	}
	control := http.NewResponseController(w)
	send := func(part []byte) {
		// The client may have left; nobody is there to be told.
		_, _ = w.Write(part)
		_ = control.Flush()
	}
	half := len(body) / 2
	switch {
	case x.strikes(KindDropFirstByte):
		s.end(x, answer{outcome: a.outcome, tweetID: a.tweetID, reason: a.reason})
		s.sendFirstByte(control)
		panic(http.ErrAbortHandler)
	case x.strikes(KindDropHeaders):
		s.end(x, a)
		w.WriteHeader(a.status)
		send(nil)
		panic(http.ErrAbortHandler)
	case x.strikes(KindDropBody):
		s.end(x, a)
		w.WriteHeader(a.status)
		send(body[:half])
		panic(http.ErrAbortHandler)
	case x.strikes(KindHoldBody), x.strikes(KindHangBody):
		w.WriteHeader(a.status)
		send(body[:half])
		goesOn := s.keepBack(x)
		s.end(x, a)
		if !goesOn {
			panic(http.ErrAbortHandler)
		}
		body = body[half:]
	default:
		s.end(x, a)
		w.WriteHeader(a.status)
	}
	_, _ = w.Write(body)
}

// keepBack holds or hangs, and reports whether the answer goes on.
func (s *Server) keepBack(x *exchange) bool {
	if x.strikes(KindHoldBody) {
		return s.hold(x)
	}
	s.hang(x)
	return false
}

// form is the body as it is sent: as the fault has it, and compressed if the client takes that. It
// changes the headers to fit.
func (s *Server) form(x *exchange, h http.Header, a answer) []byte {
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return nil
	}
	body := a.body
	if x.fault != nil {
		switch x.fault.Body {
		case BodyEmpty:
			return nil
		case BodyHTML:
			edgeHeaders(h)
			body = edgePage(a.status)
		case BodyTruncated:
			body = body[:len(body)/2]
		case BodyBrokenGzip:
			h.Set("Content-Encoding", "gzip")
			packed := pack(body)
			return packed[:len(packed)/2]
		}
	}
	if s.cfg.Gzip && takesGzip(x.header) {
		h.Set("Content-Encoding", "gzip")
		return pack(body)
	}
	return body
}

// edgeHeaders replaces X's headers by those of the proxy before it, for which there is nobody to ask.
func edgeHeaders(h http.Header) {
	date := h.Get("Date")
	clear(h)
	h.Set("Date", date)
	h.Set("Content-Type", "text/html; charset=UTF-8")
	h.Set("Server", "cloudflare")
}

func edgePage(status int) []byte {
	name := http.StatusText(status)
	if name == "" {
		name = "Web server error"
	}
	return fmt.Appendf(nil, "<!DOCTYPE html>\n<html><head><title>api.x.com | %d: %s</title></head>\n"+
		"<body><h1>%s</h1><p>Error code %d</p></body></html>\n", status, name, name, status)
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

// takesGzip reports whether Accept-Encoding names gzip, and not to refuse it.
func takesGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(coding, ";")
			if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
				continue
			}
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(quality), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

// sendFirstByte sends the first byte of a status line and cuts the connection. Where it cannot be
// had, as under HTTP/2, nothing is sent.
func (s *Server) sendFirstByte(control *http.ResponseController) {
	s.serving.cuts.Add(1)
	defer s.serving.cuts.Done()
	conn, _, err := control.Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte("H"))
	_ = conn.Close()
}
