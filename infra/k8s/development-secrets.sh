#!/usr/bin/env bash
# Makes the secrets of a development cluster, once: random passwords and a signing key, one value a file, in the folders
# that the kustomizations read. What is there is kept, since Postgres has the passwords too. Nothing of it is committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077

passwords=components/development-stores/stores/secrets
processes=overlays/kind/secrets
mkdir -p "$passwords" "$processes"

# keep FILE COMMAND...: the command's output as the file's content, unless the file is there; whole or not at all.
keep() {
  local file=$1
  shift
  [[ -e $file ]] && return
  "$@" >"$file.new"
  mv "$file.new" "$file"
}

for role in superuser users orders notifications workers; do
  keep "$passwords/$role" openssl rand -hex 24
done
keep "$processes/signing-key" openssl genpkey -algorithm ed25519
keep "$processes/workers-client-secret" openssl rand -hex 24
keep "$processes/redis-url" echo redis://redis:6379/0
for role in users orders notifications workers; do # with the namespace: KEDA reads the workers' URL in its own
  keep "$processes/$role-database-url" echo "postgresql://$role:$(<"$passwords/$role")@postgres.hopline:5432/$role"
done
