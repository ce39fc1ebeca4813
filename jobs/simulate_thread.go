package jobs

import "tweetqueue/store"

// threads are the tweets of a simulation that wait for the one before them in their thread.
type threads struct {
	gone map[int64]bool             // tweets that others follow, and whether they went: see store.ThreadsRead
	next map[int64][]store.Upcoming // what waits for a tweet that has not gone
	// follow are those whose tweet has just gone: they are ready once all went that goes at the same instant.
	follow []store.Upcoming
}

// mayGo reports whether the tweet before a row has gone, if there is one; if not, the row is kept until it has.
func (t *threads) mayGo(row store.Upcoming) bool {
	if row.PreviousID == 0 || t.gone[row.PreviousID] {
		return true
	}
	t.next[row.PreviousID] = append(t.next[row.PreviousID], row)
	return false
}

// leads notes that a row went, which others may follow.
func (t *threads) leads(row *store.Upcoming) {
	if _, followed := t.gone[row.ID]; followed {
		t.gone[row.ID] = true
		t.follow = append(t.follow, t.next[row.ID]...)
		delete(t.next, row.ID)
	}
}

// followers takes those that are ready.
func (t *threads) followers() []store.Upcoming {
	follow := t.follow
	t.follow = nil
	return follow
}

// stuck counts, by account, the rows before which one has not gone.
func (t *threads) stuck() map[int64]int {
	stuck := map[int64]int{}
	for _, rows := range t.next {
		for i := range rows {
			stuck[rows[i].AccountID]++
		}
	}
	return stuck
}
