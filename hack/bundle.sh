#!/usr/bin/env bash
# Generates the OLM bundle from config/manifests and validates it; with --check
# it changes nothing and fails if bundle/ is not what would be generated.
# Wants OPERATOR_SDK (a path), VERSION (vX.Y.Z) and IMG in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
operator_sdk=$(realpath "$OPERATOR_SDK")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# operator-sdk writes where it stands, so it stands in a folder of its own. It
# keeps the time of creation of a bundle that is otherwise the same. It reads a
# pipe only.
cp PROJECT "$scratch"
[ ! -d bundle ] || cp -r bundle "$scratch"
go run ./hack/installer -dir config/manifests -image "$IMG" >"$scratch/manifests.yaml"
cd "$scratch"
cat manifests.yaml | "$operator_sdk" generate bundle --quiet --overwrite --package lbstack --version "${VERSION#v}" \
  --channels candidate-v0 --default-channel candidate-v0 --extra-service-accounts lbstack-controller,lbstack-speaker
cd "$repo"

if [ "${1:-}" = --check ]; then
  diff -ru --ignore-matching-lines='^ *createdAt: ' bundle "$scratch/bundle" &&
    diff -u bundle.Dockerfile "$scratch/bundle.Dockerfile" ||
    { echo "the OLM bundle is not up to date: make bundle mends it"; exit 1; }
else
  rm -rf bundle
  cp -r "$scratch/bundle" "$scratch/bundle.Dockerfile" .
fi
"$operator_sdk" bundle validate ./bundle --select-optional suite=operatorframework
