-- River: 8. Oldest worker: 3.
--
-- Three roles without login, to grant to those who connect: tweetqueue_writer schedules, sees and
-- cancels; tweetqueue_reader sees; tweetqueue_worker works. What another application can do is
-- bounded by its role: no table-level DELETE or UPDATE (either would let it LOCK TABLE), no
-- credentials, no result. A role belongs to the server, not to the database, so the way down
-- leaves the roles; and who may not create them gets the SQL for an administrator.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (4, 8, 3);

-- Grants what each role may do. Run it again after the roles were created by an administrator.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    REVOKE ALL ON ALL TABLES IN SCHEMA tweetqueue FROM PUBLIC;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tweetqueue FROM PUBLIC;

    GRANT USAGE ON SCHEMA tweetqueue TO tweetqueue_writer, tweetqueue_reader, tweetqueue_worker;
    -- Functions that columns' defaults, constraints and triggers call in the caller's name.
    GRANT EXECUTE ON FUNCTION tweetqueue.clock(), tweetqueue.is_x_id(text),
        tweetqueue.are_x_ids(text[]), tweetqueue.are_poll_options(text[]),
        tweetqueue.may_follow(text, text), tweetqueue.may_follow_by_hand(text, text),
        tweetqueue.refuse_status(text, bigint, text, text),
        tweetqueue.check_tweet(tweetqueue.tweets)
        TO tweetqueue_writer, tweetqueue_worker;
    GRANT EXECUTE ON FUNCTION tweetqueue.clock() TO tweetqueue_reader;
    GRANT EXECUTE ON FUNCTION tweetqueue.worker_alive(timestamptz, timestamptz)
        TO tweetqueue_reader, tweetqueue_writer;
    GRANT EXECUTE ON FUNCTION tweetqueue.remove_tweets(bigint[]),
        tweetqueue.remove_deletions(bigint[]) TO tweetqueue_writer;

    GRANT SELECT ON tweetqueue.tweets, tweetqueue.deletions, tweetqueue.waiting,
        tweetqueue.limits, tweetqueue.quotas, tweetqueue.workers, tweetqueue.installation,
        tweetqueue.schema_versions, tweetqueue.river_migration
        TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (id, username, x_user_id, app_id, auth, state, state_reason, state_until,
        time_zone, limits_preset, text_limit, created_at) ON tweetqueue.accounts
        TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (id, name, website, state, state_reason, state_until, created_at)
        ON tweetqueue.apps TO tweetqueue_reader, tweetqueue_writer;
    GRANT SELECT (id, kind, row_id, account_id, worker_id, job_id, body, granted_at, send_by,
        answered_at, outcome, status_code, x_transaction_id, answer, limits, error)
        ON tweetqueue.requests TO tweetqueue_reader, tweetqueue_writer;

    GRANT USAGE ON SEQUENCE tweetqueue.row_ids TO tweetqueue_writer;
    GRANT INSERT (account, text, post_at, in_reply_to_tweet_id, exclude_reply_user_ids,
        quote_tweet_id, media_ids, tagged_user_ids, poll_options, poll_duration_minutes, place_id,
        reply_settings, community_id, made_with_ai, paid_partnership, extra, previous_id,
        post_before, delete_after, priority, if_unconfirmed, idempotency_key, metadata)
        ON tweetqueue.tweets TO tweetqueue_writer;
    GRANT UPDATE (status, text, post_at, in_reply_to_tweet_id, exclude_reply_user_ids,
        quote_tweet_id, media_ids, tagged_user_ids, poll_options, poll_duration_minutes, place_id,
        reply_settings, community_id, made_with_ai, paid_partnership, extra, previous_id,
        post_before, delete_after, priority, if_unconfirmed, idempotency_key, metadata)
        ON tweetqueue.tweets TO tweetqueue_writer;
    GRANT INSERT (account, tweet_id, delete_at, priority, metadata), UPDATE (status, tweet_id,
        delete_at, priority, metadata) ON tweetqueue.deletions TO tweetqueue_writer;

    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tweetqueue TO tweetqueue_worker;
    REVOKE INSERT, UPDATE, DELETE ON tweetqueue.schema_versions FROM tweetqueue_worker;
    GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA tweetqueue TO tweetqueue_worker;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tweetqueue TO tweetqueue_worker;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['tweetqueue_writer', 'tweetqueue_reader', 'tweetqueue_worker']
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION
            -- Another database of this server is being migrated at the same time.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    PERFORM tweetqueue.grant_roles();
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE USING MESSAGE = 'this user may not create roles; an administrator can run, in this database: '
            'CREATE ROLE tweetqueue_writer NOLOGIN; CREATE ROLE tweetqueue_reader NOLOGIN; '
            'CREATE ROLE tweetqueue_worker NOLOGIN; SELECT tweetqueue.grant_roles();';
END
$$;
-- +goose StatementEnd

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    REVOKE ALL ON ALL TABLES IN SCHEMA tweetqueue
        FROM tweetqueue_writer, tweetqueue_reader, tweetqueue_worker;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA tweetqueue
        FROM tweetqueue_writer, tweetqueue_reader, tweetqueue_worker;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tweetqueue
        FROM tweetqueue_writer, tweetqueue_reader, tweetqueue_worker;
    REVOKE ALL ON SCHEMA tweetqueue FROM tweetqueue_writer, tweetqueue_reader, tweetqueue_worker;
EXCEPTION
    WHEN undefined_object THEN NULL; -- the roles were never made
END
$$;
-- +goose StatementEnd
DROP FUNCTION tweetqueue.grant_roles;
DELETE FROM tweetqueue.schema_versions WHERE version = 4;
