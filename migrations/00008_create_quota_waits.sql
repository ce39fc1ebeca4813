-- River: 8. Oldest worker: 8.
--
-- What waits for a limit waits as one: the account is given the instant at which a place is free, and its
-- rows have none of their own. Then as many of its best rows as there are places go on, so that
-- they are fetched once, however many wait. Limits are per user and per app, and X's headers outrank them.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (8, 8, 8);

ALTER TABLE tweetqueue.limits
    ADD COLUMN per text NOT NULL DEFAULT 'user', -- whose requests count together: one user's or all of an app
    ADD COLUMN family text, -- the headers by which X tells of it; null: none
    ADD COLUMN fixed boolean NOT NULL DEFAULT false, -- X's headers may lower it, and not raise it
    DROP CONSTRAINT limits_actions_check,
    ADD CONSTRAINT limits_actions_check CHECK (cardinality(actions) > 0
        AND actions <@ ARRAY['post', 'retweet', 'undo_retweet', 'delete', 'look_up', 'media']),
    ADD CONSTRAINT limits_per_check CHECK (per IN ('user', 'app')),
    ADD CONSTRAINT limits_family_check CHECK (family IN ('endpoint', 'user_24hour', 'app_24hour'));
UPDATE tweetqueue.limits SET family = 'endpoint';

-- X's plans (X's documents: rate-limits, of 2024 to 2026).
INSERT INTO tweetqueue.limits (preset, name, per, family, actions, maximum, period) VALUES
    ('pay-per-use', 'posts', 'user', 'endpoint', '{post}', 100, '15 minutes'),
    ('pay-per-use', 'posts of the app', 'app', 'app_24hour', '{post}', 10000, '24 hours'),
    ('pay-per-use', 'deletions', 'user', 'endpoint', '{delete}', 50, '15 minutes'),
    ('pay-per-use', 'retweets', 'user', 'endpoint', '{retweet}', 50, '15 minutes'),
    ('pay-per-use', 'undone retweets', 'user', 'endpoint', '{undo_retweet}', 50, '15 minutes'),
    ('pay-per-use', 'look-ups', 'user', 'endpoint', '{look_up}', 900, '15 minutes'),
    ('pay-per-use', 'uploads', 'user', 'endpoint', '{media}', 500, '15 minutes'),
    ('pay-per-use', 'uploads of the app', 'app', 'app_24hour', '{media}', 50000, '24 hours'),
    ('pro', 'posts', 'user', 'endpoint', '{post}', 100, '15 minutes'),
    ('pro', 'posts of the app', 'app', 'app_24hour', '{post}', 10000, '24 hours'),
    ('pro', 'deletions', 'user', 'endpoint', '{delete}', 50, '15 minutes'),
    ('pro', 'retweets', 'user', 'endpoint', '{retweet}', 50, '15 minutes'),
    ('pro', 'undone retweets', 'user', 'endpoint', '{undo_retweet}', 50, '15 minutes'),
    ('basic', 'posts', 'user', 'user_24hour', '{post}', 100, '24 hours'),
    ('basic', 'posts of the app', 'app', 'app_24hour', '{post}', 1667, '24 hours'),
    ('basic', 'deletions', 'user', 'endpoint', '{delete}', 5, '15 minutes'),
    ('basic', 'retweets', 'user', 'endpoint', '{retweet}', 5, '15 minutes'),
    ('basic', 'undone retweets', 'user', 'endpoint', '{undo_retweet}', 5, '15 minutes'),
    ('free', 'posts', 'user', 'user_24hour', '{post}', 17, '24 hours'),
    ('free', 'posts of the app', 'app', 'app_24hour', '{post}', 17, '24 hours'),
    ('free', 'deletions', 'user', 'user_24hour', '{delete}', 17, '24 hours'),
    ('free', 'deletions of the app', 'app', 'app_24hour', '{delete}', 17, '24 hours'),
    ('free', 'retweets', 'user', 'endpoint', '{retweet}', 1, '15 minutes'),
    ('free', 'undone retweets', 'user', 'endpoint', '{undo_retweet}', 1, '15 minutes')
ON CONFLICT (preset, name) DO NOTHING; -- a preset of one's own may have the name

