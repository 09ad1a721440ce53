#!/bin/sh
# `npm test [-- FILTER …]`: sets up what is missing and runs every test. Tests of images want peers to compare with; without one they skip, and say so.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
cd "$root"
PATH="$root/node_modules/node/bin:$PATH"
export PATH
peers="skopeo umoci docker-registry erofs-utils uidmap attr openssl iproute2 openssh-server openssh-client python3-fastapi nats-server"
programs="skopeo umoci docker-registry fsck.erofs newuidmap setfattr openssl tc sshd ssh nats-server"
if [ -z "${HOB_NO_SETUP:-}" ] && [ "$(id -u)" = 0 ] && has apt-get; then
  for program in $programs fastapi; do
    case $program in fastapi) /usr/bin/python3 -c "import fastapi" 2>/dev/null && continue ;; *) has "$program" && continue ;; esac
    say "installing what tests of images compare with"
    # RUNLEVEL=1: the packages of servers start no service. shellcheck disable=SC2086 # a list of packages
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $peers >&2 || say "could not install it: tests that need it skip"
    break
  done
fi
exec "$node" node_modules/vitest/vitest.mjs run "$@"
