#!/usr/bin/env bash
# Checks that the generated files are equal to those that the generator makes from the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
controller_gen=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$controller_gen" crd paths=./api/... output:crd:artifacts:config="$scratch/crd"
diff -ru config/crd/bases "$scratch/crd" || { echo "config/crd/bases is not up to date: run make manifests"; exit 1; }
"$controller_gen" object:headerFile=hack/boilerplate.go.txt paths=./api/... output:object:dir="$scratch"
diff -u api/v1beta1/zz_generated.deepcopy.go "$scratch/zz_generated.deepcopy.go" || { echo "the DeepCopy methods are not up to date: run make generate"; exit 1; }
echo "generated files are up to date"
