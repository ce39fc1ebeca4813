-- River: 8. Oldest worker: 3.
--
-- What happens with a row happens in the statement that writes it, whoever runs it: its River job
-- is written or moved, its status changes by the table of the design or not at all, and what is
-- wrong with it is said at once. What an INSERT fires is statement-level: a row-level
-- trigger would take three times as long for a bulk load.

-- +goose Up

INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (3, 8, 3);

-- A job that is due may go at once; any other is parked, in the one state of River that neither its
-- scheduler nor its cleaner touches, until a worker's promoter finds it due.
CREATE FUNCTION tweetqueue.parked_state(wake_at timestamptz, clock timestamptz)
RETURNS tweetqueue.river_job_state
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN wake_at <= clock THEN 'available'::tweetqueue.river_job_state
    ELSE 'pending'::tweetqueue.river_job_state END;

-- Gives every scheduled row one wake-up at its wake_at, and no other row any: a parked job is moved;
-- where there is none, because it was promoted or the row was not scheduled, a new one is inserted.
-- A job in any other state is left alone: it finds that its row is not due, or not scheduled, and
-- ends. Runs as the owner, for an application may not write River's tables.
-- Arguments: the jobs' kind and queue.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.park() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_kind CONSTANT text := TG_ARGV[0];
    job_queue CONSTANT text := TG_ARGV[1];
    clock CONSTANT timestamptz := tweetqueue.clock();
    due boolean := false;
    changed record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH parked AS (
            INSERT INTO tweetqueue.river_job
                (args, kind, max_attempts, priority, queue, scheduled_at, state)
            SELECT jsonb_build_object('row_id', n.id), job_kind, 32767, n.priority, job_queue,
                n.wake_at, tweetqueue.parked_state(n.wake_at, clock)
            FROM new_rows n
            RETURNING state)
        SELECT bool_or(state = 'available') FROM parked INTO due;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM tweetqueue.river_job j
        WHERE j.state = 'pending'
            AND (j.args ->> 'row_id')::bigint = ANY (ARRAY(SELECT id FROM old_rows));
    ELSE
        IF EXISTS (SELECT FROM new_rows WHERE status = 'cancelled') THEN
            DELETE FROM tweetqueue.river_job j
            WHERE j.state = 'pending' AND (j.args ->> 'row_id')::bigint
                = ANY (ARRAY(SELECT id FROM new_rows WHERE status = 'cancelled'));
        END IF;
        -- Most statements are a worker's, which claim and settle: they end here.
        IF NOT EXISTS (SELECT FROM new_rows WHERE status = 'scheduled') THEN
            RETURN NULL;
        END IF;
        -- A session plans a join of transition tables once, for as many rows as its first statement
        -- had, and a bulk edit after it would be quadratic. EXCEPT is not, nor is a look-up per row.
        FOR changed IN
            SELECT id, wake_at, priority FROM new_rows WHERE status = 'scheduled'
            EXCEPT
            SELECT id, wake_at, priority FROM old_rows WHERE status = 'scheduled'
        LOOP
            UPDATE tweetqueue.river_job j
            SET scheduled_at = changed.wake_at, priority = changed.priority,
                state = tweetqueue.parked_state(changed.wake_at, clock)
            WHERE j.state = 'pending' AND (j.args ->> 'row_id')::bigint = changed.id;
            IF NOT FOUND THEN
                INSERT INTO tweetqueue.river_job
                    (args, kind, max_attempts, priority, queue, scheduled_at, state)
                VALUES (jsonb_build_object('row_id', changed.id), job_kind, 32767,
                    changed.priority, job_queue, changed.wake_at,
                    tweetqueue.parked_state(changed.wake_at, clock));
            END IF;
            due := due OR changed.wake_at <= clock;
        END LOOP;
    END IF;
    IF due THEN
        -- As river.Client.Insert does: without it the job waits for a poll.
        PERFORM pg_notify('tweetqueue.river_insert', json_build_object('queue', job_queue)::text);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- The table of the design: which status may follow which. A tweet is never deleted, a deletion
