package jobs

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/twitter"
)

// answersByOutcome says what each answer of X in twitter/testdata/answers means for the first
// request of a tweet, a deletion, a retweet or its undoing; that of the token endpoint, for a tweet that needs a new token.
func answersByOutcome() map[Outcome][]string {
	return map[Outcome][]string{
		OutcomeWait: {
			"403_over_daily_limit_185", "429_daily", "429_html", "429_legacy_88", "429_too_many_requests",
		},
		OutcomeAlready: {"400_already_retweeted", "403_legacy_327"},
		OutcomeRepeat:  {"200_deleted_nothing_said", "200_retweet_nothing_said", "200_undo_nothing_said"},
		OutcomeRetry: {
			"403_authentication_unknown", "404_outage_create", "404_outage_retweet", "404_retweet_missing_tweet",
			"refresh_302_redirect", "refresh_400_other_invalid_request",
			"refresh_401_everybody", "refresh_404_outage", "refresh_429",
			// It is not known whether X has replaced the token; the tweet itself was not sent.
			"refresh_200_empty", "refresh_200_no_token", "refresh_200_truncated", "refresh_403_html", "refresh_408", "refresh_503",
			"refresh_503_with_a_refusal_inside",
		},
		OutcomeUnconfirmed: {
			"200_html", "201_bad_id", "201_empty", "201_errors_only", "201_no_id", "201_truncated",
			"403_html", "403_truncated", "408_request_timeout",
			"500_internal", "500_legacy_131", "502_bad_gateway", "503_legacy_130", "503_unavailable", "503_with_a_refusal_inside",
			"504_empty", "520_cloudflare",
			// Of deletions: the tweet may be gone.
			"200_delete_missing", "403_delete_not_authorized_typed", "403_legacy_183", "403_not_author",
			"404_legacy_144", "404_legacy_34", "404_missing_tweet",
		},
		OutcomePauseAccount: {
			"400_legacy_215", "401_legacy_135", "401_legacy_32", "401_legacy_89", "403_client_not_enrolled", "403_legacy_261",
			"403_legacy_326", "403_legacy_453", "403_legacy_64", "403_oauth1_permissions", "403_unsupported_authentication",
			"403_user_suspended", "refresh_200_error", "refresh_400_invalid_grant", "refresh_400_used_token",
		},
		OutcomePauseApp: {
			"402_credits_depleted", "402_with_account_id", "403_legacy_416", "403_spend_cap_reached", "403_spend_cap_without_date",
			"429_usage_cap_exceeded",
			"refresh_400_missing_header", "refresh_401_invalid_client", "refresh_401_unauthorized_client",
		},
		OutcomeFail: {
			"302_bad_location", "302_redirect", "400_content_type", "400_error_code_message", "400_exclude_reply_user_ids",
			"400_invalid_url", "400_media_ids", "400_not_an_object", "400_not_json", "400_oauth2_error", "400_odd_members",
			"400_only_one_attachment", "400_problem_content_type", "400_quote_tweet_id", "400_reply_tweet_id", "400_tagged_user_ids",
			"400_too_many_media", "400_video_too_long", "403_bare", "403_cashtags", "403_duplicate", "403_duplicate_with_headers",
			"403_empty", "403_feature_not_permitted", "403_legacy_179", "403_legacy_186", "403_legacy_187", "403_legacy_226",
			"403_legacy_324", "403_legacy_325", "403_legacy_385", "403_legacy_386", "403_legacy_407", "403_legacy_433",
			"403_not_permitted", "403_official_client_forbidden", "403_quote_not_allowed", "403_quote_rule_typed",
			"403_reply_not_mentioned", "403_reply_rule_typed", "403_reply_target_gone", "403_unknown_type", "409_conflict",
			"413_too_large", "422_unprocessable", "400_retweet_other_user", "403_undo_not_authorized",
		},
	}
}

// captured is what this test needs of an answer's file.
type captured struct {
	Op     string            `json:"op"`
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   json.RawMessage   `json:"body"`
	Text   string            `json:"text"`
}

func capturedAnswers(t *testing.T) map[string]captured {
	t.Helper()
	paths, err := filepath.Glob("../twitter/testdata/answers/*.json")
	require.NoError(t, err)
	all := map[string]captured{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var c captured
		require.NoError(t, json.Unmarshal(raw, &c), path)
		if slices.Contains([]string{"create", "delete", "retweet", "undo", "refresh"}, c.Op) {
			all[strings.TrimSuffix(filepath.Base(path), ".json")] = c
		}
	}
	return all
}

func TestDecideOnEachCapturedAnswer(t *testing.T) {
	t.Parallel()
	answers := capturedAnswers(t)
	var told []string
	for want, names := range answersByOutcome() {
		for _, name := range names {
			told = append(told, name)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attempt, err := answers[name].get(t)
				v := Decide(attempt, err, time.Now())
				require.Equal(t, want, v.Outcome, "%v", err)
			})
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(answers)), told, "each answer stands in the table once")
}

// get makes the request that the answer belongs to, and returns the client's error.
func (c captured) get(t *testing.T) (Attempt, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range c.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(c.Status)
		if c.Body != nil {
			_, _ = w.Write(c.Body)
			return
		}
		_, _ = w.Write([]byte(c.Text))
	}))
	t.Cleanup(server.Close)
	x := twitter.Config{BaseURL: server.URL, HTTPClient: twitter.NewHTTPClient()}
	t.Cleanup(x.HTTPClient.CloseIdleConnections)
	client, err := twitter.NewClient(x, c.auth(t, x))
	require.NoError(t, err)
	switch c.Op {
	case "delete":
		_, err = client.DeleteTweet(t.Context(), "1445880548472328192")
		return Attempt{Kind: store.DeleteTweet}, err
	case "retweet":
		_, err = client.Retweet(t.Context(), "2244994945", "1445880548472328192")
		return Attempt{Kind: store.Retweet}, err
	case "undo":
		_, err = client.UndoRetweet(t.Context(), "2244994945", "1445880548472328192")
		return Attempt{Kind: store.DeleteTweet, UndoRetweet: true}, err
	}
	_, err = client.CreateTweet(t.Context(), []byte(`{"text":"The doors of the old mill open at nine"}`))
	return Attempt{Kind: store.PostTweet}, err
}

func (c captured) auth(t *testing.T, x twitter.Config) twitter.Auth {
	t.Helper()
	if c.Op != "refresh" {
		return twitter.OAuth1{APIKey: "key", APISecret: "secret", AccessToken: "token", AccessTokenSecret: "token-secret"}
	}
	auth, err := twitter.NewOAuth2(x, twitter.OAuth2Config{
		ClientID: "client-id", ClientSecret: "client-secret", Token: twitter.OAuth2Token{RefreshToken: "refresh-token"},
		Save: func(context.Context, twitter.OAuth2Token) error { return nil },
	})
	require.NoError(t, err)
	return auth
}
