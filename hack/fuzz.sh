#!/usr/bin/env bash
# Runs every fuzz target of the main module with a number of inputs, one target
# after the other. An input that fails is written to testdata/fuzz of its package:
# commit it, and the unit tests run it from then on.
#
# The bound is a number of inputs. With a time as bound, go test sometimes fails
# although no input failed (golang/go#75804, fixed in Go 1.27). A target that runs
# for more than 120 s is stopped, and counts as failed.
#
# usage: hack/fuzz.sh INPUTS [PACKAGES]   e.g. hack/fuzz.sh 1000000 ./internal/l2net/arp
set -euo pipefail
cd "$(dirname "$0")/.."
inputs=$1 packages=${2:-./...} limit=120 targets=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz

for file in $(go list -f '{{$d := .Dir}}{{range .TestGoFiles}}{{$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$d}}/{{.}} {{end}}' "$packages" | xargs grep -l '^func Fuzz'); do
  dir=$(dirname "$file") package=$(go list "$(dirname "$file")")
  # Built with -fuzz, so that the fuzzer sees which branches an input takes.
  (cd "$dir" && go test -c -fuzz . -o "$work/test" .)
  for target in $(grep -o '^func Fuzz[A-Za-z0-9_]*' "$file" | cut -d' ' -f2); do
    from=$SECONDS
    if ! out=$(cd "$dir" && timeout "$limit" "$work/test" -test.run '^$' -test.fuzz "^$target\$" \
      -test.fuzztime "${inputs}x" -test.fuzzminimizetime 100x -test.fuzzcachedir "$cache/$package" 2>&1); then
      printf '%s\nfuzz: %s of %s FAILED, or ran for more than %d s\n' "$out" "$target" "$package" "$limit"
      exit 1
    fi
    printf 'fuzz: %-24s %3d s  %s\n' "$target" $((SECONDS - from)) "$package"
    targets=$((targets + 1))
  done
done
[ "$targets" -gt 0 ] || { echo "fuzz: no target in $packages"; exit 1; }
echo "fuzz: $targets targets, $inputs inputs each"
