package sandbox

import (
	"fmt"
	"maps"
	"slices"
)

// Item is a line of X's list of prices (pricing.mdx in X's documents).
type Item string

// The items of the sandbox's routes, with X's names for them.
const (
	ItemPostCreate              Item = "post_create"                // Post: Create, per request
	ItemPostCreateWithURL       Item = "post_create_with_url"       // Post: Create (with URL)
	ItemPostCreateSummonedReply Item = "post_create_summoned_reply" // Post: Create (summoned reply)
	ItemContentManage           Item = "content_manage"             // Content: Manage, which is a deletion
	ItemInteractionCreate       Item = "user_interaction_create"    // User Interaction: Create, which is a retweet
	ItemInteractionDelete       Item = "user_interaction_delete"    // Interaction: Delete, which undoes one
	ItemPostRead                Item = "post_read"                  // Post: Read, per tweet that is returned
	ItemOwnedRead               Item = "owned_read"                 // Owned Read, per tweet of the app's owner that is returned to them
	ItemUserRead                Item = "user_read"                  // User: Read, per user that is returned
)

// Prices are what items cost. What is not in it is free.
type Prices map[Item]USD

// DefaultPrices are X's since 2026-04-20. For undoing a retweet X has two prices; this is the higher.
func DefaultPrices() Prices {
	return Prices{
		ItemPostCreate:              15_000,
		ItemPostCreateWithURL:       200_000,
		ItemPostCreateSummonedReply: 10_000,
		ItemContentManage:           5_000,
		ItemInteractionCreate:       15_000,
		ItemInteractionDelete:       10_000,
		ItemPostRead:                5_000,
		ItemOwnedRead:               1_000,
		ItemUserRead:                10_000,
	}
}

func (p Prices) validate() error {
	known := slices.Sorted(maps.Keys(DefaultPrices()))
	for _, item := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(known, item) {
			return fmt.Errorf("prices: there is no item %q: use any of %s", item, list(known))
		}
		if p[item] < 0 {
			return fmt.Errorf("prices: %s costs %s: use 0 or more", item, p[item])
		}
	}
	return nil
}

// createItem is what a new tweet is billed as. Callers hold s.mu.
func (s *Server) createItem(user User, t *storedTweet) Item {
	switch {
	case len(findLinks(t.Text)) > 0:
		return ItemPostCreateWithURL
	case s.summoned(user, t):
		return ItemPostCreateSummonedReply
	}
	return ItemPostCreate
}

// summoned tells whether the tweet answers another user's that mentions or quotes the author.
func (s *Server) summoned(user User, t *storedTweet) bool {
	parent := s.tweets.find(t.InReplyTo)
	return parent != nil && parent.AuthorID != user.ID && s.engaged(user, t.InReplyTo)
}

// timelineItem is what the tweets of a timeline are billed as.
func timelineItem(x *exchange) Item {
	if x.user.ID == x.pathID && x.app.OwnerID == x.user.ID {
		return ItemOwnedRead
	}
	return ItemPostRead
}
