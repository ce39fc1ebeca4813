// Package pglocal runs a private PostgreSQL server from the server binaries that are installed
// on the machine: on a Unix socket only, in a directory that only one user may enter, kept
// between runs, started by its first user and stopped by its last.
//
// It owns one directory per server ("the instance"):
//
//	start.lock        flock, exclusive while somebody starts, adopts or stops the server
//	users             flock, shared by every user; who gets it exclusively is the last one
//	data/             the cluster; as root it belongs to the unprivileged server user
//	data.init-*/      an initdb under way; it becomes data/ by a rename, or it never counted
//	sock/             mode 0700, holds the socket; the guard, because the server trusts
//	                  whoever reaches the socket
//	postgres.log      the server's log; postgres.log.1 is the one before
//	temporary         marks an instance of StartTemporary, the only kind that is ever removed
//
// Life of the server, every arrow under start.lock, except that a crash needs nobody:
//
//	absent   -> running   first Start: initdb if there is no data/, then postgres
//	running  -> running   further Starts adopt it; a Close that is not the last leaves it
//	running  -> absent    last Close: SIGINT, then SIGQUIT, then SIGKILL
//	running  -> orphaned  kill -9 of the last user; the next Start adopts it
//	running  -> crashed   kill -9 of the server; Done says so; the next Start recovers it
//
// Two rules outrank convenience: the data of a user is never removed, and a second server is
// never started on data that a first one may still hold, however slow that one is.
//
// The package knows nothing of the tables, of River or of X. Its SQL is the one statement that
// creates the database. It needs flock and Unix sockets, so it builds on Linux and macOS.
package pglocal
