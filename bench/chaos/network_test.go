package chaos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// trouble is what becomes of the connections that go through a proxy, for a while.
type trouble string

const (
	// cut ends each connection at the next byte, and resets those that come anew.
	cut trouble = "cut"
	// refused closes every connection, and lets none in.
	refused trouble = "refused"
	// lost swallows what the client sends, then closes: it waits for an answer that does not come.
	lost trouble = "lost"
	// stalled delivers what is sent only when the trouble is over, also to an end whose other has left.
	stalled trouble = "stalled"
)

func troubles() []trouble { return []trouble{cut, refused, lost, stalled} }

// proxies are what stands between the workers and their neighbours.
type proxies struct{ server *toxiproxy.ApiServer }

func newProxies() *proxies {
	return &proxies{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// proxy is one worker's way to one neighbour.
type proxy struct {
	*toxiproxy.Proxy

	one chan struct{} // of capacity 1: one trouble at a time
}

func (p *proxies) open(t *testing.T, name, upstream string) *proxy {
	t.Helper()
	opened := &proxy{Proxy: toxiproxy.NewProxy(p.server, name, "127.0.0.1:0", upstream), one: make(chan struct{}, 1)}
	require.NoError(t, opened.Start())
	t.Cleanup(opened.Stop)
	return opened
}

// suffer makes trouble for d, or until ctx ends, and ends it. It waits until the trouble before is over.
func (p *proxy) suffer(ctx context.Context, what trouble, d time.Duration) error {
	p.one <- struct{}{}
	defer func() { <-p.one }()
	begin, end := p.toxics(what)
	if what == refused {
		begin = func() error { p.Stop(); return nil }
		end = func() error { return p.restart(ctx) }
	}
	if err := begin(); err != nil {
		return fmt.Errorf("begin trouble %s: %w", what, err)
	}
	pause(ctx, d)
	if err := end(); err != nil {
		return fmt.Errorf("end trouble %s: %w", what, err)
	}
	return nil
}

// toxics returns what begins a trouble that toxics make, and what ends it.
func (p *proxy) toxics(what trouble) (begin, end func() error) {
	const never = `"latency":3600000` // its end comes first, and delivers
	toxics := map[string]string{}
	switch what {
	case cut:
		toxics["upstream"], toxics["downstream"] = `"reset_peer","attributes":{"timeout":0}`, `"reset_peer","attributes":{"timeout":0}`
	case lost:
		toxics["upstream"] = `"timeout","attributes":{"timeout":0}`
	case stalled:
		toxics["upstream"], toxics["downstream"] = `"latency","attributes":{`+never+`}`, `"latency","attributes":{`+never+`}`
	case refused:
	}
	begin = func() error {
		for stream, toxic := range toxics {
			json := fmt.Sprintf(`{"name":"%s","stream":"%s","type":%s}`, stream, stream, toxic)
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(json)); err != nil {
				return err
			}
		}
		return nil
	}
	end = func() error {
		p.Toxics.ResetToxics(context.Background())
		return nil
	}
	return begin, end
}

// restart listens again, at the same address.
func (p *proxy) restart(ctx context.Context) error {
	var err error
	for range 50 {
		if err = p.Start(); err == nil {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
	}
	return err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
