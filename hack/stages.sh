#!/usr/bin/env bash
# Runs make targets in stages, and prints a table of their durations if all pass. Each argument is a stage.
# Stages run one after the other; after the first one that fails, no other stage runs. The stage "a+b,c" has
# two lanes, which run at once: one runs a, the other runs b and then c. Lanes are for targets that wait most
# of the time, and whose results do not depend on how soon they get a processor. Each line of a lane begins
# with the name of its target. The lines of lanes are mixed, and CI may show only the end of the output: the
# failures of each target are therefore printed once more at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

one() { # TARGET
  local from=$SECONDS
  if ! make --no-print-directory "$1" 2>&1 | tee "$logs/$1"; then
    echo "$1, after $((SECONDS - from)) s" >>"$logs/failed"
    return 1
  fi
  printf '    %-18s %5d s\n' "$1" $((SECONDS - from)) >>"$logs/table"
}

lane() { # TARGET,TARGET
  local target
  for target in ${1//,/ }; do
    one "$target" | sed -u "s/^/$target: /" || return 1
  done
}

end() { # after a failure
  local target rest
  while IFS=, read -r target rest; do
    echo "=== $target FAILED,$rest"
    hack/failed.sh "$logs/$target"
  done <"$logs/failed"
  exit 1
}

for stage in "$@"; do
  echo "=== $stage"
  case $stage in
  *+*)
    lanes=()
    for l in ${stage//+/ }; do
      lane "$l" &
      lanes+=($!)
    done
    failed=0
    for pid in "${lanes[@]}"; do wait "$pid" || failed=1; done
    [ "$failed" = 0 ] || end
    ;;
  *) one "$stage" || end ;;
  esac
done
echo "=== all passed in $((SECONDS - begin)) s"
cat "$logs/table"
