package twitter

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// golden is one file of testdata/answers: an answer of X, where it was seen, and what it means.
type golden struct {
	Source  string            `json:"source"`
	Op      string            `json:"op"`      // a key of operations
	Request json.RawMessage   `json:"request"` // default helloBody
	Status  int               `json:"status"`
	Header  map[string]string `json:"header"`
	Body    json.RawMessage   `json:"body"`
	Text    *string           `json:"text"` // instead of Body, for what is not JSON
	Want    struct {
		Kind      Kind   `json:"kind"`
		Type      string `json:"type"`
		Code      int    `json:"code"`
		ResetDate string `json:"reset_date"`
		Error     string `json:"error"` // of Error.Err
	} `json:"want"`
}

func (g golden) body() []byte {
	if g.Text != nil {
		return []byte(*g.Text)
	}
	return g.Body
}

// operations are the values of Error.Op by the short names that the answers use.
func operations() map[string]string {
	return map[string]string{
		"create": "create tweet", "delete": "delete tweet 1445880548472328192",
		"get": "get tweet 1445880548472328192", "lookup": "get 2 tweets",
		"timeline": "get tweets of user 2244994945", "me": "get user me",
		"retweet": "retweet 1445880548472328192", "undo": "undo retweet 1445880548472328192",
		"refresh": "refresh token",
	}
}

// call makes the request that the answer was given to.
func (g golden) call(ctx context.Context, t testing.TB, cfg Config) error {
	t.Helper()
	const id, user = "1445880548472328192", "2244994945"
	if g.Op == "refresh" {
		auth, err := NewOAuth2(cfg, testOAuth2())
		require.NoError(t, err)
		return auth.Refresh(ctx, testOAuth2().Token.AccessToken)
	}
	c, err := NewClient(cfg, testAuth())
	require.NoError(t, err)
	switch g.Op {
	case "create":
		body := []byte(g.Request)
		if body == nil {
			body = []byte(helloBody)
		}
		_, err = c.CreateTweet(ctx, body)
	case "delete":
		_, err = c.DeleteTweet(ctx, id)
	case "get":
		_, err = c.Tweet(ctx, id)
	case "lookup":
		_, err = c.Tweets(ctx, []string{id, "7"})
	case "timeline":
		_, err = c.UserTweets(ctx, user, UserTweetsQuery{})
	case "me":
		_, err = c.Me(ctx)
	case "retweet":
		_, err = c.Retweet(ctx, user, id)
	case "undo":
		_, err = c.UndoRetweet(ctx, user, id)
	default:
		panic("op " + g.Op)
	}
	return err
}

