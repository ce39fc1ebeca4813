package sandbox

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// billsAnswer is what all routes of bills say.
type billsAnswer struct {
	Bills []Bill `json:"bills"`
}

// billAsked is the body of POST /sandbox/bills.
type billAsked struct {
	AppID      string `json:"app_id"`          // may be absent if there is one app
	AddCredits *USD   `json:"add_credits_usd"` // as AddCredits does
	SpendCap   *USD   `json:"spend_cap_usd"`   // as SetSpendCap does
}

// bills are what the apps have been billed, in the order of their ids.
func (s *Server) bills() []Bill {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Bill{}
	for _, app := range s.accounts.apps {
		all = append(all, s.accountOf(app, now).bill(app))
	}
	slices.SortFunc(all, func(a, b Bill) int { return strings.Compare(a.AppID+" "+a.App, b.AppID+" "+b.App) })
	return all
}

// controlChangeBill adds credits or sets the spend cap, and tells the app's bill.
func (s *Server) controlChangeBill(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "the body cannot be read: send at most %d bytes", maxBody)
	}
	asked, err := parseBill(body)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	key, err := s.payingApp(asked.AppID)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	if asked.SpendCap != nil {
		err = s.SetSpendCap(key, *asked.SpendCap)
	}
	if err == nil && asked.AddCredits != nil {
		err = s.AddCredits(key, *asked.AddCredits)
	}
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	bill, err := s.Billed(key)
	if err != nil {
		return nil, refuseControl(http.StatusBadRequest, "%w", err)
	}
	return billsAnswer{[]Bill{bill}}, nil
}

func parseBill(body []byte) (billAsked, error) {
	var asked billAsked
	if err := checkFields(body, reflect.TypeFor[billAsked]()); err != nil {
		return asked, err
	}
	if err := unmarshal(body, &asked); err != nil {
		return asked, err
	}
	if asked.AddCredits == nil && asked.SpendCap == nil {
		return asked, errors.New(`there is nothing to change: send add_credits_usd or spend_cap_usd, such as {"add_credits_usd":"25"}`)
	}
	return asked, nil
}

// payingApp is the key of the app with the id, or of the only app if the id is empty.
func (s *Server) payingApp(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for key, app := range s.accounts.apps {
		if id == "" || app.ID == id {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case id == "":
		return "", errors.New("there is not one app alone: name one by app_id")
	}
	return "", errors.New("app_id: there is not one app alone with the id " + id)
}
