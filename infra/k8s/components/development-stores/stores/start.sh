#!/usr/bin/env bash
# Starts the image's entrypoint. After an interrupted initialisation, the entrypoint would treat the data directory as
# complete, although Hopline's databases are missing. This script deletes it, so that it is created again. No client used it.
set -euo pipefail

mark=$HOPLINE_VOLUME/initialising # create-databases.sh, the last step, removes it
if [[ -e $mark ]]; then
  rm -rf "$PGDATA"
fi
[[ -e $PGDATA/PG_VERSION ]] || touch "$mark"
exec docker-entrypoint.sh postgres "$@"
