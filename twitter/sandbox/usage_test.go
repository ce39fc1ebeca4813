package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// TestUsage: what an app's users and the app itself have read, by day and by month.
func TestUsage(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	clock.Advance(24 * time.Hour * 6) // 29 November
	b := setup(t, sandbox.Config{Now: clock.Now})
	id := b.mustPost(b.acme, "x")
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	other, err := b.server.AddApp(sandbox.App{ID: "77"})
	require.NoError(t, err)
	otherToken, err := b.server.AppToken(other.Key)
	require.NoError(t, err)
	read := func(n int) {
		t.Helper()
		for range n {
			require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/tweets/"+id, "").status)
		}
	}
	read(2)
	clock.Advance(24 * time.Hour)
	read(1)
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/tweets/"+id, "").status)
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/tweets/1", "").status, "and no data: not counted")
	require.Equal(t, http.StatusOK, b.do(b.acme, "GET", "/2/users/me", "").status, "no tweet: not counted")
	got := b.bearer(app, "GET", "/2/usage/tweets", "")
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"data":{"cap_reset_day":1,"project_cap":"3000000","project_id":"`+b.app.ID+`","project_usage":"4"}}`, got.body)
	requireWindow(t, got, "x-rate-limit", 50, 49, clock.Now().Add(15*time.Minute))

	clock.Advance(24 * time.Hour) // 1 December
	read(1)
	got = b.bearer(app, "GET", "/2/usage/tweets?days=3&usage.fields=daily_project_usage,daily_client_app_usage", "")
	require.JSONEq(t, `{"data":{
		"cap_reset_day":31,"project_cap":"3000000","project_id":"`+b.app.ID+`","project_usage":"1",
		"daily_project_usage":{"project_id":"`+b.app.ID+`","usage":[
			{"date":"2026-12-01T00:00:00.000Z","usage":"1"},{"date":"2026-11-30T00:00:00.000Z","usage":"2"},{"date":"2026-11-29T00:00:00.000Z","usage":"2"}]},
		"daily_client_app_usage":[{"client_app_id":"`+b.app.ID+`","usage_result_count":3,"usage":[
			{"date":"2026-12-01T00:00:00.000Z","usage":"1"},{"date":"2026-11-30T00:00:00.000Z","usage":"2"},{"date":"2026-11-29T00:00:00.000Z","usage":"2"}]}]
	}}`, got.body)
	got = b.bearer(otherToken, "GET", "/2/usage/tweets?usage.fields=daily_project_usage", "")
	require.Equal(t, "77", got.data(t)["project_id"])
	require.Equal(t, "0", got.data(t)["project_usage"])
	daily, _ := got.data(t)["daily_project_usage"].(map[string]any)
	require.Len(t, daily["usage"], 7, "days, unless told")
}

func TestUsageRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sandbox.Config{})
	app, err := b.server.AppToken(b.app.Key)
	require.NoError(t, err)
	_, token := b.oauth2(true)
	for words, got := range map[string]reply{
		"OAuth 1.0a User Context": b.do(b.acme, "GET", "/2/usage/tweets", ""),
		"OAuth 2.0 User Context":  b.bearer(token.AccessToken, "GET", "/2/usage/tweets", ""),
	} {
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, "Authenticating with "+words+" is forbidden for this endpoint."+
			"  Supported authentication types are [OAuth 2.0 Application-Only].", got.json(t)["detail"])
	}
	for query, message := range map[string]string{
		"days=0":                 "The `days` query parameter value [0] is not between 1 and 90",
		"days=91":                "The `days` query parameter value [91] is not between 1 and 90",
		"days=x":                 "The `days` query parameter value [x] is not between 1 and 90",
		"usage.fields=x&days=90": "The `usage.fields` query parameter value [x] is not one of [cap_reset_day,daily_client_app_usage,daily_project_usage,project_cap,project_id,project_usage]",
		"month=1":                "The query parameter [month] is not one of [days,usage.fields]",
	} {
		require.Equal(t, []string{message}, b.bearer(app, "GET", "/2/usage/tweets?"+query, "").messages(t), query)
	}
	require.Equal(t, http.StatusOK, b.bearer(app, "GET", "/2/usage/tweets?days=90", "").status)
}
