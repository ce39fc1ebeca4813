package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Settings say which database and which key. Each is a setting of the environment of that name.
type Settings struct {
	DatabaseURL store.Secret // DATABASE_URL; empty: the private database
	Key         store.Secret // TWEETQUEUE_KEY; empty with the private database: the key beside it
	// KeyFile is TWEETQUEUE_KEY_FILE, kept for those who may create it.
	KeyFile string
}

// Read reads the settings. createKey says that a missing key file is no error, because it is made.
func Read(env *Env, createKey bool) Settings {
	s := Settings{DatabaseURL: env.Secret("DATABASE_URL"), KeyFile: env.String("TWEETQUEUE_KEY_FILE")}
	if _, err := os.Stat(s.KeyFile); createKey && s.KeyFile != "" && errors.Is(err, fs.ErrNotExist) {
		return s
	}
	s.Key = env.Secret("TWEETQUEUE_KEY")
	if s.DatabaseURL != "" {
		if _, err := pgxpool.ParseConfig(string(s.DatabaseURL)); err != nil {
			env.Errorf("DATABASE_URL: %w", err)
		}
	}
	if s.Key != "" {
		if _, err := store.ParseKeyring(s.Key); err != nil {
			env.Errorf("TWEETQUEUE_KEY: %w", err)
		}
	}
	return s
}

// Database is an open database: one of the user's, or the private one, started or adopted.
type Database struct {
	Pool *pgxpool.Pool
	// URL is its connection string, which may hold a password.
	URL store.Secret
	// Name says which one it is, for people.
	Name string
	// Private is its server if it is the private one.
	Private *pglocal.Server

	keySetting store.Secret
	keyPath    string // beside the private database
}

// Open opens the database that the settings name, or else a private one: a running one of the
// system's, a running one of one's own, or one's own, which is started. A private one is migrated;
// one of the user's is not. What was used is told on progress.
func Open(ctx context.Context, lookup LookupEnv, s Settings, app string, progress io.Writer) (*Database, error) {
	if s.DatabaseURL != "" {
		pool, err := store.Connect(ctx, s.DatabaseURL, app, 20)
		if err != nil {
			return nil, fmt.Errorf("%w: DATABASE_URL: %w", ErrNoDatabase, err)
		}
		return &Database{Pool: pool, URL: s.DatabaseURL, Name: "the database of DATABASE_URL", keySetting: s.Key}, nil
	}
	dir, err := privateDir(ctx, lookup)
	if err != nil {
		return nil, err
	}
	server, err := pglocal.Start(ctx, pglocal.Config{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	db, err := openPrivate(ctx, server, app, progress)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	db.keySetting, db.keyPath = s.Key, filepath.Join(filepath.Dir(dir), keyFile)
	return db, nil
}

// OpenTemporary opens a private database of its own, which is removed when it is closed.
func OpenTemporary(ctx context.Context, app string) (*Database, error) {
	server, err := pglocal.StartTemporary(ctx, pglocal.Config{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	db, err := openPrivate(ctx, server, app, io.Discard)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	db.keySetting = store.NewKey()
	return db, nil
}

func openPrivate(ctx context.Context, server *pglocal.Server, app string, progress io.Writer) (*Database, error) {
	url := store.Secret(server.URL())
	err := migrations.Up(ctx, migrations.Config{}, string(url))
	if err != nil {
		return nil, fmt.Errorf("migrate the private database: %w", err)
	}
	pool, err := store.Connect(ctx, url, app, 20)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	name := "the private database in " + server.Dir()
	fmt.Fprintf(progress, "database: %s\n", name)
	return &Database{Pool: pool, URL: url, Name: name, Private: server}, nil
}

// privateDir returns the directory of the private database to use.
func privateDir(ctx context.Context, lookup LookupEnv) (string, error) {
	system, err := pglocal.DefaultDir(lookup, 0)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	own, err := pglocal.DefaultDir(lookup, os.Getuid())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	dir, ok, err := pglocal.Find(ctx, system, own)
	if denied := new(pglocal.DeniedError); err != nil && !errors.As(err, &denied) {
		return "", fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	if !ok {
		dir = own
	}
	return dir, nil
}

// Keyring opens the keyring: the setting's, or the key beside the private database, which is made
// on first use. A database of the user's without TWEETQUEUE_KEY is an ErrUsage.
func (db *Database) Keyring() (*store.Keyring, error) {
	if db.keySetting != "" {
		return store.ParseKeyring(db.keySetting)
	}
	if db.keyPath == "" {
		return nil, Usage("TWEETQUEUE_KEY is not set: credentials are encrypted with it. Make one, once, with 'openssl rand -base64 32', and keep it")
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
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

// Close closes the database; the last user of a private one stops its server.
func (db *Database) Close() error {
	db.Pool.Close()
	if db.Private == nil {
		return nil
	}
	return db.Private.Close()
}
