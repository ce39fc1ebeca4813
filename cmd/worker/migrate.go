package main

import (
	"context"
	"encoding/json"
	"fmt"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/migrations"
	"tweetqueue/store"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Bring the database to what this program needs."`
	Down   migrateDownCmd   `cmd:"" help:"Undo the newest migration, or all. It destroys what they made."`
	Status migrateStatusCmd `cmd:"" help:"Tell where the database stands; exit code 3 if this program cannot work with it."`
}

// on opens the database that a migration is for, without migrating it.
func (migrateCmd) on(ctx context.Context, env *environment, createKey bool, do func(*setup.Database, setup.Settings) error) error {
	settings := setup.NewEnv(env.lookup)
	config := setup.Read(settings, createKey)
	if createKey && config.KeyFile == "" {
		settings.Errorf("--create-key needs TWEETQUEUE_KEY_FILE, the file to make")
	}
	if err := settings.Err(); err != nil {
		return err
	}
	db, err := setup.Locate(ctx, env.lookup, config)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			fmt.Fprintln(env.stderr, "worker: "+err.Error())
		}
	}()
	fmt.Fprintln(env.stderr, "database: "+db.Told())
	return do(db, config)
}

type migrateUpCmd struct {
	CreateKey bool `help:"Make the key file that TWEETQUEUE_KEY_FILE names, if there is none and nothing is encrypted yet."`
}

// Run migrates up.
func (c *migrateUpCmd) Run(ctx context.Context, env *environment) error {
	return migrateCmd{}.on(ctx, env, c.CreateKey, func(db *setup.Database, settings setup.Settings) error {
		report := func(line string) { fmt.Fprintln(env.stdout, line) }
		if err := migrations.Up(ctx, migrations.Config{Report: report}, string(db.URL)); err != nil {
			return err
		}
		if c.CreateKey {
			if err := createKey(ctx, env, db, settings); err != nil {
				return err
			}
		}
		fmt.Fprintf(env.stdout, "the database is at migration %d\n", migrations.Latest)
		return nil
	})
}

// createKey makes the key file, unless what is in the database was encrypted with another key.
func createKey(ctx context.Context, env *environment, db *setup.Database, settings setup.Settings) error {
	if settings.Key != "" {
		return nil // it is there
	}
	if err := db.Connect(ctx, "tweetqueue migrate"); err != nil {
		return err
	}
	has, err := store.HasCredentials(ctx, db.Pool)
	if err != nil {
		return err
	}
	if has {
		return fmt.Errorf("%w: %s does not exist, but the database holds credentials that were encrypted with its key: restore the file",
			store.ErrRefused, settings.KeyFile)
	}
	if err := setup.CreateKey(settings.KeyFile); err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "made the key file %s: keep it, the database does not hold it, and every worker and 'enqueue account add' need it\n", settings.KeyFile)
	return nil
}

type migrateDownCmd struct {
	All   bool `help:"Undo all migrations, River's too, and drop the schema tweetqueue."`
	Force bool `help:"Also if the database holds tweets, deletions or retweets, which are lost."`
}

// Run migrates down.
func (c *migrateDownCmd) Run(ctx context.Context, env *environment) error {
	return migrateCmd{}.on(ctx, env, false, func(db *setup.Database, _ setup.Settings) error {
		report := func(line string) { fmt.Fprintln(env.stdout, line) }
		return migrations.Down(ctx, migrations.Config{Report: report}, string(db.URL), c.All, c.Force)
	})
}

type migrateStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run tells the state of the schema.
func (c *migrateStatusCmd) Run(ctx context.Context, env *environment) error {
	return migrateCmd{}.on(ctx, env, false, func(db *setup.Database, _ setup.Settings) error {
		pool, err := store.Connect(ctx, db.URL, "tweetqueue migrate", 1)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", setup.ErrNoDatabase, db.Name, err)
		}
		defer pool.Close()
		state, err := migrations.Status(ctx, pool)
		if err != nil {
			return err
		}
		if c.JSON {
			if err := json.NewEncoder(env.stdout).Encode(state); err != nil {
				return fmt.Errorf("print status: %w", err)
			}
			return state.Err()
		}
		fmt.Fprintf(env.stdout, "migration %d of %d, River %d of %d, oldest worker %d\n",
			state.Version, state.Latest, state.RiverVersion, migrations.RiverVersion, state.OldestWorker)
		return state.Err()
	})
}

type dsnCmd struct{}

// Run prints the connection string of a running private database.
func (dsnCmd) Run(ctx context.Context, env *environment) error {
	db, err := setup.Running(ctx, env.lookup)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.stdout, string(db.URL))
	return db.Close()
}
