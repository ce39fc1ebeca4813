package setup_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/twitter"
)

// TestXBaseURL: what others on the way could read stays on this machine. The commands' tests have what is
// refused.
func TestXBaseURL(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"https://api.x.com", "https://proxy.example/x", "http://localhost", "http://localhost:8083/x", "http://127.0.0.1:1", "http://127.8.9.10", "http://[::1]:8083",
		"http://[::ffff:127.0.0.1]",
	} {
		env := setup.NewEnv(func(string) (string, bool) { return base, true })
		require.Equal(t, base, env.XBaseURL(""))
		require.NoError(t, env.Err())
	}
	env := setup.NewEnv(func(string) (string, bool) { return "http://overridden", true })
	require.Equal(t, "http://127.0.0.1:1", env.XBaseURL("http://127.0.0.1:1"))
	require.NoError(t, env.Err())
	env = setup.NewEnv(func(string) (string, bool) { return "", false })
	require.Equal(t, twitter.DefaultBaseURL, env.XBaseURL(""))
	require.NoError(t, env.Err())
}
