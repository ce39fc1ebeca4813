package sandbox

// SelfServe says whether the apps are under the rules that X made in 2026 for all but Enterprise,
// and how it words the refusals. At most one cashtag is allowed; replies and quotes only of one's
// own tweets and those whose text mentions the user or that quote the user.
//
// X's documents say that quoting needs Enterprise altogether; its answers, which are later, say
// what is done here. That one's own threads are allowed is read from the same answers.
type SelfServe string

const (
	// SelfServeNewer is under the rules, in the words of July 2026: a problem of the type
	// not-authorized-for-resource, which is no failed login. It is the default.
	SelfServeNewer SelfServe = "newer"
	// SelfServeOlder is under the rules, in words that are different for replies and quotes.
	SelfServeOlder SelfServe = "older"
	// SelfServeOff is Enterprise, which is under none of the rules.
	SelfServeOff SelfServe = "off"
)

// selfServe is the rule that the tweet breaks, or "". Callers hold s.mu.
func (s *Server) selfServe(user User, t *storedTweet) Kind {
	reply, quote := KindNotAuthorizedForResource, KindNotAuthorizedForResource
	switch s.cfg.SelfServe {
	case SelfServeOff:
		return ""
	case SelfServeOlder:
		reply, quote = KindReplyNotAllowed, KindQuoteNotAllowed
	case SelfServeNewer:
	}
	switch {
	case !s.engaged(user, t.InReplyTo):
		return reply
	case !s.engaged(user, t.Quoted):
		return quote
	case cashtags(t.Text) > 1:
		return KindTooManyCashtags
	}
	return ""
}

// engaged tells whether the user may reply to the tweet or quote it. One that is not there stands
// in nobody's way: it is refused for that.
func (s *Server) engaged(user User, id string) bool {
	t := s.tweets.find(id)
	if t == nil || t.AuthorID == user.ID || mentions(t.Text, user.Username) {
		return true
	}
	quoted := s.tweets.find(t.Quoted)
	return quoted != nil && quoted.AuthorID == user.ID
}
