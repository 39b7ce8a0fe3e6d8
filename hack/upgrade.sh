#!/usr/bin/env bash
# Starts a cluster with an earlier version of lbstack and upgrades it to this version under
# traffic. The argument is the commit or tag of the earlier version. LBSTACK_CLUSTER and NODES must
# be in the environment, and the image and installation of this version in dist/. The earlier
# version is built once, into dist/earlier/COMMIT.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify --short=12 "$1^{commit}")
earlier=dist/earlier/$commit

if [ ! -e "$earlier/install.yaml" ]; then
  source=$PWD/dist/earlier/source
  git worktree add --force --detach "$source" "$commit"
  trap 'git worktree remove --force "$source"' EXIT
  make --no-print-directory -C "$source" IMG=ghcr.io/lbstack/lbstack:earlier image build-installer
  mkdir -p "$earlier"
  mv "$source/dist/image.tar" "$source/dist/install.yaml" "$earlier"
fi

bin/devcluster up --nodes "$NODES"
bin/devcluster load "$earlier/image.tar"
bin/devcluster load dist/image.tar
bin/devcluster kubectl apply --server-side -f "$earlier/install.yaml"
bin/devcluster kubectl wait deployment --all-namespaces --for=condition=Available --timeout=180s -l app.kubernetes.io/part-of=lbstack
go -C test test -count=1 -timeout 10m -v ./upgrade/...
bin/devcluster down
