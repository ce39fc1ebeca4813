package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"tweetqueue/migrations"
	"tweetqueue/store"
	"tweetqueue/store/pglocal"
)

// keyFile is the name of the file beside the private database that holds its encryption key.
const keyFile = "key"

// maxConns bounds a pool. They are held for the length of a transaction, never while X is asked.
const maxConns = 20

// Settings say which database and which key. [Describe] lists them.
type Settings struct {
	DatabaseURL store.Secret `setting:"DATABASE_URL" help:"The Postgres database, as postgres://user:password@host/name; ?pool_max_conns=N bounds a program's pool (default 20; a worker needs 4, and listens on one connection more). Without it a private one on this machine is used."`
	Key         store.Secret `setting:"TWEETQUEUE_KEY" help:"The key that credentials are encrypted with: 32 bytes in base64; more, after commas, are old keys. Without it the private database uses the key beside it."`
	StateDir    string       `setting:"TWEETQUEUE_STATE_DIR" default:"/var/lib/tweetqueue for root, else ~/.local/state/tweetqueue" help:"Where the private database and its key are kept: an absolute path. If it is set, no other private database is looked for."`
	// KeyFile is TWEETQUEUE_KEY_FILE, kept for those who may create it.
	KeyFile string
}

// ReadDatabase reads the settings that say which database, for a command that needs no key.
func ReadDatabase(env *Env) Settings {
	s := Settings{DatabaseURL: env.Secret("DATABASE_URL"), StateDir: readStateDir(env)}
	if s.DatabaseURL != "" {
		if _, err := store.ParseURL(s.DatabaseURL); err != nil {
			env.Errorf("DATABASE_URL: %w", err)
		}
	}
	return s
}

func readStateDir(env *Env) string {
	dir := env.String("TWEETQUEUE_STATE_DIR")
	if dir != "" && !filepath.IsAbs(dir) {
		env.Errorf("TWEETQUEUE_STATE_DIR is %q: use an absolute path", dir)
	}
	return dir
}

// Read reads the settings. createKey says that a missing key file is no error, because it is made.
func Read(env *Env, createKey bool) Settings {
	s := ReadDatabase(env)
	s.KeyFile = env.String("TWEETQUEUE_KEY_FILE")
	if _, err := os.Stat(s.KeyFile); s.KeyFile != "" && errors.Is(err, fs.ErrNotExist) && env.String("TWEETQUEUE_KEY") == "" {
		if !createKey {
			env.Errorf("TWEETQUEUE_KEY_FILE: %s does not exist: restore it, or, if nothing was encrypted yet, make it with 'worker migrate up --create-key'", s.KeyFile)
		}
		return s
	}
	s.Key = env.Secret("TWEETQUEUE_KEY")
	if s.Key != "" {
		if _, err := store.ParseKeyring(s.Key); err != nil {
			env.Errorf("TWEETQUEUE_KEY: %w", err)
		}
	}
	return s
}

// Database is a database: one of the user's, or the private one, started or adopted.
type Database struct {
	// Pool is nil until Connect.
	Pool *pgxpool.Pool
	// URL is its connection string, which may hold a password.
	URL store.Secret
	// Name says which one it is, for people.
	Name string
	// New says that it is a private one that was just made: also by a setting that is mistyped.
	New bool
	// Private is its server if it is the private one.
	Private *pglocal.Server

	keySetting store.Secret
	keyPath    string // beside the private database
}

// Told is its name as a person is told which database it is.
func (db *Database) Told() string {
	if db.New {
		return db.Name + ", which is new"
	}
	return db.Name
}

// Locate finds the database that the settings name, or else a private one: that of StateDir, or a
// running one of the system's, a running one of one's own, or one's own. It is started if need be.
func Locate(ctx context.Context, lookup LookupEnv, s Settings) (*Database, error) {
	if s.DatabaseURL != "" {
		return &Database{URL: s.DatabaseURL, Name: "the database of DATABASE_URL", keySetting: s.Key}, nil
	}
	dir, _, err := privateDir(ctx, lookup, s.StateDir)
	if err != nil {
		return nil, err
	}
	return private(ctx, dir, s)
}

