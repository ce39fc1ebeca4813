-- River: 8. Oldest worker: 1.
--
-- What everything else stands on: the clock, the record of the schema itself, the X Apps and
-- accounts, their limits, and the lease of each worker. The schema `tweetqueue` and River's
-- tables in it exist already: package migrations makes them first.

-- +goose Up

-- One row per migration of ours. The program refuses a database that holds an oldest_worker
-- newer than the newest migration it was built with.
CREATE TABLE tweetqueue.schema_versions (
    version integer PRIMARY KEY, -- the migration's number
    river_version integer NOT NULL, -- the migration of River that it needs
    oldest_worker integer NOT NULL, -- the newest migration that a worker must know to work here
    migrated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_versions_oldest_worker_check CHECK (oldest_worker BETWEEN 1 AND version)
);
INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (1, 8, 1);

-- The time that decides. Tests replace this function by one with an offset; nobody else can, for
-- only its owner may. Its volatility is clock_timestamp()'s: two readings in one transaction differ,
-- which is what a decision that follows a wait for a lock needs.
CREATE FUNCTION tweetqueue.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT pg_catalog.clock_timestamp() $$;

-- X's usernames differ in case only for the eye. A collation says so once for every comparison,
-- key and join, and lets tweets.account be a plain foreign key that follows a rename.
CREATE COLLATION tweetqueue.username (
    provider = icu, locale = 'und-u-ks-level2', deterministic = false
);

-- At most one row: facts about this installation.
CREATE TABLE tweetqueue.installation (
    singleton boolean PRIMARY KEY DEFAULT true,
    x_base_url text, -- the X that its rows are meant for; a worker for another X refuses
    CONSTRAINT installation_singleton_check CHECK (singleton)
);
INSERT INTO tweetqueue.installation DEFAULT VALUES;

CREATE TABLE tweetqueue.apps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL, -- as X shows it in the source label; X's API does not tell it
    website text,
    credentials bytea NOT NULL, -- encrypted, bound to the name: API key and secret
    state text NOT NULL DEFAULT 'active',
    state_reason text, -- why it is not active, for a person
    state_until timestamptz, -- when it is tried again by itself; null: when a person says so
    wake_held boolean NOT NULL DEFAULT false, -- active again: a worker wakes the rows that waited for it
    created_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    CONSTRAINT apps_name_key UNIQUE (name),
    CONSTRAINT apps_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT apps_state_check CHECK (state IN ('active', 'paused')),
    CONSTRAINT apps_state_reason_check CHECK (state = 'active' OR state_reason IS NOT NULL),
    CONSTRAINT apps_state_until_check CHECK (isfinite(state_until))
);
CREATE INDEX apps_wake_held_idx ON tweetqueue.apps (id) WHERE wake_held;

-- Limits as data: a preset is a set of windows, each over one or more actions.
CREATE TABLE tweetqueue.limits (
    preset text NOT NULL,
    name text NOT NULL,
    actions text[] NOT NULL, -- requests of all of these count together
    maximum integer NOT NULL, -- requests
    period interval NOT NULL, -- the window's length
    PRIMARY KEY (preset, name),
    CONSTRAINT limits_actions_check
        CHECK (cardinality(actions) > 0 AND actions <@ ARRAY['post', 'retweet', 'delete']),
    CONSTRAINT limits_maximum_check CHECK (maximum > 0),
    CONSTRAINT limits_period_check CHECK (period > interval '0')
);
INSERT INTO tweetqueue.limits (preset, name, actions, maximum, period) VALUES
    ('guide', 'posts', ARRAY['post'], 200, '15 minutes'),
    ('guide', 'deletions', ARRAY['delete'], 50, '15 minutes'),
    ('guide', 'writes', ARRAY['post', 'retweet'], 300, '3 hours');

