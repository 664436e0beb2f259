#!/usr/bin/env bash
# Starts the image's entrypoint. After an interrupted initialisation, the entrypoint would treat the data directory as
# complete, although Hopline's databases are missing. This script then deletes the data directory, so that the entrypoint
# creates it again. No client can have written to it.
set -euo pipefail

mark=$HOPLINE_VOLUME/initialising # create-databases.sh removes it at the end of the initialisation
if [[ -e $mark ]]; then
  rm -rf "$PGDATA"
fi
[[ -e $PGDATA/PG_VERSION ]] || touch "$mark"
exec docker-entrypoint.sh postgres "$@"
