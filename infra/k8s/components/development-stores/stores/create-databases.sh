# Run by the image's entrypoint when the data directory is new: one role and one database for each owner. It is the last
# step of the initialisation, which start.sh repeats from the beginning if it does not get to its end.
# shellcheck shell=bash
for name in users orders notifications workers; do
  psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
    --set=name="$name" --set=password="$(cat "/run/secrets/postgres/$name")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
  --set=password="$(cat /run/secrets/postgres/monitor)" <<'SQL' # reads figures only, for the Collector
CREATE ROLE monitor LOGIN PASSWORD :'password' IN ROLE pg_monitor;
SQL
rm -f "$HOPLINE_VOLUME/initialising"
