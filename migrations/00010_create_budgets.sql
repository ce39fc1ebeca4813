-- River: 8. Oldest worker: 10.
--
-- Money: what X charges for each request, and what was spent in each month. Amounts are exact: millionths of a
-- dollar. A month is one of the calendar, in UTC.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (10, 8, 10);

-- X's list of prices (X's documents: pricing, since 2026-04-20), with X's names in lower case. An operator may
-- change an amount. A request is billed by its action and, of a tweet, by whether its text has a URL; a read
-- by each tweet that X returns. What X charges less for, because somebody asked for the reply, is not known here.
ALTER TABLE tweetqueue.prices
    ADD COLUMN what text NOT NULL DEFAULT '', -- X's name
    ADD COLUMN per text NOT NULL DEFAULT 'request', -- or resource: each that X returns
    ADD COLUMN action text, -- as in limits: whose requests cost this
    ADD COLUMN with_url boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT prices_per_check CHECK (per IN ('request', 'resource')),
    ADD CONSTRAINT prices_action_with_url_key UNIQUE (action, with_url);
UPDATE tweetqueue.prices SET per = 'resource',
    what = CASE name WHEN 'owned_read' THEN 'Owned read' ELSE 'Post: Read' END;
INSERT INTO tweetqueue.prices (name, what, per, action, with_url, usd) VALUES
    ('post_create', 'Post: Create', 'request', 'post', false, 0.015),
    ('post_create_with_url', 'Post: Create (with URL)', 'request', 'post', true, 0.200),
    ('content_manage', 'Content: Manage', 'request', 'delete', false, 0.005),
    ('user_interaction_create', 'User Interaction: Create', 'request', 'retweet', false, 0.015),
    -- X's two lists differ; the other one says 0.005.
    ('user_interaction_delete', 'User Interaction: Delete', 'request', 'undo_retweet', false, 0.010),
    ('media_metadata', 'Media metadata', 'request', NULL, false, 0.005);

-- Whether X makes a link of something in the text; null: nobody has looked. Without a dot there is no URL.
ALTER TABLE tweetqueue.tweets ADD COLUMN has_url boolean;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.forget_measure() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.measured := false;
    NEW.has_url := NULL;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- Those that were measured before are looked at, too. What is short and has no dot needs no look, but if it was edited
-- while it waited for a budget: now there may be money for it.
DROP INDEX tweetqueue.tweets_unmeasured_idx;
CREATE INDEX tweets_unmeasured_idx ON tweetqueue.tweets (id) WHERE status = 'scheduled'
    AND (NOT measured AND octet_length(text) > 280 OR (NOT measured OR has_url IS NULL) AND position('.' IN text) > 0
        OR has_url IS NULL AND waiting_for = 'budget');

-- What the request costs if X does what it asks for, and what it has cost, as far as is known: nothing if X
-- refused it, the price while that is in doubt.
ALTER TABLE tweetqueue.requests ADD COLUMN price_usd numeric(12, 6);

-- X bills a tweet once a day, in UTC, however often an endpoint returns it.
CREATE TABLE tweetqueue.reads (
    app_id bigint NOT NULL REFERENCES tweetqueue.apps (id) ON DELETE CASCADE,
    day date NOT NULL,
    endpoint text NOT NULL,
    tweet_id text NOT NULL,
    PRIMARY KEY (app_id, day, endpoint, tweet_id)
);
CREATE INDEX reads_day_idx ON tweetqueue.reads (day);

-- What an account's requests have cost in a month.
CREATE TABLE tweetqueue.spending (
    account_id bigint NOT NULL REFERENCES tweetqueue.accounts (id) ON DELETE CASCADE,
    month date NOT NULL, -- its first day
    spent_usd numeric(18, 6) NOT NULL DEFAULT 0,
    told smallint NOT NULL DEFAULT 0, -- of what a person was warned: 1, most of its budget is spent; 2, a row waits for it
    PRIMARY KEY (account_id, month)
);

-- What the requests of all of an app's accounts have cost in a month, while the app has a budget. Without one the
-- accounts of an app need not wait for each other.
CREATE TABLE tweetqueue.app_spending (
    app_id bigint NOT NULL REFERENCES tweetqueue.apps (id) ON DELETE CASCADE,
    month date NOT NULL,
    spent_usd numeric(18, 6) NOT NULL DEFAULT 0,
    told smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (app_id, month)
);

-- What may be spent in a month; null: any amount.
ALTER TABLE tweetqueue.accounts ADD COLUMN budget_usd numeric(12, 6),
    ADD CONSTRAINT accounts_budget_usd_check CHECK (budget_usd >= 0);
ALTER TABLE tweetqueue.apps ADD COLUMN budget_usd numeric(12, 6),
    ADD CONSTRAINT apps_budget_usd_check CHECK (budget_usd >= 0);

