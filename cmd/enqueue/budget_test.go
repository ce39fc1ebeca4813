package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/store"
	"tweetqueue/store/storetest"
)

// budgets runs a command line with --json that prints budgets.
func (b *testBundle) budgets(t *testing.T, args ...string) []store.BudgetLine {
	t.Helper()
	var list []store.BudgetLine
	require.NoError(t, json.Unmarshal([]byte(b.ok(t, append(args, "--json")...)), &list))
	return list
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	storetest.Account(t, b.db, storetest.AccountOpts{Username: "Other", XUserID: "43"})
	exec := func(sql string) {
		t.Helper()
		_, err := b.db.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	month := b.now(t).Format("2006-01")
	require.Equal(t, ""+
		"APP      ACCOUNT      MONTH    SPENT  BUDGET  LEFT  STATE\n"+
		"default  all of them  "+month+"  $0     none          no budget\n"+
		"default  acme         "+month+"  $0     none          no budget\n"+
		"default  Other        "+month+"  $0     none          no budget\n", b.ok(t, "budget"))

	exec(`INSERT INTO tweetqueue.spending (account_id, month, spent_usd) SELECT id, tweetqueue.month_of(tweetqueue.clock()), 10.015 FROM tweetqueue.accounts`)
	exec(`INSERT INTO tweetqueue.spending (account_id, month, spent_usd) SELECT id, '2020-01-01', 99 FROM tweetqueue.accounts`)
	require.Equal(t, ""+
		"APP      ACCOUNT  MONTH    SPENT    BUDGET  LEFT    STATE\n"+
		"default  acme     "+month+"  $10.015  $12.5   $2.485  most is spent\n", b.ok(t, "budget", "set", "@ACME", "--monthly", "12.50"))
	exec(`UPDATE tweetqueue.tweets SET waiting_for = 'budget' WHERE id = ` + id(storetest.Tweet(t, b.db, "waits", 0)))
	exec(`UPDATE tweetqueue.spending SET told = 2 WHERE account_id = (SELECT id FROM tweetqueue.accounts WHERE username = 'acme')`)

	// An app's first budget counts what its accounts have spent before.
	app := b.budgets(t, "budget", "set", "--app", "default", "--monthly", "100")
	require.Len(t, app, 1)
	require.Equal(t, []any{"default", "", "20.03", "100", store.BudgetOpen, 1},
		[]any{app[0].App, app[0].Account, app[0].SpentUSD.String(), app[0].BudgetUSD.String(), app[0].State, app[0].Waiting})
	b.ok(t, "budget", "set", "Other", "--monthly", "0")
	states := map[string]store.BudgetState{}
	for _, l := range b.budgets(t, "budget") {
		states[l.Account] = l.State
		require.Equal(t, month, l.Month)
	}
	require.Equal(t, map[string]store.BudgetState{"": store.BudgetOpen, "acme": store.BudgetLittle, "Other": store.BudgetSpent}, states)
	wait := "; rows that wait for new money on " + app[0].MonthEnds.Format("2006-01-02") + " 00:00 UTC: 1"
	require.Contains(t, b.ok(t, "budget"), "  $2.485  too little is left"+wait+"\n")

	// What costs more than the whole budget does not go in the next month either.
	dear := id(storetest.Tweet(t, b.db, "example.com", 0))
	exec(`UPDATE tweetqueue.tweets SET waiting_for = 'budget', next_attempt_at = '2099-01-01' WHERE id = ` + dear)
	require.Contains(t, b.ok(t, "show", dear), "\n  not before ")
	b.ok(t, "budget", "set", "--app", "default", "--monthly", "0.1")
	lines := b.ok(t, "budget")
	require.Equal(t, 2, strings.Count(lines, wait+"; rows that cost more than a whole budget, and wait until it is raised: 1\n"), lines)
	require.Regexp(t, `  waits for budget +example.com\n`, b.ok(t, "list"))
	require.NotContains(t, b.ok(t, "show", dear), "not before")

	// What waits is looked at soon after a budget has changed.
	exec(`INSERT INTO tweetqueue.budget_waits (account_id, until) SELECT id, tweetqueue.month_end(tweetqueue.clock()) FROM tweetqueue.accounts WHERE username = 'acme'`)
	require.Contains(t, b.ok(t, "budget"), wait)
	require.Contains(t, b.ok(t, "budget", "set", "acme", "--monthly", "12.51"), "; rows that a worker looks at again within seconds: 1; rows that cost more ")

	require.Equal(t, store.BudgetNone, b.budgets(t, "budget", "set", "acme", "--none")[0].State)
	require.Contains(t, b.ok(t, "budget", "set", "--app", "default", "--none"), "  no budget; rows that a worker looks at again within seconds: 2\n")
	require.Equal(t, "20.03", b.budgets(t, "budget")[0].SpentUSD.String())

	// Of some accounts, with their apps.
	for _, args := range [][]string{{"budget", "@ACME"}, {"budget", "show", "acme"}} {
		lines := b.budgets(t, args...)
		require.Len(t, lines, 2)
		require.Equal(t, []string{"", "acme"}, []string{lines[0].Account, lines[1].Account})
	}
	require.Len(t, b.budgets(t, "budget", "list"), 3)
	b.run(t, "", "budget", "nobody").refused(t, 3, `account "nobody": not found: add it with 'enqueue account add nobody'`)
}

func TestBudgetSetRefuses(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, args := range [][]string{
		{"acme"},
		{"--monthly", "1"},
		{"acme", "--monthly", "1", "--none"},
		{"acme", "--monthly", "1,50"},
		{"acme", "--monthly", "-1"},
		{"no name", "--monthly", "1"},
	} {
		b.run(t, "", append([]string{"budget", "set"}, args...)...).refused(t, 2)
	}
	b.run(t, "", "budget", "set", "nobody", "--monthly", "1").refused(t, 3, `account "nobody": not found: add it with 'enqueue account add nobody'`)
	b.run(t, "", "budget", "set", "--app", "nothing", "--none").refused(t, 3, `app "nothing": not found: see 'enqueue account list'`)
	b.run(t, "", "budget", "set", "acme", "--app", "default", "--monthly", "1").refused(t, 2, "give the username of an account, or --app with the name of an app, not both")
}

func TestAccountResume(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := b.db.Exec(t.Context(), `UPDATE tweetqueue.accounts SET state = 'suspended', state_reason = 'X said so'`)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE tweetqueue.apps SET state = 'paused', state_reason = 'no credits', state_until = now() + interval '1 hour'`)
	require.NoError(t, err)
	const ofAccount, ofApp = "'enqueue account resume USERNAME' ends the hold of an account\n", "'enqueue account resume --app default' ends the hold of app \"default\"\n"
	out := b.ok(t, "account", "list")
	require.Contains(t, out, "suspended: X said so; its app \"default\" is paused until ")
	require.Contains(t, out, ": no credits\n"+ofAccount+ofApp)
	r := b.run(t, "", "account", "resume", "Acme")
	require.Contains(t, r.stdout, "active; its app \"default\" is paused until ")
	require.Contains(t, r.stdout, ": no credits\n"+ofApp)
	require.NotContains(t, r.stderr, "warning")
	r = b.run(t, "", "account", "resume", "acme")
	require.NoError(t, r.err)
	require.Contains(t, r.stderr, "warning: account acme was not held, but its app \"default\" is: 'enqueue account resume --app default' ends that\n")
	r = b.run(t, "", "account", "resume", "--app", "default")
	require.Regexp(t, `280 +active\n$`, r.stdout)
	require.NotContains(t, r.stderr, "warning")
	require.Contains(t, b.run(t, "", "account", "resume", "--app", "default").stderr, "warning: app \"default\" was not held\n")
	require.Contains(t, b.run(t, "", "account", "resume", "acme").stderr, "warning: account acme was not held\n")
	b.run(t, "", "account", "resume").refused(t, 2, `give the username of an account, or --app with the name of an app`)
	b.run(t, "", "account", "resume", "acme", "--app", "default").refused(t, 2)
	b.run(t, "", "account", "resume", "nobody").refused(t, 3, "not found: add it with 'enqueue account add nobody'")
	b.run(t, "", "account", "resume", "--app", "nothing").refused(t, 3, "not found: see 'enqueue account list'")
}
