package sandbox

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter checks one value of a query parameter and says what is wrong with it, in the words that
// follow "The `name` query parameter value [value]", or nothing.
type parameter func(value string) string

// checkQuery refuses parameters and values that are not accepted, naming those that are.
func checkQuery(query string, accepted map[string]parameter) []violation {
	values, err := url.ParseQuery(query)
	if err != nil {
		return []violation{{Message: "The query is not valid."}}
	}
	known := slices.Sorted(maps.Keys(accepted))
	var bad []violation
	for name, list := range values {
		check := accepted[name]
		if check == nil {
			message := fmt.Sprintf("The query parameter [%s] is not one of [%s]", name, strings.Join(known, ","))
			bad = append(bad, violation{map[string][]string{name: list}, message})
			continue
		}
		for _, v := range fieldsOf(values, name) {
			if wrong := check(v); wrong != "" {
				message := fmt.Sprintf("The `%s` query parameter value [%s] %s", name, v, wrong)
				bad = append(bad, violation{map[string][]string{name: list}, message})
			}
		}
	}
	slices.SortFunc(bad, func(a, b violation) int { return strings.Compare(a.Message, b.Message) })
	return bad
}

// fieldsOf splits a comma-separated parameter.
func fieldsOf(values url.Values, name string) []string {
	if !values.Has(name) {
		return nil
	}
	return strings.Split(strings.Join(values[name], ","), ",")
}

// checkID refuses an id in the path, of the name that X gives it, that is none.
func checkID(name, id string) []violation {
	if wrong := isID(id); wrong != "" {
		message := fmt.Sprintf("The `%s` query parameter value [%s] %s", name, id, wrong)
		return []violation{{map[string][]string{name: {id}}, message}}
	}
	return nil
}

func isID(value string) string {
	if idPattern.MatchString(value) {
		return ""
	}
	return "does not match " + idPattern.String()
}

func oneOf(accepted []string) parameter {
	return func(value string) string {
		if slices.Contains(accepted, value) {
			return ""
		}
		return "is not one of [" + strings.Join(accepted, ",") + "]"
	}
}

func between(least, most int) parameter {
	return func(value string) string {
		if n, err := strconv.Atoi(value); err == nil && least <= n && n <= most {
			return ""
		}
		return fmt.Sprintf("is not between %d and %d", least, most)
	}
}

func isTime(value string) string {
	if _, err := time.Parse(time.RFC3339, value); err == nil {
		return ""
	}
	return "is not a valid RFC3339 date"
}

func isPageToken(value string) string {
	if _, ok := pageOf(value); ok {
		return ""
	}
	return "is not valid"
}

func tokenCoding() *base32.Encoding { return base32.HexEncoding.WithPadding(base32.NoPadding) }

// pageToken is the pagination token of the page whose tweets have ids below the given one.
func pageToken(below uint64) string {
	return strings.ToLower(tokenCoding().EncodeToString(binary.BigEndian.AppendUint64(nil, below)))
}

// pageOf is the reverse of pageToken.
func pageOf(token string) (uint64, bool) {
	b, err := tokenCoding().DecodeString(strings.ToUpper(token))
	if err != nil || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
