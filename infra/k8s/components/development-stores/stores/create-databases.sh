# The image's entrypoint runs this script as the last step of the initialisation of a data directory. The script creates one role
# and one database for each service; other services cannot connect to it. If the initialisation is interrupted, start.sh repeats
# it from the beginning.
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
  --set=password="$(cat /run/secrets/postgres/monitor)" <<'SQL' # the Collector's role, which may only read statistics
CREATE ROLE monitor LOGIN PASSWORD :'password' IN ROLE pg_monitor;
GRANT CONNECT ON DATABASE users, orders, notifications, workers TO monitor;
SQL
rm -f "$HOPLINE_VOLUME/initialising"
