package sandbox

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// view is how a read wants its tweets: the fields and expansions that it named, by their names in
// the tweet vocabulary, and the vocabulary of the answer. X speaks of tweets, and of posts where
// the request has post.fields.
type view struct {
	post       bool
	fields     []string
	expansions []string
	users      []string
	polls      []string
}

// newView reads a query that was checked.
func newView(query string) view {
	values, _ := url.ParseQuery(query)
	v := view{
		post:       values.Has("post.fields"),
		fields:     slices.Concat(fieldsOf(values, "tweet.fields"), fieldsOf(values, "post.fields")),
		expansions: fieldsOf(values, "expansions"),
		users:      fieldsOf(values, "user.fields"),
		polls:      fieldsOf(values, "poll.fields"),
	}
	for _, names := range [][]string{v.fields, v.expansions} {
		for i, name := range names {
			names[i] = strings.ReplaceAll(name, "post", "tweet")
		}
	}
	return v
}

// name is a name of the tweet vocabulary in that of the answer.
func (v view) name(tweet string) string {
	if v.post {
		return strings.ReplaceAll(tweet, "tweet", "post")
	}
	return tweet
}

// viewParameters are the parameters that say how to show tweets, added to those of a route.
func viewParameters(query string, of map[string]parameter) map[string]parameter {
	values, _ := url.ParseQuery(query)
	v := view{post: values.Has("post.fields")}
	fields, posts, expansions := tweetFields(), tweetFields(), tweetExpansions()
	posts = slices.DeleteFunc(posts, func(name string) bool { return name == "author_id" }) // an expansion only
	for i, name := range posts {
		posts[i] = view{post: true}.name(name)
	}
	for i, name := range expansions {
		expansions[i] = v.name(name)
	}
	all := map[string]parameter{
		"expansions":   oneOf(expansions),
		"place.fields": oneOf(placeFields()),
		"poll.fields":  oneOf(pollFields()),
		"post.fields":  oneOf(posts),
		"tweet.fields": oneOf(fields),
		"user.fields":  oneOf(userFields()),
	}
	maps.Copy(all, of)
	return all
}

// tweetFields are the tweet.fields that X accepts, as far as they were seen, and made_with_ai.
func tweetFields() []string {
	return strings.Fields("attachments author_id card_uri community_id conversation_id created_at display_text_range " +
		"edit_controls edit_history_tweet_ids entities geo id in_reply_to_user_id lang made_with_ai note_tweet " +
		"paid_partnership possibly_sensitive public_metrics referenced_tweets reply_settings source text withheld")
}

func tweetExpansions() []string {
	return strings.Fields("attachments.media_keys attachments.poll_ids author_id geo.place_id in_reply_to_user_id " +
		"referenced_tweets.id referenced_tweets.id.author_id")
}

func pollFields() []string {
	return strings.Fields("duration_minutes end_datetime id options voting_status")
}

func placeFields() []string { return strings.Fields("full_name id") }

// fields is a tweet as X shows it: the default fields, those that were asked for, and those that an
// expansion follows. Callers hold s.mu.
func (s *Server) fields(t *storedTweet, v view) map[string]any {
	asked := slices.Clone(v.fields)
	for _, expansion := range v.expansions {
		field, _, _ := strings.Cut(expansion, ".")
		asked = append(asked, field)
	}
	some := pick(s.allFields(t), []string{"id", "text", "edit_history_tweet_ids"}, asked)
	if !v.post {
		return some
	}
	renamed := make(map[string]any, len(some))
	for name, value := range some {
		renamed[v.name(name)] = value
	}
	return renamed
}

