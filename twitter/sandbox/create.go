package sandbox

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// createTweet is POST /2/tweets.
func (s *Server) createTweet(x *exchange) answer {
	if bad, a := checkBody(x, s.schema); bad {
		return a
	}
	if bad := checkCreate(x.fields); len(bad) > 0 {
		return invalid(bad...)
	}
	t := newTweet(x)
	if a, refused := s.publish(x, t); refused {
		return a
	}
	return answer{
		status: http.StatusCreated, body: s.created(t),
		outcome: OutcomeCreated, tweetID: t.ID, item: t.item,
	}
}

// checkBody refuses what is no JSON object of the schema.
func checkBody(x *exchange, form *schema) (bool, answer) {
	if x.tooLong {
		return true, problem(http.StatusRequestEntityTooLarge, "the body is longer than the sandbox reads")
	}
	media, _, err := mime.ParseMediaType(x.header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return true, invalid(violation{Message: "Requests with bodies must have content-type of application/json."})
	}
	if x.bodyErr != "" {
		return true, invalid(violation{Message: x.bodyErr})
	}
	if bad := form.check("$", x.fields); len(bad) > 0 {
		return true, invalid(bad...)
	}
	return false, answer{}
}

// checkCreate lists what makes a body of the right form a 400.
func checkCreate(fields map[string]any) []violation {
	attachments := 0
	for _, name := range []string{"poll", "quote_tweet_id", "direct_message_deep_link", "media", "card_uri"} {
		if fields[name] != nil {
			attachments++
		}
	}
	if attachments > 1 {
		return []violation{{Message: "You can only provide one of poll or quote_tweet_id or direct_message_deep_link or media or card_uri."}}
	}
	if media, ok := fields["media"].(map[string]any); ok {
		return []violation{{map[string][]string{"media.media_ids": stringsOf(media["media_ids"])}, "Your media IDs are invalid."}}
	}
	text, ok := fields["text"].(string)
	if !ok {
		return []violation{at("$", fields, "$.text: is missing but it is required")}
	}
	if strings.TrimSpace(text) == "" {
		return []violation{at("$.text", text, "$.text: must be at least 1 characters long")}
	}
	return nil
}

// newTweet is what the request asks for, checked by its form alone and not yet posted.
func newTweet(x *exchange) *storedTweet {
	f := x.fields
	t := &storedTweet{
		Tweet: Tweet{
			AuthorID: x.user.ID, Username: x.user.Username, Text: stringOf(f, "text"),
			InReplyTo: member(f, "reply", "in_reply_to_tweet_id"), Quoted: stringOf(f, "quote_tweet_id"),
			Request: x.record.N,
		},
		cardURI:         stringOf(f, "card_uri"),
		communityID:     stringOf(f, "community_id"),
		placeID:         member(f, "geo", "place_id"),
		replySetting:    stringOf(f, "reply_settings"),
		madeWithAI:      f["made_with_ai"] == true,
		nullcast:        f["nullcast"] == true,
		paidPartnership: f["paid_partnership"] == true,
	}
	if x.user.GeoDisabled {
		t.placeID = "" // X says nothing about it
	}
	if asked, ok := f["poll"].(map[string]any); ok {
		minutes, _ := asked["duration_minutes"].(json.Number)
		n, _ := strconv.Atoi(minutes.String()) // the schema bounds it
		t.poll = &poll{options: stringsOf(asked["options"]), duration: time.Duration(n) * time.Minute}
	}
	return t
}

// publish posts the tweet, unless the business stage refuses it.
func (s *Server) publish(x *exchange, t *storedTweet) (answer, bool) {
	length := weightedLength(t.Text)
	same := sameText(t.Text)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Quoted != "" && s.tweets.find(t.Quoted) == nil {
		return invalid(violation{map[string][]string{"quote_tweet_id": {t.Quoted}}, "Your quote tweet ID is invalid."}), true
	}
	if a, refused := s.forced(x, stageBusiness); refused {
		return a, true
	}
	kind := s.selfServe(x.user, t)
	switch {
	case t.InReplyTo != "" && s.tweets.find(t.InReplyTo) == nil:
		kind = KindReplyTargetGone
	case x.fields["edit_options"] != nil, length > x.user.TextLimit, strings.ContainsAny(t.Text, invalidCodePoints):
		kind = KindNotPermitted
	case kind == "" && s.tweets.duplicate(x.user.ID, same, now):
		kind = KindDuplicate
	}
	if kind != "" {
		return s.refusal(kind, x), true
	}
	if t.poll != nil {
		s.tweets.lastID = s.tweets.nextID(now)
		t.poll.id = strconv.FormatUint(s.tweets.lastID, 10)
	}
	t.item = s.createItem(x.user, t)
	s.tweets.add(s.tweets.nextID(now), t, same)
	return answer{}, false
}

// created is the body that tells of a new tweet.
func (s *Server) created(t *storedTweet) []byte {
	var data struct {
		Data struct {
			ID                  string   `json:"id"`
			Text                string   `json:"text"`
			EditHistoryTweetIDs []string `json:"edit_history_tweet_ids"`
		} `json:"data"`
	}
	data.Data.ID = t.ID
	data.Data.Text = t.shown().text
	data.Data.EditHistoryTweetIDs = []string{t.ID}
	if s.cfg.EmptyEditHistory {
		data.Data.EditHistoryTweetIDs = []string{""}
	}
	return encode(data)
}

// stringOf is a string of the body, or "".
func stringOf(fields map[string]any, name string) string {
	v, _ := fields[name].(string)
	return v
}

// member is a string within an object of the body, or "".
func member(fields map[string]any, object, name string) string {
	o, _ := fields[object].(map[string]any)
	return stringOf(o, name)
}

// stringsOf are the strings of an array of the body.
func stringsOf(array any) []string {
	list, _ := array.([]any)
	all := make([]string, len(list))
	for i, v := range list {
		all[i], _ = v.(string)
	}
	return all
}
