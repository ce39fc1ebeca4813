package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/cmd/internal/setup"
)

// TestNoPostgres: where no server is installed, the command that installs one is told. The programs
// run in a directory that is their whole file system.
func TestNoPostgres(t *testing.T) {
	t.Parallel()
	probe := exec.Command(binary(t, "worker"), "--version")
	probe.SysProcAttr = ownNamespace()
	if err := probe.Run(); err != nil {
		t.Skipf("this user may not give a process a file system of its own: %s", err)
	}
	root := stateDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	// A package manager, which decides on the command.
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin", "apt-get"), []byte("#!"), 0o755))
	for _, name := range []string{"worker", "enqueue"} {
		copyFile(t, binary(t, name), filepath.Join(root, "bin", name))
	}
	for _, args := range [][]string{{"worker"}, {"worker", "demo"}, {"worker", "migrate", "up"}, {"enqueue", "list"}} {
		cmd := exec.Command("/bin/"+args[0], args[1:]...)
		cmd.Dir, cmd.SysProcAttr = "/", ownNamespace()
		cmd.SysProcAttr.Chroot = root
		p := startCommand(t, cmd, settings{"PATH": "/bin", "HOME": "/", "TMPDIR": "/"})
		require.Equal(t, setup.ExitNoDatabase, p.wait(t))
		require.Contains(t, p.String(), args[0]+": no database: ")
		require.Contains(t, p.String(), "apt-get install -y postgresql (as root)")
		require.Contains(t, p.String(), "set DATABASE_URL")
	}
}

// ownNamespace lets an ordinary user change a process's root, too.
func ownNamespace() *syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	require.NoError(t, err)
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(target, source)
	require.NoError(t, err)
	require.NoError(t, target.Close())
}
