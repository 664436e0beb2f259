#!/usr/bin/env bash
# Starts the image's entrypoint. An initialisation that was cut short leaves a data directory which the entrypoint takes
# for a complete one, without our databases: it is removed and made anew. Nobody was served from it.
set -euo pipefail

mark=$HOPLINE_VOLUME/initialising # create-databases.sh, which is the last step, removes it
if [[ -e $mark ]]; then
  rm -rf "$PGDATA"
fi
[[ -e $PGDATA/PG_VERSION ]] || touch "$mark"
exec docker-entrypoint.sh postgres "$@"
