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
    ADD COLUMN built_in boolean NOT NULL DEFAULT false, -- of a preset that is not one's own
    DROP CONSTRAINT limits_actions_check,
    DROP CONSTRAINT limits_period_check,
    ADD CONSTRAINT limits_actions_check CHECK (cardinality(actions) > 0
        AND actions <@ ARRAY['post', 'retweet', 'undo_retweet', 'delete', 'look_up', 'media']),
    ADD CONSTRAINT limits_per_check CHECK (per IN ('user', 'app')),
    ADD CONSTRAINT limits_family_check CHECK (family IN ('endpoint', 'user_24hour', 'app_24hour'));
UPDATE tweetqueue.limits SET family = 'endpoint', built_in = preset = 'guide';
-- A request takes seconds to arrive, and its place must outlast that. What was shorter before stays.
ALTER TABLE tweetqueue.limits
    ADD CONSTRAINT limits_period_check CHECK (period BETWEEN interval '1 minute' AND interval '366 days') NOT VALID;

-- X's plans (X's documents: rate-limits, of 2024 to 2026). A preset of one's own that is called as one of them stays as it is.
INSERT INTO tweetqueue.limits (preset, name, per, family, actions, maximum, period, built_in)
SELECT plan.preset, plan.name, plan.per, plan.family, plan.actions::text[], plan.maximum, plan.period::interval, true FROM (VALUES
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
) AS plan (preset, name, per, family, actions, maximum, period)
WHERE NOT EXISTS (SELECT FROM tweetqueue.limits l WHERE l.preset = plan.preset);

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
    ADD COLUMN told_at timestamptz NOT NULL DEFAULT tweetqueue.clock(), -- when X's headers last told of one that is not configured
    ADD CONSTRAINT quotas_of_one_check CHECK (num_nonnulls(account_id, app_id) = 1),
    ADD CONSTRAINT quotas_app_id_name_key UNIQUE (app_id, name),
    ADD CONSTRAINT quotas_x_maximum_check CHECK (x_maximum > 0),
    ADD CONSTRAINT quotas_others_check CHECK (others >= 0 AND (others = 0 OR others_until IS NOT NULL));
UPDATE tweetqueue.quotas SET family = 'endpoint';

-- So many it takes of each window that counts it: the pages of a look-up; none if it certainly did not reach X.
ALTER TABLE tweetqueue.requests ADD COLUMN places integer NOT NULL DEFAULT 1 CHECK (places >= 0);
UPDATE tweetqueue.requests SET places = 0 WHERE outcome = 'not_sent';
-- Finds the latest requests of an account.
CREATE INDEX requests_account_id_idx ON tweetqueue.requests (account_id, granted_at);

-- How long a bucket of a window is, in microseconds.
CREATE FUNCTION tweetqueue.bucket_width(period interval) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(1, (extract(epoch FROM period) * 1000000)::bigint / 256);

CREATE FUNCTION tweetqueue.microseconds(timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM $1) * 1000000)::bigint;

-- The account, or those of the app. (With an OR each account would read all of them.)
CREATE FUNCTION tweetqueue.accounts_of(account bigint, app bigint) RETURNS bigint[]
LANGUAGE sql STABLE
RETURN CASE WHEN account IS NOT NULL THEN ARRAY[account]
    ELSE ARRAY(SELECT a.id FROM tweetqueue.accounts a WHERE a.app_id = app) END;

-- When requests of these actions that an account, or an app, has made since an instant have arrived at X, or will have by
-- the latest, and how many places they take.
CREATE FUNCTION tweetqueue.requests_since(since timestamptz, account bigint, app bigint, actions text[])
RETURNS TABLE (at bigint, places integer) -- at: microseconds since the epoch
LANGUAGE sql STABLE
AS $$
    SELECT tweetqueue.microseconds(CASE WHEN r.status_code IS NULL THEN greatest(r.send_by, r.answered_at) ELSE r.answered_at END), r.places
    FROM tweetqueue.requests r
    WHERE r.account_id = ANY (tweetqueue.accounts_of(account, app))
        AND r.granted_at > since - interval '5 minutes' -- longer than a request is under way
        AND r.places > 0 AND CASE r.kind
            WHEN 'post_tweet' THEN 'post'
            WHEN 'delete_tweet' THEN CASE WHEN EXISTS (SELECT FROM tweetqueue.deletions d WHERE d.id = r.row_id AND d.retweet)
                THEN 'undo_retweet' ELSE 'delete' END
            ELSE r.kind END = ANY (actions)
