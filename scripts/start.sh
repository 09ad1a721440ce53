#!/bin/sh
# `npm start [-- PATH …]`: the workbench on a project, by default on the example, whose first function runs at every save.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ $# -eq 0 ]; then set -- "$root/examples/quickstart" --pin longest; fi
# npm changes to the package's folder; a relative PATH means the folder that the person is in.
[ -z "${INIT_CWD:-}" ] || cd "$INIT_CWD"
exec "$root/bin/hob" dev "$@"
