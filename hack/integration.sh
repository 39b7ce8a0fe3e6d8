#!/usr/bin/env bash
# Runs test/integration in three processes at once, since the tests wait most of the time. Each process has
# an API server and ports of its own. The first runs the tests of the operator, the second the longest of the
# other tests, and the third the rest. Failures are printed once more at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
operator='^Test(Stack|Rollout_[^C]|Rights|Removal|Removed|Killed|Drift|Announcing|Monitoring|BGPAdvertisement_|StatusFields|Speakers|AList|AnEdit|AllFields|Routers|Passwords|Secrets|OperatorCondition|Pass|Specs)'
long='^Test(Crash|Hostile|AnotherWriter|Plugin|ExternalIPs|Sharers|Relabelled|Tightened)'
mkdir -p bin/test
go -C test test -c -o ../bin/test/integration ./integration
for program in controller operator speaker; do CGO_ENABLED=0 go build -o "bin/test/$program" "./cmd/$program"; done
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run() { # NAME FLAGS
  local name=$1
  shift
  (cd test/integration && exec ../../bin/test/integration -test.count=1 -test.timeout=60m -test.v "$@") 2>&1 | tee "$logs/$name"
}

names=() lanes=()
begin() { # NAME FLAGS
  LBSTACK_PORTS=$((17800 + 20 * ${#lanes[@]})) run "$@" &
  lanes+=($!)
  names+=("$1")
}

begin operator -test.run "$operator"
begin long -test.run "$long" -test.skip "$operator"
begin rest -test.skip "$operator|$long"
failed=()
for i in "${!lanes[@]}"; do wait "${lanes[$i]}" || failed+=("${names[$i]}"); done
for name in "${failed[@]}"; do
  echo "=== failures of $name"
  hack/failed.sh "$logs/$name"
done
[ "${#failed[@]}" = 0 ]
