# The image's entrypoint runs this script with a new data directory. It creates one role and one database for each owner.
# Other owners cannot connect to it. This is the last step of the initialisation. If the initialisation is interrupted, start.sh repeats it from the beginning.
# shellcheck shell=bash
for name in users orders notifications workers; do
  psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
    --set=name="$name" --set=password="$(cat "/run/secrets/postgres/$name")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
  --set=password="$(cat /run/secrets/postgres/monitor)" <<'SQL' # may only read statistics, for the Collector
CREATE ROLE monitor LOGIN PASSWORD :'password' IN ROLE pg_monitor;
GRANT CONNECT ON DATABASE users, orders, notifications, workers TO monitor;
SQL
rm -f "$HOPLINE_VOLUME/initialising"
