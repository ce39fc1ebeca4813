package jobs

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tweetqueue/store"
)

// Forecast says when what waits will have gone, if nothing is added, nobody else uses the limits, and X answers. Where
// accounts share a limit, or actions of an account do, it is not certain whose row goes first; when the last one goes is.
type Forecast struct {
	At time.Time `json:"at"` // by the database's clock
	Outlook
	Accounts []AccountForecast `json:"accounts"`
	// Own is what the transaction that reads has written itself; nil: nothing.
	Own *Outlook `json:"own,omitempty"`
}

// Outlook is what becomes of rows that go by themselves.
type Outlook struct {
	Rows   int        `json:"rows"`               // so many will go
	First  *time.Time `json:"first_at,omitempty"` // when the first of them goes; nil: none does
	Last   *time.Time `json:"last_at,omitempty"`  // when the last of them goes
	Missed int        `json:"missed,omitempty"`   // so many others will be missed: their deadline passes first
	// CostUSD is what X charges for those that go. What follows from them, such as a deletion after a tweet's
	// delete_after, and look-ups, are not in it.
	CostUSD store.USD `json:"cost_usd"`
}

// AccountForecast is the forecast of an account.
type AccountForecast struct {
	Account string `json:"account"`
	App     string `json:"app"`
	Outlook
	Limits  []LimitForecast  `json:"limits,omitempty"`
	Budgets []BudgetForecast `json:"budgets,omitempty"`
	// Held are rows that are not counted: nobody knows when they go.
	Held []HeldForecast `json:"held,omitempty"`

	TimeZone string `json:"-"`
}

// LimitForecast is what rows of an account wait for: a window, of the account or of its app.
type LimitForecast struct {
	Name string    `json:"name"`
	Per  string    `json:"per"`     // user or app
	Rows int       `json:"rows"`    // so many go later than they could without it
	Last time.Time `json:"last_at"` // when the last of them goes
}

// BudgetForecast is a monthly budget that rows of an account wait for, the account's or its app's: each until a month ends. Then a
// limit may hold them back, too.
type BudgetForecast struct {
	Per       string    `json:"per"`        // user or app
	BudgetUSD store.USD `json:"budget_usd"` // a month
	Rows      int       `json:"rows"`       // so many go in a later month than they could without it
	Last      time.Time `json:"last_at"`    // when the last of them goes
}

// HeldForecast is rows that go when somebody, or something that has no known end, lets them.
type HeldForecast struct {
	// For is as in store.HeldRows. quota: later than the year 9999; budget: or it costs more than the budget of a whole month;
	// thread: a tweet before it does not go.
	For  string `json:"for"`
	Rows int    `json:"rows"`
}

// ForecastRead makes the forecast of accounts. It reads the windows without a lock, and all rows of the
// accounts' apps, whose windows and budgets they share: better in a snapshot ([store.InSnapshot]). After writes that are then
// taken back ([store.TrySnapshot]) it says what they would come to.
func ForecastRead(ctx context.Context, db store.DBTX, accounts []store.Account) (*Forecast, error) {
	f := newForecasting(accounts)
	held, err := store.HeldList(ctx, db, f.apps)
	if err != nil {
		return nil, err
	}
	s, err := simulationRead(ctx, db, f.apps)
	if err != nil {
		return nil, err
	}
	f.At = s.now
	s.went, s.missed = f.went, f.missed
	if err := s.readRows(ctx, db, f.apps); err != nil {
		return nil, err
	}
	s.rest(func(accountID int64, what store.WaitingFor, rows int) {
		held = append(held, store.HeldRows{AccountID: accountID, For: string(what), Rows: rows})
	})
	return f.result(held), nil
}

// simulationRead reads the windows, the budgets and the threads of apps and of their accounts.
func simulationRead(ctx context.Context, db store.DBTX, apps []string) (*simulation, error) {
	quotas, err := store.QuotasRead(ctx, db, nil, apps)
	if err != nil {
		return nil, err
	}
	accounts, err := store.AccountList(ctx, db)
	if err != nil {
		return nil, err
	}
	budgets, err := store.BudgetsRead(ctx, db, apps)
	if err != nil {
		return nil, err
	}
	prices, err := store.PricesRead(ctx, db)
	if err != nil {
		return nil, err
	}
	gone, err := store.ThreadsRead(ctx, db, apps)
	if err != nil {
		return nil, err
	}
	now, err := store.Clock(ctx, db)
	if err != nil {
		return nil, err
	}
	return newSimulation(now, prices.Of, quotasOf(quotas, accounts), budgets, gone), nil
}

