#!/usr/bin/env bash
# Runs make targets, says which ones run, and ends with a table of what each took. It stops at the
# first that fails. Stages run one after the other; "a+b,c" is one stage of two lanes, which run at
# once: a, and b followed by c. Lanes are for targets that wait most of the time, and whose results
# do not depend on how soon they get a processor. What they print begins with the target.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
table=$(mktemp)
trap 'rm -f "$table"' EXIT

one() { # TARGET
  local from=$SECONDS
  if ! make --no-print-directory "$1"; then
    echo "=== $1 FAILED after $((SECONDS - from)) s"
    return 1
  fi
  printf '    %-18s %5d s\n' "$1" $((SECONDS - from)) >>"$table"
}

lane() { # TARGET,TARGET
  local target
  for target in ${1//,/ }; do
    one "$target" 2>&1 | sed -u "s/^/$target: /" || return 1
  done
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
    [ "$failed" = 0 ] || exit 1
    ;;
  *) one "$stage" || exit 1 ;;
  esac
done
echo "=== all passed in $((SECONDS - begin)) s"
cat "$table"
