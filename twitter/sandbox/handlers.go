package sandbox

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// createTweet is POST /2/tweets.
func (s *Server) createTweet(x *exchange) answer {
	if x.tooLong {
		return problem(http.StatusRequestEntityTooLarge, "the body is longer than the sandbox reads")
	}
	if bad := s.checkCreate(x); len(bad) > 0 {
		return invalid(bad...)
	}
	text, _ := x.fields["text"].(string)
	replyTo := member(x.fields, "reply", "in_reply_to_tweet_id")
	quoted, _ := x.fields["quote_tweet_id"].(string)
	setting, _ := x.fields["reply_settings"].(string)
	length := weightedLength(text)

	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if quoted != "" && s.tweets.find(quoted) == nil {
		return invalid(violation{map[string][]string{"quote_tweet_id": {quoted}}, "Your quote tweet ID is invalid."})
	}
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	var kind Kind
	switch {
	case replyTo != "" && s.tweets.find(replyTo) == nil:
		kind = KindReplyTargetGone
	case x.fields["edit_options"] != nil, length > x.user.TextLimit:
		kind = KindNotPermitted
	case s.tweets.duplicate(x.user.ID, text, now):
		kind = KindDuplicate
	}
	if kind != "" {
		return s.refusal(kind, x)
	}
	t := &storedTweet{
		Tweet: Tweet{
			AuthorID: x.user.ID, Username: x.user.Username, Text: text,
			InReplyTo: replyTo, Quoted: quoted, Request: x.record.N,
		},
		replySetting: setting,
	}
	s.tweets.add(s.tweets.nextID(now), t)
	return answer{
		status: http.StatusCreated, body: encode(map[string]any{"data": t.fields(nil, "")}),
		outcome: OutcomeCreated, tweetID: t.ID,
	}
}

// checkCreate lists what makes the body a 400.
func (s *Server) checkCreate(x *exchange) []violation {
	one := func(message string) []violation { return []violation{{Message: message}} }
	media, _, err := mime.ParseMediaType(x.header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return one("Requests with bodies must have content-type of application/json.")
	}
	if x.bodyErr != "" {
		return one(x.bodyErr)
	}
	if bad := s.schema.check("$", x.fields); len(bad) > 0 {
		return bad
	}
	attachments := 0
	for _, name := range []string{"poll", "quote_tweet_id", "direct_message_deep_link", "media", "card_uri"} {
		if x.fields[name] != nil {
			attachments++
		}
	}
	if attachments > 1 {
		return one("You can only provide one of poll or quote_tweet_id or direct_message_deep_link or media or card_uri.")
	}
	if media, ok := x.fields["media"].(map[string]any); ok {
		list, _ := media["media_ids"].([]any)
		ids := make([]string, len(list))
		for i, id := range list {
			ids[i], _ = id.(string)
		}
		return []violation{{map[string][]string{"media.media_ids": ids}, "Your media IDs are invalid."}}
	}
	text, ok := x.fields["text"].(string)
	if !ok {
		return []violation{at("$", x.fields, "$.text: is missing but it is required")}
	}
	if strings.TrimSpace(text) == "" {
		return []violation{at("$.text", text, "$.text: must be at least 1 characters long")}
	}
	return nil
}

// member is a string within an object of the body, or "".
func member(fields map[string]any, object, name string) string {
	o, _ := fields[object].(map[string]any)
	v, _ := o[name].(string)
	return v
}