$$;

-- What a window counts that is new, or gets other actions or another period: all that was sent in it. (Also more than it has places
-- for, which it may get.) What it counted says not of which actions that was, nor, in buckets of another period, when.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.count_quota() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since CONSTANT timestamptz := tweetqueue.clock() - NEW.period;
    width CONSTANT bigint := tweetqueue.bucket_width(NEW.period);
BEGIN
    SELECT coalesce(array_agg(c.bucket ORDER BY c.bucket), '{}'), coalesce(array_agg(c.places ORDER BY c.bucket), '{}')
    INTO NEW.buckets, NEW.grants
    FROM (
        SELECT r.at / width AS bucket, sum(r.places) AS places
        FROM tweetqueue.requests_since(since, NEW.account_id, NEW.app_id, NEW.actions) r
        GROUP BY 1 HAVING (r.at / width + 1) * width > tweetqueue.microseconds(since) -- what ended by then counts no more
    ) c;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER count_quota_insert BEFORE INSERT ON tweetqueue.quotas
    FOR EACH ROW WHEN (NEW.buckets = '{}') EXECUTE FUNCTION tweetqueue.count_quota();
CREATE TRIGGER count_quota_update BEFORE UPDATE OF actions, period ON tweetqueue.quotas
    FOR EACH ROW WHEN ((OLD.actions, OLD.period) IS DISTINCT FROM (NEW.actions, NEW.period) AND OLD.buckets = NEW.buckets)
    EXECUTE FUNCTION tweetqueue.count_quota();

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

-- The windows that accounts and apps have.
CREATE FUNCTION tweetqueue.quotas_of(accounts bigint[], apps bigint[]) RETURNS SETOF tweetqueue.quotas
LANGUAGE sql STABLE
AS $$
    SELECT q.* FROM unnest(accounts) AS a (id) JOIN tweetqueue.quotas q ON q.account_id = a.id
    UNION ALL SELECT q.* FROM unnest(apps) AS app (id) JOIN tweetqueue.quotas q ON q.app_id = app.id
$$;

-- The windows that they are to have, and the id of those that they have.
CREATE FUNCTION tweetqueue.limits_of(accounts bigint[], apps bigint[]) RETURNS TABLE (id bigint, account_id bigint, app_id bigint,
    name text, family text, fixed boolean, actions text[], maximum integer, period interval)
LANGUAGE sql STABLE
AS $$
    SELECT q.id, a.id, NULL::bigint, l.name, l.family, l.fixed, l.actions, l.maximum, l.period
    FROM unnest(accounts) AS given (id) JOIN tweetqueue.accounts a USING (id)
    JOIN tweetqueue.limits l ON l.preset = a.limits_preset AND l.per = 'user'
    LEFT JOIN tweetqueue.quotas q ON q.account_id = a.id AND q.name = l.name
    UNION ALL
    SELECT q.id, NULL, app.id, l.name, l.family, l.fixed, l.actions, l.maximum, l.period
    FROM unnest(apps) AS app (id) CROSS JOIN LATERAL tweetqueue.limits_of_app(app.id) l
    LEFT JOIN tweetqueue.quotas q ON q.app_id = app.id AND q.name = l.name
$$;