// Open locates a database and connects to it.
func Open(ctx context.Context, lookup LookupEnv, s Settings, app string) (*Database, error) {
	db, err := Locate(ctx, lookup, s)
	if err != nil {
		return nil, err
	}
	if err := db.Connect(ctx, app); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// OpenTemporary opens a private database of its own, which is removed when it is closed, and whose
// key is forgotten.
func OpenTemporary(ctx context.Context, app string) (*Database, error) {
	server, err := pglocal.StartTemporary(ctx, pglocal.Config{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	db := &Database{
		URL: store.Secret(server.URL()), Name: "a temporary database", Private: server, keySetting: store.NewKey(),
	}
	if err := db.Connect(ctx, app); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Connect opens the pool. A private database is migrated first; one of the user's is not.
func (db *Database) Connect(ctx context.Context, app string) error {
	if db.Private != nil {
		if err := migrations.Up(ctx, migrations.Config{}, string(db.URL)); err != nil {
			return fmt.Errorf("migrate %s: %w", db.Name, err)
		}
	}
	pool, err := store.Connect(ctx, db.URL, app, maxConns)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoDatabase, db.Name, err)
	}
	db.Pool = pool
	return nil
}

// Running adopts a private database that runs already; it starts none.
func Running(ctx context.Context, lookup LookupEnv) (*Database, error) {
	env := NewEnv(lookup)
	url, stateDir := env.Secret("DATABASE_URL"), readStateDir(env)
	if err := env.Err(); err != nil {
		return nil, err
	}
	dir, running, err := privateDir(ctx, lookup, stateDir)
	if err != nil {
		return nil, err
	}
	if !running && url != "" {
		return nil, fmt.Errorf("%w: no private database is running, as DATABASE_URL is set: that is the connection string to use", ErrNoDatabase)
	}
	if !running {
		return nil, fmt.Errorf("%w: no private database is running: start one with 'worker'", ErrNoDatabase)
	}
	return private(ctx, dir, Settings{})
}

func private(ctx context.Context, dir string, s Settings) (*Database, error) {
	_, err := os.Stat(dir)
	made := errors.Is(err, os.ErrNotExist)
	server, err := pglocal.Start(ctx, pglocal.Config{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	return &Database{
		URL: store.Secret(server.URL()), Name: "the private database in " + dir, New: made, Private: server,
		keySetting: s.Key, keyPath: filepath.Join(filepath.Dir(dir), keyFile),
	}, nil
}

// privateDir returns the directory of the private database to use, and whether its server runs.
func privateDir(ctx context.Context, lookup LookupEnv, stateDir string) (string, bool, error) {
	if stateDir != "" {
		dir := filepath.Join(stateDir, "postgres")
		_, running, err := pglocal.Find(ctx, dir)
		if err != nil {
			return "", false, fmt.Errorf("%w: %w", ErrNoDatabase, err)
		}
		return dir, running, nil
	}
	system, err := pglocal.DefaultDir(lookup, 0)
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	own, err := pglocal.DefaultDir(lookup, os.Getuid())
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	dir, running, err := pglocal.Find(ctx, system, own)
	if denied := new(pglocal.DeniedError); err != nil && !errors.As(err, &denied) {
		return "", false, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	if !running {
		dir = own
	}
	return dir, running, nil
}

// ErrNoKey is the ErrUsage of a database of the user's without TWEETQUEUE_KEY.
var ErrNoKey = Usage("TWEETQUEUE_KEY is not set, nor TWEETQUEUE_KEY_FILE: credentials are encrypted with this key. " +
	"Set TWEETQUEUE_KEY_FILE to where it is to be kept, and make it, once, with 'worker migrate up --create-key'")

// Keyring opens the keyring: the setting's, or the key beside the private database, which is made
// on first use. A database of the user's without TWEETQUEUE_KEY is an [ErrNoKey].
func (db *Database) Keyring() (*store.Keyring, error) {
	if db.keySetting != "" {
		return store.ParseKeyring(db.keySetting)
	}
	if db.keyPath == "" {
		return nil, ErrNoKey
	}
	if err := CreateKey(db.keyPath); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(db.keyPath)
	if err != nil {
		return nil, fmt.Errorf("read the key of the private database: %w", err)
	}
	return store.ParseKeyring(store.Secret(strings.TrimSpace(string(content))))
}

// CreateKey makes a key file, readable by its owner alone, unless there is one. Of several
// processes at once, one makes it.
func CreateKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // The server's user must pass; the key itself is its owner's alone.
		return fmt.Errorf("create the encryption key: %w", err)
	}
	file, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return fmt.Errorf("create the encryption key: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(string(store.NewKey()) + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("create the encryption key: %w", err)
	}
	// A link, unlike a rename, does not replace a key that somebody else has made meanwhile.
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the encryption key: %w", err)
	}
	return nil
}

// Recover starts the server of the private database again after it died. A temporary database is
// left alone: its data were never safe.
func (db *Database) Recover(ctx context.Context) error {
	if db.keyPath == "" {
		return nil
	}
	server, err := pglocal.Start(ctx, pglocal.Config{Dir: db.Private.Dir()})
	if err != nil {
		return err
	}
	gone := db.Private
	db.Private = server
	return gone.Close() // it leaves the new one alone, which has a user
}

// Close closes the database; the last user of a private one stops its server.
func (db *Database) Close() error {
	if db.Pool != nil {
		db.Pool.Close()
	}
	if db.Private == nil {
		return nil
	}
	return db.Private.Close()
}
