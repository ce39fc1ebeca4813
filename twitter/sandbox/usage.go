package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// usageKey is an app and a day in UTC.
type usageKey struct {
	appKey string
	day    string // as time.DateOnly
}

// projectCap is how many tweets a project may read in a month of X's pay-per-use plan.
const projectCap = "3000000"

// meter counts the tweets that a read returned.
func (s *Server) meter(x *exchange, a answer) {
	if a.posts == 0 {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage[usageKey{x.app.Key, now.Format(time.DateOnly)}] += a.posts
}

// usageTweets is GET /2/usage/tweets: how many tweets the app has read. Each app is a project of
// its own, whose month is that of the calendar.
func (s *Server) usageTweets(x *exchange) answer {
	days, rest, bad := daysOf(x.query)
	if bad == nil {
		bad = checkQuery(rest, map[string][]string{"usage.fields": usageFields()})
	}
	if len(bad) > 0 {
		return invalid(bad...)
	}
	now := s.now()
	nextMonth := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
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
	month := 0
	for i := range now.Day() {
		month += s.usage[usageKey{x.app.Key, now.AddDate(0, 0, -i).Format(time.DateOnly)}]
	}
	all := map[string]any{
		"cap_reset_day": int(nextMonth.Sub(now.Truncate(day)) / day),
		"project_cap":   projectCap, "project_id": x.app.ID, "project_usage": strconv.Itoa(month),
		"daily_project_usage": map[string]any{"project_id": x.app.ID, "usage": daily},
		"daily_client_app_usage": []any{map[string]any{
			"client_app_id": x.app.ID, "usage": daily, "usage_result_count": days,
		}},
	}
	always := []string{"cap_reset_day", "project_cap", "project_id", "project_usage"}
	data := pick(all, always, fieldsOf(rest, "usage.fields"))
	return answer{status: http.StatusOK, body: encode(map[string]any{"data": data}), outcome: OutcomeRead}
}

// daysOf takes the parameter days, 1 to 90, out of a query. Without one it is 7.
func daysOf(query string) (days int, rest string, bad []violation) {
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has("days") {
		return 7, query, nil
	}
	list := values["days"]
	days, err = strconv.Atoi(list[0])
	if err != nil || len(list) > 1 || days < 1 || days > 90 {
		message := fmt.Sprintf("The `days` query parameter value [%s] is not between 1 and 90", list[len(list)-1])
		return 0, "", []violation{{map[string][]string{"days": slices.Clone(list)}, message}}
	}
	values.Del("days")
	return days, values.Encode(), nil
}

func usageFields() []string {
	return []string{
		"cap_reset_day", "daily_client_app_usage", "daily_project_usage", "project_cap", "project_id", "project_usage",
	}
}
