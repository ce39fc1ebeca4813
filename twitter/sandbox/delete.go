package sandbox

import (
	"net/http"
	"slices"
)

// DeleteMissing says how the deletion of a tweet that is not there is answered. No capture of X's
// own answer exists, so a client must stand all three.
type DeleteMissing string

const (
	// DeleteMissing404 answers 404 with a resource-not-found problem, and 403 if the tweet is
	// another user's. It is the default, and what X's own playground does.
	DeleteMissing404 DeleteMissing = "404"
	// DeleteMissingFalse answers 200 {"data":{"deleted":false}}, also for another user's tweet.
	DeleteMissingFalse DeleteMissing = "false"
	// DeleteMissingTrue answers 200 {"data":{"deleted":true}}, and 403 if the tweet is another
	// user's.
	DeleteMissingTrue DeleteMissing = "true"
)

// deleteTweet is DELETE /2/tweets/:id.
func (s *Server) deleteTweet(x *exchange) answer {
	if bad := slices.Concat(checkID("id", x.pathID), checkQuery(x.query, nil)); len(bad) > 0 {
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
	t.remove(now)
	return answer{
		status: http.StatusOK, body: []byte(`{"data":{"deleted":true}}`),
		outcome: OutcomeDeleted, tweetID: t.ID, item: ItemContentManage,
	}
}

func (s *Server) deleteMissing(id string) answer {
	a := answer{status: http.StatusOK, outcome: OutcomeNothing, item: ItemContentManage, reason: "no such tweet of this user"}
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
