-- River: 8. Oldest worker: 6.
--
-- At the end of a hold one row tries whether it is over, and the others are left alone: what waits for an
-- account or an app has no instant of its own any more. And a job that failed runs again by the
-- database's clock, not by River's, which is the worker's.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (6, 8, 6);

-- The accounts whose hold has come to its end.
CREATE INDEX accounts_state_until_idx ON tweetqueue.accounts (state_until) WHERE state <> 'active';
CREATE INDEX apps_state_until_idx ON tweetqueue.apps (state_until) WHERE state <> 'active';

-- The best of the rows that an account or an app holds back.
DROP INDEX tweetqueue.tweets_held_idx, tweetqueue.deletions_held_idx;
CREATE INDEX tweets_held_idx ON tweetqueue.tweets (account, waiting_for, priority, post_at)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
CREATE INDEX deletions_held_idx ON tweetqueue.deletions (account, waiting_for, priority, delete_at)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');

-- Rows of which X may have made a tweet that they do not name: see their warnings.
CREATE INDEX tweets_warned_idx ON tweetqueue.tweets (account) WHERE warnings <> '{}';

-- What became of a tweet.
CREATE INDEX deletions_tweet_id_idx ON tweetqueue.deletions (account, tweet_id);

-- Jobs that failed: the promoter runs them again.
CREATE INDEX tweetqueue_failed_idx ON tweetqueue.river_job (attempted_at)
    WHERE attempt > 0 AND state IN ('available', 'retryable');

-- Shows when the next attempt of a scheduled row is due, as far as it is known: a hold's end is, that of a
-- doubt or of the row before it in a thread is not.
CREATE FUNCTION tweetqueue.next_attempt(
    waiting_for text, wake_at timestamptz, account_until timestamptz, app_until timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE waiting_for WHEN 'account' THEN account_until WHEN 'app' THEN app_until
    WHEN 'thread' THEN NULL ELSE wake_at END;

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

-- grant_roles grants what came since, too.
ALTER FUNCTION tweetqueue.grant_roles() RENAME TO grant_roles_5;
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.grant_roles_5();
    GRANT EXECUTE ON FUNCTION
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
ALTER FUNCTION tweetqueue.grant_roles_5() RENAME TO grant_roles;
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
DROP FUNCTION tweetqueue.next_attempt;
DROP INDEX tweetqueue.tweetqueue_failed_idx, tweetqueue.deletions_tweet_id_idx;
DROP INDEX tweetqueue.tweets_held_idx, tweetqueue.deletions_held_idx;
CREATE INDEX tweets_held_idx ON tweetqueue.tweets (account)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
CREATE INDEX deletions_held_idx ON tweetqueue.deletions (account)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
DROP INDEX tweetqueue.accounts_state_until_idx, tweetqueue.apps_state_until_idx, tweetqueue.tweets_warned_idx;
-- What waits for a hold would not wake before a day is over.
UPDATE tweetqueue.tweets t SET next_attempt_at = NULL
WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
UPDATE tweetqueue.deletions t SET next_attempt_at = NULL
WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
DELETE FROM tweetqueue.schema_versions WHERE version = 6;
