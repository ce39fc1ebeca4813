package sandbox_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter/sandbox"
)

// FuzzFaultJSON: what is read is written as something that is read the same.
func FuzzFaultJSON(f *testing.F) {
	f.Add([]byte(`{"kind":"hold_before","delay":"250ms","skip":1,"times":2,"rate":0.5,"route":"POST /2/tweets"}`))
	f.Add([]byte(`{"steps":[{"kind":"none"},{"kind":"rate_limited","wait":"-1h","header":{"a":""}}],"repeat":true}`))
	f.Add([]byte(`{"steps":[{"steps":[]}],"body":"html","status":-1}`))
	f.Add([]byte(`{"kind":"x","kind":3}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second sandbox.Fault
		if json.Unmarshal(data, &first) != nil {
			return
		}
		written, err := json.Marshal(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(written, &second), string(written))
		again, err := json.Marshal(second)
		require.NoError(t, err)
		require.Equal(t, string(written), string(again))
	})
}
