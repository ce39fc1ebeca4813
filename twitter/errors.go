package twitter

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error is the one error of this package's requests, returned as error and found by errors.As.
//
// Its texts are X's, bounded, and withheld where they repeat text of the request; what X sent
// stands in Answer.RawBody alone. Error() holds neither credentials nor tweet text.
type Error struct {
	// Kind is what the failure means.
	Kind Kind
	// Op is what was tried: "create tweet", "delete tweet 123", "get user me", "refresh token".
	Op string
	// Answer is what X answered; its StatusCode is 0 if there was no answer. Where a refresh failed,
	// and so the request was never sent, X's answer to the refresh is that of the Error beneath.
	Answer Answer
	// Type is the last segment of X's problem type ("user-suspended"), "" for about:blank.
	Type string
	// Title and Detail are those of X's problem document.
	Title, Detail string
	// Code is the first code of a legacy error list, 0 if there is none.
	Code int
	// Messages are those of X's error list, the first eight.
	Messages []string
	// ResetDate is the day, as X wrote it, on which a spending limit is lifted.
	ResetDate string
	// Err is the failure beneath, if the transport, the request check, the decoding or the refresh
	// of a token failed.
	Err error

	// A pointer prints as an address, whatever prints the struct.
	accessToken *string
}

// AccessToken is the OAuth 2.0 access token that the request was signed with, for [OAuth2.Refresh];
// "" for OAuth 1.0a and for a request that was never signed. It is a secret.
func (e *Error) AccessToken() string {
	if e.accessToken == nil {
		return ""
	}
	return *e.accessToken
}

// Cause is what is the same in the words of all errors of its kind.
func (e *Error) Cause() string { return e.Kind.words() }

// Error says what was tried, what it came to, X's words and what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Op, e.Kind.words())
	if e.Answer.StatusCode != 0 {
		fmt.Fprintf(&b, " (%d)", e.Answer.StatusCode)
	}
	words := e.Detail
	if words == "" {
		words = e.Title
	}
	for _, part := range append([]string{words}, e.Messages...) {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, " (code %d)", e.Code)
	}
	if e.Err != nil {
		b.WriteString(": " + clean(strings.ReplaceAll(e.Err.Error(), "\n", "; "), maxText))
	}
	_, advised := errors.AsType[*Error](e.Err)
	if advice := e.Kind.advice(); advice != "" && !advised {
		b.WriteString("; " + advice)
	}
	if e.Answer.RequestID != "" {
		fmt.Fprintf(&b, " [x-transaction-id %s]", e.Answer.RequestID)
	}
	return b.String()
}

// Unwrap returns the failure beneath.
func (e *Error) Unwrap() error { return e.Err }

// unsendable is the error of a request that this client refuses to send.
func (r call) unsendable(err error) error {
	return &Error{Kind: KindInvalidRequest, Op: r.op, Err: err}
}

// unanswered is the error of a request without an answer.
func (r call) unanswered(kind Kind, err error) error {
	if unsigned, ok := errors.AsType[*unsignedError](err); ok {
		kind, err = unsigned.kind, unsigned.err
	}
	return &Error{Kind: kind, Op: r.op, Err: r.withhold(err), accessToken: r.accessToken}
}

// refusal is the error of an answer that is not a 2xx.
func (r call) refusal(a Answer, readErr error, received time.Time) error {
	p, err := parseProblem(a.RawBody)
	kind := r.kindOf(a.StatusCode, p)
	lost := err != nil || readErr != nil && len(a.RawBody) == 0
	if lost && a.StatusCode >= 400 && kind.needsWords() {
		kind = KindUnreadable
	}
	err = errors.Join(err, readErr)
	if skew := a.Date.Sub(received); kind == KindUnauthorized && r.accessToken == nil && !a.Date.IsZero() && skew.Abs() > time.Minute {
		err = errors.Join(err, fmt.Errorf("this machine's clock is %s off X's, which alone makes signatures invalid", skew.Abs().Round(time.Second)))
	}
	return r.failure(kind, a, p, err)
}

// unusable is the error of a 2xx without a usable result. X reports a missing tweet that way. For a
// POST its error list is not believed: what was created with an error beside it was created.
func (r call) unusable(a Answer, err error) error {
	p, parseErr := parseProblem(a.RawBody)
	if parseErr == nil && r.method != http.MethodPost {
		if kind := r.kindOf(a.StatusCode, p); kind != KindUnreadable {
			return r.failure(kind, a, p, nil)
		}
	}
	return r.failure(KindUnreadable, a, p, err)
}

func (r call) failure(kind Kind, a Answer, p problem, err error) error {
	e := &Error{
		Kind: kind, Op: r.op, Answer: a, Code: p.code, Err: r.withhold(err),
		Type: p.slug(), Title: p.title, Detail: p.detail, Messages: p.messages, ResetDate: p.resetDate,
		accessToken: r.accessToken,
	}
	said := r.said()
	e.Type, e.ResetDate = clean(e.Type, maxWord), clean(e.ResetDate, maxWord)
	e.Title, e.Detail = said.without(e.Title), said.without(e.Detail)
	for i, m := range e.Messages {
		e.Messages[i] = said.without(m)
	}
	return e
}

const (
	maxText     = 300 // runes of one text of X
	maxWord     = 64
	maxMessages = 8
)

// clean makes a text from outside fit for one line of a log: no control characters, bounded.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return s
}
