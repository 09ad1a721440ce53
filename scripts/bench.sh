#!/bin/sh
# `npm run bench -- NAME… [--json] [--check]`: measures, each row beside its rival in the same run.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
exec "$node" "$root/bench/main.ts" "$@"