-- One row per window of an account, or of an app.
ALTER TABLE tweetqueue.quotas
    ALTER COLUMN account_id DROP NOT NULL,
    ADD COLUMN app_id bigint REFERENCES tweetqueue.apps (id) ON DELETE CASCADE,
    ADD COLUMN family text, -- as in limits
    ADD COLUMN fixed boolean NOT NULL DEFAULT false, -- as in limits
    ADD COLUMN configured boolean NOT NULL DEFAULT true, -- false: only X's headers have told of it
    ADD COLUMN x_maximum integer, -- what X's headers say it is
    ADD COLUMN others integer NOT NULL DEFAULT 0, -- places that others have taken, by X's headers,
    ADD COLUMN others_until timestamptz, -- until X's reset
    ADD COLUMN others_seen timestamptz, -- when X's headers last told of others
    ADD COLUMN x_reset timestamptz, -- of X's latest window, by X's clock,
    ADD COLUMN x_used integer NOT NULL DEFAULT 0, -- and the most that it has counted in it
    ADD COLUMN rolls boolean NOT NULL DEFAULT false, -- X's window rolls, by the resets that it told
    ADD CONSTRAINT quotas_of_one_check CHECK (num_nonnulls(account_id, app_id) = 1),
    ADD CONSTRAINT quotas_app_id_name_key UNIQUE (app_id, name),
    ADD CONSTRAINT quotas_x_maximum_check CHECK (x_maximum > 0),
    ADD CONSTRAINT quotas_others_check CHECK (others >= 0 AND (others = 0 OR others_until IS NOT NULL));
UPDATE tweetqueue.quotas SET family = 'endpoint';

-- The limits of an account's preset: those per user are the account's, those per app the app's. An app has
-- the limits of all presets of its accounts, of two of one name the lower.
CREATE FUNCTION tweetqueue.limits_of_app(app bigint) RETURNS SETOF tweetqueue.limits
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (l.name) l.* FROM tweetqueue.limits l
    WHERE l.per = 'app' AND l.preset IN (
        SELECT limits_preset FROM tweetqueue.accounts WHERE app_id = app)
    ORDER BY l.name, l.maximum / extract(epoch FROM l.period), l.preset
$$;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.set_quotas() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tweetqueue.limits l WHERE l.preset = NEW.limits_preset) THEN
        RAISE EXCEPTION 'unknown limits preset "%"', NEW.limits_preset
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_limits_preset_check',
                HINT = 'The presets are in tweetqueue.limits.';
    END IF;
    -- What only X's headers told of belongs to the plan before.
    DELETE FROM tweetqueue.quotas q
    WHERE q.account_id = NEW.id AND NOT EXISTS (SELECT FROM tweetqueue.limits l
        WHERE l.preset = NEW.limits_preset AND l.per = 'user' AND l.name = q.name);
    INSERT INTO tweetqueue.quotas (account_id, name, family, fixed, actions, maximum, period)
    SELECT NEW.id, l.name, l.family, l.fixed, l.actions, l.maximum, l.period
    FROM tweetqueue.limits l WHERE l.preset = NEW.limits_preset AND l.per = 'user'
    ON CONFLICT (account_id, name) DO UPDATE
    SET family = excluded.family, fixed = excluded.fixed, configured = true,
        actions = excluded.actions, maximum = excluded.maximum, period = excluded.period,
        x_maximum = NULL, -- X tells again with its next answer
        -- Buckets are numbered by the period, so a new period starts a new count.
        buckets = CASE WHEN quotas.period = excluded.period THEN quotas.buckets ELSE '{}' END,
        grants = CASE WHEN quotas.period = excluded.period THEN quotas.grants ELSE '{}' END;
    DELETE FROM tweetqueue.quotas q
    WHERE q.app_id = NEW.app_id AND q.configured
        AND NOT EXISTS (SELECT FROM tweetqueue.limits_of_app(NEW.app_id) l WHERE l.name = q.name);
    INSERT INTO tweetqueue.quotas (app_id, name, family, fixed, actions, maximum, period)
    SELECT NEW.app_id, l.name, l.family, l.fixed, l.actions, l.maximum, l.period
    FROM tweetqueue.limits_of_app(NEW.app_id) l
    ON CONFLICT (app_id, name) DO UPDATE
    SET family = excluded.family, fixed = excluded.fixed, configured = true,
        actions = excluded.actions, maximum = excluded.maximum, period = excluded.period,
        buckets = CASE WHEN quotas.period = excluded.period THEN quotas.buckets ELSE '{}' END,
        grants = CASE WHEN quotas.period = excluded.period THEN quotas.grants ELSE '{}' END
    WHERE (quotas.family, quotas.fixed, quotas.configured, quotas.actions, quotas.maximum, quotas.period)
        IS DISTINCT FROM (excluded.family, excluded.fixed, true, excluded.actions, excluded.maximum, excluded.period);
    UPDATE tweetqueue.quota_waits w SET until = tweetqueue.clock() WHERE w.account_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER set_quotas_app AFTER UPDATE OF app_id ON tweetqueue.accounts
    FOR EACH ROW WHEN (OLD.app_id <> NEW.app_id) EXECUTE FUNCTION tweetqueue.set_quotas();