func (s *Server) allFields(t *storedTweet) map[string]any {
	shown := t.shown()
	all := map[string]any{
		"id": t.ID, "text": shown.text, "edit_history_tweet_ids": []string{t.ID},
		"author_id": t.AuthorID, "conversation_id": t.conversation, "created_at": formatTime(t.CreatedAt),
		"display_text_range": []int{0, utf8.RuneCountInString(shown.text)},
		"edit_controls": map[string]any{
			"edits_remaining": 5, "is_edit_eligible": false, "editable_until": formatTime(t.CreatedAt.Add(time.Hour)),
		},
		"lang": "und", "made_with_ai": t.madeWithAI, "paid_partnership": t.paidPartnership,
		"possibly_sensitive": false, "reply_settings": "everyone",
		"public_metrics": map[string]int{
			"bookmark_count": 0, "impression_count": 0, "like_count": 0, "quote_count": 0, "reply_count": 0,
			"retweet_count": len(t.retweets),
		},
	}
	set := func(name string, value any, there bool) {
		if there {
			all[name] = value
		}
	}
	set("reply_settings", t.replySetting, t.replySetting != "")
	set("card_uri", t.cardURI, t.cardURI != "")
	set("community_id", t.communityID, t.communityID != "")
	set("entities", map[string]any{"urls": shown.urls}, len(shown.urls) > 0)
	set("geo", map[string]any{"place_id": t.placeID}, t.placeID != "")
	if t.poll != nil {
		all["attachments"] = map[string]any{"poll_ids": []string{t.poll.id}}
	}
	if parent := s.tweets.lookUp(t.InReplyTo); parent != nil {
		all["in_reply_to_user_id"] = parent.AuthorID
	}
	if refs := t.references(); len(refs) > 0 {
		all["referenced_tweets"] = refs
	}
	if t.retweeted == nil && t.long() {
		note := t.note()
		whole := map[string]any{"text": note.text}
		if len(note.urls) > 0 {
			whole["entities"] = map[string]any{"urls": note.urls}
		}
		all["note_tweet"] = whole
	}
	return all
}

type reference struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func (t *storedTweet) references() []reference {
	var refs []reference
	if t.retweeted != nil {
		refs = append(refs, reference{"retweeted", t.retweeted.ID})
	}
	if t.Quoted != "" {
		refs = append(refs, reference{"quoted", t.Quoted})
	}
	if t.InReplyTo != "" {
		refs = append(refs, reference{"replied_to", t.InReplyTo})
	}
	return refs
}

// expand is what belongs to the tweets and was asked for beside them, by kind, and the errors for
// what is missing. Callers hold s.mu.
func (s *Server) expand(tweets []*storedTweet, v view, now time.Time) (map[string]any, []any) {
	e := expansion{server: s, view: v, seen: map[string]bool{}, found: map[string]any{}}
	for _, t := range tweets {
		e.user("author_id", t.AuthorID)
		if parent := s.tweets.lookUp(t.InReplyTo); parent != nil {
			e.user("in_reply_to_user_id", parent.AuthorID)
		}
		for _, ref := range t.references() {
			e.reference(ref.ID, now)
		}
		e.poll(t, now)
		e.place(t)
	}
	return e.found, e.errs
}

// expansion gathers includes, each thing once.
type expansion struct {
	server *Server
	view   view
	seen   map[string]bool // by kind and id
	found  map[string]any
	errs   []any
}

func (e *expansion) asked(name string) bool { return slices.Contains(e.view.expansions, name) }

// first tells whether the thing was not there before.
func (e *expansion) first(kind, id string) bool {
	key := kind + " " + id
	again := e.seen[key]
	e.seen[key] = true
	return !again
}

func (e *expansion) add(kind string, thing any) {
	list, _ := e.found[kind].([]any)
	e.found[kind] = append(list, thing)
}

func (e *expansion) user(name, id string) {
	u := e.server.accounts.users[id]
	if e.asked(name) && u != nil && e.first("users", id) {
		e.add("users", e.server.userFields(*u, e.view.users))
	}
}

func (e *expansion) reference(id string, now time.Time) {
	const by = "referenced_tweets.id"
	if !e.asked(by) && !e.asked(by+".author_id") || !e.first("tweets", id) {
		return
	}
	t := e.server.see(id, now)
	if t == nil {
		e.errs = append(e.errs, missingReference(e.view.name(by), id))
		return
	}
	e.add(e.view.name("tweets"), e.server.fields(t, e.view))
	e.user(by+".author_id", t.AuthorID)
}

func (e *expansion) poll(t *storedTweet, now time.Time) {
	if !e.asked("attachments.poll_ids") || t.poll == nil || !e.first("polls", t.poll.id) {
		return
	}
	options := make([]map[string]any, len(t.poll.options))
	for i, label := range t.poll.options {
		options[i] = map[string]any{"position": i + 1, "label": label, "votes": 0}
	}
	ends := t.CreatedAt.Add(t.poll.duration)
	all := map[string]any{
		"id": t.poll.id, "options": options, "duration_minutes": int(t.poll.duration.Minutes()),
		"end_datetime": formatTime(ends), "voting_status": "open",
	}
	if !now.Before(ends) {
		all["voting_status"] = "closed"
	}
	e.add("polls", pick(all, []string{"id", "options"}, e.view.polls))
}

func (e *expansion) place(t *storedTweet) {
	if e.asked("geo.place_id") && t.placeID != "" && e.first("places", t.placeID) {
		e.add("places", map[string]any{"id": t.placeID, "full_name": "Place " + t.placeID}) // X's default fields
	}
}
