package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// serving is the listener of a Server and what is needed to end it without a trace.
type serving struct {
	mu    sync.Mutex
	http  *http.Server // nil until Start
	url   string
	ended bool           // Close was called
	done  chan error     // the result of Serve, sent once
	conns sync.WaitGroup // open connections; grows only while Serve runs
	cuts  sync.WaitGroup // connections that a fault has taken over, to cut them
}

// Start serves on addr, such as "127.0.0.1:8083", until Close. Empty is a free port of the
// loopback interface; URL tells which.
func (s *Server) Start(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	v := &s.serving
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.http != nil || v.ended {
		return errors.New("start sandbox: it was started or closed already; make another with New")
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("start sandbox: %w", err)
	}
	v.url = "http://" + l.Addr().String() + s.cfg.BasePath
	v.done = make(chan error, 1)
	v.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				v.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				v.conns.Done()
			case http.StateActive, http.StateIdle:
			}
		},
	}
	go func() { v.done <- v.http.Serve(l) }()
	return nil
}

// URL is the base URL that a client dials, base path included, without a slash at its end; empty
// before Start.
func (s *Server) URL() string {
	s.serving.mu.Lock()
	defer s.serving.mu.Unlock()
	return s.serving.url
}

// Close ends the listener, cuts all connections and waits until they are gone. Requests that a
// fault holds end unanswered, also those of a Server that was never started. The record stays
// readable. Closing again does nothing.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closing)
		err = s.serving.close()
	})
	return err
}

func (v *serving) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	if v.http == nil {
		return nil
	}
	err := v.http.Close()
	if served := <-v.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	// A connection that was accepted while the first call ran is not among those it closed.
	err = errors.Join(err, v.http.Close())
	v.conns.Wait()
	v.cuts.Wait()
	if err != nil {
		return fmt.Errorf("close sandbox: %w", err)
	}
	return nil
}