-- Gives accounts and apps the windows of the accounts' presets, as they are now. What X told of a window of another family or
-- length does not hold for the new one, nor does a maximum that X told when another was configured, nor that a
-- smaller one was exhausted.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.set_quotas(accounts bigint[], apps bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown CONSTANT text := (SELECT a.limits_preset FROM unnest(accounts) AS given (id) JOIN tweetqueue.accounts a USING (id)
        WHERE NOT EXISTS (SELECT FROM tweetqueue.limits l WHERE l.preset = a.limits_preset) LIMIT 1);
    -- Whose claims a window of an app counts that is new: it must see those that are under way, and they it.
    counted CONSTANT bigint[] := accounts || ARRAY(SELECT a.id FROM tweetqueue.accounts a
        WHERE a.app_id IN (SELECT l.app_id FROM tweetqueue.limits_of(accounts, apps) l WHERE l.id IS NULL AND l.app_id IS NOT NULL));
BEGIN
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown limits preset "%"', unknown
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_limits_preset_check',
                HINT = 'The presets are in tweetqueue.limits.';
    END IF;
    -- A claim locks them in this order, too.
    PERFORM FROM tweetqueue.quotas q WHERE q.id IN (SELECT id FROM tweetqueue.quotas_of(counted, apps))
    ORDER BY q.app_id IS NOT NULL, q.id FOR UPDATE;
    -- What only X's headers told of an account belongs to the plan before.
    DELETE FROM tweetqueue.quotas q
    WHERE q.id IN (SELECT id FROM tweetqueue.quotas_of(accounts, apps)) AND (q.account_id IS NOT NULL OR q.configured)
        AND NOT EXISTS (SELECT FROM tweetqueue.limits_of(accounts, apps) l WHERE l.id = q.id);
    UPDATE tweetqueue.quotas q SET family = l.family, fixed = l.fixed, configured = true,
        actions = l.actions, maximum = l.maximum, period = l.period,
        x_maximum = CASE WHEN l.other OR q.maximum <> l.maximum THEN NULL ELSE q.x_maximum END,
        blocked_until = CASE WHEN l.other OR q.maximum < l.maximum THEN NULL ELSE q.blocked_until END,
        others = CASE WHEN l.other THEN 0 ELSE q.others END,
        others_until = CASE WHEN l.other THEN NULL ELSE q.others_until END,
        others_seen = CASE WHEN l.other THEN NULL ELSE q.others_seen END,
        x_reset = CASE WHEN l.other THEN NULL ELSE q.x_reset END,
        x_used = CASE WHEN l.other THEN 0 ELSE q.x_used END,
        rolls = NOT l.other AND q.rolls
    FROM (SELECT l.*, (w.family, w.period) IS DISTINCT FROM (l.family, l.period) AS other
        FROM tweetqueue.limits_of(accounts, apps) l JOIN tweetqueue.quotas w USING (id)) l
    WHERE q.id = l.id AND (q.family, q.fixed, q.configured, q.actions, q.maximum, q.period)
        IS DISTINCT FROM (l.family, l.fixed, true, l.actions, l.maximum, l.period);
    INSERT INTO tweetqueue.quotas (account_id, app_id, name, family, fixed, actions, maximum, period)
    SELECT l.account_id, l.app_id, l.name, l.family, l.fixed, l.actions, l.maximum, l.period
    FROM tweetqueue.limits_of(accounts, apps) l
    WHERE l.id IS NULL ORDER BY l.app_id, l.account_id, l.period, l.maximum DESC, l.name
    ON CONFLICT DO NOTHING;
    UPDATE tweetqueue.quota_waits w SET until = tweetqueue.clock() FROM unnest(accounts) AS given (id) WHERE w.account_id = given.id;
END
$$;
-- +goose StatementEnd

-- Accounts that are new, or have got another preset or another app, and the apps that they had and have: once for all
-- that a statement changes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.set_quotas() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    accounts bigint[];
    apps bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.id), array_agg(DISTINCT n.app_id) INTO accounts, apps FROM new_rows n;
    ELSE
        SELECT array_agg(DISTINCT c.id), array_agg(DISTINCT c.app_id) INTO accounts, apps FROM ( -- a join may be planned for few
            (SELECT id, app_id, limits_preset FROM new_rows EXCEPT SELECT id, app_id, limits_preset FROM old_rows) UNION ALL
            (SELECT id, app_id, limits_preset FROM old_rows EXCEPT SELECT id, app_id, limits_preset FROM new_rows)) c;
    END IF;
    IF accounts <> '{}' THEN
        PERFORM tweetqueue.set_quotas(accounts, apps);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP TRIGGER set_quotas_insert ON tweetqueue.accounts;
