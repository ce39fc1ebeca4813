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
	proxies *proxies
	addr    string // where it listens, always
	to      string

	one chan struct{} // of capacity 1: one trouble at a time, which owns what follows
	now *toxiproxy.Proxy
}

func (p *proxies) open(t *testing.T, upstream string) *proxy {
	t.Helper()
	opened := &proxy{proxies: p, addr: "127.0.0.1:0", to: upstream, one: make(chan struct{}, 1)}
	require.NoError(t, opened.start())
	opened.addr = opened.now.Listen
	t.Cleanup(func() { soonDone(opened.now.Stop) })
	return opened
}

func (p *proxy) start() error {
	p.now = toxiproxy.NewProxy(p.proxies.server, p.to, p.addr, p.to)
	return p.now.Start()
}

// suffer makes trouble for d, or until ctx ends, and ends it. It waits until the trouble before is over.
func (p *proxy) suffer(ctx context.Context, what trouble, d time.Duration) error {
	p.one <- struct{}{}
	defer func() { <-p.one }()
	if what == refused {
		p.stop()
		pause(ctx, d)
		return p.restart()
	}
	begun, err := p.toxics(what)
	if err != nil {
		return fmt.Errorf("begin trouble %s: %w", what, err)
	}
	if begun {
		pause(ctx, d)
	}
	now := p.now // what hangs outlives it
	if !begun || !soonDone(func() { now.Toxics.ResetToxics(context.Background()) }) {
		// It waits for a connection that is gone, for ever.
		p.stop()
		return p.restart()
	}
	return nil
}

// toxics begins a trouble that toxics make, and reports whether it could.
func (p *proxy) toxics(what trouble) (begun bool, err error) {
	toxics := map[string]string{}
	switch what {
	case cut:
		toxics["upstream"], toxics["downstream"] = `"reset_peer","attributes":{"timeout":0}`, `"reset_peer","attributes":{"timeout":0}`
	case lost:
		toxics["upstream"] = `"timeout","attributes":{"timeout":0}`
	case stalled: // for longer than any trouble: its end delivers
		toxics["upstream"], toxics["downstream"] = `"latency","attributes":{"latency":3600000}`, `"latency","attributes":{"latency":3600000}`
	case refused:
	}
	now, errs := p.now, make(chan error, len(toxics))
	begun = soonDone(func() {
		for stream, toxic := range toxics {
			_, err := now.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"%s","stream":"%s","type":%s}`, stream, stream, toxic)))
			errs <- err
		}
	})
	for begun && len(errs) > 0 {
		if err := <-errs; err != nil {
			return begun, err
		}
	}
	return begun, nil
}

// stop closes the proxy and all its connections.
func (p *proxy) stop() { soonDone(p.now.Stop) }

// restart listens again, at the same address.
func (p *proxy) restart() error {
	var err error
	for range 50 {
		if err = p.start(); err == nil {
			return nil
		}
		pause(context.Background(), 100*time.Millisecond)
	}
	return err
}

// soonDone reports whether do is done within seconds. Toxiproxy can wait for itself where a connection ends while
// its toxics change; what then hangs ends with the test.
func soonDone(do func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		return true
	case <-time.After(3 * time.Second):
		return false
	}
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
