-- River: 8. Oldest worker: 9.
--
-- A row that acts on a tweet goes on naming that tweet once X may have acted on it; what an account had retweeted
-- before is not a row's to undo; and a worker that is too old for the database loses its lease, which lets it send.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (9, 8, 9);

-- The newest migration that the worker knows; null: an older one than this.
ALTER TABLE tweetqueue.workers ADD COLUMN knows integer;

-- A worker compares itself with the database when it starts. This is for one that runs on beside a migration: it
-- can neither renew its lease nor get another. Runs as the owner, whoever the worker is.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.check_worker() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest CONSTANT integer := (SELECT max(oldest_worker) FROM tweetqueue.schema_versions);
BEGIN
    IF coalesce(NEW.knows, 0) < oldest THEN
        RAISE EXCEPTION 'the worker % is too old for the database, which needs one that knows migration %: stop it and start a newer one',
            NEW.name, oldest
            USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = 'workers',
                CONSTRAINT = 'workers_knows_check';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER a_check_worker BEFORE INSERT OR UPDATE OF renewed_at ON tweetqueue.workers
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.check_worker();

-- Whether a request for a row has taken effect on X, or may have.
CREATE FUNCTION tweetqueue.may_have_taken_effect(bigint) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM tweetqueue.requests r WHERE r.row_id = $1
    AND (r.outcome IS NULL OR r.outcome IN ('unconfirmed', 'repeat', 'done')));

-- Else the row would answer for a tweet that its request was not about, and nobody for the one that it was. (A
-- tweet's own words may change: which tweet X made of them is told by its id.) Runs as the owner, for an
-- application may not read all of the requests.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.refuse_other_tweet() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tweetqueue.may_have_taken_effect(OLD.id) THEN
        RAISE EXCEPTION '% % was sent to X, which may have acted on tweet %: for another tweet write another row, and cancel this one if it is not to go on',
            TG_TABLE_NAME, OLD.id, OLD.tweet_id
            USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = TG_TABLE_NAME,
                COLUMN = 'tweet_id', CONSTRAINT = TG_TABLE_NAME || '_tweet_id_immutable';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER a_refuse_other_tweet BEFORE UPDATE OF tweet_id ON tweetqueue.retweets
    FOR EACH ROW WHEN (OLD.tweet_id <> NEW.tweet_id AND OLD.request_id IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.refuse_other_tweet();
CREATE TRIGGER a_refuse_other_tweet BEFORE UPDATE OF tweet_id, retweet ON tweetqueue.deletions
    FOR EACH ROW WHEN ((OLD.tweet_id, OLD.retweet) IS DISTINCT FROM (NEW.tweet_id, NEW.retweet)
        AND OLD.request_id IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.refuse_other_tweet();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.schedule_undo() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Only what this row has retweeted: the account's own retweet of before stays.
    IF NOT EXISTS (SELECT FROM tweetqueue.requests r
        WHERE r.id = NEW.request_id AND r.outcome = 'already')
    THEN
        INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at, retweet)
        VALUES (NEW.account, NEW.tweet_id, NEW.retweeted_at + NEW.undo_after, true);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- The rows of an account: to list them, and to rename it.
CREATE INDEX retweets_account_idx ON tweetqueue.retweets (account);

-- For what came since.
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

DROP INDEX tweetqueue.retweets_account_idx;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tweetqueue.schedule_undo() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at, retweet)
    VALUES (NEW.account, NEW.tweet_id, NEW.retweeted_at + NEW.undo_after, true);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP TRIGGER a_refuse_other_tweet ON tweetqueue.deletions;
DROP TRIGGER a_refuse_other_tweet ON tweetqueue.retweets;
DROP FUNCTION tweetqueue.refuse_other_tweet;
DROP FUNCTION tweetqueue.may_have_taken_effect;
DROP TRIGGER a_check_worker ON tweetqueue.workers;
DROP FUNCTION tweetqueue.check_worker;
ALTER TABLE tweetqueue.workers DROP COLUMN knows;
DELETE FROM tweetqueue.schema_versions WHERE version = 9;
