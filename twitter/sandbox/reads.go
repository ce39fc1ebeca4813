package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// MissingTweet says how GET /2/tweets/:id answers for a tweet that is not there.
type MissingTweet string

const (
	// MissingTweet200 answers 200 with errors and without data, as was captured. It is the default.
	MissingTweet200 MissingTweet = "200"
	// MissingTweet404 answers 404 with the same errors, as X's documents say.
	MissingTweet404 MissingTweet = "404"
)

// getTweet is GET /2/tweets/:id.
func (s *Server) getTweet(x *exchange) answer {
	if bad := slices.Concat(checkID("id", x.pathID), checkQuery(x.query, viewParameters(x.query, nil))); len(bad) > 0 {
		return invalid(bad...)
	}
	v := newView(x.query)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	t := s.see(x.pathID, now)
	if t == nil {
		return s.missing(x.pathID)
	}
	included, errs := s.expand([]*storedTweet{t}, v, now)
	return answer{
		status: http.StatusOK, body: readBody(s.fields(t, v), included, errs, nil),
		outcome: OutcomeRead, tweetID: t.ID, item: ItemPostRead, read: []string{t.ID},
	}
}

func (s *Server) missing(id string) answer {
	entry := missingTweet(id)
	body := map[string]any{"errors": []any{entry}}
	if s.cfg.MissingTweet == MissingTweet404 {
		body["title"], body["detail"], body["type"] = entry["title"], entry["detail"], entry["type"]
		return refuse(http.StatusNotFound, "no such tweet", string(encode(body)))
	}
	return answer{status: http.StatusOK, body: encode(body), outcome: OutcomeRead, reason: "no such tweet"}
}

// getTweets is GET /2/tweets?ids=. Tweets that are missing are in errors, beside the data of the
// others.
func (s *Server) getTweets(x *exchange) answer {
	ids, bad := idsOf(x.query)
	if bad = slices.Concat(bad, checkQuery(x.query, viewParameters(x.query, map[string]parameter{"ids": isID}))); len(bad) > 0 {
		return invalid(bad...)
	}
	v := newView(x.query)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	var found []*storedTweet
	var errs []any
	for _, id := range ids {
		if t := s.see(id, now); t != nil {
			found = append(found, t)
		} else {
			errs = append(errs, missingReference("ids", id))
		}
	}
	included, more := s.expand(found, v, now)
	return answer{
		status: http.StatusOK, body: readBody(s.list(found, v), included, append(errs, more...), nil),
		outcome: OutcomeRead, item: ItemPostRead, read: idsOfTweets(found),
	}
}

// idsOf are the ids to read, each once.
func idsOf(query string) ([]string, []violation) {
	values, _ := url.ParseQuery(query)
	ids := fieldsOf(values, "ids")
	switch {
	case len(ids) == 0 || values.Get("ids") == "":
		return nil, []violation{{map[string][]string{"ids": {}}, "The `ids` query parameter can not be empty"}}
	case len(ids) > 100:
		message := fmt.Sprintf("The number of values in the `ids` query parameter list [%d] is not between 1 and 100", len(ids))
		return nil, []violation{{map[string][]string{"ids": ids}, message}}
	}
	var once []string
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once, nil
}

// list is the data of several tweets, or nil for none.
func (s *Server) list(tweets []*storedTweet, v view) any {
	if len(tweets) == 0 {
		return nil
	}
	data := make([]any, len(tweets))
	for i, t := range tweets {
		data[i] = s.fields(t, v)
	}
	return data
}

func idsOfTweets(tweets []*storedTweet) []string {
	ids := make([]string, len(tweets))
	for i, t := range tweets {
		ids[i] = t.ID
	}
	return ids
}

// readBody is the body of a read; what is empty is absent.
func readBody(data any, included map[string]any, errs []any, meta map[string]any) []byte {
	body := map[string]any{}
	if data != nil {
		body["data"] = data
	}
	if len(included) > 0 {
		body["includes"] = included
	}
	if len(errs) > 0 {
		body["errors"] = errs
	}
	if meta != nil {
		body["meta"] = meta
	}
	return encode(body)
}

// missingReference is missingTweet for a tweet that another parameter than the id in the path, or
// an expansion, asked for.
func missingReference(parameter, id string) map[string]string {
	e := missingTweet(id)
	e["parameter"] = parameter
	e["detail"] = "Could not find tweet with " + parameter + ": [" + id + "]."
	return e
}

// me is GET /2/users/me.
func (s *Server) me(x *exchange) answer {
	if bad := checkQuery(x.query, map[string]parameter{"user.fields": oneOf(userFields())}); len(bad) > 0 {
		return invalid(bad...)
	}
	values, _ := url.ParseQuery(x.query)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	data := s.userFields(x.user, fieldsOf(values, "user.fields"))
	return answer{
		status: http.StatusOK, body: encode(map[string]any{"data": data}),
		outcome: OutcomeRead, item: ItemUserRead, read: []string{x.user.ID},
	}
}

// userFields is a user as X shows it: the default fields and those that were asked for. Callers
// hold s.mu.
func (s *Server) userFields(u User, asked []string) map[string]any {
	all := map[string]any{
		"id": u.ID, "name": u.Name, "username": u.Username,
		"created_at": s.accounts.created[u.ID], "protected": false, "verified": false,
		"verified_type": "none", "subscription_type": "None",
	}
	if u.TextLimit > defaultTextLimit {
		all["subscription_type"], all["verified"], all["verified_type"] = "Premium", true, "blue"
	}
	return pick(all, []string{"id", "name", "username"}, asked)
}

// userFields are the user.fields that the sandbox has values for.
func userFields() []string {
	return strings.Fields("created_at id name protected subscription_type username verified verified_type")
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
