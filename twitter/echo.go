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
	// echoRunes in a row that stand in both texts make an echo.
	echoRunes = 12
	// wordRunes is the shortest text that is looked for: shorter ones occur by chance.
	wordRunes = 4
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

// without returns a text of X, bounded and cleaned, or a note in its place if it repeats what was
// sent.
func (s sent) without(text string) string {
	if s.in(text) {
		return withheld
	}
	return clean(text, maxText)
}

func (s sent) in(text string) bool {
	folded := []rune(fold(text))
	for _, own := range s {
		size := min(len([]rune(own)), echoRunes)
		if size < wordRunes {
			continue
		}
		for i := 0; i+size <= len(folded); i++ {
			if strings.Contains(own, string(folded[i:i+size])) {
				return true
			}
		}
	}
	return false
}

// fold leaves what survives escaping (X's is that of HTML) and re-flowing: letters in lower case,
// digits, symbols.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsControl(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, html.UnescapeString(s))
}

// silenced is an error whose own text is withheld; errors.Is and errors.As see through it.
type silenced struct{ error }

func (silenced) Error() string { return withheld }

func (s silenced) Unwrap() error { return s.error }

// withhold silences an error that quotes what was sent: Go's transport quotes what it cannot parse.
// Errors that quote nothing hold no foreign text.
func (r call) withhold(err error) error {
	if err != nil && strings.ContainsAny(err.Error(), "\"`") && sentText(r.body).in(err.Error()) {
		return silenced{err}
	}
	return err
}
