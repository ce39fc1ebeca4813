#!/bin/sh
# Runs the tests of both modules and reports on them; `make test` calls it.
#
#   tools/test.sh              run everything, print the report; exits as the tests do
#   tools/test.sh events       what is run, as the event stream of `go test -json`
#   tools/test.sh count FILE   the last lines of the report, from such a stream
set -u

# events runs both modules into one stream, so that there is one report. Two packages run side by side on two cores, and three tests of each:
# with more a worker gets no turn for longer than its lease, or a lock, lasts. What they need is built before, for the same reason.
# `make check` vets: here it would vet all that they import, too.
events() {
	status=0
	go build -race ./... >&2 || status=$?
	go test -json -race -vet=off -shuffle=on -parallel=3 -timeout=10m ./... || status=$?
	go test -C tools -json -race -vet=off -shuffle=on -parallel=3 -timeout=10m ./... || status=$?
	return "$status"
}

# count counts each test and subtest once. A package that failed without a failed test, because it did
# not build or its process died, counts as one failure.
count() {
	awk '
		function field(name) {
			if (!match($0, "\"" name "\":\"[^\"]*\"")) return ""
			return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
		}
		/"Action":"(pass|fail|skip)"/ {
			action = field("Action"); package = field("Package")
			if (field("Test") != "") {
				n[action]++
				if (action == "fail") explained[package] = 1
			} else if (action == "fail" && !(package in explained)) {
				n["fail"]++
			}
		}
		END {
			printf "skipped: %d\n", n["skip"]
			printf "%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skip"]
		}
	' "$1"
}

case ${1-} in
"")
	status=0
	bin/gotestsum --format=pkgname --format-hide-empty-pkg --jsonfile=bin/tests.json \
		--raw-command -- "$0" events || status=$?
	count bin/tests.json
	exit "$status"
	;;
events) events ;;
count) count "$2" ;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
