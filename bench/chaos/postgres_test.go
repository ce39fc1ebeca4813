package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tweetqueue/migrations"
	"tweetqueue/store/pglocal"
)

// postgres is a server of a test's own, which it may restart at any time.
type postgres struct {
	server *pglocal.Server
	relay  string // a TCP address: the server itself listens on a Unix socket, where no proxy can stand
}

// startPostgres starts a server with a migrated database. A commit is on disk, as far as the death of
// the server's processes goes, before its client is told.
func startPostgres(t *testing.T) *postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := pglocal.StartTemporary(ctx, pglocal.Config{
		Settings: map[string]string{"synchronous_commit": "on", "max_connections": "400"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, migrations.Up(ctx, migrations.Config{}, server.URL()))
	p := &postgres{server: server}
	p.startRelay(t)
	return p
}

// through is the connection string by way of a TCP address.
func (p *postgres) through(t testing.TB, addr string) string {
	t.Helper()
	u, err := url.Parse(p.server.URL())
	require.NoError(t, err)
	u.Host, u.RawQuery = addr, "sslmode=disable"
	return u.String()
}

// restart is pg_ctl restart -m immediate: every session dies at once, and the server recovers from its
// log.
func (p *postgres) restart(ctx context.Context) error {
	data := filepath.Join(p.server.Dir(), "data")
	opts, err := os.ReadFile(filepath.Join(data, "postmaster.opts")) // the server's command line
	if err != nil {
		return err
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	program, _, _ := strings.Cut(string(opts), " ")
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(program), "pg_ctl"),
		"restart", "-m", "immediate", "-s", "-w", "-D", data, "-l", filepath.Join(data, "restarted.log"))
	cmd.Dir = data
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 { // as whom PostgreSQL does not run
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(said)))
	}
	return nil
}

// startRelay carries TCP connections to the server's socket.
func (p *postgres) startRelay(t *testing.T) {
	t.Helper()
	u, err := url.Parse(p.server.URL())
	require.NoError(t, err)
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL."+u.Query().Get("port"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.relay = listener.Addr().String()
	var links sync.WaitGroup
	links.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			links.Go(func() { carry(client, socket) })
		}
	})
	t.Cleanup(links.Wait) // the clients are gone by then
	t.Cleanup(func() { _ = listener.Close() })
}

// carry carries a connection both ways until one end closes it.
func carry(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	})
	_, _ = io.Copy(server, client)
	_ = server.Close()
	back.Wait()
}
