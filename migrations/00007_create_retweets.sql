-- River: 8. Oldest worker: 7.
--
-- One row is one retweet. It goes the way of a tweet and of a deletion, with the same triggers. What undoes a
-- retweet is a row of deletions that says so: it takes something off X at a time, as any other there.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (7, 8, 7);

CREATE TABLE tweetqueue.retweets (
    id bigint PRIMARY KEY DEFAULT nextval('tweetqueue.row_ids'),

    -- An application writes these.
    account text COLLATE tweetqueue.username NOT NULL,
    tweet_id text NOT NULL, -- the tweet that is retweeted, anybody's; the retweet's own id is in requests.answer
    retweet_at timestamptz NOT NULL DEFAULT tweetqueue.clock(), -- past means now
    undo_after interval, -- how long it stays on X
    priority smallint NOT NULL DEFAULT 2,
    metadata jsonb,

    -- The worker writes these; each as in tweets.
    status text NOT NULL DEFAULT 'scheduled',
    waiting_for text DEFAULT 'time',
    next_attempt_at timestamptz,
    retweeted_at timestamptz,
    error text,
    warnings text[] NOT NULL DEFAULT '{}',
    retries integer NOT NULL DEFAULT 0,
    request_id bigint,
    late_from timestamptz,
    created_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    wake_at timestamptz NOT NULL
        GENERATED ALWAYS AS (greatest(retweet_at, next_attempt_at)) STORED,

    CONSTRAINT retweets_account_fkey FOREIGN KEY (account)
        REFERENCES tweetqueue.accounts (username) ON UPDATE CASCADE,
    CONSTRAINT retweets_account_check CHECK (octet_length(account) <= 20),
    CONSTRAINT retweets_retweet_at_check
        CHECK (retweet_at >= '1970-01-01 00:00+00' AND retweet_at < '10000-01-01 00:00+00'),
    CONSTRAINT retweets_tweet_id_check CHECK (tweetqueue.is_x_id(tweet_id)),
    CONSTRAINT retweets_undo_after_check
        CHECK (undo_after > interval '0' AND undo_after <= interval '100 years'),
    CONSTRAINT retweets_priority_check CHECK (priority BETWEEN 1 AND 4),
    CONSTRAINT retweets_metadata_check CHECK (octet_length(metadata::text) <= 100000),
    CONSTRAINT retweets_status_check CHECK (status IN ('scheduled', 'sending', 'retweeted',
        'failed', 'unconfirmed', 'missed', 'cancelled')),
    CONSTRAINT retweets_waiting_for_check
        CHECK ((status = 'scheduled') = (waiting_for IS NOT NULL) AND waiting_for IN
            ('time', 'quota', 'account', 'app', 'budget', 'retry')),
    CONSTRAINT retweets_retweeted_check
        CHECK ((status = 'retweeted') = (retweeted_at IS NOT NULL)),
    CONSTRAINT retweets_request_id_check
        CHECK (request_id IS NOT NULL OR status NOT IN ('sending', 'unconfirmed'))
);
CREATE INDEX retweets_wake_at_idx ON tweetqueue.retweets (wake_at)
    WHERE status = 'scheduled' OR (status = 'unconfirmed' AND next_attempt_at IS NOT NULL);
CREATE INDEX retweets_held_idx ON tweetqueue.retweets (account, waiting_for, priority, retweet_at)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
CREATE INDEX retweets_open_idx ON tweetqueue.retweets (status)
    WHERE status IN ('sending', 'unconfirmed');
CREATE INDEX retweets_doubt_idx ON tweetqueue.retweets (account)
    WHERE status IN ('sending', 'unconfirmed');

-- True: tweet_id is not deleted, but the account's retweet of it is undone.
ALTER TABLE tweetqueue.deletions ADD COLUMN retweet boolean NOT NULL DEFAULT false;

