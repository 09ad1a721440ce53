#!/bin/sh
# `npm run bench -- NAME… [--json] [--check]`: measures, each row beside its rival in the same run.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
# The heavy row's import. Where it cannot be had, the row names the modules of the standard library that it takes instead.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! /usr/bin/python3 -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("pandas"))' 2>/dev/null; then
  say "installing pandas for the row python-heavy"
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends python3-pandas >/dev/null 2>&1 || say "could not install python3-pandas"
fi
exec "$node" "$root/bench/main.ts" "$@"
