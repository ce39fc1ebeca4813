package sandbox

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// App is a developer App: what X's console calls a project's keys. The credentials of a sandbox
// guard nothing, so they are plain strings.
type App struct {
	Key      string `json:"key"`       // the API key; generated if empty
	Secret   string `json:"secret"`    // the API key secret; generated if empty
	Name     string `json:"name"`      // for the record; "app" if empty
	ReadOnly bool   `json:"read_only"` // its tokens may not write: 403 oauth1-permissions
}

// User is an account of X.
type User struct {
	ID        string `json:"id"`         // decimal; generated if empty
	Username  string `json:"username"`   // 1 to 15 of A-Z a-z 0-9 _, unique without regard to case
	Name      string `json:"name"`       // the display name; the username if empty
	TextLimit int    `json:"text_limit"` // weighted characters; 0 is 280, Premium has 25000
	Suspended bool   `json:"suspended"`  // 403 user-suspended on every route

	// GeoDisabled is the profile's setting: a place is then left off the user's tweets, silently.
	GeoDisabled bool `json:"geo_disabled"`
}

// Credentials are what a client signs with for one user of one app.
type Credentials struct {
	APIKey            string `json:"api_key"`
	APISecret         string `json:"api_secret"`
	AccessToken       string `json:"access_token"`
	AccessTokenSecret string `json:"access_token_secret"`
}

// PremiumTextLimit is the TextLimit of an account with X Premium.
const PremiumTextLimit = 25000

const defaultTextLimit = 280

var (
	usernamePattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,15}$`)
	idPattern       = regexp.MustCompile(`^[0-9]{1,19}$`)
)

// accounts are the apps, users and tokens, guarded by Server.mu.
type accounts struct {
	apps      map[string]App    // by key
	users     map[string]*User  // by id
	usernames map[string]*User  // by username in lower case
	created   map[string]string // by user id: when the account was made, as X writes it
	tokens    map[string]token  // by access token
	lastID    uint64
}

// token binds an access token to what it stands for. It keeps the access that the app had when the
// user authorized it: at X too, a later change of the app does not reach old tokens.
type token struct {
	secret   string
	appKey   string
	userID   string
	readOnly bool
}

func newAccounts() accounts {
	return accounts{
		apps:      map[string]App{},
		users:     map[string]*User{},
		usernames: map[string]*User{},
		created:   map[string]string{},
		tokens:    map[string]token{},
		lastID:    2244994944, // so that ids look like ids
	}
}

// AddApp adds an app and returns it with what was generated.
func (s *Server) AddApp(app App) (App, error) {
	if app.Key == "" {
		app.Key = rand.Text()
	}
	if app.Secret == "" {
		app.Secret = rand.Text() + rand.Text()
	}
	if app.Name == "" {
		app.Name = "app"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.accounts.apps[app.Key]; ok {
		return App{}, fmt.Errorf("add app %q: an app with this key exists", app.Name)
	}
	s.accounts.apps[app.Key] = app
	return app, nil
}

// AddUser adds a user and returns it with what was generated.
func (s *Server) AddUser(user User) (User, error) {
	if err := user.complete(); err != nil {
		return User{}, fmt.Errorf("add user %q: %w", user.Username, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts.usernames[strings.ToLower(user.Username)] != nil {
		return User{}, fmt.Errorf("add user %q: the username is taken", user.Username)
	}
	if user.ID == "" {
		s.accounts.lastID++
		user.ID = strconv.FormatUint(s.accounts.lastID, 10)
	}
	if s.accounts.users[user.ID] != nil {
		return User{}, fmt.Errorf("add user %q: the id %s is taken", user.Username, user.ID)
	}
	s.accounts.created[user.ID] = formatTime(s.now())
	s.accounts.users[user.ID] = &user
	s.accounts.usernames[strings.ToLower(user.Username)] = &user
	return user, nil
}

// SetUser replaces the user with the same id, to suspend or rename it while requests come in.
func (s *Server) SetUser(user User) error {
	if err := user.complete(); err != nil {
		return fmt.Errorf("set user %q: %w", user.Username, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.accounts.users[user.ID]
	if old == nil {
		return fmt.Errorf("set user %q: no user has the id %q", user.Username, user.ID)
	}
	if other := s.accounts.usernames[strings.ToLower(user.Username)]; other != nil && other != old {
		return fmt.Errorf("set user %q: the username is taken", user.Username)
	}
	delete(s.accounts.usernames, strings.ToLower(old.Username))
	s.accounts.users[user.ID] = &user
	s.accounts.usernames[strings.ToLower(user.Username)] = &user
	return nil
}

// complete fills what may be left out and checks the rest.
func (u *User) complete() error {
	if !usernamePattern.MatchString(u.Username) {
		return fmt.Errorf("a username matches %s", usernamePattern)
	}
	if u.ID != "" && !idPattern.MatchString(u.ID) {
		return fmt.Errorf("the id %q does not match %s", u.ID, idPattern)
	}
	if u.Name == "" {
		u.Name = u.Username
	}
	if u.TextLimit == 0 {
		u.TextLimit = defaultTextLimit
	}
	if u.TextLimit < 0 {
		return fmt.Errorf("the text limit %d is negative", u.TextLimit)
	}
	return nil
}

// Authorize gives the app a token of the user, as when the user presses "Authorize app" at X.
// Each call gives another token; all stay valid.
func (s *Server) Authorize(appKey, username string) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.accounts.apps[appKey]
	if !ok {
		return Credentials{}, fmt.Errorf("authorize %q: no app has this key", username)
	}
	user := s.accounts.usernames[strings.ToLower(username)]
	if user == nil {
		return Credentials{}, fmt.Errorf("authorize %q: no such user", username)
	}
	c := Credentials{
		APIKey:            app.Key,
		APISecret:         app.Secret,
		AccessToken:       user.ID + "-" + rand.Text(),
		AccessTokenSecret: rand.Text() + rand.Text(),
	}
	s.accounts.tokens[c.AccessToken] = token{
		secret: c.AccessTokenSecret, appKey: app.Key, userID: user.ID, readOnly: app.ReadOnly,
	}
	return c, nil
}

// formatTime writes a time as X's JSON does: UTC, milliseconds.
func formatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