func goldens(t testing.TB) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/answers/*.json")
	require.NoError(t, err)
	all := map[string]golden{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var g golden
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&g), path)
		require.NotEmpty(t, g.Source, path)
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = g
	}
	require.NotEmpty(t, all)
	return all
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	ops := operations()
	for name, g := range goldens(t) {
		for _, encoding := range []string{"plain", "gzip"} {
			t.Run(name+"/"+encoding, func(t *testing.T) {
				t.Parallel()
				cfg := serveConfig(t, func(w http.ResponseWriter, r *http.Request) {
					for key, value := range g.Header {
						w.Header().Set(key, value)
					}
					if encoding == "gzip" && r.Header.Get("Accept-Encoding") == "gzip" {
						w.Header().Set("Content-Encoding", "gzip")
						w.WriteHeader(g.Status)
						zipped := gzip.NewWriter(w)
						_, _ = zipped.Write(g.body())
						_ = zipped.Close()
						return
					}
					w.WriteHeader(g.Status)
					_, _ = w.Write(g.body())
				})
				err := g.call(t.Context(), t, cfg)
				e := requireError(t, err, g.Want.Kind)
				require.Equal(t, ops[g.Op], e.Op)
				require.Equal(t, g.Status, e.Answer.StatusCode)
				if g.Op == "refresh" {
					require.Empty(t, e.Answer.RawBody, "it may hold tokens")
				} else {
					require.Equal(t, string(g.body()), string(e.Answer.RawBody))
				}
				require.False(t, e.Answer.Truncated)
				require.Equal(t, g.Want.Type, e.Type)
				require.Equal(t, g.Want.Code, e.Code)
				require.Equal(t, g.Want.ResetDate, e.ResetDate)
				if g.Want.Error == "" {
					require.NoError(t, e.Err)
				} else {
					require.EqualError(t, e.Err, g.Want.Error)
				}
				requireWords(t, e, g.Body)
			})
		}
	}
}

// requireWords checks that X's own words are in the error's fields and in its text.
func requireWords(t *testing.T, e *Error, body json.RawMessage) {
	t.Helper()
	var said struct {
		Title, Detail string
		Error         string // of the token endpoint
		Errors        []struct{ Message, Detail string }
	}
	if json.Unmarshal(body, &said) != nil {
		return
	}
	detail := said.Detail
	for _, item := range said.Errors {
		if detail == "" {
			detail = item.Detail
		}
		if item.Message != "" {
			require.Contains(t, e.Messages, item.Message)
			require.Contains(t, e.Error(), item.Message)
		}
	}
	if detail != "" {
		require.Equal(t, detail, e.Detail)
		require.Contains(t, e.Error(), detail)
	}
	if title := said.Title + said.Error; title != "" {
		require.Equal(t, title, e.Title)
	}
}

// TestKindsAreSeen fails if a kind exists that no golden answer and no transport test shows.
func TestKindsAreSeen(t *testing.T) {
	t.Parallel()
	seen := map[Kind]bool{KindNeverSent: true, KindMaybeSent: true}
	for _, g := range goldens(t) {
		seen[g.Want.Kind] = true
	}
	for _, kind := range Kinds() {
		require.True(t, seen[kind], "no answer shows %s", kind)
	}
	require.Len(t, seen, len(Kinds()))
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &Error{
		Kind: KindAppPermissions, Op: "delete tweet 123", Title: "Forbidden", Detail: "Not configured.",
		Answer: Answer{StatusCode: 403, RequestID: "e92f067a164a24a1"},
	}
	require.Equal(t, `delete tweet 123: app permissions (403): Not configured.; set the App to "Read and write" in X's developer console, `+
		`then make the account's tokens anew [x-transaction-id e92f067a164a24a1]`, e.Error())
	e = &Error{Kind: KindDuplicate, Op: "create tweet", Code: 187, Messages: []string{"Status is a duplicate."}, Answer: Answer{StatusCode: 403}}
	require.Equal(t, "create tweet: duplicate (403): Status is a duplicate. (code 187)", e.Error())
}

// TestErrorsKeepTheTextToThemselves lets X repeat the tweet in every way it might.
func TestErrorsKeepTheTextToThemselves(t *testing.T) {
	t.Parallel()
	const text = "Mitternacht: \"Öffnung\" <der> alten Mühle & mehr"
	escaped, err := json.Marshal(text)
	require.NoError(t, err)
	for name, echo := range map[string]string{
		"Whole":   text,
		"Cut":     "value [" + text[:30] + "...",
		"HTML":    "Mitternacht: &quot;Öffnung&quot; &lt;der&gt; alten Mühle &amp; mehr",
		"Escaped": string(escaped),
		"Upper":   strings.ToUpper(text),
		"Reflown": strings.ReplaceAll(text, " ", "\n  "),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(w).Encode(map[string]any{
					"title": "Bad " + echo, "detail": "Bad: " + echo, "type": "https://api.x.com/2/problems/invalid-request",
					"errors": []any{map[string]any{"message": "`text` value [" + echo + "]", "parameters": map[string]any{"text": []string{echo}}}},
				})
			})
			body, err := TweetRequest{Text: text}.Encode()
			require.NoError(t, err)
			_, err = client.CreateTweet(t.Context(), body)
			e := requireError(t, err, KindInvalidRequest)
			require.Contains(t, strings.ToLower(string(e.Answer.RawBody)), "mitternacht")
			require.Equal(t, withheld, e.Detail)
			require.Equal(t, []string{withheld}, e.Messages)
			encoded, err := json.Marshal(e)
			require.NoError(t, err)
			require.NotContains(t, string(encoded), "RawBody")
			for _, shown := range []string{e.Error(), string(encoded)} {
				require.NotContains(t, strings.ToLower(shown), "mühle")
			}
		})
	}

	t.Run("ShortText", func(t *testing.T) {
		t.Parallel()
		for text, tc := range map[string]struct {
			said string
			echo bool
		}{
			"duplicate":       {"You are not allowed to create a Tweet with duplicate content.", false},
			"You":             {"You are not permitted to perform this action.", false},
			"Hi":              {"Something in this is wrong.", false},
			"Hello":           {"The `text` query parameter value [Hello] is not one of [...]", true},
			"New: v1.2 (now)": {"value [New: v1.2 (now)] is too long", true},
			"Bye":             {"Rejected text: bye!", true},
			"💡":               {"\"💡\"", true},
			"":                {"[] \"\" ()", false},
			"...":             {"[] \"\" ()", false},
		} {
			body, err := TweetRequest{Text: text}.Encode()
			require.NoError(t, err)
			got := sentText(body).without(tc.said)
			if tc.echo {
				require.Equal(t, withheld, got, text)
			} else {
				require.Equal(t, tc.said, got, text)
			}
		}
	})

	t.Run("ByTheTransport", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}})
		r := call{op: "create tweet", body: []byte(helloBody)}
		e := r.unanswered(KindMaybeSent, &quoting{io.ErrUnexpectedEOF})
		require.NotContains(t, e.Error(), "mill")
		require.ErrorIs(t, e, io.ErrUnexpectedEOF)
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.EqualError(t, err, "create tweet: maybe sent: unexpected EOF")
	})
}

type quoting struct{ error }

func (quoting) Error() string {
	return `malformed HTTP response "the doors of the old mill open at nine"`
}

func (q quoting) Unwrap() error { return q.error }

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("a"), MaxBody+1)

	t.Run("Refusal", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write(long)
		})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		e := requireError(t, err, KindServerError)
		require.True(t, e.Answer.Truncated)
		require.Len(t, e.Answer.RawBody, MaxBody)
		require.Less(t, len(err.Error()), 500)
	})

	t.Run("GzipBomb", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusCreated)
			zipped := gzip.NewWriter(w)
			for range 8 {
				_, _ = zipped.Write(long)
			}
			_ = zipped.Close()
		})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		e := requireError(t, err, KindUnreadable)
		require.True(t, e.Answer.Truncated)
		require.Len(t, e.Answer.RawBody, MaxBody)
	})

	t.Run("ExactlyTheBound", func(t *testing.T) {
		t.Parallel()
		whole := `{"data":{"id":"1","text":"Hi"}}` + strings.Repeat(" ", MaxBody-31)
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) })
		tweet, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.NoError(t, err)
		require.False(t, tweet.Answer.Truncated)
		require.Len(t, tweet.Answer.RawBody, MaxBody)
	})

	t.Run("EmptyButCalledGzip", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusForbidden)
		})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		require.False(t, requireError(t, err, KindForbidden).Answer.Truncated)
	})

	t.Run("GzipOfNothing", func(t *testing.T) {
		t.Parallel()
		// Empty members one after the other inflate to nothing, for as long as one reads.
		var member bytes.Buffer
		require.NoError(t, gzip.NewWriter(&member).Close())
		transport := roundTripper(func(*http.Request) (*http.Response, error) {
			endless := io.NopCloser(&cycle{data: member.Bytes()})
			return &http.Response{StatusCode: http.StatusCreated, Header: header("Content-Encoding", "gzip"), Body: endless}, nil
		})
		client := newTestClient(t, Config{HTTPClient: &http.Client{Transport: transport}})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindUnreadable)
	})

	t.Run("EndlessHeaders", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", string(long))
			w.WriteHeader(http.StatusCreated)
		})
		_, err := client.CreateTweet(t.Context(), []byte(helloBody))
		requireError(t, err, KindMaybeSent)
	})
}

// cycle reads data again and again.
type cycle struct {
	data []byte
	at   int
}

func (c *cycle) Read(p []byte) (int, error) {
	n := copy(p, c.data[c.at:])
	c.at = (c.at + n) % len(c.data)
	return n, nil
}

// TestBodyIsCutOff ends the connection before the announced length.
func TestBodyIsCutOff(t *testing.T) {
	t.Parallel()
	cut := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		want   Kind // "" is success
	}{
		"CreatedWithoutId":   {201, `{"data":{"id":"14`, KindUnreadable},
		"CreatedNothingCame": {201, ``, KindUnreadable},
		"CreatedWholeObject": {201, `{"data":{"id":"14","text":"Hi"}}`, ""},
		"ForbiddenHalf":      {403, `{"detail":"The user used for auth`, KindUnreadable},
		"ForbiddenNothing":   {403, ``, KindUnreadable},
		"ForbiddenWhole":     {403, `{"detail":"The user used for authentication is suspended"}`, KindSuspended},
		"RateLimitedNothing": {429, ``, KindRateLimited},
		"ServerErrorNothing": {503, ``, KindServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tweet, err := serve(t, cut(tc.status, tc.body)).CreateTweet(t.Context(), []byte(helloBody))
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, "14", tweet.ID)
				require.True(t, tweet.Answer.Truncated)
				return
			}
			e := requireError(t, err, tc.want)
			require.True(t, e.Answer.Truncated)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	}
}