-- never posted: the tables' own constraints say so.
CREATE FUNCTION tweetqueue.may_follow(old_status text, new_status text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE old_status
    WHEN 'scheduled' THEN new_status IN ('sending', 'cancelled', 'missed', 'failed')
    WHEN 'sending' THEN new_status IN ('posted', 'deleted', 'failed', 'unconfirmed', 'scheduled')
    WHEN 'unconfirmed' THEN new_status IN ('posted', 'deleted', 'scheduled', 'failed', 'missed')
    WHEN 'failed' THEN new_status = 'scheduled'
    WHEN 'missed' THEN new_status = 'scheduled'
    WHEN 'cancelled' THEN new_status = 'scheduled'
    ELSE false END;

-- Of these, the two that are a person's or an application's.
CREATE FUNCTION tweetqueue.may_follow_by_hand(old_status text, new_status text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (old_status = 'scheduled' AND new_status = 'cancelled')
    OR (old_status IN ('failed', 'missed', 'cancelled') AND new_status = 'scheduled');

-- +goose StatementBegin
CREATE FUNCTION tweetqueue.refuse_status(tab text, id bigint, old_status text, new_status text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% % is %, it cannot become %', tab, id, old_status, new_status
        USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = tab,
            CONSTRAINT = tab || '_status_transition';
END
$$;
-- +goose StatementEnd

-- Refuses a status that may not follow. Who may write the result columns is a worker; everyone
-- else only cancels, and schedules again what failed, was missed or was cancelled.
-- Argument: a column that only a worker may write.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.check_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM tweetqueue.refuse_status(TG_TABLE_NAME, n.id, 'new', n.status)
        FROM new_rows n WHERE n.status <> 'scheduled';
        RETURN NULL;
    END IF;
    -- Grouped, not joined: see park.
    PERFORM tweetqueue.refuse_status(TG_TABLE_NAME, c.id, c.old_status, c.new_status)
    FROM (SELECT id, min(old_status) AS old_status, min(new_status) AS new_status
        FROM (SELECT id, status AS old_status, NULL AS new_status FROM old_rows
            UNION ALL SELECT id, NULL, status FROM new_rows) AS both_rows
        GROUP BY id) AS c
    WHERE c.old_status <> c.new_status AND NOT (tweetqueue.may_follow(c.old_status, c.new_status)
        AND (tweetqueue.may_follow_by_hand(c.old_status, c.new_status)
            OR has_column_privilege(TG_RELID, TG_ARGV[0], 'UPDATE')));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- By hand a status changes alone; what goes with it is set here. Fires for no statement of a claim
-- or a settlement, so that it may be row-level.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.reset_waiting() RETURNS trigger
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

-- A lower bound of a text's weighted length (twitter-text, config v3), so cheap that every INSERT
-- can afford it: what it refuses is certainly too long; what it lets pass, X itself
-- measures. A URL of any length counts 23 and has a dot, so a word with a dot counts at most 23.
-- Emoji count 2 a sequence, however long: what can be part of one counts nothing here, but for the
-- one digit, or # * © ®, that it can begin with.
CREATE FUNCTION tweetqueue.text_length_at_least(text text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN octet_length(text) = char_length(text) AND position('.' IN text) = 0 THEN char_length(text)
    WHEN octet_length(text) = char_length(text) THEN
        (SELECT sum(CASE WHEN position('.' IN word) > 0 THEN least(length(word), 23)
                ELSE length(word) END) + count(*) - 1
            FROM string_to_table(text, ' ') AS word)
    ELSE
        (SELECT sum(CASE WHEN position('.' IN word) > 0 THEN least(weight, 23) ELSE weight END)
                + count(*) - 1
            FROM string_to_table(normalize(text, NFC), ' ') AS word,
                LATERAL (SELECT coalesce(sum(CASE
                        WHEN code < x'1100'::integer THEN 1
                        WHEN code BETWEEN x'1100'::integer AND x'1FFF'::integer
                            OR code BETWEEN x'3041'::integer AND x'3096'::integer -- hiragana
                            OR code BETWEEN x'30A1'::integer AND x'30FF'::integer -- katakana
                            OR code BETWEEN x'3400'::integer AND x'9FFF'::integer -- ideographs
                            OR code BETWEEN x'AC00'::integer AND x'D7A3'::integer -- Hangul
                            OR code BETWEEN x'FF01'::integer AND x'FF60'::integer -- full width
                            OR code BETWEEN x'20000'::integer AND x'3FFFF'::integer THEN 2
                        ELSE 0 END), 0) AS weight
                    -- ascii() is the code point, whatever its name says. Comparing characters would
                    -- ask the database's collation.
                    FROM string_to_table(word, NULL) AS c, LATERAL ascii(c) AS code) AS weighed)
    END::integer;

-- Refuses what a tweet's own columns cannot tell: what depends on the time, on its account or on
-- another row. Checked when a row is written by hand and never when it is settled, so that time
-- that passes, or a limit that shrinks, cannot break a settlement. Runs as the owner, for an
-- application may not read accounts.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.check_tweet(tweet tweetqueue.tweets) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    text_limit CONSTANT integer :=
        (SELECT a.text_limit FROM tweetqueue.accounts a WHERE a.username = tweet.account);
    length CONSTANT integer := tweetqueue.text_length_at_least(tweet.text);
    previous_account CONSTANT text :=
        (SELECT p.account FROM tweetqueue.tweets p WHERE p.id = tweet.previous_id);
BEGIN
    IF length > text_limit THEN
        RAISE EXCEPTION 'the text is too long for account "%": its weighted length is at least %, the limit is %',
            tweet.account, length, text_limit
            USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = 'tweets',
                COLUMN = 'text', CONSTRAINT = 'tweets_text_length_check';
    END IF;
    IF tweet.post_before <= tweetqueue.clock() THEN
        RAISE EXCEPTION 'post_before % has passed: the tweet could only be missed', tweet.post_before
            USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = 'tweets',
                COLUMN = 'post_before', CONSTRAINT = 'tweets_post_before_ahead_check';
    END IF;
    IF lower(previous_account) <> lower(tweet.account) THEN
        RAISE EXCEPTION 'previous_id % is a tweet of account "%", not of "%": a thread has one account',
            tweet.previous_id, previous_account, tweet.account
            USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = 'tweets',
                COLUMN = 'previous_id', CONSTRAINT = 'tweets_previous_id_account_check';
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tweetqueue.check_inserted_tweets() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Most rows need no look: the bound of a length is at most the bytes.
    PERFORM tweetqueue.check_tweet(n) FROM new_rows n
    WHERE octet_length(n.text) > 280 OR n.post_before IS NOT NULL OR n.previous_id IS NOT NULL;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tweetqueue.check_edited_tweet() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tweetqueue.check_tweet(NEW);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tweetqueue.refuse_edit() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% % is %: only a scheduled row can be changed', TG_TABLE_NAME, OLD.id, OLD.status
        USING ERRCODE = 'check_violation', SCHEMA = 'tweetqueue', TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_TABLE_NAME || '_immutable';
END
$$;
-- +goose StatementEnd

-- A text that was edited is measured anew.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.forget_measure() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.measured := false;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- What ends a wait only says so, on its own row; the workers wake what waited, in batches, and pass
-- over what somebody has locked. So the end of a wait takes no other row's lock and costs the same
-- for one row that waits and for a hundred thousand.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.mark_held() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.wake_held := NEW.state = 'active';
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER mark_held BEFORE UPDATE OF state ON tweetqueue.accounts
    FOR EACH ROW WHEN ((OLD.state = 'active') <> (NEW.state = 'active'))
    EXECUTE FUNCTION tweetqueue.mark_held();
CREATE TRIGGER mark_held BEFORE UPDATE OF state ON tweetqueue.apps
    FOR EACH ROW WHEN ((OLD.state = 'active') <> (NEW.state = 'active'))
    EXECUTE FUNCTION tweetqueue.mark_held();

-- A row of the thread that is not there yet when this looks is claimed later, and sees what this became.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.mark_next() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.wake_next := EXISTS (SELECT FROM tweetqueue.tweets t
        WHERE t.previous_id = NEW.id AND t.status = 'scheduled');
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- A tweet that has a lifetime is posted and its deletion scheduled in one statement, whether a worker
-- or a person says that it is posted.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.schedule_deletion() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tweetqueue.deletions (account, tweet_id, delete_at)
    VALUES (NEW.account, NEW.tweet_id, NEW.posted_at + NEW.delete_after);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Each account has the quota rows of its preset.
-- +goose StatementBegin
CREATE FUNCTION tweetqueue.set_quotas() RETURNS trigger
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
CREATE TRIGGER set_quotas_insert AFTER INSERT ON tweetqueue.accounts
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.set_quotas();
CREATE TRIGGER set_quotas_update AFTER UPDATE OF limits_preset ON tweetqueue.accounts
    FOR EACH ROW EXECUTE FUNCTION tweetqueue.set_quotas();

-- Triggers fire in the order of their names: a_ checks before b_ parks.
CREATE TRIGGER a_check_status_insert AFTER INSERT ON tweetqueue.tweets
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('tweet_id');
CREATE TRIGGER a_check_status_update AFTER UPDATE ON tweetqueue.tweets
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('tweet_id');
CREATE TRIGGER a_check_insert AFTER INSERT ON tweetqueue.tweets
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_inserted_tweets();
CREATE TRIGGER b_park_insert AFTER INSERT ON tweetqueue.tweets
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('post_tweet', 'tweets');
CREATE TRIGGER b_park_update AFTER UPDATE ON tweetqueue.tweets
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('post_tweet', 'tweets');
CREATE TRIGGER b_park_delete AFTER DELETE ON tweetqueue.tweets
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('post_tweet', 'tweets');

CREATE TRIGGER a_check_status_insert AFTER INSERT ON tweetqueue.deletions
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('deleted_at');
CREATE TRIGGER a_check_status_update AFTER UPDATE ON tweetqueue.deletions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.check_status('deleted_at');
CREATE TRIGGER b_park_insert AFTER INSERT ON tweetqueue.deletions
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('delete_tweet', 'deletions');
CREATE TRIGGER b_park_update AFTER UPDATE ON tweetqueue.deletions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('delete_tweet', 'deletions');
CREATE TRIGGER b_park_delete AFTER DELETE ON tweetqueue.deletions
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tweetqueue.park('delete_tweet', 'deletions');

-- These are row-level, and name columns that no statement of a worker sets (or a condition that
-- none of its rows meets), so that they cost a claim and a settlement nothing.
CREATE TRIGGER a_reset_waiting BEFORE UPDATE OF status ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status <> NEW.status
        AND tweetqueue.may_follow_by_hand(OLD.status, NEW.status))
    EXECUTE FUNCTION tweetqueue.reset_waiting();
CREATE TRIGGER a_reset_waiting BEFORE UPDATE OF status ON tweetqueue.deletions
    FOR EACH ROW WHEN (OLD.status <> NEW.status
        AND tweetqueue.may_follow_by_hand(OLD.status, NEW.status))
    EXECUTE FUNCTION tweetqueue.reset_waiting();
CREATE TRIGGER a_forget_measure BEFORE UPDATE OF text ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.text <> NEW.text)
    EXECUTE FUNCTION tweetqueue.forget_measure();
CREATE TRIGGER a_mark_next BEFORE UPDATE OF status ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status <> NEW.status
        AND NEW.status IN ('posted', 'failed', 'missed', 'cancelled'))
    EXECUTE FUNCTION tweetqueue.mark_next();
CREATE TRIGGER a_schedule_deletion AFTER UPDATE OF status ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status <> 'posted' AND NEW.status = 'posted'
        AND NEW.delete_after IS NOT NULL)
    EXECUTE FUNCTION tweetqueue.schedule_deletion();
