package sandbox

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Retweet is the record of one retweet.
type Retweet struct {
	ID        string    `json:"id"` // of the tweet "RT @...", which X calls rest_id
	UserID    string    `json:"user_id"`
	Username  string    `json:"username"` // when it was made
	TweetID   string    `json:"tweet_id"` // the tweet that was retweeted
	CreatedAt time.Time `json:"created_at"`
	UndoneAt  time.Time `json:"undone_at,omitzero"` // zero while it stands; also when either tweet was deleted
	Request   int       `json:"request"`            // Request.N that made it
}

// retweet is POST /2/users/:id/retweets.
func (s *Server) retweet(x *exchange) answer {
	if bad := slices.Concat(checkSelf(x), checkQuery(x.query, nil)); len(bad) > 0 {
		return invalid(bad...)
	}
	if bad, a := checkBody(x, s.retweetSchema); bad {
		return a
	}
	id := stringOf(x.fields, "tweet_id")
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	source := s.tweets.source(id)
	if source == nil {
		body := encode(map[string]any{"errors": []any{missingTweet(id)}})
		return refuse(http.StatusNotFound, "no such tweet", string(body))
	}
	if source.retweets[x.user.ID] != nil {
		return invalid(violation{Message: "You cannot retweet a Tweet that you have already retweeted."})
	}
	t := &storedTweet{
		Tweet:     Tweet{AuthorID: x.user.ID, Username: x.user.Username, Request: x.record.N},
		retweeted: source,
	}
	s.tweets.add(s.tweets.nextID(now), t, "")
	if source.retweets == nil {
		source.retweets = map[string]*storedTweet{}
	}
	source.retweets[x.user.ID] = t
	return answer{
		status: http.StatusOK, body: encode(map[string]any{"data": map[string]any{"rest_id": t.ID, "retweeted": true}}),
		outcome: OutcomeCreated, tweetID: t.ID, item: ItemInteractionCreate,
	}
}

// undoRetweet is DELETE /2/users/:id/retweets/:source_tweet_id. What was not retweeted is undone.
func (s *Server) undoRetweet(x *exchange) answer {
	if bad := slices.Concat(checkSelf(x), checkID("source_tweet_id", x.pathID2), checkQuery(x.query, nil)); len(bad) > 0 {
		return invalid(bad...)
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	a := answer{
		status: http.StatusOK, body: []byte(`{"data":{"retweeted":false}}`),
		outcome: OutcomeNothing, item: ItemInteractionDelete,
	}
	source := s.tweets.source(x.pathID2)
	if source == nil || source.retweets[x.user.ID] == nil {
		a.reason = "no such retweet"
		return a
	}
	t := source.retweets[x.user.ID]
	t.remove(now)
	a.outcome, a.tweetID = OutcomeDeleted, t.ID
	return a
}

// checkSelf refuses the id of another user than the authenticated one.
func checkSelf(x *exchange) []violation {
	if bad := checkID("id", x.pathID); len(bad) > 0 || x.pathID == x.user.ID {
		return bad
	}
	message := fmt.Sprintf("The `id` query parameter value [%s] must be the same as the authenticating user [%s]", x.pathID, x.user.ID)
	return []violation{{map[string][]string{"id": {x.pathID}}, message}}
}

// Retweets are copies of all retweets, undone ones too, in the order in which they were made.
func (s *Server) Retweets() []Retweet {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Retweet
	for _, t := range s.tweets.byID {
		if t.retweeted != nil {
			all = append(all, Retweet{
				ID: t.ID, UserID: t.AuthorID, Username: t.Username, TweetID: t.retweeted.ID,
				CreatedAt: t.CreatedAt, UndoneAt: t.DeletedAt, Request: t.Request,
			})
		}
	}
	slices.SortFunc(all, func(a, b Retweet) int { return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) })
	return all
}
