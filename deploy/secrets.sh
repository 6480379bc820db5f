#!/usr/bin/env bash
# Makes the secret files that docker-compose.yml mounts; one that is there is never touched. Prints no secret.
#
#   deploy/secrets.sh [DIR]        DIR: default deploy/secrets beside this script (not in version control)
#
# The folder is closed (700) and its files readable (444): Compose mounts each file as it is into containers that run as
# other users, and nobody else on this machine gets past the folder. alertmanager_token begins as a random text that the
# desk refuses: docs/install.md says how to put a real one in.
set -euo pipefail
umask 077

folder=${1:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in admin_password postgres_password grafana_password grafana_ro_password alertmanager_token; do
  if [ -s "$folder/$name" ]; then echo "kept  $folder/$name"; continue; fi
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "$folder/$name.new"
  chmod 444 "$folder/$name.new"
  mv "$folder/$name.new" "$folder/$name"
  echo "made  $folder/$name"
done