// deleteTweet is DELETE /2/tweets/:id.
func (s *Server) deleteTweet(x *exchange) answer {
	if bad := slices.Concat(checkID(x), checkQuery(x.query, nil)); len(bad) > 0 {
		return invalid(bad...)
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	t := s.tweets.find(x.pathID)
	switch {
	case t == nil || t.AuthorID != x.user.ID && s.cfg.DeleteMissing == DeleteMissingFalse:
		return s.deleteMissing(x.pathID)
	case t.AuthorID != x.user.ID:
		return forbidden("You are not authorized to delete this Tweet.")
	}
	t.DeletedAt = now
	return answer{
		status: http.StatusOK, body: []byte(`{"data":{"deleted":true}}`),
		outcome: OutcomeDeleted, tweetID: t.ID,
	}
}

func (s *Server) deleteMissing(id string) answer {
	a := answer{status: http.StatusOK, outcome: OutcomeNothing, reason: "no such tweet of this user"}
	switch s.cfg.DeleteMissing {
	case DeleteMissingFalse:
		a.body = []byte(`{"data":{"deleted":false}}`)
	case DeleteMissingTrue:
		a.body = []byte(`{"data":{"deleted":true}}`)
	case DeleteMissing404:
		body := encode(map[string]any{"errors": []any{missingTweet(id)}})
		return refuse(http.StatusNotFound, "no such tweet", string(body))
	}
	return a
}

// getTweet is GET /2/tweets/:id. A missing tweet is a 200 with errors and without data.
func (s *Server) getTweet(x *exchange) answer {
	accepted := map[string][]string{"tweet.fields": tweetFields()}
	if bad := slices.Concat(checkID(x), checkQuery(x.query, accepted)); len(bad) > 0 {
		return invalid(bad...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	a := answer{status: http.StatusOK, outcome: OutcomeRead}
	t := s.tweets.find(x.pathID)
	if t == nil {
		a.body = encode(map[string]any{"errors": []any{missingTweet(x.pathID)}})
		a.reason = "no such tweet"
		return a
	}
	repliesTo := ""
	if parent := s.tweets.find(t.InReplyTo); parent != nil {
		repliesTo = parent.AuthorID
	}
	a.tweetID, a.posts = t.ID, 1
	a.body = encode(map[string]any{"data": t.fields(fieldsOf(x.query, "tweet.fields"), repliesTo)})
	return a
}

// me is GET /2/users/me.
func (s *Server) me(x *exchange) answer {
	accepted := map[string][]string{"user.fields": userFields()}
	if bad := checkQuery(x.query, accepted); len(bad) > 0 {
		return invalid(bad...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	all := map[string]any{
		"id": x.user.ID, "name": x.user.Name, "username": x.user.Username,
		"created_at": s.accounts.created[x.user.ID], "protected": false, "verified": false,
		"verified_type": "none", "subscription_type": "None",
	}
	if x.user.TextLimit > defaultTextLimit {
		all["subscription_type"], all["verified"], all["verified_type"] = "Premium", true, "blue"
	}
	data := pick(all, []string{"id", "name", "username"}, fieldsOf(x.query, "user.fields"))
	return answer{status: http.StatusOK, body: encode(map[string]any{"data": data}), outcome: OutcomeRead}
}

// tweetFields are the tweet.fields that the sandbox has values for.
func tweetFields() []string {
	return []string{
		"author_id", "conversation_id", "created_at", "edit_history_tweet_ids", "id",
		"in_reply_to_user_id", "referenced_tweets", "reply_settings", "text",
	}
}

// userFields are the user.fields that the sandbox has values for.
func userFields() []string {
	return []string{"created_at", "id", "name", "protected", "subscription_type", "username", "verified", "verified_type"}
}

// fields is a tweet as X shows it: the default fields and those that were asked for. Text is
// HTML-escaped, as X's is. repliesTo is the author of the tweet that it answers, if known.
func (t *storedTweet) fields(asked []string, repliesTo string) map[string]any {
	escaped := t.Text
	if strings.ContainsAny(escaped, "&<>") {
		escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(escaped)
	}
	all := map[string]any{
		"id": t.ID, "text": escaped, "edit_history_tweet_ids": []string{t.ID},
		"author_id": t.AuthorID, "conversation_id": t.conversation, "created_at": formatTime(t.CreatedAt),
		"reply_settings": "everyone",
	}
	if t.replySetting != "" {
		all["reply_settings"] = t.replySetting
	}
	if repliesTo != "" {
		all["in_reply_to_user_id"] = repliesTo
	}
	var refs []map[string]string
	if t.Quoted != "" {
		refs = append(refs, map[string]string{"type": "quoted", "id": t.Quoted})
	}
	if t.InReplyTo != "" {
		refs = append(refs, map[string]string{"type": "replied_to", "id": t.InReplyTo})
	}
	if refs != nil {
		all["referenced_tweets"] = refs
	}
	return pick(all, []string{"id", "text", "edit_history_tweet_ids"}, asked)
}

// pick is the part of all that is named, and there.
func pick(all map[string]any, always, asked []string) map[string]any {
	some := map[string]any{}
	for _, name := range slices.Concat(always, asked) {
		if v, ok := all[name]; ok {
			some[name] = v
		}
	}
	return some
}

// checkID refuses a path id that is none.
func checkID(x *exchange) []violation {
	if idPattern.MatchString(x.pathID) {
		return nil
	}
	message := fmt.Sprintf("The `id` query parameter value [%s] does not match %s", x.pathID, idPattern)
	return []violation{{map[string][]string{"id": {x.pathID}}, message}}
}

// checkQuery refuses parameters and values that are not accepted, naming those that are.
func checkQuery(query string, accepted map[string][]string) []violation {
	values, err := url.ParseQuery(query)
	if err != nil {
		return []violation{{Message: "The query is not valid."}}
	}
	var known []string
	for name := range accepted {
		known = append(known, name)
	}
	slices.Sort(known)
	var bad []violation
	for name, list := range values {
		if !slices.Contains(known, name) {
			message := fmt.Sprintf("The query parameter [%s] is not one of [%s]", name, strings.Join(known, ","))
			bad = append(bad, violation{map[string][]string{name: list}, message})
			continue
		}
		for _, v := range fieldsOf(query, name) {
			if !slices.Contains(accepted[name], v) {
				message := fmt.Sprintf("The `%s` query parameter value [%s] is not one of [%s]", name, v, strings.Join(accepted[name], ","))
				bad = append(bad, violation{map[string][]string{name: list}, message})
			}
		}
	}
	slices.SortFunc(bad, func(a, b violation) int { return strings.Compare(a.Message, b.Message) })
	return bad
}

// fieldsOf splits a comma-separated parameter.
func fieldsOf(query, name string) []string {
	values, _ := url.ParseQuery(query)
	if !values.Has(name) {
		return nil
	}
	return strings.Split(strings.Join(values[name], ","), ",")
}
