package sandbox

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// App is a developer App: what X's console calls a project's keys. The credentials of a sandbox
// guard nothing, so they are plain strings.
type App struct {
	ID           string `json:"id"`            // decimal; generated if empty
	Key          string `json:"key"`           // the API key; generated if empty
	Secret       string `json:"secret"`        // the API key secret; generated if empty
	ClientID     string `json:"client_id"`     // of OAuth 2.0; generated if empty
	ClientSecret string `json:"client_secret"` // of a confidential client; generated if empty
	Name         string `json:"name"`          // for the record; "app" if empty
	Confidential bool   `json:"confidential"`  // it can keep a secret: a web app or a bot, not a native app
	ReadOnly     bool   `json:"read_only"`     // its OAuth 1.0a tokens may not write: 403 oauth1-permissions
	NotEnrolled  bool   `json:"not_enrolled"`  // it belongs to no project: 403 client-not-enrolled on every route
	OwnerID      string `json:"owner_id"`      // the id of the user who owns it, and reads their own tweets cheaper; empty is nobody here
}

// User is an account of X.
type User struct {
	ID        string `json:"id"`         // decimal; generated if empty
	Username  string `json:"username"`   // 1 to 15 of A-Z a-z 0-9 _, unique without regard to case
	Name      string `json:"name"`       // the display name; the username if empty
	TextLimit int    `json:"text_limit"` // weighted characters; 0 is 280, Premium has 25000
	Suspended bool   `json:"suspended"`  // 403 user-suspended on every route
	Locked    bool   `json:"locked"`     // 403 with the v1.1 code 326 on every route, until the user logs in

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
	clients   map[string]string // by client id: the app's key
	users     map[string]*User  // by id
	usernames map[string]*User  // by username in lower case
	created   map[string]string // by user id: when the account was made, as X writes it
	tokens    map[string]token  // by access token, of all kinds; what is over stays
	grants    map[string]*grant // by refresh token, those that were used up too
	lastID    uint64
	lastAppID uint64
	random    io.Reader // of credentials
}

func newAccounts(seed uint64) accounts {
	return accounts{
		apps:      map[string]App{},
		clients:   map[string]string{},
		users:     map[string]*User{},
		usernames: map[string]*User{},
		created:   map[string]string{},
		tokens:    map[string]token{},
		grants:    map[string]*grant{},
		lastID:    2244994944, // so that ids look like ids
		lastAppID: 29821349,
		random:    randomness(seed),
	}
}

// AddApp adds an app and returns it with what was generated.
func (s *Server) AddApp(app App) (App, error) {
	if app.ID != "" && !idPattern.MatchString(app.ID) {
		return App{}, fmt.Errorf("add app %q: the id %q does not match %s", app.Name, app.ID, idPattern)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if app.ID == "" {
		s.accounts.lastAppID++
		app.ID = strconv.FormatUint(s.accounts.lastAppID, 10)
	}
	if app.Key == "" {
		app.Key = s.accounts.text()
	}
	if app.Secret == "" {
		app.Secret = s.accounts.text() + s.accounts.text()
	}
	if app.ClientID == "" {
		app.ClientID = s.accounts.text()
	}
	if app.ClientSecret == "" && app.Confidential {
		app.ClientSecret = s.accounts.text() + s.accounts.text()
	}
	if app.Name == "" {
		app.Name = "app"
	}
	if _, ok := s.accounts.apps[app.Key]; ok {
		return App{}, fmt.Errorf("add app %q: an app with this key exists", app.Name)
	}
	if err := s.accounts.setApp(app); err != nil {
		return App{}, fmt.Errorf("add app %q: %w", app.Name, err)
	}
	return app, nil
}

// SetApp replaces the app with the same key while requests come in: to change its secrets, to
// unenroll it, or to let it only read, which does not reach the tokens that it has.
func (s *Server) SetApp(app App) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.accounts.apps[app.Key]
	if !ok {
		return fmt.Errorf("set app %q: no app has this key", app.Name)
	}
	if err := s.accounts.setApp(app); err != nil {
		return fmt.Errorf("set app %q: %w", app.Name, err)
	}
	if old.ClientID != app.ClientID {
		delete(s.accounts.clients, old.ClientID)
	}
	return nil
}

// setApp stores an app, new or changed.
func (a *accounts) setApp(app App) error {
	if other, taken := a.clients[app.ClientID]; taken && other != app.Key {
		return errors.New("the client id is another app's")
	}
	switch {
	case app.OwnerID != "" && !idPattern.MatchString(app.OwnerID):
		return fmt.Errorf("the owner's id %q does not match %s", app.OwnerID, idPattern)
	case app.ID == "" || app.Secret == "" || app.ClientID == "" || app.Name == "":
		return errors.New("an app has an id, a secret, a client id and a name: change what AddApp returned")
	case app.Confidential && app.ClientSecret == "":
		return errors.New("a confidential client has a client secret")
	case !app.Confidential && app.ClientSecret != "":
		return errors.New("only a confidential client has a client secret")
	}
	a.apps[app.Key] = app
	a.clients[app.ClientID] = app.Key
	return nil
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

// formatTime writes a time as X's JSON does: UTC, milliseconds.
func formatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
