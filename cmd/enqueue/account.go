package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"tweetqueue/cmd/internal/setup"
	"tweetqueue/store"
	"tweetqueue/twitter"
)

// xSettings are the settings of `enqueue account add`, beside the database's and the key.
type xSettings struct {
	APIKey            store.Secret `setting:"X_API_KEY" help:"The API key of your X developer App. 'enqueue account add' needs it and keeps it, encrypted, in the database, where 'worker' finds it."`
	APISecret         store.Secret `setting:"X_API_SECRET" help:"The API key's secret."`
	BaseURL           string       `setting:"X_API_BASE_URL" default:"https://api.x.com" help:"Where X is: https, or http with a host of this machine."`
	AccessToken       store.Secret `setting:"X_ACCESS_TOKEN" help:"The account's access token, for 'enqueue account add'; it asks if this is not set."`
	AccessTokenSecret store.Secret `setting:"X_ACCESS_TOKEN_SECRET" help:"The access token's secret, for 'enqueue account add'."`
}

// readXSettings reads them; baseURL is the flag, which overrides.
func readXSettings(env *setup.Env, baseURL string) xSettings {
	var x xSettings
	x.APIKey, x.APISecret = env.Pair("X_API_KEY", "X_API_SECRET", " to use the keys in the database")
	x.AccessToken, x.AccessTokenSecret = env.Pair("X_ACCESS_TOKEN", "X_ACCESS_TOKEN_SECRET", " to give them on standard input")
	x.BaseURL = env.XBaseURL(baseURL)
	return x
}

func (x xSettings) client(keys store.AppCredentials, tokens store.AccountCredentials) (*twitter.Client, error) {
	return twitter.NewClient(twitter.Config{BaseURL: x.BaseURL}, twitter.OAuth1{
		APIKey: string(keys.APIKey), APISecret: string(keys.APISecret),
		AccessToken: string(tokens.AccessToken), AccessTokenSecret: string(tokens.AccessTokenSecret),
	})
}

type accountAddCmd struct {
	Username  string `arg:"" help:"The account's username on X."`
	Zone      string `placeholder:"ZONE" help:"The account's IANA time zone, such as Europe/Vienna. Without it: UTC, or unchanged."`
	TextLimit int    `placeholder:"N" help:"The weighted length that a text may have: 280, or 25000 with X Premium. Without it: 280, or unchanged."`

	XAPIBaseURL string `name:"x-api-base-url" placeholder:"URL" help:"Where X is, instead of X_API_BASE_URL."`
}

// Help is shown by --help.
func (*accountAddCmd) Help() string {
	return `The keys of your X developer App come from X_API_KEY and X_API_SECRET, or are those that the database has. The account's access token and its secret come from X_ACCESS_TOKEN and X_ACCESS_TOKEN_SECRET, or from standard input: two lines, or two questions on a terminal. X is asked whose they are; an account with another username is refused, and nothing is saved. All of them are stored encrypted.

Examples:

    enqueue account add acme --zone Europe/Vienna
    enqueue account add acme < tokens.txt
    X_ACCESS_TOKEN_FILE=/run/secrets/token X_ACCESS_TOKEN_SECRET_FILE=/run/secrets/token-secret enqueue account add acme`
}

// Run adds an account or renews its tokens.
func (c *accountAddCmd) Run(ctx context.Context, s *session) error {
	env := setup.NewEnv(s.lookup)
	settings, x := setup.Read(env, false), readXSettings(env, c.XAPIBaseURL)
	c.check(env)
	if err := env.Err(); err != nil {
		return err
	}
	tokens := store.AccountCredentials{AccessToken: x.AccessToken, AccessTokenSecret: x.AccessTokenSecret}
	if tokens.AccessToken == "" {
		var err error
		if tokens, err = s.readTokens(ctx); err != nil {
			return err
		}
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		account, err := c.add(ctx, s, db, x, tokens)
		if err != nil {
			return err
		}
		return s.print(account, func(w io.Writer) {
			fmt.Fprintf(w, "account %s saved: X user %s, time zone %s, texts up to %d\n", account.Username, account.XUserID, account.TimeZone, account.TextLimit)
		})
	})
}

