#!/usr/bin/env bash
# Runs test/integration in three processes at once, each with an API server of its own: the tests
# wait most of the time. The first has the tests of the operator, the second those that take longest
# of all others, the third the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
operator='^Test(Stack|Rollout|Rights|Removal|Removed|Killed|Drift|Announcing|Monitoring|What|Speakers|AList|AnEdit|AllFields|Routers|Passwords|Secrets|OperatorCondition|Pass|Specs)'
long='^Test(Crash|Hostile|AnotherWriter|Plugin|ExternalIPs|Sharers|Relabelled|Tightened)'
mkdir -p bin/test
go -C test test -c -o ../bin/test/integration ./integration
run() { (cd test/integration && exec ../../bin/test/integration -test.count=1 -test.timeout=60m -test.v "$@"); }
lanes=()
run -test.run "$operator" &
lanes+=($!)
run -test.run "$long" -test.skip "$operator" &
lanes+=($!)
failed=0
run -test.skip "$operator|$long" || failed=1
for lane in "${lanes[@]}"; do wait "$lane" || failed=1; done
exit "$failed"
