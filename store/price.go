package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Prices are what X charges for requests, as the database has it.
type Prices map[price]USD

// price is how X prices a request: by its action and, of a tweet, by whether its text has a URL.
type price struct {
	action  string
	withURL bool
}

// PricesRead reads the prices.
func PricesRead(ctx context.Context, db DBTX) (Prices, error) {
	const query = `-- name: PricesRead :many
SELECT action, with_url, usd FROM tweetqueue.prices WHERE action IS NOT NULL`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	return scanPrices(rows)
}

func scanPrices(rows pgx.Rows) (Prices, error) {
	prices := Prices{}
	var p price
	var usd USD
	_, err := pgx.ForEachRow(rows, []any{&p.action, &p.withURL, &usd}, func() error {
		prices[p] = usd
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	return prices, nil
}

// Of is what X charges for a request of an action that does what it asks for; hasURL is of a tweet's text. What has
// no price costs nothing.
func (p Prices) Of(action string, hasURL bool) USD { return p[price{action, hasURL}] }

// PriceRow is a line of X's list of prices.
type PriceRow struct {
	Name string `json:"name"`
	What string `json:"what"` // X's name
	Per  string `json:"per"`  // request, or resource: each that X returns
	USD  USD    `json:"usd"`
}

// PriceList returns all prices, by name.
func PriceList(ctx context.Context, db DBTX) ([]PriceRow, error) {
	const query = `-- name: PriceList :many
SELECT name, what, per, usd FROM tweetqueue.prices ORDER BY name`
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PriceRow])
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	return list, nil
}