// add asks X whose tokens these are, and saves them if they are the account's.
func (c *accountAddCmd) add(ctx context.Context, s *session, db *setup.Database, x xSettings, tokens store.AccountCredentials) (store.Account, error) {
	ring, err := db.Keyring()
	if err != nil {
		return store.Account{}, err
	}
	keys := store.AppCredentials{APIKey: x.APIKey, APISecret: x.APISecret}
	known, err := knownKeys(ctx, db, ring)
	switch {
	case errors.Is(err, store.ErrSealed):
		return store.Account{}, fmt.Errorf("%w; nothing was saved: use the TWEETQUEUE_KEY that the workers use", err)
	case keys.APIKey != "":
	case errors.Is(err, store.ErrNotFound):
		return store.Account{}, setup.Usage("X_API_KEY and X_API_SECRET are not set, and the database holds no keys yet: take them from your developer App at X")
	case err != nil:
		return store.Account{}, err
	default:
		keys = known
	}
	client, err := x.client(keys, tokens)
	if err != nil {
		return store.Account{}, setup.Usage("%w", err)
	}
	user, err := client.Me(ctx)
	if err != nil {
		return store.Account{}, fmt.Errorf("ask X whose tokens these are: %w", err)
	}
	if !strings.EqualFold(user.Username, c.Username) {
		return store.Account{}, fmt.Errorf("%w: X says that these tokens are those of %s, not of %s; nothing was saved: give the tokens of %s, or add %s",
			store.ErrRefused, user.Username, c.Username, c.Username, user.Username)
	}
	if err := c.save(ctx, db, ring, user, keys, tokens); err != nil {
		return store.Account{}, err
	}
	if user.Answer.AccessLevel == "read" {
		s.warnf("these tokens may only read: give the App the permission 'Read and write' at X, make the tokens anew, and add the account again")
	}
	if known.APIKey != "" && known.APIKey != keys.APIKey {
		s.warnf("X_API_KEY replaced another App's keys: tokens that other accounts got from that App do not work any more, add those accounts again")
	}
	return store.AccountGet(ctx, db.Pool, user.Username)
}

// knownKeys returns the App's keys that the database holds.
func knownKeys(ctx context.Context, db *setup.Database, ring *store.Keyring) (store.AppCredentials, error) {
	sealed, err := store.AppSealed(ctx, db.Pool, store.DefaultApp)
	if err != nil {
		return store.AppCredentials{}, err
	}
	return store.OpenApp(ring, store.DefaultApp, sealed)
}

func (c *accountAddCmd) check(env *setup.Env) {
	var err error
	if c.Username, err = parseUsername(c.Username); err != nil {
		env.Errorf("%w", err)
	}
	if c.Zone != "" {
		if _, err := loadZone(c.Zone); err != nil {
			env.Errorf("--zone: %w", err)
		}
	}
	if c.TextLimit != 0 && (c.TextLimit < 280 || c.TextLimit > 25000) {
		env.Errorf("--text-limit is %d: use 280 to 25000", c.TextLimit)
	}
}

// save writes app and account, encrypted, or neither.
func (c *accountAddCmd) save(ctx context.Context, db *setup.Database, ring *store.Keyring, user *twitter.User,
	keys store.AppCredentials, tokens store.AccountCredentials,
) error {
	sealedKeys, err := keys.Seal(ring, store.DefaultApp)
	if err != nil {
		return err
	}
	sealedTokens, err := tokens.Seal(ring, user.ID)
	if err != nil {
		return err
	}
	return store.InTx(ctx, db.Pool, func(tx pgx.Tx) error {
		appID, err := store.AppPut(ctx, tx, store.DefaultApp, sealedKeys)
		if err != nil {
			return err
		}
		_, err = store.AccountPut(ctx, tx, store.AccountPutParams{
			Username: user.Username, XUserID: user.ID, AppID: appID, Credentials: sealedTokens,
			TimeZone: c.Zone, TextLimit: c.TextLimit,
		})
		if refused := new(store.RefusedError); errors.As(err, &refused) && refused.Constraint == "accounts_username_key" {
			return fmt.Errorf("%w: another X user had the name %s when it was added: add that account again first, under the name it has now",
				store.ErrRefused, user.Username)
		}
		return err
	})
}

type accountListCmd struct{}

// Help is shown by --help.
func (*accountListCmd) Help() string {
	return `Example:

    enqueue account list`
}

// Run lists the accounts.
func (*accountListCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(nil)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		accounts, err := store.AccountList(ctx, db.Pool)
		if err != nil {
			return err
		}
		return s.print(append([]store.Account{}, accounts...), func(w io.Writer) { accountTable(w, accounts) })
	})
}

