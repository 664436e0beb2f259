# The image's entrypoint runs this script with a new data directory. It creates one role and one database for each owner.
# It is the last step of the initialisation. If the initialisation is interrupted, start.sh repeats it from the beginning.
# shellcheck shell=bash
for name in users orders notifications workers; do
  psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
    --set=name="$name" --set=password="$(cat "/run/secrets/postgres/$name")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
  --set=password="$(cat /run/secrets/postgres/monitor)" <<'SQL' # may only read statistics, for the Collector
CREATE ROLE monitor LOGIN PASSWORD :'password' IN ROLE pg_monitor;
SQL
rm -f "$HOPLINE_VOLUME/initialising"
