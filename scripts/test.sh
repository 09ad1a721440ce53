#!/bin/sh
# `npm test [-- FILTER …]`: sets up what is missing and runs every test.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/setup.sh"
cd "$root"
PATH="$root/node_modules/node/bin:$PATH"
export PATH
exec "$node" node_modules/vitest/vitest.mjs run "$@"
