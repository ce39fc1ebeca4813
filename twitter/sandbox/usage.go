package sandbox

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// usageKey is an app and a day in UTC.
type usageKey struct {
	appKey string
	day    string // as time.DateOnly
}

// defaultPostReadCap is how many tweets a project may read in a month of X's pay-per-use plan.
const defaultPostReadCap = 3_000_000

// meter counts the tweets that a read returned.
func (s *Server) meter(x *exchange, a answer) {
	if a.item != ItemPostRead && a.item != ItemOwnedRead {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage[usageKey{x.app.Key, now.Format(time.DateOnly)}] += len(a.read)
}

// usageOfMonth is how many tweets the app has read in the calendar month. Callers hold s.mu.
func (s *Server) usageOfMonth(appKey string, now time.Time) int {
	n := 0
	for i := range now.Day() {
		n += s.usage[usageKey{appKey, now.AddDate(0, 0, -i).Format(time.DateOnly)}]
	}
	return n
}

// usageTweets is GET /2/usage/tweets: how many tweets the app has read. Each app is a project of
// its own, whose month is that of the calendar.
func (s *Server) usageTweets(x *exchange) answer {
	accepted := map[string]parameter{"days": between(1, 90), "usage.fields": oneOf(usageFields())}
	if bad := checkQuery(x.query, accepted); len(bad) > 0 {
		return invalid(bad...)
	}
	values, _ := url.ParseQuery(x.query)
	days, err := strconv.Atoi(values.Get("days"))
	if err != nil {
		days = 7 // there is none
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	daily := make([]map[string]string, days) // the newest first
	for i := range daily {
		date := now.AddDate(0, 0, -i)
		daily[i] = map[string]string{
			"date":  date.Format(time.DateOnly) + "T00:00:00.000Z",
			"usage": strconv.Itoa(s.usage[usageKey{x.app.Key, date.Format(time.DateOnly)}]),
		}
	}
	all := map[string]any{
		"cap_reset_day": int(nextMonth(now).Sub(now.Truncate(day)) / day),
		"project_cap":   strconv.Itoa(s.cfg.Billing.PostReadCap), "project_id": x.app.ID,
		"project_usage":       strconv.Itoa(s.usageOfMonth(x.app.Key, now)),
		"daily_project_usage": map[string]any{"project_id": x.app.ID, "usage": daily},
		"daily_client_app_usage": []any{map[string]any{
			"client_app_id": x.app.ID, "usage": daily, "usage_result_count": days,
		}},
	}
	always := []string{"cap_reset_day", "project_cap", "project_id", "project_usage"}
	data := pick(all, always, fieldsOf(values, "usage.fields"))
	return answer{status: http.StatusOK, body: encode(map[string]any{"data": data}), outcome: OutcomeRead}
}

func usageFields() []string {
	return []string{
		"cap_reset_day", "daily_client_app_usage", "daily_project_usage", "project_cap", "project_id", "project_usage",
	}
}