// readRows reads the rows of the apps' accounts, and lets all go that ever do.
func (s *simulation) readRows(ctx context.Context, db store.DBTX, apps []string) error {
	err := store.UpcomingRead(ctx, db, apps, func(row store.Upcoming) {
		if row.Text != "" {
			row.HasURL, row.Text = HasURL(row.Text), ""
		}
		s.run(row.ReadyAt)
		s.add(row)
	})
	if err != nil {
		return err
	}
	s.run(endOfTime())
	return nil
}

// endOfTime is the last instant that rows and JSON can hold.
func endOfTime() time.Time { return time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC) }

// quotasOf are the windows of each account, and of its app.
func quotasOf(read []store.QuotaRead, accounts []store.Account) store.Quotas {
	quotas, apps := store.Quotas{}, map[string][]*store.Quota{}
	for i := range read {
		q := &read[i]
		q.Alone = true // what others do next nobody knows, and one at a time takes no longer than the limit
		if q.AppID != 0 {
			apps[q.App] = append(apps[q.App], &q.Quota)
		} else {
			quotas[q.AccountID] = append(quotas[q.AccountID], &q.Quota)
		}
	}
	for i := range accounts {
		quotas[accounts[i].ID] = append(quotas[accounts[i].ID], apps[accounts[i].App]...)
	}
	return quotas
}

// forecasting is a forecast in the making.
type forecasting struct {
	Forecast

	apps     []string
	accounts map[int64]*AccountForecast
	own      Outlook
}

func newForecasting(accounts []store.Account) *forecasting {
	f := &forecasting{accounts: map[int64]*AccountForecast{}}
	f.Accounts = make([]AccountForecast, len(accounts))
	for i := range accounts {
		a := &accounts[i]
		f.Accounts[i] = AccountForecast{Account: a.Username, App: a.App, TimeZone: a.TimeZone}
		f.accounts[a.ID] = &f.Accounts[i]
		if !slices.Contains(f.apps, a.App) {
			f.apps = append(f.apps, a.App)
		}
	}
	return f
}

func (f *forecasting) went(row *store.Upcoming, how departure) {
	if row.Own {
		f.own.went(how)
	}
	account := f.accounts[row.AccountID]
	if account == nil {
		return // another account of the app
	}
	f.Outlook.went(how)
	account.went(how)
	if how.limit != nil {
		account.waited(how.at, how.limit)
	}
	if how.budget != nil {
		account.waitedForMoney(how.at, how.budget)
	}
}

func (f *forecasting) missed(row *store.Upcoming) {
	if row.Own {
		f.own.Missed++
	}
	if account := f.accounts[row.AccountID]; account != nil {
		f.Missed++
		account.Missed++
	}
}

func (o *Outlook) went(how departure) {
	o.Rows++
	o.CostUSD += how.cost
	if o.First == nil {
		o.First = &how.at
	}
	o.Last = &how.at
}

// per says whose a window or a budget is, by the app's id that it has.
func per(appID int64) string {
	if appID != 0 {
		return "app"
	}
	return "user"
}

func (a *AccountForecast) waited(at time.Time, limit *store.Quota) {
	per := per(limit.AppID)
	i := slices.IndexFunc(a.Limits, func(l LimitForecast) bool { return l.Name == limit.Name && l.Per == per })
	if i < 0 {
		i = len(a.Limits)
		a.Limits = append(a.Limits, LimitForecast{Name: limit.Name, Per: per})
	}
	a.Limits[i].Rows++
	a.Limits[i].Last = at
}

func (a *AccountForecast) waitedForMoney(at time.Time, budget *store.Budget) {
	per := per(budget.AppID)
	i := slices.IndexFunc(a.Budgets, func(b BudgetForecast) bool { return b.Per == per })
	if i < 0 {
		i = len(a.Budgets)
		a.Budgets = append(a.Budgets, BudgetForecast{Per: per, BudgetUSD: budget.Limit})
	}
	a.Budgets[i].Rows++
	a.Budgets[i].Last = at
}

// result completes the forecast with what is held.
func (f *forecasting) result(held []store.HeldRows) *Forecast {
	for _, h := range held {
		account := f.accounts[h.AccountID]
		if account == nil {
			continue
		}
		i := slices.IndexFunc(account.Held, func(other HeldForecast) bool { return other.For == h.For })
		if i < 0 { // tweets, deletions and retweets are counted apart
			i = len(account.Held)
			account.Held = append(account.Held, HeldForecast{For: h.For})
		}
		account.Held[i].Rows += h.Rows
	}
	for i := range f.Accounts {
		slices.SortFunc(f.Accounts[i].Held, func(a, b HeldForecast) int { return cmp.Compare(a.For, b.For) })
	}
	if f.own != (Outlook{}) {
		f.Own = &f.own
	}
	return &f.Forecast
}
