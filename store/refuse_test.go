package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// illegal has, for each named constraint, statements that it refuses.
func illegal() map[string][]string {
	tweet := func(columns, values string) string {
		return `INSERT INTO tweetqueue.tweets (account, text, ` + columns + `) VALUES ('acme', 'hello', ` + values + `)`
	}
	bare := func(columns, values string) string {
		return `INSERT INTO tweetqueue.tweets (` + columns + `) VALUES (` + values + `)`
	}
	deletion := func(columns, values string) string {
		return `INSERT INTO tweetqueue.deletions (` + columns + `) VALUES (` + values + `)`
	}
	retweet := func(columns, values string) string {
		return `INSERT INTO tweetqueue.retweets (account, ` + columns + `) VALUES ('acme', ` + values + `)`
	}
	set := func(table, what string) string { return `UPDATE tweetqueue.` + table + ` SET ` + what }
	return map[string][]string{
		"tweets_account_fkey":  {bare("account, text", "'nobody', 'hello'"), bare("account, text", "'@acme', 'hello'")},
		"tweets_account_check": {bare("account, text", `E'acme'||repeat(E'\u200B', 9), 'hello'`)}, // equal to acme, for the collation
		"tweets_text_size_check": {
			bare("account, text", "'acme', repeat('a', 100001)"), bare("account, text", "'acme', repeat('の', 33334)"),
		},
		"tweets_text_or_media_check": {bare("account, text", "'acme', ''"), bare("account, text", "'acme', '  '"), bare("account", "'acme'")},
		"tweets_post_at_check": {
			tweet("post_at", "'infinity'"), tweet("post_at", "'-infinity'"), tweet("post_at", "'10000-01-01 00:00+00'"), tweet("post_at", "'0001-01-01 BC'"),
		},
		"tweets_in_reply_to_tweet_id_check": {
			tweet("in_reply_to_tweet_id", "''"), tweet("in_reply_to_tweet_id", "'12a'"), tweet("in_reply_to_tweet_id", "'12345678901234567890'"),
			tweet("in_reply_to_tweet_id", `E'12\n'`), tweet("in_reply_to_tweet_id", "'١٢'"),
		},
		"tweets_exclude_reply_user_ids_check": {
			tweet("exclude_reply_user_ids", "'{1}'"), tweet("in_reply_to_tweet_id, exclude_reply_user_ids", "'1', '{}'"),
			tweet("in_reply_to_tweet_id, exclude_reply_user_ids", "'1', '{1,x}'"), tweet("in_reply_to_tweet_id, exclude_reply_user_ids", "'1', '{1,NULL}'"),
			tweet("in_reply_to_tweet_id, exclude_reply_user_ids", "'1', array_fill('1'::text, '{101}')"),
		},
		"tweets_quote_tweet_id_check":  {tweet("quote_tweet_id", "'x'")},
		"tweets_media_ids_check":       {tweet("media_ids", "'{}'"), tweet("media_ids", "'{1,2,3,4,5}'"), tweet("media_ids", "'{a}'"), tweet("media_ids", "'{NULL}'")},
		"tweets_tagged_user_ids_check": {tweet("tagged_user_ids", "'{1}'"), tweet("media_ids, tagged_user_ids", "'{1}', '{1,2,3,4,5,6,7,8,9,10,11}'")},
		"tweets_poll_options_check": {
			tweet("poll_options, poll_duration_minutes", "'{a}', 60"), tweet("poll_options, poll_duration_minutes", "'{a,b,c,d,e}', 60"),
			tweet("poll_options, poll_duration_minutes", `'{a,""}', 60`), tweet("poll_options, poll_duration_minutes", "'{a,NULL}', 60"),
			tweet("poll_options, poll_duration_minutes", "ARRAY['a', repeat('b', 26)], 60"),
		},
		"tweets_poll_duration_minutes_check": {
			tweet("poll_options", "'{a,b}'"), tweet("poll_duration_minutes", "60"),
			tweet("poll_options, poll_duration_minutes", "'{a,b}', 4"), tweet("poll_options, poll_duration_minutes", "'{a,b}', 10081"),
		},
		"tweets_one_attachment_check": {
			tweet("quote_tweet_id, media_ids", "'1', '{1}'"), tweet("quote_tweet_id, poll_options, poll_duration_minutes", "'1', '{a,b}', 60"),
			tweet("media_ids, poll_options, poll_duration_minutes", "'{1}', '{a,b}', 60"),
		},
		"tweets_place_id_check":           {tweet("place_id", "''"), tweet("place_id", "repeat('a', 101)")},
		"tweets_reply_settings_check":     {tweet("reply_settings", "'everyone'")},
		"tweets_community_id_check":       {tweet("community_id", "'x'")},
		"tweets_extra_check":              {tweet("extra", "'[]'"), tweet("extra", "'1'"), tweet("extra", `jsonb_build_object('a', repeat('a', 100000))`)},
		"tweets_previous_id_before_check": {tweet("id, previous_id", "1, 1"), tweet("previous_id", "999999"), set("tweets", "previous_id = id + 1")},
		"tweets_reply_or_thread_check":    {tweet("previous_id, in_reply_to_tweet_id", "(SELECT min(id) FROM tweetqueue.tweets), '1'")},
		"tweets_previous_id_fkey":         {tweet("previous_id", "-1")},
		"tweets_post_before_check": {
			tweet("post_at, post_before", "'2030-01-02', '2030-01-01'"), tweet("post_at, post_before", "'2030-01-01', '2030-01-01'"),
			tweet("post_before", "'infinity'"), tweet("post_before", "tweetqueue.clock() - interval '1 minute'"),
		},
		"tweets_delete_after_check":   {tweet("delete_after", "'0'"), tweet("delete_after", "'-1 hour'"), tweet("delete_after", "'101 years'")},
		"tweets_priority_check":       {tweet("priority", "0"), tweet("priority", "5")},
		"tweets_if_unconfirmed_check": {tweet("if_unconfirmed", "'maybe'"), tweet("if_unconfirmed", "''")},
		"tweets_idempotency_key_check": {
			tweet("idempotency_key", "''"), tweet("idempotency_key", "repeat('a', 201)"),
		},
		"tweets_idempotency_key_key": {tweet("idempotency_key", "'once'")},
		"tweets_metadata_check":      {tweet("metadata", `jsonb_build_object('a', repeat('a', 100000))`)},
		"tweets_status_check":        {set("tweets", "status = 'done', waiting_for = NULL"), set("tweets", "status = 'deleted', waiting_for = NULL")},
		"tweets_waiting_for_check":   {set("tweets", "waiting_for = NULL"), set("tweets", "waiting_for = 'godot'"), set("tweets", "status = 'failed'")},
		"tweets_posted_check": {
			set("tweets", "status = 'posted', waiting_for = NULL"), set("tweets", "status = 'posted', waiting_for = NULL, tweet_id = '1'"),
			set("tweets", "tweet_id = '1', posted_at = now()"), set("tweets", "status = 'posted', waiting_for = NULL, tweet_id = 'x', posted_at = now()"),
		},
		"tweets_request_id_check":          {set("tweets", "status = 'sending', waiting_for = NULL"), set("tweets", "status = 'unconfirmed', waiting_for = NULL")},
		"tweets_tweet_id_key":              {tweet("tweet_id", "'1'") + `, ('acme', 'hello', '1')`},
		"tweets_text_length_check":         {bare("account, text", "'acme', repeat('a', 281)"), set("tweets", "text = repeat('の', 141)")},
		"tweets_post_before_ahead_check":   {tweet("post_at, post_before", "'2020-01-01', '2020-01-02'"), set("tweets", "post_at = '2020-01-01', post_before = '2020-01-02'")},
		"tweets_previous_id_account_check": {bare("account, text, previous_id", "'other', 'hello', (SELECT min(id) FROM tweetqueue.tweets)")},

		"deletions_account_fkey":      {deletion("account, tweet_id", "'nobody', '1'")},
		"deletions_account_check":     {deletion("account, tweet_id", `E'acme'||repeat(E'\u200B', 9), '1'`)},
		"deletions_delete_at_check":   {deletion("account, tweet_id, delete_at", "'acme', '1', 'infinity'"), deletion("account, tweet_id, delete_at", "'acme', '1', '-infinity'")},
		"deletions_tweet_id_check":    {deletion("account, tweet_id", "'acme', ''"), deletion("account, tweet_id", "'acme', 'https://x.com/a/status/1'")},
		"deletions_priority_check":    {deletion("account, tweet_id, priority", "'acme', '1', 0")},
		"deletions_metadata_check":    {deletion("account, tweet_id, metadata", "'acme', '1', jsonb_build_object('a', repeat('a', 100000))")},
		"deletions_status_check":      {set("deletions", "status = 'posted', waiting_for = NULL")},
		"deletions_waiting_for_check": {set("deletions", "waiting_for = NULL"), set("deletions", "waiting_for = 'thread'")},
		"deletions_deleted_check":     {set("deletions", "status = 'deleted', waiting_for = NULL"), set("deletions", "deleted_at = now()")},
		"deletions_request_id_check":  {set("deletions", "status = 'sending', waiting_for = NULL")},

		"retweets_account_fkey":      {`INSERT INTO tweetqueue.retweets (account, tweet_id) VALUES ('nobody', '1')`},
		"retweets_account_check":     {`INSERT INTO tweetqueue.retweets (account, tweet_id) VALUES (E'acme'||repeat(E'\u200B', 9), '1')`},
		"retweets_retweet_at_check":  {retweet("tweet_id, retweet_at", "'1', 'infinity'"), retweet("tweet_id, retweet_at", "'1', '-infinity'")},
		"retweets_tweet_id_check":    {retweet("tweet_id", "''"), retweet("tweet_id", "'https://x.com/a/status/1'")},
		"retweets_undo_after_check":  {retweet("tweet_id, undo_after", "'1', '0'"), retweet("tweet_id, undo_after", "'1', '-1 hour'"), retweet("tweet_id, undo_after", "'1', '101 years'")},
		"retweets_priority_check":    {retweet("tweet_id, priority", "'1', 0"), retweet("tweet_id, priority", "'1', 5")},
		"retweets_metadata_check":    {retweet("tweet_id, metadata", "'1', jsonb_build_object('a', repeat('a', 100000))")},
		"retweets_status_check":      {set("retweets", "status = 'posted', waiting_for = NULL")},
		"retweets_waiting_for_check": {set("retweets", "waiting_for = NULL"), set("retweets", "waiting_for = 'thread'")},
		"retweets_retweeted_check":   {set("retweets", "status = 'retweeted', waiting_for = NULL"), set("retweets", "retweeted_at = now()")},
		"retweets_request_id_check":  {set("retweets", "status = 'sending', waiting_for = NULL")},

		"requests_places_check":  {`INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, places) VALUES ('post_tweet', 1, (SELECT min(id) FROM tweetqueue.accounts), (SELECT min(id) FROM tweetqueue.workers), 1, now(), now(), -1)`},
		"requests_kind_check":    {`INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by) VALUES ('like', 1, (SELECT min(id) FROM tweetqueue.accounts), (SELECT min(id) FROM tweetqueue.workers), 1, now(), now())`},
		"requests_outcome_check": {`INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, outcome) VALUES ('post_tweet', 1, (SELECT min(id) FROM tweetqueue.accounts), (SELECT min(id) FROM tweetqueue.workers), 1, now(), now(), 'done')`},

		"requests_looked_for_check": {
			`INSERT INTO tweetqueue.requests (kind, account_id, worker_id, job_id, granted_at, send_by) VALUES ('look_up', (SELECT min(id) FROM tweetqueue.accounts), (SELECT min(id) FROM tweetqueue.workers), 1, now(), now())`,
			`INSERT INTO tweetqueue.requests (kind, row_id, account_id, worker_id, job_id, granted_at, send_by, looked_for) VALUES ('post_tweet', 1, (SELECT min(id) FROM tweetqueue.accounts), (SELECT min(id) FROM tweetqueue.workers), 1, now(), now(), '{1}')`,
		},
		"prices_usd_check":           {set("prices", "usd = -1")},
		"prices_per_check":           {set("prices", "per = 'day'")},
		"prices_action_with_url_key": {set("prices", "action = 'post', with_url = false WHERE name = 'media_metadata'")},

		"apps_name_check":            {`INSERT INTO tweetqueue.apps (name, credentials) VALUES ('', '')`, `INSERT INTO tweetqueue.apps (name, credentials) VALUES (repeat('a', 101), '')`},
		"apps_name_key":              {`INSERT INTO tweetqueue.apps (name, credentials) VALUES ('default', '')`},
		"apps_budget_usd_check":      {set("apps", "budget_usd = -1")},
		"accounts_budget_usd_check":  {set("accounts", "budget_usd = -1")},
		"apps_owner_x_user_id_check": {set("apps", "owner_x_user_id = 'x'")},
		"apps_state_check":           {set("apps", "state = 'needs_login', state_reason = 'a'")},
		"apps_state_reason_check":    {set("apps", "state = 'paused'")},
		"apps_state_until_check":     {set("apps", "state = 'paused', state_reason = 'a', state_until = 'infinity'")},

		"accounts_username_check":      {set("accounts", "username = '@acme'"), set("accounts", "username = ''"), set("accounts", "username = repeat('a', 21)"), set("accounts", "username = 'ａcme'")},
		"accounts_username_key":        {set("accounts", "username = 'ACME' WHERE username = 'other'")},
		"accounts_x_user_id_check":     {set("accounts", "x_user_id = 'x'")},
		"accounts_x_user_id_key":       {set("accounts", "x_user_id = '42' WHERE username = 'other'")},
		"accounts_auth_check":          {set("accounts", "auth = 'basic'")},
		"accounts_state_check":         {set("accounts", "state = 'gone', state_reason = 'a'")},
		"accounts_state_reason_check":  {set("accounts", "state = 'paused'")},
		"accounts_state_until_check":   {set("accounts", "state = 'paused', state_reason = 'a', state_until = 'infinity'")},
		"accounts_text_limit_check":    {set("accounts", "text_limit = 279"), set("accounts", "text_limit = 25001")},
		"accounts_limits_preset_check": {set("accounts", "limits_preset = 'none'")},

		"limits_actions_check":       {set("limits", "actions = '{}'"), set("limits", "actions = '{like}'")},
		"limits_maximum_check":       {set("limits", "maximum = 0")},
		"limits_period_check":        {set("limits", "period = '0'"), set("limits", "period = '59 seconds'")},
		"quotas_account_id_name_key": {`INSERT INTO tweetqueue.quotas (account_id, name, actions, maximum, period) SELECT account_id, name, actions, maximum, period FROM tweetqueue.quotas`},
		"quotas_buckets_check":       {set("quotas", "buckets = '{1}'")},
		"quotas_maximum_check":       {set("quotas", "maximum = 0")},
		"quotas_x_maximum_check":     {set("quotas", "x_maximum = 0")},
		"quotas_others_check":        {set("quotas", "others = -1"), set("quotas", "others = 1")},
		"quotas_of_one_check":        {set("quotas", "account_id = NULL"), set("quotas", "app_id = (SELECT min(id) FROM tweetqueue.apps)")},
		"quotas_app_id_name_key": {`INSERT INTO tweetqueue.quotas (app_id, name, actions, maximum, period)
			SELECT a.id, 'posts', '{post}', 1, '1 day' FROM tweetqueue.apps a, generate_series(1, 2)`},
		"limits_per_check":    {set("limits", "per = 'world'")},
		"limits_family_check": {set("limits", "family = 'day'")},
		"quotas_period_check": {set("quotas", "period = '-1 hour'")},

		"installation_singleton_check":        {`INSERT INTO tweetqueue.installation (singleton) VALUES (false)`},
		"schema_versions_oldest_worker_check": {`INSERT INTO tweetqueue.schema_versions (version, river_version, oldest_worker) VALUES (100, 8, 101)`},
	}
}