-- An account of which rows wait for a limit, and when a place is free, at the earliest.
CREATE TABLE tweetqueue.quota_waits (
    account_id bigint NOT NULL REFERENCES tweetqueue.accounts (id) ON DELETE CASCADE,
    action text NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (account_id, action)
);
CREATE INDEX quota_waits_until_idx ON tweetqueue.quota_waits (until);

-- What waits for a place in a window is looked at again at once. Whoever does this has the window locked, so that
-- nobody else touches the same waits; those of an app's are locked in one order.
CREATE FUNCTION tweetqueue.recheck_waits(q tweetqueue.quotas) RETURNS void
LANGUAGE sql
AS $$
    UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock() WHERE (account_id, action) IN (
        SELECT w.account_id, w.action FROM tweetqueue.quota_waits w
        WHERE w.account_id = ANY (ARRAY(
                SELECT a.id FROM tweetqueue.accounts a WHERE a.id = q.account_id OR a.app_id = q.app_id))
            AND w.action = ANY (q.actions) AND w.until > tweetqueue.clock()
        ORDER BY w.account_id, w.action FOR NO KEY UPDATE)
$$;

-- A window that X's headers or a person change: there may be a place now, or none.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.recheck_waits() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.recheck_waits(NEW);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER recheck_waits AFTER UPDATE OF maximum, period, actions, x_maximum, others, blocked_until
    ON tweetqueue.quotas FOR EACH ROW
    WHEN ((OLD.maximum, OLD.period, OLD.actions, OLD.x_maximum, OLD.others, OLD.blocked_until)
        IS DISTINCT FROM (NEW.maximum, NEW.period, NEW.actions, NEW.x_maximum, NEW.others, NEW.blocked_until))
    EXECUTE FUNCTION tweetqueue.recheck_waits();
-- One that is gone no longer makes anything wait.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.recheck_waits_of_none() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.recheck_waits(OLD);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER recheck_waits_of_none AFTER DELETE ON tweetqueue.quotas
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.recheck_waits_of_none();

-- Who is next: of an account's rows that are due, and of those that wait for a limit. And those that were let go
-- on and have not yet been claimed: they will take a place each.
CREATE INDEX tweets_line_idx ON tweetqueue.tweets (account, waiting_for, priority, post_at, id)
    WHERE status = 'scheduled' AND waiting_for IN ('time', 'quota');
CREATE INDEX deletions_line_idx ON tweetqueue.deletions (account, retweet, waiting_for, priority, delete_at, id)
    WHERE status = 'scheduled' AND waiting_for IN ('time', 'quota');
CREATE INDEX retweets_line_idx ON tweetqueue.retweets (account, waiting_for, priority, retweet_at, id)
    WHERE status = 'scheduled' AND waiting_for IN ('time', 'quota');
CREATE INDEX tweets_released_idx ON tweetqueue.tweets (account)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND next_attempt_at IS NOT NULL;
CREATE INDEX deletions_released_idx ON tweetqueue.deletions (account)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND next_attempt_at IS NOT NULL;
CREATE INDEX retweets_released_idx ON tweetqueue.retweets (account)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND next_attempt_at IS NOT NULL;

CREATE OR REPLACE VIEW tweetqueue.waiting AS
SELECT 'tweet' AS kind, t.id, t.account, t.post_at AS due_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled' THEN CASE t.waiting_for
            WHEN 'quota' THEN (SELECT w.until FROM tweetqueue.quota_waits w
                WHERE w.account_id = a.id AND w.action = 'post')
            ELSE tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until) END
        WHEN 'unconfirmed' THEN t.next_attempt_at END AS next_attempt_at, t.error
FROM tweetqueue.tweets t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'deletion', t.id, t.account, t.delete_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled' THEN CASE t.waiting_for
            WHEN 'quota' THEN (SELECT w.until FROM tweetqueue.quota_waits w
                WHERE w.account_id = a.id AND w.action = CASE WHEN t.retweet THEN 'undo_retweet' ELSE 'delete' END)
            ELSE tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until) END
        WHEN 'unconfirmed' THEN t.next_attempt_at END, t.error
FROM tweetqueue.deletions t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'retweet', t.id, t.account, t.retweet_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled' THEN CASE t.waiting_for
            WHEN 'quota' THEN (SELECT w.until FROM tweetqueue.quota_waits w
                WHERE w.account_id = a.id AND w.action = 'retweet')
            ELSE tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until) END
        WHEN 'unconfirmed' THEN t.next_attempt_at END, t.error
FROM tweetqueue.retweets t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed');

-- grant_roles grants what came since, too.
ALTER FUNCTION tweetqueue.grant_roles() RENAME TO grant_roles_7;
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.grant_roles_7();
    GRANT SELECT ON tweetqueue.quota_waits TO tweetqueue_reader, tweetqueue_writer;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM tweetqueue.grant_roles();