// holdWords says how an account or an app stands, until when and why.
func holdWords(h store.Hold, timeZone string) string {
	words := strings.ReplaceAll(string(h.State), "_", " ")
	if h.Until != nil {
		if zone, err := loadZone(timeZone); err == nil {
			words += " until " + formatShort(*h.Until, zone)
		}
	}
	if h.Reason != nil {
		words += ": " + folded(*h.Reason) // whole: what to do is at its end
	}
	return words
}

func accountTable(w io.Writer, accounts []store.Account) {
	if len(accounts) == 0 {
		fmt.Fprintln(w, "there are no accounts: add one with 'enqueue account add'")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tX USER\tAPP\tTIME ZONE\tLIMITS\tTEXT\tSTATE")
	for _, a := range accounts {
		state := holdWords(a.Hold, a.TimeZone)
		if a.AppHold.State != store.Active {
			state += fmt.Sprintf("; its app %q is %s", a.App, holdWords(a.AppHold, a.TimeZone))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", a.Username, a.XUserID, a.App, a.TimeZone, a.LimitsPreset, a.TextLimit, state)
	}
	_ = table.Flush() // what is beneath is a buffer
	for _, hint := range resumeHints(accounts) {
		fmt.Fprintln(w, hint)
	}
}

// resumeHints names the commands that end the holds of accounts and of their apps.
func resumeHints(accounts []store.Account) []string {
	var hints []string
	if slices.ContainsFunc(accounts, func(a store.Account) bool { return a.State != store.Active }) {
		hints = append(hints, "'enqueue account resume USERNAME' ends the hold of an account")
	}
	for _, a := range accounts {
		if a.AppHold.State != store.Active {
			hints = append(hints, fmt.Sprintf("'enqueue account resume --app %s' ends the hold of app %[1]q", a.App))
		}
	}
	return unique(hints)
}

type accountResumeCmd struct {
	Username string `arg:"" optional:"" help:"The account."`
	App      string `placeholder:"NAME" help:"The app, which holds all of its accounts, instead of an account."`
}

// Help is shown by --help.
func (*accountResumeCmd) Help() string {
	return `Its rows go on at once. If what X said still holds, it says so again. A row that X is asked to try goes by itself at the instant that 'enqueue account list' shows, if it shows one.

Examples:

    enqueue account resume acme
    enqueue account resume --app default`
}

// Run ends a hold.
func (c *accountResumeCmd) Run(ctx context.Context, s *session) error {
	settings, err := s.readDatabase(func(env *setup.Env) { accountOrApp(env, &c.Username, c.App) })
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, settings, func(db *setup.Database) error {
		before, err := c.accounts(ctx, db)
		if err != nil {
			return err
		}
		if c.App != "" {
			err = store.AppResume(ctx, db.Pool, c.App)
		} else {
			err = store.AccountResume(ctx, db.Pool, c.Username)
		}
		if err != nil {
			return err
		}
		c.warnIfNotHeld(s, before)
		accounts, err := c.accounts(ctx, db)
		if err != nil {
			return err
		}
		return s.print(append([]store.Account{}, accounts...), func(w io.Writer) { accountTable(w, accounts) })
	})
}

// accounts returns the account, or those of the app.
func (c *accountResumeCmd) accounts(ctx context.Context, db *setup.Database) ([]store.Account, error) {
	accounts, err := store.AccountList(ctx, db.Pool)
	return slices.DeleteFunc(accounts, func(a store.Account) bool {
		return c.App != "" && a.App != c.App || c.App == "" && !strings.EqualFold(a.Username, c.Username)
	}), err
}

// warnIfNotHeld warns that there was no hold to end, and names the one that there is instead.
func (c *accountResumeCmd) warnIfNotHeld(s *session, before []store.Account) {
	if len(before) == 0 { // an app without accounts
		return
	}
	a := before[0]
	switch {
	case c.App != "" && a.AppHold.State == store.Active:
		s.warnf("app %q was not held", a.App)
	case c.App != "" || a.State != store.Active:
	case a.AppHold.State != store.Active:
		s.warnf("account %s was not held, but its app %q is: 'enqueue account resume --app %[2]s' ends that", a.Username, a.App)
	default:
		s.warnf("account %s was not held", a.Username)
	}
}
