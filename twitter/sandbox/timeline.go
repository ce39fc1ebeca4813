package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	defaultPage = 10 // tweets

	// How many of a user's tweets the timeline reaches back.
	timelineDepth           = 3200
	timelineDepthNoReplies  = 800
	leastPage, greatestPage = 5, 100
)

// userTweets is GET /2/users/:id/tweets, the newest first.
func (s *Server) userTweets(x *exchange) answer {
	accepted := viewParameters(x.query, map[string]parameter{
		"end_time":         isTime,
		"exclude":          oneOf([]string{"replies", "retweets"}),
		"max_results":      between(leastPage, greatestPage),
		"pagination_token": isPageToken,
		"since_id":         isID,
		"start_time":       isTime,
		"until_id":         isID,
	})
	if bad := slices.Concat(checkID("id", x.pathID), checkQuery(x.query, accepted)); len(bad) > 0 {
		return invalid(bad...)
	}
	p, v := newPage(x.query), newView(x.query)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.forced(x, stageBusiness); refused {
		return a
	}
	if s.accounts.users[x.pathID] == nil {
		return answer{
			status: http.StatusOK, body: encode(map[string]any{"errors": []any{missingUser(x.pathID)}}),
			outcome: OutcomeRead, reason: "no such user",
		}
	}
	found, more := s.timeline(x.pathID, p, now)
	meta := map[string]any{"result_count": len(found)}
	if len(found) > 0 {
		meta["newest_id"], meta["oldest_id"] = found[0].ID, found[len(found)-1].ID
	}
	if more {
		meta["next_token"] = pageToken(found[len(found)-1].number)
	}
	included, errs := s.expand(found, v, now)
	return answer{
		status: http.StatusOK, body: readBody(s.list(found, v), included, errs, meta),
		outcome: OutcomeRead, item: timelineItem(x), read: idsOfTweets(found),
	}
}

// page says which tweets of a timeline are asked for.
type page struct {
	most        int
	above       uint64 // ids
	below       uint64
	from, until time.Time // zero is no bound
	noReplies   bool
	noRetweets  bool
}

// newPage reads a query that was checked.
func newPage(query string) page {
	values, _ := url.ParseQuery(query)
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(values.Get(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	p := page{most: int(number("max_results", defaultPage)), above: number("since_id", 0), below: number("until_id", 1<<64-1)}
	if token, ok := pageOf(values.Get("pagination_token")); ok {
		p.below = min(p.below, token)
	}
	p.from, _ = time.Parse(time.RFC3339, values.Get("start_time"))
	p.until, _ = time.Parse(time.RFC3339, values.Get("end_time"))
	excluded := fieldsOf(values, "exclude")
	p.noReplies = slices.Contains(excluded, "replies")
	p.noRetweets = slices.Contains(excluded, "retweets")
	return p
}

// timeline are the tweets of the page, and whether there are more. Callers hold s.mu.
func (s *Server) timeline(userID string, p page, now time.Time) ([]*storedTweet, bool) {
	depth := timelineDepth
	if p.noReplies {
		depth = timelineDepthNoReplies
	}
	var found []*storedTweet
	for _, t := range slices.Backward(s.tweets.byAuthor[userID]) {
		if t.nullcast || !s.sees(t, now) {
			continue
		}
		if depth--; depth < 0 {
			break
		}
		if !p.has(t) {
			continue
		}
		if len(found) == p.most {
			return found, true
		}
		found = append(found, t)
	}
	return found, false
}

func (p page) has(t *storedTweet) bool {
	return t.number > p.above && t.number < p.below &&
		(p.from.IsZero() || !t.CreatedAt.Before(p.from)) &&
		(p.until.IsZero() || t.CreatedAt.Before(p.until)) &&
		(!p.noReplies || t.InReplyTo == "") &&
		(!p.noRetweets || t.retweeted == nil)
}

// missingUser is the entry for a user that does not exist, in a list of errors.
func missingUser(id string) map[string]string {
	e := missingTweet(id)
	e["resource_type"] = "user"
	e["detail"] = "Could not find user with id: [" + id + "]."
	return e
}