DROP TRIGGER set_quotas_update ON tweetqueue.accounts;
CREATE TRIGGER set_quotas_insert AFTER INSERT ON tweetqueue.accounts
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.set_quotas();
CREATE TRIGGER set_quotas_update AFTER UPDATE ON tweetqueue.accounts
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.set_quotas();

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
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.recheck_waits(q tweetqueue.quotas) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tweetqueue.quota_waits w WHERE w.account_id = ANY (tweetqueue.accounts_of(q.account_id, q.app_id))) THEN
        RETURN; -- mostly, where a preset changes the windows of many accounts
    END IF;
    UPDATE tweetqueue.quota_waits SET until = tweetqueue.clock() WHERE (account_id, action) IN (
        SELECT w.account_id, w.action FROM tweetqueue.quota_waits w
        WHERE w.account_id = ANY (tweetqueue.accounts_of(q.account_id, q.app_id))
            AND w.action = ANY (q.actions) AND w.until > tweetqueue.clock()
        ORDER BY w.account_id, w.action FOR NO KEY UPDATE);
END
$$;
-- +goose StatementEnd

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
DROP TRIGGER recheck_waits ON tweetqueue.quotas; DROP TRIGGER recheck_waits_of_none ON tweetqueue.quotas;
DROP FUNCTION tweetqueue.recheck_waits_of_none, tweetqueue.recheck_waits(), tweetqueue.recheck_waits(tweetqueue.quotas);
DROP TABLE tweetqueue.quota_waits;
-- What waits for a limit would not wake by itself.
UPDATE tweetqueue.tweets SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
UPDATE tweetqueue.deletions SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
UPDATE tweetqueue.retweets SET next_attempt_at = NULL WHERE status = 'scheduled' AND waiting_for = 'quota';
DROP TRIGGER set_quotas_insert ON tweetqueue.accounts; DROP TRIGGER set_quotas_update ON tweetqueue.accounts;
CREATE TRIGGER set_quotas_insert AFTER INSERT ON tweetqueue.accounts
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.set_quotas();
CREATE TRIGGER set_quotas_update AFTER UPDATE OF limits_preset ON tweetqueue.accounts
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.set_quotas();
DROP FUNCTION tweetqueue.set_quotas(bigint[], bigint[]), tweetqueue.limits_of, tweetqueue.quotas_of;
DROP TRIGGER count_quota_insert ON tweetqueue.quotas; DROP TRIGGER count_quota_update ON tweetqueue.quotas;
DROP FUNCTION tweetqueue.count_quota, tweetqueue.requests_since, tweetqueue.accounts_of, tweetqueue.microseconds,
    tweetqueue.bucket_width;
DROP INDEX tweetqueue.requests_account_id_idx;
ALTER TABLE tweetqueue.requests DROP COLUMN places;
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
    DROP COLUMN others, DROP COLUMN others_until, DROP COLUMN others_seen, DROP COLUMN x_maximum, DROP COLUMN x_reset, DROP COLUMN x_used,
    DROP COLUMN rolls, DROP COLUMN told_at, DROP COLUMN configured, DROP COLUMN fixed, DROP COLUMN family, DROP COLUMN app_id,
    ALTER COLUMN account_id SET NOT NULL;
DELETE FROM tweetqueue.limits WHERE built_in AND preset <> 'guide' OR per = 'app' OR actions && ARRAY['look_up', 'media'];
UPDATE tweetqueue.accounts a SET limits_preset = 'guide'
WHERE NOT EXISTS (SELECT FROM tweetqueue.limits l WHERE l.preset = a.limits_preset);
ALTER TABLE tweetqueue.limits
    DROP CONSTRAINT limits_family_check,
    DROP CONSTRAINT limits_per_check,
    DROP CONSTRAINT limits_actions_check,
    ADD CONSTRAINT limits_actions_check CHECK (cardinality(actions) > 0
        AND actions <@ ARRAY['post', 'retweet', 'delete', 'undo_retweet']),
    DROP CONSTRAINT limits_period_check,
    ADD CONSTRAINT limits_period_check CHECK (period > interval '0'),
    DROP COLUMN built_in, DROP COLUMN fixed, DROP COLUMN family, DROP COLUMN per;
DELETE FROM tweetqueue.schema_versions WHERE version = 8;