CREATE TRIGGER a_refuse_edit BEFORE UPDATE OF text, post_at, in_reply_to_tweet_id,
        exclude_reply_user_ids, quote_tweet_id, media_ids, tagged_user_ids, poll_options,
        poll_duration_minutes, place_id, reply_settings, community_id, made_with_ai,
        paid_partnership, extra, previous_id, post_before, delete_after, priority, if_unconfirmed,
        idempotency_key, metadata ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status <> 'scheduled' AND NEW.status <> 'scheduled')
    EXECUTE FUNCTION tweetqueue.refuse_edit();
CREATE TRIGGER a_refuse_edit BEFORE UPDATE OF tweet_id, delete_at, priority, metadata
    ON tweetqueue.deletions
    FOR EACH ROW WHEN (OLD.status <> 'scheduled' AND NEW.status <> 'scheduled')
    EXECUTE FUNCTION tweetqueue.refuse_edit();
CREATE TRIGGER a_check_edit AFTER UPDATE OF text, post_at, post_before, previous_id
    ON tweetqueue.tweets
    FOR EACH ROW WHEN (NEW.status = 'scheduled')
    EXECUTE FUNCTION tweetqueue.check_edited_tweet();
-- A tweet that is scheduled again is written by hand again.
CREATE TRIGGER a_check_rescheduled AFTER UPDATE OF status ON tweetqueue.tweets
    FOR EACH ROW WHEN (OLD.status IN ('failed', 'missed', 'cancelled')
        AND NEW.status = 'scheduled')
    EXECUTE FUNCTION tweetqueue.check_edited_tweet();

