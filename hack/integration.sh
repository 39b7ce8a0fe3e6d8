#!/usr/bin/env bash
# Runs test/integration in two processes at once, each with an API server of its own: the tests
# wait most of the time. The first has the tests of the operator, the second all others.
set -euo pipefail
cd "$(dirname "$0")/.."
operator='^Test(Stack|Rollout|Rights|Removal|Removed|Killed|Drift|Announcing|Monitoring|What|Objects|Speakers|AList|AnEdit|AllFields|Routers|Passwords|Secrets|OperatorCondition|Pass|Specs)'
mkdir -p bin/test
go -C test test -c -o ../bin/test/integration ./integration
run() { (cd test/integration && exec ../../bin/test/integration -test.count=1 -test.timeout=60m -test.v "$@"); }
run -test.run "$operator" &
first=$!
failed=0
run -test.skip "$operator" || failed=1
wait "$first" || failed=1
exit "$failed"