ALTER TABLE tweetqueue.requests
    DROP CONSTRAINT requests_kind_check,
    ADD CONSTRAINT requests_kind_check
        CHECK (kind IN ('post_tweet', 'delete_tweet', 'retweet', 'look_up'));
ALTER TABLE tweetqueue.limits
    DROP CONSTRAINT limits_actions_check,
    ADD CONSTRAINT limits_actions_check CHECK (cardinality(actions) > 0
        AND actions <@ ARRAY['post', 'retweet', 'delete', 'undo_retweet']);

CREATE OR REPLACE FUNCTION tweetqueue.may_follow(old_status text, new_status text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE old_status
    WHEN 'scheduled' THEN new_status IN ('sending', 'cancelled', 'missed', 'failed')
    WHEN 'sending' THEN new_status
        IN ('posted', 'deleted', 'retweeted', 'failed', 'unconfirmed', 'scheduled')
    WHEN 'unconfirmed' THEN new_status
        IN ('posted', 'deleted', 'retweeted', 'scheduled', 'failed', 'missed')
    WHEN 'failed' THEN new_status = 'scheduled'
    WHEN 'missed' THEN new_status = 'scheduled'
    WHEN 'cancelled' THEN new_status = 'scheduled'
    ELSE false END;

-- As schedule_deletion for a tweet that has a lifetime.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.schedule_undo() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at, retweet)
    VALUES (NEW.account, NEW.tweet_id, NEW.retweeted_at + NEW.undo_after, true);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- The triggers of the other two tables: a_ checks before b_ parks.
