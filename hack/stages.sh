#!/usr/bin/env bash
# Runs make targets one after the other, says which one runs, and ends with a
# table of what each took. It stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
table=()
for stage in "$@"; do
  echo "=== $stage"
  from=$SECONDS
  if ! make --no-print-directory "$stage"; then
    echo "=== $stage FAILED after $((SECONDS - from)) s"
    exit 1
  fi
  table+=("$(printf '%-18s %5d s' "$stage" $((SECONDS - from)))")
done
echo "=== all passed in $((SECONDS - begin)) s"
printf '    %s\n' "${table[@]}"
