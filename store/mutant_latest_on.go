//go:build mutant_latest

package store

const latest = ``