EXCEPTION
    WHEN undefined_object OR insufficient_privilege THEN NULL; -- the administrator has yet to run it
END
$$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION tweetqueue.grant_roles;
ALTER FUNCTION tweetqueue.grant_roles_7() RENAME TO grant_roles;
CREATE OR REPLACE VIEW tweetqueue.waiting AS
SELECT 'tweet' AS kind, t.id, t.account, t.post_at AS due_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled'
            THEN tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until)
        WHEN 'unconfirmed' THEN t.next_attempt_at END AS next_attempt_at, t.error
FROM tweetqueue.tweets t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'deletion', t.id, t.account, t.delete_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled'
            THEN tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until)
        WHEN 'unconfirmed' THEN t.next_attempt_at END, t.error
FROM tweetqueue.deletions t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'retweet', t.id, t.account, t.retweet_at, t.priority, t.status, t.waiting_for,
    CASE t.status WHEN 'scheduled'
            THEN tweetqueue.next_attempt(t.waiting_for, t.wake_at, a.state_until, p.state_until)
        WHEN 'unconfirmed' THEN t.next_attempt_at END, t.error
FROM tweetqueue.retweets t
JOIN tweetqueue.accounts a ON a.username = t.account JOIN tweetqueue.apps p ON p.id = a.app_id
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed');
DROP INDEX tweetqueue.tweets_line_idx, tweetqueue.deletions_line_idx, tweetqueue.retweets_line_idx,
    tweetqueue.tweets_released_idx, tweetqueue.deletions_released_idx, tweetqueue.retweets_released_idx;
DROP TRIGGER recheck_waits ON tweetqueue.quotas;
DROP TRIGGER recheck_waits_of_none ON tweetqueue.quotas;
DROP FUNCTION tweetqueue.recheck_waits_of_none;
DROP FUNCTION tweetqueue.recheck_waits(), tweetqueue.recheck_waits(tweetqueue.quotas);
DROP TABLE tweetqueue.quota_waits;
-- What waits for a limit would not wake by itself.
UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
UPDATE tweetqueue.deletions SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
UPDATE tweetqueue.retweets SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
DROP TRIGGER set_quotas_app ON tweetqueue.accounts;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.set_quotas() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tweetqueue.quotas q
    WHERE q.account_id = NEW.id AND NOT EXISTS (SELECT FROM tweetqueue.limits l
        WHERE l.preset = NEW.limits_preset AND l.name = q.name);
    INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period)
    SELECT NEW.id, l.name, l.actions, l.maximum, l.period
    FROM tweetqueue.limits l WHERE l.preset = NEW.limits_preset
    ON CONFLICT (account_id, name) DO UPDATE
    SET actions = excluded.actions, maximum = excluded.maximum, period = excluded.period,
        -- Buckets are numbered by the period, so a new period starts a new count.
        buckets = CASE WHEN quotas.period = excluded.period THEN quotas.buckets ELSE '{}' END,
        grants = CASE WHEN quotas.period = excluded.period THEN quotas.grants ELSE '{}' END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unknown limits preset "%"', NEW.limits_preset
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_limits_preset_check',
                HINT = 'The presets are in tweetqueue.limits.';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP FUNCTION tweetqueue.limits_of_app;
DELETE FROM tweetqueue.quotas WHERE account_id IS NULL OR NOT configured;
ALTER TABLE tweetqueue.quotas
    DROP CONSTRAINT quotas_of_one_check,
    DROP CONSTRAINT quotas_others_check,
    DROP COLUMN others_until,
    DROP COLUMN others,
    DROP COLUMN x_maximum,
    DROP COLUMN others_seen,
    DROP COLUMN x_reset,
    DROP COLUMN x_used,
    DROP COLUMN rolls,
    DROP COLUMN configured,
    DROP COLUMN fixed,
    DROP COLUMN family,
    DROP COLUMN app_id,
    ALTER COLUMN account_id SET NOT NULL;
UPDATE tweetqueue.accounts SET limits_preset = 'guide'
WHERE limits_preset IN ('pay-per-use', 'pro', 'basic', 'free');
DELETE FROM tweetqueue.limits WHERE preset IN ('pay-per-use', 'pro', 'basic', 'free') OR per = 'app'
    OR actions && ARRAY['look_up', 'media'];
ALTER TABLE tweetqueue.limits
    DROP CONSTRAINT limits_family_check,
    DROP CONSTRAINT limits_per_check,
    DROP CONSTRAINT limits_actions_check,
    ADD CONSTRAINT limits_actions_check CHECK (cardinality(actions) > 0
        AND actions <@ ARRAY['post', 'retweet', 'delete', 'undo_retweet']),
    DROP COLUMN fixed,
    DROP COLUMN family,
    DROP COLUMN per;
DELETE FROM tweetqueue.schema_versions WHERE version = 8;