-- An account of which rows wait for a budget, and when these are looked at: when the month is over, or at once, for
-- a person has changed a budget or a price, or X has refused what was to be paid for.
CREATE TABLE tweetqueue.budget_waits (
    account_id bigint PRIMARY KEY REFERENCES tweetqueue.accounts (id) ON DELETE CASCADE,
    until timestamptz NOT NULL
);
CREATE INDEX budget_waits_until_idx ON tweetqueue.budget_waits (until);
CREATE INDEX tweets_budget_idx ON tweetqueue.tweets (account, priority, post_at, id)
    WHERE status = 'scheduled' AND waiting_for = 'budget';
CREATE INDEX deletions_budget_idx ON tweetqueue.deletions (account, priority, delete_at, id)
    WHERE status = 'scheduled' AND waiting_for = 'budget';
CREATE INDEX retweets_budget_idx ON tweetqueue.retweets (account, priority, retweet_at, id)
    WHERE status = 'scheduled' AND waiting_for = 'budget';
-- What was let go on, for a limit or a budget, and will cost money once it is claimed.
CREATE INDEX tweets_late_from_idx ON tweetqueue.tweets (account, wake_at)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND late_from IS NOT NULL;
CREATE INDEX deletions_late_from_idx ON tweetqueue.deletions (account, wake_at)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND late_from IS NOT NULL;
CREATE INDEX retweets_late_from_idx ON tweetqueue.retweets (account, wake_at)
    WHERE status = 'scheduled' AND waiting_for = 'time' AND late_from IS NOT NULL;

