# Run once by the image's entrypoint, when the data directory is new: one role and one database for each owner.
# shellcheck shell=bash
for name in users orders notifications workers; do
  psql --username=postgres --no-password --set=ON_ERROR_STOP=1 \
    --set=name="$name" --set=password="$(cat "/run/secrets/postgres/$name")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