// Every constraint has a row that it refuses, and says its own name.
func TestEveryConstraintRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "other", XUserID: "43"})
	exec(t, b.db, `INSERT INTO tweetqueue.tweets (account, text, post_at, idempotency_key) VALUES ('acme', 'hello', '2030-01-01', 'once')`)
	storetest.Deletion(t, b.db, "77", time.Hour)
	storetest.Retweet(t, b.db, "77", time.Hour)
	tx := storetest.Tx(t, b.db)
	cases := illegal()
	for name, statements := range cases {
		for _, sql := range statements {
			savepoint, err := tx.Begin(t.Context())
			require.NoError(t, err)
			_, err = savepoint.Exec(t.Context(), sql)
			require.Error(t, err, "%s: %s", name, sql)
			require.Equal(t, name, constraint(t, err), sql)
			require.NoError(t, savepoint.Rollback(t.Context()))
		}
	}
	for _, name := range queryAll[string](t, b.db, `SELECT c.conname FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
		WHERE c.connamespace = 'tweetqueue'::regnamespace AND c.contype IN ('c', 'f', 'u')
			AND r.relname NOT LIKE 'river%' AND r.relname NOT LIKE 'goose%'`) {
		if !strings.HasSuffix(name, "_id_fkey") || name == "tweets_previous_id_fkey" { // keys that no application writes
			require.Contains(t, cases, name)
		}
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "premium", XUserID: "43", TextLimit: 25_000})
	tx := storetest.Tx(t, b.db)
	exec(t, tx, `SET LOCAL ROLE tweetqueue_writer`)
	for _, values := range []string{
		`'acme', repeat('a', 280)`,
		`'acme', repeat('の', 140)`,
		`'ACME', repeat('a', 250) || ' https://example.com/' || repeat('b', 100)`,
		`'acme', repeat('b', 5) || ' https://example.com/' || repeat('b', 10000)`,
		`'premium', repeat('a', 281)`,
		`'premium', repeat('の', 12500)`,
	} {
		exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text) VALUES (`+values+`)`)
	}
	exec(t, tx, `INSERT INTO tweetqueue.tweets (account, media_ids, tagged_user_ids) VALUES ('acme', '{1,2,3,4}', '{1}')`)
	exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, poll_options, poll_duration_minutes) VALUES ('acme', 'a', '{a,b}', 5)`)
	exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, post_before) VALUES ('acme', 'a', tweetqueue.clock() + interval '1 minute')`)
	exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, previous_id) SELECT 'Acme', 'next', min(id) FROM tweetqueue.tweets`)
	exec(t, tx, `INSERT INTO tweetqueue.tweets (account, text, post_at) VALUES ('acme', 'a', '1999-01-01')`)
}

