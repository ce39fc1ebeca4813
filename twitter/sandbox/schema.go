package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// schema is the form of a JSON value: as much of JSON Schema as X's request bodies need. X reports
// violations in the words of a well-known validator; where a message was captured, it is that one.
type schema struct {
	kind     string             // as JSON Schema names it: object, array, string, integer, boolean
	fields   map[string]*schema // of an object; others are refused
	required []string           // of an object
	oneOf    bool               // an object must have exactly one of its fields
	items    *schema            // of an array
	min, max int                // items, characters, or the value; no bounds if max is 0
	isID     bool               // a string must match ^[0-9]{1,19}$
	enum     []string           // of a string
}

// tweetSchema is the body of POST /2/tweets (OpenAPI 2.167). What it refuses beyond the schema,
// such as a poll beside media, is in createTweet.
func tweetSchema() *schema {
	str := &schema{kind: "string"}
	boolean := &schema{kind: "boolean"}
	id := &schema{kind: "string", isID: true}
	ids := func(least, most int) *schema { return &schema{kind: "array", items: id, min: least, max: most} }
	object := func(fields map[string]*schema, required ...string) *schema {
		return &schema{kind: "object", fields: fields, required: required}
	}
	link := object(map[string]*schema{"url": str}, "url")
	action := object(map[string]*schema{
		"visit_site": link,
		"watch_now":  link,
		"app_install": {kind: "object", oneOf: true, fields: map[string]*schema{
			"app_store_id": str, "ipad_app_store_id": str, "play_store_id": str,
		}},
	})
	action.oneOf = true
	whoReplies := &schema{kind: "string", enum: []string{"following", "mentionedUsers", "subscribers", "verified"}}
	return object(map[string]*schema{
		"text":                     str,
		"card_uri":                 str,
		"community_id":             id,
		"direct_message_deep_link": str,
		"edit_options":             object(map[string]*schema{"previous_post_id": id}, "previous_post_id"),
		"for_super_followers_only": boolean,
		"geo":                      object(map[string]*schema{"place_id": str}, "place_id"),
		"made_with_ai":             boolean,
		"media": object(map[string]*schema{
			"media_ids":        ids(1, 4),
			"tagged_user_ids":  ids(0, 10),
			"title":            str,
			"description":      str,
			"preview_media_id": id,
			"call_to_actions":  action,
			"embeddable":       boolean,
		}, "media_ids"),
		"nullcast":         boolean,
		"paid_partnership": boolean,
		"poll": object(map[string]*schema{
			"options":          {kind: "array", min: 2, max: 4, items: &schema{kind: "string", min: 1, max: 25}},
			"duration_minutes": {kind: "integer", min: 5, max: 10080},
			"reply_settings":   whoReplies,
		}, "options", "duration_minutes"),
		"quote_tweet_id": id,
		"reply": object(map[string]*schema{
			"in_reply_to_tweet_id":         id,
			"exclude_reply_user_ids":       {kind: "array", items: id},
			"auto_populate_reply_metadata": boolean,
		}, "in_reply_to_tweet_id"),
		"reply_settings":       whoReplies,
		"share_with_followers": boolean,
	})
}

// retweetSchema is the body of POST /2/users/:id/retweets.
func retweetSchema() *schema {
	return &schema{
		kind: "object", required: []string{"tweet_id"},
		fields: map[string]*schema{"tweet_id": {kind: "string", isID: true}},
	}
}

// check lists what is wrong with v, whose place is path ("$" is the body).
func (c *schema) check(path string, v any) []violation {
	if got := kindOf(v); got != c.kind {
		return []violation{at(path, v, fmt.Sprintf("%s: %s found, %s expected", path, got, c.kind))}
	}
	var bad []violation
	complain := func(format string, args ...any) {
		bad = append(bad, at(path, v, path+fmt.Sprintf(format, args...)))
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			field := c.fields[name]
			if field == nil {
				complain(".%s: is not defined in the schema and the schema does not allow additional properties", name)
				continue
			}
			bad = append(bad, field.check(path+"."+name, v[name])...)
		}
		for _, name := range c.required {
			if _, ok := v[name]; !ok {
				complain(".%s: is missing but it is required", name)
			}
		}
		if c.oneOf && len(v) != 1 {
			complain(": should be valid to one and only one of the schemas")
		}
	case []any:
		if c.max > 0 && len(v) < c.min {
			complain(": there must be a minimum of %s in the array", items(c.min))
		}
		if c.max > 0 && len(v) > c.max {
			complain(": there must be a maximum of %s in the array", items(c.max))
		}
		for i, item := range v {
			bad = append(bad, c.items.check(fmt.Sprintf("%s[%d]", path, i), item)...)
		}
	case string:
		n := utf8.RuneCountInString(v)
		if c.max > 0 && n < c.min {
			complain(": must be at least %d characters long", c.min)
		}
		if c.max > 0 && n > c.max {
			complain(": may only be %d characters long", c.max)
		}
		if c.isID && !idPattern.MatchString(v) {
			complain(": does not match the regex pattern %s", idPattern)
		}
		if c.enum != nil && !slices.Contains(c.enum, v) {
			complain(": does not have a value in the enumeration [%s]", strings.Join(c.enum, ", "))
		}
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if c.max > 0 && (err != nil && strings.HasPrefix(v.String(), "-") || err == nil && n < int64(c.min)) {
			complain(": must have a minimum value of %d", c.min)
		} else if c.max > 0 && (err != nil || n > int64(c.max)) {
			complain(": must have a maximum value of %d", c.max)
		}
	}
	return bad
}

// at is a violation that echoes the value at fault, as X does.
func at(path string, v any, message string) violation {
	return violation{Parameters: map[string][]string{path: {string(encode(v))}}, Message: message}
}

func items(n int) string {
	if n == 1 {
		return "1 item"
	}
	return strconv.Itoa(n) + " items"
}

// kindOf names the kind of a decoded value as JSON Schema does.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}