-- Rows that never had a request may be removed; any other is the account of what was said in
-- public. Returns how many were removed.
CREATE FUNCTION tweetqueue.remove_tweets(VARIADIC ids bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH removed AS (
        DELETE FROM tweetqueue.tweets t
        WHERE t.id = ANY (ids) AND t.status NOT IN ('sending', 'unconfirmed', 'posted')
            AND t.request_id IS NULL
        RETURNING 1)
    SELECT count(*) FROM removed
$$;
CREATE FUNCTION tweetqueue.remove_deletions(VARIADIC ids bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH removed AS (
        DELETE FROM tweetqueue.deletions d
        WHERE d.id = ANY (ids) AND d.status NOT IN ('sending', 'unconfirmed', 'deleted')
            AND d.request_id IS NULL
        RETURNING 1)
    SELECT count(*) FROM removed
$$;

-- +goose Down

DROP TRIGGER a_check_status_insert ON tweetqueue.tweets;
DROP TRIGGER a_check_status_update ON tweetqueue.tweets;
DROP TRIGGER a_check_insert ON tweetqueue.tweets;
DROP TRIGGER b_park_insert ON tweetqueue.tweets;
DROP TRIGGER b_park_update ON tweetqueue.tweets;
DROP TRIGGER b_park_delete ON tweetqueue.tweets;
DROP TRIGGER a_reset_waiting ON tweetqueue.tweets;
DROP TRIGGER a_forget_measure ON tweetqueue.tweets;
DROP TRIGGER a_mark_next ON tweetqueue.tweets;
DROP TRIGGER a_schedule_deletion ON tweetqueue.tweets;
DROP TRIGGER a_refuse_edit ON tweetqueue.tweets;
DROP TRIGGER a_check_edit ON tweetqueue.tweets;
DROP TRIGGER a_check_rescheduled ON tweetqueue.tweets;
DROP TRIGGER a_check_status_insert ON tweetqueue.deletions;
DROP TRIGGER a_check_status_update ON tweetqueue.deletions;
DROP TRIGGER b_park_insert ON tweetqueue.deletions;
DROP TRIGGER b_park_update ON tweetqueue.deletions;
DROP TRIGGER b_park_delete ON tweetqueue.deletions;
DROP TRIGGER a_reset_waiting ON tweetqueue.deletions;
DROP TRIGGER a_refuse_edit ON tweetqueue.deletions;
DROP TRIGGER mark_held ON tweetqueue.accounts;
DROP TRIGGER mark_held ON tweetqueue.apps;
DROP TRIGGER set_quotas_insert ON tweetqueue.accounts;
DROP TRIGGER set_quotas_update ON tweetqueue.accounts;
DROP FUNCTION tweetqueue.park, tweetqueue.parked_state, tweetqueue.check_status,
    tweetqueue.refuse_status, tweetqueue.may_follow, tweetqueue.may_follow_by_hand,
    tweetqueue.reset_waiting, tweetqueue.check_inserted_tweets, tweetqueue.check_edited_tweet,
    tweetqueue.check_tweet, tweetqueue.text_length_at_least, tweetqueue.refuse_edit,
    tweetqueue.forget_measure, tweetqueue.mark_held, tweetqueue.mark_next,
    tweetqueue.schedule_deletion, tweetqueue.set_quotas, tweetqueue.remove_tweets,
    tweetqueue.remove_deletions;
DELETE FROM tweetqueue.schema_versions WHERE version = 3;
