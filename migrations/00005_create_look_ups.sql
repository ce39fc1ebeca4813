-- River: 8. Oldest worker: 5.
--
-- What settles a doubt. A row that is unconfirmed has a job, too, which looks it up on X, for as long as
-- it has a next_attempt_at; without one a person decides. While a tweet of an account is looked up,
-- the account's next one waits.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (5, 8, 5);

-- A request that reads: one for all rows of an account that are in doubt.
ALTER TABLE tweetqueue.requests
    ALTER COLUMN row_id DROP NOT NULL,
    ADD COLUMN looked_for bigint[], -- the rows that a look-up looks for
    ADD COLUMN cost_usd numeric(12, 6), -- null: not known
    ADD COLUMN x_at timestamptz, -- of a look-up: X's clock when it answered
    DROP CONSTRAINT requests_kind_check,
    ADD CONSTRAINT requests_kind_check CHECK (kind IN ('post_tweet', 'delete_tweet', 'look_up')),
    ADD CONSTRAINT requests_looked_for_check CHECK ((kind = 'look_up') = (row_id IS NULL)
        AND (kind = 'look_up') = (looked_for IS NOT NULL));
CREATE INDEX requests_looked_for_idx ON tweetqueue.requests USING gin (looked_for)
    WHERE looked_for IS NOT NULL;

