package pglocal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who the server runs as. PostgreSQL refuses to run as root.
type account struct {
	uid, gid   int
	name       string
	credential *syscall.Credential // nil: as this process
}

// serverAccount chooses it: this user, or, as root, the owner of the data if there is any (it
// may have been made before a `postgres` user existed), else `postgres`, else `nobody`.
func (in *instance) serverAccount() (account, error) {
	if in.host.uid != 0 {
		return account{uid: in.host.uid, gid: os.Getgid(), name: strconv.Itoa(in.host.uid)}, nil
	}
	uid, gid, err := owner(in.path("data"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return account{}, err
	case uid == 0:
		return account{}, fmt.Errorf("%s belongs to root, as whom PostgreSQL does not run: give it to an unprivileged user (chown -R postgres %[1]s)", in.path("data"))
	default:
		name := strconv.Itoa(uid)
		if known, err := user.LookupId(name); err == nil {
			name = known.Username
		}
		return unprivileged(uid, gid, name), nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		known, err := in.host.lookupUser(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(known.Uid)
		gid, errGID := strconv.Atoi(known.Gid)
		if errUID == nil && errGID == nil && uid > 0 {
			return unprivileged(uid, gid, name), nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: create one (useradd --system postgres)")
}

func unprivileged(uid, gid int, name string) account {
	return account{uid: uid, gid: gid, name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// owner returns the numeric user and group of path, following links.
func owner(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("no owner known of %s: %w", path, errors.ErrUnsupported)
	}
	return int(stat.Uid), int(stat.Gid), nil
}

// explainDenied turns the bare "permission denied" of starting a program into the directory
// that is closed to the server's user, which is the usual cause: a path under /root.
func (a account) explainDenied(err error, paths ...string) error {
	if a.credential == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, path := range paths {
		if closed := a.closedParent(path); closed != "" {
			return fmt.Errorf("user %s, as whom PostgreSQL runs, cannot enter %s: open it (chmod a+x) or choose a directory elsewhere, such as %s: %w",
				a.name, closed, SystemDir, err)
		}
	}
	return err
}

// closedParent returns the topmost directory on the way to path that the account may not enter
// by its mode, or "". Groups other than the account's own do not count: they are dropped.
func (a account) closedParent(path string) string {
	var closed string
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() {
			uid, gid, err := owner(dir)
			bit := fs.FileMode(0o001)
			switch {
			case err == nil && uid == a.uid:
				bit = 0o100
			case err == nil && gid == a.gid:
				bit = 0o010
			}
			if info.Mode().Perm()&bit == 0 {
				closed = dir
			}
		}
		if dir == filepath.Dir(dir) {
			return closed
		}
	}
}
