-- River: 8. Oldest worker: 2.
--
-- The public interface: one row is one tweet to post, or one to delete. An application writes the
-- first columns; the worker writes the rest, and anyone reads them.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (2, 8, 2);

-- One sequence for both tables, so that an id alone names a row.
CREATE SEQUENCE tweetqueue.row_ids AS bigint;

-- X's ids are text: up to 19 digits. Strict, so that a null costs nothing: most of them are.
CREATE FUNCTION tweetqueue.is_x_id(id text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN id ~ '^[0-9]{1,19}$';

CREATE FUNCTION tweetqueue.are_x_ids(ids text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN cardinality(ids) BETWEEN 1 AND 100 AND array_position(ids, NULL) IS NULL
    AND array_to_string(ids, ',') ~ '^[0-9]{1,19}(,[0-9]{1,19})*$';

-- A poll has 2 to 4 options of 1 to 25 characters (X's documents: create-post).
CREATE FUNCTION tweetqueue.are_poll_options(options text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN cardinality(options) BETWEEN 2 AND 4 AND array_position(options, NULL) IS NULL
    AND (SELECT bool_and(char_length(o) BETWEEN 1 AND 25) FROM unnest(options) AS o);

CREATE TABLE tweetqueue.tweets (
    id bigint PRIMARY KEY DEFAULT nextval('tweetqueue.row_ids'),

    -- An application writes these.
    account text COLLATE tweetqueue.username NOT NULL,
    text text NOT NULL DEFAULT '',
    post_at timestamptz NOT NULL DEFAULT tweetqueue.clock(), -- past means now
    in_reply_to_tweet_id text,
    exclude_reply_user_ids text[],
    quote_tweet_id text,
    media_ids text[],
    tagged_user_ids text[],
    poll_options text[],
    poll_duration_minutes integer,
    place_id text,
    reply_settings text, -- null: everyone
    community_id text,
    made_with_ai boolean,
    paid_partnership boolean,
    extra jsonb, -- the rest of X's request, sent as it is
    previous_id bigint, -- the row before it in a thread
    post_before timestamptz, -- past it the tweet is missed, never posted late
    delete_after interval, -- how long it stays on X
    priority smallint NOT NULL DEFAULT 2, -- River's order: 1 goes first, 4 last
    if_unconfirmed text NOT NULL DEFAULT 'resend', -- after the last look-up did not find it
    idempotency_key text,
    metadata jsonb, -- the application's own

    -- The worker writes these.
    status text NOT NULL DEFAULT 'scheduled',
    waiting_for text DEFAULT 'time', -- what a scheduled row waits for
    next_attempt_at timestamptz, -- not before this instant; null: post_at alone counts
    tweet_id text, -- X's id, once posted
    posted_at timestamptz,
    error text, -- why it failed, or waits
    warnings text[] NOT NULL DEFAULT '{}', -- what X dropped silently, and the like
    retries integer NOT NULL DEFAULT 0, -- in a row, for the backoff
    request_id bigint, -- its latest request
    wake_next boolean NOT NULL DEFAULT false, -- it is over: a worker wakes those after it in its thread
    measured boolean NOT NULL DEFAULT false, -- a worker has found its text short enough
    created_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    -- The instant at which its job wakes. (greatest ignores nulls.)
    wake_at timestamptz NOT NULL GENERATED ALWAYS AS (greatest(post_at, next_attempt_at)) STORED,

    CONSTRAINT tweets_account_fkey FOREIGN KEY (account)
        REFERENCES tweetqueue.accounts (username) ON UPDATE CASCADE,
    CONSTRAINT tweets_previous_id_fkey FOREIGN KEY (previous_id) REFERENCES tweetqueue.tweets (id),
    CONSTRAINT tweets_idempotency_key_key UNIQUE (account, idempotency_key),

    -- The collation ignores invisible characters: without a bound there could be any number of them.
    CONSTRAINT tweets_account_check CHECK (octet_length(account) <= 20),
    CONSTRAINT tweets_text_size_check CHECK (octet_length(text) <= 100000),
    CONSTRAINT tweets_text_or_media_check
        CHECK (btrim(text) <> '' OR media_ids IS NOT NULL OR extra IS NOT NULL),
    -- Finite, and within what programs can read: Go knows no infinity, JSON no year of five digits.
    CONSTRAINT tweets_post_at_check
        CHECK (post_at >= '1970-01-01 00:00+00' AND post_at < '10000-01-01 00:00+00'),
    CONSTRAINT tweets_in_reply_to_tweet_id_check CHECK (tweetqueue.is_x_id(in_reply_to_tweet_id)),
    CONSTRAINT tweets_exclude_reply_user_ids_check
        CHECK (tweetqueue.are_x_ids(exclude_reply_user_ids)
            AND (exclude_reply_user_ids IS NULL
                OR in_reply_to_tweet_id IS NOT NULL OR previous_id IS NOT NULL)),
    CONSTRAINT tweets_quote_tweet_id_check CHECK (tweetqueue.is_x_id(quote_tweet_id)),
    CONSTRAINT tweets_media_ids_check
        CHECK (tweetqueue.are_x_ids(media_ids) AND cardinality(media_ids) <= 4),
    CONSTRAINT tweets_tagged_user_ids_check
        CHECK (tweetqueue.are_x_ids(tagged_user_ids) AND cardinality(tagged_user_ids) <= 10
            AND (tagged_user_ids IS NULL OR media_ids IS NOT NULL)),
    CONSTRAINT tweets_poll_options_check CHECK (tweetqueue.are_poll_options(poll_options)),
    CONSTRAINT tweets_poll_duration_minutes_check
        CHECK ((poll_options IS NULL) = (poll_duration_minutes IS NULL)
            AND poll_duration_minutes BETWEEN 5 AND 10080),
    CONSTRAINT tweets_one_attachment_check
        CHECK (num_nonnulls(quote_tweet_id, media_ids, poll_options) <= 1),
    CONSTRAINT tweets_place_id_check CHECK (char_length(place_id) BETWEEN 1 AND 100),
    CONSTRAINT tweets_reply_settings_check
        CHECK (reply_settings IN ('following', 'mentionedUsers', 'subscribers', 'verified')),
    CONSTRAINT tweets_community_id_check CHECK (tweetqueue.is_x_id(community_id)),
    CONSTRAINT tweets_extra_check
        CHECK (jsonb_typeof(extra) = 'object' AND octet_length(extra::text) <= 100000),
    -- Ids grow, so a row stands after the one that it names: threads have no cycles.
    CONSTRAINT tweets_previous_id_before_check CHECK (previous_id < id),
    CONSTRAINT tweets_reply_or_thread_check
        CHECK (previous_id IS NULL OR in_reply_to_tweet_id IS NULL),
    CONSTRAINT tweets_post_before_check
        CHECK (post_before > post_at AND post_before < '10000-01-01 00:00+00'),
    CONSTRAINT tweets_delete_after_check
        CHECK (delete_after > interval '0' AND delete_after <= interval '100 years'),
    CONSTRAINT tweets_priority_check CHECK (priority BETWEEN 1 AND 4),
    CONSTRAINT tweets_if_unconfirmed_check CHECK (if_unconfirmed IN ('resend', 'hold')),
    CONSTRAINT tweets_idempotency_key_check CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
    CONSTRAINT tweets_metadata_check CHECK (octet_length(metadata::text) <= 100000),
    CONSTRAINT tweets_status_check CHECK (status IN ('scheduled', 'sending', 'posted', 'failed',
        'unconfirmed', 'missed', 'cancelled')),
    CONSTRAINT tweets_waiting_for_check
        CHECK ((status = 'scheduled') = (waiting_for IS NOT NULL) AND waiting_for IN
            ('time', 'quota', 'thread', 'account', 'app', 'budget', 'retry')),
    CONSTRAINT tweets_posted_check CHECK ((status = 'posted')
        = (tweet_id IS NOT NULL AND posted_at IS NOT NULL) AND tweetqueue.is_x_id(tweet_id)),
    CONSTRAINT tweets_request_id_check
        CHECK (request_id IS NOT NULL OR status NOT IN ('sending', 'unconfirmed'))
);
-- Partial, or else to post a tweet would wait for a transaction that adds the next one of its thread.
CREATE UNIQUE INDEX tweets_tweet_id_key ON tweetqueue.tweets (account, tweet_id)
    WHERE tweet_id IS NOT NULL;
CREATE INDEX tweets_previous_id_idx ON tweetqueue.tweets (previous_id)
    WHERE previous_id IS NOT NULL;
-- The sweep of due rows, and the wake-ups of what a tweet, an account or an app held back.
CREATE INDEX tweets_wake_at_idx ON tweetqueue.tweets (wake_at) WHERE status = 'scheduled';
CREATE INDEX tweets_held_idx ON tweetqueue.tweets (account)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
-- Texts of up to 280 bytes without a dot, and so without a URL, need no look.
CREATE INDEX tweets_unmeasured_idx ON tweetqueue.tweets (id)
    WHERE status = 'scheduled' AND NOT measured
        AND (octet_length(text) > 280 OR position('.' IN text) > 0);
CREATE INDEX tweets_wake_next_idx ON tweetqueue.tweets (id) WHERE wake_next;
CREATE INDEX tweets_open_idx ON tweetqueue.tweets (status) WHERE status IN ('sending', 'unconfirmed');

CREATE TABLE tweetqueue.deletions (
    id bigint PRIMARY KEY DEFAULT nextval('tweetqueue.row_ids'),

    -- An application writes these.
    account text COLLATE tweetqueue.username NOT NULL,
    tweet_id text NOT NULL,
    delete_at timestamptz NOT NULL DEFAULT tweetqueue.clock(), -- past means now
    priority smallint NOT NULL DEFAULT 2,
    metadata jsonb,

    -- The worker writes these; each as in tweets.
    status text NOT NULL DEFAULT 'scheduled',
    waiting_for text DEFAULT 'time',
    next_attempt_at timestamptz,
    deleted_at timestamptz,
    error text,
    warnings text[] NOT NULL DEFAULT '{}',
    retries integer NOT NULL DEFAULT 0,
    request_id bigint,
    created_at timestamptz NOT NULL DEFAULT tweetqueue.clock(),
    wake_at timestamptz NOT NULL
        GENERATED ALWAYS AS (greatest(delete_at, next_attempt_at)) STORED,

    CONSTRAINT deletions_account_fkey FOREIGN KEY (account)
        REFERENCES tweetqueue.accounts (username) ON UPDATE CASCADE,
    CONSTRAINT deletions_account_check CHECK (octet_length(account) <= 20),
    CONSTRAINT deletions_delete_at_check
        CHECK (delete_at >= '1970-01-01 00:00+00' AND delete_at < '10000-01-01 00:00+00'),
    CONSTRAINT deletions_tweet_id_check CHECK (tweetqueue.is_x_id(tweet_id)),
    CONSTRAINT deletions_priority_check CHECK (priority BETWEEN 1 AND 4),
    CONSTRAINT deletions_metadata_check CHECK (octet_length(metadata::text) <= 100000),
    CONSTRAINT deletions_status_check CHECK (status IN ('scheduled', 'sending', 'deleted',
        'failed', 'unconfirmed', 'missed', 'cancelled')),
    CONSTRAINT deletions_waiting_for_check
        CHECK ((status = 'scheduled') = (waiting_for IS NOT NULL) AND waiting_for IN
            ('time', 'quota', 'account', 'app', 'budget', 'retry')),
    CONSTRAINT deletions_deleted_check CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    CONSTRAINT deletions_request_id_check
        CHECK (request_id IS NOT NULL OR status NOT IN ('sending', 'unconfirmed'))
);
CREATE INDEX deletions_wake_at_idx ON tweetqueue.deletions (wake_at) WHERE status = 'scheduled';
CREATE INDEX deletions_held_idx ON tweetqueue.deletions (account)
    WHERE status = 'scheduled' AND waiting_for IN ('account', 'app');
CREATE INDEX deletions_open_idx ON tweetqueue.deletions (status)
    WHERE status IN ('sending', 'unconfirmed');

-- One row per request to X for a row. It is written, with the exact body, in the transaction that
-- claims the row, before anything is sent; its answer when the row is settled.
CREATE TABLE tweetqueue.requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL, -- the River job's kind: post_tweet or delete_tweet
    row_id bigint NOT NULL, -- of tweets or deletions
    account_id bigint NOT NULL REFERENCES tweetqueue.accounts (id),
    worker_id bigint NOT NULL REFERENCES tweetqueue.workers (id),
    job_id bigint NOT NULL, -- of river_job, which forgets it after a day
    body text, -- the exact bytes of a POST; null for a DELETE
    granted_at timestamptz NOT NULL, -- when it took its places in the quotas
    send_by timestamptz NOT NULL, -- past it, it is not sent
    answered_at timestamptz, -- null: not settled yet
    outcome text, -- what the answer meant
    status_code integer, -- HTTP; null: no answer
    x_transaction_id text, -- quote it to X's support
    answer text, -- X's raw body, bounded
    limits jsonb, -- what X's headers reported
    error text, -- in words
    CONSTRAINT requests_kind_check CHECK (kind IN ('post_tweet', 'delete_tweet')),
    CONSTRAINT requests_outcome_check CHECK ((outcome IS NULL) = (answered_at IS NULL))
);
CREATE INDEX requests_row_id_idx ON tweetqueue.requests (row_id, id);

-- Finds the parked jobs that are due, and the parked job of a row.
CREATE INDEX tweetqueue_parked_idx ON tweetqueue.river_job (scheduled_at) WHERE state = 'pending';
CREATE INDEX tweetqueue_parked_row_idx
    ON tweetqueue.river_job (((args ->> 'row_id')::bigint)) WHERE state = 'pending';

-- What waits, for what, and until when.
CREATE VIEW tweetqueue.waiting AS
SELECT 'tweet' AS kind, id, account, post_at AS due_at, priority, status, waiting_for,
    CASE WHEN status = 'scheduled' THEN wake_at END AS next_attempt_at, error
FROM tweetqueue.tweets
WHERE status IN ('scheduled', 'sending', 'unconfirmed')
UNION ALL
SELECT 'deletion', id, account, delete_at, priority, status, waiting_for,
    CASE WHEN status = 'scheduled' THEN wake_at END, error
FROM tweetqueue.deletions
WHERE status IN ('scheduled', 'sending', 'unconfirmed');

-- +goose Down

DROP VIEW tweetqueue.waiting;
DROP INDEX tweetqueue.tweetqueue_parked_idx, tweetqueue.tweetqueue_parked_row_idx;
DROP TABLE tweetqueue.requests, tweetqueue.deletions, tweetqueue.tweets;
-- Their rows are gone, so their jobs would wake for nothing.
DELETE FROM tweetqueue.river_job WHERE kind IN ('post_tweet', 'delete_tweet');
DROP FUNCTION tweetqueue.is_x_id, tweetqueue.are_x_ids, tweetqueue.are_poll_options;
DROP SEQUENCE tweetqueue.row_ids;
DELETE FROM tweetqueue.schema_versions WHERE version = 2;
