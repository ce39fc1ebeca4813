package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}

// TestDemoOnATerminal: it runs on, works a row that another application inserts, and ends well at Ctrl-C.
func TestDemoOnATerminal(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	cmd := exec.Command(binary(t, "worker"), "demo")
	cmd.Stdin, cmd.Stdout = slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p := startCommand(t, cmd, nil)
	require.NoError(t, slave.Close())
	screen := &record{}
	go func() { _, _ = io.Copy(screen, master) }() // ends with the last process on the terminal

	screen.awaitText(t, "5 tweets posted, 1 deleted, 0 not done")
	hint := screen.awaitText(t, "psql '")
	match := regexp.MustCompile(`psql '([^']+)' -c "([^"]+)"`).FindStringSubmatch(hint)
	require.Len(t, match, 3, "%s", hint)
	conn, err := pgx.Connect(t.Context(), match[1])
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), match[2])
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	screen.awaitText(t, "tweet 7    posted, tweet id ")

	_, err = master.WriteString("\x03")
	require.NoError(t, err)
	require.Zero(t, p.wait(t))
	require.Empty(t, p.String())
}
