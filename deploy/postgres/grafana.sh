#!/usr/bin/env bash
# Run once by the image when the database is new: the role that Grafana signs in with. It may connect and nothing more;
# which views it sees is said by Wenxun's migrations.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/grafana_ro_password)" \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE grafana_ro LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
ALTER ROLE grafana_ro SET default_transaction_read_only = on;
ALTER ROLE grafana_ro SET statement_timeout = '10s';
SQL