-- What X charges for each tweet that it returns (X's documents: pricing).
CREATE TABLE tweetqueue.prices (
    name text PRIMARY KEY,
    usd numeric(12, 6) NOT NULL,
    CONSTRAINT prices_usd_check CHECK (usd >= 0)
);
INSERT INTO tweetqueue.prices (name, usd) VALUES
    ('owned_read', 0.001), -- a tweet of the user's own timeline
    ('post_read', 0.005); -- any other tweet

-- The accounts that the app's latest requests left in doubt, one after another and without an answer
-- between them. As many as to be an outage of X pause it: see the worker.
ALTER TABLE tweetqueue.apps ADD COLUMN doubted bigint[] NOT NULL DEFAULT '{}';

-- Its doubt is settled: a worker wakes what waited for its account.
ALTER TABLE tweetqueue.tweets ADD COLUMN wake_account boolean NOT NULL DEFAULT false,
    -- Since when it is late, if not since post_at: it had to wait for a limit until then, or a person
    -- scheduled it again.
    ADD COLUMN late_from timestamptz;
ALTER TABLE tweetqueue.deletions ADD COLUMN late_from timestamptz; -- as in tweets
CREATE INDEX tweets_wake_account_idx ON tweetqueue.tweets (id) WHERE wake_account;
-- The doubts of an account.
CREATE INDEX tweets_doubt_idx ON tweetqueue.tweets (account) WHERE status IN ('sending', 'unconfirmed');
CREATE INDEX deletions_doubt_idx ON tweetqueue.deletions (account)
    WHERE status IN ('sending', 'unconfirmed');
-- The sweep looks for those that lost their jobs, too.
DROP INDEX tweetqueue.tweets_wake_at_idx, tweetqueue.deletions_wake_at_idx;
CREATE INDEX tweets_wake_at_idx ON tweetqueue.tweets (wake_at)
    WHERE status = 'scheduled' OR (status = 'unconfirmed' AND next_attempt_at IS NOT NULL);
CREATE INDEX deletions_wake_at_idx ON tweetqueue.deletions (wake_at)
    WHERE status = 'scheduled' OR (status = 'unconfirmed' AND next_attempt_at IS NOT NULL);

-- Gives an unconfirmed row its wake-up, as park does for a scheduled one. Doubts are few, so it may be
-- row-level. Argument: the job's kind and queue.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.park_look_up() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tweetqueue.river_job j SET scheduled_at = NEW.wake_at
    WHERE j.state = 'pending' AND (j.args ->> 'row_id')::bigint = NEW.id;
    IF NOT FOUND THEN
        INSERT INTO tweetqueue.river_job
            (args, kind, max_attempts, priority, queue, scheduled_at, state)
        VALUES (jsonb_build_object('row_id', NEW.id), TG_ARGV[0], 32767, NEW.priority, TG_ARGV[1],
            NEW.wake_at, 'pending');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER b_park_look_up AFTER UPDATE OF status, next_attempt_at ON tweetqueue.tweets
    FOR EACH ROW WHEN (NEW.status = 'unconfirmed' AND NEW.next_attempt_at IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.park_look_up('post_tweet', 'tweets');
CREATE TRIGGER b_park_look_up AFTER UPDATE OF status, next_attempt_at ON tweetqueue.deletions
    FOR EACH ROW WHEN (NEW.status = 'unconfirmed' AND NEW.next_attempt_at IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.park_look_up('delete_tweet', 'deletions');

-- A doubt ends when the row gets a status that is certain, or when nothing more is looked up by itself.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.mark_account() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.wake_account := true;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER a_mark_account BEFORE UPDATE OF status, next_attempt_at ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status = 'unconfirmed' AND OLD.next_attempt_at IS NOT NULL
        AND (NEW.status <> 'unconfirmed' OR NEW.next_attempt_at IS NULL))
    EXECUTE FUNCTION tweetqueue.mark_account();

-- Rows that were in doubt when nothing looked them up: they are looked up now. Where X's answer is known
-- and could not be recorded on the row, a person decides.
UPDATE tweetqueue.tweets t SET next_attempt_at = tweetqueue.clock() WHERE status = 'unconfirmed'
    AND EXISTS (SELECT FROM tweetqueue.requests r
        WHERE r.id = t.request_id AND (r.outcome IS NULL OR r.outcome = 'unconfirmed'));
UPDATE tweetqueue.deletions t SET next_attempt_at = tweetqueue.clock() WHERE status = 'unconfirmed'
    AND EXISTS (SELECT FROM tweetqueue.requests r
        WHERE r.id = t.request_id AND (r.outcome IS NULL OR r.outcome = 'unconfirmed'));

CREATE OR REPLACE VIEW tweetqueue.waiting AS
SELECT 'tweet' AS kind, id, account, post_at AS due_at, priority, status, waiting_for,
    CASE status WHEN 'scheduled' THEN wake_at WHEN 'unconfirmed' THEN next_attempt_at END
        AS next_attempt_at, error
FROM tweetqueue.tweets
WHERE status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'deletion', id, account, delete_at, priority, status, waiting_for,
    CASE status WHEN 'scheduled' THEN wake_at WHEN 'unconfirmed' THEN next_attempt_at END, error
FROM tweetqueue.deletions
WHERE status IN ('scheduled', 'sending', 'unconfirmed');

-- How late a tweet is that a person schedules again counts from there.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.reset_waiting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.next_attempt_at := NULL;
    NEW.waiting_for := CASE WHEN NEW.status = 'scheduled' THEN 'time' END;
    NEW.error := NULL;
    NEW.retries := 0;
    NEW.late_from := tweetqueue.clock();
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- A hold that a person sets lasts until a person ends it: an end that an earlier hold has left behind would
-- let the next row go as its probe. What is active has neither a reason nor an end.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.set_hold() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.state_until := NULL;
    IF NEW.state = 'active' THEN
        NEW.state_reason := NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER set_hold BEFORE UPDATE OF state, state_reason ON tweetqueue.accounts
    FOR EACH ROW WHEN (NEW.state = 'active'
        OR ((NEW.state, NEW.state_reason) IS DISTINCT FROM (OLD.state, OLD.state_reason)
            AND NEW.state_until IS NOT DISTINCT FROM OLD.state_until))
    EXECUTE FUNCTION tweetqueue.set_hold();
CREATE TRIGGER set_hold BEFORE UPDATE OF state, state_reason ON tweetqueue.apps
    FOR EACH ROW WHEN (NEW.state = 'active'
        OR ((NEW.state, NEW.state_reason) IS DISTINCT FROM (OLD.state, OLD.state_reason)
            AND NEW.state_until IS NOT DISTINCT FROM OLD.state_until))
    EXECUTE FUNCTION tweetqueue.set_hold();

-- grant_roles grants what came since, too.
ALTER FUNCTION tweetqueue.grant_roles() RENAME TO grant_roles_4;
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.grant_roles_4();
    GRANT SELECT (looked_for, cost_usd, x_at) ON tweetqueue.requests
        TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (doubted) ON tweetqueue.apps TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT ON tweetqueue.prices TO tweetqueue_reader, tweetqueue_writer;
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
ALTER FUNCTION tweetqueue.grant_roles_4() RENAME TO grant_roles;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.reset_waiting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.next_attempt_at := NULL;
    NEW.waiting_for := CASE WHEN NEW.status = 'scheduled' THEN 'time' END;
    NEW.error := NULL;
    NEW.retries := 0;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE VIEW tweetqueue.waiting AS
SELECT 'tweet' AS kind, id, account, post_at AS due_at, priority, status, waiting_for,
    CASE WHEN status = 'scheduled' THEN wake_at END AS next_attempt_at, error
FROM tweetqueue.tweets
WHERE status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'deletion', id, account, delete_at, priority, status, waiting_for,
    CASE WHEN status = 'scheduled' THEN wake_at END, error
FROM tweetqueue.deletions
WHERE status IN ('scheduled', 'sending', 'unconfirmed');
DROP TRIGGER set_hold ON tweetqueue.accounts;
DROP TRIGGER set_hold ON tweetqueue.apps;
DROP FUNCTION tweetqueue.set_hold;
DROP TRIGGER b_park_look_up ON tweetqueue.tweets;
DROP TRIGGER b_park_look_up ON tweetqueue.deletions;
DROP TRIGGER a_mark_account ON tweetqueue.tweets;
DROP FUNCTION tweetqueue.park_look_up, tweetqueue.mark_account;
DROP INDEX tweetqueue.tweets_wake_at_idx, tweetqueue.deletions_wake_at_idx,
    tweetqueue.tweets_wake_account_idx, tweetqueue.tweets_doubt_idx, tweetqueue.deletions_doubt_idx;
CREATE INDEX tweets_wake_at_idx ON tweetqueue.tweets (wake_at) WHERE status = 'scheduled';
CREATE INDEX deletions_wake_at_idx ON tweetqueue.deletions (wake_at) WHERE status = 'scheduled';
ALTER TABLE tweetqueue.tweets DROP COLUMN wake_account, DROP COLUMN late_from;
ALTER TABLE tweetqueue.deletions DROP COLUMN late_from;
ALTER TABLE tweetqueue.apps DROP COLUMN doubted;
DROP TABLE tweetqueue.prices;
-- A look-up changes nothing on X; what was written for a row stays.
DELETE FROM tweetqueue.requests WHERE kind = 'look_up';
DROP INDEX tweetqueue.requests_looked_for_idx;
ALTER TABLE tweetqueue.requests
    DROP CONSTRAINT requests_looked_for_check,
    DROP CONSTRAINT requests_kind_check,
    ADD CONSTRAINT requests_kind_check CHECK (kind IN ('post_tweet', 'delete_tweet')),
    DROP COLUMN x_at,
    DROP COLUMN cost_usd,
    DROP COLUMN looked_for,
    ALTER COLUMN row_id SET NOT NULL;
DELETE FROM tweetqueue.schema_versions WHERE version = 5;