CREATE FUNCTION tweetqueue.month_of(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_trunc('month', at AT TIME ZONE 'UTC')::date;

CREATE FUNCTION tweetqueue.month_end(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (tweetqueue.month_of(at) + interval '1 month') AT TIME ZONE 'UTC';

-- What waits for a budget is looked at in the next month, if it has no deadline before that.
CREATE OR REPLACE FUNCTION tweetqueue.next_attempt(
    waiting_for text, wake_at timestamptz, account_until timestamptz, app_until timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN CASE waiting_for WHEN 'account' THEN account_until WHEN 'app' THEN app_until
    WHEN 'thread' THEN NULL WHEN 'budget' THEN least(wake_at, tweetqueue.month_end(tweetqueue.clock())) ELSE wake_at END;

-- A budget that changes is looked at at once, and warned of again. Each waits for the claims that are under way by the
-- old one: they have the month's row locked, and may be about to make rows wait. Just before the month ends, one that
-- comes before this is committed may be of the next.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.change_account_budget() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tweetqueue.spending (account_id, month)
    SELECT DISTINCT NEW.id, tweetqueue.month_of(tweetqueue.clock() + later)
    FROM unnest(ARRAY[interval '0', '1 hour']) AS later ORDER BY 2
    ON CONFLICT (account_id, month) DO UPDATE SET told = 0;
    UPDATE tweetqueue.budget_waits SET until = tweetqueue.clock() WHERE account_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER change_budget AFTER UPDATE OF budget_usd ON tweetqueue.accounts
    FOR EACH ROW WHEN (OLD.budget_usd IS DISTINCT FROM NEW.budget_usd)
    EXECUTE FUNCTION tweetqueue.change_account_budget();

-- An app's first budget counts what its accounts have spent in the month. Claims that are under way do not know of it:
-- the lock waits for them, and those that come later know.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.change_app_budget() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.budget_usd IS NULL THEN
        LOCK TABLE tweetqueue.spending IN SHARE ROW EXCLUSIVE MODE;
        INSERT INTO tweetqueue.app_spending (app_id, month, spent_usd)
        SELECT NEW.id, s.month, sum(s.spent_usd)
        FROM tweetqueue.spending s JOIN tweetqueue.accounts a ON a.id = s.account_id
        WHERE a.app_id = NEW.id GROUP BY s.month
        -- A claim that was under way when the last budget was removed may have left a row.
        ON CONFLICT (app_id, month) DO UPDATE SET spent_usd = excluded.spent_usd, told = 0;
    ELSE
        INSERT INTO tweetqueue.app_spending (app_id, month)
        SELECT DISTINCT NEW.id, tweetqueue.month_of(tweetqueue.clock() + later)
        FROM unnest(ARRAY[interval '0', '1 hour']) AS later ORDER BY 2
        ON CONFLICT (app_id, month) DO UPDATE SET told = 0;
    END IF;
    IF NEW.budget_usd IS NULL THEN
        DELETE FROM tweetqueue.app_spending WHERE app_id = NEW.id;
    END IF;
    UPDATE tweetqueue.budget_waits SET until = tweetqueue.clock()
    WHERE account_id IN (SELECT id FROM tweetqueue.accounts WHERE app_id = NEW.id);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER change_budget AFTER UPDATE OF budget_usd ON tweetqueue.apps
    FOR EACH ROW WHEN (OLD.budget_usd IS DISTINCT FROM NEW.budget_usd)
    EXECUTE FUNCTION tweetqueue.change_app_budget();

-- With a new price there may be money for what waits. The lock waits for the claims that are under way by the old one.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.change_price() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE tweetqueue.spending IN SHARE ROW EXCLUSIVE MODE;
    UPDATE tweetqueue.budget_waits SET until = tweetqueue.clock();
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER change_price AFTER UPDATE OF usd ON tweetqueue.prices
    FOR EACH ROW WHEN (OLD.usd IS DISTINCT FROM NEW.usd)
    EXECUTE FUNCTION tweetqueue.change_price();

-- The user who owns the app at X: what they read of their own timeline costs less. X's API does not tell.
ALTER TABLE tweetqueue.apps ADD COLUMN owner_x_user_id text,
    ADD CONSTRAINT apps_owner_x_user_id_check CHECK (tweetqueue.is_x_id(owner_x_user_id));

-- grant_roles grants what came since, too.
ALTER FUNCTION tweetqueue.grant_roles() RENAME TO grant_roles_8;
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.grant_roles_8();
    GRANT SELECT ON tweetqueue.spending, tweetqueue.app_spending, tweetqueue.budget_waits
        TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (price_usd) ON tweetqueue.requests TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (budget_usd) ON tweetqueue.accounts TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (budget_usd, owner_x_user_id) ON tweetqueue.apps TO tweetqueue_reader, tweetqueue_writer;
    GRANT EXECUTE ON FUNCTION tweetqueue.month_of(timestamptz), tweetqueue.month_end(timestamptz),
        tweetqueue.next_attempt(text, timestamptz, timestamptz, timestamptz)
        TO tweetqueue_reader, tweetqueue_writer;
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
ALTER FUNCTION tweetqueue.grant_roles_8() RENAME TO grant_roles;
DROP TRIGGER change_budget ON tweetqueue.accounts;
DROP TRIGGER change_budget ON tweetqueue.apps;
DROP TRIGGER change_price ON tweetqueue.prices;
DROP FUNCTION tweetqueue.change_account_budget, tweetqueue.change_app_budget, tweetqueue.change_price;
ALTER TABLE tweetqueue.accounts DROP COLUMN budget_usd;
ALTER TABLE tweetqueue.apps DROP COLUMN owner_x_user_id, DROP COLUMN budget_usd;
CREATE OR REPLACE FUNCTION tweetqueue.next_attempt(
    waiting_for text, wake_at timestamptz, account_until timestamptz, app_until timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE waiting_for WHEN 'account' THEN account_until WHEN 'app' THEN app_until
    WHEN 'thread' THEN NULL ELSE wake_at END;
DROP FUNCTION tweetqueue.month_end, tweetqueue.month_of;
-- Nothing would wake what waits for a budget.
UPDATE tweetqueue.tweets SET waiting_for = 'time', next_attempt_at = NULL
WHERE status = 'scheduled' AND waiting_for = 'budget';
UPDATE tweetqueue.deletions SET waiting_for = 'time', next_attempt_at = NULL
WHERE status = 'scheduled' AND waiting_for = 'budget';
UPDATE tweetqueue.retweets SET waiting_for = 'time', next_attempt_at = NULL
WHERE status = 'scheduled' AND waiting_for = 'budget';
DROP INDEX tweetqueue.tweets_budget_idx, tweetqueue.deletions_budget_idx, tweetqueue.retweets_budget_idx,
    tweetqueue.tweets_late_from_idx, tweetqueue.deletions_late_from_idx, tweetqueue.retweets_late_from_idx;
DROP TABLE tweetqueue.budget_waits, tweetqueue.app_spending, tweetqueue.spending, tweetqueue.reads;
ALTER TABLE tweetqueue.requests DROP COLUMN price_usd;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.forget_measure() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.measured := false;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
ALTER TABLE tweetqueue.tweets DROP COLUMN has_url; -- and with it the index
CREATE INDEX tweets_unmeasured_idx ON tweetqueue.tweets (id) WHERE status = 'scheduled' AND NOT measured;
DELETE FROM tweetqueue.prices WHERE per = 'request';
ALTER TABLE tweetqueue.prices
    DROP CONSTRAINT prices_action_with_url_key,
    DROP COLUMN with_url,
    DROP COLUMN action,
    DROP COLUMN per,
    DROP COLUMN what;
DELETE FROM tweetqueue.schema_versions WHERE version = 10;
