package twitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

var errNotObject = errors.New("the body is not a JSON object")

// problem is what an error body says, whichever of X's shapes it has: a problem document (with or
// without an error list of messages, or of further problems), a legacy list of codes, or the token
// endpoint's error and error_description.
type problem struct {
	typ       string // the whole URI
	title     string
	detail    string
	reason    string
	resetDate string
	code      int
	messages  []string
	words     string // all of X's texts in lower case, for matching
}

// parseProblem reads a body. It ignores the content type, which proxies and X itself get wrong,
// and every member that has not the expected form. An empty body is no problem and no error.
func parseProblem(body []byte) (problem, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return problem{}, nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(body, &top); err != nil || top == nil {
		return problem{}, errNotObject
	}
	var p problem
	p.take(top)
	var list []map[string]json.RawMessage
	if json.Unmarshal(top["errors"], &list) == nil {
		for i, item := range list {
			if i == maxMessages {
				break
			}
			p.take(item)
		}
	}
	p.words = strings.ToLower(strings.Join(append([]string{p.title, p.detail}, p.messages...), "\n"))
	return p, nil
}

// take fills what is still empty from one object, so that the top level goes before its list.
func (p *problem) take(from map[string]json.RawMessage) {
	first := func(dst *string, names ...string) {
		for _, name := range names {
			var s string
			if *dst == "" && json.Unmarshal(from[name], &s) == nil {
				*dst = s
			}
		}
	}
	first(&p.typ, "type")
	first(&p.title, "title", "error")
	first(&p.detail, "detail", "error_description")
	first(&p.reason, "reason")
	first(&p.resetDate, "reset_date")
	if p.code == 0 {
		_ = json.Unmarshal(from["code"], &p.code)
	}
	var message string
	if first(&message, "message"); message != "" {
		p.messages = append(p.messages, message)
	}
}

// slug is the last segment of the type, whatever its host; "" for about:blank.
func (p *problem) slug() string {
	i := strings.LastIndexAny(p.typ, "/#")
	if i < 0 {
		return ""
	}
	return p.typ[i+1:]
}
