package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// launch starts a server where none runs, on data that it makes if there are none.
func (in *instance) launch(ctx context.Context) (*postmaster, error) {
	bin, err := in.host.binaries.find(ctx, in.cfg.BinDir, in.path("data"))
	if err != nil {
		return nil, err
	}
	as, err := in.serverAccount()
	if err != nil {
		return nil, err
	}
	log, err := in.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if err := in.initData(ctx, bin, as, log); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // initdb was let finish
	}
	socketDir, err := in.socketDir(as)
	if err != nil {
		return nil, err
	}
	if err := in.refuseAnswering(ctx, socketDir); err != nil {
		return nil, err
	}
	// A killed server leaves this beside its socket, too, and PostgreSQL takes whatever process
	// has the number in it for that server. The directory is ours alone, and nobody answers.
	_ = os.Remove(filepath.Join(socketDir, socketName+".lock"))
	args := []string{"-D", in.path("data")}
	settings := in.settings(socketDir)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	from := in.progress(0).offset
	p, err := in.spawn(filepath.Join(bin.dir, "postgres"), args, in.path("data"), as, log)
	if err != nil {
		return nil, err
	}
	if _, err := in.awaitReady(ctx, p); err != nil {
		if errors.Is(err, errEnded) {
			err = &exitError{how: p.how(), log: in.logTail(from)}
		} else {
			err = errors.Join(err, p.stop(in.host.ladder))
		}
		p.release()
		return nil, err
	}
	return &postmaster{process: p, socketDir: socketDir}, nil
}

// fixedSettings are those that Config.Settings may not replace.
func fixedSettings() []string {
	return []string{
		"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file",
		"listen_addresses", "log_destination", "logging_collector", "port",
		"unix_socket_directories", "unix_socket_group", "unix_socket_permissions",
	}
}

// settings are the server's parameters. They stand on its command line, which outranks what
// postgresql.conf and ALTER SYSTEM say.
func (in *instance) settings(socketDir string) map[string]string {
	all := map[string]string{
		"jit": "off", // also lets the server run under systemd's MemoryDenyWriteExecute
		// Otherwise a refused row stands in the log, with the text of its tweet.
		"log_error_verbosity":     "terse",
		"log_min_error_statement": "panic",
		"max_connections":         "100",
		"shared_buffers":          "32MB",
	}
	maps.Copy(all, in.cfg.Settings)
	maps.Copy(all, map[string]string{
		"listen_addresses":        "",
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"port":                    port,
		"unix_socket_directories": socketDir,
		"unix_socket_permissions": "0700",
	})
	return all
}

// spawn starts a program as the server's user, in its own process group, writing to the log.
func (in *instance) spawn(program string, args []string, dir string, as account, log *os.File) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	started, err := os.StartProcess(program, append([]string{program}, args...), &os.ProcAttr{
		Dir:   dir,
		Env:   serverEnv(),
		Files: []*os.File{null, log, log},
		Sys:   programAttr(as),
	})
	if err != nil {
		return nil, as.explainDenied(fmt.Errorf("run %s: %w", program, err), dir, filepath.Dir(program))
	}
	return &process{pid: started.Pid, handle: started, pidfd: openPidfd(started.Pid)}, nil
}

// openLog opens the server's log for appending. It is rotated here, at a start, where nobody
// else writes to it.
func (in *instance) openLog() (*os.File, error) {
	const most = 10 << 20
	path := in.path("postgres.log")
	if info, err := os.Stat(path); err == nil && info.Size() > most {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// logTail returns the last lines of the log, none from before the given byte, for an error.
func (in *instance) logTail(from int64) string {
	const lines, most = 6, 2 << 10
	file, err := os.Open(in.path("postgres.log"))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	from = max(from, info.Size()-most)
	tail := make([]byte, max(0, info.Size()-from))
	n, _ := file.ReadAt(tail, from)
	all := strings.Split(strings.TrimSpace(string(tail[:n])), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// initPrefix names the directories of an initdb under way. Each has a name of its own, because
// the initdb of a killed process lives on for a while, and must not write into the next one's.
const initPrefix = "data.init-"

// initData makes the data if there is none: elsewhere first, so that whatever interrupts initdb,
// data/ is complete or absent. An initdb that has begun is waited for, even if ctx ends.
func (in *instance) initData(ctx context.Context, bin binaries, as account, log *os.File) error {
	if _, err := os.Lstat(in.path("data")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(in.dir)
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), initPrefix) {
			// Best effort: its initdb may still be writing, and the next start tries again.
			_ = os.RemoveAll(in.path(entry.Name()))
		}
	}
	dir, err := os.MkdirTemp(in.dir, initPrefix)
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := in.initdb(ctx, bin, as, log, dir); err != nil {
		_ = os.RemoveAll(dir)
		return fmt.Errorf("initdb: %w", err)
	}
	if err := os.Rename(dir, in.path("data")); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	// Were the rename lost in a power cut, the next start would take the data for a leftover.
	parent, err := os.Open(in.dir)
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func (in *instance) initdb(ctx context.Context, bin binaries, as account, log *os.File, dir string) error {
	if as.credential != nil {
		if err := os.Lchown(dir, as.uid, as.gid); err != nil {
			return err
		}
	}
	args := []string{
		"-D", dir, "-U", superuser, "--auth-local=trust", "--auth-host=reject",
		"-E", "UTF8", "--no-locale", "--no-instructions",
	}
	if in.cfg.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	from := in.progress(0).offset
	p, err := in.spawn(filepath.Join(bin.dir, "initdb"), args, dir, as, log)
	if err != nil {
		return err
	}
	defer p.release()
	// What has begun is let finish, even if ctx ends: it takes about a second, and initdb works through
	// servers of its own, which would leave their shared memory behind (/dev/shm/PostgreSQL.*) if they
	// were killed.
	err = poll(context.WithoutCancel(ctx), in.progress(in.cfg.StartTimeout), func() (bool, error) { return p.exited(), nil })
	if err != nil {
		// The whole process group: initdb works through a server of its own.
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		return errors.Join(err, p.stop(in.host.ladder))
	}
	if p.status == nil || *p.status != 0 {
		return fmt.Errorf("%s %s; its last words:\n%s", filepath.Join(bin.dir, "initdb"), p.how(), in.logTail(from))
	}
	return nil
}