CREATE TABLE tweetqueue.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text COLLATE tweetqueue.username NOT NULL, -- as X spells it, without @
    x_user_id text NOT NULL, -- X's id: it stays when the username changes
    app_id bigint NOT NULL REFERENCES tweetqueue.apps (id),
    auth text NOT NULL DEFAULT 'oauth1',
    credentials bytea NOT NULL, -- encrypted, bound to x_user_id: the account's tokens
    state text NOT NULL DEFAULT 'active',
    state_reason text, -- why it is not active, for a person
    state_until timestamptz, -- when it is tried again by itself; null: when a person says so
    wake_held boolean NOT NULL DEFAULT false, -- active again: a worker wakes the rows that waited for it
    time_zone text NOT NULL DEFAULT 'UTC', -- IANA name, for people's local times
    limits_preset text NOT NULL DEFAULT 'guide',
    text_limit integer NOT NULL DEFAULT 280, -- weighted length; 25,000 with X Premium
    created_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    CONSTRAINT accounts_username_key UNIQUE (username),
    CONSTRAINT accounts_username_check CHECK (username COLLATE "C" ~ '^[A-Za-z0-9_]{1,20}$'),
    CONSTRAINT accounts_x_user_id_key UNIQUE (x_user_id),
    CONSTRAINT accounts_x_user_id_check CHECK (x_user_id ~ '^[0-9]{1,19}$'),
    CONSTRAINT accounts_auth_check CHECK (auth IN ('oauth1', 'oauth2')),
    CONSTRAINT accounts_state_check
        CHECK (state IN ('active', 'paused', 'needs_login', 'suspended')),
    CONSTRAINT accounts_state_reason_check CHECK (state = 'active' OR state_reason IS NOT NULL),
    CONSTRAINT accounts_state_until_check CHECK (isfinite(state_until)),
    CONSTRAINT accounts_text_limit_check CHECK (text_limit BETWEEN 280 AND 25000)
);
CREATE INDEX accounts_app_id_idx ON tweetqueue.accounts (app_id);
CREATE INDEX accounts_wake_held_idx ON tweetqueue.accounts (id) WHERE wake_held;

-- One row per account and window. The window is kept inside the row, as its non-empty buckets of a
-- 256th of the period, so that a decision reads only the row that it has locked and costs the same
-- for 200 per 15 minutes and 10,000 per 24 hours. A grant counts until its bucket's end plus the
-- period: never over, at most 0.4% long.
CREATE TABLE tweetqueue.quotas (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES tweetqueue.accounts (id) ON DELETE CASCADE,
    name text NOT NULL,
    actions text[] NOT NULL,
    maximum integer NOT NULL, -- requests
    period interval NOT NULL,
    buckets bigint[] NOT NULL DEFAULT '{}', -- numbers since the epoch, ascending
    grants integer[] NOT NULL DEFAULT '{}', -- requests granted in each of them
    blocked_until timestamptz, -- X said so: nothing before this instant
    CONSTRAINT quotas_account_id_name_key UNIQUE (account_id, name),
    CONSTRAINT quotas_maximum_check CHECK (maximum > 0),
    CONSTRAINT quotas_period_check CHECK (period > interval '0'),
    CONSTRAINT quotas_buckets_check CHECK (cardinality(buckets) = cardinality(grants))
);

-- The lease of each worker process: alive while renewed less than 12 seconds ago.
CREATE TABLE tweetqueue.workers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL, -- host and process, for a person
    started_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    renewed_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    stopped_at timestamptz -- it said goodbye
);
CREATE INDEX workers_renewed_at_idx ON tweetqueue.workers (renewed_at) WHERE stopped_at IS NULL;

CREATE FUNCTION tweetqueue.worker_alive(renewed_at timestamptz, stopped_at timestamptz)
RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT stopped_at IS NULL AND renewed_at > tweetqueue.clock() - interval '12 seconds' $$;

-- +goose Down

DROP FUNCTION tweetqueue.worker_alive;
DROP TABLE tweetqueue.workers, tweetqueue.quotas, tweetqueue.accounts, tweetqueue.limits,
    tweetqueue.apps, tweetqueue.installation;
DROP COLLATION tweetqueue.username;
DROP FUNCTION tweetqueue.clock;
DROP TABLE tweetqueue.schema_versions;
