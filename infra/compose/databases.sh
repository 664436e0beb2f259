#!/bin/sh
# Creates a role and a database for each service, and the role `monitor`, which may only read statistics. PostgreSQL's image
# runs this script when it initialises a data directory. `make up` runs it again at each start, for new services and changed
# passwords. psql connects by the local socket, on which the image accepts the user postgres without a password.
set -eu

# ensure ROLE: create the role if it is missing, and set its password.
ensure() {
    password=$(cat "/run/secrets/postgres-$1")
    psql -qAtX -v ON_ERROR_STOP=1 -U postgres -v role="$1" -v password="$password" <<-SQL
		SELECT format('CREATE ROLE %I', :'role')
		    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
		ALTER ROLE :"role" LOGIN PASSWORD :'password';
	SQL
}

for name in users orders notifications workers; do
    ensure "$name"
    psql -qAtX -v ON_ERROR_STOP=1 -U postgres -v role="$name" <<-SQL
		SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
		    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
		REVOKE CONNECT ON DATABASE :"role" FROM PUBLIC;
		GRANT CONNECT ON DATABASE :"role" TO :"role";
	SQL
done

ensure monitor
psql -qAtX -v ON_ERROR_STOP=1 -U postgres <<-SQL
	GRANT pg_monitor TO monitor;
	GRANT CONNECT ON DATABASE users, orders, notifications, workers TO monitor;
SQL
