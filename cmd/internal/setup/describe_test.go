package setup_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
)

func TestDescribe(t *testing.T) {
	t.Parallel()

	type inner struct {
		Key store.Secret `setting:"KEY" help:"A key."`
	}
	type outer struct {
		inner

		Other string
		URL   string `setting:"URL" default:"http://x" help:"Where."`
	}
	require.Equal(t, []setup.Setting{
		{Name: "KEY", Help: "A key.", Secret: true},
		{Name: "URL", Default: "http://x", Help: "Where."},
		{Name: "KEY", Help: "A key.", Secret: true},
	}, setup.Describe(outer{}, inner{}))
}
