#!/bin/sh
# `npm run nats [-- FOLDER]`: three servers of NATS with JetStream on this machine, for `hob control --engine`, until ctrl-c.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
if ! has nats-server && [ "$(id -u)" = 0 ] && has apt-get; then
  say "installing nats-server from the distribution's packages"
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends nats-server >/dev/null 2>&1 || true
fi
has nats-server || die "nats-server is not installed: install it from your distribution or from the NATS project, then try again"
PATH="$PATH:/usr/sbin:/sbin"
export PATH
[ -z "${INIT_CWD:-}" ] || cd "$INIT_CWD"
exec "$node" "$root/scripts/nats.ts" "$@"
