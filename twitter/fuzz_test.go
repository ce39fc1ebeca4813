package twitter

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// FuzzAnswer feeds any answer to every method.
func FuzzAnswer(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.Status, g.body(), g.Op, false)
		f.Add(g.Status, g.body(), g.Op, true)
	}
	f.Add(201, []byte(`{"data":{"id":"1","text":"Hi"}}`), "create", false)
	f.Add(200, []byte(`{"data":{"deleted":false}}`), "delete", true)
	f.Add(200, []byte(wholePage), "timeline", false)
	f.Add(200, []byte(wholePage), "lookup", true)
	f.Add(200, []byte(postPage), "timeline", false)
	f.Add(200, []byte(`{"meta":{"result_count":0}}`), "timeline", false)
	f.Add(200, []byte(`{"data":{"rest_id":"1","retweeted":true}}`), "retweet", false)
	f.Add(200, []byte(`{"data":{"retweeted":false}}`), "undo", false)
	f.Add(200, []byte(grantedAnswer), "refresh", false)
	f.Add(200, []byte(`{"token_type":"x","expires_in":-99999999999,"access_token":"a\nb","refresh_token":7}`), "refresh", true)
	f.Fuzz(func(t *testing.T, status int, body []byte, op string, zip bool) {
		if operations()[op] == "" {
			op = "create"
		}
		status = 200 + (status%400+400)%400
		h := http.Header{"X-Transaction-Id": {string(body)}, "X-Access-Level": {"read-write"}}
		sent := body
		if zip {
			h.Set("Content-Encoding", "gzip")
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			_, _ = w.Write(body)
			_ = w.Close()
			sent = zipped.Bytes()
		}
		transport := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(sent))}, nil
		})
		err := golden{Op: op}.call(t.Context(), t, Config{HTTPClient: &http.Client{Transport: transport}})
		if err == nil {
			require.Equal(t, 2, status/100, "only a 2xx is a result")
			return
		}
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Contains(t, Kinds(), e.Kind)
		require.NotContains(t, []Kind{KindNeverSent, KindMaybeSent}, e.Kind, "there was an answer")
		require.LessOrEqual(t, len(e.Answer.RawBody), MaxListBody)
		require.LessOrEqual(t, len(e.Messages), maxMessages+1)
		require.Less(t, len([]rune(err.Error())), (maxMessages+4)*maxText)
		require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), "%q", err)
		if op == "refresh" {
			require.Empty(t, e.Answer.RawBody)
			if status >= 500 || status/100 == 2 {
				require.Contains(t, []Kind{KindRefreshUnknown, KindLoginNeeded, KindClientRefused}, e.Kind)
			}
			return
		}
		if status/100 == 2 && (op == "create" || op == "retweet") {
			require.Equal(t, KindUnreadable, e.Kind, "a 2xx never proves that nothing was created")
		}
		if status >= 500 {
			require.Equal(t, KindServerError, e.Kind)
		}
	})
}
