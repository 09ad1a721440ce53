#!/bin/sh
# `npm run bench -- NAME… [--json] [--check]`: measures, each row beside its rival in the same run.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
# The heavy row's import, and the server that the gateway's rows stand beside. Where they cannot be had, the rows name what they take instead.
has_module() { /usr/bin/python3 -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$1'))" 2>/dev/null; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! { has_module pandas && has_module uvicorn && has_module uvloop; }; then
  say "installing pandas and uvicorn to stand beside"
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends \
    python3-pandas python3-uvicorn python3-uvloop python3-httptools >/dev/null 2>&1 || say "could not install them"
fi
exec "$node" "$root/bench/main.ts" "$@"