CREATE TRIGGER a_check_status_insert AFTER INSERT ON tweetqueue.retweets
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('retweeted_at');
CREATE TRIGGER a_check_status_update AFTER UPDATE ON tweetqueue.retweets
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('retweeted_at');
CREATE TRIGGER b_park_insert AFTER INSERT ON tweetqueue.retweets
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('retweet', 'retweets');
CREATE TRIGGER b_park_update AFTER UPDATE ON tweetqueue.retweets
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('retweet', 'retweets');
CREATE TRIGGER b_park_delete AFTER DELETE ON tweetqueue.retweets
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('retweet', 'retweets');
CREATE TRIGGER b_park_look_up AFTER UPDATE OF status, next_attempt_at ON tweetqueue.retweets
    FOR EACH ROW WHEN (NEW.status = 'unconfirmed' AND NEW.next_attempt_at IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.park_look_up('retweet', 'retweets');
CREATE TRIGGER a_reset_waiting BEFORE UPDATE OF status ON tweetqueue.retweets
    FOR EACH ROW WHEN (OLD.status <> NEW.status
        AND tweetqueue.may_follow_by_hand(OLD.status, NEW.status))
    EXECUTE FUNCTION tweetqueue.reset_waiting();
CREATE TRIGGER a_schedule_undo AFTER UPDATE OF status ON tweetqueue.retweets
    FOR EACH ROW WHEN (OLD.status <> 'retweeted' AND NEW.status = 'retweeted'
        AND NEW.undo_after IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.schedule_undo();
CREATE TRIGGER a_refuse_edit BEFORE UPDATE OF tweet_id, retweet_at, undo_after, priority, metadata
    ON tweetqueue.retweets
    FOR EACH ROW WHEN (OLD.status <> 'scheduled' AND NEW.status <> 'scheduled')
    EXECUTE FUNCTION tweetqueue.refuse_edit();
CREATE TRIGGER a_refuse_edit_retweet BEFORE UPDATE OF retweet ON tweetqueue.deletions
    FOR EACH ROW WHEN (OLD.status <> 'scheduled' AND NEW.status <> 'scheduled')
    EXECUTE FUNCTION tweetqueue.refuse_edit();

-- As remove_tweets and remove_deletions.
CREATE FUNCTION tweetqueue.remove_retweets(VARIADIC ids bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH removed AS (
        DELETE FROM tweetqueue.retweets r
        WHERE r.id = ANY (ids) AND r.status NOT IN ('sending', 'unconfirmed', 'retweeted')
            AND r.request_id IS NULL
        RETURNING 1)
    SELECT count(*) FROM removed
$$;

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

-- grant_roles grants what came since, too.
ALTER FUNCTION tweetqueue.grant_roles() RENAME TO grant_roles_6;
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.grant_roles_6();
    GRANT SELECT ON tweetqueue.retweets TO tweetqueue_reader, tweetqueue_writer;
    GRANT INSERT (account, tweet_id, retweet_at, undo_after, priority, metadata),
        UPDATE (status, tweet_id, retweet_at, undo_after, priority, metadata)
        ON tweetqueue.retweets TO tweetqueue_writer;
    GRANT INSERT (retweet), UPDATE (retweet) ON tweetqueue.deletions TO tweetqueue_writer;
    GRANT EXECUTE ON FUNCTION tweetqueue.remove_retweets(bigint[]) TO tweetqueue_writer;
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
ALTER FUNCTION tweetqueue.grant_roles_6() RENAME TO grant_roles;
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
WHERE t.status IN ('scheduled', 'sending', 'unconfirmed');
-- What undoes a retweet must not become the deletion of a tweet, nor may its job or its requests.
DELETE FROM tweetqueue.river_job WHERE kind = 'delete_tweet'
    AND (args ->> 'row_id')::bigint IN (SELECT id FROM tweetqueue.deletions WHERE retweet);
DELETE FROM tweetqueue.requests WHERE kind = 'delete_tweet'
    AND row_id IN (SELECT id FROM tweetqueue.deletions WHERE retweet);
DELETE FROM tweetqueue.deletions WHERE retweet;
DELETE FROM tweetqueue.requests WHERE kind = 'look_up'
    AND looked_for && ARRAY(SELECT id FROM tweetqueue.retweets);
DELETE FROM tweetqueue.requests WHERE kind = 'retweet';
DROP TRIGGER a_refuse_edit_retweet ON tweetqueue.deletions;
ALTER TABLE tweetqueue.deletions DROP COLUMN retweet;
DROP TABLE tweetqueue.retweets;
DELETE FROM tweetqueue.river_job WHERE kind = 'retweet';
DROP FUNCTION tweetqueue.schedule_undo, tweetqueue.remove_retweets;
CREATE OR REPLACE FUNCTION tweetqueue.may_follow(old_status text, new_status text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE old_status
    WHEN 'scheduled' THEN new_status IN ('sending', 'cancelled', 'missed', 'failed')
    WHEN 'sending' THEN new_status IN ('posted', 'deleted', 'failed', 'unconfirmed', 'scheduled')
    WHEN 'unconfirmed' THEN new_status IN ('posted', 'deleted', 'scheduled', 'failed', 'missed')
    WHEN 'failed' THEN new_status = 'scheduled'
    WHEN 'missed' THEN new_status = 'scheduled'
    WHEN 'cancelled' THEN new_status = 'scheduled'
    ELSE false END;
DELETE FROM tweetqueue.limits WHERE actions <@ ARRAY['undo_retweet'];
UPDATE tweetqueue.limits SET actions = array_remove(actions, 'undo_retweet')
WHERE 'undo_retweet' = ANY (actions);
ALTER TABLE tweetqueue.limits
    DROP CONSTRAINT limits_actions_check,
    ADD CONSTRAINT limits_actions_check
        CHECK (cardinality(actions) > 0 AND actions <@ ARRAY['post', 'retweet', 'delete']);
ALTER TABLE tweetqueue.requests
    DROP CONSTRAINT requests_kind_check,
    ADD CONSTRAINT requests_kind_check CHECK (kind IN ('post_tweet', 'delete_tweet', 'look_up'));
DELETE FROM tweetqueue.schema_versions WHERE version = 7;