// What a person reads who writes a row that is refused.
func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		account    string
		tweet      store.Tweet
		at         *time.Time
		constraint string
		words      string
	}{
		"UnknownAccount":    {account: "nobody", tweet: store.Tweet{Text: "a"}, constraint: "tweets_account_fkey", words: `Key (account)=(nobody) is not present in table "accounts"`},
		"TooLong":           {tweet: store.Tweet{Text: strings.Repeat("a", 281)}, constraint: "tweets_text_length_check", words: `the text is too long for account "acme": its weighted length is at least 281, the limit is 280`},
		"TooLongInJapanese": {tweet: store.Tweet{Text: strings.Repeat("の", 141)}, constraint: "tweets_text_length_check", words: "its weighted length is at least 282, the limit is 280"},
		"DeadlineFirst":     {tweet: store.Tweet{Text: "a", PostBefore: &past}, at: &future, constraint: "tweets_post_before_check", words: "tweets_post_before_check"},
		"DeadlinePassed":    {tweet: store.Tweet{Text: "a", PostBefore: &past}, at: new(past.Add(-time.Hour)), constraint: "tweets_post_before_ahead_check", words: "has passed: the tweet could only be missed"},
		"InvalidUTF8":       {tweet: store.Tweet{Text: "a\xff"}, words: "invalid byte sequence"},
		"NUL":               {tweet: store.Tweet{Text: "a\x00"}, words: "invalid byte sequence"},
		"NULInJSON":         {tweet: store.Tweet{Text: "a", Metadata: []byte(`{"a":"\u0000"}`)}, words: "unsupported Unicode escape sequence"},
		"NoJSON":            {tweet: store.Tweet{Text: "a", Metadata: []byte(`{"a"`)}, words: "invalid input syntax for type json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.account == "" {
				c.account = "acme"
			}
			_, _, err := store.TweetInsert(t.Context(), b.db, c.account, c.tweet, c.at, 0)
			require.ErrorIs(t, err, store.ErrRefused)
			refused := new(store.RefusedError)
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.constraint, refused.Constraint)
			require.ErrorContains(t, err, c.words)
			require.NotContains(t, err.Error(), "aaaa", "a text must not stand in an error")
		})
	}
	_, _, err := store.DeletionInsert(t.Context(), b.db, "acme", "x", nil, 0)
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "deletions_tweet_id_check")
	_, _, err = store.DeletionInsert(t.Context(), b.db, "acme", "1", nil, 9)
	require.ErrorContains(t, err, "deletions_priority_check")
}

// An edit is looked at as an insert is, and only for what it changes.
func TestEditsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tweet(t, b.db, strings.Repeat("a", 280), time.Hour)
	err := store.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE tweetqueue.tweets SET text = text || 'a' WHERE id = $1`, id)
		return err
	})
	require.Equal(t, "tweets_text_length_check", constraint(t, err))

	// A text within a limit that shrank later is nobody's concern but an edit's of the text.
	exec(t, b.db, `UPDATE tweetqueue.accounts SET text_limit = 25000`)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET text = repeat('a', 1000) WHERE id = $1`, id)
	exec(t, b.db, `UPDATE tweetqueue.accounts SET text_limit = 280`)
	exec(t, b.db, `UPDATE tweetqueue.tweets SET priority = 1 WHERE id = $1`, id)
	_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.tweets SET text = repeat('b', 1000) WHERE id = $1`, id)
	require.Equal(t, "tweets_text_length_check", constraint(t, err))
	b.settle(t, store.PostTweet, b.start(t, store.PostTweet, id)[0], store.Settlement{Status: store.Scheduled, WaitFor: store.ForRetry})
	_, err = store.Cancel(t.Context(), b.db, id)
	require.NoError(t, err)
}
