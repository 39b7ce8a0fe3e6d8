#!/usr/bin/env bash
# Installs the Debian packages that the test bed and the tests need, if they are
# missing. If it cannot install them, it prints what is missing and what to do.
# Each argument is a further program, which is in a package of the same name.
set -euo pipefail

# A program or a file, and the package that contains it.
needs="
containerd                  containerd
ctr                         containerd
runc                        runc
/usr/lib/cni/bridge         containernetworking-plugins
/usr/lib/cni/host-local     containernetworking-plugins
/usr/lib/cni/loopback       containernetworking-plugins
nft                         nftables
ip                          iproute2
iptables                    iptables
conntrack                   conntrack
arping                      arping
ndisc6                      ndisc6
tcpdump                     tcpdump
/usr/lib/frr/zebra          frr
/usr/lib/frr/bgpd           frr
/usr/lib/frr/bfdd           frr
vtysh                       frr
bird                        bird2
birdc                       bird2
nsenter                     util-linux
prometheus                  prometheus
promtool                    prometheus
ps                          procps
gcc                         gcc
/usr/include/stdlib.h       libc6-dev
modprobe                    kmod
git                         git
/etc/ssl/certs              ca-certificates
$(for program in "$@"; do echo "$program $program"; done)
"

fail() {
  printf 'prerequisites: %s\n' "$*" >&2
  exit 1
}

# These folders have programs that are needed, and are not in the PATH of every user.
PATH=$PATH:/usr/sbin:/sbin

[ "$(uname -s)" = Linux ] || fail "this is $(uname -s); the test bed needs the network namespaces of Linux: use a Linux machine (a virtual one will do)"

wanted=1.26
command -v go >/dev/null || fail "Go is missing: install Go $wanted or newer from https://go.dev/dl and put its bin folder into PATH"
have=$(GOTOOLCHAIN=local go env GOVERSION)
have=${have#go}
[ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
  fail "Go is $have; install Go $wanted or newer from https://go.dev/dl"

[ "$(id -u)" = 0 ] || fail "the test bed makes network namespaces and needs root: run the same command with sudo (sudo --preserve-env=PATH keeps your Go); 'make lint test-unit' needs no root"

missing=""
packages=""
while read -r what package; do
  [ -n "$what" ] || continue
  case $what in
  /*) [ -e "$what" ] && continue ;;
  *) command -v "$what" >/dev/null && continue ;;
  esac
  missing="$missing $what"
  case " $packages " in
  *" $package "*) ;;
  *) packages="$packages $package" ;;
  esac
done <<<"$needs"

if [ -z "$packages" ]; then
  echo "prerequisites: all packages are installed"
  exit 0
fi
command -v apt-get >/dev/null ||
  fail "missing:$missing; this machine has no apt-get: install the packages that contain them yourself (on Debian:$packages)"

echo "prerequisites: missing:$missing; installing$packages"
export DEBIAN_FRONTEND=noninteractive
# The services that the packages bring must not run: the test bed starts a containerd of its own for each
# node, and tests start their own routers and Prometheus. At run level 1 maintainer scripts do not start
# services. Where systemd runs, the services are stopped below.
export RUNLEVEL=1
# shellcheck disable=SC2086 # one word per package
if ! apt-get install -y -qq --no-install-recommends $packages; then
  echo "prerequisites: trying again with fresh package lists"
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages || fail "apt-get could not install$packages: see above for its reason"
fi
if [ -d /run/systemd/system ]; then
  for service in containerd:containerd frr:frr bird2:bird prometheus:prometheus keepalived:keepalived; do
    case " $packages " in
    *" ${service%:*} "*) systemctl disable --now --quiet "${service#*:}" ;;
    esac
  done
fi
echo "prerequisites: all packages are installed now"
