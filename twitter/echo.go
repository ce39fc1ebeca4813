package twitter

import (
	"encoding/json"
	"html"
	"strings"
	"unicode"
)

// X repeats parameters in its answers, and a proxy may repeat anything. What a person wrote must
// not reach an error's text that way, also not cut short or with another escaping.

const (
	withheld = "[withheld: repeats the request]"
	// echoRunes in a row that stand in both texts make an echo. A shorter text is one only as a
	// whole and set off, as in "value [Hello]": its words may well be X's own.
	echoRunes = 16
)

// sent holds the free texts of a request, folded.
type sent []string

// sentText collects every string of a JSON body that is neither an id nor an enumeration's value.
func sentText(body []byte) sent {
	if body == nil {
		return nil
	}
	var value any
	if json.Unmarshal(body, &value) != nil {
		return sent{fold(string(body))}
	}
	var texts sent
	var collect func(any)
	collect = func(value any) {
		switch v := value.(type) {
		case string:
			if strings.Trim(v, "0123456789") != "" {
				texts = append(texts, fold(v))
			}
		case []any:
			for _, item := range v {
				collect(item)
			}
		case map[string]any:
			for key, item := range v {
				if key != "reply_settings" {
					collect(item)
				}
			}
		}
	}
	collect(value)
	return texts
}

// said holds the free texts and the secrets of a request.
func (r call) said() sent {
	said := sentText(r.body)
	for _, secret := range r.secrets {
		said = append(said, fold(secret))
	}
	if r.accessToken != nil {
		said = append(said, fold(*r.accessToken))
	}
	return said
}

// without returns a text of X, bounded and cleaned, or a note in its place if it repeats what was
// sent.
func (s sent) without(text string) string {
	if s.in(text) {
		return withheld
	}
	return clean(text, maxText)
}

// in looks as far as a text is shown, and a little on: X's answers and the texts sent can be long.
func (s sent) in(text string) bool {
	theirs, edges := foldEdges(clean(text, maxText+4*echoRunes))
	for _, own := range s {
		size := len([]rune(own))
		for i := 0; i+min(size, echoRunes) <= len(theirs); i++ {
			switch {
			case size == 0:
			case size >= echoRunes:
				if strings.Contains(own, string(theirs[i:i+echoRunes])) {
					return true
				}
			case edges[i] && edges[i+size] && string(theirs[i:i+size]) == own:
				return true
			}
		}
	}
	return false
}

// fold leaves what survives escaping (X's is that of HTML) and re-flowing: letters in lower case,
// digits, symbols.
func fold(s string) string {
	folded, _ := foldEdges(s)
	return string(folded)
}

// foldEdges is fold, and tells before which of the runes (and whether at the end) something stands
// that sets a word off: a bracket, a quotation mark, a colon, or the end of the text.
func foldEdges(s string) (folded []rune, edges []bool) {
	edge := true
	for _, r := range html.UnescapeString(s) {
		switch {
		case strings.ContainsRune("[](){}\"`:;“”", r):
			edge = true
		case unicode.IsSpace(r), unicode.IsPunct(r), unicode.IsControl(r):
		default:
			folded, edges = append(folded, unicode.ToLower(r)), append(edges, edge)
			edge = false
		}
	}
	return folded, append(edges, true)
}

// silenced is an error whose own text is withheld; errors.Is and errors.As see through it.
type silenced struct{ error }

func (silenced) Error() string { return withheld }

func (s silenced) Unwrap() error { return s.error }

// withhold silences an error that quotes what was sent: Go's transport quotes what it cannot parse.
// Errors that quote nothing hold no foreign text.
func (r call) withhold(err error) error {
	if err != nil && strings.ContainsAny(err.Error(), "\"`") && r.said().in(err.Error()) {
		return silenced{err}
	}
	return err
}
